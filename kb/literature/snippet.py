"""The part of a text around the words that were searched for."""

import re
from collections.abc import Sequence

from kb.search.normalize import casefold_ascii

CHARACTERS_BEFORE = 60  # of context before the first match
LENGTH = 200  # characters

Snippet = list[tuple[str, bool]]  # pieces of text, each with whether it is a match


def make_snippet(text: str, searched: Sequence[str]) -> Snippet:
    """The text around the first word that begins like one of the searched words.

    Empty if there is none.
    """
    prefixes = tuple(
        {word for words in searched for word in re.findall(r"\w+", casefold_ascii(words))}
    )
    tokens = [match.span() for match in re.finditer(r"\w+", text)]
    matches = [
        (start, end)
        for start, end in tokens
        if casefold_ascii(text[start:end]).startswith(prefixes)
    ]
    if not matches:
        return []
    earliest = max(0, matches[0][0] - CHARACTERS_BEFORE)
    begin = max((start for start, _ in tokens if start <= earliest), default=0)
    pieces: Snippet = [("…", False)] if begin else []
    position = begin
    for start, end in matches:
        if end < begin + LENGTH:
            pieces += [(text[position:start], False), (text[start:end], True)]
            position = end
    rest = text[position : begin + LENGTH]
    pieces.append((rest + "…" * (len(text) > begin + LENGTH), False))
    return [piece for piece in pieces if piece[0]]
