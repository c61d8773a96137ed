"""Curves from the rows of a run: for each measure and its labels, the values over the steps."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float]
LABELS = ("n", "seed")  # numbers that say which curve a row belongs to, as all texts of a row do
MAX_EXACT_INTEGER = 2**53  # beyond it, a float can't tell two steps apart


@dataclass(frozen=True)
class Series:
    """What a curve shows: a measure, and the labels of its rows."""

    measure: str
    labels: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " ".join([self.measure, *(f"{name}={value}" for name, value in self.labels)])


def build_curves(rows: Iterable[dict[str, Any]]) -> dict[Series, list[Point]]:
    """The curves of these rows; x is the step of a row.

    Values that aren't finite can't be drawn: they are left out.
    """
    curves: dict[Series, list[Point]] = {}
    counts: dict[Series, int] = {}
    for row in rows:
        labels = tuple((k, str(v)) for k, v in row.items() if isinstance(v, str) or k in LABELS)
        for measure, value in row.items():
            if measure in ("step", *LABELS) or isinstance(value, str | bool):
                continue
            name = Series(measure, labels)
            counts[name] = counts.get(name, -1) + 1
            if math.isfinite(value):
                curves.setdefault(name, []).append((step_of(row, counts[name]), float(value)))
    return curves


def step_of(row: dict[str, Any], default: int) -> float:
    """The step of a row; `default` if it has none, or one that can't be drawn."""
    step = row.get("step", default)
    valid = isinstance(step, int | float) and abs(step) < MAX_EXACT_INTEGER
    return float(step if valid else default)
