"""How long runs of a preset take, as the newest one on this machine says."""

from kb.formatting import format_count
from kb.implementations import Implementation
from kb.runs import store
from ui import cache

LOOKED_AT = 20  # newest runs
PRESET_TIMES = {"smoke": "seconds", "quick": "about a minute", "full": "minutes", "paper": "hours"}


def expected_time(implementation: Implementation, preset: str, runs: int = 1) -> str:
    """ "about 5 minutes" for so many runs one after the other.

    Before the first run of the preset, what one takes at all.
    """
    seconds = _newest_seconds(implementation, preset)
    if seconds is None:
        each = PRESET_TIMES.get(preset, "an unknown time")
        return each if runs == 1 else f"each takes {each}"
    minutes = max(1, round(runs * seconds / 60))
    if minutes < 120:
        return f"about {format_count(minutes, 'minute')}"
    return f"about {round(minutes / 60)} hours"


def _newest_seconds(implementation: Implementation, preset: str) -> float | None:
    """How long the newest run of the preset took that had no other settings."""
    runs = store.latest(
        cache.engine(), implementation=implementation.name, swept=False, limit=LOOKED_AT
    )
    for run in runs:
        if run.preset == preset and not run.changes and run.status == "succeeded":
            return (run.finished or 0) - (run.started or 0)
    return None
