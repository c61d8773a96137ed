"""Imported works: what the records of every format are converted into."""

import re
import urllib.parse
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
MAX_IDENTIFIER = 2000
MAX_REPORTED = 40
URL_PATTERN = re.compile(r"https?://[^\s<>\"]{3,2000}")
DOI_PATTERN = re.compile(r"10\.\d{4,9}/[^\s\"]+")  # older ones have < and >
YEAR_PATTERN = re.compile(r"(?<!\d)\d{4}(?![\dXx])")
ARXIV_DOI = "10.48550/arxiv."
ARXIV_PATTERN = re.compile(
    r"(\d{4}\.\d{4,5}|(?<![a-z-])[a-z-]{2,20}(?:\.[A-Za-z]{2})?/\d{7})(?:v\d+)?(?:\.pdf)?$",
)


@dataclass(frozen=True, slots=True)
class Work:
    """What is known of a paper; "" and () stand for what is not known.

    `names` are further identifiers that nobody else uses, such as openalex:W1; `cites` are those of
    other works, `code` the URLs of repositories. `key` is what the file calls the record: other
    files use the same one for other works. `notes` say what the record has and this lacks.
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
    key: str = ""
    notes: tuple[str, ...] = ()


class Unreadable(ValueError):
    """A record or a file that can't be used; the message is the reason."""


Record = tuple[str, Work | Unreadable]  # where the record stands in its file, and what it says


def make_work(**fields: Any) -> Work | Unreadable:
    """A work from a record's fields, which may be spelt in any way; others than Work's are ignored.

    Returns Unreadable for a record without a title.
    """
    title = clean_text(fields.get("title"))
    if not any(map(str.isalnum, title)):
        return Unreadable("no title")
    year = find_year(fields.get("year"))
    notes = list(map(clean_text, fields.get("notes", ())))
    if year is None and clean_text(fields.get("year")):
        shown = clean_text(fields["year"])[:MAX_REPORTED]
        notes.append(f"the year isn't known: {shown!r} is no year")
    authors = fields.get("authors") or ()
    if isinstance(authors, str):
        authors = re.split(r" ?; ?| and ", clean_text(authors))
    url = clean_text(fields.get("url"))
    doi = find_doi(clean_text(fields.get("doi"))) or (find_doi(url) if "doi.org/" in url else "")
    return Work(
        title=title[:MAX_TITLE],
        authors=tuple(filter(None, map(_clean_name, authors)))[:MAX_AUTHORS],
        year=year,
        venue=clean_text(fields.get("venue"))[:MAX_VENUE],
        doi=doi,
        arxiv=find_arxiv(clean_text(fields.get("arxiv")))
        or (find_arxiv(url) if "arxiv.org" in url else "")
        or (find_arxiv(doi) if doi.startswith(ARXIV_DOI) else ""),
        url=_valid_url(url),
        abstract=clean_text(fields.get("abstract"))[:MAX_ABSTRACT],
        names=tuple(filter(None, map(clean_text, fields.get("names", ())))),
        cites=tuple(filter(None, map(clean_text, fields.get("cites", ())))),
        code=tuple(filter(None, (_valid_url(clean_text(url)) for url in fields.get("code", ())))),
        key=clean_text(fields.get("key"))[:MAX_NAME],
        notes=tuple(notes),
    )


def find_year(value: Any) -> int | None:
    """The first number that can be a year: 2014-05 and c. 1990 have one, 199X has none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    for match in YEAR_PATTERN.finditer(str(value)[:MAX_IDENTIFIER]):
        if MIN_YEAR <= int(match[0]) <= MAX_YEAR:
            return int(match[0])
    return None


def given_name_first(name: str) -> str:
    """Family, Given -> Given Family; Family, Jr., Given -> Given Family Jr."""
    parts = [part.strip() for part in name.split(",")]
    if len(parts) == 3:
        return f"{parts[2]} {parts[0]} {parts[1]}".strip()
    return f"{parts[1]} {parts[0]}".strip() if len(parts) == 2 else name


def _clean_name(author: Any) -> str:
    return clean_text(author)[:MAX_NAME].replace(";", ",")  # `;` separates names when stored


def clean_text(value: Any) -> str:
    """The value as one line without unprintable characters; "" for all but text and numbers."""
    if not value:
        return ""
    if not isinstance(value, str):
        return str(value)[:MAX_IDENTIFIER] if isinstance(value, int | float) else ""
    if not value.isprintable():  # the end of a line isn't
        value = "".join(c if c.isprintable() else " " for c in value)
    return " ".join(value.split())


def _valid_url(value: str) -> str:
    return value if URL_PATTERN.fullmatch(value) else ""


def find_doi(value: str) -> str:
    """The DOI in a text or an address, in small letters."""
    value = value[:MAX_IDENTIFIER]
    match = DOI_PATTERN.search(urllib.parse.unquote(value) if "%" in value else value)
    return match[0].rstrip(".,;").lower() if match else ""


def find_arxiv(value: str) -> str:
    match = ARXIV_PATTERN.search(value[:MAX_IDENTIFIER]) if value else None
    return match[1] if match else ""
