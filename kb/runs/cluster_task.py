"""The part of a run on a Ray cluster that executes there: a Ray task that starts a worker.

The task yields what the worker sends, in pieces: some events and some bytes of the log. The picture
of an `artifact` event travels in its field `png`. The module's functions and classes are sent to
the cluster by kb.runs.cluster, together with the packages kb and impl.
"""

import contextlib
import os
import select
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, TaskCancelledError

from kb.runs import limits, processes

LIMIT_CHECK_SECONDS = 0.25  # between two checks of the run's limits
MAX_LOG_PIECE_BYTES = 1 << 20  # of the log in one piece; the rest is dropped

Event = dict[str, Any]
Piece = tuple[list[Event], bytes]
Job = dict[str, Any]


def execute(job: Job) -> Iterator[Piece]:
    """Executes the run in a worker, and yields its events and its log until it has ended.

    The worker is killed if the iteration ends early.
    """
    # The node's own variables win: it knows its paths.
    variables = {name: os.environ.get(name, value) for name, value in job["variables"].items()}
    if job["spread"]:
        context = ray.get_runtime_context()
        packages = dict(context.runtime_env)  # where the cluster keeps kb and impl
        job = job | {"ray_address": context.gcs_address, "runtime_env": packages}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        worker = processes.Worker()
        worker.send_job(job | {"folder": name, "variables": variables})
        try:
            yield from _follow(worker, folder, job["limits"])
        finally:
            worker.close()


def _follow(
    worker: processes.Worker, folder: Path, run_limits: dict[str, float]
) -> Iterator[Piece]:
    started = last_check = time.monotonic()
    finished = False
    while not finished:
        has_ended = worker.has_ended()  # before reading: no event can come after this
        events = read_events(worker, folder)
        reason = worker.exit_reason() if has_ended and not events else None
        now = time.monotonic()
        if now - last_check > LIMIT_CHECK_SECONDS:
            last_check = now
            memory = worker.memory_bytes()
            exceeded = limits.exceeded_limit(run_limits, now - started, memory, folder)
            reason = exceeded or reason
        if reason:
            events.append(_failure(reason))
        finished = any(event["event"] == "finished" for event in events)
        log = take_log(folder / "log.txt")
        if events or log:
            yield events, log
        else:
            select.select([worker.stdout], [], [], LIMIT_CHECK_SECONDS)


def read_events(worker: processes.Worker, folder: Path) -> list[Event]:
    """The worker's next events, with the pictures of its artifacts, which are removed here."""
    try:
        events = [event for event in worker.read_events() if event["event"] != "ready"]
    except ValueError as error:
        return [_failure(f"its events can't be recorded: {error}")]
    for event in events:
        if event["event"] == "artifact":
            file = folder / Path(event["file"]).name
            event["png"] = file.read_bytes()
            file.unlink()
    return events


def _failure(reason: str) -> Event:
    return {"event": "finished", "at": time.time(), "status": "failed", "reason": reason}


def take_log(path: Path) -> bytes:
    """The beginning of what was printed since the last call; the log is emptied."""
    with contextlib.suppress(OSError):
        if path.stat().st_size:
            with path.open("r+b") as file:
                log = file.read(MAX_LOG_PIECE_BYTES)
                file.truncate(0)
            return log
    return b""


class DirectPieces:
    """The pieces of a run, from within the cluster's network: Ray's streaming generator."""

    def __init__(self, job: Job, resources: dict[str, Any]) -> None:
        self.pieces = ray.remote(execute).options(max_retries=0, **resources).remote(job)

    def __iter__(self) -> Iterator[Piece]:
        for piece in self.pieces:
            yield ray.get(piece)

    def cancel(self) -> None:
        """Ends the worker on the cluster, too, and waits for that."""
        ray.cancel(self.pieces)
        with contextlib.suppress(RayError):
            ray.get(self.pieces.completed(), timeout=processes.GRACE_SECONDS / 2)


class PieceRelay:
    """An actor on the cluster that hands out the pieces one by one.

    Ray Client (ray://) has no streaming generators, but it can call an actor for each piece.
    """

    def __init__(self, job: Job, resources: dict[str, Any]) -> None:
        self.direct = DirectPieces(job, resources)
        self.pieces = iter(self.direct)

    def next(self) -> Piece | None:
        """The next piece; None after the last."""
        try:
            return next(self.pieces, None)
        except TaskCancelledError:
            return None

    def cancel(self) -> None:
        self.direct.cancel()


class RelayedPieces:
    """The pieces of a run, from outside the cluster's network, through a relay."""

    def __init__(self, job: Job, resources: dict[str, Any]) -> None:
        actor = ray.remote(PieceRelay).options(num_cpus=0, max_concurrency=2)
        self.relay: Any = actor.remote(job, resources)

    def __iter__(self) -> Iterator[Piece]:
        while (piece := ray.get(self.relay.next.remote())) is not None:
            yield piece

    def cancel(self) -> None:
        with contextlib.suppress(RayError):
            ray.get(self.relay.cancel.remote(), timeout=processes.GRACE_SECONDS / 2)
