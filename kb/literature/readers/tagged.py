"""RIS and Web of Science's tagged files, read by rispy one record at a time."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import rispy

from kb.literature.readers.source import TextSource
from kb.literature.works import Record, Unreadable, Work, given_name_first, make_work

MAX_RECORD = 1_000_000  # characters
RIS_START = re.compile(r"TY {1,3}-")
RIS_END = re.compile(r"ER {1,3}-")
WOS_START = re.compile(r"PT\s")
WOS_END = re.compile(r"(?:ER|EF)\s*$")
WITHOUT_END = "the record has no end (ER)"
ABSTRACT_PREFIX = re.compile(r"(?i)^abstract[:.]? ")

Convert = Callable[[dict[str, Any]], Work | Unreadable]


def read_ris(source: TextSource) -> Iterator[Record]:
    for line, text, ended in _split_records(source, RIS_START, RIS_END):
        lines = [re.sub(r"^([A-Z][A-Z0-9]) {1,3}- ?", r"\1  - ", one) for one in text.split("\n")]
        yield f"line {line}", _read(lines, "ER  - ", rispy.RisParser, _convert_ris, ended)


def read_wos(source: TextSource) -> Iterator[Record]:
    for line, text, ended in _split_records(source, WOS_START, WOS_END):
        lines = [one.replace("\t", " ") for one in text.split("\n")]
        yield f"line {line}", _read(lines, "ER", rispy.WokParser, _convert_wos, ended)


def _split_records(
    source: TextSource, start: re.Pattern[str], end: re.Pattern[str]
) -> Iterator[tuple[int, str, bool]]:
    """The first line and the text of each record, without its end, and whether it had one."""
    lines: list[str] = []
    begin = 0
    size = 0
    for number, line in source.lines():
        text = "" if line is None else line.lstrip("\ufeff")
        size += MAX_RECORD + 1 if line is None else len(text)
        starts = start.match(text)
        if lines and (starts or end.match(text)):
            yield begin, "".join(lines) if size <= MAX_RECORD else "", not starts
            lines = []
        if starts:
            begin, size, lines = number, len(text), [text]
        elif lines and size <= MAX_RECORD:
            lines.append(text)
    if lines:
        yield begin, "".join(lines) if size <= MAX_RECORD else "", False


def _read(
    lines: list[str], end: str, parser: Any, convert: Convert, ended: bool
) -> Work | Unreadable:
    if lines == [""]:
        return Unreadable(f"longer than {MAX_RECORD:,} characters")
    try:
        records = parser().parse_lines(iter([*filter(str.strip, lines), end]))
        if len(records) != 1:
            return Unreadable("no record with a beginning and an end")
        work = convert(records[0])
    except Exception as error:  # whatever the library stumbles over is one rejected record
        return Unreadable(f"not RIS: {error!r}"[:200])
    if isinstance(work, Work) and not ended:
        return dataclasses.replace(work, notes=(*work.notes, WITHOUT_END))
    return work


def _first(record: dict[str, Any], *names: str) -> str:
    for name in names:
        value = record.get(name)
        if isinstance(value, list):
            value = next((one for one in value if one), "")
        if value:
            return str(value)
    return ""


def _names(record: dict[str, Any], *names: str) -> list[str]:
    for name in names:
        if values := record.get(name):
            values = [values] if isinstance(values, str) else values
            return [given_name_first(value) for value in values if value]
    return []


def _convert_ris(record: dict[str, Any]) -> Work | Unreadable:
    return make_work(
        title=_first(record, "title", "primary_title", "translated_title"),
        authors=_names(record, "authors", "first_authors")
        or _names(record, "secondary_authors", "subsidiary_authors"),
        year=_first(record, "year", "publication_year", "date"),
        venue=_first(
            record,
            "journal_name",
            "alternate_title3",
            "secondary_title",
            "alternate_title2",
            "tertiary_title",
            "publisher",
        ),
        doi=_first(record, "doi") or _doi_in(record),
        url=_first(record, "urls"),
        abstract=_first(record, "abstract", "notes_abstract"),
        key=f"ris:{record['id']}" if record.get("id") else "",
    )


def _doi_in(record: dict[str, Any]) -> str:
    """Some programs write the DOI as a note or an address."""
    texts = [*record.get("urls", []), *record.get("notes", []), record.get("note", "")]
    return next((str(text) for text in texts if "doi" in str(text).lower()), "")


def _convert_wos(record: dict[str, Any]) -> Work | Unreadable:
    unknown = record.get("unknown_tag") or {}
    number = _first(record, "accession_number") or "".join(unknown.get("UT", [])[:1])
    return make_work(
        title=_first(record, "document_title"),
        authors=_names(record, "author_full_name", "authors", "group_authors", "book_authors"),
        year=_first(record, "publication_year", "publication_date"),
        venue=_first(record, "publication_name", "conference_title", "publisher"),
        doi=_first(record, "digital_object_identifier", "doi") or "".join(unknown.get("DI", [])),
        abstract=ABSTRACT_PREFIX.sub("", _first(record, "abstract")),
        key=f"wos:{number}" if number else "",
    )
