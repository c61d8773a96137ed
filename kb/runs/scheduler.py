"""Decides which queued run gets which device, and carries out what users request of their runs."""

import os
import shutil
import time
from typing import Any

from sqlalchemy import Engine, func, text
from sqlmodel import Session, col, select

from kb import paths
from kb.runs import recorder
from kb.runs.active import ActiveRun
from kb.runs.processes import Worker
from kb.runs.worker_pool import WorkerPool
from kb.tables import Request, Run

RUNS_PER_DEVICE = int(os.environ.get("KB_PER_DEVICE", "1"))  # at the same time
RUNS_PER_CLUSTER = 16  # at the same time; the cluster has a queue of its own
MIN_FREE_BYTES = 100e6  # that a disk must have for a run to start


class Scheduler:
    """`active` is shared with the monitor, which removes the runs that have ended."""

    def __init__(self, engine: Engine, pool: WorkerPool, active: dict[str, ActiveRun]) -> None:
        self.engine = engine
        self.pool = pool
        self.active = active
        self.has_queued = True  # whether the queue may have runs in it

    # Requests

    def handle_requests(self) -> None:
        """Carries out all requests and removes them, in one transaction."""
        with Session(self.engine) as session:
            requests = list(session.exec(select(Request).order_by(col(Request.id))))
            for request in requests:
                if run := session.get(Run, request.run):
                    self.handle_request(request, run)
                session.delete(request)
            if requests:
                session.commit()

    def handle_request(self, request: Request, run: Run) -> None:
        """Carries out one request. It may come again if the transaction fails afterwards."""
        active = self.active.get(run.id)
        if request.verb == "priority":
            recorder.set_priority(run, request.value or 0)
        elif request.verb == "cancel":
            self._cancel(run, active)
        elif request.verb == "pause":
            self._pause(run, active)
        elif request.verb == "resume":
            self._request_resume(run, active)

    @staticmethod
    def _cancel(run: Run, active: ActiveRun | None) -> None:
        if active:
            active.stop("cancelled", "stopped while it ran")
        elif run.status in ("queued", "paused"):
            recorder.end_run(run, "cancelled", "stopped before it started")

    @staticmethod
    def _pause(run: Run, active: ActiveRun | None) -> None:
        if active and not active.stop_outcome:
            if active.paused_at is None:
                active.pause()
            recorder.set_status(run, "paused")
        elif run.status == "queued":
            recorder.set_status(run, "paused")

    @staticmethod
    def _request_resume(run: Run, active: ActiveRun | None) -> None:
        if active:
            active.resume_requested = active.paused_at is not None
        elif run.status == "paused":
            recorder.set_status(run, "queued")

    # Starting runs

    def schedule(self) -> None:
        """Resumes paused runs and launches queued ones, as far as devices are free."""
        for active in self.active.values():
            if active.resume_requested and self.is_free(active.device):
                self.resume(active)
        queued = (
            select(Run)
            .where(Run.status == "queued")
            .order_by(col(Run.priority).desc(), text("rowid"))
        )
        with Session(self.engine, expire_on_commit=False) as session:
            runs = session.exec(queued).all()
            self.has_queued = bool(runs)
            for run in runs:
                device = self.assign_device(run)
                if device is None:
                    continue
                if free_disk_bytes() < MIN_FREE_BYTES:
                    recorder.set_note(session, run, "waits: the disk is full; free some space")
                    return
                self.launch(session, run, device)
                if len(runs) == 1:
                    self.pool.delay_spare()

    def resume(self, active: ActiveRun) -> None:
        with Session(self.engine) as session:
            recorder.set_status(session.get_one(Run, active.id), "running")
            session.commit()
        active.resume()

    def launch(self, session: Session, run: Run, device: str) -> None:
        """Gives the run to a worker. Raises OperationalError if the database is busy."""
        worker = Worker("kb.runs.cluster") if run.cluster else self.pool.take()
        job = make_job(run, device)
        active = ActiveRun(run.id, worker, device, time.monotonic())
        recorder.start_run(run, device, worker)
        try:
            session.commit()
        except BaseException:
            worker.close()
            raise
        self.active[active.id] = active
        worker.send_job(job)

    def assign_device(self, run: Run) -> str | None:
        """The device for a run: the one that it requests, if free; for `auto` the best free one.

        None if it has to wait. A device that this machine lacks is passed on; the worker reports
        the error.
        """
        if run.cluster:
            return run.cluster if self.is_free(run.cluster, RUNS_PER_CLUSTER) else None
        if not self.pool.devices:
            return None
        processes = run.options.get("processes", 1)
        if processes > 1:
            return self.device_kind(kind_of(run.device), processes)
        matching = [
            device
            for device in self.pool.devices
            if run.device in ("auto", device, kind_of(device))
        ]
        return next(filter(self.is_free, matching or [run.device]), None)

    def device_kind(self, requested: str, processes: int) -> str | None:
        """The kind of device for a run of several processes, which gets all devices of that kind.

        None if any of them is in use.
        """
        kinds = [kind_of(device) for device in self.pool.devices]
        if requested == "auto":
            requested = "cuda" if kinds.count("cuda") >= processes else "cpu"
        devices = [device for device in self.pool.devices if kind_of(device) == requested]
        return requested if all(map(self.is_free, devices)) else None

    def is_free(self, device: str, capacity: int = RUNS_PER_DEVICE) -> bool:
        """Whether another run may start on a device, or on a cluster."""
        # A run of several processes occupies a kind, and so all devices of that kind.
        occupied_by = (device, kind_of(device))
        runs = sum(
            active.device in occupied_by and active.paused_at is None
            for active in self.active.values()
        )
        return runs < capacity

    def count_queued(self) -> int:
        with Session(self.engine) as session:
            return session.exec(select(func.count()).where(col(Run.status) == "queued")).one()


def kind_of(device: str) -> str:
    """`cuda` for `cuda:0`."""
    return device.split(":")[0]


def make_job(run: Run, device: str) -> dict[str, Any]:
    """What a worker has to know of a run, in JSON."""
    return {
        "implementation": run.implementation,
        "preset": run.preset,
        "changes": run.changes,
        "device": run.device if run.cluster else device,
        "cluster": run.cluster,
        "limits": run.limits,
        "processes": run.options.get("processes", 1),
        "options": run.options,
        "variables": run.variables,
        "folder": str(paths.run_folder(run.id)),
    }


def free_disk_bytes() -> int:
    """Free space for the database and for the runs' folders, which may be on different disks."""
    folders = [folder for folder in (paths.home(), paths.run_folder("")) if folder.exists()]
    return min(shutil.disk_usage(folder).free for folder in folders)
