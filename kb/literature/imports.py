"""The imports of a library: what each brought, and what was said about it."""

import dataclasses
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kb.literature.database import library_path

JSON_COLUMNS = ("reasons", "notes", "changes", "found")


class ImportRunning(RuntimeError):
    """Another process is importing into this library."""


@dataclass(frozen=True)
class Import:
    """The progress of an import.

    `records` were read; of these `added` are new works, `merged` belong to a known work, and
    `rejected` could not be used, for these `reasons` with how often each occurred. Of the merged,
    `updated` changed what was known (the first of them are in `changes`), and `repeated` were
    before in the same file. `notes` are what was read differently than it stands there, with how
    often; `found` says in how many works each field was found.
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
    digest: str = ""
    format: str = ""
    updated: int = 0
    repeated: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    found: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        further = f", {self.updated:,} updated" if self.updated else ""
        further += f", {self.repeated:,} repeated in the file" if self.repeated else ""
        return (
            f"{self.records:,} records: {self.added:,} added, {self.merged:,} merged, "
            f"{self.rejected:,} rejected{further}{'' if self.finished else ', not finished'}"
        )


def list_imports(connection: sqlite3.Connection) -> list[Import]:
    """Every import, the oldest first."""
    return _read(connection, "ORDER BY id")


def find_import(connection: sqlite3.Connection, id: int | None) -> Import | None:
    return next(iter(_read(connection, "WHERE id = ?", id)), None)


def find_by_digest(connection: sqlite3.Connection, digest: str) -> Import | None:
    """The import of a file with this content."""
    return next(iter(_read(connection, "WHERE digest = ?", digest)), None)


def _read(connection: sqlite3.Connection, condition: str, *values: Any) -> list[Import]:
    columns = [field.name for field in dataclasses.fields(Import)]
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM import {condition}", values)
    imports = []
    for row in rows:
        fields = dict(zip(columns, row, strict=True))
        parsed = {name: json.loads(fields[name]) for name in JSON_COLUMNS}
        imports.append(Import(**fields | parsed))
    return imports


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


def report_path(import_id: int, file: Path, kind: str, home: Path | None) -> Path:
    """The report of what was rejected, or of what was noted, in KB_HOME/imports/."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", file.name)
    return library_path(home).parent / "imports" / f"{import_id}-{name}.{kind}.jsonl"


def report_paths(import_id: int, home: Path | None = None) -> list[Path]:
    return list((library_path(home).parent / "imports").glob(f"{import_id}-*.jsonl"))
