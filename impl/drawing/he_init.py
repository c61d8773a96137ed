"""The figures of impl/he_init.py."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impl.kit import Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure


def scale(arms: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    drawn, axes = canvas(1, 2, height=2.8)
    for ax, side in zip(axes, ("responses", "gradients"), strict=True):
        for (arm, tensors), colour in zip(arms.items(), PALETTE, strict=False):
            std = tensors[side]
            line = dict(markersize=3, color=colour, label=arm)
            ax.plot(range(1, len(std) + 1), std.numpy(), "o-", **line)
        ax.set(xlabel="layer", title=f"std of the {side}", yscale="log")
    axes[0].legend(fontsize=7)
    caption = (
        "Before any update, in a net of 30 layers: with Xavier's weights the responses lose a "
        "factor of 1.41 a layer on their way up, the gradients on their way down"
    )
    return figure("scale", drawn, caption)


def learning(rows: Sequence[Row]) -> Figure:
    """Figs. 2 and 3, and the smaller nets; each seed's net at the rate that was chosen for it."""
    panels = (("he, deep", "xavier, deep"), ("he", "xavier"), ("prelu", "relu"))
    drawn, axes = canvas(1, 3, height=2.9)
    for ax, arms in zip(axes, panels, strict=True):
        for arm, colour in zip(arms, PALETTE, strict=False):
            chosen = [row for row in rows if row.get("judged") and row["arm"] == arm]
            for end in chosen:
                curve = sorted(
                    (float(row["step"]), float(row["loss"]))
                    for row in rows
                    if row.get("setting") == f"lr {end['lr']}"
                    and "step" in row
                    and all(row[key] == end[key] for key in ("arm", "seed"))
                )
                label = arm if end is chosen[0] else None
                ax.plot(*zip(*curve, strict=True), color=colour, linewidth=1, label=label)
        ax.axhline(math.log(10), color=INK, linewidth=0.6, linestyle="--")
        ax.set(xlabel="step", ylim=(0, 2.8))
        ax.legend(fontsize=7)
    axes[0].set_ylabel("training cross-entropy")
    caption = (
        "Training loss of nets of 30, 22 (as Figs. 3 and 2) and 14 layers, a line for each seed; "
        "dashed: a guess"
    )
    return figure("learning", drawn, caption)


def coefficients(slopes: Sequence[Tensor], start: float = 0.25) -> Figure:
    """Table 1 as a picture: every unit of the first seed's net, and the mean of all seeds."""
    drawn, ax = canvas(height=2.9)
    every = torch.stack(list(slopes))  # [seeds, L - 1, H]
    layers = torch.arange(1, every.shape[1] + 1)
    jitter = torch.linspace(-0.3, 0.3, every.shape[2])
    at = (layers[:, None] + jitter).flatten().numpy()
    dots = dict(color=PALETTE[0], markersize=2, alpha=0.5)
    ax.plot(at, every[0].flatten().numpy(), ".", **dots)
    ax.plot(layers.numpy(), every.mean((0, 2)).numpy(), "o-", color=PALETTE[0], label="mean")
    ax.axhline(start, color=INK, linewidth=0.6, linestyle="--")
    ax.set(xlabel="layer", ylabel="a, slope below zero", xticks=layers.tolist())
    ax.legend(fontsize=7)
    caption = (
        "The slopes learnt (as Table 1): the line is over all seeds, dots are the units of one "
        "net; dashed: the start"
    )
    return figure("coefficients", drawn, caption)
