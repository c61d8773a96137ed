"""Files of literature are read as streams: BibTeX, OpenAlex, Papers with Code, CSV and JSON.

Files may be gzipped. Every reader yields, for each record, where it stands and the work or the
reason why it can't be used, so that a bad record doesn't affect the others.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from kb.literature.readers import json_formats
from kb.literature.readers.bibtex import read_bibtex
from kb.literature.readers.csv_table import read_csv
from kb.literature.works import Record, Unreadable

DETECTION_CHARACTERS = 200_000  # at the beginning of a file, by which its format is detected
READERS: dict[str, Callable[[IO[str]], Iterator[Record]]] = {
    "bibtex": read_bibtex,
    "csv": read_csv,
    "json": json_formats.read_plain,
    "openalex": json_formats.read_openalex,
    "pwc-links": json_formats.read_pwc_links,
    "pwc-papers": json_formats.read_pwc_papers,
}


def read_works(path: Path, format_name: str = "auto") -> Iterator[Record]:
    """The records of a file. `format_name` is a key of READERS, or `auto` to detect it.

    Raises Unreadable for an unknown format, OSError for a file that can't be opened.
    """
    if format_name == "auto":
        with _open_text(path) as file:
            format_name = _detect_format(path, file)
    if format_name not in READERS:
        formats = ", ".join(READERS)
        raise Unreadable(f"there is no format {format_name}; the formats are auto, {formats}")
    with _open_text(path) as file:
        yield from READERS[format_name](file)


def _open_text(path: Path) -> IO[str]:
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    if gzipped:
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


def _detect_format(path: Path, file: IO[str]) -> str:
    start = file.read(DETECTION_CHARACTERS).lstrip("\ufeff \t\r\n")
    if "\0" in start:
        raise Unreadable(
            f"{path} is not a text file; the formats are BibTeX, CSV, JSON and JSON lines, "
            "plain or gzipped"
        )
    if start.startswith(("{", "[")):
        return _detect_json_format(_keys_of_first_record(start))
    if re.search(r"(?m)^\s*@\w+\s*[{(]", start):
        return "bibtex"
    if start and "title" in start.splitlines()[0].lower():
        return "csv"
    raise Unreadable(
        f"{path} is not BibTeX, JSON or a CSV file whose first line names its columns, "
        "`title` among them"
    )


def _detect_json_format(keys: set[str]) -> str:
    if {"paper_url", "repo_url"} <= keys:
        return "pwc-links"
    if "paper_url" in keys:
        return "pwc-papers"
    return "openalex" if {"authorships", "display_name"} & keys else "json"


def _keys_of_first_record(start: str) -> set[str]:
    try:
        record, _ = json.JSONDecoder().raw_decode(start.lstrip("[ \t\r\n"))
    except ValueError:  # it is longer than what was read
        return set(re.findall(r'"(\w+)"\s*:', start[:5000]))
    return set(record) if isinstance(record, dict) else set()
