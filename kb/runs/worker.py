"""The process that a run is: turns what an implementation yields into events, one JSON object a line.

It waits for one job on its standard input with torch already imported, so that a click becomes a first metric at once.
It writes nothing to the database. If whoever started it dies, so does it. This is the one file of kb/ that imports torch.
"""

import collections
import contextlib
import errno
import gc
import hashlib
import importlib
import io
import itertools
import json
import os
import platform
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

import torch

import impl.kit  # what implementations import takes a second, too, and none of it waits for the job
import impl.kit.data
import impl.kit.figures
import impl.kit.parallel
import impl.kit.verdicts
from kb.runs import processes

# What is imported only when it is used, and takes seconds then: by torch's optimizers, by data sets, by figures.
LATER = ("torch._dynamo", "sklearn.datasets", "matplotlib.figure")


def main() -> None:
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")  # events; what the run prints goes to its log instead
    stream = Events(channel)
    job = wait(stream) if len(sys.argv) < 2 else json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if job is None:
        return
    for aside in (processes.end_with_parent, stream.keep_flushing):
        threading.Thread(target=aside, daemon=True).start()
    signal.signal(signal.SIGTERM, stream.end)
    _be_first_to_go()
    os.environ.update(job["variables"])
    stream.folder = Path(job["folder"])
    started = time.monotonic()
    usage: dict[str, Any] = {}
    try:
        _print_into(stream.folder)
        if job["processes"] > impl.kit.parallel.world():
            launch(job, channel)
        usage = execute(job, stream)
        outcome: dict[str, Any] = {"status": "succeeded"}
    except BaseException as error:
        outcome = {"status": "failed", "reason": reason(error), "traceback": traceback.format_exc()[-20_000:]}
    with contextlib.suppress(OSError):  # a full disk takes no log
        sys.stdout.flush()
    stream.send("finished", **outcome, usage=spent(started) | usage)
    stream.flush()
    os._exit(0)  # threads or atexit handlers that the run left behind can't hold it up


def wait(stream: "Events") -> dict[str, Any] | None:
    """The job, when it comes."""
    try:
        stream.send("ready", devices=devices())
    except BrokenPipeError:  # whoever started it is gone already
        os._exit(0)
    warm_up()
    gc.freeze()  # all that was imported: not looked through again with every collection
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def warm_up() -> None:
    """Imports what most runs need later, as long as no job waits."""
    for name in LATER:
        if select.select([sys.stdin], [], [], 0)[0]:
            return
        with contextlib.suppress(ImportError):  # the run that needs it says so
            importlib.import_module(name)


def launch(job: dict[str, Any], channel: TextIO) -> None:
    """Becomes torch's launcher, which starts several of this with the same job; their events go where this one's would."""
    file = Path(job["folder"]) / "job.json"
    file.write_text(json.dumps(job), encoding="utf-8")
    os.dup2(channel.fileno(), 1)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={job['processes']}"]
    os.execv(sys.executable, [*launcher, "-m", "kb.runs.worker", str(file)])


def _print_into(folder: Path) -> None:
    """What the run prints goes to the log in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]


class AskedToEnd(BaseException):
    """Somebody wants the run to end."""


def _be_first_to_go() -> None:
    """Where memory runs out, Linux ends the run rather than the app."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def devices() -> list[dict[str, Any]]:
    """The devices of this machine, those that `auto` prefers first."""
    found = []
    for kind in ("cuda", "xpu", "mps"):
        module: Any = getattr(torch, kind, None)
        if module is None or not module.is_available():
            continue
        for index in range(module.device_count()):
            properties = module.get_device_properties(index) if kind != "mps" else None
            found.append(
                {
                    "id": kind if kind == "mps" else f"{kind}:{index}",
                    "name": getattr(properties, "name", "Apple GPU"),
                    "memory": getattr(properties, "total_memory", None),
                }
            )
    return [*found, {"id": "cpu", "name": processor(), "memory": None}]


SIMPLE = {float, int, bool, str, type(None)}  # nothing that changes or may fail before it is written out


class Events:
    """The run's side of the stream of events.

    The first row goes at once, those after it in batches, and none waits longer than twice EVERY: a training loop that
    yields thousands in a second spends its time on training.
    """

    EVERY = 0.25  # seconds: nobody reads faster
    LARGEST = 20 << 20  # bytes of a picture
    WIDEST = 4096  # pixels: browsers choke on more

    def __init__(self, channel: TextIO) -> None:
        self.channel, self.folder, self.figures, self.progressed = channel, Path(), 0, 0.0
        self.first = impl.kit.parallel.rank() == 0  # of several processes it speaks for all; of its failure each tells
        self.waiting: collections.deque[Any] = collections.deque()  # lines, and rows: their times and values
        self.flushed = 0.0
        self.writing = self.asked = False
        self.lock = threading.RLock()  # the run's thread may be stopped, by a signal, while it holds it

    def send(self, event: str, **content: Any) -> None:
        if self.first or content.get("status") == "failed":
            self.waiting.append(encoded({"event": event, "at": time.time(), **content}))
            self.flush()

    def row(self, values: dict[str, Any]) -> dict[str, Any]:
        """Little is done here, where a training loop waits: what can be written out later is. Returns a copy to keep."""
        if len(values) > 1000:
            raise ValueError(f"a row has {len(values):,} values; at most 1,000")
        kept = dict(values)
        if self.first:
            now = time.time()
            simple = SIMPLE.issuperset(map(type, itertools.chain(kept, kept.values())))
            self.waiting.append((now, kept) if simple else encoded(row(now, kept)))
            if abs(now - self.flushed) >= self.EVERY or len(self.waiting) > 1000:
                self.flush()
        return kept

    def flush(self) -> None:
        with self.lock:
            self.writing = mine = threading.current_thread() is threading.main_thread()
            waiting = [self.waiting.popleft() for _ in range(len(self.waiting))]
            for kind, some in itertools.groupby(waiting, type):
                for line in some if kind is str else lines(some):
                    self.channel.write(line + "\n")
            self.channel.flush()
            self.flushed, self.writing = time.time(), False
        if mine and self.asked:
            self.asked = False
            raise AskedToEnd

    def end(self, *_: Any) -> None:
        """Somebody wants the run to end: at once, or when a line is whole that is being written."""
        self.asked = self.writing
        if not self.writing:
            raise AskedToEnd

    def keep_flushing(self) -> None:
        """What would wait for the run's next row, if that is long in coming."""
        while True:
            time.sleep(self.EVERY)
            if self.waiting and abs(time.time() - self.flushed) >= self.EVERY:
                self.flush()

    def progress(self, done: float, total: float, note: str) -> None:
        if time.monotonic() - self.progressed >= self.EVERY or done >= total:
            self.progressed = time.monotonic()
            self.send("progress", done=float(done), total=float(total), note=str(note)[:300])

    def figure(self, name: str, caption: str, png: bytes, step: int | None) -> None:
        if not self.first:
            return
        safe = "".join(c if c.isascii() and (c.isalnum() or c == "-") else "-" for c in name)[:60]
        file = f"{self.figures:04d}-{safe}.png"
        self.figures += 1
        png = self._fitting(png)
        partial = self.folder / f"{file}.part"
        try:
            partial.write_bytes(png)
            partial.replace(self.folder / file)  # whole, or not there
        finally:
            partial.unlink(missing_ok=True)
        digest = hashlib.sha256(png).hexdigest()
        content = {"name": name[:200], "caption": caption[:2000], "step": None if step is None else int(step)}
        self.send("artifact", **content, file=file, sha256=digest, size=len(png))

    def _fitting(self, png: bytes) -> bytes:
        """The picture, made smaller if it is larger than a browser bears."""
        if len(png) > self.LARGEST:
            raise ValueError(f"a figure has {len(png) / 1e6:,.0f} MB; at most {self.LARGEST / 1e6:.0f}")
        width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
        if max(width, height) <= self.WIDEST:
            return png
        from PIL import Image

        with Image.open(io.BytesIO(png)) as image:
            image.thumbnail((self.WIDEST, self.WIDEST))
            smaller = io.BytesIO()
            image.save(smaller, "PNG")
        return smaller.getvalue()


def execute(job: dict[str, Any], stream: Events) -> dict[str, Any]:
    """Runs the implementation to its end and has its rows judged; returns what it can tell of the effort."""
    module = importlib.import_module(f"impl.{job['implementation']}")

    config = replace(module.PRESETS[job["preset"]], **_tuples(module.PRESETS[job["preset"]], job["changes"]))
    device = impl.kit.parallel.join(impl.kit.pick_device(job["device"]))
    options = job.get("options", {})
    source = Path(str(module.__file__)).read_bytes()
    stream.send("started", environment=environment(device, options), source_hash=hashlib.sha256(source).hexdigest())
    if options.get("deterministic"):
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # cuBLAS is deterministic only with its own workspace
        torch.use_deterministic_algorithms(True, warn_only=True)
    with _counting(bool(options.get("flops"))) as counted:
        rows = recorded(module.run(config, device), stream)
    impl.kit.parallel.leave()
    for verdict in module.check(rows):
        stream.send("verdict", **asdict(verdict))
    return dict(counted)


def recorded(items: Iterable[Any], stream: Events) -> list[dict[str, Any]]:
    """Sends on what a run yields. Returns its rows, to be judged."""
    rows = []
    for item in items:
        if isinstance(item, dict):
            rows.append(stream.row(item))
        elif isinstance(item, impl.kit.Progress):
            stream.progress(item.done, item.total, item.note)
        elif isinstance(item, impl.kit.Figure):
            stream.figure(item.name, item.caption, item.png, item.step)
        else:
            raise TypeError(f"run yielded a {type(item).__name__}; it may yield dicts, Progress and Figure")
    return rows


@contextlib.contextmanager
def _counting(wanted: bool) -> Any:
    """Counts floating-point operations where torch can (matrix products, convolutions, attention); it slows small nets."""
    counted: dict[str, Any] = {}
    if not wanted:
        yield counted
        return
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        yield counted
    counted["flops"] = counter.get_total_flops()


def environment(device: torch.device, options: dict[str, Any]) -> dict[str, Any]:
    """What the run ran on, as far as it can make a difference."""
    module: Any = {"cuda": torch.cuda, "xpu": torch.xpu}.get(device.type)
    name = module.get_device_name(device) if module else processor()
    return {
        "device": str(device),
        "device_name": name,
        "driver": driver() if device.type == "cuda" else None,
        "deterministic": bool(options.get("deterministic")),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "processes": impl.kit.parallel.world(),
        "cores": os.cpu_count(),
    }


def driver() -> str | None:
    """The NVIDIA driver's version, where Linux tells it."""
    with contextlib.suppress(OSError):
        words = Path("/proc/driver/nvidia/version").read_text().split()
        return next((word for word in words if word.count(".") >= 1 and word[0].isdigit()), None)
    return None


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    if sys.platform == "darwin":
        told = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return told.stdout.strip() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def spent(started: float) -> dict[str, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    measured = {
        "wall_seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(own.ru_utime + own.ru_stime, 3),
        "peak_memory_bytes": own.ru_maxrss * unit,
    }
    for module in (torch.cuda, torch.xpu):
        if module.is_available():
            measured["peak_device_memory_bytes"] = module.max_memory_allocated()
    if torch.backends.mps.is_available():  # what it holds at the end: it tells no peak, and gives little back before
        measured["peak_device_memory_bytes"] = torch.mps.driver_allocated_memory()
    return measured


def reason(error: BaseException) -> str:
    if isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error):
        return "the device ran out of memory; choose a smaller batch or preset, or device=cpu"
    if isinstance(error, AskedToEnd):
        return "it was asked to end"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full: {error.filename or 'what it printed'} couldn't be written"
    return f"{type(error).__name__}: {error}"[:500]


def _tuples(config: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples: a setting that is one becomes one again."""
    return {key: tuple(v) if isinstance(getattr(config, key), tuple) else v for key, v in changes.items()}


def lines(rows: Iterable[Any]) -> list[str]:
    """Rows as they are sent: in one line, which is written and read twice as fast as many, unless that gets too long."""
    events = [row(at, values) for at, values in rows]
    line = encoded(events)
    return [line] if len(line) < processes.LONGEST else [encoded(event) for event in events]


def row(at: float, values: dict[str, Any]) -> dict[str, Any]:
    """A row as an event. Its texts are labels, not documents."""
    return {"event": "row", "at": at, "values": {k: v[:1000] if isinstance(v, str) else v for k, v in values.items()}}


def _plain(value: Any) -> Any:
    """Tensors and arrays of one element, as numbers; anything else as its text."""
    return value.item() if hasattr(value, "item") else str(value)


encoded = json.JSONEncoder(default=_plain).encode  # made once: json.dumps makes one at every call


if __name__ == "__main__":
    main()
