"""The figures of impl/highway.py."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from impl.kit import Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure


def learning(rows: Sequence[Row]) -> Figure:
    """Fig. 1: each seed's net, at the settings that were chosen for it, one panel a depth."""
    depths = sorted({int(row["L"]) for row in rows})
    drawn, axes = canvas(1, len(depths), width=max(7.0, 2.4 * len(depths)), height=3.0)
    axes = axes if len(depths) > 1 else [axes]
    for ax, L in zip(axes, depths, strict=True):
        for arm, colour in zip(("highway", "plain"), PALETTE, strict=False):
            chosen = [r for r in rows if r.get("judged") and (r["arm"], r["L"]) == (arm, L)]
            for end in chosen:
                setting = f"lr {end['lr']}, activation {end['activation']}"
                curve = sorted(
                    (float(row["step"]), float(row["loss"]))
                    for row in rows
                    if row.get("setting") == setting
                    and "step" in row
                    and "val_loss" not in row
                    and all(row[key] == end[key] for key in ("arm", "seed", "L"))
                )
                label = arm if end is chosen[0] else None
                ax.plot(*zip(*curve, strict=True), color=colour, linewidth=1, label=label)
        ax.axhline(math.log(10), color=INK, linewidth=0.6, linestyle="--")
        ax.set(xlabel="step", yscale="log", title=f"{L} layers")
        ax.sharey(axes[0])
    axes[0].set_ylabel("training cross-entropy")
    axes[0].legend()
    caption = (
        "Training loss (as Fig. 1), a line for each seed, at the settings chosen for it; both nets "
        "have as many weights; dashed: a guess"
    )
    return figure("learning", drawn, caption)


def gates(means: Tensor, biases: Tensor, start: float) -> Figure:
    """Fig. 2: what the gates of the deepest net of the first seed do once it is trained."""
    drawn, axes = canvas(1, 2, width=8.0, height=3.2)
    layers = torch.arange(2, len(means) + 2)
    extent = (0.5, means.shape[1] + 0.5, len(means) + 1.5, 1.5)
    shown = axes[0].imshow(means.cpu().numpy(), aspect="auto", cmap="viridis", extent=extent)
    bar = drawn.colorbar(shown, ax=axes[0])
    bar.set_label("mean transform gate", color=INK)
    bar.ax.tick_params(colors=INK)
    axes[0].set(xlabel="unit", ylabel="layer")
    axes[1].plot(layers.numpy(), means.mean(1).cpu().numpy(), color=PALETTE[0], label="mean")
    axes[1].plot(layers.numpy(), means.amax(1).cpu().numpy(), color=PALETTE[1], label="most open")
    ungated = torch.sigmoid(torch.tensor(start)).item()
    axes[1].axhline(ungated, color=INK, linewidth=0.6, linestyle="--", label="start")
    axes[1].set(xlabel="layer", ylabel="mean transform gate", ylim=(0, None))
    axes[1].legend(loc="upper right")
    moved = biases.mean().item() - start
    caption = (
        "The transform gates of a trained net, means over its training images (as Fig. 2): most "
        f"layers carry nearly all of their input. The biases moved by {moved:+.2f} on average"
    )
    return figure("gates", drawn, caption)
