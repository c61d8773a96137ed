"""The search box over imported works: the query language of the timeline, as far as it applies."""

import heapq
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kb.literature.database import row_to_work
from kb.literature.matching import hash_name
from kb.literature.merging import title_name
from kb.literature.milestones import recognise
from kb.literature.snippet import Snippet, make_snippet
from kb.search.query_language import BadQuery, Query, Term, parse
from kb.search.sql import quote_phrase

QUALIFIERS = ("year", "author", "has", "sort")  # the others ask for what only the timeline has
COLUMN_WEIGHTS = "10, 4, 2, 1"  # title, people, venue, abstract
MIN_PREFIX_LENGTH = 3  # characters; shorter words must match as a whole
SORT_ORDERS = {
    "date": "f.year IS NULL, f.year, f.id",
    "-date": "f.year DESC, f.id DESC",
    "title": "(SELECT title COLLATE NOCASE FROM work WHERE work.id = f.id), f.id",
}

FacetKey = tuple[int | None, int, int]  # decade, id of the import, whether there is code


@dataclass(frozen=True)
class WorkHit:
    """An imported work that matches.

    `code` are the URLs of repositories, `milestone` is the id of the milestone on the timeline that
    is the same work, or None.
    """

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
    snippet: Snippet


@dataclass(frozen=True)
class Answer:
    """The first hits, the number of all works that match, and counts by decade, has and source."""

    hits: list[WorkHit]
    total: int
    facets: dict[str, dict[str, int]]


@dataclass
class Conditions:
    """The parts of the SQL for a query: conditions with bound values, and FTS5 expressions."""

    clauses: list[str] = field(default_factory=lambda: ["TRUE"])
    values: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)

    def where(self) -> str:
        return " AND ".join(self.clauses)


def search_works(
    connection: sqlite3.Connection,
    query: str,
    limit: int = 50,
    milestones: Mapping[int, str] | None = None,
) -> Answer:
    """Answers a query over the works of finished imports.

    `milestones` is the result of `milestones_by_identifier`, to recognise works of the timeline.
    Raises BadQuery.
    """
    parsed = parse(query)
    _check_qualifiers(parsed)
    conditions = _build_conditions(parsed)
    select = _select_matches if conditions.required else _select_filtered
    counts, ids = select(connection, conditions, parsed.sort_order(), max(limit, 0))
    words = [term.value for term in parsed.words()]
    found = [read_hit(connection, id, words, milestones or {}) for id in ids]
    hits = [hit for hit in found if hit]
    return Answer(hits, counts.total(), _count_facets(connection, counts))


def _check_qualifiers(query: Query) -> None:
    for term in query.filters():
        if term.name not in QUALIFIERS:
            known = ", ".join(f"{name}:" for name in QUALIFIERS)
            message = f"{term.name}: applies to the timeline only; imported works have {known}"
        elif term.name == "has" and term.value != "code":
            message = f"has:{term.value} applies to the timeline only; imported works have has:code"
        else:
            continue
        raise BadQuery(message, query.text, term.position, term.length)


def _build_conditions(query: Query) -> Conditions:
    conditions = Conditions(
        required=[_text_expression(term) for term in query.words()],
        excluded=[_text_expression(term) for term in query.words(negated=True)],
    )
    for number, term in enumerate(query.filters()):
        if term.name == "author":
            expressions = conditions.excluded if term.negated else conditions.required
            expressions.append(f"people : {_prefix_expression(term.value)}")
            continue
        clause = "f.code"
        if term.name == "year":
            clause = f"f.year BETWEEN :since{number} AND :until{number}"
            since, until = _year_range(term)
            conditions.values |= {f"since{number}": since, f"until{number}": until}
        conditions.clauses.append(f"NOT coalesce({clause}, 0)" if term.negated else clause)
    return conditions


def _text_expression(term: Term) -> str:
    return quote_phrase(term.value) if term.phrase else _prefix_expression(term.value)


def _prefix_expression(value: str) -> str:
    quoted = quote_phrase(value)
    return f"{quoted} *" if len(value) >= MIN_PREFIX_LENGTH else quoted


def _year_range(term: Term) -> tuple[int, int]:
    since, dots, until = term.value.partition("..")
    return int(since or 0), int((until or 9999) if dots else since)


def _select_matches(
    connection: sqlite3.Connection, conditions: Conditions, sort_order: str, limit: int
) -> tuple[Counter[FacetKey], list[int]]:
    """Counts the works that match the words, and ranks their ids.

    All matches are read in one pass, because reading the full-text index takes most of the time.
    """
    words = " AND ".join(conditions.required)
    words += "".join(f" NOT {expression}" for expression in conditions.excluded)
    rank_columns = {
        "relevance": f"bm25(work_text, {COLUMN_WEIGHTS})",
        "title": "(SELECT title COLLATE NOCASE FROM work WHERE id = f.id)",
    }
    statement = f"""
        SELECT f.id, f.year, f.source, f.code, {rank_columns.get(sort_order, "NULL")}
        FROM work_text CROSS JOIN facet f ON f.id = work_text.rowid
        WHERE work_text MATCH :words AND {conditions.where()}"""
    rows = connection.execute(statement, {**conditions.values, "words": words}).fetchall()
    counts = Counter((year and year // 10, source, code) for _, year, source, code, _ in rows)
    rank_keys: dict[str, Callable[[Any], Any]] = {
        "relevance": lambda row: row[4],
        "title": lambda row: row[4].casefold(),
        "date": lambda row: (row[1] is None, row[1] or 0, row[0]),
        "-date": lambda row: (row[1] is None, -(row[1] or 0), row[0]),
    }
    ranked = heapq.nsmallest(limit, rows, key=rank_keys[sort_order])
    return counts, [row[0] for row in ranked]


def _select_filtered(
    connection: sqlite3.Connection, conditions: Conditions, sort_order: str, limit: int
) -> tuple[Counter[FacetKey], list[int]]:
    """The same for a query without required words; only the table `facet` is counted."""
    values = dict(conditions.values)
    where = conditions.where()
    if conditions.excluded:
        values["words"] = " OR ".join(conditions.excluded)
        where += " AND f.id NOT IN (SELECT rowid FROM work_text WHERE work_text MATCH :words)"
    table = "facet f JOIN import i ON i.id = f.source AND i.finished IS NOT NULL"
    groups = connection.execute(
        f"SELECT f.year / 10, f.source, f.code, count(*) FROM {table} "
        f"WHERE {where} GROUP BY 1, 2, 3",
        values,
    )
    counts = Counter({(decade, source, code): count for decade, source, code, count in groups})
    order = SORT_ORDERS["-date" if sort_order == "relevance" else sort_order]
    rows = connection.execute(
        f"SELECT f.id FROM {table} WHERE {where} ORDER BY {order} LIMIT :limit",
        {**values, "limit": limit},
    )
    return counts, [id for (id,) in rows]


def read_hit(
    connection: sqlite3.Connection, id: int, words: Sequence[str], milestones: Mapping[int, str]
) -> WorkHit | None:
    """A work, and around which words it matches; None if another process has removed it."""
    row = connection.execute("SELECT * FROM work WHERE id = ?", (id,)).fetchone()
    if row is None:
        return None
    people = row[2]
    work = row_to_work(row)
    urls = connection.execute("SELECT url FROM code WHERE work = ? ORDER BY url", (id,))
    by_title = milestones.get(hash_name(title_name(work.title)))
    snippets = [make_snippet(text, words) for text in (work.abstract, work.title)]
    return WorkHit(
        id=id,
        title=work.title,
        people=people,
        year=work.year,
        venue=work.venue,
        doi=work.doi,
        arxiv=work.arxiv,
        url=work.url,
        code=tuple(url for (url,) in urls),
        milestone=recognise(work, milestones) or by_title,
        snippet=next((snippet for snippet in snippets if len(snippet) > 1), []),
    )


def _count_facets(
    connection: sqlite3.Connection, counts: Counter[FacetKey]
) -> dict[str, dict[str, int]]:
    files = dict(connection.execute("SELECT id, file FROM import"))
    decades: Counter[str] = Counter()
    has: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for (decade, source, code), count in sorted(counts.items(), key=_undated_last):
        decades[f"{decade}0s" if decade else "unknown"] += count
        has["code" if code else "no code"] += count
        sources[files[source].rsplit("/", 1)[-1]] += count
    return {"decade": dict(decades), "has": dict(has), "source": dict(sources)}


def _undated_last(item: tuple[FacetKey, int]) -> tuple[bool, FacetKey]:
    (decade, _source, _code), _count = item
    return decade is None, item[0]
