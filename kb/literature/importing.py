"""Imports a file of literature, in batches that can be interrupted at any moment.

Each batch is one transaction that also records how many records are done, so a later import of the
same file continues there. The works can be searched once the import is finished: the last
transaction indexes their words.
"""

import dataclasses
import hashlib
import itertools
import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kb.literature.database import library_path, open_library, transaction
from kb.literature.matching import match_works
from kb.literature.readers import read_works
from kb.literature.storing import index_works, store_batch
from kb.literature.works import Record, Work

BATCH_RECORDS = 5_000  # in one transaction
MAX_REPORTED = 1_000  # rejected records of an import that are written to its report
MAX_REASON = 80  # characters


class ImportRunning(RuntimeError):
    """Another process is importing into this library."""


@dataclass(frozen=True)
class Import:
    """The progress of an import.

    `records` were read; of these `added` are new works, `merged` completed a known work, and
    `rejected` could not be used, for these `reasons` with how often each occurred.
    """

    id: int
    file: str
    records: int
    added: int
    merged: int
    rejected: int
    reasons: dict[str, int]
    begun: float
    finished: float | None

    def __str__(self) -> str:
        return (
            f"{self.records:,} records: {self.added:,} added, {self.merged:,} merged, "
            f"{self.rejected:,} rejected{'' if self.finished else ', not finished'}"
        )


def list_imports(connection: sqlite3.Connection) -> list[Import]:
    """Every import, the oldest first."""
    columns = [field.name for field in dataclasses.fields(Import)]
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM import ORDER BY id")
    imports = []
    for row in rows:
        fields = dict(zip(columns, row, strict=True))
        imports.append(Import(**fields | {"reasons": json.loads(fields["reasons"])}))
    return imports


def import_file(
    file: Path,
    format_name: str = "auto",
    home: Path | None = None,
    on_progress: Callable[[Import], None] = lambda _: None,
) -> Import:
    """Imports a file, or continues an interrupted import of it.

    A file whose content was imported before is left alone. `on_progress` is called after each
    batch. Rejected records and the reasons are written to `KB_HOME/imports/`.

    Raises Unreadable for a file that can't be read at all, ImportRunning while another process
    imports.
    """
    with closing(open_library(home)) as connection, lock_library(home):
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        previous = _find_import(connection, digest)
        if previous and previous.finished:
            return previous
        records = read_works(file, format_name)
        first = list(itertools.islice(records, 1))  # an unreadable file raises before any writing
        current = previous or _start_import(connection, file, digest)
        report = _report_path(current.id, file, home)
        remaining = itertools.islice(itertools.chain(first, records), current.records, None)
        while batch := list(itertools.islice(remaining, BATCH_RECORDS)):
            _import_batch(connection, current.id, batch, report)
            on_progress(_read_import(connection, current.id))
        with transaction(connection):
            index_works(connection, current.id)
            connection.execute(
                "UPDATE import SET finished = ? WHERE id = ?", (time.time(), current.id)
            )
        connection.execute("ANALYZE")
        return _read_import(connection, current.id)


@contextmanager
def lock_library(home: Path | None = None) -> Iterator[None]:
    """Keeps other processes from importing; the lock is released however this process ends.

    Raises ImportRunning.
    """
    import fcntl

    with library_path(home).with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImportRunning(
                "another import is running; wait for it, or stop it and continue it later"
            ) from None
        yield


def _find_import(connection: sqlite3.Connection, digest: str) -> Import | None:
    row = connection.execute("SELECT id FROM import WHERE digest = ?", (digest,)).fetchone()
    return _read_import(connection, row[0]) if row else None


def _start_import(connection: sqlite3.Connection, file: Path, digest: str) -> Import:
    cursor = connection.execute(
        "INSERT INTO import (file, digest, begun) VALUES (?, ?, ?)",
        (str(file.resolve()), digest, time.time()),
    )
    return _read_import(connection, cursor.lastrowid)


def _read_import(connection: sqlite3.Connection, id: int | None) -> Import:
    return next(entry for entry in list_imports(connection) if entry.id == id)


def _report_path(import_id: int, file: Path, home: Path | None) -> Path:
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", file.name)
    return library_path(home).parent / "imports" / f"{import_id}-{name}.rejected.jsonl"


def _import_batch(
    connection: sqlite3.Connection, import_id: int, batch: Sequence[Record], report: Path
) -> None:
    works = [result for _, result in batch if isinstance(result, Work)]
    rejected = [(where, str(result)) for where, result in batch if not isinstance(result, Work)]
    with transaction(connection):
        matched = match_works(connection, works)
        store_batch(connection, import_id, matched)
        before = _read_import(connection, import_id)
        reasons = Counter(before.reasons)
        reasons.update(_without_details(reason) for _, reason in rejected)
        added = len(matched.added)
        connection.execute(
            "UPDATE import SET records = records + ?, added = added + ?, merged = merged + ?, "
            "rejected = rejected + ?, reasons = ? WHERE id = ?",
            (
                len(batch),
                added,
                len(works) - added,
                len(rejected),
                json.dumps(reasons, ensure_ascii=False),
                import_id,
            ),
        )
    _append_to_report(report, rejected[: max(0, MAX_REPORTED - before.rejected)])


def _without_details(reason: str) -> str:
    """The reason without quoted values and numbers, so that equal reasons are counted together."""
    return re.sub(r"'.*'|\d+", "…", reason)[:MAX_REASON]


def _append_to_report(report: Path, rejected: Sequence[tuple[str, str]]) -> None:
    if not rejected:
        return
    report.parent.mkdir(parents=True, exist_ok=True)
    with report.open("a", encoding="utf-8") as file:
        for where, reason in rejected:
            file.write(json.dumps({"where": where, "reason": reason}, ensure_ascii=False) + "\n")
