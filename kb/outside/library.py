"""The store of imported works: one SQLite file beside the knowledge base's, `KB_HOME/outside.sqlite3`.

An import goes on in batches, each of them one transaction that also says how far it got; so it can be interrupted at any
moment and taken up again. Its works can be found once it has ended: their words are indexed in its last transaction.
"""

import dataclasses
import hashlib
import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kb import places
from kb.outside import readers
from kb.outside.readers import Record, Work
from kb.search import fold

BATCH = 5_000  # records in a transaction
KEPT_REASONS = 1_000  # rejected records written to the report, of each import
TABLES = """
CREATE TABLE IF NOT EXISTS work (
    id INTEGER PRIMARY KEY, title TEXT, people TEXT, year INTEGER, venue TEXT, doi TEXT, arxiv TEXT, url TEXT, abstract TEXT
);
CREATE TABLE IF NOT EXISTS facet (  -- narrow, because every work found is looked up in it
    id INTEGER PRIMARY KEY, year INTEGER, source INTEGER, code INTEGER
);
CREATE TABLE IF NOT EXISTS name (hash INTEGER PRIMARY KEY, work INTEGER);  -- doi:10.1/x and the like, hashed
CREATE TABLE IF NOT EXISTS cites (work INTEGER, hash INTEGER, PRIMARY KEY (work, hash)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cited ON cites (hash);
CREATE TABLE IF NOT EXISTS code (work INTEGER, url TEXT, PRIMARY KEY (work, url)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS import (
    id INTEGER PRIMARY KEY, file TEXT, digest TEXT, records INTEGER DEFAULT 0, added INTEGER DEFAULT 0,
    merged INTEGER DEFAULT 0, rejected INTEGER DEFAULT 0, reasons TEXT DEFAULT '{}', begun REAL, finished REAL
);
CREATE VIRTUAL TABLE IF NOT EXISTS work_text USING fts5(
    title, people, venue, abstract, content = work, content_rowid = id,
    tokenize = "unicode61 remove_diacritics 2"
);
"""
TEXTS = "title, people, venue, abstract"


class Busy(RuntimeError):
    """Another process is importing into this library."""


@dataclasses.dataclass(frozen=True)
class Import:
    """How far an import is: records read, works added, records that completed a work known before, records rejected."""

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
        counted = f"{self.records:,} records: {self.added:,} added, {self.merged:,} merged, {self.rejected:,} rejected"
        return f"{counted}{'' if self.finished else ', not finished'}"


def place(home: Path | None = None) -> Path:
    return (home or places.home()) / "outside.sqlite3"


def opened(home: Path | None = None) -> sqlite3.Connection:
    """The library, made if there is none; in autocommit mode, transactions are explicit."""
    path = place(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(
        "PRAGMA cache_size = -64000"
    )  # kB: the names of half a million works, hashed, are written in no order
    connection.execute(
        "PRAGMA wal_autocheckpoint = 16000"
    )  # pages: each is copied into place once, not with every batch
    connection.executescript(TABLES)
    return connection


def imports(connection: sqlite3.Connection) -> list[Import]:
    """Every import there has been, the oldest first."""
    names = [field.name for field in dataclasses.fields(Import)]
    rows = (
        dict(zip(names, row, strict=True))
        for row in connection.execute(f"SELECT {', '.join(names)} FROM import ORDER BY id")
    )
    return [Import(**row | {"reasons": json.loads(row["reasons"])}) for row in rows]


def bring(
    file: Path, form: str = "auto", home: Path | None = None, say: Callable[[Import], None] = lambda _: None
) -> Import:
    """Imports a file, or takes up an import of it that was interrupted; a file imported before is left alone.

    `say` is told how far it is after each batch. What was rejected stands, with reasons, in `KB_HOME/imports/`. Raises
    readers.Unreadable for a file that can't be read at all, Busy while another import goes on.
    """
    connection = opened(home)
    with _alone(place(home).with_suffix(".lock")):
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        known = connection.execute("SELECT id, records, finished FROM import WHERE digest = ?", (digest,)).fetchone()
        if known and known[2]:
            return _state(connection, known[0])
        records = readers.read(file, form)
        first = next(records, None)  # a file that is no literature is refused before anything is written
        if known is None:
            row = (str(file.resolve()), digest, time.time())
            known = (
                connection.execute("INSERT INTO import (file, digest, begun) VALUES (?, ?, ?)", row).lastrowid,
                0,
                None,
            )
        number, done, _ = known
        report = (
            place(home).parent / "imports" / f"{number}-{re.sub(r'[^A-Za-z0-9.-]+', '-', file.name)}.rejected.jsonl"
        )
        for batch in _batches(first, records, done):
            _store(connection, number, batch, report)
            say(_state(connection, number))
        _finish(connection, number)
        return _state(connection, number)


def _batches(first: Record | None, records: Iterator[Record], done: int) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for position, record in enumerate(_chain(first, records)):
        if position >= done:
            batch.append(record)
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _chain(first: Record | None, records: Iterator[Record]) -> Iterator[Record]:
    if first is not None:
        yield first
        yield from records


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """While this process imports, no other does; the system lets go of the lock when the process ends, however it ends."""
    import fcntl

    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy("another import is going on; it can be waited for, or stopped, and taken up again") from None
        yield


def _state(connection: sqlite3.Connection, number: int) -> Import:
    return next(one for one in imports(connection) if one.id == number)


# Which works are the same


def key(name: str) -> int:
    """A name such as doi:10.1/x as 64 bits: among a million names two are mistaken for one with a chance of 1 in 10^7."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)


def title_name(title: str) -> str:
    """Without accents, capitals and punctuation; "" for titles so short that many papers have them."""
    plain = " ".join(re.findall(r"\w+", title.lower() if title.isascii() else fold(title)))
    return f"title:{plain}" if plain.count(" ") >= 2 else ""


def names(work: Work) -> list[str]:
    """By what a work is known again, the surest first; the last, by its title, must be confirmed by `_alike`."""
    sure = [f"doi:{work.doi}"] if work.doi else []
    sure += [f"arxiv:{work.arxiv}"] if work.arxiv else []
    return [*sure, *work.names]


def _alike(a: Work, b: Work) -> bool:
    """Two works of one title are one unless identifiers, first authors or years say otherwise."""
    for mine, theirs in ((a.doi, b.doi), (a.arxiv, b.arxiv)):
        if mine and theirs and mine != theirs:
            return False
    if a.authors and b.authors and _surname(a) != _surname(b):
        return False
    return not (a.year and b.year and abs(a.year - b.year) > 2)  # a preprint and its publication


def _surname(work: Work) -> str:
    return fold(work.authors[0]).split()[-1]


def _joined(old: Work, new: Work) -> Work:
    """What `old` says, completed by `new`."""
    fields = ("authors", "year", "venue", "doi", "arxiv", "url", "abstract")
    gained = {field: getattr(new, field) for field in fields if not getattr(old, field) and getattr(new, field)}
    return dataclasses.replace(old, **gained, code=(*old.code, *new.code), cites=(*old.cites, *new.cites))


# Writing


def _store(connection: sqlite3.Connection, number: int, batch: Sequence[Record], report: Path) -> None:
    works = [found for _, found in batch if isinstance(found, Work)]
    rejected = [(where, str(found)) for where, found in batch if not isinstance(found, Work)]
    connection.execute("BEGIN IMMEDIATE")
    try:
        added, merged = _put(connection, number, works)
        reasons = Counter(
            json.loads(connection.execute("SELECT reasons FROM import WHERE id = ?", (number,)).fetchone()[0])
        )
        kept = sum(reasons.values())
        reasons.update(re.sub(r"'.*'|\d+", "…", reason)[:80] for _, reason in rejected)
        connection.execute(
            "UPDATE import SET records = records + ?, added = added + ?, merged = merged + ?, rejected = rejected + ?, "
            "reasons = ? WHERE id = ?",
            (len(batch), added, merged, len(rejected), json.dumps(reasons, ensure_ascii=False), number),
        )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    if rejected and kept < KEPT_REASONS:
        report.parent.mkdir(parents=True, exist_ok=True)
        with report.open("a", encoding="utf-8") as file:
            for where, reason in rejected[: KEPT_REASONS - kept]:
                file.write(json.dumps({"where": where, "reason": reason}, ensure_ascii=False) + "\n")


def _put(connection: sqlite3.Connection, number: int, works: Sequence[Work]) -> tuple[int, int]:
    """Adds works or completes those known before; returns how many of each."""
    named = [([key(name) for name in names(work)], title_name(work.title)) for work in works]
    titled = [key(title) if title else None for _, title in named]
    wanted = {hash for (hashes, _), title in zip(named, titled, strict=True) for hash in (*hashes, title) if hash}
    known: dict[int, int] = dict(_in(connection, "SELECT hash, work FROM name WHERE hash IN", wanted))
    stored = {row[0]: from_row(row) for row in _in(connection, "SELECT * FROM work WHERE id IN", set(known.values()))}
    fresh: dict[int, Work] = {}
    completed: dict[int, Work] = {}
    new_names: dict[int, int] = {}
    (following,) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM work").fetchone()
    for work, (hashes, _), title in zip(works, named, titled, strict=True):
        same = next((known[hash] for hash in hashes if hash in known), None)
        if same is None and title in known:
            candidate = known[title]
            if _alike(fresh.get(candidate) or completed.get(candidate) or stored[candidate], work):
                same = candidate
        if same is None:
            same, following = following, following + 1
            fresh[same] = work
        elif same in fresh:
            fresh[same] = _joined(fresh[same], work)
        else:
            completed[same] = _joined(completed.get(same) or stored[same], work)
        for hash in (*hashes, title):
            if hash and hash not in known:
                known[hash] = new_names[hash] = same
    _insert(connection, number, fresh)
    _complete(connection, completed, stored)
    connection.executemany("INSERT OR IGNORE INTO name VALUES (?, ?)", new_names.items())
    for place in (fresh, completed):
        connection.executemany(
            "INSERT OR IGNORE INTO code VALUES (?, ?)", [(id, url) for id, work in place.items() for url in work.code]
        )
        connection.executemany(
            "INSERT OR IGNORE INTO cites VALUES (?, ?)",
            [(id, key(name)) for id, work in place.items() for name in work.cites],
        )
    return len(fresh), len(works) - len(fresh)


def _insert(connection: sqlite3.Connection, number: int, fresh: dict[int, Work]) -> None:
    connection.executemany(
        "INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [_row(id, work) for id, work in fresh.items()]
    )
    connection.executemany(
        "INSERT INTO facet VALUES (?, ?, ?, ?)",
        [(id, work.year, number, bool(work.code)) for id, work in fresh.items()],
    )


def _complete(connection: sqlite3.Connection, completed: dict[int, Work], stored: dict[int, Work]) -> None:
    """Writes what works gained; where it is text that is searched, the index forgets the old and learns the new."""
    for id, work in completed.items():
        before, after = _row(id, stored[id]), _row(id, work)
        if before != after:
            finished = (
                "SELECT 1 FROM facet f JOIN import i ON i.id = f.source WHERE f.id = ? AND i.finished IS NOT NULL"
            )
            if connection.execute(finished, (id,)).fetchone():
                old = (id, *(before[at] for at in (1, 2, 4, 8)))
                new = (id, *(after[at] for at in (1, 2, 4, 8)))
                connection.execute(
                    f"INSERT INTO work_text (work_text, rowid, {TEXTS}) VALUES ('delete', ?, ?, ?, ?, ?)", old
                )
                connection.execute(f"INSERT INTO work_text (rowid, {TEXTS}) VALUES (?, ?, ?, ?, ?)", new)
            connection.execute("REPLACE INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", after)
        connection.execute(
            "UPDATE facet SET year = coalesce(year, ?), code = code OR ? WHERE id = ?", (work.year, bool(work.code), id)
        )


def _finish(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "INSERT INTO work_text (work_text, rank) VALUES ('hashsize', 64000000)"
        )  # bytes: few segments
        connection.execute(
            f"INSERT INTO work_text (rowid, {TEXTS}) SELECT w.id, {TEXTS} FROM work w JOIN facet f ON f.id = w.id "
            "WHERE f.source = ? ORDER BY w.id",
            (number,),
        )
        connection.execute("UPDATE import SET finished = ? WHERE id = ?", (time.time(), number))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("ANALYZE")


def _row(id: int, work: Work) -> tuple[int, str, str, int | None, str, str, str, str, str]:
    people = "; ".join(work.authors)
    return (id, work.title, people, work.year, work.venue, work.doi, work.arxiv, work.url, work.abstract)


def from_row(row: Sequence[Any]) -> Work:
    _, title, people, year, *rest = row
    return Work(title, tuple(people.split("; ")) if people else (), year, *rest)


def _in(connection: sqlite3.Connection, query: str, values: Iterable[int]) -> Iterator[Any]:
    yield from connection.execute(f"{query} (SELECT value FROM json_each(?))", (json.dumps(list(values)),))
