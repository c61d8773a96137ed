"""The figures of impl/vanishing_gradient.py."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from impl.kit import Chosen, Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure


class Unit(Protocol):
    def step(self, a: Tensor, h: Tensor) -> Tensor: ...


@torch.no_grad()
def two_attractors(
    unit: Unit, threshold: Callable[[Tensor], tuple[Tensor, Tensor]], seed: int
) -> Figure:
    """The map of a unit of w = 2 for three inputs; what noise below and above h* does to a bit."""
    edge, h_star = (float(v) for v in threshold(torch.tensor(2.0).double()))
    drawn, (left, right) = canvas(1, 2, height=3.0)
    a = torch.linspace(-3, 3, 200).double()
    for k, title in ((0.0, "h = 0"), (-1.0, "h = -h*"), (-1.6, "h = -1.6 h*")):
        left.plot(a, unit.step(a, torch.tensor(k * h_star)), label=title)
    left.plot(a, a, "--", color=INK)
    left.plot([edge], [2 * math.tanh(edge) - h_star], "o", color=PALETTE[5], markersize=5)
    left.set(xlabel="a before", ylabel="a after")
    left.set_title(f"w = 2: the upper attractor is gone beyond h* = {h_star:.2f}")
    left.legend(fontsize=8)
    rng, steps = torch.Generator().manual_seed(seed), 60
    for (scale, title), colour in zip(((0.99, "within h*"), (3.0, "3 h*")), PALETTE, strict=False):
        for i in range(4):
            now, path = torch.tensor(2.0).double(), []
            for noise in 2 * torch.rand(steps, generator=rng).double() - 1:
                path.append(float(now.tanh()))
                now = unit.step(now, scale * h_star * noise)
            label = f"noise {title}" if i == 0 else None
            right.plot(range(steps), path, color=colour, alpha=0.7, label=label)
    right.set(xlabel="step", ylabel="x", title="a bit held, and lost", ylim=(-1.08, 1.08))
    right.legend(fontsize=8)
    caption = "One tanh unit as a memory: two attractors, and how much noise each withstands"
    return figure("latch", drawn, caption)


def band(ax: Any, x: Sequence[float], y: Tensor, label: str, style: str = "-") -> None:
    """Mean and range over the seeds of y [seeds, len(x)]."""
    (line,) = ax.plot(x, y.mean(0), style, label=label, markersize=4)
    low, high = y.amin(0), y.amax(0)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def norms(chosen: Sequence[Chosen]) -> Figure:
    drawn, ax = canvas()
    for arm in dict.fromkeys(one.arm for one in chosen):
        own = [one for one in chosen if one.arm == arm]
        kept = sum(float(one.row["kept"]) for one in own) / len(own)
        each = torch.stack([one.tensors["norms"] for one in own])
        label = f"{arm}: keeps {100 * kept:.0f}% of its signs"
        band(ax, range(each.shape[1]), each, label)
    ax.set(xlabel="T - t, steps back", ylabel=r"$\log_{10}$ of the norm of $dh_T/dh_t$")
    ax.legend(fontsize=8)
    caption = "How much of h_T depends on h_t, T - t steps before: mean and range of the seeds"
    return figure("norms", drawn, caption)


def lengths(rows: Sequence[Row]) -> Figure:
    drawn, ax = canvas()
    judged = [row for row in rows if row.get("judged") and "T" in row]
    T = sorted({int(row["T"]) for row in judged})
    for arm in dict.fromkeys(str(row["arm"]) for row in judged):
        wrong: dict[int, dict[int, float]] = {}
        for row in judged:
            if row["arm"] == arm:
                wrong.setdefault(int(row["seed"]), {})[int(row["T"])] = float(row["test_wrong"])
        each = torch.tensor([[by_T[t] for t in T] for by_T in wrong.values()])
        band(ax, T, each, arm, ":" if arm == "set by hand" else "-o")
    ax.set(xlabel="T, length of the sequences", ylabel="% end wrong", ylim=(-2, 80))
    ax.legend()
    caption = "Learning to latch one bit by gradient descent: mean and range of the seeds"
    return figure("lengths", drawn, caption)
