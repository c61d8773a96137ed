"""The search box: words and qualifiers in, ranked milestones with snippets and facets out.

    attention "neural machine" track:theory year:2014..2017 -tag:rnn has:impl from:lstm sort:date

Every word must match, each as a prefix, accents and capitals aside; so must every qualifier. `-` before either turns it
round. `parse` makes a Query of the text, `search` makes SQL with bound parameters of the Query.
"""

import difflib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine, text

from kb.schema import KINDS, TRACKS

QUALIFIERS: dict[str, str] = {
    "track": "theory, software, hardware or data",
    "kind": "paper, book, library, chip, dataset, ...",
    "year": "2014, 2014..2017, ..1990 or 2010..",
    "author": "a part of a person's or maker's name",
    "tag": "one of the milestone's tags",
    "has": "impl: it runs here; code: its code is public, here or elsewhere",
    "claim": "reproduced, not-reproduced, inconclusive or unchecked, by this machine's latest run",
    "before": "an id: surely earlier than that milestone",
    "after": "an id: surely later than that milestone",
    "from": "an id: what that milestone made possible",
    "to": "an id: what made it possible",
    "sort": "date, -date, relevance or title",
}
VALUES: dict[str, Sequence[str]] = {
    "track": TRACKS,
    "kind": KINDS,
    "has": ("impl", "code"),
    "claim": ("reproduced", "not-reproduced", "inconclusive", "unchecked"),
    "sort": ("date", "-date", "relevance", "title"),
}
TERM = re.compile(
    r"""(?P<negated>-)?
    (?:(?P<name>[^\W\d_]+):(?!//))?
    (?:["“”„](?P<quoted>[^"“”„]*)(?P<closed>["“”„])?|(?P<bare>[^\s"“”„]+))?""",
    re.VERBOSE,
)
YEARS = re.compile(r"(?P<one>[0-9]{4})|(?P<since>[0-9]{4})?\.\.(?P<until>[0-9]{4})?")
LONGEST, MOST = 1000, 50  # characters and terms of a query: SQLite's limits, and its patience, lie not far beyond
UNSEARCHABLE = re.compile("[\0\ud800-\udfff]")  # what SQLite can't be handed
STROKES = str.maketrans("łŁøØđĐ", "lLoOdD")  # which Unicode doesn't take for accents
START, END = "\ue000", "\ue001"  # private-use characters around what a snippet matched


class BadQuery(ValueError):
    """A query that can't be meant; its text shows the query with the place marked.

    `position` and `length` say what is wrong in `query`, `suggestion` is the query put right where that can be guessed.
    """

    def __init__(self, message: str, query: str, position: int, length: int, instead: str | None = None) -> None:
        shown = "".join(c if c.isprintable() else " " for c in query)
        super().__init__(f"{message}\n  {shown}\n  {' ' * position}{'^' * length}")
        self.message, self.query, self.position, self.length = message, query, position, length
        self.suggestion = None if instead is None else query[:position] + instead + query[position + length :]


@dataclass(frozen=True)
class Term:
    """A word or phrase (no `name`), or a qualifier and its value; `position` and `length` are the value's in the query."""

    name: str
    value: str
    negated: bool
    phrase: bool
    position: int = field(compare=False)
    length: int = field(compare=False)

    def __str__(self) -> str:
        value = f'"{self.value}"' if self.phrase else self.value
        return f"{'-' * self.negated}{self.name}{':' * bool(self.name)}{value}"


@dataclass(frozen=True)
class Query:
    """A parsed query; `str` writes it again in one manner, so that a page can add or drop a term."""

    text: str = field(compare=False)
    terms: tuple[Term, ...]

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def words(self, *, negated: bool = False) -> list[Term]:
        """The words and phrases that hold anything to search for; the full text has no punctuation."""
        some = [term for term in self.terms if not term.name and term.negated == negated]
        return [term for term in some if any(c.isalnum() for c in term.value)]

    def filters(self) -> list[Term]:
        return [term for term in self.terms if term.name not in ("", "sort")]

    def sort(self) -> str:
        """What to sort by; without `sort:` by relevance where there are words, else by date."""
        given = [term.value for term in self.terms if term.name == "sort"]
        return given[0] if given else "relevance" if self.words() else "date"


@dataclass(frozen=True)
class Hit:
    """A milestone found. `snippet` is plain text in pieces, each with whether it is what matched."""

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
    """`hits` are the first of `ids`, which are all that match, in order. A facet's count is the total that its qualifier
    would leave of all of them.

    `correction` is the query that was answered in place of one that matched nothing, or None.
    """

    hits: list[Hit]
    ids: list[str]
    facets: dict[str, dict[str, int]]
    correction: str | None = None

    @property
    def total(self) -> int:
        return len(self.ids)


def search(engine: Engine, query: str, limit: int = 50) -> Answer:
    """Answers what was typed into the search box; an empty query finds everything, by date.

    Where nothing matches, words that the timeline hasn't got are replaced by the nearest that it has; where that doesn't
    help either, a question is answered by what it is about. Raises BadQuery.
    """
    parsed = parse(query)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")  # every statement sees the same timeline
        connection.connection.driver_connection.create_function("fold", 1, fold, deterministic=True)  # type: ignore
        answer = _answer(connection, parsed, limit)
        if not answer.total and (corrected := _corrected(connection, parsed)):
            answer, parsed = replace(_answer(connection, corrected, limit), correction=corrected.text), corrected
        for gist in _gist(connection, parsed):
            if not answer.total:
                answer = replace(_answer(connection, gist, limit), correction=gist.text)
        return answer if answer.total else replace(answer, correction=None)


def fold(words: str) -> str:
    """Without accents and capitals: Łukasz Vázquez -> lukasz vazquez."""
    letters = unicodedata.normalize("NFKD", words.translate(STROKES)).casefold()
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


# From text to a Query


def parse(query: str) -> Query:
    """The query's terms. Raises BadQuery for what is wrong in itself; ids and tags are looked up by `search`."""
    query, at = UNSEARCHABLE.sub(" ", query), 0
    terms: list[Term] = []
    if len(query) > LONGEST:
        raise BadQuery(f"a query has at most {LONGEST} characters", query[:LONGEST], LONGEST - 1, 1)
    while at < len(query):
        if query[at].isspace():
            at += 1
            continue
        match = TERM.match(query, at)
        assert match and match.end() > at  # there is something other than a space, and the pattern takes anything
        at = match.end()
        if match["quoted"] is not None and not match["closed"]:
            place = match.start("quoted") - 1
            raise BadQuery("this quotation mark is never closed", query, place, 1)
        if term := _term(query, match):
            terms.append(term)
        if len(terms) > MOST:
            raise BadQuery(f"a query has at most {MOST} terms", query, match.start(), at - match.start())
    sorts = [term for term in terms if term.name == "sort"]
    for term in sorts[1:]:
        raise BadQuery("there is one sort: already", query, term.position, term.length)
    return Query(query, tuple(terms))


def _term(query: str, match: re.Match[str]) -> Term | None:
    name, value = (match["name"] or "").lower(), match["quoted"] or match["bare"] or ""
    phrase, negated = match["quoted"] is not None, bool(match["negated"])
    if not name or (name not in QUALIFIERS and not value):  # `Dropout: a simple way` is words
        position = match.end("negated") if negated else match.start()
        value = (value or name).rstrip(":")
        return Term("", value, negated, phrase, position, match.end() - position) if value else None
    place = (match.start("name"), len(name))
    if name not in QUALIFIERS:
        raise _unknown(f'there is no qualifier "{name}:"', query, name, tuple(QUALIFIERS), *place)
    if not value:
        raise BadQuery(f"{name}: lacks a value: {QUALIFIERS[name]}", query, *place)
    if name == "sort" and negated:
        raise BadQuery("sort: can't be negated; sort:-date turns the order round", query, *place)
    position = match.start("quoted") if phrase else match.start("bare")
    return Term(name, _value(query, name, value, position), negated, phrase, position, len(value))


def _value(query: str, name: str, value: str, position: int) -> str:
    """The value as the rest of this module wants it."""
    if name == "author":
        return value
    given = value.strip().lower().replace(" ", "-") if name == "claim" else value.strip().lower()
    if name in VALUES and given not in VALUES[name]:
        raise _unknown(f'{name}: knows no "{value}"', query, given, VALUES[name], position, len(value))
    if name == "year":
        years = YEARS.fullmatch(given)
        if not years or given == "..":
            raise BadQuery(f"year: is {QUALIFIERS['year']}", query, position, len(value))
        if years["since"] and years["until"] and years["since"] > years["until"]:
            turned = f"{years['until']}..{years['since']}"
            message = f'these years end before they begin; did you mean "{turned}"?'
            raise BadQuery(message, query, position, len(value), turned)
    return given


def _unknown(message: str, query: str, given: str, known: Sequence[str], position: int, length: int) -> BadQuery:
    near = next(iter(difflib.get_close_matches(given, known, n=1)), None)
    message += f'; did you mean "{near}"?' if near else ""
    if len(known) <= len(KINDS):
        message += f"{'' if near else ';'} known: {', '.join(known)}"
    return BadQuery(message, query, position, length, near)


# From a Query to SQL

WEIGHTS = "10, 10, 10, 4, 4, 2, 1"  # id, short, title, people, tags, idea, story
IN_NAMES = "{id short title} : "
PAGE = {name: f"m.{name}" for name in ("id", "title", "short", "date", "track", "kind", "implementation")}
PAGE["idea"] = "milestone_text.idea"
ORDER = {
    "date": "m.first, m.position",
    "-date": "m.first DESC, m.position DESC",
    "relevance": "score DESC, m.first, m.position",
    "title": "fold(m.title), m.position",
}
# Every claim's verdict by the newest run that judged it; a smoke run proves nothing. (SQLite: max() picks the row.)
STANDINGS = """
    SELECT c.milestone, coalesce(newest.verdict, 'unchecked') AS verdict FROM claim c LEFT JOIN (
        SELECT r.implementation, v.claim, replace(v.verdict, ' ', '-') AS verdict, max(r.finished)
        FROM verdict v JOIN run r ON r.id = v.run
        WHERE r.status = 'succeeded' AND r.preset <> 'smoke' GROUP BY r.implementation, v.claim
    ) newest ON newest.implementation = c.implementation AND newest.claim = c.id
"""
WALK = """m.id <> :v AND m.id IN (
    WITH RECURSIVE walk(id) AS (SELECT :v UNION SELECT l.{next} FROM link l JOIN walk ON l.{here} = walk.id)
    SELECT id FROM walk
)"""
CONDITIONS = {
    "": "milestone_text.rowid IN (SELECT rowid FROM milestone_text WHERE milestone_text MATCH :v)",
    "track": "m.track = :v",
    "kind": "m.kind = :v",
    "year": "substr(m.first, 1, 4) BETWEEN substr(:v, 1, 4) AND substr(:v, -4)",
    "author": "instr(fold(milestone_text.people), fold(:v)) > 0",
    "tag": "instr(' ' || milestone_text.tags || ' ', ' ' || :v || ' ') > 0",
    "has": "(m.implementation IS NOT NULL OR (:v = 'code' AND m.entry ->> '$.repository' IS NOT NULL))",
    "claim": f"m.id IN (SELECT milestone FROM ({STANDINGS}) WHERE verdict = :v)",
    "before": "m.last < (SELECT first FROM milestone WHERE id = :v)",
    "after": "m.first > (SELECT last FROM milestone WHERE id = :v)",
    "from": WALK.format(here="target", next="source"),
    "to": WALK.format(here="source", next="target"),
}


def _answer(connection: Connection, query: Query, limit: int) -> Answer:
    _look_up(connection, query)
    where, values = ["TRUE"], {}
    for number, term in enumerate([*query.filters(), *query.words(negated=True)]):
        condition = CONDITIONS[term.name].replace(":v", f":v{number}")
        where.append(f"NOT ({condition})" if term.negated else condition)
        values[f"v{number}"] = _bound(term)
    if words := query.words():
        where.append("milestone_text MATCH :words")
        values["words"] = " AND ".join(map(_bound, words))
    rows = connection.execute(
        text(f"""
        SELECT milestone_text.rowid, m.id, m.track, m.kind, m.first, m.implementation, milestone_text.tags,
            {f"-bm25(milestone_text, {WEIGHTS})" if words else "0.0"} AS score
        FROM milestone_text CROSS JOIN milestone m ON m.id = milestone_text.id
        WHERE {" AND ".join(where)} ORDER BY {ORDER[query.sort()]}"""),
        values,
    ).all()
    hits = _hits(connection, rows[: max(limit, 0)], values.get("words"))
    return Answer(hits, [row.id for row in rows], _facets(connection, rows))


def _look_up(connection: Connection, query: Query) -> None:
    """Raises BadQuery for ids and tags that aren't there."""
    for term in query.filters():
        if term.name == "tag":
            tags = connection.execute(text("SELECT DISTINCT tags FROM milestone_text")).scalars()
            known = sorted({tag for some in tags for tag in some.split()})
        elif term.name in ("before", "after", "from", "to"):
            known = list(connection.execute(text("SELECT id FROM milestone ORDER BY id")).scalars())
        else:
            continue
        if term.value not in known:
            what = f'no milestone has the {"tag" if term.name == "tag" else "id"} "{term.value}"'
            raise _unknown(what, query.text, term.value, known, term.position, term.length)


def _bound(term: Term) -> str:
    """The value that the term's condition is about: for words what FTS5 reads, for years the first and the last."""
    if term.name == "year":
        since, dots, until = term.value.partition("..")
        return f"{since or '0000'} {(until or '9999') if dots else since}"
    if term.name:
        return term.value
    one = phrase(term.value)
    return one if term.phrase else f"({one} OR {one} *)"  # the word itself counts for more than a longer one


def phrase(words: str) -> str:
    """Words as FTS5 wants them: in this order, and nothing in them obeyed."""
    return '"{}"'.format(words.replace('"', '""'))


def _hits(connection: Connection, rows: Sequence[Any], words: str | None) -> list[Hit]:
    snippets = ", ".join(f"snippet(milestone_text, {column}, :start, :end, '…', 24)" for column in (5, 6, 2))
    found = connection.execute(
        text(f"""
        SELECT {", ".join(PAGE.values())} {f", {snippets}" if words else ""}
        FROM milestone_text CROSS JOIN milestone m ON m.id = milestone_text.id
        WHERE milestone_text.rowid IN (SELECT value FROM json_each(:rows))
            {"AND milestone_text MATCH :words" if words else ""}"""),
        {"rows": json.dumps([row.rowid for row in rows]), "words": words, "start": START, "end": END},
    )
    pages = {row.id: row for row in found}
    hits = []
    for row in rows:
        columns, texts = dict(zip(PAGE, pages[row.id], strict=False)), pages[row.id][len(PAGE) - 1 :]
        hits.append(Hit(**columns, score=row.score, snippet=pieces(texts)))
    return hits


def pieces(texts: Sequence[str]) -> list[tuple[str, bool]]:
    """Of some texts with START and END around what matched, the one with most matches, in pieces, each with whether it did."""
    before, *rest = max(texts, key=lambda piece: piece.count(START)).split(START)
    pieces = [(before, False)]
    for part in rest:
        match, _, after = part.partition(END)
        pieces += [(match, True), (after, False)]
    return [piece for piece in pieces if piece[0]]


def _facets(connection: Connection, rows: Sequence[Any]) -> dict[str, dict[str, int]]:
    ids = {row.id for row in rows}
    verdicts = connection.execute(text(f"SELECT DISTINCT milestone, verdict FROM ({STANDINGS})"))
    return {
        "track": _count(row.track for row in rows),
        "kind": _count(row.kind for row in rows),
        "decade": dict(sorted(_count(f"{row.first[:3]}0s" for row in rows).items())),
        "tag": _count(tag for row in rows for tag in row.tags.split()),
        "impl": _count("yes" if row.implementation else "no" for row in rows),
        "verdict": _count(verdict for id, verdict in verdicts if id in ids),
    }


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


# When nothing matches

# The words of a question that say nothing of what it is about.
LITTLE = frozenset(
    """a about after all an and any are as at be because been before behind between by came can come comes could did do does
    doing done first for from gave get give good had has have how i in into is it its know made make makes many me most much
    my of on one or our out possible should so tell than that the their them then there these they this to today use used
    was we were what when where which who whom whose why will with without work works would you your""".split()  # noqa: SIM905
)


def _corrected(connection: Connection, query: Query) -> Query | None:
    """The query with each word that the timeline hasn't got replaced by the nearest; None if there is none to replace."""
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary USING fts5vocab(main, milestone_text, row)"
    )
    known = connection.execute(text("SELECT term FROM temp.vocabulary")).scalars().all()
    words = query.text
    for term in reversed(query.words()):
        if not term.phrase and ":" not in term.value:
            better = re.sub(r"[^\W_]+", lambda token: _spelt(token[0], known), term.value)
            words = words[: term.position] + better + words[term.position + term.length :]
    corrected = parse(words)
    return None if corrected == query else corrected


def _gist(connection: Connection, query: Query) -> Iterator[Query]:
    """What a question may be about: its words without the little ones, then only those that are in milestones' names."""
    words = query.words()
    telling = [term for term in words if fold(term.value).strip("?!.,'") not in LITTLE]
    if not telling or len(telling) == len(words):
        return
    yield _only(query, telling)
    count = text("SELECT count(*) FROM milestone_text WHERE milestone_text MATCH :words")
    kept: list[Term] = []
    for term in telling:
        together = " AND ".join(IN_NAMES + phrase(one.value) for one in [*kept, term])
        if connection.execute(count, {"words": together}).scalar():
            kept.append(term)
    if kept:
        yield _only(query, kept)


def _only(query: Query, kept: Sequence[Term]) -> Query:
    """The query with no other words than those."""
    words = query.text
    for term in reversed(query.words()):
        if term not in kept:
            words = words[: term.position] + words[term.position + term.length :]
    return parse(" ".join(words.split()))


def _spelt(word: str, known: Sequence[str]) -> str:
    token = fold(word)
    if len(token) < 4 or any(term.startswith(token) for term in known):
        return word
    alike = [term for term in known if abs(len(term) - len(token)) <= 3]
    return next(iter(difflib.get_close_matches(token, alike, n=1, cutoff=0.75)), word)
