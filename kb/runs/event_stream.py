"""The writing end of a run's event stream: batches rows, stores figures, stops between two lines.

The format of what it writes is described in kb.runs.events.
"""

import collections
import hashlib
import io
import itertools
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from kb.runs import events

FLUSH_SECONDS = 0.25  # no reader needs rows more often
MAX_BATCH_ROWS = 1000
MAX_ROW_VALUES = 1000
MAX_TEXT_LENGTH = 1000  # of a text in a row: texts are labels, not documents
MAX_FIGURE_BYTES = 20 << 20
MAX_FIGURE_PIXELS = 4096  # width or height: browsers fail on more
# Values that can't change and can't fail to be encoded before they are written.
SCALAR_TYPES = {float, int, bool, str, type(None)}


class StopRequested(BaseException):
    """Raised in a run's process by SIGTERM: the run was asked to stop."""


class EventStream:
    """Writes a run's events to a channel, one JSON value a line.

    The first row is written at once, later ones in batches. No row waits longer than twice
    FLUSH_SECONDS while a thread runs `keep_flushing`. This way a training loop that yields
    thousands of rows in a second spends its time on training.

    `reports` is false in all but the first of a run's processes: these write only their failure.
    """

    def __init__(self, channel: TextIO, *, reports: bool = True) -> None:
        self.channel = channel
        self.reports = reports
        self.folder = Path()
        self.figure_count = 0
        self.last_progress = 0.0
        # Encoded lines, and rows that are still to be encoded: their times and values.
        self.pending: collections.deque[Any] = collections.deque()
        self.last_flush = 0.0
        self.writing = False
        self.stop_requested = False
        # A signal may raise StopRequested in the main thread while it holds the lock.
        self.lock = threading.RLock()

    def send(self, event: str, **fields: Any) -> None:
        """Writes an event at once."""
        if self.reports or fields.get("status") == "failed":
            self.pending.append(events.encode({"event": event, "at": time.time(), **fields}))
            self.flush()

    def row(self, values: dict[str, Any]) -> dict[str, Any]:
        """Queues a row and returns a copy of it. Encoding waits for `flush` where it safely can.

        A training loop waits for this function, so it does as little as possible.
        """
        if len(values) > MAX_ROW_VALUES:
            raise ValueError(f"a row has {len(values):,} values; at most {MAX_ROW_VALUES:,}")
        copy = dict(values)
        if self.reports:
            now = time.time()
            scalar = SCALAR_TYPES.issuperset(map(type, itertools.chain(copy, copy.values())))
            self.pending.append((now, copy) if scalar else events.encode(row_event(now, copy)))
            if abs(now - self.last_flush) >= FLUSH_SECONDS or len(self.pending) > MAX_BATCH_ROWS:
                self.flush()
        return copy

    def progress(self, done: float, total: float, note: str) -> None:
        """Writes a progress event, unless one was written less than FLUSH_SECONDS ago."""
        now = time.monotonic()
        if now - self.last_progress >= FLUSH_SECONDS or done >= total:
            self.last_progress = now
            self.send("progress", done=float(done), total=float(total), note=str(note)[:300])

    def figure(self, name: str, caption: str, png: bytes, step: int | None) -> None:
        """Stores a picture in the run's folder, completely or not at all, and writes its event."""
        if not self.reports:
            return
        safe = "".join(c if c.isascii() and (c.isalnum() or c == "-") else "-" for c in name)[:60]
        file = f"{self.figure_count:04d}-{safe}.png"
        self.figure_count += 1
        png = fit_figure(png)
        partial = self.folder / f"{file}.part"
        try:
            partial.write_bytes(png)
            partial.replace(self.folder / file)
        finally:
            partial.unlink(missing_ok=True)
        self.send(
            "artifact",
            name=name[:200],
            caption=caption[:2000],
            step=None if step is None else int(step),
            file=file,
            sha256=hashlib.sha256(png).hexdigest(),
            size=len(png),
        )

    def flush(self) -> None:
        """Writes all that is pending. Raises StopRequested if that was requested meanwhile."""
        with self.lock:
            in_main_thread = threading.current_thread() is threading.main_thread()
            self.writing = in_main_thread
            pending = [self.pending.popleft() for _ in range(len(self.pending))]
            for kind, group in itertools.groupby(pending, type):
                for line in group if kind is str else encode_rows(group):
                    self.channel.write(line + "\n")
            self.channel.flush()
            self.last_flush = time.time()
            self.writing = False
        if in_main_thread and self.stop_requested:
            self.stop_requested = False
            raise StopRequested

    def keep_flushing(self) -> None:
        """Flushes what would otherwise wait for the next row. Runs for ever, in its own thread."""
        while True:
            time.sleep(FLUSH_SECONDS)
            if self.pending and abs(time.time() - self.last_flush) >= FLUSH_SECONDS:
                self.flush()

    def stop(self, *_: Any) -> None:
        """Signal handler: raises StopRequested now, or as soon as the current line is complete."""
        self.stop_requested = self.writing
        if not self.writing:
            raise StopRequested


def row_event(at: float, values: dict[str, Any]) -> dict[str, Any]:
    """A row as an event, its texts shortened."""
    shortened = {
        name: value[:MAX_TEXT_LENGTH] if isinstance(value, str) else value
        for name, value in values.items()
    }
    return {"event": "row", "at": at, "values": shortened}


def encode_rows(rows: Iterable[tuple[float, dict[str, Any]]]) -> list[str]:
    """Rows as one line, which is written and read twice as fast as a line each; as a line each
    where one line would be too long."""
    row_events = [row_event(at, values) for at, values in rows]
    line = events.encode(row_events)
    if len(line) < events.MAX_LINE_BYTES:
        return [line]
    return [events.encode(event) for event in row_events]


def fit_figure(png: bytes) -> bytes:
    """The picture, scaled down if it has too many pixels. Raises ValueError if it is too large."""
    if len(png) > MAX_FIGURE_BYTES:
        size, limit = len(png) / 1e6, MAX_FIGURE_BYTES / 1e6
        raise ValueError(f"a figure has {size:,.0f} MB; at most {limit:.0f}")
    width = int.from_bytes(png[16:20], "big")
    height = int.from_bytes(png[20:24], "big")
    if max(width, height) <= MAX_FIGURE_PIXELS:
        return png
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        image.thumbnail((MAX_FIGURE_PIXELS, MAX_FIGURE_PIXELS))
        scaled = io.BytesIO()
        image.save(scaled, "PNG")
    return scaled.getvalue()
