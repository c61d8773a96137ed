"""Files of literature are read as streams: BibTeX, RIS, Web of Science, CSV and several JSON forms.

Files may be gzipped, and of any encoding. Every reader yields, for each record, where it stands and
the work or the reason why it can't be used, so that a bad record doesn't affect the others.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from kb.literature.readers import json_formats, tagged
from kb.literature.readers.bibtex import read_bibtex
from kb.literature.readers.csv_table import find_header, read_csv
from kb.literature.readers.detection import describe_table, detect_format
from kb.literature.readers.field_names import FIELDS
from kb.literature.readers.source import TextSource
from kb.literature.works import Record, Unreadable

READERS: dict[str, Callable[[TextSource], Iterator[Record]]] = {
    "bibtex": read_bibtex,
    "ris": tagged.read_ris,
    "wos": tagged.read_wos,
    "csv": read_csv,
    "csl": json_formats.read_csl,
    "json": json_formats.read_plain,
    "openalex": json_formats.read_openalex,
    "pwc-links": json_formats.read_pwc_links,
    "pwc-papers": json_formats.read_pwc_papers,
    "semantic-scholar": json_formats.read_semantic_scholar,
}


def open_source(
    path: Path, encoding: str | None = None, columns: Mapping[str, str] | None = None
) -> TextSource:
    """The file as text. `columns` are from field to the name that the file has for it.

    Raises Unreadable for what isn't text, OSError for a file that can't be opened.
    """
    for field in columns or {}:
        if field not in FIELDS:
            raise Unreadable(f"--map {field}=: no such field; there are {', '.join(FIELDS)}")
    return TextSource(path, encoding, columns)


def choose_format(source: TextSource, format_name: str = "auto") -> str:
    """A key of READERS. Raises Unreadable for an unknown format."""
    if format_name == "auto":
        return detect_format(source)
    if format_name not in READERS:
        formats = ", ".join(READERS)
        raise Unreadable(f"there is no format {format_name}; the formats are auto, {formats}")
    return format_name


def require_title(source: TextSource, format_name: str) -> None:
    """Raises Unreadable for a table without a column for the title."""
    if format_name == "csv" and find_header(source) is None:
        raise Unreadable(describe_table(source))


def read_source(source: TextSource, format_name: str) -> Iterator[Record]:
    """The records, and at last the end of a damaged file as one that can't be read."""
    yield from READERS[format_name](source)
    if source.damage:
        yield "the end", Unreadable(source.damage)


def read_works(path: Path, format_name: str = "auto") -> Iterator[Record]:
    """The records of a file. `format_name` is a key of READERS, or `auto` to detect it.

    Raises Unreadable for an unknown format, OSError for a file that can't be opened.
    """
    source = open_source(path)
    yield from read_source(source, choose_format(source, format_name))
