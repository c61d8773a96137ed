"""The figures of impl/hopfield.py."""

from collections.abc import Sequence

from impl.kit import Chosen, Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure


def descent(chosen: Sequence[Chosen]) -> Figure:
    """The energy of each state after each sweep, with the fewest and with the most memories."""
    shown = [chosen[0], chosen[-1]]
    drawn, axes = canvas(1, 2, width=8.0, height=3.2)
    for ax, one in zip(axes, shown, strict=True):
        for line in one.tensors["energies"].T.tolist():
            ax.plot(line, color=PALETTE[0], linewidth=0.8, alpha=0.7)
        ax.set(xlabel="sweep over all units", title=f"{one.job['n']} memories")
    axes[0].set_ylabel("energy")
    caption = (
        "Started from its memories a net only goes downhill. With few of them it is at rest at "
        "once; with many it slides away from what it was to remember"
    )
    return figure("descent", drawn, caption)


def cliff(rows: Sequence[Row]) -> Figure:
    """The memories that are lost, against the load."""
    drawn, ax = canvas()
    judged = [row for row in rows if row.get("judged")]
    loads = sorted({float(row["load"]) for row in judged})
    lost = [[float(row["lost"]) for row in judged if row["load"] == load] for load in loads]
    means = [sum(values) / len(values) for values in lost]
    ax.plot(loads, means, marker="o", markersize=4, color=PALETTE[0])
    ax.axvline(0.15, color=INK, linewidth=0.8, linestyle=":")
    ax.annotate("0.15 N", (0.15, 2), xytext=(4, 0), textcoords="offset points")
    ax.set(xlabel="memories for each unit", ylabel="% of memories lost", ylim=(0, 100))
    return figure("cliff", drawn, "Recall breaks down as memories are added: the mean of all nets")
