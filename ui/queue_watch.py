"""Sees to it that queued runs have a supervisor while the app is served, and remembers when not."""

import contextlib
import sys
import time
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from kb import db
from kb.runs import polling

CHECK_SECONDS = 5.0  # between two looks at the queue
TOLD_SECONDS = 600.0  # as long as the app says that a supervisor was missing


class Restart(NamedTuple):
    at: float  # Unix time
    runs: int  # that had no supervisor


restarts: list[Restart] = []  # the newest one, if there was any


def watch_queue() -> None:
    """Starts a supervisor whenever runs wait for one that isn't there any more. Never returns."""
    engine = db.open_database()
    while True:
        # a locked database, a full disk: it is tried again
        with contextlib.suppress(SQLAlchemyError, OSError):
            if count := polling.revive(engine):
                remember(count)
                print(polling.restart_message(count), file=sys.stderr, flush=True)
        time.sleep(CHECK_SECONDS)


def remember(count: int) -> None:
    restarts[:] = [Restart(time.time(), count)]


def recent_restart() -> Restart | None:
    """The last time that runs had no supervisor, if it isn't long ago."""
    return next((r for r in restarts if time.time() - r.at < TOLD_SECONDS), None)
