"""Small pieces of text that several pages show, built as HTML in which everything from a file is escaped."""

import re
from datetime import UTC, datetime
from html import escape
from typing import Any, Literal

import streamlit as st

from kb.implementations import Section
from kb.tables import ClaimRow, Run, RunVerdict

BadgeColor = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "grey", "primary"]
MARKS = {"reproduced": "✓", "not reproduced": "✗", "inconclusive": "~"}
STATUS_ICONS = {
    "queued": ":material/hourglass_empty:",
    "running": ":material/progress_activity:",
    "paused": ":material/pause_circle:",
    "succeeded": ":material/check_circle:",
    "failed": ":material/error:",
    "cancelled": ":material/cancel:",
    "interrupted": ":material/power_off:",
}
STATUS_COLORS: dict[str, BadgeColor] = {
    "queued": "gray",
    "running": "blue",
    "paused": "violet",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "gray",
    "interrupted": "orange",
}
CODE = re.compile(r"`([^`]+)`")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def kicker(track: str, *words: str) -> None:
    """The line above a title: the track in its colour and shape, then words."""
    rest = "".join(f" · {escape(word)}" for word in words)
    st.html(f'<div class="kb-kicker"><span class="kb-track kb-{escape(track)}">{escape(track)}</span>{rest}</div>')


def idea(text: str) -> None:
    st.html(f'<p class="kb-idea">{escape(text)}</p>')


def explained(section: Section) -> str:
    """What a part of an implementation says of itself, as HTML: the places of the paper that it names, then its words."""
    named = "".join(f"<span>{escape(place)}</span>" for place in section.places)
    paragraphs = [escape(paragraph) for paragraph in section.doc.split("\n\n") if paragraph.strip()]
    told = "".join(CODE.sub(r"<code>\1</code>", f"<p>{paragraph}</p>") for paragraph in paragraphs)
    lines = f"<small>{escape(section.name)}, lines {section.first} to {section.last}</small>"
    return f'<div class="kb-explained"><p class="kb-places">{lines}{named}</p>{told}</div>'


def people(entry: dict[str, Any]) -> str:
    return ", ".join([*entry.get("authors", []), *entry.get("makers", [])])


def when(date: str) -> str:
    """ "2014-06-15" -> "15 June 2014"; less precise dates likewise."""
    year, *rest = date.split("-")
    if not rest:
        return year
    month = MONTHS[int(rest[0]) - 1]
    return f"{int(rest[1])} {month} {year}" if len(rest) > 1 else f"{month} {year}"


def verdict(outcome: str) -> str:
    """A verdict as HTML: a mark, a colour and the words."""
    return f'<span class="kb-verdict {shade(outcome)}">{MARKS.get(outcome, "")} {escape(outcome)}</span>'


def shade(outcome: str) -> str:
    """The class that colours a verdict."""
    return f"kb-verdict-{outcome.replace(' ', '-')}"


def number(value: float | None) -> str:
    if value is None:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) < 1e9 and abs(value) >= 1e3 else f"{value:.2g}"


def figures(claim: ClaimRow, measured: RunVerdict | None, where: str = "here") -> str:
    """What the paper says and what was measured, `here` or on `record`, one under the other, as HTML."""
    given: dict[str, Any] = claim.published or {}
    paper = (number(given.get("baseline")), number(given.get("idea")), given.get("unit", "no figure published"))
    rows = [("", "baseline", "idea", ""), ("paper", *paper)]
    if measured:
        rows.append((where, number(measured.baseline), number(measured.measured), measured.unit + _gain(measured)))
    cells = "".join(f"<span>{escape(cell)}</span>" for row in rows for cell in row)
    return f'<div class="kb-figures">{cells}</div>'


def dumbbell(claim: ClaimRow, measured: RunVerdict | None, where: str = "here") -> str:
    """The step from baseline to idea, in the paper and as measured, as HTML; each on its own scale: their units may differ."""
    given: dict[str, Any] = claim.published or {}
    steps = {"paper": (given.get("baseline"), given.get("idea"))}
    if measured and measured.low is not None:  # an identity has no step
        steps[where] = (measured.baseline, measured.measured)
    whole = {who: (a, b) for who, (a, b) in steps.items() if a is not None and b is not None and a != b}
    if not whole:
        return ""
    rows = []
    for who, (baseline, idea) in whole.items():
        low, high = min(0.0, baseline, idea), max(0.0, baseline, idea)
        a, b = (100 * (value - low) / (high - low) for value in (baseline, idea))
        rows.append(f"<small>{who}</small>{step(a, b)}")
    said = "; ".join(f"{who}: from {number(a)} to {number(b)}" for who, (a, b) in whole.items())
    return f'<div class="kb-dumbbell" role="img" aria-label="{escape(said)}">{"".join(rows)}</div>'


def step(a: float, b: float) -> str:
    """From a ring at `a` to a dot at `b`, percent of the width, as HTML."""
    line = f'<i class="kb-line" style="left: {min(a, b):.1f}%; width: {abs(b - a):.1f}%"></i>'
    return f'<div>{line}<i class="kb-from" style="left: {a:.1f}%"></i><i style="left: {b:.1f}%"></i></div>'


def _gain(measured: RunVerdict) -> str:
    if measured.low is None:
        return ""
    return f" (gain {measured.effect:.3g}; 95% interval {measured.low:.3g} to {measured.high:.3g})"


def ago(then: float) -> str:
    seconds = max(0.0, datetime.now(UTC).timestamp() - then)
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            n = int(seconds // size)
            return f"{n} {unit}{'' if n == 1 else 's'} ago"
    return "just now"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def memory(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def device(run: Run) -> str:
    """The device a run got, or the one it asked for while it hasn't begun."""
    return named(run.environment) if run.environment else run.device


def named(environment: dict[str, Any]) -> str:
    """The device of a run's or of the record's environment."""
    return f"{environment['device']} ({environment['device_name']})"
