"""Keeps a spare worker ready, so that a run starts without waiting for torch to be imported."""

import contextlib
import logging
import time
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, delete

from kb.runs.processes import Worker
from kb.tables import Device

SPARE_DELAY_SECONDS = 10.0  # a run has the machine to itself before the next spare worker starts
FAILED_START_DELAY_SECONDS = 10.0  # before a worker is started after one that couldn't

log = logging.getLogger(__name__)


class WorkerPool:
    """At most one spare worker. The first one reports which devices the machine has."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.spare: Worker | None = None
        self.devices: list[str] = []  # ids; empty until the first worker has reported them
        self.next_start = 0.0  # time.monotonic() before which no spare worker is started

    def keep_spare(self) -> None:
        """Starts a spare worker if there is none, and reads the devices that the first reports."""
        if self.spare and not self.devices:
            with contextlib.suppress(ValueError):
                for event in self.spare.read_events():
                    self.register_devices(event["devices"])
        if self.spare and self.spare.has_ended():
            log.warning("a worker ended before it had a run: %s", self.spare.exit_reason())
            if not self.devices:
                # Where torch can't be imported, say: runs then start, and fail with their log.
                self.devices = ["cpu"]
            self.spare.close()
            self.spare = None
            self.next_start = time.monotonic() + FAILED_START_DELAY_SECONDS
        if self.spare is None and time.monotonic() > self.next_start:
            self.spare = Worker()

    def register_devices(self, devices: list[dict[str, Any]]) -> None:
        """Keeps the devices of this machine, and writes them to the database if it isn't busy."""
        self.devices = [str(device["id"]) for device in devices]
        with contextlib.suppress(OperationalError), Session(self.engine) as session:
            session.exec(delete(Device))
            for position, device in enumerate(devices):
                session.add(Device(**device, position=position, at=time.time()))
            session.commit()

    def take(self) -> Worker:
        """The spare worker, or a new one where there is none."""
        worker = self.spare or Worker()
        self.spare = None
        return worker

    def delay_spare(self) -> None:
        """Starts the next spare worker later: no other run waits for it."""
        self.next_start = time.monotonic() + SPARE_DELAY_SECONDS

    def close(self) -> None:
        if self.spare:
            self.spare.close()
