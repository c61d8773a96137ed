"""Takes an import out of the library again, as if it had never been made."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from kb.literature.database import open_library, transaction, work_to_row
from kb.literature.imports import Import, find_import, lock_library, report_paths
from kb.literature.merging import merge_works
from kb.literature.storing import add_words, is_indexed, remove_words
from kb.literature.works import Work

BATCH_WORKS = 5_000  # whose words are removed at once
TABLES_OF_WORKS = {"work": "id", "facet": "id", "name": "work", "key": "work", "cites": "work"}
TABLES_OF_WORKS |= {"code": "work", "contribution": "work"}


def remove_import(import_id: int, home: Path | None = None) -> tuple[Import, int, int]:
    """Removes an import: the import as it was, how many works went, and how many others changed.

    Works that only it had go; others lose what came from it. Raises LookupError for an import that
    doesn't exist, ImportRunning while another process imports.
    """
    with closing(open_library(home)) as connection, lock_library(home):
        removed = find_import(connection, import_id)
        if removed is None:
            raise LookupError(f"there is no import {import_id}; `kb imports` lists them")
        with transaction(connection):
            query = "SELECT DISTINCT work FROM contribution WHERE import = ?"
            shared = _ids(connection, query, removed)
            ids = _ids(connection, "SELECT id FROM facet WHERE source = ?", removed)
            connection.execute("DELETE FROM contribution WHERE import = ?", (import_id,))
            gone = sorted(set(ids) - {id for id in shared if _has_records(connection, id)})
            _delete_works(connection, gone, bool(removed.finished))
            kept = sorted(set(shared) - set(gone))
            for id in kept:
                _rebuild(connection, id)
            connection.execute("DELETE FROM import WHERE id = ?", (import_id,))
        for path in report_paths(import_id, home):
            path.unlink(missing_ok=True)
        return removed, len(gone), len(kept)


def _ids(connection: sqlite3.Connection, query: str, removed: Import) -> list[int]:
    return [id for (id,) in connection.execute(query, (removed.id,))]


def _has_records(connection: sqlite3.Connection, id: int) -> bool:
    query = "SELECT 1 FROM contribution WHERE work = ? LIMIT 1"
    return connection.execute(query, (id,)).fetchone() is not None


def _delete_works(connection: sqlite3.Connection, ids: Sequence[int], indexed: bool) -> None:
    for start in range(0, len(ids), BATCH_WORKS):
        batch = ids[start : start + BATCH_WORKS]
        if indexed:
            remove_words(connection, batch)
        for table, column in TABLES_OF_WORKS.items():
            connection.execute(
                f"DELETE FROM {table} WHERE {column} IN (SELECT value FROM json_each(?))",
                (json.dumps(batch),),
            )


def _rebuild(connection: sqlite3.Connection, id: int) -> None:
    """Makes a work anew from the records that remain."""
    rows = connection.execute(
        "SELECT c.import, i.format, c.data FROM contribution c JOIN import i ON i.id = c.import "
        "WHERE c.work = ? ORDER BY c.id",
        (id,),
    ).fetchall()
    if is_indexed(connection, id):
        remove_words(connection, [id])
    source = rows[0][0]
    work, names, cites = _fold(rows)
    for table in ("name", "cites", "code"):
        connection.execute(f"DELETE FROM {table} WHERE work = ?", (id,))
    row = work_to_row(id, work)
    connection.execute("REPLACE INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute(
        "REPLACE INTO facet VALUES (?, ?, ?, ?)", (id, work.year, source, bool(work.code))
    )
    _insert_pairs(connection, "name", ((hash, id) for hash in names))
    _insert_pairs(connection, "cites", ((id, hash) for hash in cites))
    _insert_pairs(connection, "code", ((id, url) for url in work.code))
    if is_indexed(connection, id):
        add_words(connection, [id])


def _insert_pairs(
    connection: sqlite3.Connection, table: str, rows: Iterable[tuple[Any, Any]]
) -> None:
    connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", rows)


def _fold(rows: Sequence[tuple[int, str, str]]) -> tuple[Work, list[int], list[int]]:
    """The work that the records make, merged as when they were imported; its names and cites."""
    merged: Work | None = None
    names: list[int] = []
    cites: list[int] = []
    before: dict[int, str] = {}  # from import to format
    for import_id, form, text in rows:
        data = json.loads(text)
        fields = data["work"]
        lists = {name: tuple(fields[name]) for name in ("authors", "code")}
        work = Work(**fields | lists)
        names += data["names"]
        cites += data["cites"]
        corrects = bool(form) and import_id not in before and form in before.values()
        merged = work if merged is None else merge_works(merged, work, corrects)
        before[import_id] = form
    assert merged is not None
    return merged, names, cites
