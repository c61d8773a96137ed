"""Measures what a run uses while it runs."""

from dataclasses import dataclass

import psutil

from kb.tables import Run


@dataclass(frozen=True)
class Resources:
    memory: int  # bytes, of the run's process and its descendants
    cpu_seconds: float


def measure_resources(run: Run) -> Resources | None:
    """None for a run without a process on this machine."""
    if run.process is None or run.cluster:
        return None
    memory = 0
    seconds = 0.0
    try:
        parent = psutil.Process(run.process)
        for process in (parent, *parent.children(recursive=True)):
            times = process.cpu_times()
            memory += process.memory_info().rss
            seconds += times.user + times.system
    except psutil.Error:
        return None
    return Resources(memory, seconds)
