"""Milestones in formats for other programs.

Each format is a function from milestones, as the YAML has them, to text. Graphs leave out links to
milestones that aren't exported; the other formats keep them.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence

from kb.exports.bibtex import as_bibtex
from kb.exports.graphs import Entry, as_graphml, as_mermaid
from kb.exports.html_page import as_html
from kb.exports.jsonld import as_jsonld
from kb.formatting import spreadsheet_text

__all__ = ["FORMATS", "Entry"]


def as_json(entries: Sequence[Entry]) -> str:
    return json.dumps(list(entries), ensure_ascii=False, indent=2)


def as_csv(entries: Sequence[Entry]) -> str:
    """A line for each milestone. A cell has JSON where the value is a list or mapping.

    An arXiv number has its prefix: 1409.1550 alone would be the number 1409.155 in a spreadsheet.
    """
    keys = list(dict.fromkeys(key for entry in entries for key in entry))
    out = io.StringIO()
    writer = csv.DictWriter(out, keys, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        writer.writerow({key: _cell(key, value) for key, value in entry.items()})
    return out.getvalue()


def _cell(key: str, value: object) -> str:
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"arXiv:{value}" if key == "arxiv" else spreadsheet_text(value)


FORMATS: dict[str, Callable[[Sequence[Entry]], str]] = {
    "json": as_json,
    "csv": as_csv,
    "bibtex": as_bibtex,
    "graphml": as_graphml,
    "mermaid": as_mermaid,
    "jsonld": as_jsonld,
    "html": as_html,
}
