"""Executes the queue, one run at a time, each in a process of its own, and is the only writer of runs after submission.

`python -m kb.runs.supervisor` is started on demand by `launcher`, detached from the app and the shell, and leaves when it
has had nothing to do for a while. Anything that turns a job into a stream of events could stand where `Worker` does.
"""

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import psutil
from sqlalchemy import Engine, func
from sqlmodel import Session, col, delete, select

from kb import db, places
from kb.runs import launcher
from kb.tables import Artifact, Request, Run, RunRow, RunVerdict

TICK = 0.1  # seconds between two looks at the queue
IDLE_SECONDS = 300.0
GRACE_SECONDS = 5.0  # between asking a run to end and ending it
SPARE = True

log = logging.getLogger("kb.supervisor")


class Worker:
    """A worker process: spare until it is given a job, then the process of that run."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kb.runs.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # its own process group: it and its children can be ended together
            cwd=places.ROOT,
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        os.set_blocking(self.stdout.fileno(), False)
        self.buffer = b""

    def start(self, job: dict[str, Any]) -> None:
        self.stdin.write(json.dumps(job).encode() + b"\n")
        self.stdin.flush()

    def events(self) -> list[dict[str, Any]]:
        """The events that have come since the last call."""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.stdout.fileno(), 1 << 20):
                self.buffer += piece
        *lines, self.buffer = self.buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    def ended(self) -> bool:
        return self.process.poll() is not None

    def end(self, *, force: bool) -> None:
        """Asks the process and all that it started to end, or ends them."""
        how = signal.SIGKILL if force else signal.SIGTERM
        for process in family(self.process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(how)

    def close(self) -> None:
        self.end(force=True)
        self.process.wait()
        self.stdin.close()
        self.stdout.close()


def family(pid: int) -> list[psutil.Process]:
    """A process, its descendants, and whatever else is in its process group."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


@dataclass
class Active:
    """The run in progress."""

    id: str
    worker: Worker
    number: dict[str, int] = field(default_factory=lambda: {"row": 0, "artifact": 0, "verdict": 0})
    cancelled_at: float | None = None
    finished: dict[str, Any] | None = None


class Supervisor:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.active: Active | None = None
        self.spare: Worker | None = None
        self.stopping = False

    def loop(self) -> None:
        """Until there has been nothing to do for IDLE_SECONDS, or somebody asks it to stop."""
        self.recover()
        busy = time.monotonic()
        while not self.stopping:
            if SPARE and (self.spare is None or self.spare.ended()):
                self.spare = Worker()
            self.heed_requests()
            if self.active is None:
                self.start_next()
            if self.active:
                busy = time.monotonic()
                self.wait()
                self.record()
            elif time.monotonic() - busy > IDLE_SECONDS:
                return
            else:
                time.sleep(TICK)

    def close(self) -> None:
        """Ends what runs; a run that was running is interrupted."""
        if self.active:
            self.active.worker.close()
            self.finish("interrupted", "the supervisor was stopped")
        if self.spare:
            self.spare.close()

    def recover(self) -> None:
        """Runs that are said to be running have no supervisor any more: what is left of them ends, and they are interrupted."""
        with Session(self.engine) as session:
            for run in session.exec(select(Run).where(Run.status == "running")):
                self.end_leftovers(run.process)
                run.status, run.finished = "interrupted", time.time()
                run.reason, run.process = "the supervisor ended while it ran", None
                session.add(run)
            session.commit()

    @staticmethod
    def end_leftovers(pid: int | None) -> None:
        for process in family(pid) if pid else []:
            with contextlib.suppress(psutil.Error):
                if "kb.runs.worker" in process.cmdline():  # the number may be somebody else's by now
                    process.kill()

    def queued(self) -> bool:
        with Session(self.engine) as session:
            return session.exec(select(func.count()).where(col(Run.status) == "queued")).one() > 0

    def heed_requests(self) -> None:
        with Session(self.engine) as session:
            requests = list(session.exec(select(Request).order_by(col(Request.id))))
            for request in requests:
                run = session.get(Run, request.run)
                if run and run.status == "queued":
                    run.status, run.finished, run.reason = "cancelled", time.time(), "cancelled before it began"
                    session.add(run)
                elif self.active and self.active.id == request.run and self.active.cancelled_at is None:
                    self.active.cancelled_at = time.monotonic()
                    self.active.worker.end(force=False)
                session.exec(delete(Request).where(col(Request.id) == request.id))
            if requests:
                session.commit()
        if self.active and self.active.cancelled_at and time.monotonic() - self.active.cancelled_at > GRACE_SECONDS:
            self.active.worker.end(force=True)

    def start_next(self) -> None:
        with Session(self.engine) as session:
            run = session.exec(select(Run).where(Run.status == "queued").order_by(col(Run.submitted)).limit(1)).first()
            if run is None:
                return
            worker, self.spare = self.spare or Worker(), None
            run.status, run.started, run.process = "running", time.time(), worker.process.pid
            job = {
                "implementation": run.implementation,
                "preset": run.preset,
                "changes": run.changes,
                "device": run.device,
                "variables": run.variables,
                "folder": str(places.run_folder(run.id)),
            }
            self.active = Active(run.id, worker)
            session.add(run)
            session.commit()
        with contextlib.suppress(BrokenPipeError):  # a worker that is already dead is noticed by `record`
            worker.start(job)

    def wait(self) -> None:
        """Until the worker says something, or a tick has passed."""
        assert self.active
        with selectors.DefaultSelector() as selector:
            selector.register(self.active.worker.stdout, selectors.EVENT_READ)
            selector.select(TICK)

    def record(self) -> None:
        """Writes the events that have come, in one transaction, and ends the run when its process has ended."""
        assert self.active
        active, ended = self.active, self.active.worker.ended()  # asked before reading: nothing can come after
        events = active.worker.events()
        if events:
            with Session(self.engine) as session:
                for event in events:
                    self.apply(session, active, event)
                session.commit()
        if not ended:
            return
        if active.cancelled_at is not None and active.finished is None:
            self.finish("cancelled", "cancelled while it ran")
        elif active.finished is None:
            self.finish("failed", how_it_ended(active.worker.process.returncode))
        else:
            self.finish(active.finished["status"], active.finished.get("reason"))

    def apply(self, session: Session, active: Active, event: dict[str, Any]) -> None:
        kind, at = event.pop("event"), event.pop("at")
        number = active.number.get(kind, 0)
        run = session.get(Run, active.id)
        assert run
        if kind == "row":
            session.add(RunRow(run=active.id, number=number, at=at, values=event["values"]))
        elif kind == "artifact":
            session.add(Artifact(run=active.id, number=number, **event))
        elif kind == "verdict":
            low, high = event.pop("interval") or (None, None)
            session.add(RunVerdict(run=active.id, number=number, low=low, high=high, **event))
        elif kind == "started":
            run.environment, run.source_hash = event["environment"], event["source_hash"]
        elif kind == "progress":
            run.done, run.total, run.note = event["done"], event["total"], event["note"]
        elif kind == "finished":
            active.finished, run.usage, run.traceback = event, event.get("usage"), event.get("traceback")
        active.number[kind] = number + 1
        session.add(run)

    def finish(self, status: str, reason: str | None) -> None:
        assert self.active
        self.active.worker.close()
        with Session(self.engine) as session:
            run = session.get(Run, self.active.id)
            assert run
            run.status, run.finished, run.reason, run.process = status, time.time(), reason, None
            session.add(run)
            session.commit()
        log.info("%s %s %s", self.active.id, status, reason or "")
        self.active = None


def how_it_ended(code: int) -> str:
    """The end of a process that said nothing of it."""
    if code == -signal.SIGKILL:
        return "the process was killed (SIGKILL), by somebody or because memory ran out"
    if code < 0:
        return f"the process was ended by {signal.Signals(-code).name}"
    return f"the process ended with status {code} before the run did; its log may say why"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    while held := launcher.lock():
        supervisor = Supervisor(db.open_database())

        def stop(*_: Any, supervisor: Supervisor = supervisor) -> None:
            supervisor.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        try:
            supervisor.loop()
        finally:
            supervisor.close()
            held.close()
        if supervisor.stopping or not supervisor.queued():  # asked after letting go: nothing queued meanwhile is lost
            return


if __name__ == "__main__":
    main()
