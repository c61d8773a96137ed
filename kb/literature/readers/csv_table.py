"""CSV files whose first line names the columns."""

import csv
import re
from collections.abc import Iterator
from typing import IO

from kb.literature.works import Record, Unreadable, make_work

MAX_CELL = 20_000_000  # characters


def read_csv(file: IO[str]) -> Iterator[Record]:
    """The lines of a CSV file, separated by comma, semicolon or tab.

    Columns are title, and any of authors (separated by `;`), year, venue, doi, arxiv, url,
    abstract and code.
    """
    csv.field_size_limit(MAX_CELL)
    first = file.readline().lstrip("\ufeff")
    dialect: type[csv.Dialect] = csv.excel
    if re.search(r"[,;\t]", first):
        dialect = csv.Sniffer().sniff(first, delimiters=",;\t")
    header = [name.strip().lower() for name in next(csv.reader([first], dialect))]
    lines = csv.reader(file, dialect)
    while True:
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {lines.line_num + 1}", Unreadable(f"not CSV: {error}")
            continue
        if cells:
            fields = dict(zip(header, cells, strict=False))
            code = re.split(r"[;\s]+", fields.get("code", ""))
            work = make_work(**{**fields, "code": code, "names": (), "cites": ()})
            yield f"line {lines.line_num + 1}", work
