"""The stream between a run and the supervisor: what is yielded arrives, whole, once and in order."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kb.runs import processes, worker

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
VALUES = st.one_of(st.floats(), st.integers(-(2**53), 2**53), st.booleans(), st.none(), WORDS)
ROWS = st.lists(st.dictionaries(WORDS, VALUES, max_size=4), max_size=30)


def heard(text: str) -> list[dict[str, Any]]:
    return [event for line in text.encode().splitlines() for event in processes.said(line)]


@given(ROWS, st.sets(st.integers(0, 30)))
def test_rows_arrive_as_they_were_yielded(rows: list[dict[str, Any]], tensors: set[int]) -> None:
    """Whatever the way they take: those of which a value is a tensor are written out at once, the others together."""
    channel = io.StringIO()
    stream = worker.Events(channel)
    for number, row in enumerate(rows):
        kept = stream.row(row | ({"tensor": torch.tensor(1.5)} if number in tensors else {}))
        assert repr(kept | {"tensor": 0}) == repr(row | {"tensor": 0})
    stream.flush()
    came = [event["values"] for event in heard(channel.getvalue())]
    sent = [row | ({"tensor": 1.5} if number in tensors else {}) for number, row in enumerate(rows)]
    assert repr(came) == repr(sent)  # as text: nan is not nan


def test_no_line_is_longer_than_is_read() -> None:
    channel = io.StringIO()
    stream = worker.Events(channel)
    wide = {f"k{i}": "x" * 1000 for i in range(1000)}
    for _ in range(20):
        stream.waiting.append((0.0, wide))
    stream.flush()
    lines = channel.getvalue().splitlines()
    assert max(map(len, lines)) < processes.LONGEST < sum(map(len, lines))
    assert [event["values"] for event in heard(channel.getvalue())] == [wide] * 20


@pytest.mark.parametrize(
    "line", [b"[1]", b"[[]]", b'[{"event": "row", "at": 1.0}]', b"3", b"{", b"\xff", b'{"event": []}']
)
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"where its events go|that none is"):
        processes.said(line)


def test_a_row_waits_for_no_other() -> None:
    """The second comes right after the first was sent, and nothing after it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as channel, os.fdopen(reading) as stream:
        events = worker.Events(channel)
        threading.Thread(target=events.keep_flushing, daemon=True).start()
        for step in range(2):
            events.row({"step": step})
        assert [event["values"]["step"] for _ in range(2) for event in heard(stream.readline())] == [0, 1]


FLOOD = """
import os, signal
from kb.runs import worker

stream = worker.Events(os.fdopen(os.dup(1), "w"))
signal.signal(signal.SIGTERM, stream.end)
step = 0
try:
    while True:
        stream.row({"step": step})
        step += 1
except worker.AskedToEnd:
    stream.send("finished", status="failed")
    os._exit(0)
"""


def test_a_flood_is_stopped_between_two_lines(until: Callable[..., Any]) -> None:
    process = subprocess.Popen([sys.executable, "-c", FLOOD], stdout=subprocess.PIPE)
    assert process.stdout
    begun = process.stdout.read(1)
    until(
        lambda: psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING
    )  # in the midst of a line: nobody reads
    process.send_signal(signal.SIGTERM)
    events = heard((begun + process.stdout.read()).decode())
    assert process.wait() == 0
    *rows, last = events
    assert last["event"] == "finished"
    assert [event["values"]["step"] for event in rows] == list(range(len(rows)))
