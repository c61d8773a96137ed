"""A line of a benchmark's result, the table of all lines, and functions that measure time."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kb.formatting import format_table

HEAD = ("what", "ours", "against", "theirs", "ratio", "target", "")


@dataclass(frozen=True)
class Line:
    what: str
    ours: float  # in `unit`
    against: str  # what else was measured, or ""
    theirs: float | None
    target: str  # in words
    met: bool
    unit: str = "s"
    note: str = ""  # shown if the target isn't met


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """The median of several runs, since other processes may slow one down."""
    return statistics.median(timed(work) for _ in range(times))


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def show(lines: Sequence[Line]) -> str:
    return format_table(HEAD, [_cells(line) for line in lines])


def _cells(line: Line) -> tuple[str, ...]:
    return (
        line.what,
        _amount(line.ours, line.unit),
        line.against,
        _amount(line.theirs, line.unit) if line.theirs else "-",
        f"{line.ours / line.theirs:.2f}" if line.theirs else "-",
        line.target,
        "met" if line.met else f"NOT MET{': ' + line.note if line.note else ''}",
    )


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return f"{1000 * value:,.1f} ms" if value < 1 else f"{value:,.2f} s"
    return f"{value:,.0f} {unit}"
