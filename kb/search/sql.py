"""From a parsed query to SQL with bound parameters, and from its rows to hits and facets."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from kb.graph import CAUSES
from kb.search.normalize import casefold_ascii
from kb.search.query_language import Query, Term, unknown_value_error

COLUMN_WEIGHTS = "10, 10, 10, 4, 4, 2, 1"  # id, short, title, people, tags, idea, story
MIN_COMPOUND_PART, MIN_COMPOUND, MAX_COMPOUND = 3, 7, 24  # letters
MAX_NEAREST = 20  # milestones that are shown where one of several words is enough
SNIPPET_COLUMNS = (5, 6, 2)  # idea, story, title
MATCH_START = "\ue000"  # private-use characters around what a snippet matched
MATCH_END = "\ue001"
HIT_COLUMNS = {
    "id": "m.id",
    "title": "m.title",
    "short": "m.short",
    "date": "m.date",
    "track": "m.track",
    "kind": "m.kind",
    "implementation": "m.implementation",
    "idea": "milestone_text.idea",
}
_CAUSES = ", ".join(f"'{type}'" for type in CAUSES)
# Best is the milestone of exactly this name; then what matches well, is early and led to much. The
# difference of two dates is that of the years with which they begin.
RELEVANCE = f"""
    -bm25(milestone_text, {COLUMN_WEIGHTS})
    * importance((SELECT count(*) FROM link WHERE target = m.id AND type IN ({_CAUSES})),
        (SELECT max(first) FROM milestone) - m.first)
    + 1000 * (:name IN (letters(m.id), letters(m.short), letters(m.title)))
"""
NEARNESS = f"-bm25(milestone_text, {COLUMN_WEIGHTS})"  # where few of the words match, no more
SORT_ORDERS = {
    "date": "m.first, m.position",
    "-date": "m.first DESC, m.position DESC",
    "relevance": "score DESC, m.first, m.position",
    "title": "casefold_ascii(m.title), m.position",
}
# The verdict of each claim by the newest run that judged it. Smoke runs are excluded, runs with an
# idea taken out, and those of a sweep. SQLite takes the columns beside max() from that row.
LATEST_VERDICTS = """
    SELECT c.milestone, coalesce(newest.verdict, 'unchecked') AS verdict FROM claim c LEFT JOIN (
        SELECT r.implementation, v.claim, replace(v.verdict, ' ', '-') AS verdict, max(r.finished)
        FROM verdict v JOIN run r ON r.id = v.run
        WHERE r.status = 'succeeded' AND r.preset <> 'smoke'
        AND json_extract(r.options, '$.broken') IS NULL
        AND json_extract(r.options, '$.sweep') IS NULL GROUP BY r.implementation, v.claim
    ) newest ON newest.implementation = c.implementation AND newest.claim = c.id
"""


def _reachable(here: str, next: str) -> str:
    """The condition that a milestone is reached from `:v` by links that carry cause."""
    return f"""m.id <> :v AND m.id IN (
        WITH RECURSIVE reached(id) AS (
            SELECT :v UNION SELECT l.{next} FROM link l JOIN reached ON l.{here} = reached.id
            WHERE l.type IN ({_CAUSES})
        )
        SELECT id FROM reached
    )"""


CONDITIONS = {  # by qualifier; "" is a word or phrase. `:v` is the value
    "": "milestone_text.rowid IN (SELECT rowid FROM milestone_text WHERE milestone_text MATCH :v)",
    "track": "m.track = :v",
    "kind": "m.kind = :v",
    "year": "substr(m.first, 1, 4) BETWEEN substr(:v, 1, 4) AND substr(:v, -4)",
    "author": "instr(casefold_ascii(milestone_text.people), casefold_ascii(:v)) > 0",
    "tag": "instr(' ' || milestone_text.tags || ' ', ' ' || :v || ' ') > 0",
    "has": """(m.implementation IS NOT NULL
        OR (:v = 'code' AND json_extract(m.entry, '$.repository') IS NOT NULL))""",
    "claim": f"m.id IN (SELECT milestone FROM ({LATEST_VERDICTS}) WHERE verdict = :v)",
    "before": "m.last < (SELECT first FROM milestone WHERE id = :v)",
    "after": "m.first > (SELECT last FROM milestone WHERE id = :v)",
    "from": _reachable(here="target", next="source"),
    "to": _reachable(here="source", next="target"),
}


@dataclass(frozen=True)
class Hit:
    """A milestone that matches.

    `snippet` is plain text in pieces, each with whether the piece is what matched.
    """

    id: str
    title: str
    short: str
    date: str
    track: str
    kind: str
    implementation: str | None
    idea: str
    score: float
    snippet: list[tuple[str, bool]]


@dataclass(frozen=True)
class Answer:
    """`ids` are all milestones that match, in order; `hits` are the first of them.

    A facet's count is the total that would be left if its qualifier were added to the query.
    `correction` is the query that was answered instead of one that matched nothing or asked a
    question, or None; `subject` is the milestone that the question is about. With `any_word` the
    milestones have one at least of the words of `correction`, the nearest first.
    """

    hits: list[Hit]
    ids: list[str]
    facets: dict[str, dict[str, int]]
    correction: str | None = None
    subject: str | None = None
    any_word: bool = False

    @property
    def total(self) -> int:
        return len(self.ids)


NO_ANSWER = Answer([], [], {})


def register_functions(connection: Connection) -> None:
    """Gives the connection the SQL functions that the statements below call."""
    sqlite: Any = connection.connection.driver_connection
    sqlite.create_function("casefold_ascii", 1, casefold_ascii, deterministic=True)
    sqlite.create_function("importance", 2, _importance, deterministic=True)
    sqlite.create_function("letters", 1, _letters, deterministic=True)


def _importance(descendants: int, years: int) -> float:
    """What a score is multiplied by, so that a search finds first where something began.

    Each doubling of the milestones that build on one counts a half, and each 30 years that it came
    before the newest milestone as much again.
    """
    return (1 + math.log2(1 + descendants) / 2) * (1 + years / 30)


def _letters(name: str) -> str:
    """A name by which it is compared: Back-propagation -> backpropagation."""
    return "".join(filter(str.isalnum, casefold_ascii(name)))


def answer_query(connection: Connection, query: Query, limit: int) -> Answer:
    """The milestones that match. Raises BadQuery for an id or tag that no milestone has."""
    _check_ids_and_tags(connection, query)
    conditions = ["TRUE"]
    values: dict[str, Any] = {}
    for number, term in enumerate([*query.filters(), *query.words(negated=True)]):
        condition = CONDITIONS[term.name].replace(":v", f":v{number}")
        conditions.append(f"NOT ({condition})" if term.negated else condition)
        values[f"v{number}"] = _parameter(term)
    score = "0.0"
    order = "relevance" if query.any_word else query.sort_order()
    if words := query.words():
        score = NEARNESS if query.any_word else RELEVANCE
        values["name"] = _letters("".join(word.value for word in words))
        conditions.append("milestone_text MATCH :words")
        values["words"] = (" OR " if query.any_word else " AND ").join(map(_parameter, words))
    statement = f"""
        SELECT milestone_text.rowid, m.id, m.track, m.kind, m.first, m.implementation,
            milestone_text.tags, {score} AS score
        FROM milestone_text CROSS JOIN milestone m ON m.id = milestone_text.id
        WHERE {" AND ".join(conditions)} ORDER BY {SORT_ORDERS[order]}"""
    rows = connection.execute(text(statement), values).all()
    if query.any_word:
        rows = rows[:MAX_NEAREST]
    hits = _read_hits(connection, rows[: max(limit, 0)], values.get("words"))
    return Answer(hits, [row.id for row in rows], _count_facets(connection, rows))


def _check_ids_and_tags(connection: Connection, query: Query) -> None:
    for term in query.filters():
        if term.name == "tag":
            what = "tag"
            tags = connection.execute(text("SELECT DISTINCT tags FROM milestone_text")).scalars()
            known = sorted({tag for line in tags for tag in line.split()})
        elif term.name in ("before", "after", "from", "to"):
            what = "id"
            known = list(connection.execute(text("SELECT id FROM milestone ORDER BY id")).scalars())
        else:
            continue
        if term.value not in known:
            message = f'no milestone has the {what} "{term.value}"'
            raise unknown_value_error(
                message, query.text, term.value, known, term.position, term.length
            )


def _parameter(term: Term) -> str:
    """What `:v` is bound to: for words an FTS5 expression, for years the first and the last."""
    if term.name == "year":
        since, dots, until = term.value.partition("..")
        return f"{since or '0000'} {(until or '9999') if dots else since}"
    if term.name:
        return term.value
    quoted = quote_phrase(term.value)
    if term.phrase:
        return quoted
    # A whole word ranks above a longer word.
    return " OR ".join([f"({quoted}", f"{quoted} *", *_compounds(term.value)]) + ")"


def _compounds(word: str) -> list[str]:
    """The phrases of two words that this one may be written as: backpropagation, back-propagation.

    That the text has such a phrase says that it was one word.
    """
    if not MIN_COMPOUND <= len(word) <= MAX_COMPOUND or not word.isalnum():
        return []
    splits = range(MIN_COMPOUND_PART, len(word) - MIN_COMPOUND_PART + 1)
    return [quote_phrase(f"{word[:i]} {word[i:]}") for i in splits]


def quote_phrase(words: str) -> str:
    """The FTS5 expression for these words in this order; no character in them is an operator."""
    return '"{}"'.format(words.replace('"', '""'))


def _read_hits(connection: Connection, rows: Sequence[Any], words: str | None) -> list[Hit]:
    columns = list(HIT_COLUMNS.values())
    condition = "milestone_text.rowid IN (SELECT value FROM json_each(:rows))"
    values = {"rows": json.dumps([row.rowid for row in rows])}
    if words:
        columns += [
            f"snippet(milestone_text, {column}, :start, :end, '…', 24)"
            for column in SNIPPET_COLUMNS
        ]
        condition += " AND milestone_text MATCH :words"
        values |= {"words": words, "start": MATCH_START, "end": MATCH_END}
    statement = f"""
        SELECT {", ".join(columns)}
        FROM milestone_text CROSS JOIN milestone m ON m.id = milestone_text.id
        WHERE {condition}"""
    details = {row.id: row for row in connection.execute(text(statement), values)}
    hits = []
    for row in rows:
        fields = dict(zip(HIT_COLUMNS, details[row.id], strict=False))
        snippets = details[row.id][len(HIT_COLUMNS) :]
        snippet = _split_snippet([fields["idea"], *snippets])
        hits.append(Hit(**fields, score=row.score, snippet=snippet))
    return hits


def _split_snippet(texts: Sequence[str]) -> list[tuple[str, bool]]:
    """The text with most matches, in pieces, each with whether it is a match."""
    best = max(texts, key=lambda piece: piece.count(MATCH_START))
    before, *rest = best.split(MATCH_START)
    pieces = [(before, False)]
    for part in rest:
        match, _, after = part.partition(MATCH_END)
        pieces += [(match, True), (after, False)]
    return [piece for piece in pieces if piece[0]]


def _count_facets(connection: Connection, rows: Sequence[Any]) -> dict[str, dict[str, int]]:
    ids = {row.id for row in rows}
    statement = text(f"SELECT DISTINCT milestone, verdict FROM ({LATEST_VERDICTS})")
    verdicts = connection.execute(statement)
    return {
        "track": _count_values(row.track for row in rows),
        "kind": _count_values(row.kind for row in rows),
        "decade": dict(sorted(_count_values(f"{row.first[:3]}0s" for row in rows).items())),
        "tag": _count_values(tag for row in rows for tag in row.tags.split()),
        "impl": _count_values("yes" if row.implementation else "no" for row in rows),
        "verdict": _count_values(verdict for id, verdict in verdicts if id in ids),
    }


def _count_values(values: Iterable[str]) -> dict[str, int]:
    """The number of times each value occurs, most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))
