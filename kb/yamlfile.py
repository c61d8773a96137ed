"""YAML read strictly, with the place of every value: no tags, aliases, duplicate keys or unquoted dates, no deep nesting.

Built from the parser's events with a stack of our own: PyYAML's composer recurses, and a file of brackets would end the
process. Scalars are read as in YAML 1.2, so that `no` is a word.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 12
MAX_PROBLEMS = 200
SPECIAL = {"": None, "~": None, "null": None, "true": True, "false": False}
INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?")

Path_ = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, both from 1


@dataclass(frozen=True, order=True)
class Problem:
    """Something wrong in a file, at a line and column counted from 1, with what to do about it."""

    file: str
    line: int
    column: int
    message: str
    level: str = "error"  # or "warning"

    def __str__(self) -> str:
        warning = "warning: " if self.level == "warning" else ""
        return f"{self.file}:{self.line}:{self.column}: {warning}{self.message}"


@dataclass
class Document:
    """A file's value, and where each part of it stands: `places[("links", 0, "to")]` of a value, `keys` of its key."""

    value: Any = None
    places: dict[Path_, Place] = field(default_factory=dict)
    keys: dict[Path_, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read(path: Path) -> Document:
    """The one document in a file; what is wrong with it is in `problems`, and then `value` may be None."""
    document = Document()

    def problem(message: str, place: Place = (1, 1)) -> Document:
        document.problems.append(Problem(str(path), *place, message))
        return document

    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            return problem(f"{size / 2**20:.0f} MiB is more than the {MAX_BYTES // 2**20} MiB that a timeline may have")
        raw = path.read_bytes()
    except OSError as error:
        return problem(f"can't be read: {error.strerror}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        return problem(f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8 text", (line, column))
    try:
        _build(document, str(path), yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        return problem(f"not YAML: {error.problem or error.context}", place)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        return problem(f"character U+{int(error.character):04X} may not stand in YAML", place)
    except _Stop as stop:
        return problem(*stop.args)
    return document


class _Stop(Exception):
    """Reading can't go on: (message, place)."""


class _Open:
    """A mapping or sequence that isn't closed yet."""

    def __init__(self, value: dict[str, Any] | list[Any], path: Path_) -> None:
        self.value, self.path = value, path
        self.key: str | None = None  # of a mapping: the key whose value comes next
        self.duplicate = False


def _build(document: Document, file: str, events: Iterator[Any]) -> None:
    stack: list[_Open] = []
    documents = 0
    for event in events:
        place = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise _Stop("a second document begins here; a timeline is one list, without '---' inside", place)
        elif isinstance(event, yaml.AliasEvent):
            raise _Stop(f"*{event.anchor}: aliases aren't used here; write the value out", place)
        elif isinstance(event, yaml.CollectionEndEvent):
            closed = stack.pop()
            if not stack:
                document.value = closed.value
        elif isinstance(event, yaml.NodeEvent):
            if len(document.problems) >= MAX_PROBLEMS:
                raise _Stop(f"more than {MAX_PROBLEMS} problems; the rest isn't read", place)
            _check_tag(document, file, event, place)
            if isinstance(event, yaml.ScalarEvent):
                _add(document, file, stack, _scalar(document, file, event, place), place)
            else:
                if len(stack) >= MAX_DEPTH:
                    raise _Stop(f"nested more than {MAX_DEPTH} deep; a milestone needs no such depth", place)
                value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
                path = _add(document, file, stack, value, place)
                stack.append(_Open(value, path))


def _check_tag(document: Document, file: str, event: Any, place: Place) -> None:
    if event.tag not in (None, "!"):
        document.problems.append(Problem(file, *place, f"tag {event.tag}: tags aren't used here; remove it"))
    if event.anchor:
        document.problems.append(Problem(file, *place, f"&{event.anchor}: anchors aren't used here; remove it"))


def _scalar(document: Document, file: str, event: Any, place: Place) -> Any:
    text: str = event.value
    if event.style:  # quoted or a block
        return text
    if text.lower() in SPECIAL and text in (text.lower(), text.capitalize()):
        return SPECIAL[text.lower()]
    if INT.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text):
        return float(text)
    if DATE.fullmatch(text):
        document.problems.append(Problem(file, *place, f'the date must be quoted: "{text}"'))
    return text


def _add(document: Document, file: str, stack: list[_Open], value: Any, place: Place) -> Path_:
    """Puts a value where the innermost open collection expects one; returns its path."""
    if not stack:
        document.value = value
        document.places[()] = place
        return ()
    parent = stack[-1]
    if isinstance(parent.value, list):
        path: Path_ = (*parent.path, len(parent.value))
        parent.value.append(value)
        document.places[path] = place
        return path
    if parent.key is None:
        if isinstance(value, dict | list):
            raise _Stop("a key must be a word, not a list or a mapping; is a quote missing?", place)
        key = value if isinstance(value, str) else str(value)
        path = (*parent.path, key)
        if key in parent.value:
            line = document.keys[path][0]
            document.problems.append(Problem(file, *place, f'"{key}" is given twice; the first is in line {line}'))
            parent.duplicate = True
        else:
            document.keys[path] = place
        parent.key = key
        return path
    path = (*parent.path, parent.key)
    if not parent.duplicate:
        parent.value[parent.key] = value
        document.places[path] = place
    parent.key, parent.duplicate = None, False
    return path
