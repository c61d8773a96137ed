"""The search box over imported works: the timeline's grammar, as far as it has a meaning here, and facets."""

import heapq
import re
import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import Any

from kb import search
from kb.outside import library
from kb.search import BadQuery, Term

QUALIFIERS = ("year", "author", "has", "sort")  # `has:code`; what isn't known of a work can't be asked
WEIGHTS = "10, 4, 2, 1"  # title, people, venue, abstract
ORDER = {
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
    if positive:
        values["words"] = " AND ".join(positive) + "".join(f" NOT {word}" for word in negative)
        rows = _matching(connection, " AND ".join(where), values, parsed.sort())
        counted = Counter((year and year // 10, source, code) for _, year, source, code, _ in rows)
        ranked = [row[0] for row in heapq.nsmallest(max(limit, 0), rows, key=lambda row: row[4])]
    else:
        if negative:
            values["words"] = " OR ".join(negative)
            where.append("f.id NOT IN (SELECT rowid FROM work_text WHERE work_text MATCH :words)")
        counted, ranked = _browsed(connection, " AND ".join(where), values, parsed.sort(), max(limit, 0))
    marks = [term.value for term in parsed.words()]
    return Answer(_hits(connection, ranked, marks, known or {}), counted.total(), _facets(connection, counted))


def _matching(connection: sqlite3.Connection, where: str, values: dict[str, Any], sort: str) -> list[Any]:
    """Everything that matches, each with what it is ranked by, in one pass over the index: the index is what costs."""
    score = {
        "relevance": f"bm25(work_text, {WEIGHTS})",
        "title": "(SELECT title COLLATE NOCASE FROM work WHERE id = f.id)",
    }
    query = f"""
        SELECT f.id, f.year, f.source, f.code, {score.get(sort, "f.year")} AS score
        FROM work_text CROSS JOIN facet f ON f.id = work_text.rowid WHERE work_text MATCH :words AND {where}"""
    rows = connection.execute(query, values).fetchall()
    if sort in ("date", "-date"):  # the undated last
        turn = 1 if sort == "date" else -1
        return [(*row[:4], (row[1] is None, turn * (row[1] or 0), row[0])) for row in rows]
    return [(*row[:4], row[4].casefold()) for row in rows] if sort == "title" else rows


Kind = tuple[int | None, int, int]  # decade, source, whether there is code


def _browsed(
    connection: sqlite3.Connection, where: str, values: dict[str, Any], sort: str, limit: int
) -> tuple[Counter[Kind], list[int]]:
    """The same without words: the narrow table alone is counted, and only the first of it is sorted."""
    table = "facet f JOIN import i ON i.id = f.source AND i.finished IS NOT NULL"
    groups = connection.execute(
        f"SELECT f.year / 10, f.source, f.code, count(*) FROM {table} WHERE {where} GROUP BY 1, 2, 3", values
    )
    counted = Counter({(decade, source, code): count for decade, source, code, count in groups})
    order = ORDER["-date" if sort == "relevance" else sort]
    ranked = connection.execute(
        f"SELECT f.id FROM {table} WHERE {where} ORDER BY {order} LIMIT :limit", {**values, "limit": limit}
    )
    return counted, [id for (id,) in ranked]


def _match(term: Term) -> str:
    return search.phrase(term.value) if term.phrase else _prefix(term.value)


def _prefix(value: str) -> str:
    return f"{search.phrase(value)} *" if len(value) >= 3 else search.phrase(value)


def _year(term: Term) -> tuple[int, int]:
    since, dots, until = term.value.partition("..")
    return int(since or 0), int((until or 9999) if dots else since)


def _hits(connection: sqlite3.Connection, ids: list[int], marks: list[str], known: dict[int, str]) -> list[Found]:
    hits = []
    for id in ids:
        row = connection.execute("SELECT * FROM work WHERE id = ?", (id,)).fetchone()
        work = library.from_row(row)
        code = tuple(url for (url,) in connection.execute("SELECT url FROM code WHERE work = ? ORDER BY url", (id,)))
        identifiers = [*library.names(work), library.title_name(work.title)]
        milestone = next((known[library.key(name)] for name in identifiers if library.key(name) in known), None)
        snippet = next((p for p in (_marked(work.abstract, marks), _marked(work.title, marks)) if len(p) > 1), [])
        hits.append(Found(id, work.title, row[2], work.year, work.venue, work.doi, work.arxiv, work.url, code, milestone,
                          snippet))  # fmt: skip
    return hits


def _marked(text: str, marks: list[str]) -> list[tuple[str, bool]]:
    """A stretch of the text around the first word that begins as one of `marks` does, in pieces, each with whether it does."""
    words = {word for mark in marks for word in re.findall(r"\w+", search.fold(mark))}
    tokens = [(found.start(), found.end()) for found in re.finditer(r"\w+", text)]
    marked = [(start, end) for start, end in tokens if search.fold(text[start:end]).startswith(tuple(words))]
    if not words or not marked:
        return []
    begin = max((start for start, _ in tokens if start <= max(0, marked[0][0] - 60)), default=0)
    pieces, at = [("…", False)] if begin else list[tuple[str, bool]](), begin
    for start, end in marked:
        if end < begin + 200:
            pieces += [(text[at:start], False), (text[start:end], True)]
            at = end
    pieces.append((text[at : begin + 200] + "…" * (len(text) > begin + 200), False))
    return [piece for piece in pieces if piece[0]]


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


def _facets(connection: sqlite3.Connection, counted: Counter[Kind]) -> dict[str, dict[str, int]]:
    files = dict(connection.execute("SELECT id, file FROM import"))
    facets: dict[str, dict[str, int]] = {"decade": {}, "has": {}, "source": {}}
    for (decade, source, code), count in sorted(counted.items(), key=lambda item: (item[0][0] is None, item[0])):
        for facet, value in (
            ("decade", f"{decade}0s" if decade else "unknown"),
            ("has", "code" if code else "no code"),
            ("source", files[source].rsplit("/", 1)[-1]),
        ):
            facets[facet][value] = facets[facet].get(value, 0) + count
    return facets
