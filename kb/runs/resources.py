"""What a run takes while it runs, as the system tells it."""

from dataclasses import dataclass

import psutil

from kb.tables import Run


@dataclass(frozen=True)
class Resources:
    memory: int  # bytes, of the run's process and all that it started
    cpu_seconds: float


def taken(run: Run) -> Resources | None:
    """None for a run that has no process on this machine."""
    if run.process is None or run.cluster:
        return None
    memory, seconds = 0, 0.0
    try:
        parent = psutil.Process(run.process)
        for process in (parent, *parent.children(recursive=True)):
            times = process.cpu_times()
            memory, seconds = memory + process.memory_info().rss, seconds + times.user + times.system
    except psutil.Error:
        return None
    return Resources(memory, seconds)
