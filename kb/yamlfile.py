"""Reads YAML strictly, and remembers the place of every value.

Tags, aliases, duplicate keys, unquoted dates, deep nesting and characters that nobody sees are
refused. Scalars are read as in YAML 1.2, so that `no` is a word. Values are built from the parser's
events, with a stack of our own: PyYAML's composer recurses, and a file of brackets would crash the
process.
"""

import math
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 12
MAX_PROBLEMS = 200
MAX_CHARACTERS = 50_000  # of one text; the longest story has 3,000
SPECIAL = {"": None, "~": None, "null": None, "true": True, "false": False}
INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# What YAML 1.1 and 1.2 read differently: 08 and 1e3 are texts to one of them, 010 is eight to one.
JOINED = re.compile(
    r"[^\n]\n[^\n ]"
)  # of a folded text: one line end, where a reader saw a paragraph's
AMBIGUOUS = re.compile(r"[-+]?(0[0-9].*|[0-9]+[eE].*|.*[eE][0-9]+)")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?")
# Characters that control a terminal, turn the direction of writing, or can't be seen at all.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
NOT_YAML = re.compile("[\x00-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")  # of these

ValuePath = tuple[str | int, ...]  # ("links", 0, "to") is in the first item of "links"
Place = tuple[int, int]  # line and column, both from 1


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong in a file, at a line and column counted from 1, with what to do about it."""

    file: str
    line: int
    column: int
    message: str
    level: str = "error"  # or "warning", or "draft" for an entry that isn't loaded yet

    def __str__(self) -> str:
        level = "" if self.level == "error" else f"{self.level}: "
        return escape_hidden(f"{self.file}:{self.line}:{self.column}: {level}{self.message}")


@dataclass
class Document:
    """The value of a file, and the places of all values and keys in it, by their paths."""

    value: Any = None
    places: dict[ValuePath, Place] = field(default_factory=dict)
    keys: dict[ValuePath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: ValuePath, *, at_key: bool = False) -> Place:
        """Where the value at `path` is, or its key.

        A value that is missing is at the list or mapping that should contain it.
        """
        places = self.keys if at_key else self.places
        while path and path not in places:
            path = path[:-1]
        return places.get(path) or self.places.get(path, (1, 1))


class _Abort(Exception):
    """Reading can't continue."""

    def __init__(self, message: str, place: Place = (1, 1)) -> None:
        super().__init__(message)
        self.message = message
        self.place = place


def escape_hidden(text: str) -> str:
    """The text with its hidden characters written out, so that a terminal doesn't obey them."""
    return HIDDEN.sub(lambda match: ascii(match[0])[1:-1], text)


def read_yaml(path: Path) -> Document:
    """Reads a file. It doesn't raise: after a problem, the value may be incomplete or None."""
    document = Document()
    try:
        text = _read_text(path)
        _report_hidden(document, path, text)
        _parse(document, path, text)
    except _Abort as abort:
        document.problems.append(Problem(str(path), *abort.place, abort.message))
    return document


def _read_text(path: Path) -> str:
    raw = _read_bytes(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8 text"
        raise _Abort(message, (line, column)) from None


def _read_bytes(path: Path) -> bytes:
    """The content of a regular file: a pipe would be waited for, a device may have no end."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise _Abort("is a folder; name the file in it")
        if not stat.S_ISREG(mode):
            raise _Abort("is a pipe or a device, not a file; save what it gives into a file first")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise _Abort(f"can't be read: {getattr(error, 'strerror', error)}") from None
    if len(raw) > MAX_BYTES:
        raise _Abort(f"more than the {MAX_BYTES // 2**20} MiB that a timeline may have; split it")
    return raw


def _report_hidden(document: Document, path: Path, text: str) -> None:
    """Adds a problem for each hidden character in the file's text, comments included.

    The parser ends at those that YAML doesn't allow; the builder finds escapes such as "\\e".
    """
    for match in HIDDEN.finditer(text, 1 if text.startswith("\ufeff") else 0):
        if len(document.problems) >= MAX_PROBLEMS:
            raise _Abort(f"more than {MAX_PROBLEMS} problems; the rest isn't read")
        if NOT_YAML.match(match[0]):
            return
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - text.rfind("\n", 0, match.start())
        document.problems.append(Problem(str(path), line, column, _hidden_message(match[0])))


def _hidden_message(character: str) -> str:
    name = unicodedata.name(character, "a control character").lower()
    return f"U+{ord(character):04X} ({name}) can't be seen in text; remove it"


def _parse(document: Document, path: Path, text: str) -> None:
    """Fills the document. Raises _Abort."""
    try:
        _Builder(document, str(path)).build(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _Abort(f"not YAML: {error.problem or error.context}", place) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        message = f"character U+{int(error.character):04X} may not stand in YAML"
        raise _Abort(message, place) from None


class _OpenCollection:
    """A mapping or sequence that isn't closed yet."""

    def __init__(self, value: dict[str, Any] | list[Any], path: ValuePath) -> None:
        self.value = value
        self.path = path
        self.key: str | None = None  # of a mapping: the key whose value comes next
        self.is_duplicate = False  # that key


class _Builder:
    """Builds the value of a document from the parser's events. Its methods raise _Abort."""

    def __init__(self, document: Document, file: str) -> None:
        self.document = document
        self.file = file
        self.stack: list[_OpenCollection] = []

    def build(self, events: Iterator[Any]) -> None:
        documents = 0
        for event in events:
            place = (event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    message = "a timeline is one list, without '---' inside"
                    raise _Abort(f"a second document begins here; {message}", place)
            elif isinstance(event, yaml.AliasEvent):
                message = f"*{event.anchor}: aliases aren't used here; write the value out"
                raise _Abort(message, place)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._close_collection()
            elif isinstance(event, yaml.NodeEvent):
                self._add_node(event, place)

    def _add_node(self, event: Any, place: Place) -> None:
        if len(self.document.problems) >= MAX_PROBLEMS:
            raise _Abort(f"more than {MAX_PROBLEMS} problems; the rest isn't read", place)
        if event.tag not in (None, "!"):
            self._add_problem(f"tag {event.tag}: tags aren't used here; remove it", place)
        if event.anchor:
            self._add_problem(f"&{event.anchor}: anchors aren't used here; remove it", place)
        if isinstance(event, yaml.ScalarEvent):
            self._add_value(self._parse_scalar(event, place), place)
        else:
            self._open_collection({} if isinstance(event, yaml.MappingStartEvent) else [], place)

    def _add_problem(self, message: str, place: Place) -> None:
        self.document.problems.append(Problem(self.file, *place, message))

    def _open_collection(self, value: dict[str, Any] | list[Any], place: Place) -> None:
        if len(self.stack) >= MAX_DEPTH:
            message = f"nested more than {MAX_DEPTH} deep; a milestone needs no such depth"
            raise _Abort(message, place)
        path = self._add_value(value, place)
        self.stack.append(_OpenCollection(value, path))

    def _close_collection(self) -> None:
        closed = self.stack.pop()
        if not self.stack:
            self.document.value = closed.value

    def _parse_scalar(self, event: Any, place: Place) -> Any:
        text: str = event.value
        self._check_text(text, event, place)
        if event.style:  # quoted or a block
            return text
        if text.lower() in SPECIAL and text in (text.lower(), text.capitalize()):
            return SPECIAL[text.lower()]
        if INT.fullmatch(text):
            return int(text)
        if FLOAT.fullmatch(text):
            number = float(text)
            if math.isinf(number):
                self._add_problem(
                    f"{text[:40]} is too large for a number; is a digit wrong?", place
                )
            elif AMBIGUOUS.fullmatch(text):
                self._add_problem(
                    f"{text[:40]} is a number to some programs and a text to others: "
                    f'write {number}, or "{text[:40]}" for a text',
                    place,
                )
            return number
        if DATE.fullmatch(text):
            self._add_problem(f'the date must be quoted: "{text}"', place)
        return text

    def _check_text(self, text: str, event: Any, place: Place) -> None:
        """Adds a problem for a text that is too long, or that has an escaped hidden character."""
        if len(text) > MAX_CHARACTERS:
            message = f"a text of {len(text):,} characters; at most {MAX_CHARACTERS:,} are read"
            raise _Abort(f"{message}: shorten it, or is a quote missing?", place)
        if event.style == '"' and (match := HIDDEN.search(text)):
            lines = range(place[0], event.end_mark.line + 2)
            if not any(problem.line in lines for problem in self.document.problems):
                self._add_problem(_hidden_message(match[0]), place)
        if event.style == ">" and JOINED.search(text.strip()):
            self._add_problem("its paragraphs would run together: write | instead of >", place)

    def _add_value(self, value: Any, place: Place) -> ValuePath:
        """Puts a value where the innermost open collection expects one; returns its path."""
        if not self.stack:
            self.document.value = value
            self.document.places[()] = place
            return ()
        parent = self.stack[-1]
        if isinstance(parent.value, list):
            path: ValuePath = (*parent.path, len(parent.value))
            parent.value.append(value)
            self.document.places[path] = place
            return path
        if parent.key is None:
            return self._add_key(parent, value, place)
        path = (*parent.path, parent.key)
        if not parent.is_duplicate:
            parent.value[parent.key] = value
            self.document.places[path] = place
        parent.key = None
        parent.is_duplicate = False
        return path

    def _add_key(self, parent: _OpenCollection, value: Any, place: Place) -> ValuePath:
        if isinstance(value, dict | list):
            message = "a key must be a word, not a list or a mapping; is a quote missing?"
            raise _Abort(message, place)
        key = value if isinstance(value, str) else str(value)
        path = (*parent.path, key)
        if key in parent.value:
            line = self.document.keys[path][0]
            self._add_problem(f'"{key}" is given twice; the first is in line {line}', place)
            parent.is_duplicate = True
        else:
            self.document.keys[path] = place
        parent.key = key
        return path
