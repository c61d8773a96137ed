"""Writes matched works into the library, and keeps its full-text index up to date."""

import dataclasses
import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from kb.literature.database import TEXT_COLUMNS, WorkRow, select_in, work_to_row
from kb.literature.matching import MatchedBatch, hash_name
from kb.literature.merging import identifier_names, title_names
from kb.literature.works import Work

INDEX_MEMORY = 64_000_000  # bytes that FTS5 collects before it writes a segment
NO_FIELDS = ("names", "cites", "key", "notes")  # of a contribution: it has hashes, or no need


def store_batch(connection: sqlite3.Connection, import_id: int, batch: MatchedBatch) -> None:
    _store_contributions(connection, import_id, batch)
    _insert_works(connection, import_id, batch.added)
    for id, work in batch.completed.items():
        _update_work(connection, work_to_row(id, batch.stored[id]), work_to_row(id, work))
        connection.execute(
            "UPDATE facet SET year = ?, code = code OR ? WHERE id = ?",
            (work.year, bool(work.code), id),
        )
    connection.executemany("INSERT OR IGNORE INTO name VALUES (?, ?)", batch.names.items())
    connection.executemany("INSERT OR IGNORE INTO key VALUES (?, ?)", batch.keys.items())
    for works in (batch.added, batch.completed):
        connection.executemany(
            "INSERT OR IGNORE INTO code VALUES (?, ?)",
            [(id, url) for id, work in works.items() for url in work.code],
        )
        connection.executemany(
            "INSERT OR IGNORE INTO cites VALUES (?, ?)",
            [(id, hash_name(name)) for id, work in works.items() for name in work.cites],
        )


def _store_contributions(
    connection: sqlite3.Connection, import_id: int, batch: MatchedBatch
) -> None:
    """Keeps the records of works that come from several imports, so that one can be removed."""
    ids = list(batch.records)
    sources = dict(select_in(connection, "SELECT id, source FROM facet WHERE id IN", ids))
    query = "SELECT DISTINCT work FROM contribution WHERE work IN"
    several = {id for (id,) in select_in(connection, query, ids)}
    rows: list[tuple[int, int, str]] = []
    for id, records in batch.records.items():
        if id not in several:
            if sources[id] == import_id:
                continue
            rows.append((id, sources[id], _stored_contribution(connection, id, batch.stored[id])))
        rows += [(id, import_id, contribution(record)) for record in records]
    connection.executemany("INSERT INTO contribution (work, import, data) VALUES (?, ?, ?)", rows)


def contribution(work: Work) -> str:
    names = [*identifier_names(work), *title_names(work)]
    return _as_json(work, map(hash_name, names), map(hash_name, work.cites))


def _stored_contribution(connection: sqlite3.Connection, id: int, work: Work) -> str:
    """What the library has of a work with one record: the names only as their hashes."""

    def column(query: str) -> list[Any]:
        return [value for (value,) in connection.execute(query, (id,))]

    code = column("SELECT url FROM code WHERE work = ?")
    return _as_json(
        dataclasses.replace(work, code=tuple(code)),
        column("SELECT hash FROM name WHERE work = ?"),
        column("SELECT hash FROM cites WHERE work = ?"),
    )


def _as_json(work: Work, names: Iterable[int], cites: Iterable[int]) -> str:
    fields = {
        field.name: getattr(work, field.name)
        for field in dataclasses.fields(work)
        if field.name not in NO_FIELDS
    }
    data = {"work": fields, "names": list(names), "cites": list(cites)}
    return json.dumps(data, ensure_ascii=False)


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
    indexed = is_indexed(connection, new[0])
    if indexed:
        remove_words(connection, [new[0]])
    connection.execute("REPLACE INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", new)
    if indexed:
        add_words(connection, [new[0]])


def is_indexed(connection: sqlite3.Connection, id: int) -> bool:
    """Whether the import that the work counts to is finished, and its words can be searched."""
    query = """
        SELECT 1 FROM facet f JOIN import i ON i.id = f.source
        WHERE f.id = ? AND i.finished IS NOT NULL"""
    return connection.execute(query, (id,)).fetchone() is not None


def remove_words(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Takes works out of the full-text index, while the table `work` still has them as indexed."""
    connection.execute(
        f"INSERT INTO work_text (work_text, rowid, {TEXT_COLUMNS}) "
        f"SELECT 'delete', id, {TEXT_COLUMNS} FROM work "
        "WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )


def add_words(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    connection.execute(
        f"INSERT INTO work_text (rowid, {TEXT_COLUMNS}) SELECT id, {TEXT_COLUMNS} FROM work "
        "WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )


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
