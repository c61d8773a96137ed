"""What a verdict is, and the interval that it rests on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from impl.kit.events import Row

Outcome = Literal[
    "reproduced", "weaker", "not reproduced", "inconclusive", "not measured", "holds", "fails"
]
Kind = Literal["paper", "ours", "identity"]
Scale = Literal["difference", "ratio"]


@dataclass(frozen=True)
class Verdict:
    """One claim, measured.

    `effect` is the idea's advantage in the direction that the paper claims. As a difference it is
    positive if it speaks for the idea; as a ratio, if it is greater than 1.
    """

    claim: str  # id, as in the timeline
    verdict: Outcome
    measured: float | None  # mean over the seeds
    baseline: float | None  # the same of the rival; for an identity, the value expected
    unit: str
    effect: float | None = None
    interval: tuple[float, float] | None = None  # 95%, of the effect
    n: int = 1  # pairs of trials, or values checked
    rule: str = ""  # how it was judged, in a sentence
    kind: Kind = "paper"  # the paper's own comparison, one of ours, or an identity
    scale: Scale = "difference"  # of the effect
    note: str = ""  # what else a reader should know, such as a choice at the edge of the grid


def by_seed(rows: Sequence[Row], measure: str, **where: float | str | bool) -> dict[int, float]:
    """The last value of `measure` for each seed, in rows where every key=value of `where` holds."""
    return {
        int(row["seed"]): float(row[measure])
        for row in rows
        if measure in row and all(row.get(key) == value for key, value in where.items())
    }


def mean_interval(values: Sequence[float], overlap: float = 0.0) -> tuple[float, float, float]:
    """Mean and Student's 95% interval of it; the interval is infinite for fewer than two values.

    `overlap` is the number of test examples over that of training examples where all values come
    from splits of one small data set: the correction of Nadeau and Bengio (2003), since what such
    values have in common hides a part of their variance.
    """
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, -math.inf, math.inf
    from scipy.stats import t  # 0.5 s to import: only when there is something to judge

    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    quantile = float(t.ppf(0.975, len(values) - 1))
    half = quantile * math.sqrt(variance * (1 / len(values) + overlap))
    return mean, mean - half, mean + half
