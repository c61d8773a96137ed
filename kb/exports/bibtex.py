"""BibTeX, for biber: names and titles keep their accents."""

import re
from collections.abc import Sequence
from typing import Any

ENTRY_TYPES = {  # by kind; any other kind is "misc"
    "paper": "article",
    "book": "book",
    "library": "software",
    "framework": "software",
    "tool": "software",
    "dataset": "dataset",
    "benchmark": "dataset",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
SPECIAL_CHARACTERS = re.compile(r"[\\{}$&#_%~^]")
COMMANDS = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def as_bibtex(entries: Sequence[dict[str, Any]]) -> str:
    return "\n\n".join(map(_entry, entries))


def _entry(entry: dict[str, Any]) -> str:
    year, _, rest = entry["date"].partition("-")
    month = rest[:2]
    makers = " and ".join(f"{{{escape_tex(maker)}}}" for maker in entry.get("makers", []))
    people = " and ".join(map(escape_tex, entry.get("authors", [])))
    venue_field = "journal" if entry["kind"] == "paper" else "howpublished"
    fields = {
        # Braces inside the braces of the value: the title keeps its capitals.
        "title": "{" + escape_tex(entry["title"]) + "}",
        "author": people or makers,
        "publisher": makers if people else "",
        "year": year,
        "month": MONTHS[int(month) - 1] if month else "",
        venue_field: escape_tex(entry.get("venue", "")),
        "doi": entry.get("doi", ""),
        "eprint": entry.get("arxiv", ""),
        "archiveprefix": "arXiv" if entry.get("arxiv") else "",
        "url": entry.get("url", ""),
    }
    lines = [
        f"  {name} = {value if name == 'month' else '{' + value + '}'},"
        for name, value in fields.items()
        if value
    ]
    entry_type = ENTRY_TYPES.get(entry["kind"], "misc")
    return "\n".join([f"@{entry_type}{{{entry['id']},", *lines, "}"])


def escape_tex(text: str) -> str:
    """The text on one line, with TeX's ten special characters escaped."""
    return SPECIAL_CHARACTERS.sub(
        lambda match: COMMANDS.get(match[0], "\\" + match[0]), " ".join(text.split())
    )
