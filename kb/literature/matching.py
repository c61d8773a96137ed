"""Decides which records are the same work: by identifier, or by title where nothing contradicts."""

import dataclasses
import hashlib
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from kb.literature.database import row_to_work, select_in
from kb.literature.works import Work
from kb.search.normalize import casefold_ascii

MIN_TITLE_WORDS = 3  # shorter titles, such as "Introduction", belong to many works
MAX_YEARS_APART = 2  # of a preprint and its publication
MERGED_FIELDS = ("authors", "year", "venue", "doi", "arxiv", "url", "abstract")


@dataclass(frozen=True)
class MatchedBatch:
    """What a batch of works changes in the library, by the id of the work.

    `stored` are the works of the library that the batch may complete, as they were before.
    `names` are the new rows of the table `name`: from hash to id.
    """

    stored: dict[int, Work]
    added: dict[int, Work] = field(default_factory=dict)
    completed: dict[int, Work] = field(default_factory=dict)
    names: dict[int, int] = field(default_factory=dict)

    def current(self, id: int) -> Work:
        return self.added.get(id) or self.completed.get(id) or self.stored[id]


def match_works(connection: sqlite3.Connection, works: Sequence[Work]) -> MatchedBatch:
    """Finds for each work whether the library, or the batch itself, has it already."""
    identifiers = [[hash_name(name) for name in identifier_names(work)] for work in works]
    title_names = [title_name(work.title) for work in works]
    titles = [hash_name(name) if name else None for name in title_names]
    hashes = {hash for group in identifiers for hash in group}
    hashes |= {hash for hash in titles if hash is not None}
    known = dict(select_in(connection, "SELECT hash, work FROM name WHERE hash IN", hashes))
    rows = select_in(connection, "SELECT * FROM work WHERE id IN", set(known.values()))
    batch = MatchedBatch(stored={row[0]: row_to_work(row) for row in rows})
    (next_id,) = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM work").fetchone()
    for work, group, title in zip(works, identifiers, titles, strict=True):
        id = next((known[hash] for hash in group if hash in known), None)
        if id is None and title in known and is_same_work(batch.current(known[title]), work):
            id = known[title]
        if id is None:
            id = next_id
            next_id += 1
            batch.added[id] = work
        elif id in batch.added:
            batch.added[id] = merge_works(batch.added[id], work)
        else:
            batch.completed[id] = merge_works(batch.current(id), work)
        for hash in (*group, title):
            if hash is not None and hash not in known:
                known[hash] = id
                batch.names[hash] = id
    return batch


def hash_name(name: str) -> int:
    """64 bits of a name such as doi:10.1/x.

    The probability that two among a million names have the same hash is 1 in 10^7.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def identifier_names(work: Work) -> list[str]:
    """The names that belong to this work only, the most reliable first."""
    names = [f"doi:{work.doi}"] if work.doi else []
    names += [f"arxiv:{work.arxiv}"] if work.arxiv else []
    return [*names, *work.names]


def title_name(title: str) -> str:
    """A name from the title, without accents, capitals and punctuation; "" if it is too short.

    Different works may have the same one: see `is_same_work`.
    """
    words = re.findall(r"\w+", title.lower() if title.isascii() else casefold_ascii(title))
    return f"title:{' '.join(words)}" if len(words) >= MIN_TITLE_WORDS else ""


def is_same_work(a: Work, b: Work) -> bool:
    """Whether works with one title are the same: no identifier, first author or year differs."""
    for of_a, of_b in ((a.doi, b.doi), (a.arxiv, b.arxiv)):
        if of_a and of_b and of_a != of_b:
            return False
    if a.authors and b.authors and _first_surname(a) != _first_surname(b):
        return False
    return not (a.year and b.year and abs(a.year - b.year) > MAX_YEARS_APART)


def _first_surname(work: Work) -> str:
    return casefold_ascii(work.authors[0]).split()[-1]


def merge_works(old: Work, new: Work) -> Work:
    """`old` with the fields that it lacks taken from `new`, and with what both cite and link."""
    missing = {
        name: getattr(new, name)
        for name in MERGED_FIELDS
        if not getattr(old, name) and getattr(new, name)
    }
    code = (*old.code, *new.code)
    cites = (*old.cites, *new.cites)
    return dataclasses.replace(old, **missing, code=code, cites=cites)
