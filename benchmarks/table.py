"""One line of a benchmark's result, and the table that all make."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kb.shown import table


@dataclass(frozen=True)
class Line:
    """`ours` and `theirs` are seconds, unless `unit` says otherwise; `met` says whether the target in words is kept."""

    what: str
    ours: float
    against: str
    theirs: float | None
    target: str
    met: bool
    unit: str = "s"
    note: str = ""


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """The median of several runs: one disturbed by the machine doesn't count."""
    return statistics.median(timed(work) for _ in range(times))


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def show(lines: Sequence[Line]) -> str:
    head = ("what", "ours", "against", "theirs", "ratio", "target", "")
    body = []
    for line in lines:
        ratio = f"{line.ours / line.theirs:.2f}" if line.theirs else "-"
        theirs = _amount(line.theirs, line.unit) if line.theirs else "-"
        met = "met" if line.met else f"NOT MET{': ' + line.note if line.note else ''}"
        body.append((line.what, _amount(line.ours, line.unit), line.against, theirs, ratio, line.target, met))
    return table(head, body)


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return f"{1000 * value:,.1f} ms" if value < 1 else f"{value:,.2f} s"
    return f"{value:,.0f} {unit}"
