"""Executes the queue, each run in a process of its own, one at a time on a device, and is the only writer of runs after
their submission.

`python -m kb.runs.supervisor` is started on demand by `launcher`, detached from the app and the shell, and leaves when it
has had nothing to do for a while.
"""

import contextlib
import json
import logging
import os
import selectors
import shutil
import signal
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, text
from sqlalchemy.exc import OperationalError, StatementError
from sqlmodel import Session, col, delete, select

from kb import db, places
from kb.runs import launcher, limits, processes
from kb.runs.processes import Worker
from kb.tables import Artifact, Device, Request, Run, RunRow, RunVerdict

TICK = 0.1  # seconds between two looks at the queue
LOOK = 0.25  # seconds between two looks at what runs take
IDLE_SECONDS = 300.0
CALM = 3.0  # seconds that a run has the machine to itself before the next worker imports what it needs
AT_ONCE = 20_000  # events that wait to be written; a run that yields faster has to wait
FREE = 100e6  # bytes that a disk must have for a run to begin
PER_DEVICE = int(os.environ.get("KB_PER_DEVICE", "1"))  # runs at once on a device
# As SQL, which takes a third of what SQLAlchemy's insert takes: a run may yield thousands of rows in a second.
INSERT_ROWS = 'INSERT INTO run_row (run, number, at, "values") VALUES (?, ?, ?, ?)'
PER_CLUSTER = 16  # runs at once that a cluster is asked for; it has a queue of its own

log = logging.getLogger("kb.supervisor")


@dataclass
class Active:
    """A run that has a process."""

    id: str
    worker: Worker
    place: str  # its device
    begun: float  # monotonic seconds; with every pause it moves on by as much
    number: dict[str, int] = field(default_factory=lambda: {"row": 0, "artifact": 0, "verdict": 0})
    pending: list[dict[str, Any]] = field(default_factory=list)  # events that came and aren't written yet
    ending: tuple[str, str] | None = None  # status and reason, once it was asked to end
    ending_at: float = 0.0
    finished: dict[str, Any] | None = None
    paused_at: float | None = None
    resuming: bool = False  # is to go on as soon as its device is free
    looked: float = 0.0
    log_removed: int = 0

    def seconds(self) -> float:
        return (self.paused_at or time.monotonic()) - self.begun

    def stop(self, status: str, reason: str, *, force: bool = False) -> None:
        if self.ending is None:
            self.ending, self.ending_at = (status, reason), time.monotonic()
            self.worker.end(force=force)

    def pause(self) -> None:
        self.worker.pause()
        self.paused_at, self.resuming = time.monotonic(), False

    def resume(self) -> None:
        self.begun += time.monotonic() - (self.paused_at or time.monotonic())
        self.paused_at, self.resuming = None, False
        self.worker.resume()


class Supervisor:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.active: dict[str, Active] = {}
        self.spare: Worker | None = None
        self.devices: list[str] = []  # of this machine; empty until a worker has told
        self.spare_after = 0.0  # monotonic; a worker that can't be started isn't tried again at once
        self.stopping = False
        self.waiting = True  # there may be something in the queue
        self.watch = engine.raw_connection()
        self.version = -1  # of the database, when everything in it was last heeded
        self.waits_for = ""  # what was logged last of what can't be done now

    def loop(self) -> None:
        """Until there has been nothing to do for IDLE_SECONDS, or somebody asks it to stop."""
        self.patiently(self.recover)
        busy = time.monotonic()
        while not self.stopping:
            self.patiently(self.keep_spare)
            version = self.database_version()
            if self.active or self.waiting or version != self.version:
                heeded, begun = self.patiently(self.heed_requests), self.patiently(self.begin)
                self.version = version if heeded and begun else -1
            for active in list(self.active.values()):
                self.patiently(lambda one=active: self.attend(one))
            if self.active:
                busy = time.monotonic()
            elif time.monotonic() - busy > IDLE_SECONDS:
                return
            self.wait()

    def database_version(self) -> int:
        """Changes when anybody writes to the database, and costs next to nothing to ask: an idle supervisor does no more."""
        with contextlib.suppress(sqlite3.Error):
            return int(self.watch.cursor().execute("PRAGMA data_version").fetchone()[0])
        return -1

    def patiently(self, step: Any) -> bool:
        """A disk that is full or a database that somebody holds is waited for: nothing that came is lost meanwhile."""
        try:
            step()
            return True
        except (OperationalError, OSError) as error:
            words = str(getattr(error, "orig", error))
            if words != self.waits_for:  # once: a log that tells it with every tick fills what is left of the disk
                log.warning("not now: %s", words)
                self.waits_for = words
            time.sleep(TICK)
            return False

    def wait(self) -> None:
        """Until a run says something, or a tick has passed."""
        with selectors.DefaultSelector() as selector:
            for active in self.active.values():
                if len(active.pending) < AT_ONCE and not active.worker.silent:
                    selector.register(active.worker.stdout, selectors.EVENT_READ)
            selector.select(TICK) if selector.get_map() else time.sleep(TICK)

    def close(self) -> None:
        """Ends what runs; it is interrupted."""
        for active in list(self.active.values()):
            active.worker.close()
            self.write(active)
            self.finish(active, "interrupted", "the supervisor was stopped")
        if self.spare:
            self.spare.close()

    # What was left behind

    def recover(self) -> None:
        """Runs that are said to go on have no supervisor any more: what is left of them ends, and they are interrupted."""
        with Session(self.engine) as session:
            left = select(Run).where(col(Run.status).in_(("running", "paused")), col(Run.started).is_not(None))
            for run in session.exec(left):
                if run.token:
                    processes.end_family(run.token)
                run.status, run.finished = "interrupted", max(time.time(), run.started or 0)
                run.reason, run.process, run.token = "the supervisor ended while it ran", None, None
                session.add(run)
            session.commit()

    def queued(self) -> bool:
        with Session(self.engine) as session:
            return session.exec(select(func.count()).where(col(Run.status) == "queued")).one() > 0

    # A worker that waits

    def keep_spare(self) -> None:
        """Sees to it that a worker waits with torch imported. The first one tells which devices there are."""
        if self.spare and not self.devices:
            with contextlib.suppress(ValueError):
                for event in self.spare.events():
                    self.learn(event["devices"])
        if self.spare and self.spare.ended():
            log.warning("a worker ended before it had a run: %s", self.spare.how_it_ended())
            self.devices = self.devices or ["cpu"]  # torch can't be imported, say: runs begin, and fail with their log
            self.spare.close()
            self.spare, self.spare_after = None, time.monotonic() + 10
        if self.spare is None and time.monotonic() > self.spare_after:
            self.spare = Worker()

    def learn(self, found: list[dict[str, Any]]) -> None:
        self.devices = [str(one["id"]) for one in found]
        with contextlib.suppress(OperationalError), Session(self.engine) as session:
            session.exec(delete(Device))
            for position, one in enumerate(found):
                session.add(Device(**one, position=position, at=time.time()))
            session.commit()

    # Requests

    def heed_requests(self) -> None:
        with Session(self.engine) as session:
            requests = list(session.exec(select(Request).order_by(col(Request.id))))
            for request in requests:
                run = session.get(Run, request.run)
                if run:
                    self.heed(request, run)
                    session.add(run)
                session.delete(request)
            if requests:
                session.commit()
        for active in self.active.values():
            if active.ending and time.monotonic() - active.ending_at > processes.GRACE_SECONDS:
                active.worker.end(force=True)

    def heed(self, request: Request, run: Run) -> None:
        active = self.active.get(run.id)
        if request.verb == "priority":
            run.priority = request.value or 0
        elif request.verb == "cancel" and active:
            active.stop("cancelled", "cancelled while it ran")
        elif request.verb == "cancel" and run.status in ("queued", "paused"):
            run.status, run.finished, run.reason = "cancelled", time.time(), "cancelled before it began"
        elif request.verb == "pause" and active and active.paused_at is None and not active.ending:
            active.pause()
            run.status = "paused"
        elif request.verb == "pause" and run.status == "queued":
            run.status = "paused"
        elif request.verb == "resume" and active and active.paused_at is not None:
            active.resuming = True  # when its device is free
        elif request.verb == "resume" and run.status == "paused" and not active:
            run.status = "queued"

    # Beginning

    def begin(self) -> None:
        """Goes on with what was paused, and begins what is queued, as far as devices are free."""
        for active in self.active.values():
            if active.resuming and self.free(active.place):
                self.go_on(active)
        with Session(self.engine, expire_on_commit=False) as session:
            waiting = select(Run).where(Run.status == "queued").order_by(col(Run.priority).desc(), text("rowid"))
            found = session.exec(waiting).all()
            self.waiting = bool(found)
            for run in found:
                place = self.place(run)
                if not place:
                    continue
                if room() < FREE:
                    self.note(session, run, "waits: the disk is full")
                    return
                self.start(session, run, place)
                if len(found) == 1:  # nobody waits for the next worker
                    self.spare_after = time.monotonic() + CALM

    def go_on(self, active: Active) -> None:
        with Session(self.engine) as session:
            run = session.get(Run, active.id)
            assert run
            run.status = "running"
            session.add(run)
            session.commit()
        active.resume()

    @staticmethod
    def note(session: Session, run: Run, words: str) -> None:
        if run.note != words:
            run.note = words
            session.add(run)
            session.commit()

    def place(self, run: Run) -> str | None:
        """The device for a run: the one it asks for, if it is free; for `auto` the best that is free. None: it waits."""
        if run.cluster:
            return run.cluster if self.free(run.cluster, PER_CLUSTER) else None
        if not self.devices:
            return None
        if (processes := run.options.get("processes", 1)) > 1:
            return self.kind(run.device.split(":")[0], processes)
        wanted = [one for one in self.devices if run.device in ("auto", one, one.split(":")[0])]
        return next(filter(self.free, wanted or [run.device]), None)  # what isn't there fails in its own words

    def kind(self, wanted: str, processes: int) -> str | None:
        """For a run of several processes: all devices of a kind, if all are free."""
        if wanted == "auto":
            wanted = "cuda" if sum(one.startswith("cuda") for one in self.devices) >= processes else "cpu"
        return wanted if all(self.free(one) for one in self.devices if one.split(":")[0] == wanted) else None

    def free(self, place: str, at_once: int = PER_DEVICE) -> bool:
        taken = (place, place.split(":")[0])  # a run of several processes has all devices of its kind
        return sum(one.place in taken and one.paused_at is None for one in self.active.values()) < at_once

    def start(self, session: Session, run: Run, place: str) -> None:
        if run.cluster:
            worker = Worker("kb.runs.cluster")
        else:
            worker, self.spare = self.spare or Worker(), None
        run.status, run.started, run.note = "running", time.time(), ""
        run.place, run.process, run.token = place, worker.process.pid, worker.token
        session.add(run)
        job = {
            "implementation": run.implementation,
            "preset": run.preset,
            "changes": run.changes,
            "device": run.device if run.cluster else place,
            "cluster": run.cluster,
            "limits": run.limits,
            "processes": run.options.get("processes", 1),
            "options": run.options,
            "variables": run.variables,
            "folder": str(places.run_folder(run.id)),
        }
        active = Active(run.id, worker, place, time.monotonic())
        try:
            session.commit()
        except BaseException:
            worker.close()
            raise
        self.active[active.id] = active
        worker.start(job)

    # Going on and ending

    def attend(self, active: Active) -> None:
        """Takes what the run says, writes it, looks at what it takes, and ends it when its process has ended."""
        ended = active.worker.ended()  # asked before reading: nothing can come after
        try:
            while len(active.pending) < AT_ONCE and (events := active.worker.events()):
                active.pending += events
                if not ended:
                    break
            self.write(active)
        except OperationalError:
            raise
        except (ValueError, TypeError, OverflowError, StatementError) as error:  # the run's fault, not the database's
            active.pending = []
            active.stop("failed", f"what it said can't be recorded: {str(error).splitlines()[0][:300]}", force=True)
        if ended:
            if not active.pending:
                self.finish(active, *self.outcome(active))
        elif time.monotonic() - active.looked > LOOK and active.paused_at is None:
            active.looked = time.monotonic()
            self.look(active)

    @staticmethod
    def outcome(active: Active) -> tuple[str, str | None]:
        finished = active.finished or {}
        if active.ending and (active.ending[0] == "failed" or finished.get("status") != "succeeded"):
            return active.ending  # a run that succeeded before it could be cancelled has succeeded
        if finished:
            return finished["status"], finished.get("reason")
        return "failed", active.worker.how_it_ended()

    def look(self, active: Active) -> None:
        """Keeps the log small, and ends what reaches a limit."""
        folder = places.run_folder(active.id)
        active.log_removed += trimmed(folder / "log.txt", active.log_removed)
        with Session(self.engine) as session:
            run = session.get(Run, active.id)
        assert run
        reason = None
        if not run.cluster:  # there they are looked after where the run is
            reason = limits.exceeded(run.limits, active.seconds(), active.worker.memory(), folder)
        if active.number["row"] > limits.ROWS:
            reason = f"it yielded more than {limits.ROWS:,} rows"
        if active.number["artifact"] > limits.ARTIFACTS:
            reason = f"it left more than {limits.ARTIFACTS:,} figures"
        if reason:
            active.stop("failed", reason, force="limit of time" not in reason)

    def write(self, active: Active) -> None:
        """Writes the events that wait, in one transaction; if that fails they go on waiting."""
        if not active.pending:
            return
        number, finished, rows = dict(active.number), active.finished, []
        with Session(self.engine) as session:
            run = None
            for event in active.pending:
                if event["event"] == "row":
                    rows.append((active.id, number["row"], event["at"], json.dumps(event["values"])))
                    number["row"] += 1
                    continue
                run = run or session.get_one(Run, active.id)
                if event["event"] == "restarted":
                    rows, number = [], self.forget(session, run)
                elif event["event"] == "finished":
                    finished = finished or event  # of several processes that fail, the first says why
                    run.usage, run.traceback = event.get("usage"), event.get("traceback")
                else:
                    self.apply(session, run, event, number)
            if rows:
                session.connection().exec_driver_sql(INSERT_ROWS, rows)
            session.commit()
        active.number, active.finished, active.pending = number, finished, []

    @staticmethod
    def forget(session: Session, run: Run) -> dict[str, int]:
        """The run begins anew: what it yielded before is gone."""
        for table in (RunRow, Artifact, RunVerdict):
            session.exec(delete(table).where(col(table.run) == run.id))
        run.attempts, run.done, run.total, run.note = run.attempts + 1, 0, 0, "begins anew: its node was lost"
        return {"row": 0, "artifact": 0, "verdict": 0}

    @staticmethod
    def apply(session: Session, run: Run, event: dict[str, Any], number: dict[str, int]) -> None:
        kind = event["event"]
        if kind == "artifact":
            fields: dict[str, Any] = {
                name: event.get(name) for name in ("name", "step", "caption", "file", "sha256", "size")
            }
            session.add(Artifact(run=run.id, number=number[kind], **fields))
        elif kind == "verdict":
            low, high = event.get("interval") or (None, None)
            names = ("claim", "verdict", "measured", "baseline", "unit", "effect", "n", "rule")
            said: dict[str, Any] = {name: event.get(name) for name in names}
            session.add(RunVerdict(run=run.id, number=number[kind], low=low, high=high, **said))
        elif kind == "started":
            run.environment, run.source_hash = event["environment"], event["source_hash"]
        elif kind == "progress":
            run.done, run.total, run.note = event["done"], event["total"], event["note"]
        if kind in number:
            number[kind] += 1

    def finish(self, active: Active, status: str, reason: str | None) -> None:
        active.worker.close()
        with Session(self.engine) as session:
            run = session.get(Run, active.id)
            assert run
            run.status, run.reason, run.process, run.token = status, reason, None, None
            run.finished = max(time.time(), (run.started or 0) + active.seconds())  # whatever was done to the clock
            session.add(run)
            session.commit()
        del self.active[active.id]
        trimmed(places.run_folder(active.id) / "log.txt", active.log_removed)
        log.info("%s %s %s", active.id, status, reason or "")


def room() -> int:
    """Bytes that are free for the database and for what runs leave, which may be on disks of their own."""
    folders = [folder for folder in (places.home(), places.run_folder("")) if folder.exists()]
    return min(shutil.disk_usage(folder).free for folder in folders)


def trimmed(path: Path, before: int) -> int:
    """Cuts a log that has grown beyond limits.LOG: its beginning and its end stay; returns how many bytes went.

    The run has it open for appending, so what it writes next stands after the end that was kept.
    """
    with contextlib.suppress(OSError):
        size, kept = path.stat().st_size, limits.LOG // 4
        if size <= limits.LOG:
            return 0
        with path.open("r+b") as file:
            file.seek(-kept, os.SEEK_END)
            end = file.read()
            removed = size - 2 * kept
            file.truncate(kept)
            file.seek(kept)
            file.write(f"\n\n[ {before + removed:,} bytes were removed here ]\n\n".encode() + end)
        return removed
    return 0


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
