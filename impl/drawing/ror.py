"""The figures of impl/ror.py."""

from collections.abc import Sequence

from impl.kit import Chosen, Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure


def scheme(n: int) -> Figure:
    """Which maps a shortcut connects: 0 are the first maps, k those after block k."""
    from matplotlib.patches import Arc

    levels = {
        "root": [(0, 3 * n)],
        "middle": [(i * n, i * n + n) for i in range(3)],
        "block": [(k, k + 1) for k in range(3 * n)],
    }
    drawn, axes = canvas(2, 1, height=3.4)
    for ax, shown in zip(axes, (["block"], ["block", "middle", "root"]), strict=True):
        heights = {"root": 2.6, "middle": 1.2, "block": 0.5}
        for level, colour in zip(levels, PALETTE, strict=False):
            for a, b in levels[level] if level in shown else []:
                place = ((a + b) / 2, 0), b - a, 2 * heights[level]
                ax.add_patch(Arc(*place, theta1=0, theta2=180, color=colour, linewidth=1.2))
        ax.plot(range(3 * n + 1), [0] * (3 * n + 1), color=INK, marker="s", markersize=3)
        routes, rectifiers = (1, 3 * n) if len(shown) == 1 else (9, 1)
        name = "ResNet" if len(shown) == 1 else "RoR-3"
        ax.set_title(f"{name}: routes along shortcuts {routes}, shortest past {rectifiers} ReLU")
        ax.set(xlim=(-0.5, 3 * n + 0.5), ylim=(-0.3, 2.8))
        ax.set_axis_off()
    caption = "Maps (squares), residual branches (line) and the shortcuts of each level (arcs)"
    return figure("scheme", drawn, caption)


def gradients_by_depth(chosen: Sequence[Chosen]) -> Figure:
    drawn, axes = canvas(1, 2)
    for arm, colour in zip(dict.fromkeys(trial.arm for trial in chosen), PALETTE, strict=False):
        norms = [trial.tensors["gradients"] for trial in chosen if trial.arm == arm]
        for i, (before, after) in enumerate(norms):
            for ax, line in zip(axes, (before, after), strict=True):
                label = None if i else arm
                ax.plot(line.tolist(), color=colour, alpha=0.6, linewidth=1, label=label)
    for ax, when in zip(axes, ("before training", "after training"), strict=True):
        ax.set(title=when, xlabel="block, 0 the first maps", yscale="log")
    axes[0].set_ylabel("norm of the gradient")
    axes[0].legend(fontsize=8)
    caption = "How much of the gradient arrives at the maps after each block, each seed a line"
    return figure("gradients", drawn, caption)


def learning(rows: Sequence[Row], arms: Sequence[str]) -> Figure:
    """The loss of the trials that are judged."""
    judged = {(row["arm"], row["seed"]): row["lr"] for row in rows if row.get("judged")}
    drawn, ax = canvas()
    for (arm, seed), lr in judged.items():
        key = {"arm": arm, "seed": seed, "setting": f"lr {lr}"}
        line = [row for row in rows if "step" in row and key.items() <= row.items()]
        colour = PALETTE[list(arms).index(str(arm))]
        first = seed == min(seed for _, seed in judged)
        points = [[row[name] for row in line] for name in ("step", "loss")]
        ax.plot(*points, color=colour, alpha=0.6, linewidth=1, label=arm if first else None)
    ax.set(xlabel="update", ylabel="loss of a batch", yscale="log")
    ax.legend(fontsize=8)
    caption = "Training with three levels of shortcuts and with one, each seed a line"
    return figure("training", drawn, caption)
