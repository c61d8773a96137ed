"""Text from files, made safe for Streamlit's markdown. Security depends on every function here.

Titles, ideas, stories, addresses and log lines come from files that strangers may have written.
None of it may become markup, fetch a picture, or link to anything but the web.

Streamlit reads its markdown in several passes, and most of them ignore backslash escapes: emoji,
icons, arrows and e-mail addresses are searched for in the text that is left after parsing. What an
escape cannot protect is broken by WORD_JOINER, which has no width and is never seen.
"""

import re
from urllib.parse import quote

WORD_JOINER = "\u2060"
ESCAPED_CHARACTERS = frozenset(r"\`*_{}[]()<>#+-=!|$:~&.")

# JavaScript's whitespace includes the byte order mark, Python's does not.
_NO_SPACE_BEFORE = r"(?<![^\s\ufeff])"
_NO_SPACE_AFTER = r"(?![^\s\ufeff])"
# What Streamlit replaces after parsing: a name between colons by an icon, an arrow that stands
# alone by one character, an e-mail address by a mailto: link.
REPLACED_TEXT = re.compile(
    r":(?=[\w+/-]+:)"
    rf"|{_NO_SPACE_BEFORE}[<>~-](?=[->=]{{1,2}}{_NO_SPACE_AFTER})"
    r"|(?<=[\w.+-])@(?=[\w-])"
)

# Where something in a story begins that is not allowed in it.
FORBIDDEN_IN_STORY = re.compile(
    r"!(?=\[)"  # an image
    r"|\](?=[(:](?![ \t\n]*<?https?://))"  # a link or a definition that is not of the web
    r"|<(?!https?://)(?=[a-z][a-z0-9+.-]+:|[^\s<>]+@)"  # an address between < and >, likewise
    r"|(?<=[\w.+-])@(?=[\w-]+\.[\w-])"  # an e-mail address
    r"|:(?=help\b|[^\W_][\w-]*[\[{])",  # a directive; the text of :help[...] is parsed again
    re.IGNORECASE,
)
# A line that opens a block of code, also inside lists and quotations; group 1 ends at the fence.
FENCE = re.compile(r"^([ \t>*+\d.)-]*(?:`{3,}(?=[^`]*$)|~{3,})).*")
BYTE_ORDER_MARK = "\ufeff"  # skipped by the parser at the start of a text, where it hides a fence


def escape_markdown(text: str) -> str:
    """Returns `text` as one line of markdown that is shown letter by letter.

    A web address may still become a link to itself; nothing else in it is markup.
    """
    line = REPLACED_TEXT.sub(rf"\g<0>{WORD_JOINER}", " ".join(text.split()))
    return "".join(f"\\{c}" if c in ESCAPED_CHARACTERS else c for c in line)


def sanitize_story(text: str) -> str:
    """Returns a story as markdown whose links lead to the web and that fetches nothing.

    LaTeX, lists, tables and emphasis stay as they are. A block of code loses the name of its
    language, because Streamlit draws a block of `mermaid` with the pictures that it names.
    """
    lines = text.replace(BYTE_ORDER_MARK, "").splitlines()
    story = "\n".join(FENCE.sub(r"\1", line) for line in lines)
    return FORBIDDEN_IN_STORY.sub(rf"\g<0>{WORD_JOINER}", story)


def safe_link(url: str) -> str:
    """Returns markdown for a link that shows where it leads; an address not of the web is text.

    Characters that would end the link, as < and > in a DOI, are percent-encoded; so is a colon
    that begins a name between colons, which Streamlit would replace by an icon.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return escape_markdown(url)
    rest = re.sub(r"[\s<>\ufeff\x00-\x1f\x7f]", lambda match: quote(match[0]), rest)
    rest = re.sub(r":(?=[\w+-]+:|material/)", "%3A", rest)
    return f"<{scheme}{separator}{rest}>"
