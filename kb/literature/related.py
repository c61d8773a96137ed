"""The imported works that are a milestone of the timeline, or mention or cite it."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb.literature.database import library_path, open_library, select_in
from kb.literature.matching import hash_name
from kb.literature.merging import identifier_names, title_name
from kb.literature.milestones import milestone_works
from kb.literature.search import WorkHit, read_hit
from kb.search.sql import quote_phrase

MAX_CANDIDATES = 200  # works with the words of the title
MAX_MENTIONS = 1_000
MIN_NAME = 4  # characters of a short name; a shorter one is an ordinary word elsewhere


@dataclass(frozen=True)
class RelatedWorks:
    """The works that are the milestone, the first of those that mention or cite it.

    `total` is how many do, MAX_MENTIONS for that many or more.
    """

    same: list[WorkHit]
    mentions: list[WorkHit]
    total: int


def related_works(
    milestone: Any,
    milestones: Callable[[], Mapping[int, str]],
    limit: int = 5,
    home: Path | None = None,
) -> RelatedWorks:
    """`milestones` gives what `milestones_by_identifier` makes of the whole timeline.

    Where nothing was imported, it isn't called, and nothing is created.
    """
    if not library_path(home).exists():
        return RelatedWorks([], [], 0)
    try:
        with closing(open_library(home)) as connection:
            return _find(connection, milestone, milestones(), limit)
    except sqlite3.DatabaseError:  # the milestone is shown all the same; `kb imports` says why
        return RelatedWorks([], [], 0)


def _find(
    connection: sqlite3.Connection, milestone: Any, milestones: Mapping[int, str], limit: int
) -> RelatedWorks:
    entry = milestone.entry
    names = {name for work in milestone_works(entry) for name in identifier_names(work)}
    names.add(title_name(entry["title"]))
    hashes = [hash_name(name) for name in names if name]
    ids = {id for (id,) in select_in(connection, "SELECT work FROM name WHERE hash IN", hashes)}
    titled = _with_phrases(connection, "title", [entry["title"]], MAX_CANDIDATES)
    same: list[WorkHit] = []
    for id in sorted({*ids, *titled}):
        hit = read_hit(connection, id, [], milestones)
        if hit and hit.milestone == milestone.id:
            same.append(hit)
    own = {hit.id for hit in same}
    phrases = [entry["title"], *([entry["short"]] if len(entry["short"]) >= MIN_NAME else [])]
    mentioning = _with_phrases(connection, "title abstract", phrases, MAX_MENTIONS)
    mentioning = list(dict.fromkeys([*_citing(connection, own), *mentioning]))
    mentioning = [id for id in mentioning if id not in own][:MAX_MENTIONS]
    hits = [read_hit(connection, id, [], milestones) for id in mentioning[:limit]]
    return RelatedWorks(same, [hit for hit in hits if hit], len(mentioning))


def _with_phrases(
    connection: sqlite3.Connection, columns: str, phrases: list[str], limit: int
) -> list[int]:
    quoted = [quote_phrase(phrase) for phrase in phrases if any(map(str.isalnum, phrase))]
    if not quoted:
        return []
    rows = connection.execute(
        "SELECT rowid FROM work_text WHERE work_text MATCH ? LIMIT ?",
        (f"{{{columns}}} : ({' OR '.join(quoted)})", limit),
    )
    return [id for (id,) in rows]


def _citing(connection: sqlite3.Connection, works: set[int]) -> list[int]:
    query = "SELECT hash FROM name WHERE work IN"
    hashes = [hash for (hash,) in select_in(connection, query, works)]
    query = "SELECT DISTINCT work FROM cites WHERE hash IN"
    return [id for (id,) in select_in(connection, query, hashes)]
