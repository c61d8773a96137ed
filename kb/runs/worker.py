"""The process that a run is: turns what an implementation yields into events, one JSON object a line.

It waits for one job on its standard input with torch already imported, so that a click becomes a first metric at once.
It writes nothing to the database. If whoever started it dies, so does it. This is the one file of kb/ that imports torch.
"""

import contextlib
import hashlib
import importlib
import json
import os
import platform
import resource
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

import torch


def main() -> None:
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")  # events; what the run prints goes to its log instead
    line = sys.stdin.readline()
    if not line:
        return
    job: dict[str, Any] = json.loads(line)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.environ.update(job["variables"])
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    events = Events(channel, folder)
    started = time.monotonic()
    try:
        execute(job, events)
        outcome: dict[str, Any] = {"status": "succeeded"}
    except BaseException as error:
        outcome = {"status": "failed", "reason": reason(error), "traceback": traceback.format_exc()}
    sys.stdout.flush()
    events.send("finished", **outcome, usage=usage(started))
    channel.flush()
    os._exit(0)  # threads or atexit handlers that the run left behind can't hold it up


class Events:
    """The run's side of the stream of events."""

    PROGRESS_EVERY = 0.1  # seconds: nobody reads faster

    def __init__(self, channel: TextIO, folder: Path) -> None:
        self.channel, self.folder, self.figures, self.progressed = channel, folder, 0, 0.0

    def send(self, event: str, **content: Any) -> None:
        self.channel.write(json.dumps({"event": event, "at": time.time(), **content}, default=_plain) + "\n")
        self.channel.flush()

    def progress(self, done: float, total: float, note: str) -> None:
        if time.monotonic() - self.progressed >= self.PROGRESS_EVERY or done >= total:
            self.progressed = time.monotonic()
            self.send("progress", done=done, total=total, note=note)

    def figure(self, name: str, caption: str, png: bytes, step: int | None) -> None:
        safe = "".join(c if c.isalnum() or c == "-" else "-" for c in name)[:60]
        file = f"{self.figures:04d}-{safe}.png"
        self.figures += 1
        partial = self.folder / f"{file}.part"
        partial.write_bytes(png)
        partial.replace(self.folder / file)  # whole, or not there
        digest = hashlib.sha256(png).hexdigest()
        self.send("artifact", name=name, step=step, caption=caption, file=file, sha256=digest, size=len(png))


def execute(job: dict[str, Any], events: Events) -> None:
    """Runs the implementation to its end and has its rows judged."""
    module = importlib.import_module(f"impl.{job['implementation']}")
    from impl.kit import Figure, Progress, pick_device

    config = replace(module.PRESETS[job["preset"]], **_tuples(module.PRESETS[job["preset"]], job["changes"]))
    device = pick_device(job["device"])
    source = Path(str(module.__file__)).read_bytes()
    events.send("started", environment=environment(device), source_hash=hashlib.sha256(source).hexdigest())
    rows: list[dict[str, Any]] = []
    for item in module.run(config, device):
        if isinstance(item, dict):
            rows.append(item)
            events.send("row", values=item)
        elif isinstance(item, Progress):
            events.progress(item.done, item.total, item.note)
        elif isinstance(item, Figure):
            events.figure(item.name, item.caption, item.png, item.step)
        else:
            raise TypeError(f"run yielded a {type(item).__name__}; it may yield dicts, Progress and Figure")
    for verdict in module.check(rows):
        events.send("verdict", **asdict(verdict))


def environment(device: torch.device) -> dict[str, Any]:
    """What the run ran on, as far as it can make a difference."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return {
        "device": str(device),
        "device_name": name,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def usage(started: float) -> dict[str, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024
    spent = {
        "wall_seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(own.ru_utime + own.ru_stime, 3),
        "peak_memory_bytes": own.ru_maxrss * unit,
    }
    if torch.cuda.is_available():
        spent["peak_device_memory_bytes"] = torch.cuda.max_memory_allocated()
    return spent


def reason(error: BaseException) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "the device ran out of memory; choose a smaller batch or preset, or device=cpu"
    return f"{type(error).__name__}: {error}"[:500]


def _tuples(config: Any, changes: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples: a setting that is one becomes one again."""
    return {key: tuple(v) if isinstance(getattr(config, key), tuple) else v for key, v in changes.items()}


def _plain(value: Any) -> Any:
    """Tensors and arrays of one element, as numbers; anything else as its text."""
    return value.item() if hasattr(value, "item") else str(value)


def _die_with_parent() -> None:
    """Standard input ends when the supervisor does; then the whole process group goes."""
    sys.stdin.read()
    os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
