"""The search box over imported works: the timeline's grammar, as far as it has a meaning here, and facets."""

import sqlite3
from dataclasses import dataclass
from typing import Any

from kb import search
from kb.outside import library
from kb.search import BadQuery, Term

QUALIFIERS = ("year", "author", "has", "sort")  # `has:code`; what isn't known of a work can't be asked
WEIGHTS = "10, 4, 2, 1"  # title, people, venue, abstract
ORDER = {
    "relevance": "score",
    "date": "f.year IS NULL, f.year, f.id",
    "-date": "f.year DESC, f.id DESC",
    "title": "(SELECT title COLLATE NOCASE FROM work WHERE work.id = f.id), f.id",
}


@dataclass(frozen=True)
class Found:
    """An imported work; `code` are repositories, `milestone` the id of the curated milestone that it is, if it is one."""

    id: int
    title: str
    people: str
    year: int | None
    venue: str
    doi: str
    arxiv: str
    url: str
    code: tuple[str, ...]
    milestone: str | None
    snippet: list[tuple[str, bool]]


@dataclass(frozen=True)
class Answer:
    hits: list[Found]
    total: int
    facets: dict[str, dict[str, int]]  # decade, has, source


def find(connection: sqlite3.Connection, query: str, limit: int = 50, known: dict[int, str] | None = None) -> Answer:
    """Answers a query over the works of imports that have ended. `known` is what `curated` gives. Raises BadQuery."""
    parsed = search.parse(query)
    for term in parsed.filters():
        if term.name not in QUALIFIERS:
            reason = f"{term.name}: is about the timeline; imported works know {', '.join(f'{q}:' for q in QUALIFIERS)}"
            raise BadQuery(reason, query, term.position, term.length)
        if term.name == "has" and term.value != "code":
            raise BadQuery(
                "has:impl is about the timeline; imported works know has:code", query, term.position, term.length
            )
    where, values = ["TRUE"], dict[str, Any]()
    positive = [_match(term) for term in parsed.words()]
    negative = [_match(term) for term in parsed.words(negated=True)]
    for number, term in enumerate(parsed.filters()):
        if term.name == "author":
            (negative if term.negated else positive).append(f"people : {_prefix(term.value)}")
            continue
        condition = "f.code" if term.name == "has" else f"f.year BETWEEN :since{number} AND :until{number}"
        values |= {f"since{number}": _year(term)[0], f"until{number}": _year(term)[1]} if term.name == "year" else {}
        where.append(f"NOT coalesce({condition}, 0)" if term.negated else condition)
    table = "facet f JOIN import i ON i.id = f.source AND i.finished IS NOT NULL"
    if positive:
        values["words"] = " AND ".join(positive) + "".join(f" NOT {word}" for word in negative)
        table = "work_text CROSS JOIN facet f ON f.id = work_text.rowid"
        where.append("work_text MATCH :words")
    elif negative:
        values["words"] = " OR ".join(negative)
        where.append("f.id NOT IN (SELECT rowid FROM work_text WHERE work_text MATCH :words)")
    condition = " AND ".join(where)
    counted = connection.execute(
        f"SELECT f.year / 10, f.source, f.code, count(*) FROM {table} WHERE {condition} GROUP BY 1, 2, 3", values
    ).fetchall()
    score = f"bm25(work_text, {WEIGHTS})" if positive else "0"
    order = ORDER[parsed.sort() if positive or parsed.sort() != "relevance" else "-date"]
    ranked = connection.execute(
        f"SELECT f.id, {score} AS score FROM {table} WHERE {condition} ORDER BY {order} LIMIT :limit",
        {**values, "limit": max(limit, 0)},
    ).fetchall()
    hits = _hits(connection, [id for id, _ in ranked], values.get("words") if positive else None, known or {})
    return Answer(hits, sum(row[3] for row in counted), _facets(connection, counted))


def _match(term: Term) -> str:
    return search.phrase(term.value) if term.phrase else _prefix(term.value)


def _prefix(value: str) -> str:
    return f"({search.phrase(value)} OR {search.phrase(value)} *)" if len(value) >= 3 else search.phrase(value)


def _year(term: Term) -> tuple[int, int]:
    since, dots, until = term.value.partition("..")
    return int(since or 0), int((until or 9999) if dots else since)


def _hits(connection: sqlite3.Connection, ids: list[int], words: str | None, known: dict[int, str]) -> list[Found]:
    hits = []
    for id in ids:
        row = connection.execute("SELECT * FROM work WHERE id = ?", (id,)).fetchone()
        work = library.from_row(row)
        code = tuple(url for (url,) in connection.execute("SELECT url FROM code WHERE work = ? ORDER BY url", (id,)))
        texts = [work.abstract[:200] or work.venue]
        if words:
            snippets = "snippet(work_text, 3, :start, :end, '…', 24), snippet(work_text, 0, :start, :end, '…', 40)"
            texts += connection.execute(
                f"SELECT {snippets} FROM work_text WHERE work_text MATCH :words AND rowid = :id",
                {"words": words, "id": id, "start": search.START, "end": search.END},
            ).fetchone()
        identifiers = [*library.names(work), library.title_name(work.title)]
        milestone = next((known[library.key(name)] for name in identifiers if library.key(name) in known), None)
        hits.append(Found(id, work.title, row[2], work.year, work.venue, work.doi, work.arxiv, work.url, code, milestone,
                          search.pieces(texts)))  # fmt: skip
    return hits


def curated(milestones: list[Any]) -> dict[int, str]:
    """Of rows of the timeline's papers: identifier, hashed as the library has it -> milestone."""
    known: dict[int, str] = {}
    for row in milestones:
        entry = row.entry
        names = [
            f"doi:{entry.get('doi', '').lower()}",
            f"arxiv:{entry.get('arxiv', '')}",
            library.title_name(row.title),
        ]
        known |= {library.key(name): row.id for name in names if name and not name.endswith(":")}
    return known


def _facets(connection: sqlite3.Connection, counted: list[Any]) -> dict[str, dict[str, int]]:
    files = dict(connection.execute("SELECT id, file FROM import"))
    facets: dict[str, dict[str, int]] = {"decade": {}, "has": {}, "source": {}}
    for decade, source, code, count in sorted(counted, key=lambda row: (row[0] is None, row[0])):
        for facet, value in (
            ("decade", f"{decade}0s" if decade else "unknown"),
            ("has", "code" if code else "no code"),
            ("source", files[source].rsplit("/", 1)[-1]),
        ):
            facets[facet][value] = facets[facet].get(value, 0) + count
    return facets
