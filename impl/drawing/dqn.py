"""The figures of impl/dqn.py."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from impl.kit import Chosen, Figure, Row
from impl.kit.catch import ACTIONS
from impl.kit.figures import INK, PALETTE, canvas, figure

PANELS = {"val_score": "mean reward of a game", "val_q_error": "error of the action values"}


def learning(rows: Sequence[Row], chosen: Sequence[Chosen]) -> Figure:
    """Each arm's reward and error while it learns: the seeds, and their mean."""
    settings = {(one.arm, one.seed): f"lr {one.job['lr']}" for one in chosen}
    curves: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        arm, seed = str(row["arm"]), int(row["seed"])
        if row.get("setting") == settings[arm, seed] and "test_score" not in row:
            curves.setdefault((arm, seed), []).append(row)
    drawn, axes = canvas(1, 2, width=8.0)
    for ax, (measure, title) in zip(axes, PANELS.items(), strict=True):
        for arm, colour in zip(dict.fromkeys(one.arm for one in chosen), PALETTE, strict=False):
            lines = [curve for (each, _), curve in curves.items() if each == arm]
            steps = [float(row["step"]) for row in lines[0]]
            points = [[float(row[measure]) for row in line] for line in lines]
            for each in points:
                ax.plot(steps, each, color=colour, linewidth=0.6, alpha=0.35)
            mean = [sum(values) / len(values) for values in zip(*points, strict=True)]
            ax.plot(steps, mean, color=colour, linewidth=1.8, label=arm)
        ax.set(xlabel="steps played", title=title)
    axes[0].set_ylim(-1, 1)
    axes[0].legend()
    caption = (
        "Catch, learnt from its screen: thick lines are means over the seeds, each at its best "
        "learning rate. Right: how far predictions are from the optimal action values"
    )
    return figure("learning", drawn, caption)


def game(tensors: Mapping[str, Tensor]) -> Figure:
    """The screens of one game, and what each action is worth there: predicted, and in truth."""
    screens, Q, optimal = (tensors[name] for name in ("screens", "Q", "optimal"))
    T = min(len(screens), 8)
    drawn, axes = canvas(2, T, width=8.0, height=3.4)
    edge = max(1.0, float(Q.abs().max())) + 0.15
    for t, (above, below) in enumerate(axes.T):
        above.imshow(255 - screens[t].numpy() * 175, cmap="gray", vmin=0, vmax=255)
        above.set(xticks=[], yticks=[], title=f"screen {t + 1}")
        for side in ("top", "right"):
            above.spines[side].set_visible(True)
        places = range(len(ACTIONS))
        below.bar(places, Q[t].tolist(), color=PALETTE[0], width=0.6, label="predicted")
        below.plot(places, optimal[t].tolist(), "_", color=PALETTE[1], markersize=12,
                   markeredgewidth=2, label="optimal")  # fmt: skip
        below.axhline(0, color=INK, linewidth=0.6)
        below.set(ylim=(-edge, edge), xticks=places)
        below.set_xticklabels(ACTIONS, fontsize=8)
        if t:
            below.set_yticklabels([])
    axes[1, 0].set_ylabel("worth of the action")
    drawn.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside lower right", ncols=2,
                 frameon=False, labelcolor=INK)  # fmt: skip
    caption = (
        "A game that the net plays. From the first screen nobody can tell where the ball will go; "
        "the optimal values are for one who knows"
    )
    return figure("game", drawn, caption)
