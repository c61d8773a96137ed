"""The figures of impl/backprop.py."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impl.kit import Figure
from impl.kit.figures import INK, PALETTE, canvas, figure
from impl.kit.kinship import ENGLISH, ITALIAN

SQUARE = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])  # corners
UNITS = [[(float(i), 0.0) for i in range(6)], [(1.0, 1.0), (4.0, 1.0)], [(2.5, 1.8)]]  # places


def diagram(parameters: Mapping[str, Tensor], right: int) -> Figure:
    """As Fig. 1: the weights and biases of a 6-2-1 net."""
    drawn, ax = canvas(height=3.6)
    for layer in (0, 1):
        w = parameters[f"layers.{layer}.weight"]
        for j, (x1, y1) in enumerate(UNITS[layer + 1]):
            along = 0.2 + 0.14 * j  # so that no label hides another
            for i, (x0, y0) in enumerate(UNITS[layer]):
                width = 5 * (w[j, i] / w.abs().max()).item()
                color = PALETTE[width < 0]
                ax.plot([x0, x1], [y0, y1], color=color, linewidth=0.4 + abs(width), zorder=1)
                label = ax.text(x0 + along * (x1 - x0), y0 + along * (y1 - y0), f"{w[j, i]:.1f}")
                label.set(ha="center", va="center", fontsize=7, color="black")
                label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    biases = [parameters[f"layers.{layer}.bias"] for layer in (0, 1)]
    labels = ["1", "2", "3", "4", "5", "6", *(f"{bias:.1f}" for bias in torch.cat(biases))]
    for text, (x, y) in zip(labels, [place for layer in UNITS for place in layer], strict=True):
        ax.scatter(x, y, s=520, color="white", edgecolor=INK, zorder=2)
        ax.text(x, y, text, ha="center", va="center", fontsize=7, color="black")
    ax.set_axis_off()
    caption = (
        f"Two hidden units detect mirror symmetry (as in Fig. 1; {right} of 64 patterns right). "
        "Below, the six inputs; blue weights are positive, orange negative; biases in the units."
    )
    return figure("symmetry-weights", drawn, caption)


def receptive_fields(w: Tensor) -> Figure:
    """As Fig. 4: the weights [24, 6] from the people to the six units, as areas."""
    drawn, axes = canvas(3, 2, height=3.4)
    for unit, ax in enumerate(axes.flat):
        for person, value in enumerate(w[:, unit].tolist()):
            side = 0.47 * (abs(value) / w.abs().max().item()) ** 0.5
            x, y = person % 12, 1 - person // 12
            ax.fill(x + side * SQUARE[:, 0], y + side * SQUARE[:, 1], PALETTE[value < 0])
        ax.set(aspect="equal", xlim=(-0.6, 11.6), ylim=(-0.6, 1.6), xticks=[], yticks=[])
        ax.set_title(f"unit {unit + 1}", loc="left", fontsize=8, pad=2)
    names = [f"{english}, {italian}" for english, italian in zip(ENGLISH, ITALIAN, strict=True)]
    for ax in axes[-1]:
        ax.set_xticks(range(12), names, rotation=90, fontsize=6)
    caption = (
        "What the six units that see person 1 have learnt (as in Fig. 4): English over Italian, "
        "blue excites, orange inhibits"
    )
    return figure("person-units", drawn, caption)


def histogram(counts: Sequence[tuple[str, float]], held_out: int) -> Figure:
    """How many starts of each arm got how many held-out facts wrong."""
    wrong: dict[str, list[float]] = {}
    for arm, count in counts:
        wrong.setdefault(arm, []).append(count)
    drawn, ax = canvas(height=2.6)
    width = 0.8 / len(wrong)
    for at, (arm, values) in enumerate(wrong.items()):
        share = [sum(v == k for v in values) / len(values) for k in range(held_out + 1)]
        left = [k - 0.4 + (at + 0.5) * width for k in range(held_out + 1)]
        ax.bar(left, share, width=width, label=arm, color=PALETTE[at])
    ax.set(xlabel=f"held-out facts wrong, of {held_out}", ylabel="share of starts")
    ax.set_xticks(range(held_out + 1))
    ax.legend()
    caption = "Facts never seen that each start gets wrong (the paper shows one run: 0 of 4)"
    return figure("held-out", drawn, caption)
