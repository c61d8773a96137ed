"""Claims as cards with their figures, and all of them in one chart."""

import html
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import streamlit as st

from kb.results import SUPPORTING
from ui import format, html_parts, navigation
from ui.claim_status import ClaimStatus

KIND_NOTES = {
    "ours": "A comparison of ours: another rival or another measure than the paper's.",
    "identity": "An identity: mathematics or a count, which holds or fails.",
}
RATIO_TICKS = {0: "¼", 25: "½", 50: "1", 75: "2", 100: "4"}  # percent of the width: ratio


def ratio_chart(statuses: Sequence[ClaimStatus], name: Callable[[str], str]) -> str:
    """HTML of a chart of the ratio of idea to baseline, published and measured, from 1/4 to 4.

    `name` gives the name of a milestone from its id. Empty if no claim has ratios.
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
    start, end = (
        min(100.0, max(0.0, 50 + 25 * math.log2(ratio))) for ratio in (published, measured)
    )
    label = f"{name(status.claim.milestone)}: {status.claim.id.replace('-', ' ')}"
    css_class = html_parts.verdict_class(status.outcome)
    mark = f'<b class="{css_class}">{html_parts.VERDICT_MARKS.get(status.outcome, "")}</b>'
    return (
        f'<span title="{html.escape(status.claim.says)}">{mark} {html.escape(label)}</span>'
        f"{html_parts.step_html(start, end)}<small>{published:.2g} → {measured:.2g}</small>"
    )


def show_claims(statuses: Iterable[ClaimStatus]) -> None:
    """Shows each claim in a box.

    A claim that was measured here has a link to its run, which must be an element of its own. The
    claims between two of those are one element: the claims page has a hundred and fifty.
    """
    for has_run, group in groupby(statuses, key=lambda status: status.run is not None):
        if not has_run:
            boxes = (f'<div class="kb-box">{card_html(status)}</div>' for status in group)
            st.html("".join(boxes))
            continue
        for status in group:
            _show_measured_claim(status)


def _show_measured_claim(status: ClaimStatus) -> None:
    run = status.run
    assert run
    details = f"{run.preset}, {format.run_device(run)}, {format.age(run.submitted)}"
    with st.container(border=True, gap="xsmall"):
        st.html(card_html(status))
        navigation.link("run", f"The run that measured it: {details}", id=run.id)


def card_html(status: ClaimStatus) -> str:
    """The verdict, the claim, the figures as a table and a chart, and how reliable they are."""
    claim = status.claim
    source = html_parts.RECORD if status.is_from_record else html_parts.THIS_MACHINE
    figures = html_parts.figures_html(claim, status.verdict, source)
    chart = html_parts.dumbbell_html(claim, status.verdict, source)
    notes = "".join(f"<small>{html.escape(note)}</small>" for note in _notes(status))
    claim_text = f"<p>{html.escape(claim.says)} <small>{html.escape(claim.where)}</small></p>"
    verdict = html_parts.verdict_html(status.outcome)
    fragile = status.recorded is not None and status.recorded.is_fragile
    mark = '<span class="kb-fragile">fragile</span>' if fragile else ""
    return (
        f'<div class="kb-claim"><div>{verdict}{mark}</div>{claim_text}{figures}{chart}{notes}</div>'
    )


def _notes(status: ClaimStatus) -> Iterator[str]:
    verdict, recorded = status.verdict, status.recorded
    if verdict and verdict.kind in KIND_NOTES:
        yield KIND_NOTES[verdict.kind]
    if verdict and verdict.note:
        yield f"{verdict.note[0].upper()}{verdict.note[1:]}."
    if not recorded:
        return
    if len(recorded.outcomes) > 1:
        counts = Counter(recorded.outcomes).most_common()
        blocks = ", ".join(f"{outcome} in {count}" for outcome, count in counts)
        yield f"Of {len(recorded.outcomes)} blocks of seeds in the record: {blocks}."
    if broken := recorded.broken:
        figures = ""
        if broken["measured"] is not None:
            measured, baseline = (format.number(broken[name]) for name in ("measured", "baseline"))
            figures = f": {measured} against {baseline}"
        caught = "so it proves nothing" if broken["verdict"] in SUPPORTING else "as it should be"
        yield f"With the idea taken out{figures}, {broken['verdict']}, {caught}."
    if status.is_from_record:
        block = recorded.block
        origin = f"{block['measured']}, {block['environment']['device_name']}"
        yield f"From the repository's record: quick preset, {origin}. Not measured here yet."
