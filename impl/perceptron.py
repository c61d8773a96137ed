"""The Perceptron: information storage and organization in the brain. Rosenblatt, 1958.

Psychological Review 65(6):386-408. Its bound is Novikoff's (1962), its limit Minsky & Papert's.

Claims      convergence        on separable patterns it stops making mistakes, after at most
                               (R / gamma)^2 corrections (Novikoff's bound, 1962)
            xor                a response unit that sees the two inputs never learns XOR: at most
                               three of the four patterns are right (Minsky & Papert, 1969)
            association-units  with enough random threshold units between inputs and response, the
                               same rule learns XOR
Deviations  1  weights change by error correction, the later form of the rule that the bound is
               about; the paper of 1958 compares systems whose values grow with activity
            2  every association unit sees every input; in the paper each has a few connections,
               drawn at random
            3  the two classes are drawn with a known margin, the patterns in the paper by their
               overlap; the last claim's measure is ours
Left out    feedback from the responses, several responses, learning without a teacher, the
            paper's probability of a right response against the number of association units
Shapes      N patterns, D inputs with the constant one, A association units
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn

from impl.drawing.perceptron import against_bound, answers, turning
from impl.kit import (
    Arrays,
    Chosen,
    Comparison,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    by_seed,
    generator,
    judge,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.claims import Side
from impl.kit.figures import curves

Events = Iterator[TrialEvent]
SIDE = 100  # inputs are whole numbers from -SIDE to SIDE: every sum is exact, on any device


class Perceptron(nn.Module):
    """A response unit: above 0 it says yes, below 0 it says no; at exactly 0 it is wrong."""

    w: Tensor

    def __init__(self, w: Tensor):
        super().__init__()
        self.register_buffer("w", w.clone())  # [D]
        self.turn = 0  # which pattern comes next

    def forward(self, x: Tensor) -> Tensor:
        """Patterns [N, D] -> net signals [N]"""
        return x @ self.w

    def correct(self, x: Tensor, y: Tensor) -> None:
        """The whole rule: a pattern [D] whose answer y, +1 or -1, was wrong changes the weights."""
        self.w += y * x

    def learn(self, x: Tensor, y: Tensor) -> Iterator[Tensor]:
        """Patterns [N, D] in turn, round and round. Yields which are right [N], first of all, and
        after each correction; it ends when all are.

        What is right changes nothing, so each step goes straight to the next that is wrong.
        """
        while True:
            right = y * self(x) > 0
            yield right
            if right.all():
                return
            order = torch.arange(len(x), device=x.device).roll(-self.turn)
            at = int(order[~right[order]][0])
            self.correct(x[at], y[at])
            self.turn = (at + 1) % len(x)


class AssociationUnits(nn.Module):
    """Random threshold units between the inputs and the response; without any, the inputs."""

    v: Tensor

    def __init__(self, v: Tensor):
        super().__init__()
        self.register_buffer("v", v)  # [A, D], the last weight for the constant

    def forward(self, x: Tensor) -> Tensor:
        """[N, D] -> units active (1) or not (0), and a constant, [N, A + 1]"""
        if len(self.v) == 0:
            return x
        active = (x @ self.v.T > 0).float()
        return torch.cat([active, torch.ones_like(active[:, :1])], 1)


@dataclass(frozen=True)
class Config:
    patterns: int = 300  # ours: how many there are to learn
    inputs: tuple[int, ...] = (2, 20, 100)  # ours: a plane to look at, and larger spaces
    gaps: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003)  # ours: margin, over the longest pattern
    units: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)  # ours: association units; 0 is none
    enough: int = 8  # ours: units that must do, twice as many as there are patterns
    budget: int = 20_000  # ours: corrections on XOR after which a start counts as not learnt
    every: int = 20  # ours: corrections from one point of a curve to the next
    seeds: int = 100  # ours: how many repetitions, each with its own patterns and units
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = PAPER
QUICK = replace(FULL, patterns=100, inputs=(2, 20), gaps=(0.1, 0.03, 0.01), seeds=50)
SMOKE = replace(QUICK, patterns=30, inputs=(2,), gaps=(0.1,), units=(0, 8), seeds=3)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

SEPARABLE = Protocol(("separable",), conditions={"inputs": "inputs", "gap": "gaps"})
XOR = Protocol(("xor",), conditions={"units": "units"})


def learns(enough: bool) -> Side:
    """For each seed 1 if XOR is learnt with as many units as must do, or with none."""
    where = {"enough": True} if enough else {"units": 0}
    return lambda rows: by_seed(rows, "solved", arm="xor", **where)


CLAIMS = (
    Identity(
        claim="convergence",
        measure="excess",
        tolerance=0.0,
        unit="corrections beyond (R / gamma)^2",
    ),
    Identity(
        claim="xor",
        measure="beyond_three",
        tolerance=0.0,
        unit="patterns right beyond three of four: all starts until they came round, all weights",
    ),
    Comparison(
        claim="association-units",
        idea=learns(enough=True),
        rival=learns(enough=False),
        better="higher",
        margin=0.5,
        because="enough are those with which most starts learn it",
        unit="share of the starts that learn XOR, `enough` association units against none",
        ours=True,
    ),
)


def away() -> AbstractContextManager[object]:
    """Each mistake moves the weights in the wrong direction."""

    def correct(self: Perceptron, x: Tensor, y: Tensor) -> None:
        self.w -= y * x

    return patch.object(Perceptron, "correct", correct)


def product_seen() -> AbstractContextManager[object]:
    """The response unit sees the product of the inputs, too, with which a plane divides XOR."""

    def forward(self: AssociationUnits, x: Tensor) -> Tensor:
        return torch.cat([x, x[:, :1] * x[:, 1:2]], 1)

    return patch.object(AssociationUnits, "forward", forward)


def all_alike() -> AbstractContextManager[object]:
    """All association units are one: together they draw a single line."""
    whole = AssociationUnits.forward

    def forward(self: AssociationUnits, x: Tensor) -> Tensor:
        self.v.fill_(1.0)
        return whole(self, x)

    return patch.object(AssociationUnits, "forward", forward)


BROKEN: Broken = {"convergence": away, "xor": product_seen, "association-units": all_alike}


def trial(cfg: Config, device: torch.device, *, arm: str, seed: int, **condition: float) -> Events:
    if arm == "separable":
        inputs, gap = int(condition["inputs"]), condition["gap"]
        yield from separate(cfg, device, seed, inputs, gap)
    else:
        yield from learn_xor(cfg, device, seed, int(condition["units"]))


def separable(N: int, D: int, gap: float, source: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """N patterns [N, D + 1] of D whole numbers and a constant, answers [N], and (R / gamma)^2.

    The answers come from a random plane, and no pattern is nearer to it than `gap` of the longest
    possible pattern. Any plane gives a bound that holds; the widest margin would give the lowest.
    """
    u = torch.randn(D + 1, generator=source, dtype=torch.float64)
    u /= u.norm()
    x = torch.empty(0, D + 1)
    while len(x) < N:
        more = torch.randint(-SIDE, SIDE + 1, (N, D + 1), generator=source).float()
        more[:, -1] = SIDE  # the constant, whose weight is the threshold
        x = torch.cat([x, more[(more.double() @ u).abs() >= gap * SIDE * (D + 1) ** 0.5]])[:N]
    distance = x.double() @ u
    R, gamma = x.double().norm(dim=1).max(), distance.abs().min()
    return x, distance.sign().float(), float((R / gamma) ** 2)


def separate(cfg: Config, device: torch.device, seed: int, D: int, gap: float) -> Events:
    """Until the unit makes no more mistakes, or has made more than the bound allows."""
    x, y, bound = separable(cfg.patterns, D, gap, generator(seed, f"{D} inputs, margin {gap}"))
    unit = Perceptron(torch.zeros(D + 1)).to(device)
    lines = []  # w after each correction
    for step, right in enumerate(unit.learn(x.to(device), y.to(device))):
        lines.append(unit.w.cpu().clone())
        if step % cfg.every == 0:
            yield dict(step=step, wrong=int((~right).sum()))
        if step > bound:
            break
    if D == 2 and gap == min(cfg.gaps):
        yield Arrays({"lines": torch.stack(lines), "x": x, "y": y})
    excess = max(0.0, step - bound)
    yield dict(step=step, wrong=int((~right).sum()), corrections=step, bound=bound, excess=excess)


def xor_patterns() -> tuple[Tensor, Tensor]:
    """Four patterns [4, 3] with the constant, and answers: +1 where the two inputs differ."""
    x = torch.tensor([[-1.0, -1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, 1]])
    return x, -x[:, 0] * x[:, 1]


def learn_xor(cfg: Config, device: torch.device, seed: int, A: int) -> Events:
    """XOR with A association units, from random whole-number weights.

    Whole numbers make "never" something that can be seen: when weights and turn are both what
    they were before, all that follows has happened already.
    """
    x, y = (part.to(device) for part in xor_patterns())
    v = torch.randn(max(cfg.units), 3, generator=generator(seed, "units"))[:A]  # more begin alike
    units = AssociationUnits(v).to(device)
    z = units(x)
    first = torch.randint(-5, 6, z.shape[1:], generator=generator(seed, "weights")).float()
    unit = Perceptron(first).to(device)
    before: set[tuple[float, ...]] = set()
    best, came_round = 0, False
    for step, right in enumerate(unit.learn(z, y)):
        best = max(best, int(right.sum()))
        state = (*unit.w.tolist(), float(unit.turn))
        came_round = state in before
        before.add(state)
        if step % cfg.every == 0:
            yield dict(step=step, right=int(right.sum()))
        if came_round or step == cfg.budget:
            break
    row: Row = dict(step=step, best_right=best, solved=float(best == 4), came_round=came_round)
    row["enough"] = cfg.enough == A
    if A == 0 and (came_round or best == 4):  # else, who knows what more corrections would do
        row["beyond_three"] = max(0, best - 3)
    yield Arrays({"v": units.v, "w": unit.w})
    yield row


def every_weight(limit: int) -> Row:
    """The most patterns of XOR right with any whole-number weights of at most `limit`, where 2 is
    enough for any line."""
    x, y = xor_patterns()
    z = AssociationUnits(torch.zeros(0, 3))(x)
    w = torch.cartesian_prod(*[torch.arange(-limit, limit + 1.0)] * z.shape[1])
    best = int((y * (w @ z.T) > 0).sum(1).max())
    return dict(weights_tried=len(w), best_right=best, beyond_three=max(0, best - 3))


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield every_weight(limit=10)
    chosen = yield from run_protocol(trial, cfg, (SEPARABLE, XOR), device)
    runs = [choice for choice in chosen if choice.arm == "separable"]
    slowest = max((choice for choice in runs if choice.tensors), key=lambda c: int(c.row["step"]))
    yield from turning(slowest.tensors, SIDE)
    yield against_bound([{**choice.job, **choice.row} for choice in runs])
    starts = [choice for choice in chosen if choice.arm == "xor"]
    shown = [choice for choice in starts if choice.seed == cfg.seed]
    yield answers({title(choice): plane(choice) for choice in (shown[0], shown[-1])})
    learnt = [(float(A), share_of(starts, A)) for A in cfg.units]
    caption = "The more random association units, the more starts learn XOR"
    yield curves(
        "units",
        {"learn XOR": learnt},
        caption,
        x="association units",
        y="share of starts",
    )


def title(choice: Chosen) -> str:
    A = choice.job["units"]
    return f"{A} association units" if A else "inputs alone"


def share_of(starts: list[Chosen], A: int) -> float:
    solved = [float(choice.row["solved"]) for choice in starts if choice.job["units"] == A]
    return sum(solved) / len(solved)


def plane(choice: Chosen, side: int = 161) -> Tensor:
    """What a response unit says all over the plane of the two inputs, [side, side]."""
    along = torch.linspace(-1.6, 1.6, side)
    places = [*torch.meshgrid(along, along, indexing="xy"), torch.ones(side, side)]
    z = AssociationUnits(choice.tensors["v"])(torch.stack(places, 2).flatten(0, 1))
    signal: Tensor = Perceptron(choice.tensors["w"])(z)
    return signal.sign().view(side, side)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
