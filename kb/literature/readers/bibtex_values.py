"""Values of BibTeX fields: pieces in braces, in quotes or bare, joined by #; names of people."""

import re
from collections.abc import Mapping

from bibtexparser.middlewares.names import (
    parse_single_name_into_parts,
    split_multiple_persons_names,
)

from kb.exports.bibtex import MONTHS
from kb.literature.readers.latex import latex_to_text

MAX_VALUE = 100_000  # characters; abbreviations of abbreviations can make values of any length
MAX_PEOPLE = 100_000  # characters
BARE = re.compile(r"[^\s,#{}()\"=]+")
NEXT_FIELD = re.compile(r"\s*,?\s*([A-Za-z][\w:-]*)\s*=\s*")
BRACE_OR_ESCAPE = re.compile(r"\\.|[{}]", re.DOTALL)
TOKENS_IN_QUOTES = re.compile(r"\\.|[{}\"]", re.DOTALL)
WHOLE_IN_BRACES = re.compile(r"\{[^{}]*\}")

Abbreviations = Mapping[str, str]


def join_value(value: str, abbreviations: Abbreviations) -> tuple[str, str, list[str]]:
    """The text of a value, what follows it though it shouldn't, and undefined abbreviations.

    Raises ValueError for a value that isn't closed.
    """
    parts: list[str] = []
    unknown: list[str] = []
    position = 0
    length = 0
    while True:
        part, position = _read_part(value, position, abbreviations, unknown)
        if length < MAX_VALUE:
            parts.append(part[:MAX_VALUE])
            length += len(part)
        rest = value[position:].lstrip()
        if not rest.startswith("#"):
            return "".join(parts), rest, unknown
        position = value.index("#", position) + 1
        position += len(value[position:]) - len(value[position:].lstrip())


def _read_part(
    value: str, position: int, abbreviations: Abbreviations, unknown: list[str]
) -> tuple[str, int]:
    first = value[position : position + 1]
    if first in ("{", '"'):
        end = _closing(value, position)
        return value[position + 1 : end], end + 1
    bare = BARE.match(value, position)
    word = bare[0] if bare else ""
    lower = word.lower()
    if lower in abbreviations:
        return abbreviations[lower], position + len(word)
    if word and not word.isdigit() and lower not in MONTHS:
        unknown.append(word)
    return word, position + len(word)


def _closing(text: str, position: int) -> int:
    """Where the brace or the quotation mark at `position` is closed."""
    in_quotes = text[position] == '"'
    depth = 0 if in_quotes else 1
    pattern = TOKENS_IN_QUOTES if in_quotes else BRACE_OR_ESCAPE
    for match in pattern.finditer(text, position + 1):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if (match[0] == '"' and depth == 0) if in_quotes else depth == 0:
            return match.start()
    raise ValueError("a brace or a quotation mark is opened and not closed")


def resolve_fields(
    fields: Mapping[str, str], abbreviations: Abbreviations
) -> tuple[dict[str, str], list[str]]:
    """The fields as texts, still with their LaTeX, and what was wrong. Raises ValueError."""
    texts: dict[str, str] = {}
    notes: list[str] = []
    for name, value in fields.items():
        text, rest, unknown = join_value(value, abbreviations)
        texts.setdefault(name, text)
        while follower := NEXT_FIELD.match(rest):
            notes.append("a comma is missing between two fields")
            text, rest, more = join_value(rest[follower.end() :], abbreviations)
            unknown += more
            texts.setdefault(follower[1].lower(), text)
        if rest:
            notes.append(f"what follows the value of {name[:40]!r} wasn't read")
        notes += [f"an abbreviation isn't defined: {word[:40]!r}" for word in unknown]
    return texts, list(dict.fromkeys(notes))


def split_people(text: str) -> tuple[list[str], list[str]]:
    """The names of an author field, given names first, and what to say about them."""
    names: list[str] = []
    notes: list[str] = []
    for name in split_multiple_persons_names(" ".join(text[:MAX_PEOPLE].split())):
        if name.strip("{} ").lower() in ("others", "et al.", "et al"):
            notes.append("the list of authors ends with others")
        elif name.strip():
            names.append(_given_name_first(name))
    return names, notes


def _given_name_first(name: str) -> str:
    if WHOLE_IN_BRACES.fullmatch(name):  # a corporation
        return latex_to_text(name)
    if "=" in name and "," in name:  # biblatex: family=Berg, given=Ása
        parts = dict(part.split("=", 1) for part in re.split(r",\s*", name) if "=" in part)
        keyed = {key.strip().lower(): value.strip(' "') for key, value in parts.items()}
        if "family" in keyed:
            order = (keyed.get(key, "") for key in ("given", "prefix", "family", "suffix"))
            return latex_to_text(" ".join(filter(None, order)))
    try:
        parts_of_name = parse_single_name_into_parts(name, strict=False)
    except (ValueError, IndexError):
        return latex_to_text(name)
    return latex_to_text(parts_of_name.merge_first_name_first)


def verbatim(value: str) -> str:
    """An address or a DOI: only what LaTeX would not print as it stands is undone."""
    value = re.sub(r"\\url\s*\{([^{}]*)\}|\\href\s*\{([^{}]*)\}\s*\{[^{}]*\}", r"\1\2", value)
    value = re.sub(r"\$?\\(?:text)?(?:less|lt)\b(?:\{\})?\$?|\$<\$", "<", value)
    value = re.sub(r"\$?\\(?:text)?(?:greater|gt)\b(?:\{\})?\$?|\$>\$", ">", value)
    value = re.sub(r"\\(?:textunderscore|_)(?:\{\})?", "_", value)
    return re.sub(r"\\([&%$#_{}~])|[{}]", r"\1", value).strip()
