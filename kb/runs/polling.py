"""Waits for the supervisor: for the end of a run, for handled requests, for the list of devices.

While it waits, it starts a new supervisor if the last one was killed. It also says what a queued
run waits for.
"""

import time
from collections.abc import Iterator, Sequence

from sqlalchemy import Engine, func
from sqlmodel import Session, col, select

from kb import paths
from kb.formatting import format_count
from kb.runs import launcher, store
from kb.tables import Device, Request, Run

SUPERVISOR_CHECK_SECONDS = 5.0
STARTING_SECONDS = 20.0  # that a supervisor may take to start after a run was submitted


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


def revive(engine: Engine) -> int:
    """Starts a supervisor if runs that haven't ended have none; returns how many had lost theirs.

    Runs that were submitted just now aren't counted: the supervisor that they started comes yet.
    Raises OSError where no file can be written.
    """
    waiting = select(func.count(), func.min(Run.submitted)).where(
        col(Run.status).in_(("queued", "running"))
    )
    with Session(engine) as session:
        count, oldest = session.exec(waiting).one()
    if not count or not launcher.ensure_supervisor():
        return 0
    return int(count) if time.time() - oldest > STARTING_SECONDS else 0


def restart_message(count: int) -> str:
    """What `revive` has done, for whoever looks at runs."""
    return f"{format_count(count, 'run')} had no supervisor any more; a new one was started"


def waiting_reason(engine: Engine, run: Run) -> str:
    """What a run that hasn't started waits for; empty if it is about to start, or has started."""
    if run.status == "paused":
        return f"paused: `kb resume {run.id}` lets it continue"
    if run.status != "queued":
        return ""
    return disk_reason() or run.note or _device_reason(engine, run)


def disk_reason() -> str:
    """Why no run can start now, if that is for lack of space."""
    from kb.runs import scheduler

    free = scheduler.free_disk_bytes()
    if free >= scheduler.MIN_FREE_BYTES:
        return ""
    return (
        f"waits: {free / 1e6:.0f} MB are free for {paths.home()}, and a run starts with "
        f"{scheduler.MIN_FREE_BYTES / 1e6:.0f} MB; free some space"
    )


def _device_reason(engine: Engine, run: Run) -> str:
    """Which runs occupy all devices that the run could have."""
    from kb.runs import scheduler

    if run.cluster:
        return ""
    with Session(engine) as session:
        running = session.exec(select(Run).where(Run.status == "running")).all()
    devices = [
        device.id
        for device in store.devices(engine)
        if run.device in ("auto", device.id, scheduler.kind_of(device.id))
    ]
    occupants: dict[str, None] = {}
    for device in devices or [run.device]:
        places = (device, scheduler.kind_of(device))
        here = [other.id for other in running if other.place in places and other.id != run.id]
        if len(here) < scheduler.RUNS_PER_DEVICE:
            return ""
        occupants |= dict.fromkeys(here)
    return f"waits for its turn, after {', '.join(occupants)}"


def _poll(interval: float) -> Iterator[None]:
    """Yields at once, then every `interval` seconds without end."""
    checked = time.monotonic()
    while True:
        yield
        if time.monotonic() - checked >= SUPERVISOR_CHECK_SECONDS:
            launcher.ensure_supervisor()
            checked = time.monotonic()
        time.sleep(interval)
