"""Opening the database and loading the timeline into it. One file, SQLite in WAL mode, many readers beside one writer."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, Insert, TextClause, event, insert, text
from sqlmodel import Session, SQLModel, create_engine, delete, select

from kb import places, tables
from kb.schema import Executable, Milestone, date_range
from kb.tables import ClaimRow, LinkRow, Loaded, MilestoneRow

BUSY_SECONDS = 30  # how long a writer waits for another
# What the search box reads; the tokenizer folds accents and capitals, here and in the query.
FULL_TEXT = """
CREATE VIRTUAL TABLE IF NOT EXISTS milestone_text USING fts5(
    id, short, title, people, tags, idea, story, tokenize = "unicode61 remove_diacritics 2", prefix = '2 3'
)
"""
# What leads from a version to the next; create_all then makes the tables that are new.
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
}


class WrongVersion(RuntimeError):
    """The database file was made by another version; the message says what to do."""


def open_database(path: Path | None = None) -> Engine:
    """The database at `path` (without it, in `KB_HOME`), made if there is none.

    Raises WrongVersion if another version made it, sqlalchemy.exc.DatabaseError if the file is no database.
    """
    path = path or places.database()
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(_address(path), connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare)
    with engine.connect() as connection:
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        if version == tables.VERSION:
            return engine
        if version and version not in MIGRATIONS:
            raise WrongVersion(
                f"{path} has version {version}, this program reads version {tables.VERSION}; "
                f"move the file away, or set KB_HOME to another folder"
            )
        connection.execute(text("PRAGMA journal_mode = WAL"))
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # two that open an old file at once: one changes it
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        for step in range(version or tables.VERSION, tables.VERSION):
            for statement in MIGRATIONS[step]:
                connection.execute(text(statement))
        SQLModel.metadata.create_all(connection)
        connection.execute(text(FULL_TEXT))
        connection.execute(text(f"PRAGMA user_version = {tables.VERSION}"))
    return engine


def _address(path: Path) -> URL:
    """In a folder that can't be written SQLite can't keep its files for several readers; it is told that nobody writes."""
    if not path.exists() or os.access(path.parent, os.W_OK):
        return URL.create("sqlite", database=str(path))
    way = "mode" if path.with_name(f"{path.name}-shm").exists() else "immutable"
    query = {"uri": "true", way: "ro" if way == "mode" else "1"}
    return URL.create("sqlite", database=f"file:{quote(str(path))}", query=query)


def _prepare(connection: sqlite3.Connection, _: Any) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")  # with WAL: nothing committed is lost when a process dies
    connection.execute("PRAGMA foreign_keys = ON")


@dataclass(frozen=True)
class Changes:
    """What a load did, as ids."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: int

    def __str__(self) -> str:
        counts = {"added": self.added, "changed": self.changed, "removed": self.removed}
        return ", ".join([*(f"{len(ids)} {verb}" for verb, ids in counts.items()), f"{self.unchanged} unchanged"])


def load(engine: Engine, milestones: Sequence[Milestone], file: Path | None = None) -> Changes:
    """Makes the database's timeline equal to `milestones`, in one transaction. Runs aren't touched.

    `file` is where they came from, for `is_stale` to look at.
    """
    entries = {m.id: m.model_dump(mode="json", by_alias=True, exclude_unset=True) for m in milestones}
    with Session(engine) as session:
        before = {row.id: row for row in session.exec(select(MilestoneRow))}
        added, changed = [], []
        for position, milestone in enumerate(milestones):
            old = before.get(milestone.id)
            if old is None:
                added.append(milestone.id)
            elif old.entry != entries[milestone.id]:
                changed.append(milestone.id)
            elif old.position != position:
                old.position = position
                session.add(old)
        removed = [name for name in before if name not in entries]
        for name in [*removed, *changed]:
            _remove(session, name)
        session.flush()
        session.expunge_all()
        fresh = {*added, *changed}
        new = [(n, m) for n, m in enumerate(milestones) if m.id in fresh]
        for statement, rows in _inserts(new, entries):
            if rows:
                session.connection().execute(statement, rows)
        digest = hashlib.sha256(json.dumps(list(entries.values()), sort_keys=True).encode()).hexdigest()
        source = (str(file), _digest(file)) if file else (None, None)
        session.merge(Loaded(digest=digest, file=source[0], file_digest=source[1]))
        session.commit()
    return Changes(tuple(added), tuple(changed), tuple(removed), len(entries) - len(added) - len(changed))


def _remove(session: Session, name: str) -> None:
    session.exec(delete(MilestoneRow).where(MilestoneRow.id == name))  # type: ignore[arg-type]
    session.exec(delete(LinkRow).where(LinkRow.source == name))  # type: ignore[arg-type]
    session.exec(delete(ClaimRow).where(ClaimRow.milestone == name))  # type: ignore[arg-type]
    session.connection().execute(text("DELETE FROM milestone_text WHERE id = :id"), {"id": name})


def _inserts(
    new: Sequence[tuple[int, Milestone]], entries: dict[str, dict[str, Any]]
) -> list[tuple[Insert | TextClause, list[dict[str, Any]]]]:
    """The statements that put milestones, with their position in the file, into the tables, and the rows of each."""
    milestones, links, claims, texts = [], [], [], []
    for position, milestone in new:
        first, last = date_range(milestone.date)
        implementation = milestone.impl if isinstance(milestone, Executable) else None
        common = {name: getattr(milestone, name) for name in ("id", "track", "kind", "title", "short", "date")}
        milestones.append(
            common
            | {
                "position": position,
                "first": first.isoformat(),
                "last": last.isoformat(),
                "implementation": implementation,
                "entry": entries[milestone.id],
            }
        )
        links += [
            {"source": milestone.id, "target": link.to, "type": link.as_, "how": link.how} for link in milestone.links
        ]
        for number, claim in enumerate(milestone.claims if isinstance(milestone, Executable) else []):
            published = claim.published.model_dump(mode="json", exclude_none=True) if claim.published else None
            claims.append(
                {
                    "milestone": milestone.id,
                    "id": claim.id,
                    "position": number,
                    "implementation": implementation or "",
                    "says": claim.says,
                    "where": claim.where,
                    "published": published,
                }
            )
        texts.append(
            {
                "id": milestone.id,
                "short": milestone.short,
                "title": milestone.title,
                "people": ", ".join([*milestone.authors, *milestone.makers]),
                "tags": " ".join(milestone.tags),
                "idea": milestone.idea,
                "story": milestone.story,
            }
        )
    full_text = text("INSERT INTO milestone_text VALUES (:id, :short, :title, :people, :tags, :idea, :story)")
    return [
        (insert(MilestoneRow), milestones),
        (insert(LinkRow), links),
        (insert(ClaimRow), claims),
        (full_text, texts),
    ]


def loaded(engine: Engine) -> str | None:
    """The digest of the timeline that is loaded: what was read from it stays true as long as this stays the same."""
    with Session(engine) as session:
        return session.exec(select(Loaded.digest)).first()


def is_stale(engine: Engine, file: Path) -> bool:
    """Whether nothing is loaded yet, or what is loaded came from `file` and the file has changed since."""
    with Session(engine) as session:
        row = session.get(Loaded, 1)
    return row is None or (row.file == str(file) and row.file_digest != _digest(file))


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def milestones(engine: Engine) -> list[MilestoneRow]:
    """All of the timeline, by date."""
    with Session(engine) as session:
        return list(session.exec(select(MilestoneRow).order_by(MilestoneRow.first, MilestoneRow.position)))  # type: ignore[arg-type]


def milestone(engine: Engine, name: str) -> MilestoneRow | None:
    with Session(engine) as session:
        return session.get(MilestoneRow, name)


def claims(engine: Engine) -> list[ClaimRow]:
    """Every claim of the timeline, in its order."""
    with Session(engine) as session:
        query = (
            select(ClaimRow)
            .join(MilestoneRow, MilestoneRow.id == ClaimRow.milestone)  # type: ignore[arg-type]
            .order_by(MilestoneRow.first, ClaimRow.milestone, ClaimRow.position)  # type: ignore[arg-type]
        )
        return list(session.exec(query))
