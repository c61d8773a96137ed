"""The form in which words are compared: without accents and capitals."""

import unicodedata

STROKE_LETTERS = str.maketrans("łŁøØđĐ", "lLoOdD")  # for Unicode these strokes are no accents


def casefold_ascii(text: str) -> str:
    """Removes accents and capitals: Łukasz Vázquez -> lukasz vazquez."""
    letters = unicodedata.normalize("NFKD", text.translate(STROKE_LETTERS)).casefold()
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
