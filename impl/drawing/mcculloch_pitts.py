"""The figures of impl/mcculloch_pitts.py."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from impl.kit import Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure


def heat_illusion(net: nn.Module) -> Figure:
    """Fig. 1e with heat, with cold for one step, and with cold for four."""
    T = 9
    shown = {"heat, for one step": (0, 1), "cold, for one step": (1, 1), "cold, for four": (1, 4)}
    drawn, axes = canvas(1, 3, width=8.6, height=2.6)
    labels = {"1": "heat receptor", "2": "cold receptor", "a": "a", "b": "b"}
    labels |= {"3": "heat is felt", "4": "cold is felt"}
    for ax, (title, (afferent, length)) in zip(axes, shown.items(), strict=True):
        x = torch.zeros(T, 1, 2)
        x[1 : 1 + length, 0, afferent] = 1
        _raster(ax, net, x, labels if ax is axes[0] else dict.fromkeys(labels, ""))
        ax.set(title=title, xlabel="time, in synaptic delays")
    caption = (
        "The heat illusion of Fig. 1e: cold for a moment is felt as heat, and cold that stays as "
        "cold. By the same law, heat is felt once more when the cold is taken away"
    )
    return figure("heat-illusion", drawn, caption)


def memory(learning: nn.Module, counter: nn.Module) -> Figure:
    """Two nets with circles: the synapse of Fig. 1i that learns, and a counter modulo three."""
    drawn, axes = canvas(1, 2, width=8.6, height=2.9)
    first = torch.zeros(14, 1, 2)
    first[[1, 6, 10], 0, 0] = 1
    first[[3, 6], 0, 1] = 1
    labels = {"1": "1, say a bell", "2": "2, say food", "a": "the circle", "3": "3, the answer"}
    _raster(axes[0], learning, first, labels)
    axes[0].set(title="Fig. 1i: once together with 2, 1 is enough", xlabel="time")
    ones = [0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 0, 0]
    second = torch.zeros(14, 1, 3)
    second[range(14), 0, ones] = 1
    second[0, 0, 2] = 1
    labels = {"1": "a 1", "0": "a 0"}
    labels |= {name: f"count {i // 2}, after a {i % 2}" for i, name in enumerate("abcdef")}
    _raster(axes[1], counter, second, labels)
    axes[1].set(title="a counter of 1s, modulo 3", xlabel="time")
    return figure("memory", drawn, "What circles remember, over time; a bar is a cell that fires")


def _raster(ax: Any, net: Any, x: Tensor, labels: Mapping[str, str]) -> None:
    """A row for each cell of `labels`, from top to bottom, and a bar where it fires."""
    actions = net(x)[:, 0]
    outputs = [name for name in labels if name in "34"] or list("abcdef")
    for row, name in enumerate(labels):
        fired = actions[:, net.names.index(name)].nonzero().flatten().tolist()
        afferent = net.names.index(name) < x.shape[-1]
        color = PALETTE[1] if afferent else PALETTE[0] if name in outputs else INK
        ax.broken_barh([(t - 0.4, 0.8) for t in fired], (-row - 0.35, 0.7), color=color)
        ax.axhline(-row - 0.5, color=INK, linewidth=0.3)
    ax.set_yticks([-row for row in range(len(labels))], list(labels.values()))
    ax.set(xlim=(-0.5, len(x) - 0.5), ylim=(-len(labels) + 0.4, 0.6))


def found(rows: Sequence[Row]) -> Figure:
    """What random nets have found so far, a line for each seed."""
    drawn, ax = canvas(width=6.0, height=3.0)
    curves = [row for row in rows if "found" in row and not row.get("judged")]
    for color, arm in zip(PALETTE, ("hidden cells", "one cell"), strict=False):
        mine = [row for row in curves if row["arm"] == arm]
        for number, seed in enumerate(sorted({int(row["seed"]) for row in mine})):
            points = [(row["step"], row["found"]) for row in mine if row["seed"] == seed]
            label = "with hidden cells" if arm == "hidden cells" else "one cell"
            ax.plot(*zip(*points, strict=True), color=color, linewidth=0.8, alpha=0.6,
                    label=None if number else label)  # fmt: skip
    ax.set(xlabel="random nets drawn", ylabel="% of the functions", ylim=(0, 100))
    ax.legend()
    caption = "Functions of three afferents that random nets have found; one cell is soon done"
    return figure("found", drawn, caption)
