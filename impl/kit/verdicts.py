"""From rows to verdicts. Every claim is judged by one of the few rules here, so that none is judged by its outcome."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from impl.kit.events import Row

Outcome = Literal["reproduced", "not reproduced", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """One claim, measured. `effect` is the idea's advantage in the direction that the paper claims: positive is for it."""

    claim: str  # id, as in the timeline
    verdict: Outcome
    measured: float | None  # mean over the seeds
    baseline: float | None  # the same of what it is compared with; for an exact claim, the value it must have
    unit: str
    effect: float | None = None
    interval: tuple[float, float] | None = None  # 95%, of the effect
    n: int = 1  # pairs of runs, or values checked
    rule: str = ""  # how it was judged, in a sentence


def by_seed(rows: Sequence[Row], measure: str, **where: float | str | bool) -> dict[int, float]:
    """The last value of `measure` for each seed, in the rows where every `key=value` of `where` holds."""
    return {
        int(row["seed"]): float(row[measure])
        for row in rows
        if measure in row and all(row.get(key) == value for key, value in where.items())
    }


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and Student's 95% interval of it; the interval is infinite for fewer than two values."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, -math.inf, math.inf
    from scipy.stats import t  # 0.5 s to import: only when there is something to judge

    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    half = float(t.ppf(0.975, len(values) - 1)) * math.sqrt(variance / len(values))
    return mean, mean - half, mean + half


def compare(
    claim: str,
    idea: Mapping[int, float],
    baseline: Mapping[int, float],
    *,
    better: Literal["lower", "higher"],
    margin: float,
    unit: str,
) -> Verdict:
    """The idea beats the baseline, seed by seed.

    `reproduced`: the 95% interval of the paired difference excludes zero in the claimed direction and the mean difference
    is at least `margin`. `not reproduced`: the interval lies wholly below the margin. Otherwise, and with fewer than
    two pairs or a value that isn't finite, `inconclusive`. `margin` is in `unit`, positive.
    """
    rule = (
        f"{better} is better; reproduced if the paired 95% interval excludes 0 and the mean gain is at least {margin:g}"
    )

    def judge(effect: float, low: float, high: float) -> Outcome:
        if low > 0 and effect >= margin:
            return "reproduced"
        return "not reproduced" if high < margin else "inconclusive"

    return _paired(claim, idea, baseline, better, unit, rule, judge)


def no_worse(
    claim: str,
    idea: Mapping[int, float],
    baseline: Mapping[int, float],
    *,
    better: Literal["lower", "higher"],
    tolerance: float,
    unit: str,
) -> Verdict:
    """The idea costs at most `tolerance`, for claims that something comes (almost) for free.

    `reproduced`: the 95% interval of the paired difference lies wholly above -tolerance. `not reproduced`: wholly below it.
    Otherwise, and with fewer than two pairs or a value that isn't finite, `inconclusive`. `tolerance` is in `unit`, positive.
    """
    rule = f"{better} is better; reproduced if the paired 95% interval excludes a loss of {tolerance:g} or more"

    def judge(effect: float, low: float, high: float) -> Outcome:
        if low > -tolerance:
            return "reproduced"
        return "not reproduced" if high < -tolerance else "inconclusive"

    return _paired(claim, idea, baseline, better, unit, rule, judge)


def alike(
    claim: str, idea: Mapping[int, float], baseline: Mapping[int, float], *, tolerance: float, unit: str
) -> Verdict:
    """The two differ by less than `tolerance`, for claims that something makes no difference.

    `reproduced`: the 95% interval of the paired difference lies wholly within +-tolerance. `not reproduced`: wholly outside.
    Otherwise, and with fewer than two pairs or a value that isn't finite, `inconclusive`. The effect is idea - baseline.
    """
    rule = f"reproduced if the paired 95% interval of the difference lies within {tolerance:g} of 0"

    def judge(effect: float, low: float, high: float) -> Outcome:
        if -tolerance < low and high < tolerance:
            return "reproduced"
        return "not reproduced" if high < -tolerance or low > tolerance else "inconclusive"

    return _paired(claim, idea, baseline, "higher", unit, rule, judge)


def _paired(
    claim: str,
    idea: Mapping[int, float],
    baseline: Mapping[int, float],
    better: Literal["lower", "higher"],
    unit: str,
    rule: str,
    judge: Callable[[float, float, float], Outcome],
) -> Verdict:
    """`judge` has the last word on the mean gain and its interval, if every run ended with a number."""
    seeds = sorted(idea.keys() & baseline.keys())
    sides = [value for seed in seeds for value in (idea[seed], baseline[seed])]
    if not seeds or not all(map(math.isfinite, sides)):
        why = "a run diverged" if seeds else "nothing was measured"
        return Verdict(claim, "inconclusive", None, None, unit, n=len(seeds), rule=f"{rule}; {why}")
    sign = 1 if better == "higher" else -1
    effect, low, high = mean_interval([sign * (idea[seed] - baseline[seed]) for seed in seeds])
    return Verdict(
        claim,
        judge(effect, low, high),
        measured=math.fsum(idea[seed] for seed in seeds) / len(seeds),
        baseline=math.fsum(baseline[seed] for seed in seeds) / len(seeds),
        unit=unit,
        effect=effect,
        interval=(low, high) if math.isfinite(low) else None,
        n=len(seeds),
        rule=rule,
    )


def exact(claim: str, measured: Sequence[float], expected: float, *, tolerance: float, unit: str) -> Verdict:
    """Every value measured must be within `tolerance` of `expected`; the one furthest off is reported."""
    rule = f"every value within {tolerance:g} of {expected:g}"
    if not measured:
        return Verdict(claim, "inconclusive", None, expected, unit, n=0, rule=f"{rule}; nothing was measured")
    worst = max(measured, key=lambda value: abs(value - expected) if math.isfinite(value) else math.inf)
    outcome: Outcome = "reproduced" if abs(worst - expected) <= tolerance else "not reproduced"
    return Verdict(claim, outcome, worst, expected, unit, effect=worst - expected, n=len(measured), rule=rule)
