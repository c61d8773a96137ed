"""The database: opening it, and the timeline that is stored in it.

One SQLite file in WAL mode, so that many processes can read while one writes. The runs, which are
in the same file, belong to `kb.runs`.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, Insert, TextClause, event, insert, text
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, SQLModel, col, create_engine, delete, select

from kb import paths, rows, tables
from kb.database_errors import explain
from kb.rows import Row
from kb.schema import Milestone
from kb.tables import ClaimRow, LinkRow, LoadedTimeline, MilestoneRow

# The one place that says which SQLite is needed: the oldest that the tests have passed with. Every
# statement keeps to it: json_extract, not `->>` (3.38); sqlite_master, not sqlite_schema (3.33).
MIN_SQLITE_VERSION = (3, 31, 0)
BUSY_SECONDS = 30  # how long a writer waits for another
# The search reads this; the tokenizer removes accents and capitals, here and in the query.
FULL_TEXT = """
CREATE VIRTUAL TABLE IF NOT EXISTS milestone_text USING fts5(
    id, short, title, people, tags, idea, story,
    tokenize = "unicode61 remove_diacritics 2", prefix = '2 3'
)
"""
# The statements that update a database of a version to the next; create_all makes new tables.
MIGRATIONS = {
    1: (
        "ALTER TABLE run ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE run ADD COLUMN batch VARCHAR",
        "ALTER TABLE run ADD COLUMN place VARCHAR",
        "ALTER TABLE run ADD COLUMN limits JSON NOT NULL DEFAULT '{}'",
        "ALTER TABLE run ADD COLUMN options JSON NOT NULL DEFAULT '{}'",
        "ALTER TABLE run ADD COLUMN token VARCHAR",
        "CREATE INDEX ix_run_batch ON run (batch)",
        "ALTER TABLE request ADD COLUMN value INTEGER",
    ),
    2: (
        "ALTER TABLE run ADD COLUMN cluster VARCHAR",
        "ALTER TABLE run ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1",
    ),
    3: (
        "ALTER TABLE verdict ADD COLUMN kind VARCHAR NOT NULL DEFAULT 'paper'",
        "ALTER TABLE verdict ADD COLUMN scale VARCHAR NOT NULL DEFAULT 'difference'",
        "ALTER TABLE verdict ADD COLUMN note VARCHAR NOT NULL DEFAULT ''",
    ),
}


class WrongVersion(RuntimeError):
    """Another version of this program made the file; the message says what to do."""


class Unusable(RuntimeError):
    """The file is damaged or another program's, or can't be opened; the message has the remedy."""


class UnsupportedSQLite(RuntimeError):
    """Python was built with a version of SQLite that is too old."""


def open_database(path: Path | None = None) -> Engine:
    """The database at `path` (by default, the one in `KB_HOME`), created if there is none.

    Raises UnsupportedSQLite, WrongVersion if another version of this program made the file, and
    Unusable if it is no database of this program; then it is left as it is.
    """
    if sqlite3.sqlite_version_info < MIN_SQLITE_VERSION:
        raise UnsupportedSQLite(
            f"SQLite {'.'.join(map(str, MIN_SQLITE_VERSION))} or newer is needed, and this Python "
            f"has {sqlite3.sqlite_version}; use another Python, or update SQLite"
        )
    path = path or paths.database_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(_database_url(path), connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _configure_connection)
    try:
        if _needs_update(engine, path):
            _update_schema(engine)
    except (DatabaseError, UnicodeDecodeError) as error:
        engine.dispose()
        raise Unusable(explain(getattr(error, "orig", None) or error, path)) from None
    return engine


def _needs_update(engine: Engine, path: Path) -> bool:
    """Whether the file lacks tables or columns. Raises WrongVersion, and Unusable, unchanged."""
    with engine.connect() as connection:
        version = _schema_version(connection)
        statement = text("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = [str(name) for name in connection.execute(statement).scalars()]
        if names and not (version and {"milestone", "run"} <= {*names}):
            raise Unusable(
                f"{path} is another program's database, with the table {names[0]}; "
                "move it away, or set KB_HOME to another folder"
            )
        if version == tables.SCHEMA_VERSION and names:
            return False
        if version and version not in MIGRATIONS:
            raise WrongVersion(
                f"{path} has version {version}, this program reads version "
                f"{tables.SCHEMA_VERSION}; move the file away, or set KB_HOME to another folder"
            )
        connection.execute(text("PRAGMA journal_mode = WAL"))
    return True


def _schema_version(connection: Connection) -> int:
    """0 for a new file."""
    return int(connection.execute(text("PRAGMA user_version")).scalar_one())


def _update_schema(engine: Engine) -> None:
    """Creates the tables in a new file, or updates those of an older version."""
    with engine.connect() as connection, connection.begin():
        # if two processes open an old file at once, one updates it and the other waits here
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        version = _schema_version(connection) or tables.SCHEMA_VERSION
        for step in range(version, tables.SCHEMA_VERSION):
            for statement in MIGRATIONS[step]:
                connection.execute(text(statement))
        SQLModel.metadata.create_all(connection)
        connection.execute(text(FULL_TEXT))
        connection.execute(text(f"PRAGMA user_version = {tables.SCHEMA_VERSION}"))


def _database_url(path: Path) -> URL:
    """The URL of the file; in a folder that can't be written, one that opens it read-only.

    There SQLite can't create the file through which readers and writers coordinate. If another
    process has created it, mode=ro uses it; if not, nobody is writing and the file is immutable.
    """
    if not path.exists() or os.access(path.parent, os.W_OK):
        return URL.create("sqlite", database=str(path))
    shared_memory = path.with_name(f"{path.name}-shm")
    read_only = {"mode": "ro"} if shared_memory.exists() else {"immutable": "1"}
    query = {"uri": "true", **read_only}
    return URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)


def _configure_connection(connection: sqlite3.Connection, _: Any) -> None:
    # in WAL mode this is enough to lose nothing that was committed when a process dies
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


@dataclass(frozen=True)
class Changes:
    """The ids of the milestones that a load added, changed and removed."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int

    def __str__(self) -> str:
        counts = {"added": self.added, "changed": self.changed, "removed": self.removed}
        return ", ".join(
            [*(f"{len(ids)} {verb}" for verb, ids in counts.items()), f"{self.unchanged} unchanged"]
        )


def load_timeline(
    engine: Engine,
    milestones: Sequence[Milestone],
    file: Path | None = None,
    *,
    rebuild: bool = False,
) -> Changes:
    """Makes the stored timeline equal to `milestones`, in one transaction. Runs stay as they are.

    `file` is where the milestones were read from; `is_stale` compares it later. `rebuild` writes
    all of it anew, whatever is there.
    """
    entries = {
        m.id: m.model_dump(mode="json", by_alias=True, exclude_unset=True) for m in milestones
    }
    with Session(engine) as session:
        if rebuild:
            _delete_timeline(session)
        changes = _compare(session, entries)
        for id in (*changes.removed, *changes.changed):
            _delete_milestone(session, id)
        session.flush()
        session.expunge_all()
        _insert_milestones(session, milestones, entries, {*changes.added, *changes.changed})
        session.merge(
            LoadedTimeline(
                digest=digest(list(entries.values())),
                file=str(file) if file else None,
                file_digest=_file_digest(file) if file else None,
            )
        )
        session.commit()
    return changes


def digest(entries: Sequence[Row]) -> str:
    """Identifies a timeline, by its entries in their order."""
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def _delete_timeline(session: Session) -> None:
    for table in (MilestoneRow, LinkRow, ClaimRow, LoadedTimeline):
        session.exec(delete(table))
    connection = session.connection()
    connection.execute(text("DROP TABLE IF EXISTS milestone_text"))
    connection.execute(text(FULL_TEXT))


def _compare(session: Session, entries: dict[str, Row]) -> Changes:
    """What differs from the stored timeline; an entry that was only moved gets its new position."""
    stored = {row.id: row for row in session.exec(select(MilestoneRow))}
    added, changed = [], []
    for position, (id, entry) in enumerate(entries.items()):
        row = stored.get(id)
        if row is None:
            added.append(id)
        elif row.entry != entry:
            changed.append(id)
        elif row.position != position:
            row.position = position
            session.add(row)
    removed = [id for id in stored if id not in entries]
    unchanged = len(entries) - len(added) - len(changed)
    return Changes(tuple(added), tuple(changed), tuple(removed), unchanged)


def _delete_milestone(session: Session, id: str) -> None:
    session.exec(delete(MilestoneRow).where(col(MilestoneRow.id) == id))
    session.exec(delete(LinkRow).where(col(LinkRow.source) == id))
    session.exec(delete(ClaimRow).where(col(ClaimRow.milestone) == id))
    session.connection().execute(text("DELETE FROM milestone_text WHERE id = :id"), {"id": id})


def _insert_milestones(
    session: Session, milestones: Sequence[Milestone], entries: dict[str, Row], ids: set[str]
) -> None:
    """Inserts those of `milestones` that have one of these ids, with their links and claims."""

    def insert_all(statement: Insert | TextClause, new_rows: list[Row]) -> None:
        if new_rows:
            session.connection().execute(statement, new_rows)

    positioned = [(position, m) for position, m in enumerate(milestones) if m.id in ids]
    new = [m for _, m in positioned]
    insert_all(
        insert(MilestoneRow),
        [rows.milestone_row(m, position, entries[m.id]) for position, m in positioned],
    )
    insert_all(insert(LinkRow), [row for m in new for row in rows.link_rows(m)])
    insert_all(insert(ClaimRow), [row for m in new for row in rows.claim_rows(m)])
    insert_all(
        text(
            "INSERT INTO milestone_text VALUES (:id, :short, :title, :people, :tags, :idea, :story)"
        ),
        [rows.full_text_row(m) for m in new],
    )


def timeline_digest(engine: Engine) -> str | None:
    """Identifies the loaded timeline: while it stays the same, all that was read stays valid.

    None if nothing is loaded yet.
    """
    with Session(engine) as session:
        return session.exec(select(LoadedTimeline.digest)).first()


def is_stale(engine: Engine, file: Path) -> bool:
    """Whether nothing is loaded, or what is loaded came from `file`, which has changed since."""
    with Session(engine) as session:
        row = session.get(LoadedTimeline, 1)
    return row is None or (row.file == str(file) and row.file_digest != _file_digest(file))


def _file_digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def milestones(engine: Engine) -> list[MilestoneRow]:
    """Every milestone of the timeline, by date."""
    with Session(engine) as session:
        by_date = select(MilestoneRow).order_by(col(MilestoneRow.first), col(MilestoneRow.position))
        return list(session.exec(by_date))


def milestone(engine: Engine, id: str) -> MilestoneRow | None:
    with Session(engine) as session:
        return session.get(MilestoneRow, id)


def claims(engine: Engine, milestone: str | None = None) -> list[ClaimRow]:
    """Every claim of the timeline, by the date of its milestone; or those of one milestone."""
    with Session(engine) as session:
        query = (
            select(ClaimRow)
            .join(MilestoneRow, col(MilestoneRow.id) == ClaimRow.milestone)
            .order_by(col(MilestoneRow.first), col(ClaimRow.milestone), col(ClaimRow.position))
        )
        if milestone is not None:
            query = query.where(ClaimRow.milestone == milestone)
        return list(session.exec(query))
