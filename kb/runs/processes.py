"""The processes of runs: a worker that is spare until it has a job, and all that it started, found again by a token."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psutil

from kb import places

TOKEN = "KB_WORKER"  # in the environment of a worker and, inherited, of whatever it starts
PIECE = 1 << 20  # bytes taken from the stream at once: one run's flood must not keep the others waiting
GRACE_SECONDS = 5.0  # between asking a run to end and ending it
LONGEST = 16 << 20  # bytes of one event
# What an event must carry beside its time, and of which type; what else it carries fits the columns of its table.
SHAPES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "ready": {"devices": list},
    "started": {"environment": dict, "source_hash": str},
    "row": {"values": dict},
    "restarted": {},
    "progress": {"done": (int, float), "total": (int, float), "note": str},
    "artifact": {"name": str, "caption": str, "file": str, "sha256": str, "size": int},
    "verdict": {"claim": str, "verdict": str, "unit": str, "n": int, "rule": str},
    "finished": {"status": str},
}


class Worker:
    """A worker process: spare until it is given a job, then the process of that run. Or `module` in its place."""

    def __init__(self, module: str = "kb.runs.worker") -> None:
        self.token = secrets.token_hex(8)
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # signals sent to the supervisor's terminal aren't for it
            cwd=places.ROOT,
            env=os.environ | {TOKEN: self.token},
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        os.set_blocking(self.stdout.fileno(), False)
        self.buffer, self.silent = b"", False

    def start(self, job: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # one that is dead by now is noticed by its end
            self.stdin.write(json.dumps(job).encode() + b"\n")
            self.stdin.flush()

    def events(self) -> list[dict[str, Any]]:
        """Some of the events that have come since the last call; none when there are no more.

        Raises ValueError if the process says something that is no event.
        """
        with contextlib.suppress(BlockingIOError):
            piece = os.read(self.stdout.fileno(), PIECE)
            self.buffer, self.silent = self.buffer + piece, not piece  # silent: nothing will come any more
        *lines, self.buffer = self.buffer.split(b"\n")
        if len(self.buffer) > LONGEST:
            raise ValueError(f"it yielded more than {LONGEST >> 20} MB at once")
        return [event for line in lines for event in said(line)]

    def ended(self) -> bool:
        return self.process.poll() is not None

    def how_it_ended(self) -> str:
        """The end of a process that said nothing of it."""
        code = self.process.returncode
        if code == -signal.SIGKILL:
            return "the process was killed (SIGKILL), by somebody or because memory ran out"
        if code < 0:
            return f"the process was ended by {signal.Signals(-code).name}"
        return f"the process ended with status {code} before the run did; its log may say why"

    def end(self, *, force: bool) -> None:
        """Asks the process and all that it started to end, or ends them."""
        if force:
            end_family(self.token)
        else:
            _signal(self.relatives(), signal.SIGTERM, signal.SIGCONT)

    def pause(self) -> None:
        _signal(self.relatives(), signal.SIGSTOP)

    def resume(self) -> None:
        _signal(self.relatives(), signal.SIGCONT)

    def relatives(self) -> list[psutil.Process]:
        """The process and its descendants."""
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def memory(self) -> int:
        """Bytes in use by it and its descendants."""
        total = 0
        for process in self.relatives():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def close(self) -> None:
        """Ends what is left of it."""
        end_family(self.token)
        self.process.wait()
        self.stdin.close()
        self.stdout.close()


def said(line: bytes) -> list[dict[str, Any]]:
    """The events of a line: one, or a list of them. Raises ValueError for what is none; text that is no text is mended."""
    try:
        found = _decoded(line.decode())
    except ValueError:
        raise ValueError(f"it wrote {line[:60]!r} where its events go") from None
    events = found if isinstance(found, list) else [found]
    if not all(map(_is_event, events)):
        raise ValueError(f"it sent an event that none is: {line[:60]!r}")
    return _mended(events) if rb"\u" in line else events


def _is_event(found: Any) -> bool:
    shape = SHAPES.get(str(found.get("event"))) if isinstance(found, dict) else None
    if shape is None or not isinstance(found.get("at"), float):
        return False
    return all(isinstance(found.get(name), kind) for name, kind in shape.items())


def _number(digits: str) -> int | float:
    """Whole numbers that the database and a curve can hold; beyond them what is nearest."""
    return int(digits) if len(digits) < 19 else float(digits)


_decoded = json.JSONDecoder(parse_int=_number).decode  # made once: json.loads makes one at every call


def _mended(value: Any) -> Any:
    """Without halves of characters, which no database stores and no page shows, and without the zero that ends texts."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "�")
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return [_mended(one) for one in value] if isinstance(value, list) else value


def end_with_parent() -> None:
    """Standard input ends when whoever started this process does; then its whole process group goes."""
    sys.stdin.read()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def end_family(token: str) -> None:
    """Ends every process that has the token, whoever its parent is by now; once more for those born meanwhile."""
    for _ in range(2):
        _signal(family(token), signal.SIGKILL)


def family(token: str) -> Iterator[psutil.Process]:
    """Every process that has the token in its environment."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(TOKEN) == token:
                yield process


def _signal(processes: Any, *signals: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for one in signals:
                process.send_signal(one)
