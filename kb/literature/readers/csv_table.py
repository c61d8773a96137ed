"""CSV as it comes: other names of columns, other separators, lines before the header."""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kb.literature.readers.field_names import (
    assign_names,
    catalogue_names,
    normalize,
    split_names,
    unread_notes,
)
from kb.literature.readers.source import TextSource
from kb.literature.works import Record, Unreadable, Work, make_work

MAX_CELL = 1_000_000  # characters
MAX_HEADER = 100_000  # characters
MAX_COLUMNS = 2_000
ID_COLUMNS = ("id", "openalexid", "openalex", "url", "link")
LINES_BEFORE_HEADER = 50
DELIMITERS = ",;\t|"
WOS_COLUMNS = {
    "title": "TI",
    "authors": "AU",
    "year": "PY",
    "venue": "SO",
    "doi": "DI",
    "abstract": "AB",
}


@dataclass(frozen=True)
class Header:
    """The line that names the columns; `fields` are from field to the number of its column."""

    line: int
    dialect: type[csv.Dialect]
    names: list[str]
    fields: dict[str, int]
    notes: list[str]

    def ids(self, cells: list[str]) -> Iterator[int]:
        """The columns that may have an address in a catalogue."""
        for column, name in enumerate(self.names[: len(cells)]):
            if normalize(name) in ID_COLUMNS:
                yield column


def find_header(source: TextSource) -> Header | None:
    """The first line with a column for the title; None if there is none near the beginning."""
    lines = source.head.lstrip("\ufeff").split("\n")[:LINES_BEFORE_HEADER]
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_HEADER:
            return None
        for delimiter in sorted(DELIMITERS, key=lambda one: -line.count(one)):
            if header := _read_header(number, line, delimiter, source.columns):
                return header
    return None


def _read_header(
    number: int, line: str, delimiter: str, chosen: Mapping[str, str]
) -> Header | None:
    dialect = _dialect(delimiter)
    try:
        names = next(csv.reader([line.lstrip("# ")], dialect), [])
    except csv.Error:
        return None
    names = [name.strip() for name in names]
    if len(names) > MAX_COLUMNS or not any(names):
        return None
    notes = []
    if {"PT", "AU", "TI"} <= set(names):
        assigned = WOS_COLUMNS | dict(chosen)
        dialect = _dialect(delimiter, quoted=delimiter != "\t")
    else:
        assigned = assign_names(names, chosen)
        notes = unread_notes(names, assigned)
    if "title" not in assigned or (len(names) == 1 and normalize(line) != normalize(names[0])):
        return None
    if len(names) == 1 and len(line.split()) > 2:  # a sentence
        return None
    fields = {field: names.index(name) for field, name in assigned.items() if name in names}
    for field, name in chosen.items():
        if field not in fields:
            raise Unreadable(
                f"--map {field}={name}: no such column; there are {', '.join(names)[:500]}"
            )
    return Header(number, dialect, names, fields, notes) if "title" in fields else None


def _dialect(delimiter: str, quoted: bool = True) -> type[csv.Dialect]:
    values = {"delimiter": delimiter, "quoting": csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE}
    return type("Table", (csv.excel,), values)


def read_csv(source: TextSource) -> Iterator[Record]:
    csv.field_size_limit(MAX_CELL)
    header = find_header(source)
    if header is None:
        yield "line 1", Unreadable("no column for the title")
        return
    skipped: list[int] = []
    lines = csv.reader(_lines_after(source, header.line, skipped), header.dialect)
    first = True
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            break
        except (csv.Error, MemoryError) as error:
            yield f"line {header.line + lines.line_num}", Unreadable(f"not CSV: {error}")
            continue
        if any(cell.strip() for cell in cells):
            work = _make_work(header, cells, header.notes if first else [])
            first = False
            yield f"line {header.line + lines.line_num}", work
    for number in skipped:
        yield f"line {number}", Unreadable("the line is too long")


def _lines_after(source: TextSource, header: int, skipped: list[int]) -> Iterator[str]:
    for number, line in itertools.islice(source.lines(), header, None):
        if line is None:
            skipped.append(number)
            yield "\n"
        else:
            yield line


def _make_work(header: Header, cells: list[str], notes: list[str]) -> Work | Unreadable:
    fields = {
        field: cells[column] for field, column in header.fields.items() if column < len(cells)
    }
    if len(cells) > len(header.names) and any(cells[len(header.names) :]):
        notes = [*notes, "a line has more cells than the header"]
    return make_work(
        **fields
        | {
            "authors": split_names(fields.get("authors", "")),
            "code": re.split(r"[;\s]+", fields.get("code", "")[:10_000]),
            "arxiv": re.sub(r"(?i)^arxiv:\s?", "", fields.get("arxiv", "")),
            "names": catalogue_names(*(cells[column] for column in header.ids(cells))),
            "notes": notes,
        }
    )


def header_names(source: TextSource) -> list[str]:
    """The cells of the first line, for an error."""
    line = source.head.lstrip("\ufeff").partition("\n")[0][:MAX_HEADER]
    delimiter = max(DELIMITERS, key=line.count)
    return next(csv.reader(io.StringIO(line), _dialect(delimiter)), [])
