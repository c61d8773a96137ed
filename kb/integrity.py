"""What is wrong with a database file, for `kb check --database`. The file is only read."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import JSON
from sqlmodel import SQLModel

from kb import db, tables
from kb.database_errors import BEGIN_ANEW, explain, is_full
from kb.formatting import format_count

REBUILD = "`kb load --rebuild` writes the timeline anew and keeps the runs"
MAX_PAGE_PROBLEMS = 10  # of those that SQLite reports
# What must be there for each row: a table's column, and the table that has it as `id`.
REFERENCES = (
    ("link", "source", "milestone", REBUILD),
    ("link", "target", "milestone", REBUILD),
    ("claim", "milestone", "milestone", REBUILD),
    ("milestone", "id", "milestone_text", REBUILD),
    ("run_row", "run", "run", BEGIN_ANEW),
    ("artifact", "run", "run", BEGIN_ANEW),
    ("verdict", "run", "run", BEGIN_ANEW),
)
TIMELINE_TABLES = ("milestone", "link", "claim", "loaded")


def find_problems(path: Path) -> list[str]:
    """Each problem in a sentence; none if the file is whole. It doesn't raise."""
    if not path.exists():
        return [f"{path} does not exist; `kb load` makes it"]
    try:
        with closing(connect(path)) as connection:
            return check_all(connection, path)
    except sqlite3.Error as error:
        return [explain(error, path)]


def check_all(connection: sqlite3.Connection, path: Path) -> list[str]:
    """The problems that the checks find, as far as they get."""
    problems: list[str] = []
    try:
        for check in CHECKS:
            problems += check(connection, path)
            if problems and check in PRECONDITIONS:
                break
    except (sqlite3.Error, UnicodeError) as error:
        problems.append(explain(error, path))
    return problems


def connect(path: Path) -> sqlite3.Connection:
    """A connection that can't write.

    Where SQLite can't create the file through which readers and writers coordinate, in a folder
    that is read-only or on a full disk, nobody writes, so the file is read as immutable.
    """
    read_only = not os.access(path.parent, os.W_OK) and not Path(f"{path}-shm").exists()
    wal = Path(f"{path}-wal")
    full = is_full(path.parent) and not (wal.exists() and wal.stat().st_size)
    mode = "immutable=1" if read_only or full else "mode=ro"
    uri = f"file:{quote(str(path.resolve()))}?{mode}"
    return sqlite3.connect(uri, uri=True, timeout=db.BUSY_SECONDS)


def is_whole(connection: sqlite3.Connection) -> bool:
    """Whether SQLite finds nothing wrong with the file's pages. Raises sqlite3.Error."""
    return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))


def _check_tables(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    """All tables and columns of this version must be there."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    present = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if not {"milestone", "run"} <= present:
        yield f"{path} is another program's database; {BEGIN_ANEW}"
    elif version != tables.SCHEMA_VERSION and version not in db.MIGRATIONS:
        yield f"{path} has version {version}; this program reads version {tables.SCHEMA_VERSION}"
    elif version == tables.SCHEMA_VERSION:
        for table in SQLModel.metadata.sorted_tables:
            columns = {row[1] for row in connection.execute(f'PRAGMA table_info("{table.name}")')}
            missing = [column.name for column in table.columns if column.name not in columns]
            if missing:
                yield f"the table {table.name} lacks {', '.join(missing)}; {BEGIN_ANEW}"


def _check_pages(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    for (message,) in connection.execute(f"PRAGMA integrity_check({MAX_PAGE_PROBLEMS})"):
        if message != "ok":
            yield f"{path} is damaged: {' '.join(str(message).split())}; {BEGIN_ANEW}"


def _check_values(connection: sqlite3.Connection, _: Path) -> Iterator[str]:
    """Text must be UTF-8, and JSON must be JSON: SQLite itself checks neither."""
    connection.text_factory = bytes
    for table in SQLModel.metadata.sorted_tables:
        present = {
            row[1].decode() for row in connection.execute(f"PRAGMA table_info({table.name})")
        }
        columns = [column for column in table.columns if column.name in present]
        if not columns:
            continue  # the table is missing, which is reported already
        names = ", ".join(f'"{column.name}"' for column in columns)
        unreadable = 0
        first = ""
        for row in connection.execute(f'SELECT {names} FROM "{table.name}"'):
            for column, value in zip(columns, row, strict=True):
                if not _is_readable(value, is_json=isinstance(column.type, JSON)):
                    unreadable += 1
                    first = first or f"{column.name} of {_as_text(row[0])}"
        if unreadable:
            yield (
                f"{format_count(unreadable, 'value')} of the table {table.name} can't be read, "
                f"the first is {first}; "
                f"{REBUILD if table.name in TIMELINE_TABLES else BEGIN_ANEW}"
            )
    connection.text_factory = str


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_readable(value: Any, *, is_json: bool) -> bool:
    if not isinstance(value, bytes):
        return True
    try:
        text = value.decode()
        if is_json:
            json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _check_references(connection: sqlite3.Connection, _: Path) -> Iterator[str]:
    for table, column, parent, remedy in REFERENCES:
        missing = connection.execute(
            f'SELECT count(*) FROM "{table}" WHERE "{column}" NOT IN (SELECT id FROM "{parent}")'
        ).fetchone()[0]
        if missing:
            rows = format_count(missing, "row")
            yield f"the table {parent} lacks what {rows} of {table} belong to; {remedy}"


def _check_timeline(connection: sqlite3.Connection, _: Path) -> Iterator[str]:
    """The milestones must be those whose digest was stored with them."""
    stored = connection.execute("SELECT digest FROM loaded").fetchone()
    rows = connection.execute("SELECT entry FROM milestone ORDER BY position").fetchall()
    if not all(_is_readable(entry.encode(), is_json=True) for (entry,) in rows):
        return  # which is reported already
    if stored and db.digest([json.loads(entry) for (entry,) in rows]) != stored[0]:
        yield f"the milestones are not those that were loaded; {REBUILD}"


def _check_figures(connection: sqlite3.Connection, path: Path) -> Iterator[str]:
    """The files of the runs beside the database must be those that were recorded."""
    if not (path.parent / "runs").is_dir():
        return
    missing = changed = 0
    for run, name, digest in connection.execute("SELECT run, file, sha256 FROM artifact"):
        file = path.parent / "runs" / run / name
        try:
            changed += hashlib.sha256(file.read_bytes()).hexdigest() != digest
        except OSError:
            missing += 1
    if missing or changed:
        yield (
            f"{format_count(missing, 'figure')} of runs can't be read and {changed} differ from "
            "what was recorded; `kb restore FOLDER` brings missing ones back from a backup"
        )


Check = Callable[[sqlite3.Connection, Path], Iterator[str]]
PRECONDITIONS: tuple[Check, ...] = (_check_tables,)  # if one fails, the rest is pointless
CHECKS: tuple[Check, ...] = (
    _check_tables,
    _check_pages,
    _check_values,
    _check_references,
    _check_timeline,
    _check_figures,
)
