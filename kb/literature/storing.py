"""Writes matched works into the library, and keeps its full-text index up to date."""

import sqlite3
from collections.abc import Mapping

from kb.literature.database import TEXT_COLUMNS, WorkRow, work_to_row
from kb.literature.matching import MatchedBatch, hash_name
from kb.literature.works import Work

INDEX_MEMORY = 64_000_000  # bytes that FTS5 collects before it writes a segment


def store_batch(connection: sqlite3.Connection, import_id: int, batch: MatchedBatch) -> None:
    _insert_works(connection, import_id, batch.added)
    for id, work in batch.completed.items():
        _update_work(connection, work_to_row(id, batch.stored[id]), work_to_row(id, work))
        connection.execute(
            "UPDATE facet SET year = coalesce(year, ?), code = code OR ? WHERE id = ?",
            (work.year, bool(work.code), id),
        )
    connection.executemany("INSERT OR IGNORE INTO name VALUES (?, ?)", batch.names.items())
    for works in (batch.added, batch.completed):
        connection.executemany(
            "INSERT OR IGNORE INTO code VALUES (?, ?)",
            [(id, url) for id, work in works.items() for url in work.code],
        )
        connection.executemany(
            "INSERT OR IGNORE INTO cites VALUES (?, ?)",
            [(id, hash_name(name)) for id, work in works.items() for name in work.cites],
        )


def _insert_works(
    connection: sqlite3.Connection, import_id: int, works: Mapping[int, Work]
) -> None:
    connection.executemany(
        "INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [work_to_row(id, work) for id, work in works.items()],
    )
    connection.executemany(
        "INSERT INTO facet VALUES (?, ?, ?, ?)",
        [(id, work.year, import_id, bool(work.code)) for id, work in works.items()],
    )


def _update_work(connection: sqlite3.Connection, old: WorkRow, new: WorkRow) -> None:
    if old == new:
        return
    indexed = """
        SELECT 1 FROM facet f JOIN import i ON i.id = f.source
        WHERE f.id = ? AND i.finished IS NOT NULL"""
    if connection.execute(indexed, new[:1]).fetchone():
        connection.execute(
            f"INSERT INTO work_text (work_text, rowid, {TEXT_COLUMNS}) "
            "VALUES ('delete', ?, ?, ?, ?, ?)",
            _indexed_columns(old),
        )
        connection.execute(
            f"INSERT INTO work_text (rowid, {TEXT_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
            _indexed_columns(new),
        )
    connection.execute("REPLACE INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", new)


def _indexed_columns(row: WorkRow) -> tuple[int, str, str, str, str]:
    id, title, people, _year, venue, _doi, _arxiv, _url, abstract = row
    return id, title, people, venue, abstract


def index_works(connection: sqlite3.Connection, import_id: int) -> None:
    """Adds the works of an import to the full-text index."""
    connection.execute(
        "INSERT INTO work_text (work_text, rank) VALUES ('hashsize', ?)", (INDEX_MEMORY,)
    )
    connection.execute(
        f"INSERT INTO work_text (rowid, {TEXT_COLUMNS}) SELECT w.id, {TEXT_COLUMNS} "
        "FROM work w JOIN facet f ON f.id = w.id WHERE f.source = ? ORDER BY w.id",
        (import_id,),
    )
