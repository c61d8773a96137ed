"""The process that executes queued runs. `python -m kb.runs.supervisor` is started on demand.

kb.runs.launcher starts it, detached from the app and the shell. Its loop has the scheduler start
runs, each in a process of its own, and the monitor follow them. It exits after it has been idle for
a while.
"""

import contextlib
import logging
import selectors
import signal
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from kb import db
from kb.runs import launcher, processes, recorder
from kb.runs.active import ActiveRun
from kb.runs.monitor import MAX_PENDING_EVENTS, Monitor
from kb.runs.scheduler import Scheduler
from kb.runs.worker_pool import WorkerPool
from kb.tables import Run

POLL_SECONDS = 0.1  # between two checks of the queue
IDLE_SECONDS = 300.0  # after which it exits

log = logging.getLogger("kb.runs.supervisor")


class Supervisor:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.active: dict[str, ActiveRun] = {}
        self.pool = WorkerPool(engine)
        self.scheduler = Scheduler(engine, self.pool, self.active)
        self.monitor = Monitor(engine, self.active)
        self.stopping = False
        self.version_connection = engine.raw_connection()
        self.handled_version = -1  # the database's version when all its requests were handled
        self.last_warning = ""

    def loop(self) -> None:
        """Returns when it has been idle for IDLE_SECONDS, or after `stop`."""
        self.retry_on_busy(self.recover_orphans)
        last_busy = time.monotonic()
        while not self.stopping:
            self.retry_on_busy(self.pool.keep_spare)
            version = self.database_version()
            if self.active or self.scheduler.has_queued or version != self.handled_version:
                handled = self.retry_on_busy(self.scheduler.handle_requests)
                scheduled = self.retry_on_busy(self.scheduler.schedule)
                self.handled_version = version if handled and scheduled else -1
            for active in list(self.active.values()):
                self.retry_on_busy(partial(self.monitor.poll_run, active))
            if self.active:
                last_busy = time.monotonic()
            elif time.monotonic() - last_busy > IDLE_SECONDS:
                return
            self.wait_for_events()

    def stop(self, *_: Any) -> None:
        """Signal handler: ends the loop."""
        self.stopping = True

    def database_version(self) -> int:
        """A number that changes when another process writes to the database.

        It costs next to nothing: an idle supervisor reads only this.
        """
        with contextlib.suppress(sqlite3.Error):
            cursor = self.version_connection.cursor()
            return int(cursor.execute("PRAGMA data_version").fetchone()[0])
        return -1

    def retry_on_busy(self, step: Callable[[], None]) -> bool:
        """Runs a step of the loop. Returns False if the disk is full or the database is locked.

        The loop then runs the step again; no event is lost meanwhile.
        """
        try:
            step()
            return True
        except (OperationalError, OSError) as error:
            warning = str(getattr(error, "orig", error))
            # Each warning only once: repeated, it would fill what is left of a full disk.
            if warning != self.last_warning:
                log.warning("will be tried again: %s", warning)
                self.last_warning = warning
            time.sleep(POLL_SECONDS)
            return False

    def wait_for_events(self) -> None:
        """Waits until a run has sent something, at most POLL_SECONDS."""
        with selectors.DefaultSelector() as selector:
            for active in self.active.values():
                if len(active.pending) < MAX_PENDING_EVENTS and not active.worker.at_eof:
                    selector.register(active.worker.stdout, selectors.EVENT_READ)
            if selector.get_map():
                selector.select(POLL_SECONDS)
            else:
                time.sleep(POLL_SECONDS)

    def recover_orphans(self) -> None:
        """Ends the processes of a killed supervisor; its runs go on, or are interrupted."""
        orphans = select(Run).where(
            col(Run.status).in_(("running", "paused")), col(Run.started).is_not(None)
        )
        with Session(self.engine) as session:
            for run in session.exec(orphans):
                if run.token:
                    processes.kill_by_token(run.token)
                recorder.interrupt_run(session, run, "the supervisor ended while it ran")
            session.commit()

    def close(self) -> None:
        """Ends the processes of the runs that are active, and the spare worker.

        The next supervisor continues the runs that have kept trials.
        """
        for active in list(self.active.values()):
            active.worker.close()
            recorder.record_events(self.engine, active)
            with Session(self.engine) as session:
                run = session.get_one(Run, active.id)
                recorder.interrupt_run(session, run, "the supervisor was stopped")
                session.commit()
            del self.active[active.id]
        self.pool.close()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    while held := launcher.lock():
        supervisor = Supervisor(db.open_database())
        signal.signal(signal.SIGTERM, supervisor.stop)
        signal.signal(signal.SIGINT, supervisor.stop)
        try:
            supervisor.loop()
        finally:
            supervisor.close()
            held.close()
        # Counted after the lock is released: a run that was queued meanwhile isn't forgotten.
        if supervisor.stopping or not supervisor.scheduler.count_queued():
            return


if __name__ == "__main__":
    main()
