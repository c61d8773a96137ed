"""A run on a Ray cluster: the process that stands for it on this machine, and the task that it is over there.

The supervisor starts this in place of a worker, with the same job on standard input and the same events on standard
output. The task over there starts a worker, as the supervisor would, and yields what it says; figures and log come along.
When a node is lost, the run begins anew on another one.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    NodeDiedError,
    ObjectLostError,
    RayError,
    TaskCancelledError,
    WorkerCrashedError,
)

from kb import places
from kb.runs import limits, processes

ATTEMPTS = 3  # times that a run begins, or asks to be let in, before a lost node or a refusal is the end of it
LOST = (WorkerCrashedError, NodeDiedError, ObjectLostError, ActorDiedError)
LOOK = 0.25  # seconds between two looks at what a run takes
LOG = 1 << 20  # bytes of log that wait over there before they are cut
CODE = [str(places.PACKAGE), str(places.IMPLEMENTATIONS)]  # travels to the cluster with the run
SILENT = {"logging_level": "ERROR", "log_to_driver": False}


class AskedToEnd(BaseException):
    """Somebody wants the run to end."""


class Told:
    """What the supervisor is told, and what it isn't: files go to the run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.finished = folder, False
        self.channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        self.log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for printed in (1, 2):  # what Ray prints
            os.dup2(self.log, printed)

    def say(self, event: str, **content: Any) -> None:
        self.tell({"event": event, "at": time.time(), **content})

    def tell(self, event: dict[str, Any]) -> None:
        if png := event.pop("png", None):
            name = Path(event["file"]).name
            partial = self.folder / f"{name}.part"
            partial.write_bytes(png)
            partial.replace(self.folder / name)
        self.finished = self.finished or event["event"] == "finished"
        print(json.dumps(event), file=self.channel, flush=True)

    def take(self, piece: tuple[list[dict[str, Any]], bytes]) -> None:
        events, log = piece
        os.write(self.log, log)
        for event in events:
            self.tell(event)


def main() -> None:
    job: dict[str, Any] = json.loads(sys.stdin.readline() or "{}")
    if not job:
        return
    told = Told(Path(job["folder"]))
    threading.Thread(target=processes.end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, _asked_to_end)
    try:
        connect(job["cluster"])
        for attempt in range(1, ATTEMPTS + 1):
            try:
                follow(job, told)
                break
            except LOST:
                if told.finished:
                    break
                if attempt == ATTEMPTS:
                    raise
                told.say("restarted")
    except AskedToEnd:
        pass
    except Exception as error:
        told.say("finished", status="failed", reason=reason(error, job["cluster"]))
    with contextlib.suppress(Exception):
        ray.shutdown()
    os._exit(0)


def _asked_to_end(*_: Any) -> None:
    raise AskedToEnd


def connect(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:  # Ray would go on trying for minutes
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    runtime = {"py_modules": CODE, "excludes": ["__pycache__", "share"]}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            ray.init(address, namespace="executable-history", runtime_env=runtime, **SILENT)
            return
        except (
            ConnectionAbortedError
        ):  # Ray starts a server for each client of ray://; on a busy machine it may fail to
            if attempt == ATTEMPTS:
                raise
            time.sleep(attempt)


def reason(error: Exception, address: str) -> str:
    words = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, LOST):
        return f"the cluster lost the node that it ran on, {ATTEMPTS} times"
    if isinstance(error, OSError | RuntimeError | RayError) and not isinstance(error, Unmet):
        return f"the cluster at {address} can't be reached or used: {words}"
    return words


class Unmet(RuntimeError):
    """The cluster has no node like the one that is wanted."""


def follow(job: dict[str, Any], told: Told) -> None:
    """Has the run run over there and tells what it says, until it has ended. Raises one of LOST when its node is lost."""
    wanted = needs(job["device"], job["processes"], ray.cluster_resources())
    there = job | {"device": "cuda" if wanted.get("num_gpus") else "cpu"}
    told.say("progress", done=0.0, total=0.0, note="waits for a place on the cluster")
    pieces = Direct(there, wanted) if not job["cluster"].startswith("ray://") else Relayed(there, wanted)
    try:
        for piece in pieces:
            told.take(piece)
    except AskedToEnd:
        pieces.cancel()
        raise


def needs(device: str, processes: int, there: dict[str, float]) -> dict[str, float]:
    """What the task asks of Ray. `auto` takes a GPU where the cluster has any. Raises Unmet where no node ever could."""
    gpus = there.get("GPU", 0)
    kind = device.split(":")[0]
    if kind not in ("auto", "cpu", "cuda"):
        raise Unmet(f"Ray gives out cpu and cuda, not {device}")
    if kind == "cuda" and not gpus:
        raise Unmet("the cluster has no GPU; `--device cpu` needs none")
    wanted: dict[str, float] = {"num_cpus": processes}
    return wanted | ({"num_gpus": processes} if gpus and kind != "cpu" else {})


def stream(job: dict[str, Any]) -> Iterator[tuple[list[dict[str, Any]], bytes]]:
    """On the cluster: a worker's events and its log, a piece at a time. It ends with whoever iterates."""
    own = {key: os.environ.get(key, value) for key, value in job["variables"].items()}  # a node knows its own paths
    with tempfile.TemporaryDirectory() as name:
        folder, worker, said = Path(name), processes.Worker(), False
        begun = looked = time.monotonic()
        worker.start(job | {"folder": name, "variables": own})
        try:
            while not said:
                ended = worker.ended()  # asked before reading: nothing can come after
                events = heard(worker, folder)
                reason = worker.how_it_ended() if ended and not events else None
                if time.monotonic() - looked > LOOK:
                    looked = time.monotonic()
                    reason = limits.exceeded(job["limits"], looked - begun, worker.memory(), folder) or reason
                if reason:
                    events.append(_end(reason))
                said = any(event["event"] == "finished" for event in events)
                log = taken(folder / "log.txt")
                if events or log:
                    yield events, log
                else:
                    select.select([worker.stdout], [], [], LOOK)
        finally:
            worker.close()


def heard(worker: processes.Worker, folder: Path) -> list[dict[str, Any]]:
    """The worker's events, its pictures with them."""
    try:
        events = [event for event in worker.events() if event["event"] != "ready"]
    except ValueError as error:
        return [_end(f"what it said can't be recorded: {error}")]
    for event in events:
        if event["event"] == "artifact":
            file = folder / Path(event["file"]).name
            event["png"] = file.read_bytes()
            file.unlink()
    return events


def _end(reason: str) -> dict[str, Any]:
    return {"event": "finished", "at": time.time(), "status": "failed", "reason": reason}


def taken(path: Path) -> bytes:
    """Takes what was printed out of the log; of a flood only its beginning."""
    with contextlib.suppress(OSError):
        if path.stat().st_size:
            with path.open("r+b") as file:
                found = file.read(LOG)
                file.truncate(0)
            return found
    return b""


class Direct:
    """The pieces of a run, from within the cluster's network: Ray's streaming generator."""

    def __init__(self, job: dict[str, Any], wanted: dict[str, float]) -> None:
        self.pieces = ray.remote(stream).options(max_retries=0, **wanted).remote(job)

    def __iter__(self) -> Iterator[Any]:
        for piece in self.pieces:
            yield ray.get(piece)

    def cancel(self) -> None:
        """Has the worker over there end, too, and waits for it."""
        ray.cancel(self.pieces)
        with contextlib.suppress(RayError):
            ray.get(self.pieces.completed(), timeout=processes.GRACE_SECONDS / 2)


class Relay:
    """On the cluster, for those outside: Ray's Client (ray://) has no streaming generators, but it may ask for each piece."""

    def __init__(self, job: dict[str, Any], wanted: dict[str, float]) -> None:
        self.direct = Direct(job, wanted)
        self.pieces = iter(self.direct)

    def next(self) -> Any:
        """The next piece; None after the last."""
        try:
            return next(self.pieces, None)
        except TaskCancelledError:
            return None

    def cancel(self) -> None:
        self.direct.cancel()


class Relayed:
    """The pieces of a run, from outside the cluster's network."""

    def __init__(self, job: dict[str, Any], wanted: dict[str, float]) -> None:
        self.relay: Any = ray.remote(Relay).options(num_cpus=0, max_concurrency=2).remote(job, wanted)

    def __iter__(self) -> Iterator[Any]:
        while (piece := ray.get(self.relay.next.remote())) is not None:
            yield piece

    def cancel(self) -> None:
        with contextlib.suppress(RayError):
            ray.get(self.relay.cancel.remote(), timeout=processes.GRACE_SECONDS / 2)


if __name__ == "__main__":
    from kb.runs import cluster  # under its name, by which the cluster's nodes find it, too

    cluster.main()
