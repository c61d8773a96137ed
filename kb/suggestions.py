"""The ending of an error message that suggests what a misspelt word may have meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the known word that is most similar; empty if none is similar."""
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f'; did you mean "{matches[0]}"?' if matches else ""
