"""The objects of a JSON file: one on each line, or the elements of one array of any length."""

import json
import re
from collections.abc import Iterator
from typing import IO, Any

from kb.literature.works import Unreadable

MAX_RECORD = 20_000_000  # characters; a longer one is not a bibliographic record
CHUNK_CHARACTERS = 1 << 20
SEPARATORS = re.compile(r"[\s,]*")

JsonRecord = tuple[str, dict[str, Any] | Unreadable]


def read_objects(file: IO[str]) -> Iterator[JsonRecord]:
    """Yields where each object stands, and the object or the reason why it can't be read."""
    first = file.read(1)
    while first and first in "\ufeff \t\r\n":
        first = file.read(1)
    yield from _read_array(file) if first == "[" else _read_lines(file, first)


def _read_lines(file: IO[str], first: str) -> Iterator[JsonRecord]:
    """`first` is the character that was already read from the first line."""
    for number, line in enumerate(file, start=1):
        line = first + line if number == 1 else line
        if line.strip():
            try:
                value = json.loads(line)
            except ValueError as error:
                yield f"line {number}", Unreadable(f"not JSON: {error}")
            else:
                yield f"line {number}", _require_object(value)


def _read_array(file: IO[str]) -> Iterator[JsonRecord]:
    """The elements of an array whose bracket was read; only a part of the file is in memory."""
    decoder = json.JSONDecoder()
    buffer = ""
    position = 0
    number = 0
    more = True
    while True:
        separators = SEPARATORS.match(buffer, position)
        assert separators  # the pattern matches the empty string
        position = separators.end()
        if buffer[position : position + 1] == "]":
            return
        try:
            value, position = decoder.raw_decode(buffer, position)
        except ValueError:
            rest = buffer[position:]
            if not more or len(rest) > MAX_RECORD:
                if rest:
                    reason = "the file ends, or is damaged, within this record"
                    yield f"record {number + 1}", Unreadable(reason)
                return
            # The buffer doubles each time, so that a long record isn't parsed over and over.
            chunk = file.read(max(CHUNK_CHARACTERS, len(rest)))
            buffer = rest + chunk
            position = 0
            more = bool(chunk)
            continue
        number += 1
        yield f"record {number}", _require_object(value)


def _require_object(value: Any) -> dict[str, Any] | Unreadable:
    return value if isinstance(value, dict) else Unreadable("not an object")
