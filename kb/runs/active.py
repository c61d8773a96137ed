"""A run that has a process, as the supervisor keeps it in memory."""

import time
from dataclasses import dataclass, field
from typing import Any

from kb.runs import processes
from kb.runs.processes import Worker

NUMBERED_EVENTS = ("row", "artifact", "verdict")  # each has a number within its run


@dataclass
class ActiveRun:
    """A running or paused run. Times are those of time.monotonic()."""

    id: str
    worker: Worker
    device: str  # or the address of its cluster
    started: float  # moved forward by the length of each pause
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NUMBERED_EVENTS, 0))
    pending: list[dict[str, Any]] = field(default_factory=list)  # events that aren't recorded yet
    finished: dict[str, Any] | None = None  # its `finished` event
    stop_outcome: tuple[str, str] | None = None  # status and reason, once it was asked to stop
    stop_requested_at: float = 0.0
    paused_at: float | None = None
    resume_requested: bool = False  # it is resumed when its device is free
    last_limit_check: float = 0.0
    log_bytes_removed: int = 0

    def seconds(self) -> float:
        """How long it has run, without pauses."""
        return (self.paused_at or time.monotonic()) - self.started

    def stop(self, status: str, reason: str, *, force: bool = False) -> None:
        """Asks the run to end like this, or kills it. Only the first status and reason count."""
        if self.stop_outcome is None:
            self.stop_outcome = (status, reason)
            self.stop_requested_at = time.monotonic()
            self.worker.terminate(force=force)

    def stop_is_overdue(self) -> bool:
        """Whether it was asked to stop, and didn't in time."""
        waited = time.monotonic() - self.stop_requested_at
        return self.stop_outcome is not None and waited > processes.GRACE_SECONDS

    def pause(self) -> None:
        self.worker.pause()
        self.paused_at = time.monotonic()
        self.resume_requested = False

    def resume(self) -> None:
        now = time.monotonic()
        self.started += now - (self.paused_at or now)
        self.paused_at = None
        self.resume_requested = False
        self.worker.resume()
