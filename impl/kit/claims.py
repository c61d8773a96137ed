"""The claims of a paper, and how each is judged: declared beside the idea, before anything runs.

A comparison asks whether one arm beats another, seed by seed; an identity asks whether what was
computed is what mathematics says. No rule looks at which outcome would please.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from impl.kit.events import Row
from impl.kit.verdicts import Kind, Outcome, Scale, Verdict, by_seed, mean_interval

Where = Mapping[str, float | str | bool]
# One side of a comparison: the name of an arm, or what computes a value for each seed from the
# judged rows.
Side = str | Callable[[Sequence[Row]], dict[int, float]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The idea beats its rival by at least `margin`, the smallest difference that would matter.

    With the paired 95% interval [low, high] of the gain: reproduced if low >= margin; weaker if
    low > 0; not reproduced if high < margin; else inconclusive.
    """

    claim: str
    idea: Side
    rival: Side
    measure: str = ""  # of the judged rows; not needed if both sides are functions
    better: Literal["lower", "higher"]
    margin: float  # in `unit`; for a ratio a factor greater than 1
    because: str  # why the margin is what it is
    unit: str
    where: Where = field(default_factory=dict)  # which of the judged rows
    ours: bool = False  # not the paper's own comparison: another rival or measure
    scale: Scale = "difference"
    worst: float | None = None  # what counts where an arm diverged: the worst value there is
    rival_may_diverge: bool = False  # where "it trains at all" is the claim
    overlap: float = 0.0  # see mean_interval

    def judge(self, rows: Sequence[Row]) -> Verdict:
        sides = [_values(side, rows, self) for side in (self.idea, self.rival)]
        if not all(sides):
            return self._verdict("not measured", note="this preset does not run it")
        _require_all_seeds(self.claim, rows, *sides)
        idea, diverged = _bounded(sides[0], self.worst)
        rival, rival_diverged = _bounded(sides[1], self.worst)
        if rival_diverged and not self.rival_may_diverge:
            return self._verdict("inconclusive", note="the rival diverged", n=len(rival))
        if not all(map(math.isfinite, [*idea.values(), *rival.values()])):
            return self._verdict("not reproduced", note="the idea diverged", n=len(idea))
        notes = ["the idea diverged"] * diverged + ["the rival diverged"] * rival_diverged
        return self._compare(idea, rival, "; ".join([*notes, *_edges(self, rows)]))

    def _compare(self, idea: dict[int, float], rival: dict[int, float], note: str) -> Verdict:
        gains = [self._gain(idea[seed], rival[seed]) for seed in sorted(idea)]
        mean, low, high = mean_interval(gains, self.overlap)
        outcome = self.decide(low, high)
        if low == high and low != 0:
            outcome = "inconclusive"
            note = "; ".join([*filter(None, [note]), "the same with every seed: nothing is random"])
        unscaled = math.exp if self.scale == "ratio" else float
        return self._verdict(
            outcome,
            measured=math.fsum(idea.values()) / len(idea),
            baseline=math.fsum(rival.values()) / len(rival),
            effect=unscaled(mean),
            interval=(unscaled(low), unscaled(high)) if math.isfinite(low) else None,
            n=len(gains),
            note=note,
        )

    def _gain(self, idea: float, rival: float) -> float:
        if self.scale == "ratio":  # judged by its logarithm: twice and half are as far from 1
            idea, rival = math.log(idea), math.log(rival)
        return idea - rival if self.better == "higher" else rival - idea

    def decide(self, low: float, high: float) -> Outcome:
        margin = math.log(self.margin) if self.scale == "ratio" else self.margin
        if low >= margin:
            return "reproduced"
        if low > 0:
            return "weaker"
        return "not reproduced" if high < margin else "inconclusive"

    @property
    def rule(self) -> str:
        by = f"{self.margin:g} times" if self.scale == "ratio" else f"{self.margin:g}"
        return (
            f"{self.better} is better; reproduced if the whole paired 95% interval of the gain is "
            f"at least {by} ({self.because})"
        )

    @property
    def kind(self) -> Kind:
        return "ours" if self.ours else "paper"

    def _verdict(
        self,
        outcome: Outcome,
        *,
        note: str,
        measured: float | None = None,
        baseline: float | None = None,
        effect: float | None = None,
        interval: tuple[float, float] | None = None,
        n: int = 0,
    ) -> Verdict:
        return Verdict(
            self.claim, outcome, measured, baseline, self.unit, effect, interval, n,
            self.rule, self.kind, self.scale, note,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NoWorse(Comparison):
    """The idea loses less than `margin`: for claims that something comes almost for free."""

    def decide(self, low: float, high: float) -> Outcome:
        margin = math.log(self.margin) if self.scale == "ratio" else self.margin
        if low > -margin:
            return "reproduced"
        return "not reproduced" if high < -margin else "inconclusive"

    @property
    def rule(self) -> str:
        return (
            f"{self.better} is better; reproduced if the whole paired 95% interval of the gain is "
            f"above a loss of {self.margin:g} ({self.because})"
        )


@dataclass(frozen=True, kw_only=True)
class Alike(Comparison):
    """The two differ by less than `margin`: for claims that something makes no difference.

    `control` are two sides that do differ: if they too are within the margin, the measure is too
    coarse to tell, and the verdict is inconclusive.
    """

    control: tuple[Side, Side]

    def judge(self, rows: Sequence[Row]) -> Verdict:
        verdict = super().judge(rows)
        if verdict.verdict != "reproduced":
            return verdict
        sides = [_values(side, rows, self) for side in self.control]
        _require_all_seeds(self.claim, rows, *sides)
        seeds = sorted(sides[0])
        _, low, high = mean_interval([self._gain(sides[0][s], sides[1][s]) for s in seeds])
        if self.decide(low, high) == "not reproduced":
            return verdict
        note = "the control is alike, too: the measure is too coarse to tell"
        return replace(verdict, verdict="inconclusive", note=note)

    def decide(self, low: float, high: float) -> Outcome:
        margin = math.log(self.margin) if self.scale == "ratio" else self.margin
        if -margin < low and high < margin:
            return "reproduced"
        return "not reproduced" if high < -margin or low > margin else "inconclusive"

    @property
    def rule(self) -> str:
        return (
            f"reproduced if the whole paired 95% interval of the difference is within "
            f"{self.margin:g} of 0, and that of the control is not ({self.because})"
        )


@dataclass(frozen=True, kw_only=True)
class AtMost(Comparison):
    """What is measured is at most `limit`: a comparison with a figure instead of an arm."""

    rival: Side = ""
    better: Literal["lower", "higher"] = "lower"
    margin: float = 0.0
    limit: float

    def judge(self, rows: Sequence[Row]) -> Verdict:
        values = _values(self.idea, rows, self)
        if not values:
            return self._verdict("not measured", note="this preset does not run it")
        _require_all_seeds(self.claim, rows, values)
        values, _ = _bounded(values, self.worst)
        if not all(map(math.isfinite, values.values())):
            return self._verdict("not reproduced", note="the idea diverged", n=len(values))
        mean, low, high = mean_interval(list(values.values()), self.overlap)
        outcome: Outcome = "inconclusive"
        if high <= self.limit:
            outcome = "reproduced"
        elif low > self.limit:
            outcome = "not reproduced"
        finite = math.isfinite(low)
        return self._verdict(
            outcome,
            measured=mean,
            baseline=self.limit,
            effect=self.limit - mean,
            interval=(self.limit - high, self.limit - low) if finite else None,
            n=len(values),
            note="; ".join(_edges(self, rows)),
        )

    @property
    def rule(self) -> str:
        return (
            f"reproduced if the whole 95% interval of the mean is at most {self.limit:g} "
            f"({self.because})"
        )


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Mathematics, a count, exactness: every value measured is within `tolerance` of `expected`.

    It asks the code that is trained, not a second writing of the formula.
    """

    claim: str
    measure: str  # of any row
    expected: float = 0.0
    tolerance: float
    unit: str
    where: Where = field(default_factory=dict)

    def distance(self, value: float) -> float:
        return abs(value - self.expected) if math.isfinite(value) else math.inf

    @property
    def rule(self) -> str:
        return f"every value within {self.tolerance:g} of {self.expected:g}"

    def judge(self, rows: Sequence[Row]) -> Verdict:
        wanted = _where(rows, self.where)
        values = [float(row[self.measure]) for row in wanted if self.measure in row]
        if not values:
            return Verdict(
                self.claim, "not measured", None, self.expected, self.unit,
                n=0, rule=self.rule, kind="identity", note="this preset does not run it",
            )  # fmt: skip
        furthest = max(values, key=self.distance)
        return Verdict(
            self.claim,
            "holds" if self.distance(furthest) <= self.tolerance else "fails",
            furthest,
            self.expected,
            self.unit,
            effect=furthest - self.expected,
            n=len(values),
            rule=self.rule,
            kind="identity",
        )


@dataclass(frozen=True, kw_only=True)
class Bound(Identity):
    """A count: every value measured is at most `expected`."""

    tolerance: float = 0.0

    def distance(self, value: float) -> float:
        return value - self.expected if math.isfinite(value) else math.inf

    @property
    def rule(self) -> str:
        return f"every value at most {self.expected:g}"


Claim = Comparison | Identity


def judge(claims: Sequence[Claim], rows: Sequence[Row]) -> list[Verdict]:
    """The verdict of each claim. Raises ValueError where a seed is missing on a side."""
    judged = [row for row in rows if row.get("judged")]
    return [claim.judge(rows if isinstance(claim, Identity) else judged) for claim in claims]


def _where(rows: Sequence[Row], where: Where) -> list[Row]:
    return [row for row in rows if all(row.get(key) == value for key, value in where.items())]


def _values(side: Side, rows: Sequence[Row], claim: Comparison) -> dict[int, float]:
    rows = _where(rows, claim.where)
    return side(rows) if callable(side) else by_seed(rows, claim.measure, arm=side)


def _require_all_seeds(claim: str, rows: Sequence[Row], *sides: Mapping[int, float]) -> None:
    seeds = {int(row["seed"]) for row in rows}
    for side in sides:
        if missing := sorted(seeds - side.keys()):
            raise ValueError(f"{claim}: nothing was measured with the seeds {missing} on one side")


def _bounded(values: dict[int, float], worst: float | None) -> tuple[dict[int, float], bool]:
    """The values with `worst` for those that aren't finite, and whether there were any."""
    diverged = not all(map(math.isfinite, values.values()))
    if not diverged or worst is None:
        return values, diverged
    return {s: v if math.isfinite(v) else worst for s, v in values.items()}, True


def _edges(claim: Comparison, rows: Sequence[Row]) -> list[str]:
    """For each arm, which settings were chosen at the edge of the grid, and how often."""
    notes = []
    for side in (claim.idea, claim.rival):
        if callable(side):
            continue
        chosen = [row for row in _where(rows, claim.where) if row.get("arm") == side]
        edges = [str(row["at_edge"]) for row in chosen if "at_edge" in row]
        if edges:
            names = ", ".join(dict.fromkeys(edges))
            often = f"{len(edges)} of {len(chosen)}"
            notes.append(f"{side} chose the edge of the grid ({names}) in {often}")
    return notes
