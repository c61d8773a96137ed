"""The figures of a claim as a table and as a picture: published, and measured here.

In every picture what lies further to the right is better. All text in the HTML is escaped.
"""

import html
import math
from collections.abc import Callable, Sequence
from typing import Any

from kb.claim_sides import Sides, sides_of
from kb.tables import ClaimRow, RunVerdict
from ui import claim_reasons, format, html_parts
from ui.claim_status import ClaimStatus

PAPER, THIS_MACHINE, RECORD = "paper", "this machine", "record"  # where figures come from
NO_NUMBER = "The paper gives no number."
RATIO_CAPTION = (
    "How many times better the idea is than what it is compared with: the ring is the paper's "
    "figure, the dot ours. In every row, right of the middle is better and left is worse; an "
    "arrow at the edge is a value beyond the scale. The nets and data sets here are smaller, "
    "and the measure is not always the paper's: compare on which side of the middle both are, "
    "not how far from it."
)
RATIO_LIMIT = 4.0  # the chart of ratios reaches from four times worse to four times better
RATIO_TICKS = {0: "4×", 25: "2× worse", 50: "equal", 75: "2× better", 100: "4×"}


def figures_html(status: ClaimStatus) -> str:
    """A table of published and measured figures, with the names of the two sides as its head.

    An identity has one side only: its figures are in the sentence that explains its verdict.
    """
    published: dict[str, Any] = status.claim.published or {}
    if status.kind == "identity":
        return _published_count(published)
    rows = []
    if _has_figures(published):
        rows.append((PAPER, published.get("baseline"), published.get("idea"), published["unit"]))
    verdict = status.verdict
    if verdict and verdict.measured is not None:
        rows.append((_source(status), verdict.baseline, verdict.measured, verdict.unit))
    return _table(sides_of(status.claim.implementation, status.claim.id), rows) if rows else ""


def missing_html(status: ClaimStatus) -> str:
    """A sentence where the paper has no number to compare with; empty for an identity."""
    published: dict[str, Any] = status.claim.published or {}
    if status.kind == "identity" or _has_figures(published):
        return ""
    note = str(published.get("note", ""))
    text = note if "gives no" in note else f"{NO_NUMBER} {note}".strip()
    return f"<small>{html.escape(text)}</small>"


def _has_figures(published: dict[str, Any]) -> bool:
    return published.get("idea") is not None or published.get("baseline") is not None


def _published_count(published: dict[str, Any]) -> str:
    if published.get("idea") is None:
        return ""
    text = f"Paper: {format.number(published['idea'])} {published.get('unit', '')}."
    return f"<small>{html.escape(text)}</small>"


def _source(status: ClaimStatus) -> str:
    return RECORD if status.is_from_record else THIS_MACHINE


def _table(sides: Sides, rows: Sequence[tuple[str, float | None, float | None, str]]) -> str:
    cells = ["", sides.rival, sides.idea, ""]
    for name, rival, idea, unit in rows:
        figures = (
            "not given" if value is None else format.number(value) for value in (rival, idea)
        )
        cells += [name, *figures, unit]
    spans = "".join(f"<span>{html.escape(cell)}</span>" for cell in cells)
    return f'<div class="kb-figures">{spans}</div>'


def dumbbell_html(status: ClaimStatus) -> str:
    """A picture of the steps from the rival to the idea, published and measured.

    Each step has its own scale, because the units may differ. Empty if there is no step to draw.
    """
    steps = _steps(status.claim, status.verdict, _source(status))
    if not steps:
        return ""
    rows = []
    for name, rival, idea, direction in steps:
        low, high = min(0.0, rival, idea), max(0.0, rival, idea)
        start, end = (100 * (value - low) / (high - low) for value in (rival, idea))
        if direction == "lower":
            start, end = 100 - start, 100 - end
        rows.append(f"<small>{name}</small>{step_html(start, end)}")
    label = "; ".join(
        f"{name}: from {format.number(rival)} to {format.number(idea)}"
        for name, rival, idea, _ in steps
    )
    is_directed = all(direction for *_, direction in steps)
    hint = '<small></small><small class="kb-better">better →</small>' if is_directed else ""
    return (
        f'<div class="kb-dumbbell" role="img" aria-label="{html.escape(label)}">'
        f"{''.join(rows)}{hint}</div>"
    )


def _steps(
    claim: ClaimRow, verdict: RunVerdict | None, source: str
) -> list[tuple[str, float, float, str | None]]:
    """Of the paper and of the measurement: name, rival, idea, and which values are better."""
    published: dict[str, Any] = claim.published or {}
    measured_direction = claim_reasons.direction(verdict) if verdict else None
    published_direction = claim_reasons.published_direction(published, measured_direction)
    candidates = [(PAPER, published.get("baseline"), published.get("idea"), published_direction)]
    if verdict and verdict.low is not None:  # an identity has no rival to compare with
        candidates.append((source, verdict.baseline, verdict.measured, measured_direction))
    return [
        (name, rival, idea, direction)
        for name, rival, idea, direction in candidates
        if rival is not None and idea is not None and rival != idea
    ]


def step_html(start: float, end: float) -> str:
    """A line from a ring at `start` to a dot at `end`, in percent of the width.

    An end that lies beyond the width is an arrow at its edge.
    """
    marks = []
    for css_class, place in (("kb-from", start), ("kb-to", end)):
        beyond = " kb-beyond-left" if place < 0 else " kb-beyond-right" if place > 100 else ""
        marks.append(f'<i class="{css_class}{beyond}" style="left: {_clip(place):.1f}%"></i>')
    left, right = sorted((_clip(start), _clip(end)))
    line = f'<i class="kb-line" style="left: {left:.1f}%; width: {right - left:.1f}%"></i>'
    return f"<div>{line}{''.join(marks)}</div>"


def _clip(percent: float) -> float:
    return min(100.0, max(0.0, percent))


def ratio_chart(statuses: Sequence[ClaimStatus], name: Callable[[str], str]) -> str:
    """HTML of a chart of how many times better the idea is, published and measured.

    `name` gives the name of a milestone from its id. Empty if no claim has such figures.
    """
    rows = [_ratio_row(status, name) for status in statuses if status.ratios]
    if not rows:
        return ""
    ticks = "".join(f'<small style="left: {x}%">{tick}</small>' for x, tick in RATIO_TICKS.items())
    head = f'<span></span><div class="kb-scale">{ticks}</div><small>paper → measured</small>'
    return f'<div class="kb-ratios">{head}{"".join(rows)}</div>'


def _ratio_row(status: ClaimStatus, name: Callable[[str], str]) -> str:
    assert status.ratios
    published, measured = status.ratios
    start, end = (50 + 50 * math.log(ratio, RATIO_LIMIT) for ratio in (published, measured))
    mark = html_parts.VERDICT_MARKS.get(status.outcome, "")
    css_class = html_parts.verdict_class(status.outcome)
    verdict = f'<b class="{css_class}" title="{html.escape(status.outcome)}">{mark}</b>'
    paper = f"<b>{html.escape(name(status.claim.milestone))}</b>"
    return (
        f"<span>{verdict} {paper} {html.escape(status.claim.says)}</span>"
        f"{step_html(start, end)}<small>{published:.3g} → {measured:.3g}</small>"
    )
