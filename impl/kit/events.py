"""What an implementation's `run` may yield: rows, figures and progress. Whoever consumes them decides what becomes of them.

A row is a flat dict. By convention `step` is what a curve is drawn over (absent for a measurement made once), `seed` says
which repetition it belongs to, words (net="dropout") and `n`, a number of examples, tell series apart, and every other
number is something measured.
"""

from dataclasses import dataclass

Row = dict[str, float | int | str | bool]


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of work, and a word on what is being done now."""

    done: float
    total: float
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture to look at. The same `name` yielded again at a later `step` shows how it changes."""

    name: str  # letters, digits and dashes: also the file's name
    caption: str
    png: bytes
    step: int | None = None


Event = Row | Progress | Figure
