"""Which values a run's settings may have: the one place for the shell, the app and Python.

A setting's range follows from its name and the type of its default. It keeps out what no run can
mean: a run of no seeds, a negative count, a number that isn't finite. What is checked here is
refused before the run is queued.
"""

import math
import re
import sys
from dataclasses import dataclass
from typing import Any

MAX_SEEDS = 10_000  # repetitions of a run
MAX_SEED = 4_000_000_000  # with the seeds that follow it below 2**32, as some libraries need
MAX_COUNT = 1_000_000_000
MAX_ITEMS = 1_000  # of a list
MAX_TEXT = 200  # characters
AT_LEAST_ONE = ("batch", "every", "log_every")
RATE = re.compile(r"(^|_)(lrs?|rates?)(_|$)")
SHARE = re.compile(r"^(p_|keep)|^(corruption|fraction)$|(^|_)momentum$")
RULES = (
    f"seeds are 1 to {MAX_SEEDS:,}, a seed is 0 to {MAX_SEED:,}, counts, sizes and learning "
    "rates are not negative, probabilities are 0 to 1, and all numbers are finite"
)


@dataclass(frozen=True)
class Range:
    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return abs(value) <= sys.float_info.max and self.low <= value <= self.high

    def __str__(self) -> str:
        if math.isinf(self.low):
            return "a finite number"
        if math.isinf(self.high):
            return f"{self.low:g} or more, finite"
        return f"{self.low:,.0f} to {self.high:,.0f}"


def describe(name: str, default: Any) -> str:
    """The values that a setting may have, in words; empty if any of its type will do."""
    default, prefix = (default[0], "each ") if _is_list(default) else (default, "")
    if isinstance(default, bool | str) or not isinstance(default, int | float):
        return ""
    return f"{prefix}{range_of(name, default)}"


def check(name: str, value: Any, default: Any) -> None:
    """Raises ValueError, which says what to give, if the setting can't have this value."""
    if isinstance(default, tuple) and isinstance(value, tuple | list):
        _check_list(name, value, default)
    elif isinstance(default, bool | str) or not isinstance(default, int | float):
        _check_type(name, value, default)
        if isinstance(value, str) and not (len(value) <= MAX_TEXT and value.isprintable()):
            raise ValueError(f"{name}: give a text of at most {MAX_TEXT} printable characters")
    else:
        _check_type(name, value, default)
        allowed = range_of(name, default)
        if value not in allowed:
            raise ValueError(f"{name}={_shorten(value)}: give {allowed}")


def _check_list(name: str, value: tuple[Any, ...] | list[Any], default: tuple[Any, ...]) -> None:
    if len(value) > MAX_ITEMS:
        raise ValueError(f"{name}: {len(value):,} values; give at most {MAX_ITEMS:,}")
    if not value and RATE.search(name):  # a grid to choose from
        raise ValueError(f"{name}=(): give at least one value, like {default!r}")
    for item in value if default else ():
        check(name, item, default[0])


def _check_type(name: str, value: Any, default: Any) -> None:
    """An int may stand for a float; True and False are no numbers."""
    accepted = (int, float) if type(default) is float else (type(default),)
    if type(value) not in accepted:
        raise ValueError(f"{name}={_shorten(value)}: give a value like {default!r}")


def _is_list(default: Any) -> bool:
    return isinstance(default, tuple) and bool(default)


def range_of(name: str, default: float) -> Range:
    """The values that a number may have."""
    if name == "seeds":
        return Range(1, MAX_SEEDS)
    if name == "seed":
        return Range(0, MAX_SEED)
    if isinstance(default, int):
        low = 1 if name in AT_LEAST_ONE else 0
        return Range(-MAX_COUNT if default < 0 else low, MAX_COUNT)
    if RATE.search(name):
        return Range(0, math.inf)
    if SHARE.search(name):
        return Range(0, 1)
    return Range(-math.inf, math.inf)


def _shorten(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:37]}..."
