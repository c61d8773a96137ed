"""The objects of a JSON file: one on each line, one after the other, or the elements of an array.

The array may be the value of a key, as in the pages that OpenAlex and Semantic Scholar answer with.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from kb.literature.readers.source import MAX_LINE, TextSource
from kb.literature.works import Unreadable

MAX_RECORD = MAX_LINE  # characters; a longer one is not a bibliographic record
CONTAINERS = ("results", "data", "items", "papers", "works", "records", "message")
SEPARATORS = re.compile(r"[\s,\ufeff]*")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
NEXT_OBJECT = re.compile(r"\}\s{0,1000},\s{0,1000}(?=\{)|\n\s{0,1000}(?=\{)")
TOO_LONG = f"longer than {MAX_RECORD:,} characters"
MARGIN = 100  # characters; an error nearer to the end of what was read may be due to the end

JsonRecord = tuple[str, dict[str, Any] | Unreadable]


def read_objects(source: TextSource) -> Iterator[JsonRecord]:
    """Yields where each object stands, and the object or the reason why it can't be read."""
    start = source.head.lstrip("\ufeff \t\n")
    if not start.startswith("[") and _is_json(start.partition("\n")[0]):
        yield from _read_lines(source)
        return
    offset = len(source.head) - len(start)
    if container := 1 if start.startswith("[") else find_container(start):
        yield from _ValueReader(source, offset + container).objects("]")
    elif "\n{" in start and not start.startswith(("{\n", "{ ", "{\t")):  # lines, the first is bad
        yield from _read_lines(source)
    else:
        yield from _ValueReader(source, offset).objects("")


def find_container(start: str) -> int:
    """Where the elements of the array begin that an object has as results; 0 if it has none."""
    depth = 0
    keys: list[str] = []
    last = ""
    for match in TOKEN.finditer(start):
        token = match[0]
        if token == "{" or token == "[":
            named = bool(keys) and keys[-1] in CONTAINERS
            if token == "[" and named and depth <= 2 and _is_object_next(start, match.end()):
                return match.end()
            depth += 1
            keys.append("")
        elif token in ("}", "]"):
            depth -= 1
            if keys:
                keys.pop()
        elif token == ":" and keys:
            keys[-1] = last.strip('"')
        last = token
    return 0


def _is_object_next(text: str, position: int) -> bool:
    return text[position : position + MARGIN].lstrip()[:1] in ("{", "]")


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _read_lines(source: TextSource) -> Iterator[JsonRecord]:
    for number, line in source.lines():
        where = f"line {number}"
        if line is None:
            yield where, Unreadable(TOO_LONG)
        elif line := line.strip("\ufeff \t\n,"):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield where, Unreadable(f"not JSON: {error}"[:200])
            else:
                for one in _expand(value):
                    yield where, one


def _expand(value: Any) -> Iterator[dict[str, Any] | Unreadable]:
    """The object, or the objects that it has as results."""
    for name in CONTAINERS:
        inner = value.get(name) if isinstance(value, dict) else None
        if isinstance(inner, list) and inner and all(isinstance(one, dict) for one in inner):
            yield from inner
            return
        if isinstance(inner, dict) and isinstance(inner.get("items"), list):
            yield from map(_require_object, inner["items"])
            return
    if isinstance(value, dict) and value.get("results") == []:
        return
    yield _require_object(value)


def _require_object(value: Any) -> dict[str, Any] | Unreadable:
    return value if isinstance(value, dict) else Unreadable("not an object")


class _ValueReader:
    """Reads one JSON value after the other; only a part of the file is in memory."""

    def __init__(self, source: TextSource, begin: int) -> None:
        self.chunks = source.chunks()
        self.buffer = ""
        self.position = 0
        self.more = True
        while self.more and len(self.buffer) < begin:
            self._grow()
        self.position = begin

    def objects(self, end: str) -> Iterator[JsonRecord]:
        """The objects up to a bracket, or up to the end of the file."""
        decoder = json.JSONDecoder()
        number = 0
        while self._skip_separators():
            if end and self.buffer.startswith(end, self.position):
                return
            try:
                value, self.position = decoder.raw_decode(self.buffer, self.position)
            except (ValueError, RecursionError) as error:
                if self._may_be_incomplete(error) and self._grow_for_record():
                    continue
                number += 1
                yield f"record {number}", Unreadable(self._reason(error))
                self._skip_to_next(error)
                continue
            number += 1
            yield f"record {number}", _require_object(value)

    def _grow(self) -> bool:
        chunk = next(self.chunks, None)
        if chunk is None:
            self.more = False
            return False
        self.buffer = self.buffer[self.position :] + chunk
        self.position = 0
        return True

    def _grow_for_record(self) -> bool:
        """Doubles what is in memory, so that a long record isn't parsed over and over."""
        size = len(self.buffer) - self.position
        if size > MAX_RECORD:
            return False
        parts: list[str] = []
        added = 0
        while added <= size and (chunk := next(self.chunks, None)) is not None:
            parts.append(chunk)
            added += len(chunk)
        self.more = self.more and added > size
        if parts:
            self.buffer = self.buffer[self.position :] + "".join(parts)
            self.position = 0
        return added > 0

    def _skip_separators(self) -> bool:
        """Moves to the next value; False at the end of the file."""
        while True:
            match = SEPARATORS.match(self.buffer, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.buffer):
                return True
            if not self._grow():
                return False

    def _may_be_incomplete(self, error: Exception) -> bool:
        if not isinstance(error, json.JSONDecodeError):
            return False
        return error.pos > len(self.buffer) - MARGIN or "Unterminated" in error.msg

    def _reason(self, error: Exception) -> str:
        if isinstance(error, RecursionError):
            return "too deeply nested"
        if len(self.buffer) - self.position > MAX_RECORD:
            return TOO_LONG
        if not self.more or self._may_be_incomplete(error):
            return "the file ends, or is damaged, within this record"
        return f"not JSON: {getattr(error, 'msg', error)}"[:200]

    def _skip_to_next(self, error: Exception) -> None:
        """Moves behind the damaged value, to the next object of the same array."""
        self.position = max(self.position + 1, min(getattr(error, "pos", 0), len(self.buffer)))
        while not (match := NEXT_OBJECT.search(self.buffer, max(self.position - 1, 0))):
            self.position = max(len(self.buffer) - MARGIN, self.position)
            if not self._grow():
                self.position = len(self.buffer)
                return
        self.position = match.end()
