"""Claims as cards, and the most important one of several as a line above a page."""

import html
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import streamlit as st

from kb.claim_sides import UNNAMED, sides_of
from kb.formatting import format_count, format_outcomes
from kb.results import SUPPORTING
from ui import claim_figures, claim_reasons, format, html_parts, navigation
from ui.claim_status import ClaimStatus, count_outcomes

IDENTITIES_HTML = (
    '<p class="kb-group"><b>Identities</b> '
    "Mathematics or counts: each holds or fails, whatever the machine.</p>"
)
NOT_MEASURED_HERE = "Not measured here yet."
OURS_NOTE = "We added this comparison: its rival or its measure is not the paper's."


def show_claims(statuses: Sequence[ClaimStatus]) -> None:
    """Shows each claim in a box, those that mathematics decides after the comparisons."""
    comparisons, identities = by_kind(statuses)
    _show_boxes(comparisons)
    if identities:
        st.html(IDENTITIES_HTML)
        _show_boxes(identities)


def by_kind(statuses: Iterable[ClaimStatus]) -> tuple[list[ClaimStatus], list[ClaimStatus]]:
    """The comparisons, and the claims that mathematics decides."""
    kinds: tuple[list[ClaimStatus], list[ClaimStatus]] = ([], [])
    for status in statuses:
        kinds[status.kind == "identity"].append(status)
    return kinds


def _show_boxes(statuses: Iterable[ClaimStatus]) -> None:
    """A claim that was measured here has a link to its run, which is an element of its own.

    The claims between two of those are one element.
    """
    for has_run, group in groupby(statuses, key=lambda status: status.run is not None):
        if not has_run:
            boxes = (
                f'<div class="kb-box">{card_html(status, NOT_MEASURED_HERE)}</div>'
                for status in group
            )
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


def card_html(status: ClaimStatus, of_record: str = "") -> str:
    """The verdict, the claim, the figures as a table and a picture, and why the verdict is so.

    `of_record` is added to the note on a verdict from the record.
    """
    claim = status.claim
    fragile = status.recorded is not None and status.recorded.is_fragile
    mark = '<span class="kb-fragile">fragile</span>' if fragile else ""
    notes = "".join(f"<small>{html.escape(note)}</small>" for note in _notes(status, of_record))
    return (
        f'<div class="kb-claim"><div>{html_parts.verdict_html(status.outcome)}{mark}</div>'
        f"<p>{html.escape(claim.says)} <small>{html.escape(claim.where)}</small></p>"
        f"{claim_figures.figures_html(status)}{claim_figures.dumbbell_html(status)}"
        f"{claim_figures.missing_html(status)}"
        f"<p>{html.escape(claim_reasons.explain(status.verdict))}</p>{notes}</div>"
    )


def _notes(status: ClaimStatus, of_record: str) -> Iterator[str]:
    verdict, recorded = status.verdict, status.recorded
    if verdict and verdict.kind == "ours":
        yield OURS_NOTE
    is_told = verdict is not None and (
        verdict.measured is None or claim_reasons.has_decisive_note(verdict)
    )
    if verdict and verdict.note and not is_told:
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
        if broken["verdict"] in SUPPORTING:
            meaning = "so the verdict above proves nothing"
        elif recorded.verdict["verdict"] in SUPPORTING:
            meaning = "as it should be"
        else:
            meaning = "which tells little, since the claim does not stand with it either"
        yield f"With the idea taken out{figures}, {broken['verdict']}, {meaning}."
    if status.is_from_record:
        block = recorded.block
        origin = f"{block['measured']}, {block['environment']['device_name']}"
        yield f"From the repository's record: quick preset, {origin}. {of_record}".strip()


def headline_html(statuses: Sequence[ClaimStatus]) -> str:
    """The verdict of the most important claim in a line; the others are counted.

    That is the first of the paper's own comparisons that was measured, else the first claim.
    """
    if not statuses:
        return ""
    measured = [status for status in statuses if status.verdict and status.verdict.low is not None]
    first = next((status for status in measured if status.kind == "paper"), statuses[0])
    others = count_outcomes(status for status in statuses if status is not first)
    rest = ""
    if others:
        claims = format_count(sum(others.values()), "other claim")
        rest = f" <small>{claims}: {html.escape(format_outcomes(others))}.</small>"
    mark = html_parts.VERDICT_MARKS.get(first.outcome, "")
    css_class = html_parts.verdict_class(first.outcome)
    return (
        f'<p class="kb-headline"><b class="{css_class}">{mark} {html.escape(first.outcome)}</b> '
        f"{html.escape(first.claim.says)}<br>{html.escape(_figures(first))}{rest}</p>"
    )


def _figures(status: ClaimStatus) -> str:
    """ "Published: dropout 1.35, standard 1.6, % test error. Measured here: ..." """
    published, verdict = status.claim.published or {}, status.verdict
    parts = []
    if published.get("idea") is not None:
        figures = (published["idea"], published.get("baseline"), published.get("unit", ""))
        parts.append(("Published", *figures))
    if verdict and verdict.measured is not None:
        name = "In the record" if status.is_from_record else "Measured here"
        parts.append((name, verdict.measured, verdict.baseline, verdict.unit))
    sides = sides_of(status.claim.implementation, status.claim.id)
    names = (f"{sides.idea} ", f"{sides.rival} ") if sides != UNNAMED else ("", "compared with ")
    if status.kind == "identity":
        names = ("", "expected ")
    sentences = []
    for name, idea, rival, unit in parts:
        other = "" if rival is None else f", {names[1]}{format.number(rival)}"
        unit = f" ({unit})" if unit else ""
        sentences.append(f"{name}: {names[0]}{format.number(idea)}{other}{unit}.")
    return " ".join(sentences)
