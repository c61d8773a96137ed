"""The claims page: every claim on the timeline with its verdict, here or in the record."""

from collections.abc import Mapping, Sequence
from itertools import groupby

import streamlit as st

from kb import db, results
from kb.formatting import format_count, format_outcomes
from kb.runs import submission
from ui import (
    auth,
    cache,
    claim_cards,
    claim_figures,
    errors,
    html_parts,
    navigation,
    query_params,
)
from ui.claim_status import ClaimStatus, claim_statuses, count_outcomes
from ui.escape import escape_markdown

OUTCOMES = tuple(html_parts.VERDICT_MARKS)
COLORS = {  # of the words in the row of a paper
    "reproduced": "green",
    "holds": "green",
    "weaker": "green",
    "not reproduced": "red",
    "fails": "red",
    "inconclusive": "orange",
}


def show() -> None:
    st.set_page_config(page_title="Claims")
    st.title("Claims", anchor=False)
    statuses = claim_statuses(db.claims(cache.engine()))
    _show_tally(statuses)
    _show_launch_button(statuses)
    shown = _filtered(statuses)
    if not shown:
        st.info("No claim matches these filters. Choose another verdict, paper or device.")
        return
    st.header("Claims by paper", anchor="papers")
    st.markdown("Click a paper to read its claims. [Published against measured](#chart)")
    for id, group in groupby(shown, key=lambda status: status.claim.milestone):
        _show_paper(id, list(group))
    _show_chart(shown)


def _show_paper(id: str, statuses: Sequence[ClaimStatus]) -> None:
    """Shows a paper as a row that opens; its claims are sent when it is open."""
    milestone = cache.milestones()[id]
    comparisons = count_outcomes(status for status in statuses if status.kind != "identity")
    identities = count_outcomes(status for status in statuses if status.kind == "identity")
    parts = [_colored(comparisons)] if comparisons else []
    if identities:
        parts.append(f"identities: {_colored(identities)}")
    name = escape_markdown(f"{milestone.short}, {milestone.date[:4]}")
    is_chosen = st.query_params.get("paper") == id
    row = st.expander(
        f"**{name}** · {' · '.join(parts)}",
        expanded=is_chosen,
        key=f"paper-{id}-{is_chosen}",
        on_change="rerun",
    )
    if row.open:
        with row:
            navigation.link("milestone", f"{milestone.title}: story, code, run", id=id)
            claim_cards.show_claims(statuses)


def _colored(counts: Mapping[str, int]) -> str:
    """ "3 reproduced, 1 weaker" in the colours of the outcomes."""
    words = []
    for outcome, count in counts.items():
        text = format_outcomes({outcome: count})
        words.append(f":{COLORS[outcome]}[{text}]" if outcome in COLORS else text)
    return ", ".join(words)


def _show_chart(statuses: Sequence[ClaimStatus]) -> None:
    milestones = cache.milestones()
    chart = claim_figures.ratio_chart(statuses, lambda id: milestones[id].short)
    if not chart:
        return
    st.header("Published against measured", anchor="chart")
    st.caption(claim_figures.RATIO_CAPTION)
    st.html(chart)


def _show_tally(statuses: Sequence[ClaimStatus]) -> None:
    """Shows how the papers' own comparisons stand, as a bar and as a sentence; then the others."""
    summary = count_outcomes(status for status in statuses if status.kind == "paper")
    st.html(html_parts.tally_html(summary))
    st.markdown(
        f"**{format_count(sum(summary.values()), 'comparison')} that the papers make:** "
        f"{format_outcomes(summary)}."
    )
    others = [
        f"{name}: {format_outcomes(counts)}."
        for kind, name in (("ours", "Comparisons that we added"), ("identity", "Identities"))
        if (counts := count_outcomes(status for status in statuses if status.kind == kind))
    ]
    measured_here = sum(status.run is not None for status in statuses)
    recorded = sum(status.is_from_record for status in statuses)
    others.append(
        f"Verdicts from runs on this machine: {measured_here}, from the repository's record: "
        f"{recorded}."
    )
    st.markdown(" ".join(others))
    st.markdown(results.count_falls([one.recorded for one in statuses if one.recorded]))


def _filtered(statuses: Sequence[ClaimStatus]) -> list[ClaimStatus]:
    """Draws a field for each filter; returns the claims that match them.

    The filters are in the address. The devices have a field only if there are several.
    """
    outcomes = [name for name in OUTCOMES if any(status.outcome == name for status in statuses)]
    papers = list(dict.fromkeys(status.claim.milestone for status in statuses))
    devices = sorted({status.device for status in statuses if status.device})
    filters = {"verdict": st.pills("Verdict", outcomes, key=_filter_key("verdict", outcomes))}
    columns = st.columns(2)
    filters |= {
        "paper": columns[0].selectbox(
            "Paper",
            papers,
            index=None,
            placeholder="all papers",
            key=_filter_key("paper", papers),
            format_func=lambda id: cache.milestones()[id].short,
        ),
    }
    if len(devices) > 1:
        key = _filter_key("device", devices)
        filters["device"] = columns[1].selectbox(
            "Device", devices, index=None, placeholder="all devices", key=key
        )
    for name, value in filters.items():
        query_params.mark_synced(f"claims-{name}", value)
        query_params.set_param(name, value)
    return [status for status in statuses if _matches(status, filters)]


def _filter_key(name: str, options: list[str]) -> str:
    """The key of the field that shows a filter of the address; an unknown value is no filter."""
    in_address = st.query_params.get(name)
    value = in_address if in_address in options else None
    return query_params.synced_key(f"claims-{name}", value)


def _matches(status: ClaimStatus, filters: dict[str, str | None]) -> bool:
    values = {"verdict": status.outcome, "paper": status.claim.milestone, "device": status.device}
    return all(wanted in (None, values[name]) for name, wanted in filters.items())


def _show_launch_button(statuses: Sequence[ClaimStatus]) -> None:
    """Shows a button that runs every implementation with a claim not measured on this machine."""
    names = [status.claim.implementation for status in statuses if status.run is None]
    implementations = list(dict.fromkeys(names))
    if not implementations or not auth.may_launch():
        return
    count = format_count(len(implementations), "paper")
    with st.popover(f"Measure on this machine: {count}", icon=":material/play_arrow:"):
        st.write(
            f"Queues a run with the quick preset for {count} with claims that were not measured "
            f"on this machine: about {format_count(len(implementations), 'minute')} if they run "
            "one after the other. Runs can be stopped."
        )
        if st.button("Queue the runs", type="primary"):
            with errors.show_errors():
                requests = [submission.RunRequest(name) for name in implementations]
                submission.submit_all(cache.engine(), requests)
                navigation.switch_to("runs")
