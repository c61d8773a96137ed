"""The figures of impl/deep_sparse_rectifiers.py."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impl.kit import Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure


def codes(outputs: Mapping[str, Tensor]) -> Figure:
    """The last hidden layer's outputs for images: units across, images down; zeros stay blank."""
    shown = ("rectifier", "sparse rectifier", "tanh", "sigmoid")
    drawn, axes = canvas(1, len(shown), height=3.2)
    for ax, arm in zip(axes, shown, strict=True):
        h = outputs[arm]
        code = h[:, h.mean(0).argsort(descending=True)]
        limit = float(code.abs().quantile(0.98).clamp_min(1e-6))
        blank = code.masked_fill(code == 0, torch.nan).numpy()
        style = dict(cmap="coolwarm", aspect="auto", interpolation="nearest")
        ax.imshow(blank, vmin=-limit, vmax=limit, **style)
        ax.set(title=arm, xlabel="unit", xticks=[], yticks=[])
    axes[0].set_ylabel("image")
    caption = (
        "The last hidden layer for 80 test images: red above zero, blue below, blank where exactly "
        "zero"
    )
    return figure("codes", drawn, caption)


def becoming_sparse(rows: Sequence[Row], L: int) -> Figure:
    """The share of zeros by layer while the nets learn, mean and range of the seeds."""
    arms = ("rectifier", "sparse rectifier")
    drawn, axes = canvas(1, len(arms), height=2.6)
    for ax, arm in zip(axes, arms, strict=True):
        ends = [row for row in rows if row.get("judged") and row["arm"] == arm]
        settings = {(row["seed"], f"lr {row['lr']}") for row in ends}
        curves: dict[int, list[Row]] = {}
        for row in rows:
            of_arm = row["arm"] == arm and "zeros_1" in row
            if of_arm and (row["seed"], row["setting"]) in settings:
                curves.setdefault(int(row["step"]), []).append(row)
        steps = sorted(curves)
        for layer, colour in zip(range(1, L + 1), PALETTE, strict=False):
            share = torch.tensor([[float(r[f"zeros_{layer}"]) for r in curves[s]] for s in steps])
            ax.plot(steps, share.mean(1).numpy(), color=colour, label=f"layer {layer}")
            low, high = share.amin(1).numpy(), share.amax(1).numpy()
            ax.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.axhline(50, color=INK, linewidth=0.6, linestyle="--")
        ax.set(title=arm, xlabel="step", ylim=(0, 100))
    axes[0].set_ylabel("% outputs exactly zero")
    axes[-1].legend()
    caption = "Zeros by layer while the nets learn; from the least to the most of the seeds"
    return figure("becoming-sparse", drawn, caption)
