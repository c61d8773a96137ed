"""The figures of impl/perceptron.py."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from impl.kit import Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure

MOMENTS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)


def turning(arrays: Mapping[str, Tensor], side: int) -> Iterator[Figure]:
    """The line where the response changes, after some of the corrections; a picture's step is the
    number of corrections."""
    x, y, lines = arrays["x"], arrays["y"], arrays["lines"]
    last = len(lines) - 1
    steps = sorted({min(last, moment) for moment in (*MOMENTS, last)})
    across = torch.tensor([-1.5 * side, 1.5 * side])
    for shown, step in enumerate(steps):
        drawn, ax = canvas(width=4.4, height=4.2)
        for sign, color in ((1, PALETTE[0]), (-1, PALETTE[1])):
            ax.scatter(*x[y == sign, :2].T.numpy(), s=12, color=color)
        for i, moment in enumerate(steps[: shown + 1]):
            alpha, width = (1.0, 2) if i == shown else (0.15, 1)
            ax.plot(*_ends(lines[moment], across, side), color=INK, alpha=alpha, linewidth=width)
        limits = (-1.1 * side, 1.1 * side)
        ax.set(xlim=limits, ylim=limits, aspect="equal", xlabel="input 1", ylabel="input 2")
        ax.set_title(f"after {step} of {last} corrections")
        caption = (
            "The line that divides yes from no turns with each correction, until no pattern is on "
            "the wrong side; earlier lines are faint"
        )
        yield figure("line", drawn, caption, step)


def _ends(w: Tensor, across: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """a x1 + b x2 + c side = 0, from one side of the picture to the other."""
    a, b, c = w.tolist()
    if abs(b) > abs(a):
        return across, -(a * across + c * side) / b
    return -(b * across + c * side) / (a or 1), across


def against_bound(rows: Sequence[Row]) -> Figure:
    drawn, ax = canvas(width=5.0, height=3.6)
    for inputs in sorted({int(row["inputs"]) for row in rows}):
        here = [row for row in rows if row["inputs"] == inputs]
        corrections = [row["corrections"] for row in here]
        ax.scatter([row["bound"] for row in here], corrections, s=12, label=f"{inputs} inputs")
    bounds = [float(row["bound"]) for row in rows]
    ends = [min(bounds), max(bounds)]
    ax.plot(ends, ends, color=INK, label="Novikoff's bound")
    ax.set(xscale="log", yscale="log", xlabel="(R / gamma)²", ylabel="corrections until no mistake")
    ax.legend()
    caption = "One dot for each run: corrections made, against what the bound allows"
    return figure("bound", drawn, caption)


def answers(says: Mapping[str, Tensor]) -> Figure:
    """What response units say all over the plane of the two inputs, -1.6 to 1.6, [side, side]."""
    drawn, axes = canvas(1, len(says), width=3.4 * len(says), height=3.5)
    extent = (-1.6, 1.6, -1.6, 1.6)
    for ax, (title, values) in zip(axes.flat, says.items(), strict=True):
        ax.imshow(values.numpy(), extent=extent, origin="lower", cmap="RdBu", vmin=-2, vmax=2)
        ax.scatter([-1, 1], [1, -1], color=PALETTE[0], edgecolor="white", s=50)
        ax.scatter([-1, 1], [-1, 1], color=PALETTE[1], edgecolor="white", s=50)
        ax.set(title=title, xticks=(-1, 1), yticks=(-1, 1))
    caption = (
        "XOR: the answers of a response unit that sees the inputs, and of one that sees random "
        "threshold units; each dot should lie on its own color"
    )
    return figure("xor", drawn, caption)
