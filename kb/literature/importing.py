"""Imports a file of literature, in batches that can be interrupted at any moment.

Each batch is one transaction that also records how many records are done, so a later import of the
same file continues there. The works can be searched once the import is finished: the last
transaction indexes their words.
"""

import hashlib
import itertools
import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from kb.formatting import format_count
from kb.literature.database import open_library, transaction
from kb.literature.imports import (
    Import,
    ImportRunning,
    find_by_digest,
    find_import,
    list_imports,
    lock_library,
    report_path,
    report_paths,
)
from kb.literature.matching import MatchedBatch, match_works
from kb.literature.readers import choose_format, open_source, read_source, require_title
from kb.literature.readers.source import TextSource
from kb.literature.storing import index_works, store_batch
from kb.literature.works import Record, Unreadable, Work

__all__ = [
    "Import",
    "ImportRunning",
    "Options",
    "find_import",
    "import_file",
    "list_imports",
    "lock_library",
    "report_paths",
]

BATCH_RECORDS = 5_000  # in one transaction
BATCH_CHARACTERS = 20_000_000  # likewise: fewer records if they are long
MAX_REPORTED = 1_000  # records of an import that are written to each of its reports
MAX_CHANGES = 50  # that are kept in the library, for the shell
MAX_KINDS = 200  # of notes and reasons that are counted apart
MAX_REASON = 80  # characters
EXPECTED_FIELDS = ("authors", "year")  # their absence from a whole file is said
LINK_FORMATS = ("pwc-links",)  # they have neither
FIELD_NOTE = "a field isn't read"  # its name matters


@dataclass(frozen=True)
class Options:
    """How a file is read where that can't be guessed; `columns` are from field to name."""

    encoding: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


def import_file(
    file: Path,
    format_name: str = "auto",
    home: Path | None = None,
    on_progress: Callable[[Import], None] = lambda _: None,
    options: Options | None = None,
) -> Import:
    """Imports a file, or continues an interrupted import of it.

    A file whose content was imported before is left alone. `on_progress` is called after each
    batch. Rejected records and the reasons are written to `KB_HOME/imports/`.

    Raises Unreadable for a file that can't be read at all, ImportRunning while another process
    imports.
    """
    options = options or Options()
    source = open_source(file, options.encoding, options.columns)
    with closing(open_library(home)) as connection, lock_library(home):
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        previous = find_by_digest(connection, digest)
        if previous and previous.finished and (previous.added or previous.merged):
            return previous
        if previous and previous.finished:  # it brought nothing: read it anew
            connection.execute("DELETE FROM import WHERE id = ?", (previous.id,))
            previous = None
        format_name = previous.format if previous and previous.format else format_name
        format_name = choose_format(source, format_name)
        require_title(source, format_name)
        current = previous or _start_import(connection, file, digest, format_name)
        records = itertools.islice(read_source(source, format_name), current.records, None)
        for batch in _batches(records):
            _import_batch(connection, current, batch, home)
            on_progress(_reread(connection, current))
        _finish(connection, current, source)
        return _reread(connection, current)


def _finish(connection: sqlite3.Connection, current: Import, source: TextSource) -> None:
    with transaction(connection):
        index_works(connection, current.id)
        done = _reread(connection, current)
        notes = Counter(done.notes)
        notes.update(_file_notes(done, source))
        connection.execute(
            "UPDATE import SET finished = ?, notes = ? WHERE id = ?",
            (time.time(), json.dumps(notes, ensure_ascii=False), current.id),
        )
    connection.execute("ANALYZE")


def _batches(records: Iterable[Record]) -> Iterable[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += _size(record[1])
        if len(batch) == BATCH_RECORDS or size > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _size(result: Work | Unreadable) -> int:
    if isinstance(result, Unreadable):
        return 0
    people = sum(map(len, result.authors))
    return len(result.title) + len(result.abstract) + people + sum(map(len, result.cites))


def _start_import(
    connection: sqlite3.Connection, file: Path, digest: str, format_name: str
) -> Import:
    cursor = connection.execute(
        "INSERT INTO import (file, digest, format, begun) VALUES (?, ?, ?, ?)",
        (str(file.resolve()), digest, format_name, time.time()),
    )
    started = find_import(connection, cursor.lastrowid)
    assert started is not None
    return started


def _reread(connection: sqlite3.Connection, current: Import) -> Import:
    found = find_import(connection, current.id)
    if found is None:
        raise RuntimeError(f"import {current.id} was removed while it was running; import it again")
    return found


def _import_batch(
    connection: sqlite3.Connection, current: Import, batch: Sequence[Record], home: Path | None
) -> None:
    works = [(where, result) for where, result in batch if isinstance(result, Work)]
    rejected = [(where, str(result)) for where, result in batch if not isinstance(result, Work)]
    with transaction(connection):
        matched = match_works(connection, [work for _, work in works], current.id)
        store_batch(connection, current.id, matched)
        before = _reread(connection, current)
        noted = [(where, note) for where, work in works for note in work.notes]
        remarks = [(works[place][0], text) for place, text in sorted(matched.remarks.items())]
        _count(connection, before, matched, len(batch), works, rejected, noted, remarks)
    file = Path(current.file)
    for kind, entries, earlier in (
        ("rejected", rejected, before.rejected),
        ("notes", sorted([*noted, *remarks]), sum(before.notes.values())),
    ):
        path = report_path(current.id, file, kind, home)
        _append_to_report(path, entries[: max(0, MAX_REPORTED - earlier)])


def _count(
    connection: sqlite3.Connection,
    before: Import,
    matched: MatchedBatch,
    records: int,
    works: Sequence[tuple[str, Work]],
    rejected: Sequence[tuple[str, str]],
    noted: Sequence[tuple[str, str]],
    remarks: Sequence[tuple[str, str]],
) -> None:
    """Adds a batch to the counts of its import."""
    found = Counter(before.found)
    for name in EXPECTED_FIELDS:
        found[name] += sum(bool(getattr(work, name)) for _, work in works)
    told = [f"{where}: {text}" for where, text in remarks]
    lists = {
        "reasons": _add_kinds(before.reasons, (reason for _, reason in rejected)),
        "notes": _add_kinds(before.notes, (note for _, note in noted)),
        "changes": [*before.changes, *told][:MAX_CHANGES],
        "found": found,
    }
    numbers = {
        "records": before.records + records,
        "added": before.added + len(matched.added),
        "merged": before.merged + len(works) - len(matched.added),
        "rejected": before.rejected + len(rejected),
        "updated": before.updated + len(matched.changed),
        "repeated": before.repeated + len(matched.repeated),
    }
    values = numbers | {
        name: json.dumps(value, ensure_ascii=False) for name, value in lists.items()
    }
    columns = ", ".join(f"{name} = :{name}" for name in values)
    connection.execute(f"UPDATE import SET {columns} WHERE id = :id", values | {"id": before.id})


def _add_kinds(counts: Mapping[str, int], texts: Iterable[str]) -> Counter[str]:
    """Counts equal reasons together; beyond some hundred different ones, as others."""
    added = Counter(counts)
    for text in texts:
        kind = text if text.startswith(FIELD_NOTE) else _without_details(text)
        added[kind if kind in added or len(added) < MAX_KINDS else "other reasons"] += 1
    return added


def _without_details(reason: str) -> str:
    """The reason without quoted values and numbers, so that equal reasons are counted together."""
    reason = reason[: 10 * MAX_REASON]
    return re.sub(r"(?<!\w)(['\"]).*\1|\d[\d,]*", "…", reason)[:MAX_REASON]


def _file_notes(current: Import, source: TextSource) -> list[str]:
    """What is said about the file as a whole."""
    works = current.records - current.rejected
    records = format_count(works, "record")
    missing = [
        f"{name if name != 'year' else 'years'} weren't found in any of {records}"
        for name in EXPECTED_FIELDS
        if works and not current.found.get(name) and current.format not in LINK_FORMATS
    ]
    return [*source.notes, *missing]


def _append_to_report(report: Path, entries: Sequence[tuple[str, str]]) -> None:
    if not entries:
        return
    report.parent.mkdir(parents=True, exist_ok=True)
    with report.open("a", encoding="utf-8") as file:
        for where, reason in entries:
            line = json.dumps({"where": where, "reason": reason}, ensure_ascii=False)
            file.write(line.encode("utf-8", "replace").decode("utf-8") + "\n")
