"""The process that executes a run: turns what an implementation yields into events.

It imports torch, then waits for one job on its standard input, so that a run starts at once. The
events go to its standard output in the format of kb.runs.events. It writes nothing to the database,
and ends with the process that started it. This module and those that only it imports
(kb.runs.cluster_trials, kb.runs.counted_trials, kb.runs.flop_counter) are the only ones of kb/ that
import torch.
"""

import contextlib
import errno
import gc
import importlib
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

import torch

# What implementations import takes a second, too, and doesn't depend on the job.
import impl.kit
import impl.kit.broken
import impl.kit.data
import impl.kit.figures
import impl.kit.parallel
import impl.kit.trials
from kb import implementations
from kb.runs import counted_trials, environment, events, processes
from kb.runs.event_stream import EventStream, StopRequested

# Imported on first use by torch's optimizers, by data sets and by figures, which takes seconds.
PRELOADED_MODULES = ("torch._dynamo", "sklearn.datasets", "matplotlib.figure")
MAX_TRACEBACK_LENGTH = 20_000

Job = dict[str, Any]


def main() -> None:
    # Events keep the original standard output; what the run prints goes to its log instead.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    stream = EventStream(channel, reports=impl.kit.parallel.rank() == 0)
    # With an argument, this is one of several processes of a run: see exec_launcher.
    job = read_job(Path(sys.argv[1])) if len(sys.argv) > 1 else wait_for_job(stream)
    if job is None:
        return
    for target in (processes.exit_with_parent, stream.keep_flushing):
        threading.Thread(target=target, daemon=True).start()
    signal.signal(signal.SIGTERM, stream.stop)
    _prefer_as_oom_victim()
    os.environ.update(job["variables"])
    stream.folder = Path(job["folder"])
    started = time.monotonic()
    outcome = run_job(job, stream, channel)
    with contextlib.suppress(OSError):  # nothing can be flushed to a full disk
        sys.stdout.flush()
    own = outcome.pop("usage", {})
    usage = measure_usage(started)
    usage["cpu_seconds"] += own.pop("trial_cpu_seconds", 0.0)
    stream.send("finished", **outcome, usage=usage | own)
    stream.flush()
    os._exit(0)  # doesn't wait for threads or atexit handlers that the run left behind


def read_job(file: Path) -> Job:
    return dict(json.loads(file.read_text(encoding="utf-8")))


def wait_for_job(stream: EventStream) -> Job | None:
    """The job from standard input; None if that ends before a job comes."""
    try:
        stream.send("ready", devices=list_devices())
    except BrokenPipeError:  # the process that started this one is gone already
        os._exit(0)
    preload_modules()
    gc.freeze()  # garbage collections skip what has been imported
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def preload_modules() -> None:
    """Imports what most runs need later, until a job arrives."""
    for name in PRELOADED_MODULES:
        if select.select([sys.stdin], [], [], 0)[0]:
            return
        with contextlib.suppress(ImportError):  # reported by the run that needs the module
            importlib.import_module(name)


def run_job(job: Job, stream: EventStream, channel: TextIO) -> dict[str, Any]:
    """Executes the job; returns the fields of its `finished` event. Raises nothing."""
    try:
        _redirect_output_to_log(stream.folder)
        if job["processes"] > impl.kit.parallel.world():
            exec_launcher(job, channel)
        return {"status": "succeeded", "usage": execute(job, stream)}
    except BaseException as error:
        return {
            "status": "failed",
            "reason": failure_reason(error),
            "traceback": traceback.format_exc()[-MAX_TRACEBACK_LENGTH:],
        }


def exec_launcher(job: Job, channel: TextIO) -> None:
    """Replaces this process by torch's launcher, which starts several workers with the same job.

    Their events go to this process's channel.
    """
    file = Path(job["folder"]) / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    os.dup2(channel.fileno(), 1)
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={job['processes']}",
    ]
    os.execv(sys.executable, [*launcher, "-m", "kb.runs.worker", str(file)])


def _redirect_output_to_log(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]


def _prefer_as_oom_victim() -> None:
    """Where memory runs out, Linux kills the run rather than the app."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def execute(job: Job, stream: EventStream) -> dict[str, Any]:
    """Runs the implementation to its end and has its rows judged.

    Returns what it measured itself of the run's usage: the floating-point operations, and what the
    trials of a cluster used.
    """
    module = importlib.import_module(f"impl.{job['implementation']}")
    preset = module.PRESETS[job["preset"]]
    config = replace(preset, **_restore_tuples(preset, job["changes"]))
    device = impl.kit.parallel.join(impl.kit.pick_device(job["device"]))
    options = job.get("options", {})
    # On a cluster the packages kb and impl have separate parents.
    folder = Path(str(module.__file__)).parent
    source_hash = implementations.read(job["implementation"], folder).source_hash
    described = describe_environment(device, options)
    version = events.EVENT_FORMAT_VERSION
    stream.send("started", version=version, environment=described, source_hash=source_hash)
    if options.get("deterministic"):
        # cuBLAS is deterministic only with a workspace of its own.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    impl.kit.trials.keep_in(stream.folder / "trials", source_hash)
    tasks = trial_tasks(job)
    counts_file = stream.folder / f"flops-{source_hash[:12]}.json"
    counting = counting_executor(job, module, config, device, counts_file, tasks)
    impl.kit.trials.execute_with(counting or tasks)
    broken = getattr(module, "BROKEN", {})
    own: dict[str, Any] = {"memory_before_bytes": environment.resident_bytes()}
    rows = None
    with (
        impl.kit.broken.take_out(broken, options.get("broken"), config) as config,
        contextlib.suppress(counted_trials.OnlyCounted),
    ):
        rows = send_items(module.run(config, device), stream)
    impl.kit.parallel.leave()
    for verdict in [] if rows is None else module.check(rows):
        stream.send("verdict", **asdict(verdict))
    own |= counting.usage() if counting else {}
    return own | ({"trial_cpu_seconds": tasks.cpu_seconds} if tasks else {})


def counting_executor(
    job: Job, module: Any, config: Any, device: torch.device, file: Path, tasks: Any
) -> counted_trials.CountingExecutor | None:
    """What counts a run's operations on some of its trials, which it executes with `tasks`.

    None where that isn't possible: of several processes each sees its own part only, and a counter
    would keep torch.compile from compiling.
    """
    if impl.kit.parallel.world() > 1 or getattr(config, "compile", False):
        return None
    option = job.get("options", {}).get("flops")
    which = option if option == "only" else "all" if option else "some"
    dtype = torch.bfloat16 if getattr(config, "bf16", False) else torch.float32
    return counted_trials.CountingExecutor(
        module, device, file, which=which, executor=tasks, dtype=dtype
    )


def trial_tasks(job: Job) -> Any:
    """What executes the trials on the cluster that this worker runs on; None elsewhere."""
    if "ray_address" not in job:
        return None
    from kb.runs.cluster_trials import TrialTasks  # imports Ray, for a second

    return TrialTasks(job)


def send_items(items: Iterable[Any], stream: EventStream) -> list[dict[str, Any]]:
    """Sends what a run yields as events; returns its rows, to be judged.

    Raises TypeError for an item that a run may not yield.
    """
    rows = []
    for item in items:
        if isinstance(item, dict):
            rows.append(stream.row(item))
        elif isinstance(item, impl.kit.Progress):
            stream.progress(item.done, item.total, item.note)
        elif isinstance(item, impl.kit.Figure):
            stream.figure(item.name, item.caption, item.png, item.step)
        else:
            name = type(item).__name__
            raise TypeError(f"run yielded a {name}; it may yield dicts, Progress and Figure")
    return rows


def _restore_tuples(config: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """Changed settings with the tuples that JSON turned into lists."""
    return {
        name: tuple(value) if isinstance(getattr(config, name), tuple) else value
        for name, value in changes.items()
    }


def list_devices() -> list[dict[str, Any]]:
    """The devices of this machine, in the order in which `auto` prefers them."""
    devices = []
    for kind in ("cuda", "xpu", "mps"):
        module: Any = getattr(torch, kind, None)
        if module is None or not module.is_available():
            continue
        for index in range(module.device_count()):
            properties = module.get_device_properties(index) if kind != "mps" else None
            devices.append(
                {
                    "id": kind if kind == "mps" else f"{kind}:{index}",
                    "name": getattr(properties, "name", "Apple GPU"),
                    "memory": getattr(properties, "total_memory", None),
                }
            )
    return [*devices, {"id": "cpu", "name": environment.processor_name(), "memory": None}]


def describe_environment(device: torch.device, options: dict[str, Any]) -> dict[str, Any]:
    """What the run runs on, as far as that can make a difference to its results."""
    module: Any = {"cuda": torch.cuda, "xpu": torch.xpu}.get(device.type)
    name = module.get_device_name(device) if module else environment.processor_name()
    return {
        "device": str(device),
        "device_name": name,
        "driver": environment.nvidia_driver_version() if device.type == "cuda" else None,
        "deterministic": bool(options.get("deterministic")),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "processes": impl.kit.parallel.world(),
        **environment.describe_machine(),
    }


def measure_usage(started: float) -> dict[str, float]:
    """What the run has used since `started`: time, memory, and memory of its device."""
    usage = environment.measure_process(started)
    for module in (torch.cuda, torch.xpu):
        if module.is_available():
            usage["peak_device_memory_bytes"] = module.max_memory_allocated()
    if torch.backends.mps.is_available():
        # MPS reports no peak. What it holds at the end is close: it releases little before.
        usage["peak_device_memory_bytes"] = torch.mps.driver_allocated_memory()
    return usage


def failure_reason(error: BaseException) -> str:
    """Why a run failed, in a sentence."""
    if isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error):
        return "the device ran out of memory; choose a smaller batch or preset, or device=cpu"
    if isinstance(error, StopRequested):
        return "it was asked to stop"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {error.filename or 'what it printed'} couldn't be written"
    return f"{type(error).__name__}: {error}"[:500]


if __name__ == "__main__":
    main()
