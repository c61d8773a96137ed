"""The search box: words and qualifiers in, ranked milestones with snippets and facets out.

    attention "neural machine" track:theory year:2014..2017 -tag:rnn has:impl from:lstm sort:date

Every word must match, each as a prefix, accents and capitals aside; so must every qualifier. `-` before either turns it
round. `parse` makes a Query of the text, `search` makes SQL with bound parameters of the Query.
"""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

from kb.schema import KINDS, TRACKS

QUALIFIERS: dict[str, str] = {
    "track": "theory, software, hardware or data",
    "kind": "paper, book, library, chip, dataset, ...",
    "year": "2014, 2014..2017, ..1990 or 2010..",
    "author": "a part of a person's or maker's name",
    "tag": "one of the milestone's tags",
    "has": "impl: it runs here",
    "claim": "reproduced, not-reproduced, inconclusive or unchecked, by this machine's latest run",
    "before": "an id: surely earlier than that milestone",
    "after": "an id: surely later than that milestone",
    "from": "an id: what it made possible",
    "to": "an id: what made it possible",
    "sort": "date, -date, relevance or title",
}
VALUES: dict[str, Sequence[str]] = {
    "track": TRACKS,
    "kind": KINDS,
    "has": ("impl",),
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
UNSEARCHABLE = re.compile("[\0\ud800-\udfff]")  # what SQLite can't be handed
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
    position: int
    length: int

    def __str__(self) -> str:
        value = f'"{self.value}"' if self.phrase else self.value
        return f"{'-' * self.negated}{self.name}{':' * bool(self.name)}{value}"


@dataclass(frozen=True)
class Query:
    """A parsed query; `str` writes it again in one manner, so that a page can add or drop a term."""

    text: str
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
    """`hits` are the first of `total`. A facet's count is the total that its qualifier would leave of all of them.

    `correction` is the query that was answered in place of one that matched nothing, or None.
    """

    hits: list[Hit]
    total: int
    facets: dict[str, dict[str, int]]
    correction: str | None = None


def search(engine: Engine, query: str, limit: int = 50) -> Answer:
    """Answers what was typed into the search box; an empty query finds everything, by date.

    Where nothing matches, words that the timeline hasn't got are replaced by the nearest that it has. Raises BadQuery.
    """
    parsed = parse(query)
    with engine.connect() as connection:
        connection.connection.driver_connection.create_function("fold", 1, fold, deterministic=True)  # type: ignore
        answer = _answer(connection, parsed, limit)
        if answer.total or not (corrected := _corrected(connection, parsed)):
            return answer
        second = _answer(connection, corrected, limit)
        return Answer(second.hits, second.total, second.facets, corrected.text) if second.total else answer


def fold(words: str) -> str:
    """Without accents and capitals: Vázquez -> vazquez."""
    return "".join(c for c in unicodedata.normalize("NFKD", words).casefold() if not unicodedata.combining(c))


# From text to a Query


def parse(query: str) -> Query:
    """The query's terms. Raises BadQuery for what is wrong in itself; ids and tags are looked up by `search`."""
    query, at = UNSEARCHABLE.sub(" ", query), 0
    terms: list[Term] = []
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
        message = f'there is no qualifier "{name}:"{_near(name, QUALIFIERS)}; "quotes" search for the words themselves'
        raise BadQuery(message, query, *place, _nearest(name, QUALIFIERS))
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
        raise _unknown(f"{name}:{value}", query, given, VALUES[name], position, len(value), list_all=True)
    if name == "year":
        years = YEARS.fullmatch(given)
        if not years or given == "..":
            raise BadQuery(f"year: is {QUALIFIERS['year']}", query, position, len(value))
        if years["since"] and years["until"] and years["since"] > years["until"]:
            turned = f"{years['until']}..{years['since']}"
            raise BadQuery(f"these years end before they begin; did you mean {turned}?", query, position, len(value), turned)  # fmt: skip
    return given


def _unknown(
    what: str, query: str, given: str, known: Sequence[str], position: int, length: int, *, list_all: bool
) -> BadQuery:
    all_of_them = f"; there is {', '.join(known)}" if list_all else ""
    near = _nearest(given, known)
    return BadQuery(f"nothing is {what}{_near(given, known)}{all_of_them}", query, position, length, near)
