"""The figures of impl/zip_codes.py."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from impl.kit import Figure, Row
from impl.kit.figures import PALETTE, canvas, figure, tiles


def kernels(weight: Tensor) -> Figure:
    """The kernels of H1, [12, 5, 5]."""
    drawn, ax = canvas(width=6.0, height=2.1)
    sheet = tiles(weight, 6, symmetric=True)
    ax.imshow(sheet.numpy(), cmap="RdBu_r", vmin=0, vmax=1)
    ax.set_axis_off()
    caption = (
        "The twelve kernels of H1, 5 x 5 weights each: where red, ink excites, where blue, it "
        "inhibits. Some look for edges, some for ends of strokes"
    )
    return figure("kernels", drawn, caption)


@torch.no_grad()
def maps(net: nn.Sequential, x: Tensor, y: Tensor) -> Figure:
    """Three digits, and for each the maps of H1 and H2, the units of H3, and the outputs."""
    layers = ("input", "H1", "H2", "H3", "output")
    drawn, axes = canvas(3, 5, width=8.6, height=4.8)
    for row, digit in zip(axes, (2, 4, 8), strict=True):
        states = [x[y == digit][:1]]
        for layer in net:
            states.append(layer(states[-1]))
        shown = [
            states[0][0, 0],
            *(_sheet(maps, 4) for maps in (states[1][0], states[2][0])),
            states[3].view(5, 6),
            states[4].view(2, 5),
        ]
        for ax, state, name in zip(row, shown, layers, strict=True):
            ax.imshow(state.numpy(), cmap="gray", vmin=-1.72, vmax=1.72)
            ax.set(xticks=(), yticks=())
            ax.spines[:].set(visible=name == "H3")
            if digit == 2:
                ax.set_title(name)
        for unit in range(10):
            level = float(states[4][0, unit])
            row[4].text(unit % 5, unit // 5, unit, ha="center", va="center", fontsize=8,
                        color="black" if level > 0.3 else "white")  # fmt: skip
    caption = (
        "Three test digits on their way through a net of `shared`: 12 maps of 8 x 8, 12 of 4 x 4, "
        "30 units, and ten outputs, of which the digit's should be the brightest; black is -1.72, "
        "white 1.72"
    )
    return figure("maps", drawn, caption)


def _sheet(maps: Tensor, columns: int) -> Tensor:
    """[M, H, H] side by side, with a space between them."""
    M, H, _ = maps.shape
    apart = torch.nn.functional.pad(maps, (0, 1, 0, 1), value=torch.nan)
    rows = apart.view(M // columns, columns, H + 1, H + 1).transpose(1, 2)
    return rows.reshape(M // columns * (H + 1), columns * (H + 1))


def passes(rows: Sequence[Row]) -> Figure:
    """What is misread after each pass, at the settings that validation chose."""
    drawn, ax = canvas(width=6.0, height=3.2)
    judged = [row for row in rows if row.get("judged")]
    for color, arm in zip(PALETTE, dict.fromkeys(str(row["arm"]) for row in judged), strict=False):
        picked = {row["seed"]: f"lr {row['lr']}" for row in judged if row["arm"] == arm}
        curve: dict[int, list[float]] = {}
        for row in rows:
            mine = row["arm"] == arm and row.get("setting") == picked[row["seed"]]
            if mine and "loss" in row:
                curve.setdefault(int(row["step"]), []).append(float(row["val_error"]))
        means = {step: sum(errors) / len(errors) for step, errors in curve.items()}
        ax.plot(means.keys(), means.values(), color=color, marker="o", markersize=3, label=arm)
    ax.set(xlabel="passes through the training digits", ylabel="% errors on validation digits")
    ax.set_ylim(bottom=0)
    ax.legend()
    caption = "Errors after each pass, the mean over the seeds, at the rate that each net chose"
    return figure("passes", drawn, caption)
