"""BibTeX files.

They are scanned here, because the BibTeX libraries read the whole file at once and take a hundred
times as long.
"""

import re
from collections.abc import Iterator
from typing import IO

from kb.literature.readers.latex import latex_to_text
from kb.literature.works import Record, Unreadable, Work, make_work

MAX_LINE = 20_000_000  # characters; an entry isn't continued after a longer line
ENTRY_START = re.compile(r"\s*@\s*\w+\s*[{(]")
ENTRY_HEAD = re.compile(r"@\s*(\w+)\s*[{(]\s*")
FIELD_NAME = re.compile(r"[\s,]*([A-Za-z][\w:-]*)\s*=\s*")
BARE_VALUE = re.compile(r"[^\s,#{}()\"]*")
CONCATENATION = re.compile(r"\s*#\s*")
BRACE_OR_ESCAPE = re.compile(r"\\.|[{}]", re.DOTALL)


def read_bibtex(file: IO[str]) -> Iterator[Record]:
    abbreviations: dict[str, str] = {}
    for line, text in _split_entries(file):
        try:
            work = _read_entry(text, abbreviations)
        except Unreadable as error:
            yield f"line {line}", error
        else:
            if work is not None:
                yield f"line {line}", work


def _split_entries(file: IO[str]) -> Iterator[tuple[int, str]]:
    """The number of the first line and the text of each entry.

    An entry begins with an @ at the beginning of a line. It ends where its braces are closed, or
    before the next such @ in the first column.
    """
    start = 0
    lines: list[str] = []
    depth = 0
    for number, line in enumerate(file, start=1):
        ended = not lines or depth <= 0 or line.startswith("@")
        if ended and ENTRY_START.match(line):
            if lines:
                yield start, "".join(lines)
            start = number
            lines = []
            depth = 0
        elif not lines:
            continue
        lines.append(line)
        depth += line.count("{") - line.count("}") - line.count("\\{") + line.count("\\}")
        if depth <= 0 or len(line) > MAX_LINE:
            yield start, "".join(lines)
            lines = []
    if lines:
        yield start, "".join(lines)


def _read_entry(text: str, abbreviations: dict[str, str]) -> Work | Unreadable | None:
    """The work of an entry; None for a comment or a definition, which is added to `abbreviations`.

    Raises Unreadable.
    """
    head = ENTRY_HEAD.match(text)
    kind = head[1].lower() if head else ""
    if not head or kind in ("comment", "preamble"):
        return None
    body = text[head.end() :]
    if kind == "string":
        abbreviations |= _read_fields(body, abbreviations)
        return None
    key, comma, rest = body.partition(",")
    if not comma:
        raise Unreadable("an entry without fields")
    return _make_work(key.strip(), _read_fields(rest, abbreviations))


def _make_work(key: str, fields: dict[str, str]) -> Work | Unreadable:
    url = fields.get("url", "") or fields.get("howpublished", "")
    archive = fields.get("archiveprefix", fields.get("eprinttype", "")).lower()
    preprint = fields.get("eprint", "") if "arxiv" in archive else ""
    authors = re.split(r"\s+and\s+", fields.get("author", ""))
    return make_work(
        title=fields.get("title"),
        authors=[_given_name_first(name) for name in authors],
        year=fields.get("year") or fields.get("date", "")[:4],
        venue=fields.get("journal") or fields.get("booktitle") or fields.get("publisher"),
        doi=fields.get("doi"),
        arxiv=preprint or fields.get("arxiv"),
        url=re.sub(r"\\url|[{}]", "", url),
        abstract=fields.get("abstract"),
        names=[f"bib:{key}"],
    )


def _given_name_first(name: str) -> str:
    """Family, Given -> Given Family."""
    family, comma, given = name.partition(",")
    return f"{given.strip()} {family.strip()}" if comma else name


def _read_fields(text: str, abbreviations: dict[str, str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    position = 0
    while name := FIELD_NAME.match(text, position):
        value, position = _read_value(text, name.end(), abbreviations)
        fields[name[1].lower()] = latex_to_text(value)
    if not fields:
        raise Unreadable("no field can be read in this entry")
    return fields


def _read_value(text: str, position: int, abbreviations: dict[str, str]) -> tuple[str, int]:
    """The value that begins there, and where it ends: in braces, in quotes or bare, joined by #."""
    parts = []
    while True:
        if text[position : position + 1] == "{":
            end = _closing_brace(text, position)
            parts.append(text[position + 1 : end])
            position = end + 1
        elif text[position : position + 1] == '"':
            end = _closing_quote(text, position)
            parts.append(text[position + 1 : end])
            position = end + 1
        else:
            bare = BARE_VALUE.match(text, position)
            word = bare[0] if bare else ""
            parts.append(abbreviations.get(word.lower(), word))
            position += len(word)
        concatenation = CONCATENATION.match(text, position)
        if not concatenation:
            return "".join(parts), position
        position = concatenation.end()


def _closing_quote(text: str, position: int) -> int:
    """Where the quotation mark at `position` is closed, or the end of the text."""
    end = position + 1
    while end < len(text) and text[end] != '"':
        if text[end] == "{":
            end = _closing_brace(text, end) + 1
        else:
            end += 2 if text[end] == "\\" else 1
    return end


def _closing_brace(text: str, position: int) -> int:
    depth = 0
    for match in BRACE_OR_ESCAPE.finditer(text, position):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    raise Unreadable("a brace is opened and not closed")
