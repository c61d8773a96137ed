"""Requests to the supervisor: cancel, pause, resume or prioritize a run.

Each writes a request to the database, unless the run has ended. `polling.wait_handled` waits until
the supervisor has handled it. All raise UnknownRun, and Unwritable.
"""

import time

from sqlalchemy import Engine

from kb.runs import launcher, store, submission
from kb.tables import Request


def cancel(engine: Engine, run_id: str) -> None:
    _request(engine, run_id, "cancel")


def pause(engine: Engine, run_id: str) -> None:
    """The process of a paused run keeps its memory, but other runs get its device.

    Raises ValueError for a run on a cluster.
    """
    if store.get(engine, run_id).cluster:
        raise ValueError(
            f"{run_id} is on a cluster, where runs can't be paused; they can be stopped"
        )
    _request(engine, run_id, "pause")


def resume(engine: Engine, run_id: str) -> None:
    """The run continues as soon as its device is free."""
    _request(engine, run_id, "resume")


def prioritize(engine: Engine, run_id: str, priority: int) -> None:
    """Queued runs with a greater priority start first; a new run has 0. Raises ValueError."""
    submission.check_priority(priority)
    _request(engine, run_id, "priority", priority)


def _request(engine: Engine, run_id: str, verb: str, value: int | None = None) -> None:
    if store.get(engine, run_id).status in store.ENDED:
        return
    with store.write_session(engine) as session:
        session.add(Request(run=run_id, verb=verb, value=value, at=time.time()))
    launcher.ensure_supervisor()
