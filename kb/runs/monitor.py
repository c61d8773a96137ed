"""Follows the runs that have a process: takes their events, enforces their limits, ends them."""

import contextlib
import logging
import os
import time
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError, StatementError
from sqlmodel import Session

from kb import paths
from kb.runs import limits, recorder
from kb.runs.active import ActiveRun
from kb.tables import Run

LIMIT_CHECK_SECONDS = 0.25  # between two checks of a run's limits
MAX_PENDING_EVENTS = 20_000  # that wait to be recorded; a run that sends faster has to wait

log = logging.getLogger(__name__)


class Monitor:
    """`active` is shared with the scheduler, which adds runs; the monitor removes them."""

    def __init__(self, engine: Engine, active: dict[str, ActiveRun]) -> None:
        self.engine = engine
        self.active = active

    def poll_run(self, active: ActiveRun) -> None:
        """Records what the run has sent, and ends it when its process has ended."""
        if active.stop_is_overdue():
            active.worker.terminate(force=True)
        has_ended = active.worker.has_ended()  # before reading: no event can come after this
        self.drain_events(active, has_ended=has_ended)
        if has_ended:
            if not active.pending:
                self.end_run(active, *run_outcome(active))
        elif (
            active.paused_at is None
            and time.monotonic() - active.last_limit_check > LIMIT_CHECK_SECONDS
        ):
            active.last_limit_check = time.monotonic()
            self.check_limits(active)

    def drain_events(self, active: ActiveRun, *, has_ended: bool) -> None:
        """Reads and records events: all that are left if the run has ended, else one piece.

        A run whose events can't be recorded fails. Raises OperationalError if the database is busy.
        """
        try:
            while len(active.pending) < MAX_PENDING_EVENTS:
                events = active.worker.read_events()
                active.pending += events
                if not events or not has_ended:
                    break
            recorder.record_events(self.engine, active)
        except OperationalError:
            raise
        except (ValueError, TypeError, OverflowError, StatementError) as error:
            active.pending = []
            words = str(error).splitlines()[0][:300]
            active.stop("failed", f"its events can't be recorded: {words}", force=True)

    def check_limits(self, active: ActiveRun) -> None:
        """Keeps the run's log small, and ends the run if it exceeds a limit."""
        folder = paths.run_folder(active.id)
        active.log_bytes_removed += trim_log(folder / "log.txt", active.log_bytes_removed)
        with Session(self.engine) as session:
            run = session.get_one(Run, active.id)
        reason = None
        if not run.cluster:  # a cluster's node enforces these limits itself
            memory = active.worker.memory_bytes()
            reason = limits.exceeded_limit(run.limits, active.seconds(), memory, folder)
        if active.counts["row"] > limits.MAX_ROWS:
            reason = f"it yielded more than {limits.MAX_ROWS:,} rows"
        if active.counts["artifact"] > limits.MAX_ARTIFACTS:
            reason = f"it left more than {limits.MAX_ARTIFACTS:,} figures"
        if reason:
            active.stop("failed", reason, force="limit of time" not in reason)

    def end_run(self, active: ActiveRun, status: str, reason: str | None) -> None:
        active.worker.close()
        recorder.finish_run(self.engine, active, status, reason)
        del self.active[active.id]
        trim_log(paths.run_folder(active.id) / "log.txt", active.log_bytes_removed)
        log.info("%s %s %s", active.id, status, reason or "")


def run_outcome(active: ActiveRun) -> tuple[str, str | None]:
    """Status and reason of a run whose process has ended."""
    finished = active.finished or {}
    succeeded = finished.get("status") == "succeeded"
    # A run that succeeded before it could be cancelled has succeeded.
    if active.stop_outcome and (active.stop_outcome[0] == "failed" or not succeeded):
        return active.stop_outcome
    if finished:
        return finished["status"], finished.get("reason")
    return "failed", active.worker.exit_reason()


def trim_log(path: Path, removed_before: int) -> int:
    """Cuts the middle out of a log larger than MAX_LOG_BYTES; returns how many bytes it removed.

    The run has the log open for appending: what it writes next follows the end that was kept.
    """
    with contextlib.suppress(OSError):
        size = path.stat().st_size
        kept = limits.MAX_LOG_BYTES // 4
        if size <= limits.MAX_LOG_BYTES:
            return 0
        removed = size - 2 * kept
        notice = f"\n\n[ {removed_before + removed:,} bytes were removed here ]\n\n"
        with path.open("r+b") as file:
            file.seek(-kept, os.SEEK_END)
            end = file.read()
            file.truncate(kept)
            file.seek(kept)
            file.write(notice.encode() + end)
        return removed
    return 0
