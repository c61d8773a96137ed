"""The processes that execute runs: starts, reads, signals and kills them.

A worker and all that it starts inherit a token in their environment. By the token they are found
again, even when their parent is gone or they are in another process group.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import psutil

from kb import paths
from kb.runs import events

TOKEN_VARIABLE = "KB_WORKER"
# Bytes that are read from a worker at once: a run that sends much must not keep the others waiting.
READ_BYTES = 1 << 20
GRACE_SECONDS = 5.0  # between asking a run to end and killing it


class Worker:
    """A process that executes one run: kb.runs.worker, or another module with the same protocol.

    It waits until `send_job` gives it a run. A worker that waits is called spare.
    """

    def __init__(self, module: str = "kb.runs.worker") -> None:
        self.token = secrets.token_hex(8)
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # it gets no signals of the supervisor's terminal
            cwd=paths.ROOT,
            env=os.environ | {TOKEN_VARIABLE: self.token},
        )
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        os.set_blocking(self.stdout.fileno(), False)
        self.buffer = b""
        self.at_eof = False  # nothing more can be read

    def send_job(self, job: dict[str, Any]) -> None:
        """Gives it the run. If the process is dead already, `has_ended` will tell."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(json.dumps(job).encode() + b"\n")
            self.stdin.flush()

    def read_events(self) -> list[dict[str, Any]]:
        """Some of the events that came since the last call; none if there are no more.

        Raises ValueError if the process wrote something that is no event.
        """
        if self.at_eof:
            return []
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.stdout.fileno(), READ_BYTES)
            self.buffer += data
            self.at_eof = not data
        *lines, self.buffer = self.buffer.split(b"\n")
        if len(self.buffer) > events.MAX_LINE_BYTES:
            raise ValueError(f"it yielded more than {events.MAX_LINE_BYTES >> 20} MB at once")
        return [event for line in lines for event in events.parse_line(line)]

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def exit_reason(self) -> str:
        """Why a process ended that sent no `finished` event."""
        code = self.process.returncode
        if code == -signal.SIGKILL:
            return "the process was killed (SIGKILL), by somebody or because memory ran out"
        if code < 0:
            return f"the process was ended by {signal.Signals(-code).name}"
        return f"the process ended with status {code} before the run did; its log may say why"

    def terminate(self, *, force: bool) -> None:
        """Asks the process and its descendants to end, or kills them."""
        if force:
            kill_by_token(self.token)
        else:
            _send_signals(self.process_tree(), signal.SIGTERM, signal.SIGCONT)

    def pause(self) -> None:
        _send_signals(self.process_tree(), signal.SIGSTOP)

    def resume(self) -> None:
        _send_signals(self.process_tree(), signal.SIGCONT)

    def process_tree(self) -> list[psutil.Process]:
        """The process and its descendants."""
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        return []

    def memory_bytes(self) -> int:
        """The memory that the process and its descendants use."""
        total = 0
        for process in self.process_tree():
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
        return total

    def close(self) -> None:
        """Kills what is left of it and closes its streams. May be called again."""
        kill_by_token(self.token)
        self.process.wait()
        self.at_eof = True
        self.stdin.close()
        self.stdout.close()


def exit_with_parent() -> None:
    """Waits in a thread for the end of standard input, which comes when the parent process ends.

    Then it kills this process's group.
    """
    # Not sys.stdin.read(), which holds a lock: a fork of this process closes sys.stdin and would
    # wait for it forever.
    while os.read(0, 1024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def kill_by_token(token: str) -> None:
    """Kills every process that has the token; twice, for processes that started meanwhile."""
    for _ in range(2):
        _send_signals(processes_with_token(token), signal.SIGKILL)


def processes_with_token(token: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(TOKEN_VARIABLE) == token:
                yield process


def _send_signals(processes: Iterable[psutil.Process], *signals: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for number in signals:
                process.send_signal(number)
