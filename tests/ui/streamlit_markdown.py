"""Streamlit's markdown as Python: what its browser side would make of a text.

CommonMark, tables, strikethrough and LaTeX are parsed by markdown-it-py. Then come the passes that
Streamlit (1.67, `StreamlitMarkdown` in its static files) makes over the text that is left, where
backslash escapes are gone; their patterns are copied from there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(dollarmath_plugin)
PARSER.validateLink = lambda url: True  # type: ignore[method-assign]
PARSER.normalizeLink = lambda url: url  # type: ignore[method-assign]
PARSER.normalizeLinkText = lambda url: url  # type: ignore[method-assign]

SPACE = r"[\s\ufeff]"  # JavaScript's \s
REPLACEMENTS = {
    "emoji": r":\+1:|:-1:|:[\w-]+:",
    "icon": r":material_(\w+):",
    "logo": r":streamlit:",
    "arrow": rf"(^|{SPACE})(<->|->|<-|--|>=|<=|~=)({SPACE}|$)",
    "e-mail": r"[-.\w+]+@[-\w]+(\.[-\w]+)+",
}
AUTOLINK = re.compile(r"<[a-z][a-z0-9+.-]*:[^\s<>]*>", re.IGNORECASE)
DIRECTIVE = re.compile(r"(?<!\\)(?:\\\\)*:([^\W_][\w-]*[\[{]|help\b)")
PLAIN = {"inline", "text", "softbreak", "paragraph_open", "paragraph_close"}


@dataclass(frozen=True)
class Rendered:
    """What a visitor would see: the text, and what in it is more than text."""

    text: str
    elements: frozenset[str]  # kinds of markdown-it tokens that are not PLAIN
    links: frozenset[str]  # where links and images lead
    languages: frozenset[str]  # of blocks of code
    replaced: frozenset[str]  # which of REPLACEMENTS would apply


def render(source: str) -> Rendered:
    source = source.removeprefix("\ufeff").replace(":material/", ":material_")
    tokens = list(_flat(PARSER.parse(source)))
    texts = [token.content for token in tokens if token.type == "text"]
    elements = {token.type for token in tokens} - PLAIN
    sources = [AUTOLINK.sub("", token.content) for token in tokens if token.type == "inline"]
    if any(DIRECTIVE.search(source) for source in sources):
        elements.add("directive")
    links = [token.attrGet(name) for token in tokens for name in ("href", "src")]
    return Rendered(
        text="".join(texts),
        elements=frozenset(elements),
        links=frozenset(str(link) for link in links if link is not None),
        languages=frozenset(token.info for token in tokens if token.type == "fence") - {""},
        replaced=frozenset(
            name
            for name, pattern in REPLACEMENTS.items()
            if any(re.search(pattern, text) for text in texts)
        ),
    )


def _flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _flat(token.children or [])
