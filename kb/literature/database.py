"""The database of imported works, an SQLite file of its own: KB_HOME/outside.sqlite3."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kb import paths
from kb.literature.works import Work

TABLES = """
CREATE TABLE IF NOT EXISTS work (
    id INTEGER PRIMARY KEY, title TEXT, people TEXT, year INTEGER, venue TEXT, doi TEXT,
    arxiv TEXT, url TEXT, abstract TEXT
);
CREATE TABLE IF NOT EXISTS facet (  -- narrow, because a search reads the row of every match
    id INTEGER PRIMARY KEY, year INTEGER, source INTEGER, code INTEGER
);
CREATE TABLE IF NOT EXISTS name (  -- of identifiers such as doi:10.1/x, and of titles
    hash INTEGER PRIMARY KEY, work INTEGER
);
CREATE TABLE IF NOT EXISTS cites (
    work INTEGER, hash INTEGER, PRIMARY KEY (work, hash)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cited ON cites (hash);
CREATE INDEX IF NOT EXISTS named ON name (work);
CREATE TABLE IF NOT EXISTS key (  -- what files call a work: no identity, but a reason to tell
    hash INTEGER PRIMARY KEY, work INTEGER
);
CREATE TABLE IF NOT EXISTS contribution (  -- each record of the works that have several
    id INTEGER PRIMARY KEY, work INTEGER, import INTEGER, data TEXT
);
CREATE INDEX IF NOT EXISTS contributed ON contribution (work);
CREATE TABLE IF NOT EXISTS code (work INTEGER, url TEXT, PRIMARY KEY (work, url)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS import (
    id INTEGER PRIMARY KEY, file TEXT, digest TEXT, records INTEGER DEFAULT 0,
    added INTEGER DEFAULT 0, merged INTEGER DEFAULT 0, rejected INTEGER DEFAULT 0,
    reasons TEXT DEFAULT '{}', begun REAL, finished REAL
);
CREATE VIRTUAL TABLE IF NOT EXISTS work_text USING fts5(
    title, people, venue, abstract, content = work, content_rowid = id,
    tokenize = "unicode61 remove_diacritics 2"
);
"""
IMPORT_COLUMNS = {  # that libraries of version 1 don't have
    "format": "TEXT DEFAULT ''",
    "updated": "INTEGER DEFAULT 0",
    "repeated": "INTEGER DEFAULT 0",
    "notes": "TEXT DEFAULT '{}'",
    "changes": "TEXT DEFAULT '[]'",
    "found": "TEXT DEFAULT '{}'",
}
VERSION = 2  # PRAGMA user_version; 0 is version 1, which didn't write it
PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -64000;  -- kB; the hashes of half a million works are written in random order
PRAGMA wal_autocheckpoint = 16000;  -- pages; each is copied once, not with every batch
"""
TEXT_COLUMNS = "title, people, venue, abstract"

WorkRow = tuple[int, str, str, int | None, str, str, str, str, str]  # as in the table `work`


def library_path(home: Path | None = None) -> Path:
    return (home or paths.home()) / "outside.sqlite3"


def open_library(home: Path | None = None) -> sqlite3.Connection:
    """Opens the library, creating it if there is none; it is in autocommit mode.

    A library of an earlier version gets what it lacks. Raises RuntimeError for a later version.
    """
    path = library_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.executescript(PRAGMAS)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise RuntimeError(f"{path} was written by a later version of kb; install that version")
    if version < VERSION:
        _upgrade(connection)
    return connection


def _upgrade(connection: sqlite3.Connection) -> None:
    connection.executescript(TABLES)
    with transaction(connection):
        known = {row[1] for row in connection.execute("PRAGMA table_info(import)")}
        for name, declaration in IMPORT_COLUMNS.items():
            if name not in known:
                connection.execute(f"ALTER TABLE import ADD COLUMN {name} {declaration}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits at the end of the block, rolls back if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def select_in(connection: sqlite3.Connection, query: str, values: Iterable[int]) -> Iterator[Any]:
    """The rows of a query that ends with `IN`, which may have any number of values."""
    yield from connection.execute(
        f"{query} (SELECT value FROM json_each(?))", (json.dumps(list(values)),)
    )


def work_to_row(id: int, work: Work) -> WorkRow:
    people = "; ".join(work.authors)
    identifiers = (work.doi, work.arxiv, work.url)
    return (id, work.title, people, work.year, work.venue, *identifiers, work.abstract)


def row_to_work(row: Sequence[Any]) -> Work:
    _, title, people, year, *rest = row
    return Work(title, tuple(people.split("; ")) if people else (), year, *rest)
