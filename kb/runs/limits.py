"""What a run may take, so that a runaway doesn't take the machine with it. Limits are part of the run."""

import contextlib
import os
from pathlib import Path

import psutil

ROWS = 1_000_000  # a run that yields more has lost its way; curves are drawn of a thousand points
ARTIFACTS = 5_000
LOG = 8 << 20  # bytes of the log: its beginning and its end are kept
UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
TIMES = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
WORDS = {"seconds": "time", "memory": "memory", "disk": "disk"}


def defaults() -> dict[str, float]:
    """Memory and disk in bytes; time has no limit unless one is given: `paper` takes hours."""
    return {"memory": int(0.9 * psutil.virtual_memory().total), "disk": int(5e9)}


def parse(texts: list[str]) -> dict[str, float]:
    """`time=10m`, `memory=4GB`, `disk=500MB` -> seconds and bytes. Raises ValueError that says how it is written."""
    limits: dict[str, float] = {}
    for text in texts:
        name, _, amount = text.lower().replace(" ", "").partition("=")
        key = next((key for key, word in WORDS.items() if word == name), None)
        if key is None:
            raise ValueError(f"{text!r} is no limit; there are time=10m, memory=4GB and disk=500MB")
        scale = TIMES if key == "seconds" else UNITS
        digits = amount.removesuffix("b") if key != "seconds" else amount
        unit = digits.lstrip("0123456789.")
        try:
            limits[key] = float(digits.removesuffix(unit)) * scale[unit]
        except (ValueError, KeyError):
            raise ValueError(f"{text!r}: {amount!r} is no amount of {name}; write {name}={EXAMPLES[key]}") from None
        if not 0 < limits[key] < float("inf"):
            raise ValueError(f"{text!r}: a limit is more than nothing")
    return limits


EXAMPLES = {"seconds": "90s, 10m or 2h", "memory": "500MB or 4GB", "disk": "500MB or 4GB"}


def exceeded(own: dict[str, float], seconds: float, memory: int, folder: Path) -> str | None:
    """Which limit, the run's own or the default, is reached, as the sentence that the run ends with."""
    limits = defaults() | own
    if seconds > limits.get("seconds", float("inf")):
        return f"it reached its limit of time, {limits['seconds']:,.0f} s; `--limit time=...` sets another"
    for name, used in (("memory", memory), ("disk", size(folder))):
        if used > limits[name]:
            return (
                f"it reached its limit of {name}, {_bytes(limits[name])}, with {_bytes(used)}; "
                f"`--limit {name}=...` sets another"
            )
    return None


def size(folder: Path) -> int:
    """Bytes of the files in it."""
    total = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # a figure that is whole by now has another name
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"
