"""The query language of the search box: the text of a query is parsed into terms.

Every word must match as a prefix, accents and capitals ignored, and so must every qualifier.
`-` before a term excludes what matches it.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kb.schema import KINDS, TRACKS

QUALIFIERS: dict[str, str] = {
    "track": "theory, software, hardware or data",
    "kind": "paper, book, library, chip, dataset, ...",
    "year": "2014, 2014..2017, ..1990 or 2010..",
    "author": "a part of a person's or maker's name",
    "tag": "one of the milestone's tags",
    "has": "impl: it runs here; code: its code is public, here or elsewhere",
    "claim": (
        "reproduced, weaker, not-reproduced, inconclusive, not-measured, holds, fails or "
        "unchecked, by the latest run on this machine"
    ),
    "before": "an id: what is certainly earlier than that milestone",
    "after": "an id: what is certainly later than that milestone",
    "from": "an id: what that milestone made possible",
    "to": "an id: what made that milestone possible",
    "sort": "date, -date, relevance or title",
}
QUALIFIER_VALUES: dict[str, Sequence[str]] = {  # of those that take one of a fixed list
    "track": TRACKS,
    "kind": KINDS,
    "has": ("impl", "code"),
    "claim": (
        *("reproduced", "weaker", "not-reproduced", "inconclusive", "not-measured"),
        *("holds", "fails", "unchecked"),
    ),
    "sort": ("date", "-date", "relevance", "title"),
}
TERM_PATTERN = re.compile(
    r"""(?P<negated>-)?
    (?:(?P<name>[^\W\d_]+):(?!//))?
    (?:["“”„](?P<quoted>[^"“”„]*)(?P<closed>["“”„])?|(?P<bare>[^\s"“”„]+))?""",
    re.VERBOSE,
)
YEARS_PATTERN = re.compile(r"[0-9]{4}|(?P<since>[0-9]{4})?\.\.(?P<until>[0-9]{4})?")
FORBIDDEN_CHARACTERS = re.compile("[\0\ud800-\udfff]")  # SQLite accepts no text that has them
MAX_QUERY_LENGTH = 1000  # characters; longer queries come close to SQLite's own limits
EXCERPT = 120  # characters of a longer query that an error shows
MAX_TERMS = 50  # likewise, and each term takes time


def _excerpt(query: str, position: int, length: int) -> tuple[str, int]:
    """The part of a query around an error, in one line, and how many characters stand before it."""
    printable = "".join(c if c.isprintable() else " " for c in query)
    start = max(0, position - EXCERPT // 2) if len(query) > EXCERPT else 0
    end = start + EXCERPT
    left, right = "…" * (start > 0), "…" * (end < len(query))
    return left + printable[start:end] + right, position - start + len(left)


class BadQuery(ValueError):
    """A query with an error; `str` shows the query with the place marked.

    `position` and `length` give the faulty part of `query`. `suggestion` is the corrected query
    where one can be guessed, else None.
    """

    def __init__(
        self, message: str, query: str, position: int, length: int, replacement: str | None = None
    ) -> None:
        shown, before = _excerpt(query, position, length)
        super().__init__(f"{message}\n  {shown}\n  {' ' * before}{'^' * min(length, EXCERPT)}")
        self.message = message
        self.query = query
        self.position = position
        self.length = length
        self.suggestion: str | None = None
        if replacement is not None:
            self.suggestion = query[:position] + replacement + query[position + length :]


@dataclass(frozen=True)
class Term:
    """A word or phrase (`name` is empty), or a qualifier with its value.

    `position` and `length` say where the value stands in the query.
    """

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
    """A parsed query; `str` writes it in a normal form, which parses to the same terms.

    With `any_word` one of the words is enough, and what has more of them is nearer.
    """

    text: str = field(compare=False)
    terms: tuple[Term, ...]
    any_word: bool = False

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))

    def words(self, *, negated: bool = False) -> list[Term]:
        """The words and phrases to search for, without those that are only punctuation."""
        return [
            term
            for term in self.terms
            if not term.name
            and term.negated == negated
            and any(character.isalnum() for character in term.value)
        ]

    def is_readable(self) -> bool:
        """Whether there is anything to search by."""
        return bool(
            self.words() or self.words(negated=True) or any(term.name for term in self.terms)
        )

    def filters(self) -> list[Term]:
        """The qualifiers other than sort."""
        return [term for term in self.terms if term.name not in ("", "sort")]

    def sort_order(self) -> str:
        """The value of `sort:`; without it relevance if there are words, else date."""
        for term in self.terms:
            if term.name == "sort":
                return term.value
        return "relevance" if self.words() else "date"


def parse(query: str) -> Query:
    """The terms of a query. Ids and tags that don't exist are reported by `search`, not here.

    Raises BadQuery.
    """
    query = FORBIDDEN_CHARACTERS.sub(" ", query)
    if len(query) > MAX_QUERY_LENGTH:
        message = f"a query has at most {MAX_QUERY_LENGTH} characters"
        message += f"; this one has {len(query):,}"
        raise BadQuery(message, query[: MAX_QUERY_LENGTH + 1], MAX_QUERY_LENGTH, 1)
    terms: list[Term] = []
    position = 0
    while position < len(query):
        if query[position].isspace():
            position += 1
            continue
        match = TERM_PATTERN.match(query, position)
        assert match and match.end() > position  # it matches everything that isn't a space
        position = match.end()
        if match["quoted"] is not None and not match["closed"]:
            quotation_mark = match.start("quoted") - 1
            raise BadQuery("this quotation mark is never closed", query, quotation_mark, 1)
        if term := _read_term(query, match):
            terms.append(term)
        if len(terms) > MAX_TERMS:
            message = f"a query has at most {MAX_TERMS} terms"
            raise BadQuery(message, query, match.start(), len(match[0]))
    sorts = [term for term in terms if term.name == "sort"]
    if len(sorts) > 1:
        raise BadQuery("sort: is given twice", query, sorts[1].position, sorts[1].length)
    return Query(query, tuple(terms))


def _read_term(query: str, match: re.Match[str]) -> Term | None:
    """The term that TERM_PATTERN matched; None where only punctuation was given."""
    name = (match["name"] or "").lower()
    value = match["quoted"] or match["bare"] or ""
    phrase = match["quoted"] is not None
    negated = bool(match["negated"])
    if not name or (name not in QUALIFIERS and not value):  # `Dropout: a simple way` is words
        position = match.end("negated") if negated else match.start()
        value = (value or name).rstrip(":")
        return Term("", value, negated, phrase, position, match.end() - position) if value else None
    name_span = (match.start("name"), len(name))
    if name not in QUALIFIERS:
        message = f'there is no qualifier "{name}:"'
        raise unknown_value_error(message, query, name, tuple(QUALIFIERS), *name_span)
    if not value:
        raise BadQuery(f"{name}: lacks a value: {QUALIFIERS[name]}", query, *name_span)
    if name == "sort" and negated:
        message = "sort: can't be negated; sort:-date reverses the order"
        raise BadQuery(message, query, *name_span)
    position = match.start("quoted") if phrase else match.start("bare")
    normal = _normalize_value(query, name, value, position)
    return Term(name, normal, negated, phrase, position, len(value))


def _normalize_value(query: str, name: str, value: str, position: int) -> str:
    """The value of a qualifier in the form that `sql` expects. Raises BadQuery."""
    if name == "author":
        return value
    normal = value.strip().lower()
    if name == "claim":
        normal = normal.replace(" ", "-")
    known = QUALIFIER_VALUES.get(name)
    if known and normal not in known:
        message = f'{name}: has no value "{value}"'
        raise unknown_value_error(message, query, normal, known, position, len(value))
    if name == "year":
        _check_years(query, normal, position, len(value))
    return normal


def _check_years(query: str, years: str, position: int, length: int) -> None:
    match = YEARS_PATTERN.fullmatch(years)
    if not match or years == "..":
        raise BadQuery(f"year: takes {QUALIFIERS['year']}", query, position, length)
    since, until = match["since"], match["until"]
    if since and until and since > until:
        swapped = f"{until}..{since}"
        message = f'the range ends before it begins; did you mean "{swapped}"?'
        raise BadQuery(message, query, position, length, swapped)


def unknown_value_error(
    message: str, query: str, value: str, known: Sequence[str], position: int, length: int
) -> BadQuery:
    """The error for a value that isn't among the known ones; suggests the nearest of them."""
    nearest = next(iter(difflib.get_close_matches(value, known, n=1)), None)
    message += f'; did you mean "{nearest}"?' if nearest else ""
    if len(known) <= len(KINDS):
        message += f"{'' if nearest else ';'} known: {', '.join(known)}"
    return BadQuery(message, query, position, length, nearest)
