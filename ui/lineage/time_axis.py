"""The time axis of the lineage: where a day is, and which years are written."""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

MIN_WIDTH, MAX_WIDTH = 900.0, 2400.0  # pixels; with the last name, a page of 1,280 pixels
MILESTONE_WIDTH = 8.0  # of the axis, for each milestone
MAX_MILESTONE_WIDTH = 60.0
MAX_EMPTY_YEAR_WIDTH = 4.0
TICK_DISTANCE = 42.0  # at least, between two years that are written
TICK_STEPS = (50, 10, 5, 2, 1)  # years; round ones come first


class TimeAxis:
    """Gives a year the more width the more milestones it has.

    So 2012 to 2018 don't need thirty rows while 1950 is empty.
    """

    def __init__(self, days: Sequence[dt.date], left: float) -> None:
        """`days` are those of the milestones, in order; there is at least one."""
        self._first = days[0].year
        years = range(self._first, days[-1].year + 1)
        width = max(MIN_WIDTH, min(MAX_WIDTH, MILESTONE_WIDTH * len(days)))
        empty = min(MAX_EMPTY_YEAR_WIDTH, width / 3 / len(years))
        full = min(MAX_MILESTONE_WIDTH, (width - empty * len(years)) / len(days))
        count = Counter(day.year for day in days)
        widths = (empty + full * count[year] for year in years)
        self._edges = list(accumulate(widths, initial=left))
        self.ticks = _ticks(dict(zip(years, self._edges, strict=False)))

    def x(self, day: dt.date) -> float:
        start, end = self._edges[day.year - self._first :][:2]
        return round(start + (end - start) * (day.timetuple().tm_yday - 1) / 366, 1)


def _ticks(starts: Mapping[int, float]) -> tuple[tuple[int, float], ...]:
    """The years that have room, each with its place."""
    ticks: dict[int, float] = {}
    for step in TICK_STEPS:
        for year, x in starts.items():
            if year % step == 0 and all(
                abs(x - other) >= TICK_DISTANCE for other in ticks.values()
            ):
                ticks[year] = x
    return tuple((year, round(ticks[year], 1)) for year in sorted(ticks))
