"""Imported works for other programs: JSON, CSV or BibTeX, which can all be imported again."""

import csv
import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from kb.exports.bibtex import escape_tex, venue_type, write_entry
from kb.literature.database import row_to_work
from kb.literature.merging import surname, title_words
from kb.literature.search import search_works
from kb.literature.works import Work

FIELDS = ("title", "authors", "year", "venue", "doi", "arxiv", "url", "abstract", "code")
MAX_WORKS = 10_000_000
VENUE_FIELDS = {"article": "journal", "inproceedings": "booktitle", "incollection": "booktitle"}

Fields = dict[str, Any]


def export_works(connection: sqlite3.Connection, query: str, format_name: str) -> Iterator[str]:
    """The works that a query of the search box finds, in pieces of text. Raises BadQuery."""
    hits = search_works(connection, query, MAX_WORKS).hits
    works = (_read_fields(connection, hit.id) for hit in hits)
    return FORMATS[format_name](works)


def _read_fields(connection: sqlite3.Connection, id: int) -> Fields:
    row = connection.execute("SELECT * FROM work WHERE id = ?", (id,)).fetchone()
    work = row_to_work(row)
    urls = connection.execute("SELECT url FROM code WHERE work = ? ORDER BY url", (id,))
    fields = {name: getattr(work, name) for name in FIELDS}
    return fields | {"authors": list(work.authors), "code": [url for (url,) in urls]}


def _as_json(works: Iterator[Fields]) -> Iterator[str]:
    separator = "[\n"
    for fields in works:
        known = {name: value for name, value in fields.items() if value}
        yield separator + json.dumps(known, ensure_ascii=False)
        separator = ",\n"
    yield "[]" if separator == "[\n" else "\n]"


def _as_csv(works: Iterator[Fields]) -> Iterator[str]:
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    for fields in works:
        lists = {name: "; ".join(fields[name]) for name in ("authors", "code")}
        writer.writerow(fields | lists)
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()


def _as_bibtex(works: Iterator[Fields]) -> Iterator[str]:
    used: dict[str, int] = {}
    for fields in works:
        key = _cite_key(fields)
        used[key] = used.get(key, 0) + 1
        if used[key] > 1:
            key = f"{key}-{used[key]}"
        yield _bibtex_entry(key, fields) + "\n\n"


def _cite_key(fields: Fields) -> str:
    """lind2014counting, from the first author, the year and the title."""
    author = surname(Work("", tuple(fields["authors"])))
    word = next((word for word in title_words(fields["title"]) if len(word) > 3), "")
    return re.sub(r"[^a-z0-9]", "", f"{author}{fields['year'] or ''}{word}") or "work"


def _bibtex_entry(key: str, fields: Fields) -> str:
    kind = venue_type(fields["venue"]) if fields["venue"] else "misc"
    values = {
        "title": f"{{{escape_tex(fields['title'])}}}",
        "author": " and ".join(map(_name, fields["authors"])),
        "year": str(fields["year"] or ""),
        VENUE_FIELDS.get(kind, "howpublished"): escape_tex(fields["venue"]),
        "doi": fields["doi"],
        "eprint": fields["arxiv"],
        "archiveprefix": "arXiv" if fields["arxiv"] else "",
        "url": fields["url"],
        "abstract": escape_tex(fields["abstract"]),
    }
    return write_entry(kind, key, values)


def _name(name: str) -> str:
    """A name for BibTeX; braces keep together what it would take apart."""
    escaped = escape_tex(name)
    return f"{{{escaped}}}" if "," in name or " and " in name.lower() else escaped


FORMATS: dict[str, Callable[[Iterator[Fields]], Iterator[str]]] = {
    "json": _as_json,
    "csv": _as_csv,
    "bibtex": _as_bibtex,
}
