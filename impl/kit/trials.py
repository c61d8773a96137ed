"""Runs trials on all cores, and keeps the finished ones so that an interrupted run can go on.

A trial trains one net. It knows nothing of the others, so that trials can run in any order and in
any number of processes, and yield the same. On Linux the processes are forks, which have torch and
the data in memory; elsewhere they are spawned. On a GPU trials run one after the other, in this
process.
"""

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch

from impl.kit import parallel
from impl.kit.events import Arrays, Figure, Progress, TrialEvent

# trial(config, device, *, arm, seed, ...): the keywords are those of its TrialJob
Trial = Callable[..., Iterator[TrialEvent]]
TrialJob = Mapping[str, Any]
# executes the trials of these indices elsewhere, and yields what run_trials yields
Executor = Callable[
    [Trial, Any, Sequence[TrialJob], Sequence[int]], Iterator[tuple[int, TrialEvent | None]]
]
WORKERS_VARIABLE = "KB_CORES"  # how many trials run at the same time, in place of all cores


class TrialFailed(RuntimeError):
    """The process of a trial ended without a result."""


def generator(seed: int, purpose: str) -> torch.Generator:
    """A source of random numbers that depends on nothing but the two.

    Each purpose (data, batches, noise) has a stream of its own, so that with one seed all arms draw
    the same for it, whatever else they draw: common random numbers.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def count_workers(jobs: int, device: torch.device) -> int:
    if device.type != "cpu" or parallel.world() > 1:
        return 1
    if WORKERS_VARIABLE in os.environ:
        cores = int(os.environ[WORKERS_VARIABLE])
    elif hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(cores, jobs))


def run_trials(
    trial: Trial, config: Any, jobs: Sequence[TrialJob], device: torch.device
) -> Iterator[tuple[int, TrialEvent | None]]:
    """(index of the job, event) as the events come, and (index, None) when a trial has ended.

    Trials that an interrupted run has kept are replayed first. Raises whatever a trial raises, and
    TrialFailed if its process dies.
    """
    finished = _kept.read_all(config, jobs) if _kept else {}
    for index, events in finished.items():
        yield from ((index, event) for event in [*events, None])
    missing = [index for index in range(len(jobs)) if index not in finished]
    events_of: dict[int, list[TrialEvent]] = {index: [] for index in missing}
    for index, event in _execute_missing(trial, config, jobs, missing, device):
        if event is None:
            events = events_of.pop(index)
            if _kept and parallel.rank() == 0:  # of several processes, all have the same
                _kept.write(index, config, jobs[index], events)
        elif not isinstance(event, Progress):
            events_of[index].append(event)
        yield index, event


def execute_with(executor: Executor | None) -> None:
    """From now on trials are executed by this, or in processes of this machine."""
    global _executor
    _executor = executor


_executor: Executor | None = None


def _execute_missing(
    trial: Trial,
    config: Any,
    jobs: Sequence[TrialJob],
    missing: Sequence[int],
    device: torch.device,
) -> Iterator[tuple[int, TrialEvent | None]]:
    if _executor:
        return _executor(trial, config, jobs, missing)
    workers = count_workers(len(missing), device)
    run = _in_turn if workers == 1 else _in_processes
    return run(trial, config, jobs, missing, device, workers)


def execute(trial: Trial, config: Any, job: TrialJob, device: torch.device) -> Iterator[TrialEvent]:
    """The events of one trial. All arms of a seed begin with the same state of torch's RNG."""
    torch.manual_seed(job["seed"])
    for event in trial(config, device, **job):
        if isinstance(event, Arrays):
            copies = {name: tensor.detach().cpu() for name, tensor in event.tensors.items()}
            event = Arrays(copies)
        yield event


def _in_turn(
    trial: Trial,
    config: Any,
    jobs: Sequence[TrialJob],
    missing: Sequence[int],
    device: torch.device,
    workers: int,
) -> Iterator[tuple[int, TrialEvent | None]]:
    for index in missing:
        for event in execute(trial, config, jobs[index], device):
            yield index, event
        yield index, None


def _in_processes(
    trial: Trial,
    config: Any,
    jobs: Sequence[TrialJob],
    missing: Sequence[int],
    device: torch.device,
    workers: int,
) -> Iterator[tuple[int, TrialEvent | None]]:
    waiting = list(reversed(missing))
    running: dict[Connection, tuple[Any, int]] = {}
    try:
        for _ in range(workers):
            started, process = _start_process([*running], trial, config, jobs, device)
            running[started] = (process, waiting.pop())
            started.send(running[started][1])
        while running:
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                process, index = running[connection]
                event = _receive(connection, process, jobs[index])
                yield index, event
                if event is None and waiting:
                    running[connection] = (process, waiting.pop())
                    connection.send(running[connection][1])
                elif event is None:
                    del running[connection]
                    connection.close()  # the process ends
                    process.join()
    finally:
        for connection, (process, _) in running.items():
            process.kill()
            process.join()
            connection.close()


def _start_process(others: Sequence[Connection], *arguments: Any) -> tuple[Connection, Any]:
    """A process that executes `_work`, and the connection to it. The `others` are not for it."""
    # A process that has used an accelerator can't be forked.
    can_fork = sys.platform == "linux" and not torch.accelerator.is_available()
    context: Any = multiprocessing.get_context("fork" if can_fork else "spawn")
    if can_fork:  # the first optimizer imports modules for a second: once here, not in every fork
        torch.optim.SGD([torch.zeros(1)])
    ours, theirs = context.Pipe()
    inherited = [ours, *others] if can_fork else []
    process = context.Process(target=_work, args=(theirs, inherited, *arguments), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _receive(connection: Connection, process: Any, job: TrialJob) -> TrialEvent | None:
    try:
        message = connection.recv()
    except (EOFError, ConnectionResetError):
        process.join()
        words = ", ".join(f"{name} {value}" for name, value in job.items())
        raise TrialFailed(
            f"the process of the trial {words} ended with status {process.exitcode}"
        ) from None
    if isinstance(message, BaseException):
        raise message
    if isinstance(message, _PackedArrays):
        return message.unpack()
    return message  # type: ignore[no-any-return]


def _work(
    connection: Connection,
    inherited: Sequence[Connection],
    trial: Trial,
    config: Any,
    jobs: Sequence[TrialJob],
    device: torch.device,
) -> None:
    """A process that executes the trials whose indices come, until the connection is closed."""
    for other in inherited:  # a copy left open would hide the end of the parent process
        other.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends this one
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            job = jobs[connection.recv()]
            try:
                for event in execute(trial, config, job, device):
                    connection.send(_PackedArrays.pack(event))
            except OSError:
                raise
            except Exception as error:
                connection.send(_picklable(error))
            else:
                connection.send(None)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)


def _picklable(error: Exception) -> Exception:
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = TrialFailed(f"{type(error).__name__}: {error}")
    error.add_note(text)
    return error


@dataclass(frozen=True)
class _PackedArrays:
    """Arrays on their way between processes: by value, where tensors would share memory."""

    arrays: dict[str, np.ndarray]

    @staticmethod
    def pack(event: TrialEvent) -> "TrialEvent | _PackedArrays":
        if not isinstance(event, Arrays):
            return event
        return _PackedArrays({name: tensor.numpy() for name, tensor in event.tensors.items()})

    def unpack(self) -> Arrays:
        return Arrays({name: torch.from_numpy(array) for name, array in self.arrays.items()})


# Finished trials


class _Kept:
    """A folder with a file for each finished trial."""

    def __init__(self, folder: Path, source_hash: str) -> None:
        self.folder, self.source_hash = folder, source_hash
        folder.mkdir(parents=True, exist_ok=True)

    def key(self, config: Any, job: TrialJob) -> str:
        """What a trial depends on. A file with another key is of no use."""
        parts = [self.source_hash, torch.__version__, asdict(config), dict(job)]
        return json.dumps(parts, sort_keys=True, default=str)

    def file(self, index: int) -> Path:
        return self.folder / f"{index:05d}.pt"

    def write(self, index: int, config: Any, job: TrialJob, events: Sequence[TrialEvent]) -> None:
        """Writes the file completely or not at all."""
        content = {"key": self.key(config, job), "events": [_to_plain(event) for event in events]}
        buffer = io.BytesIO()
        torch.save(content, buffer)
        partial = self.file(index).with_suffix(".part")
        partial.write_bytes(buffer.getbuffer())  # a full disk is an OSError here, unlike in torch
        partial.replace(self.file(index))

    def read_all(self, config: Any, jobs: Sequence[TrialJob]) -> dict[int, list[TrialEvent]]:
        """The events of the trials that have ended, by their index."""
        events = {}
        for file in sorted(self.folder.glob("*.pt")):
            index = int(file.stem)
            if index < len(jobs) and (found := self.read(file, config, jobs[index])) is not None:
                events[index] = found
        return events

    def read(self, file: Path, config: Any, job: TrialJob) -> list[TrialEvent] | None:
        """None if the file is damaged, or of another trial."""
        try:
            content = torch.load(file, weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError):
            return None
        if content["key"] != self.key(config, job):
            return None
        return [_from_plain(kind, value) for kind, value in content["events"]]


_kept: _Kept | None = None


def keep_in(folder: Path | None, source_hash: str = "") -> None:
    """From now on finished trials are kept in this folder, or not at all."""
    global _kept
    _kept = _Kept(folder, source_hash) if folder else None


def _to_plain(event: TrialEvent) -> tuple[str, Any]:
    """The event made of what torch loads without executing anything."""
    if isinstance(event, Figure):
        return "figure", asdict(event) | {
            "png": torch.frombuffer(bytearray(event.png), dtype=torch.uint8)
        }
    if isinstance(event, Arrays):
        return "arrays", dict(event.tensors)
    return "row", event


def _from_plain(kind: str, value: Any) -> TrialEvent:
    if kind == "figure":
        return Figure(**value | {"png": value["png"].numpy().tobytes()})
    return Arrays(value) if kind == "arrays" else value
