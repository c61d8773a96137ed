"""How wide each year is drawn: half of the width is shared by the years, half by the milestones.

Most of what is told happened in few years. On a scale of equal years those would be too narrow for
names, while decades with hardly a milestone took half of the width.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from math import ceil, floor

SHARED_BY_YEARS = 0.5  # of the width
SMOOTHING = (1, 2, 3, 2, 1)  # weights of a year's neighbours, so that widths don't jump


def positions(times: Iterable[float], first: float, last: float) -> list[list[float]]:
    """Points [year, position] between which positions are linear.

    Positions are years with other widths: they begin at `first` and end at `last`, too, and grow
    with the year. `times` are the milestones', in years with decimals.
    """
    counts = Counter(floor(time) for time in times)
    edges = sorted({first, *range(floor(first) + 1, ceil(last)), last})
    years = list(pairwise(edges))
    crowds = [(end - start) * _smoothed(counts, floor(start)) for start, end in years]
    total = sum(crowds)
    result = [[first, first]]
    for (start, end), crowd in zip(years, crowds, strict=True):
        share = crowd / total * (last - first) if total else end - start
        width = SHARED_BY_YEARS * (end - start) + (1 - SHARED_BY_YEARS) * share
        result.append([end, result[-1][1] + width])
    return result


def _smoothed(counts: Counter[int], year: int) -> float:
    middle = len(SMOOTHING) // 2
    return sum(weight * counts[year + i - middle] for i, weight in enumerate(SMOOTHING))
