"""Pieces of HTML that several pages show. Everything from a file is escaped in them."""

import html
import re
from typing import Any

import streamlit as st

from kb.implementations import Section
from kb.tables import ClaimRow, RunVerdict
from ui import format

VERDICT_MARKS = {
    "reproduced": "✓",
    "weaker": "+",
    "not reproduced": "✗",
    "inconclusive": "~",
    "not measured": "–",
    "holds": "=",
    "fails": "≠",
}
INLINE_CODE = re.compile(r"`([^`]+)`")
PAPER, THIS_MACHINE, RECORD = "paper", "this machine", "record"  # where figures come from


def show_track(track: str, *details: str) -> None:
    """Shows the line above a title: the track in its colour and shape, then the details."""
    rest = "".join(f" · {html.escape(detail)}" for detail in details)
    name = html.escape(track)
    st.html(f'<div class="kb-category"><span class="kb-track kb-{name}">{name}</span>{rest}</div>')


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


def verdict_class(outcome: str) -> str:
    """The CSS class that colours a verdict."""
    return f"kb-verdict-{outcome.replace(' ', '-')}"


def figures_html(claim: ClaimRow, measured: RunVerdict | None, source: str = THIS_MACHINE) -> str:
    """A table of published and measured figures; `source` says where the latter are from."""
    published: dict[str, Any] = claim.published or {}
    rows = [
        ("", "baseline", "idea", ""),
        (
            PAPER,
            format.number(published.get("baseline")),
            format.number(published.get("idea")),
            published.get("unit", "no figure published"),
        ),
    ]
    if measured:
        figures = format.number(measured.baseline), format.number(measured.measured)
        rows.append((source, *figures, measured.unit + _gain(measured)))
    cells = "".join(f"<span>{html.escape(cell)}</span>" for row in rows for cell in row)
    return f'<div class="kb-figures">{cells}</div>'


def _gain(measured: RunVerdict) -> str:
    if measured.low is None:
        return ""
    gain = f"{measured.effect:.3g}{' times' if measured.scale == 'ratio' else ''}"
    return f" (gain {gain}; 95% interval {measured.low:.3g} to {measured.high:.3g})"


def dumbbell_html(claim: ClaimRow, measured: RunVerdict | None, source: str = THIS_MACHINE) -> str:
    """A chart of the steps from baseline to idea, published and measured.

    Each step has its own scale, because the units may differ. Empty if there is no step to draw.
    """
    published: dict[str, Any] = claim.published or {}
    candidates = {PAPER: (published.get("baseline"), published.get("idea"))}
    if measured and measured.low is not None:  # an identity has no baseline to compare with
        candidates[source] = (measured.baseline, measured.measured)
    steps = {
        name: (baseline, idea)
        for name, (baseline, idea) in candidates.items()
        if baseline is not None and idea is not None and baseline != idea
    }
    if not steps:
        return ""
    rows = []
    for name, (baseline, idea) in steps.items():
        low, high = min(0.0, baseline, idea), max(0.0, baseline, idea)
        start, end = (100 * (value - low) / (high - low) for value in (baseline, idea))
        rows.append(f"<small>{name}</small>{step_html(start, end)}")
    label = "; ".join(
        f"{name}: from {format.number(baseline)} to {format.number(idea)}"
        for name, (baseline, idea) in steps.items()
    )
    return (
        f'<div class="kb-dumbbell" role="img" aria-label="{html.escape(label)}">'
        f"{''.join(rows)}</div>"
    )


def step_html(start: float, end: float) -> str:
    """A line from a ring at `start` to a dot at `end`, in percent of the width."""
    left, width = min(start, end), abs(end - start)
    return (
        f'<div><i class="kb-line" style="left: {left:.1f}%; width: {width:.1f}%"></i>'
        f'<i class="kb-from" style="left: {start:.1f}%"></i>'
        f'<i style="left: {end:.1f}%"></i></div>'
    )
