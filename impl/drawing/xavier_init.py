"""The figures of impl/xavier_init.py."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import torch
from torch import Tensor

from impl.kit import Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure

Arms = Mapping[str, Mapping[str, Tensor]]


def histograms(arms: Arms) -> Figure:
    """Figs. 6 and 7."""
    drawn, axes = canvas(2, 2, height=4.2)
    for row, (arm, tensors) in zip(axes, arms.items(), strict=True):
        for ax, (side, reach) in zip(row, (("activations", 1.0), ("gradients", 0.1)), strict=True):
            for i, (layer, colour) in enumerate(zip(tensors[side], cycle(PALETTE)), 1):
                counts, edges = torch.histogram(
                    layer.flatten(), 60, range=(-reach, reach), density=True
                )
                line = dict(color=colour, linewidth=1, label=f"layer {i}")
                ax.plot(edges[1:].numpy(), counts.numpy(), **line)
            ax.set(title=f"{arm}: {side}", yticks=[])
    axes[0][0].legend(fontsize=6)
    caption = (
        "A tanh net before any update, by layer (as Figs. 6 and 7): with standard weights the "
        "activations pile up at zero towards the top, the gradients towards the bottom"
    )
    return figure("histograms", drawn, caption)


def spectrum(arms: Arms) -> Figure:
    """With the law for large random matrices, a quarter of an ellipse of radius 2 sqrt(n Var W)."""
    variance = {"normalized": 1.0, "standard": 1 / 3}  # n Var[W]
    drawn, ax = canvas(height=2.7)
    for (arm, tensors), colour in zip(arms.items(), PALETTE, strict=False):
        values = tensors["singular"].flatten()
        label = f"{arm}: mean {values.mean():.2f}"
        ax.hist(
            values.numpy(), 60, range=(0, 2), density=True, color=colour, alpha=0.5, label=label
        )
        radius = 2 * variance[arm] ** 0.5
        x = torch.linspace(0, radius, 200)
        law = (radius**2 - x**2).clamp_min(0).sqrt() * 4 / (math.pi * radius**2)
        ax.plot(x.numpy(), law.numpy(), color=colour)
    ax.set(xlabel="singular value of a layer's Jacobian", ylabel="density")
    ax.legend(fontsize=7)
    caption = (
        "Singular values of the Jacobians of tanh layers before any update; lines: the "
        "quarter-circle law for linear layers, whose means are 0.85 and 0.49"
    )
    return figure("spectrum", drawn, caption)


def learning(rows: Sequence[Row]) -> Figure:
    """Fig. 12, each initialization at the rate that was chosen for each seed."""
    chosen = [row for row in rows if row.get("judged") and "lr" in row]
    units = list(dict.fromkeys(str(row["unit"]) for row in chosen))
    drawn, axes = canvas(1, len(units), height=2.9)
    for end in chosen:
        ax = axes[units.index(str(end["unit"]))] if len(units) > 1 else axes
        first = end["arm"] == "normalized"
        label = str(end["arm"]) if end["seed"] == chosen[0]["seed"] else None
        curve = sorted(
            (float(row["step"]), float(row["error"]))
            for row in rows
            if row.get("setting") == f"lr {end['lr']}"
            and "error" in row
            and all(row[key] == end[key] for key in ("arm", "unit", "seed"))
        )
        ax.plot(*zip(*curve, strict=True), color=PALETTE[not first], linewidth=1, label=label)
        ax.set(title=str(end["unit"]), xlabel="step", ylabel="% test error", ylim=(0, 95))
    for ax in axes if len(units) > 1 else [axes]:
        ax.legend(fontsize=7)
    return figure(
        "learning", drawn, "Test error, a line for each seed at its own rate (as Fig. 12)"
    )


def saturation(rows: Sequence[Row]) -> Figure:
    """Fig. 2."""
    drawn, ax = canvas(height=2.8)
    records = sorted(
        (row for row in rows if "layer_1" in row),
        key=lambda row: (int(row["seed"]), int(row["step"])),
    )
    layers = sorted(key for key in records[0] if key.startswith("layer_"))
    for seed in dict.fromkeys(row["seed"] for row in records):
        own = [row for row in records if row["seed"] == seed]
        for layer, colour in zip(layers, cycle(PALETTE)):
            label = layer.replace("_", " ") if seed == records[0]["seed"] else None
            steps = [row["step"] for row in own]
            means = [row[layer] for row in own]
            ax.plot(steps, means, color=colour, linewidth=0.9, label=label)
    ax.axhline(0.5, color=INK, linewidth=0.6, linestyle="--")
    ax.set(xlabel="step", ylabel="mean activation", ylim=(0, 1))
    ax.legend(fontsize=7)
    caption = "Mean activation of each hidden layer of sigmoid units, by seed (as Fig. 2)"
    return figure("saturation", drawn, caption)
