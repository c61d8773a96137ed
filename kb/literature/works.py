"""Imported works: what the records of every format are converted into."""

import re
from dataclasses import dataclass
from typing import Any

MIN_YEAR = 1400
MAX_YEAR = 2100
MAX_AUTHORS = 500
# In characters; what is longer is cut.
MAX_TITLE = 2000
MAX_NAME = 200
MAX_VENUE = 500
MAX_ABSTRACT = 20_000
MAX_REPORTED_YEAR = 40
URL_PATTERN = re.compile(r"https?://[^\s<>\"]{3,2000}")
DOI_PATTERN = re.compile(r"10\.\d{4,9}/[^\s\"<>]+")
ARXIV_PATTERN = re.compile(
    r"(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Za-z]{2})?/\d{7})(?:v\d+)?(?:\.pdf)?$",
)


@dataclass(frozen=True, slots=True)
class Work:
    """What is known of a paper; "" and () stand for what is not known.

    `names` are further identifiers such as openalex:W1, `cites` the identifiers of other works,
    `code` the URLs of repositories.
    """

    title: str
    authors: tuple[str, ...] = ()
    year: int | None = None
    venue: str = ""
    doi: str = ""
    arxiv: str = ""
    url: str = ""
    abstract: str = ""
    names: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


class Unreadable(ValueError):
    """A record or a file that can't be used; the message is the reason."""


Record = tuple[str, Work | Unreadable]  # where the record stands in its file, and what it says


def make_work(**fields: Any) -> Work | Unreadable:
    """A work from a record's fields, which may be spelt in any way; others than Work's are ignored.

    Returns Unreadable for a record without a title or with an impossible year.
    """
    title = _clean_text(fields.get("title"))
    if not any(map(str.isalnum, title)):
        return Unreadable("no title")
    year = _read_year(fields.get("year"))
    if isinstance(year, Unreadable):
        return year
    authors = fields.get("authors") or ()
    if isinstance(authors, str):
        authors = re.split(r"\s*;\s*|\s+and\s+", authors)
    url = _clean_text(fields.get("url"))
    return Work(
        title=title[:MAX_TITLE],
        authors=tuple(filter(None, map(_clean_name, authors)))[:MAX_AUTHORS],
        year=year,
        venue=_clean_text(fields.get("venue"))[:MAX_VENUE],
        doi=find_doi(_clean_text(fields.get("doi")))
        or (find_doi(url) if "doi.org/" in url else ""),
        arxiv=find_arxiv(_clean_text(fields.get("arxiv")))
        or (find_arxiv(url) if "arxiv.org" in url else ""),
        url=_valid_url(url),
        abstract=_clean_text(fields.get("abstract"))[:MAX_ABSTRACT],
        names=tuple(filter(None, map(_clean_text, fields.get("names", ())))),
        cites=tuple(filter(None, map(_clean_text, fields.get("cites", ())))),
        code=tuple(filter(None, (_valid_url(_clean_text(url)) for url in fields.get("code", ())))),
    )


def _read_year(value: Any) -> int | Unreadable | None:
    year = value if isinstance(value, int) else None
    if year is None and value:
        match = re.search(r"\d{4}", str(value))
        year = int(match[0]) if match else 0
    if year is not None and not MIN_YEAR <= year <= MAX_YEAR:
        return Unreadable(f"{str(value)[:MAX_REPORTED_YEAR]!r} is not a year")
    return year


def _clean_name(author: Any) -> str:
    return _clean_text(author)[:MAX_NAME].replace(";", ",")  # `;` separates names when stored


def _clean_text(value: Any) -> str:
    """The value as one line without unprintable characters; "" for all but text and numbers."""
    if not value:
        return ""
    if not isinstance(value, str):
        return str(value) if isinstance(value, int | float) else ""
    if not value.isprintable():  # the end of a line isn't
        value = "".join(c if c.isprintable() else " " for c in value)
    return " ".join(value.split())


def _valid_url(value: str) -> str:
    return value if URL_PATTERN.fullmatch(value) else ""


def find_doi(value: str) -> str:
    match = DOI_PATTERN.search(value) if value else None
    return match[0].lower() if match else ""


def find_arxiv(value: str) -> str:
    match = ARXIV_PATTERN.search(value) if value else None
    return match[1] if match else ""
