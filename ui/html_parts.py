"""Pieces of HTML that several pages show. Everything from a file is escaped in them."""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import streamlit as st

from kb.formatting import format_outcomes
from kb.implementations import Section

VERDICT_MARKS = {
    "reproduced": "✓",
    "weaker": "+",
    "not reproduced": "✗",
    "inconclusive": "~",
    "not measured": "–",
    "holds": "=",
    "fails": "≠",
}
Item = TypeVar("Item")
INLINE_CODE = re.compile(r"`([^`]+)`")


def show_track(track: str, *details: str) -> None:
    """Shows the line above a title: the track in its colour and shape, then the details."""
    rest = "".join(f" · {html.escape(detail)}" for detail in details)
    name = html.escape(track)
    st.html(f'<div class="kb-category"><span class="kb-track kb-{name}">{name}</span>{rest}</div>')


def show_with_rest(
    items: Sequence[Item], count: int, show: Callable[[Sequence[Item]], None]
) -> None:
    """Shows the first `count` items; the others are in a list that opens."""
    show(items[:count])
    if rest := items[count:]:
        with st.expander(f"{len(rest)} more"):
            show(rest)


def show_idea(text: str) -> None:
    st.html(f'<p class="kb-idea">{html.escape(text)}</p>')


def snippet_html(snippet: list[tuple[str, bool]]) -> str:
    """A piece of text that a search found, with the matches marked."""
    return "".join(
        f"<mark>{html.escape(text)}</mark>" if is_match else html.escape(text)
        for text, is_match in snippet
    )


def section_html(section: Section) -> str:
    """A section of an implementation: its lines, the references it names, its docstring."""
    references = "".join(f"<span>{html.escape(name)}</span>" for name in section.references)
    lines = f"{section.name}, lines {section.first_line} to {section.last_line}"
    paragraphs = "".join(
        INLINE_CODE.sub(r"<code>\1</code>", f"<p>{html.escape(paragraph)}</p>")
        for paragraph in section.doc.split("\n\n")
        if paragraph.strip()
    )
    head = f'<p class="kb-references"><small>{html.escape(lines)}</small>{references}</p>'
    return f'<div class="kb-section">{head}{paragraphs}</div>'


def verdict_html(outcome: str) -> str:
    """A verdict with its mark, in its colour."""
    mark = VERDICT_MARKS.get(outcome, "")
    return f'<span class="kb-verdict {verdict_class(outcome)}">{mark} {html.escape(outcome)}</span>'


def tally_html(counts: Mapping[str, int]) -> str:
    """How many claims have each outcome, as a bar."""
    segments = "".join(
        f'<span class="{verdict_class(outcome)}" '
        f'style="flex-grow:{count}" title="{count} {html.escape(outcome)}"></span>'
        for outcome, count in counts.items()
    )
    label = html.escape(format_outcomes(counts))
    return f'<div class="kb-tally" role="img" aria-label="{label}">{segments}</div>'


def verdict_class(outcome: str) -> str:
    """The CSS class that colours a verdict."""
    return f"kb-verdict-{outcome.replace(' ', '-')}"
