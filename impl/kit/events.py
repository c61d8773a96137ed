"""What an implementation yields while it runs: rows, figures, arrays and progress.

Whoever consumes them decides what becomes of them. A row is a flat dict. By convention `step` is
what a curve is drawn over (absent for a measurement made once), `seed` says which repetition it
belongs to, words (arm="dropout") and `n`, a number of examples, tell series apart, and every other
number is something measured.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

Row = dict[str, float | int | str | bool]


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of work, and a word on what is being done now."""

    done: float
    total: float
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture to look at. The same `name` yielded at a later `step` shows how it changes."""

    name: str  # letters, digits and dashes: also the file's name
    caption: str
    png: bytes
    step: int | None = None


@dataclass(frozen=True)
class Arrays:
    """Tensors by name that a trial leaves to the figures: weights, samples, predictions."""

    tensors: Mapping[str, Tensor]


Event = Row | Progress | Figure
TrialEvent = Row | Progress | Figure | Arrays


Result = TypeVar("Result")


def keep_rows(
    events: Generator[Event, None, Result], rows: list[Row]
) -> Generator[Event, None, Result]:
    """Passes the events on and adds the rows among them to `rows`, for figures drawn at the end."""
    while True:
        try:
            event = next(events)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        if isinstance(event, dict):
            rows.append(event)
        yield event
