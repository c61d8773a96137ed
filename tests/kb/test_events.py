"""The stream from a run to the supervisor: all that is yielded arrives, once and in order."""

import io
import json
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

from kb.runs import event_stream, events

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
VALUES = st.one_of(st.floats(), st.integers(-(2**53), 2**53), st.booleans(), st.none(), WORDS)
ROWS = st.lists(st.dictionaries(WORDS, VALUES, max_size=4), max_size=30)


def parse_lines(text: str) -> list[dict[str, Any]]:
    return [event for line in text.encode().splitlines() for event in events.parse_line(line)]


@given(ROWS, st.sets(st.integers(0, 30)))
def test_rows_arrive_as_they_were_yielded(rows: list[dict[str, Any]], tensors: set[int]) -> None:
    """Rows with a tensor are encoded at once, the others in batches; the order is kept."""
    channel = io.StringIO()
    stream = event_stream.EventStream(channel)
    for number, row in enumerate(rows):
        kept = stream.row(row | ({"tensor": torch.tensor(1.5)} if number in tensors else {}))
        assert repr(kept | {"tensor": 0}) == repr(row | {"tensor": 0})
    stream.flush()
    received = [event["values"] for event in parse_lines(channel.getvalue())]
    sent = [row | ({"tensor": 1.5} if number in tensors else {}) for number, row in enumerate(rows)]
    assert repr(received) == repr(sent)  # as text: nan is not nan


def test_no_line_is_longer_than_readers_accept() -> None:
    channel = io.StringIO()
    stream = event_stream.EventStream(channel)
    wide = {f"k{i}": "x" * 1000 for i in range(1000)}
    for _ in range(20):
        stream.pending.append((0.0, wide))
    stream.flush()
    lines = channel.getvalue().splitlines()
    assert max(map(len, lines)) < events.MAX_LINE_BYTES < sum(map(len, lines))
    assert [event["values"] for event in parse_lines(channel.getvalue())] == [wide] * 20


@pytest.mark.parametrize(
    "line",
    [b"[1]", b"[[]]", b'[{"event": "row", "at": 1.0}]', b"3", b"{", b"\xff", b'{"event": []}'],
)
def test_a_line_that_holds_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"where its events go|an invalid event"):
        events.parse_line(line)


def started(version: int | None) -> bytes:
    event = {"event": "started", "at": 1.0, "version": version, "environment": {}}
    return json.dumps(event | {"source_hash": "0"}).encode()


def test_another_format_version_is_refused() -> None:
    assert events.parse_line(started(events.EVENT_FORMAT_VERSION))[0]["event"] == "started"
    for version in (None, events.EVENT_FORMAT_VERSION + 1):
        with pytest.raises(ValueError, match=f"writes event format {version}, but .* reads 1"):
            events.parse_line(started(version))


def test_every_event_type_is_described() -> None:
    """The module's docstring is the format's reference: it names each type and required field."""
    assert events.__doc__
    _, described = events.__doc__.split("---------  ")
    for name, fields in events.REQUIRED_FIELDS.items():
        assert f"\n{name} " in described
        assert all(f"{field}: " in described for field in fields)


def test_a_row_waits_for_no_other() -> None:
    """The second comes right after the first was sent, and nothing after it."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as channel, os.fdopen(reading) as stream:
        writer = event_stream.EventStream(channel)
        threading.Thread(target=writer.keep_flushing, daemon=True).start()
        for step in range(2):
            writer.row({"step": step})
        received = [event for _ in range(2) for event in parse_lines(stream.readline())]
    assert [event["values"]["step"] for event in received] == [0, 1]


FLOOD = """
import os, signal
from kb.runs import event_stream

stream = event_stream.EventStream(os.fdopen(os.dup(1), "w"))
signal.signal(signal.SIGTERM, stream.stop)
step = 0
try:
    while True:
        stream.row({"step": step})
        step += 1
except event_stream.StopRequested:
    stream.send("finished", status="failed")
    os._exit(0)
"""


def test_a_flood_is_stopped_between_two_lines(until: Callable[..., Any]) -> None:
    process = subprocess.Popen([sys.executable, "-c", FLOOD], stdout=subprocess.PIPE)
    assert process.stdout
    first_byte = process.stdout.read(1)
    # It blocks in the middle of a line, since nobody reads.
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING)
    process.send_signal(signal.SIGTERM)
    *rows, last = parse_lines((first_byte + process.stdout.read()).decode())
    assert process.wait() == 0
    assert last["event"] == "finished"
    assert [event["values"]["step"] for event in rows] == list(range(len(rows)))
