"""Pydantic's validation errors as messages for the author of a timeline, with the remedy."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kb.schema import StrictModel
from kb.suggestions import did_you_mean

# Where a list or mapping of an entry is checked key by key: the keys that its items may have.
KEYS_OF_ITEMS = {
    "links": ("to", "as", "how", "why_later"),
    "claims": ("id", "says", "where", "published"),
    "published": ("unit", "idea", "baseline", "note"),
    "terms": ("term", "means", "code"),
    "sources": ("url", "read", "note"),
    "steps": ("at", "to", "title", "text", "show", "question"),
    "question": ("claim", "ask"),
    "spec": ("value", "unit", "format", "where", "note"),
}
MAX_SHOWN_CHARACTERS = 60  # of a value in a message


def error_message(
    error: Mapping[str, Any], model: type[StrictModel], entry: Mapping[str, Any]
) -> str:
    """The message for one of Pydantic's errors about `entry`, which should be a `model`."""
    location, given = error["loc"], error.get("input")
    name = str(next((part for part in reversed(location) if part != "float"), ""))
    shown = _shorten(given)
    match error["type"]:
        case "missing":
            owner = shown if len(location) > 1 else f"a {entry.get('kind', 'milestone')}"
            return f'"{name}" is missing {"in" if len(location) > 1 else "for"} {owner}'
        case "extra_forbidden":
            return f'unknown key "{name}"{did_you_mean(name, _allowed_keys(location, model))}'
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_pattern_mismatch":
            what = "file name" if name == "impl" else "id"
            return f"{shown} is no {what}; use small letters, digits and dashes"
        case "literal_error":
            expected = str(error["ctx"]["expected"])  # 'a', 'b' or 'c'
            options = re.findall(r"'([^']*)'", expected)
            return f"{shown} is none of {expected}{did_you_mean(str(given), options)}"
        case "string_type":
            return f'"{name}" must be text, not {shown}{_how_to_quote(given)}'
        case "float_type":
            return f'"{name}" must be a number, not {shown}'
        case "list_type":
            return f'"{name}" must be a list, as in [{shown}]'
        case "string_too_short":
            return f'"{name}" is empty'
        case "too_short":
            return f'"{name}" is empty; it needs at least one'
        case _:
            return f'"{name}": {error["msg"][:1].lower()}{error["msg"][1:]}, not {shown}'


def _allowed_keys(location: tuple[Any, ...], model: type[StrictModel]) -> Sequence[str]:
    """The keys that are allowed beside the unknown one."""
    for part in reversed(location[:-1]):
        if part in KEYS_OF_ITEMS:
            return KEYS_OF_ITEMS[part]
    return [field.alias or name for name, field in model.model_fields.items()]


def _how_to_quote(value: Any) -> str:
    """YAML reads an unquoted 1998 as a number."""
    return f'; quote it: "{value}"' if isinstance(value, int | float | bool | dt.date) else ""


def _shorten(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    if len(text) <= MAX_SHOWN_CHARACTERS:
        return text
    return f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."
