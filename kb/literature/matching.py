"""Decides which records are the same work: by identifier, or by title with author or year."""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from kb.literature.database import row_to_work, select_in
from kb.literature.merging import (
    describe_changes,
    identifier_names,
    is_same_work,
    merge_works,
    surname,
    title_names,
)
from kb.literature.works import Work

REPEATING_FORMATS = ("pwc-links",)  # a record for each repository of a paper
MAX_TITLE_SHOWN = 80  # characters


@dataclass(frozen=True)
class MatchedBatch:
    """What a batch of works changes in the library, by the id of the work.

    `stored` are the works of the library that the batch may complete, as they were before.
    `names` and `keys` are the new rows of these tables: from hash to id. `records` are those that
    are merged with a stored work. `remarks` say what became of a record, by its place in the batch;
    `changed` and `repeated` are the places of those that changed a work or were there before.
    """

    stored: dict[int, Work]
    added: dict[int, Work] = field(default_factory=dict)
    completed: dict[int, Work] = field(default_factory=dict)
    names: dict[int, int] = field(default_factory=dict)
    keys: dict[int, int] = field(default_factory=dict)
    records: dict[int, list[Work]] = field(default_factory=dict)
    remarks: dict[int, str] = field(default_factory=dict)
    changed: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)

    def current(self, id: int) -> Work:
        return self.added.get(id) or self.completed.get(id) or self.stored[id]


@dataclass(frozen=True)
class _Origins:
    """The imports that a work of the library comes from, and their formats."""

    imports: dict[int, set[int]]
    formats: dict[int, str]

    def has(self, id: int, import_id: int) -> bool:
        return import_id in self.imports.get(id, ())

    def same_format(self, id: int, import_id: int) -> bool:
        form = self.formats.get(import_id)
        earlier = self.imports.get(id, set()) - {import_id}
        return bool(form) and form in {self.formats.get(one) for one in earlier}


def match_works(
    connection: sqlite3.Connection, works: Sequence[Work], import_id: int
) -> MatchedBatch:
    """Finds for each work whether the library, or the batch itself, has it already.

    A record of the same format as an earlier one of that work is its correction; others complete
    the work. What is twice in one file is merged, and reported.
    """
    identifiers = [[hash_name(name) for name in identifier_names(work)] for work in works]
    titles = [[hash_name(name) for name in title_names(work)] for work in works]
    keys = [_key_hash(work) for work in works]
    hashes = {hash for group in (*identifiers, *titles) for hash in group}
    known = dict(select_in(connection, "SELECT hash, work FROM name WHERE hash IN", hashes))
    by_key = dict(
        select_in(connection, "SELECT hash, work FROM key WHERE hash IN", filter(None, keys))
    )
    ids = {*known.values(), *by_key.values()}
    rows = select_in(connection, "SELECT * FROM work WHERE id IN", ids)
    batch = MatchedBatch(stored={row[0]: row_to_work(row) for row in rows})
    origins = _read_origins(connection, ids)
    (next_id,) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM work").fetchone()
    for place, work in enumerate(works):
        id = _find(batch, known, work, identifiers[place], titles[place])
        if id is None:
            id, next_id = next_id, next_id + 1
            batch.added[id] = work
            _remark_on_key(batch, place, work, by_key.get(keys[place]), origins)
        else:
            _merge(batch, place, id, work, origins, import_id)
        for hash in (*identifiers[place], *titles[place]):
            if hash not in known:
                known[hash] = batch.names[hash] = id
        if keys[place] and keys[place] not in by_key:
            by_key[keys[place]] = batch.keys[keys[place]] = id
    return batch


def hash_name(name: str) -> int:
    """64 bits of a name such as doi:10.1/x.

    The probability that two among a million names have the same hash is 1 in 10^7.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def _key_hash(work: Work) -> int:
    return hash_name(f"{work.key}|{surname(work)}") if work.key and surname(work) else 0


def _read_origins(connection: sqlite3.Connection, ids: set[int]) -> _Origins:
    imports: dict[int, set[int]] = {}
    for query in (
        "SELECT id, source FROM facet WHERE id IN",
        "SELECT work, import FROM contribution WHERE work IN",
    ):
        for id, source in select_in(connection, query, ids):
            imports.setdefault(id, set()).add(source)
    return _Origins(imports, dict(connection.execute("SELECT id, format FROM import")))


def _find(
    batch: MatchedBatch,
    known: dict[int, int],
    work: Work,
    identifiers: Sequence[int],
    titles: Sequence[int],
) -> int | None:
    for hash in identifiers:
        if hash in known:
            return known[hash]
    for hash in titles:
        if hash in known and is_same_work(batch.current(known[hash]), work):
            return known[hash]
    return None


def _merge(
    batch: MatchedBatch, place: int, id: int, work: Work, origins: _Origins, import_id: int
) -> None:
    before = batch.current(id)
    if id in batch.added or id in batch.completed or origins.has(id, import_id):
        corrects = False
        if origins.formats.get(import_id) not in REPEATING_FORMATS:
            batch.repeated.append(place)
            batch.remarks[place] = f"the same work is there before: {_title(before)}"
    else:
        corrects = origins.same_format(id, import_id)
    merged = merge_works(before, work, corrects)
    if changes := describe_changes(before, merged):
        batch.changed.append(place)
        batch.remarks[place] = f"changed {_title(before)}: {'; '.join(changes)}"
    if id in batch.added:
        batch.added[id] = merged
    else:
        batch.completed[id] = merged
        batch.records.setdefault(id, []).append(work)


def _remark_on_key(
    batch: MatchedBatch, place: int, work: Work, other: int | None, origins: _Origins
) -> None:
    """Says that a new work may be the correction of another; their keys alone don't decide it."""
    if other is None:
        return
    key = work.key.partition(":")[2]
    remark = f"{key}: kept apart from {_title(batch.current(other))}, which has the same key and "
    remark += "first author but another title"
    if other not in batch.added and other in origins.imports:
        earlier = min(origins.imports[other])
        remark += f"; if this corrects it, undo the earlier import: kb import --remove {earlier}"
    batch.remarks[place] = remark


def _title(work: Work) -> str:
    return repr(work.title[:MAX_TITLE_SHOWN])
