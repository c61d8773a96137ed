"""A BibTeX file cut into pieces of about one entry, and the entries that bibtexparser finds there.

A piece is parsed by itself, so a damaged entry affects no other and memory is bounded.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from bibtexparser.library import Library
from bibtexparser.model import (
    Block,
    DuplicateBlockKeyBlock,
    DuplicateFieldKeyBlock,
    Entry,
    ImplicitComment,
    ParsingFailedBlock,
    String,
)
from bibtexparser.splitter import Splitter

from kb.literature.readers.source import TextSource
from kb.literature.works import Unreadable

MAX_ENTRY = 1_000_000  # characters
MAX_HEAD = 200  # characters of the beginning of an entry, up to its brace
START = re.compile(r"(?m)(?:^|(?<=\}))[ \t]{0,50}@[ \t]{0,20}[A-Za-z]+\s{0,20}[{(]")
HEAD = re.compile(r"(\s*)@\s*([A-Za-z]+)(\s*)([{(])")
KINDS = (
    "article|book|inbook|incollection|inproceedings|conference|proceedings|misc|online|techreport|"
    "report|phdthesis|mastersthesis|thesis|unpublished|software|dataset|manual|booklet"
)
HEAD_WITHOUT_BRACE = re.compile(rf"(?im)^[ \t]*@[ \t]*(?:{KINDS})\b[ \t]*(?![\s{{(])")
HIDDEN_ENTRY = re.compile(
    rf"(?i)@(?:{KINDS})\s{{0,20}}[{{(]\s{{0,20}}[^\s,{{}}=@()]{{0,200}}\s{{0,20}},"
)
FIELD_AFTER_END = re.compile(
    r"(?m)^[ \t]{0,50},?[ \t]{0,50}[A-Za-z]{1,50}[ \t]{0,50}=[ \t]{0,50}[{\"\w]"
)
TITLE_OUTSIDE = re.compile(r"(?i)\btitle[ \t]{0,20}=[ \t]{0,20}[{\"]")
NO_ENTRIES = ("comment", "preamble")

logging.getLogger("bibtexparser").setLevel(logging.CRITICAL)  # its errors are in its result


@dataclass
class RawEntry:
    """An entry or a definition (`kind` is "string") with the values as the file has them."""

    kind: str
    key: str
    fields: dict[str, str]
    notes: list[str] = field(default_factory=list)


Found = tuple[int, RawEntry | Unreadable]  # the line where it begins, and what is there


def read_entries(source: TextSource) -> Iterator[Found]:
    for line, piece in split_pieces(source):
        if piece is None:
            reason = f"longer than {MAX_ENTRY:,} characters; a brace may be opened and not closed"
            yield line, Unreadable(reason)
        else:
            yield from _parse_piece(line, piece)


def split_pieces(source: TextSource) -> Iterator[tuple[int, str | None]]:
    """The line and the text of each piece; None for one that is too long.

    A piece begins with an @ in the first column, or where the braces of the last one are closed.
    """
    cutter = _Cutter()
    for chunk in source.chunks():
        yield from cutter.add(chunk)
    yield from cutter.end()


class _Cutter:
    def __init__(self) -> None:
        self.text = ""  # from the beginning of the present piece
        self.line = 1
        self.scanned = 0  # how much of it was searched for the next beginning
        self.counted = 0  # how much of it is in `depth`
        self.depth = 0
        self.too_long = False

    def add(self, chunk: str) -> Iterator[tuple[int, str | None]]:
        self.text += chunk
        begin = 0
        for match in START.finditer(self.text, max(self.scanned - MAX_HEAD, 0)):
            if match.start() <= begin or not self._is_beginning(match.start()):
                continue
            yield from self._emit(begin, match.start())
            begin = match.start()
        self.text = self.text[begin:]
        self.counted = max(self.counted - begin, 0)
        self.scanned = len(self.text)
        if len(self.text) > MAX_ENTRY:
            self.too_long = True
            self.line += self.text.count("\n", 0, len(self.text) - MAX_HEAD)
            self.text = self.text[-MAX_HEAD:]
            self.scanned = self.counted = self.depth = 0

    def end(self) -> Iterator[tuple[int, str | None]]:
        yield from self._emit(0, len(self.text))

    def _is_beginning(self, position: int) -> bool:
        self.depth += _depth(self.text, self.counted, position)
        self.counted = position
        in_column_1 = self.text[position] == "@" and self.text[position - 1] == "\n"
        return in_column_1 or self.depth <= 0

    def _emit(self, begin: int, end: int) -> Iterator[tuple[int, str | None]]:
        yield self.line, None if self.too_long else self.text[begin:end]
        self.line += self.text.count("\n", begin, end)
        self.too_long = False
        self.depth, self.counted = 0, end


def _depth(text: str, begin: int, end: int) -> int:
    opened = text.count("{", begin, end) - text.count("\\{", begin, end)
    return opened - text.count("}", begin, end) + text.count("\\}", begin, end)


def _parse_piece(line: int, piece: str) -> list[Found]:
    """What is in a piece. If something is damaged, its entries are parsed each by itself."""
    found = _parse(line, piece)
    starts = [match.start() for match in HIDDEN_ENTRY.finditer(piece)]
    if len(starts) < 2 or not any(isinstance(result, Unreadable) for _, result in found):
        return found
    ends = [*starts[1:], len(piece)]
    starts[0] = 0
    apart: list[Found] = []
    for start, end in zip(starts, ends, strict=True):
        apart += _parse(line, piece[start:end])
        line += piece.count("\n", start, end)
    return apart


def _parse(line: int, piece: str) -> list[Found]:
    found: list[Found] = []
    for bare in HEAD_WITHOUT_BRACE.finditer(piece):
        where = line + piece.count("\n", 0, bare.start())
        found.append((where, Unreadable("an entry without an opening brace")))
    head = HEAD.match(piece)
    if head:
        if head[2].lower() in NO_ENTRIES and not HIDDEN_ENTRY.search(piece):
            return found
        piece = f"{head[1]}@{head[2]}{head[4]}{head[3]}{piece[head.end() :]}"
    try:
        library: Library = Splitter(piece).split()
    except Exception as error:  # whatever the library stumbles over is one rejected record
        return [(line, Unreadable(f"not BibTeX: {error}"[:MAX_HEAD]))]
    last: RawEntry | None = None
    for block in library.blocks:
        where = line + max(block.start_line or 0, 0)
        if isinstance(block, ImplicitComment):
            if TITLE_OUTSIDE.search(block.comment) and not HEAD_WITHOUT_BRACE.search(piece):
                found.append((where, Unreadable("a title outside of entries: a damaged beginning")))
            elif last and FIELD_AFTER_END.search(block.comment):
                last.notes.append("fields follow the closing brace of their entry: one too many?")
            continue
        result = _read_block(block)
        last = result if isinstance(result, RawEntry) else None
        if result:
            found.append((where, result))
    return sorted(found, key=lambda one: one[0])


def _read_block(block: Block | None) -> RawEntry | Unreadable | None:
    notes = []
    if isinstance(block, DuplicateFieldKeyBlock):
        notes.append("a field is there twice; the first counts")
    if isinstance(block, DuplicateFieldKeyBlock | DuplicateBlockKeyBlock):
        block = block.ignore_error_block
    if isinstance(block, String):
        return RawEntry("string", "", {block.key.lower(): block.value})
    if isinstance(block, Entry):
        return _read_entry(block, notes)
    if isinstance(block, ParsingFailedBlock):
        return _failure(block)
    return None


def _read_entry(entry: Entry, notes: list[str]) -> RawEntry | Unreadable:
    if not entry.fields:
        return Unreadable("an entry without fields")
    if HIDDEN_ENTRY.search(entry.raw or "", 1):
        return Unreadable("an entry within another: a brace is opened and not closed")
    fields: dict[str, str] = {}
    for part in entry.fields:
        fields.setdefault(part.key.lower(), str(part.value))
    return RawEntry(entry.entry_type.lower(), entry.key, fields, notes)


def _failure(block: ParsingFailedBlock) -> Unreadable | None:
    raw = (block.raw or "").lower()
    if raw.startswith(tuple(f"@{kind}" for kind in NO_ENTRIES)):
        return None
    reason = getattr(block.error, "abort_reason", str(block.error))
    if "end of file" in reason or "block start" in reason:
        return Unreadable("a brace is opened and not closed")
    if "comma after entry key" in reason:
        return Unreadable("a comma is missing after the key")
    return Unreadable(f"not BibTeX: {reason}"[:MAX_HEAD])
