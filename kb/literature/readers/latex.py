"""LaTeX markup in names and titles, converted to plain text by pylatexenc."""

import functools
import logging
import re

from pylatexenc.latex2text import (
    LatexNodes2Text,
    MacroTextSpec,
    get_default_latex_context_db,
)
from pylatexenc.latexwalker import LatexWalker
from pylatexenc.latexwalker import get_default_latex_context_db as get_walker_context_db
from pylatexenc.macrospec import LatexContextDb

MAX_LATEX = 5_000  # characters that are converted at once
CACHED = 2_000  # texts
CODES = re.compile(r"[\\$]")
UNESCAPED = re.compile(r"(?<!\\)[%&#]")  # codes in LaTeX, and mere characters in an abstract
MONEY = re.compile(r"(?<!\\)\$(?=\s?\d[\d,.]*(?:\s|$|[,;.)-]))")  # no formula
ESCAPES = re.compile(r"\\([&%$#_{}])")
COMMANDS = re.compile(r"\\[A-Za-z]+\*?\s*")
BRACES = re.compile(r"(?<!\\)[{}]")
MACROS = {  # that pylatexenc doesn't know, or writes in another way
    "TeX": "TeX",
    "LaTeX": "LaTeX",
    "BibTeX": "BibTeX",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textunderscore": "_",
    "copyright": "©",
    "pounds": "£",
    "S": "§",
    "slash": "/",
    "hyphen": "-",
    "nobreakspace": " ",
    "url": "%s",
    "ensuremath": "%s",
}
DASHES = re.compile(r"---?")


@functools.lru_cache(CACHED)  # the names of authors come again and again
def latex_to_text(latex: str) -> str:
    """Replaces accents, special letters and formulas: G{\\"o}del -> Gödel, $\\alpha$ -> α."""
    if not CODES.search(latex):
        return _strip_markup(latex)
    if len(latex) > MAX_LATEX:
        return "".join(
            latex_to_text(latex[start : start + MAX_LATEX])
            for start in range(0, len(latex), MAX_LATEX)
        )
    prepared = MONEY.sub(r"\\$", UNESCAPED.sub(r"\\\g<0>", latex))
    try:
        nodes, _, _ = LatexWalker(prepared, latex_context=_walker_context()).get_latex_nodes()
        text = str(_converter().nodelist_to_text(nodes))
    except (RecursionError, ValueError, IndexError, TypeError, AttributeError):
        return _strip_markup(latex)
    stripped = _strip_markup(latex)
    if 2 * sum(map(str.isalnum, text)) < sum(map(str.isalnum, stripped)):  # it gave up on it
        return stripped
    return text


@functools.cache
def _walker_context() -> LatexContextDb:
    """Made once: the library makes it anew for each text, which takes most of the time."""
    return get_walker_context_db()


@functools.cache
def _converter() -> LatexNodes2Text:
    logging.getLogger("pylatexenc").setLevel(logging.CRITICAL)
    context = get_default_latex_context_db()
    macros = [MacroTextSpec(name, simplify_repl=text) for name, text in MACROS.items()]
    context.add_context_category("further", prepend=True, macros=macros)
    return LatexNodes2Text(latex_context=context, math_mode="text")


def _strip_markup(text: str) -> str:
    if "\\" in text:
        text = ESCAPES.sub(r"\1", text)
        text = COMMANDS.sub("", text)
    text = BRACES.sub("", text)
    return DASHES.sub("–", text.replace("~", " "))
