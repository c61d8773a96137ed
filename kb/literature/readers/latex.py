"""LaTeX markup in names and titles, converted to plain text."""

import re
import unicodedata

COMBINING_ACCENTS = {
    "`": "\u0300",
    "'": "\u0301",
    "^": "\u0302",
    '"': "\u0308",
    "~": "\u0303",
    "=": "\u0304",
    ".": "\u0307",
    "u": "\u0306",
    "v": "\u030c",
    "H": "\u030b",
    "c": "\u0327",
    "d": "\u0323",
    "b": "\u0331",
    "k": "\u0328",
    "r": "\u030a",
}
LETTERS = {
    "ss": "ß",
    "ae": "æ",
    "AE": "Æ",
    "oe": "œ",
    "OE": "Œ",
    "o": "ø",
    "O": "Ø",
    "l": "ł",
    "L": "Ł",
    "aa": "å",
    "AA": "Å",
    "i": "i",
    "j": "j",
}
ACCENT_PATTERN = re.compile(r"\\([`'^\"~=.]|[uvHcdbkr](?![A-Za-z]))\s*\{?\s*\\?([A-Za-z])\s*\}?")
LETTER_PATTERN = re.compile(r"\\(ss|ae|AE|oe|OE|aa|AA|[oOlLij])(?![A-Za-z])\s*(\{\})?")
ESCAPED_PATTERN = re.compile(r"\\([&%$#_{}])")
COMMAND_PATTERN = re.compile(r"\\[A-Za-z]+\*?\s*")
BRACE_PATTERN = re.compile(r"(?<!\\)[{}]")


def latex_to_text(latex: str) -> str:
    """Replaces accents and special letters, removes other markup: G{\\"o}del -> Gödel."""
    if "\\" in latex:
        latex = ACCENT_PATTERN.sub(_compose_accent, latex)
        latex = LETTER_PATTERN.sub(lambda match: LETTERS[match[1]], latex)
        latex = ESCAPED_PATTERN.sub(r"\1", latex)
        latex = COMMAND_PATTERN.sub("", latex)
    latex = BRACE_PATTERN.sub("", latex)
    return latex.replace("~", " ").replace("---", "–").replace("--", "–")


def _compose_accent(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFC", match[2] + COMBINING_ACCENTS[match[1]])
