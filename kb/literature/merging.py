"""One work from several records: which are the same, what each adds, what a correction changes."""

import dataclasses
import re
from collections.abc import Sequence

from kb.literature.works import ARXIV_DOI, Work
from kb.search.normalize import casefold_ascii

MIN_TITLE_WORDS = 3  # shorter titles, such as "Introduction", belong to many works
MAX_YEARS_APART = 2  # of a preprint and its publication
MAX_SHOWN = 60  # characters of a value in the sentence about its change
MERGED_FIELDS = ("title", "authors", "year", "venue", "doi", "arxiv", "url", "abstract")
SUFFIXES = ("jr", "sr", "ii", "iii", "iv")


def identifier_names(work: Work) -> list[str]:
    """The names that belong to this work only, the most reliable first."""
    names = [f"doi:{work.doi}"] if work.doi else []
    names += [f"arxiv:{work.arxiv}"] if work.arxiv else []
    return [*names, *work.names]


def title_name(title: str) -> str:
    """A name from the title, without accents, capitals and punctuation; "" if it is too short.

    Different works may have the same one: see `is_same_work`.
    """
    words = title_words(title)
    return f"title:{' '.join(words)}" if len(words) >= MIN_TITLE_WORDS else ""


def title_names(work: Work) -> list[str]:
    """The names from the title: with the first author (a short one with the year, too), alone."""
    words = title_words(work.title)
    name = f"title:{' '.join(words)}"
    author = surname(work)
    if len(words) < MIN_TITLE_WORDS:
        return [f"{name}|{author}|{work.year}"] if author and work.year else []
    return [f"{name}|{author}", name] if author else [name]


def title_words(title: str) -> list[str]:
    return re.findall(r"\w+", title.lower() if title.isascii() else casefold_ascii(title))


def surname(work: Work) -> str:
    """The surname of the first author, without accents and capitals; "" if there is none."""
    if not work.authors:
        return ""
    words = re.findall(r"\w+", casefold_ascii(work.authors[0]))
    while len(words) > 1 and words[-1] in SUFFIXES:
        words.pop()
    return words[-1] if words else ""


def is_same_work(a: Work, b: Work) -> bool:
    """Whether works with one title are the same.

    The first author or the year must be alike, and neither these nor an identifier may differ.
    """
    for of_a, of_b in ((_publisher_doi(a), _publisher_doi(b)), (a.arxiv, b.arxiv)):
        if of_a and of_b and of_a != of_b:
            return False
    same_author = _alike(surname(a), surname(b))
    same_year = None
    if a.year and b.year:
        same_year = abs(a.year - b.year) <= MAX_YEARS_APART
    return False not in (same_author, same_year) and (same_author or same_year) is True


def _publisher_doi(work: Work) -> str:
    return "" if work.doi.startswith(ARXIV_DOI) else work.doi


def _alike(a: str, b: str) -> bool | None:
    """None if one isn't known."""
    return a == b if a and b else None


def merge_works(old: Work, new: Work, corrects: bool = False) -> Work:
    """`old` with the fields that it lacks taken from `new`, and with what both cite and link.

    If `new` corrects `old`, its other fields are taken, too, where they really differ.
    """
    taken = {}
    for name in MERGED_FIELDS:
        was, now = getattr(old, name), getattr(new, name)
        if name == "authors":
            now = _fuller_names(was, now)
        if now and (not was or (corrects and _differs(name, was, now))):
            taken[name] = now
    code = (*old.code, *new.code)
    cites = (*old.cites, *new.cites)
    names = (*old.names, *new.names)
    return dataclasses.replace(old, **taken, code=code, cites=cites, names=names)


def _differs(name: str, was: object, now: object) -> bool:
    """Whether a value is another one, not the same with other capitals or abbreviations."""
    if name == "title":
        return title_words(str(was)) != title_words(str(now))
    if isinstance(was, Sequence) and isinstance(now, Sequence) and name == "authors":
        return _surnames(was)[: len(now)] != _surnames(now)
    return str(was).casefold() != str(now).casefold()


def _fuller_names(was: Sequence[str], now: Sequence[str]) -> tuple[str, ...]:
    """The names of `now`; where `was` has the same surname with more of the given name, that."""
    fuller = {
        place: name
        for place, (name, other) in enumerate(zip(was, now, strict=False))
        if len(name) > len(other) and _surnames([name]) == _surnames([other])
    }
    return tuple(fuller.get(place, name) for place, name in enumerate(now))


def _surnames(authors: Sequence[str]) -> list[str]:
    return [surname(Work("", (author,))) for author in authors]


def describe_changes(old: Work, new: Work) -> list[str]:
    """What is different in `new`, a sentence for each field that had another value."""
    sentences = []
    for name in MERGED_FIELDS:
        was, now = getattr(old, name), getattr(new, name)
        if was and was != now:
            shown = "is another one" if name == "abstract" else f"{_shown(was)} → {_shown(now)}"
            sentences.append(f"{name} {shown}")
    return sentences


def _shown(value: object) -> str:
    text = ", ".join(value) if isinstance(value, tuple) else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
