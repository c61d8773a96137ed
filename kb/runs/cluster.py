"""The process that stands on this machine for a run on a Ray cluster.

The supervisor starts it in place of a worker, with the same job on standard input and the same
events on standard output. It sends the run to the cluster as a Ray task (kb.runs.cluster_task),
passes on the task's events, and writes its figures and its log into the run's folder. When the
cluster loses the run's node, the run starts anew on another one.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    NodeDiedError,
    ObjectLostError,
    RayError,
    WorkerCrashedError,
)

from kb import paths
from kb.runs import processes
from kb.runs.cluster_task import DirectPieces, Event, Job, Piece, RelayedPieces
from kb.runs.event_stream import StopRequested

MAX_ATTEMPTS = 3  # to connect, and to execute a run whose node is lost
NODE_LOST_ERRORS = (WorkerCrashedError, NodeDiedError, ObjectLostError, ActorDiedError)
CONNECT_SECONDS = 10  # Ray alone would try for minutes
# Packages that travel to the cluster with the run.
PACKAGES = [str(paths.PACKAGE), str(paths.IMPLEMENTATIONS)]
RAY_LOGGING = {"logging_level": "ERROR", "log_to_driver": False}


class UnavailableResources(RuntimeError):
    """The cluster has no node with the resources that the run needs."""


class SupervisorChannel:
    """Passes events to the supervisor, figures and log to the run's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.finished = False
        self.channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
        folder.mkdir(parents=True, exist_ok=True)
        self.log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for descriptor in (1, 2):  # what Ray prints goes to the log
            os.dup2(self.log, descriptor)

    def send(self, event: str, **fields: Any) -> None:
        self.forward({"event": event, "at": time.time(), **fields})

    def forward(self, event: Event) -> None:
        """Sends an event, after its picture is in the run's folder, completely or not at all."""
        if png := event.pop("png", None):
            name = Path(event["file"]).name
            partial = self.folder / f"{name}.part"
            partial.write_bytes(png)
            partial.replace(self.folder / name)
        self.finished = self.finished or event["event"] == "finished"
        print(json.dumps(event), file=self.channel, flush=True)

    def forward_piece(self, piece: Piece) -> None:
        events, log = piece
        os.write(self.log, log)
        for event in events:
            self.forward(event)


def main() -> None:
    job: Job = json.loads(sys.stdin.readline() or "{}")
    if not job:
        return
    channel = SupervisorChannel(Path(job["folder"]))
    threading.Thread(target=processes.exit_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, _request_stop)
    try:
        connect(job["cluster"])
        execute_with_retries(job, channel)
    except StopRequested:
        pass
    except Exception as error:
        reason = failure_reason(error, job["cluster"])
        channel.send("finished", status="failed", reason=reason)
    with contextlib.suppress(Exception):
        ray.shutdown()
    os._exit(0)


def _request_stop(*_: Any) -> None:
    raise StopRequested


def connect(address: str) -> None:
    """Connects this process to a cluster. Raises OSError and Ray's errors if that fails."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    runtime = {"py_modules": PACKAGES, "excludes": ["__pycache__", "share"]}
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            initialize(address, runtime)
            return
        except ConnectionAbortedError:
            # For each client of ray://, Ray starts a server, which may fail on a busy machine.
            if attempt == MAX_ATTEMPTS:
                raise
            time.sleep(attempt)


def initialize(address: str, runtime_env: dict[str, Any]) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address, namespace="executable-history", runtime_env=runtime_env, **RAY_LOGGING)


def execute_with_retries(job: Job, channel: SupervisorChannel) -> None:
    """Executes the run; starts it anew when its node is lost, up to MAX_ATTEMPTS times in all."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            execute(job, channel)
            return
        except NODE_LOST_ERRORS:
            if channel.finished:
                return
            if attempt == MAX_ATTEMPTS:
                raise
            channel.send("restarted")


def execute(job: Job, channel: SupervisorChannel) -> None:
    """Executes the run on the cluster and forwards what it sends, until it has ended.

    Raises one of NODE_LOST_ERRORS when its node is lost.
    """
    resources = required_resources(job["device"], job["processes"], ray.cluster_resources())
    # On CPUs the trials are tasks of their own (kb.runs.cluster_trials), and the run only arranges
    # them. A run that has several processes executes in one piece.
    has_gpu = bool(resources.get("num_gpus"))
    spread = not (has_gpu or job["processes"] > 1)
    if spread:
        resources = {"num_cpus": 0, "scheduling_strategy": "SPREAD"}
    cluster_job = job | {"device": "cuda" if has_gpu else "cpu", "spread": spread}
    channel.send("progress", done=0.0, total=0.0, note="waits for a place on the cluster")
    is_client = job["cluster"].startswith("ray://")
    pieces = (RelayedPieces if is_client else DirectPieces)(cluster_job, resources)
    try:
        for piece in pieces:
            channel.forward_piece(piece)
    except StopRequested:
        pieces.cancel()
        raise


def required_resources(device: str, processes: int, available: dict[str, float]) -> dict[str, Any]:
    """What the task requires of a node, as Ray's options. `auto` takes a GPU if there are any.

    Raises UnavailableResources if no node of the cluster can have it.
    """
    gpus = available.get("GPU", 0)
    kind = device.split(":")[0]
    if kind not in ("auto", "cpu", "cuda"):
        raise UnavailableResources(f"Ray gives out cpu and cuda, not {device}")
    if kind == "cuda" and not gpus:
        raise UnavailableResources("the cluster has no GPU; `--device cpu` needs none")
    resources: dict[str, Any] = {"num_cpus": processes}
    if gpus and kind != "cpu":
        resources["num_gpus"] = processes
    return resources


def failure_reason(error: Exception, address: str) -> str:
    """Why the run failed, in a sentence."""
    words = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, UnavailableResources):
        return words
    if isinstance(error, NODE_LOST_ERRORS):
        return f"the cluster lost the node that it ran on, {MAX_ATTEMPTS} times"
    if isinstance(error, OSError | RuntimeError | RayError):
        return f"the cluster at {address} can't be reached or used: {words}"
    return words


if __name__ == "__main__":
    main()
