"""Waits for the supervisor: for the end of a run, for handled requests, for the list of devices.

While it waits, it starts a new supervisor if the last one was killed.
"""

import time
from collections.abc import Iterator, Sequence

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from kb.runs import launcher, store
from kb.tables import Device, Request, Run

SUPERVISOR_CHECK_SECONDS = 5.0


def watch(engine: Engine, run_id: str, interval: float = 0.2) -> Iterator[Run]:
    """The run as it is now, again and again until it has ended. Raises UnknownRun."""
    for _ in _poll(interval):
        run = store.get(engine, run_id)
        yield run
        if run.status in store.ENDED:
            return


def wait_handled(engine: Engine, run_ids: Sequence[str], interval: float = 0.05) -> None:
    """Waits until the supervisor has handled all requests about these runs."""
    query = select(Request.id).where(col(Request.run).in_(run_ids)).limit(1)
    for _ in _poll(interval):
        with Session(engine) as session:
            if session.exec(query).first() is None:
                return


def wait_for_devices(engine: Engine, interval: float = 0.1) -> list[Device]:
    """This machine's devices. On a new database, the first worker takes seconds to find them."""
    launcher.ensure_supervisor()
    poll = _poll(interval)
    while not (devices := store.devices(engine)):
        next(poll)
    return devices


def _poll(interval: float) -> Iterator[None]:
    """Yields at once, then every `interval` seconds without end."""
    checked = time.monotonic()
    while True:
        yield
        if time.monotonic() - checked >= SUPERVISOR_CHECK_SECONDS:
            launcher.ensure_supervisor()
            checked = time.monotonic()
        time.sleep(interval)
