"""The limits of a run's time, memory and disk space, so that no run takes the machine with it."""

import contextlib
import os
from pathlib import Path

import psutil

MAX_ROWS = 1_000_000  # more are an error of the run: curves are drawn of a thousand points
MAX_ARTIFACTS = 5_000
MAX_LOG_BYTES = 8 << 20  # of a longer log the beginning and the end are kept
BYTE_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
TIME_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
KEYS = {"time": "seconds", "memory": "memory", "disk": "disk"}  # by the name that users write
# Less is no limit of a run: it would reach it before it has done anything.
MINIMUMS = {"seconds": 1, "memory": 100e6, "disk": 1e6}
EXAMPLES = {
    "time": "90s, 10m or 2h",
    "memory": "500MB or 4GB",
    "disk": "500MB or 4GB",
}


def defaults() -> dict[str, float]:
    """Memory and disk in bytes. Time has no limit unless the run has one: `paper` takes hours."""
    return {"memory": int(0.9 * psutil.virtual_memory().total), "disk": int(5e9)}


def parse(texts: list[str]) -> dict[str, float]:
    """Limits in seconds and bytes from texts such as `time=10m`, `memory=4GB`, `disk=500MB`.

    Raises ValueError that says how a limit is written.
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, _, amount = text.lower().replace(" ", "").partition("=")
        if name not in KEYS:
            raise ValueError(f"{text!r} is no limit; there are time=10m, memory=4GB and disk=500MB")
        limit = _parse_amount(name, amount)
        if limit is None:
            raise ValueError(
                f"{text!r}: {amount!r} is no amount of {name}; write {name}={EXAMPLES[name]}"
            )
        limits[KEYS[name]] = limit
    check(limits)
    return limits


def check(limits: dict[str, float]) -> None:
    """Raises ValueError for an unknown limit, and for one that no run could keep."""
    for key, limit in limits.items():
        if key not in MINIMUMS:
            raise ValueError(f"{key!r} is no limit; there are {', '.join(MINIMUMS)}")
        if not MINIMUMS[key] <= limit < float("inf"):
            least = "1 s" if key == "seconds" else _format_bytes(MINIMUMS[key])
            raise ValueError(f"a limit of {limit:g} for {key}: give at least {least}")


def _parse_amount(name: str, amount: str) -> float | None:
    """Seconds for `time`, bytes for the other limits; None if it is written in another way."""
    units = TIME_UNITS if name == "time" else BYTE_UNITS
    if name != "time":
        amount = amount.removesuffix("b")
    unit = amount.lstrip("0123456789.")
    try:
        return float(amount.removesuffix(unit)) * units[unit]
    except (ValueError, KeyError):
        return None


def exceeded_limit(own: dict[str, float], seconds: float, memory: int, folder: Path) -> str | None:
    """The reason that a run ends with if it exceeds its own limits or the defaults, else None."""
    limits = defaults() | own
    if seconds > limits.get("seconds", float("inf")):
        return (
            f"it reached its limit of time, {limits['seconds']:,.0f} s; "
            "`--limit time=...` sets another"
        )
    for name, used in (("memory", memory), ("disk", folder_bytes(folder))):
        if used > limits[name]:
            return (
                f"it reached its limit of {name}, {_format_bytes(limits[name])}, "
                f"with {_format_bytes(used)}; `--limit {name}=...` sets another"
            )
    return None


def folder_bytes(folder: Path) -> int:
    """The size of the files in a folder; 0 if there is no such folder."""
    total = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            # A partial figure may be renamed or removed in the meantime.
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _format_bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
