"""The scoreboard: every claim on the timeline, how it stands on this machine, and what the repository's record has."""

from itertools import groupby

import streamlit as st

from kb import db
from kb.runs import store
from ui import frame, standing, words
from ui.standing import NONE, Line


def show() -> None:
    st.title("Claims", anchor=False)
    lines = standing.of(db.claims(frame.engine()))
    _tally(lines)
    shown = _chosen(lines)
    missing = list(dict.fromkeys(line.claim.implementation for line in lines if line.run is None))
    _launch(missing)
    found = frame.milestones()
    for name, some in groupby(shown, key=lambda line: line.claim.milestone):
        milestone = found[name]
        frame.link("milestone", f"{milestone.short}, {milestone.date[:4]}", id=name)
        for line in some:
            standing.show(line)
    if not shown:
        st.info("No claim fits; choose another outcome or paper.")


def _tally(lines: list[Line]) -> None:
    counts = {outcome: sum(line.outcome == outcome for line in lines) for outcome in (*words.MARKS, NONE)}
    parts = "".join(
        f'<span class="kb-verdict-{"none" if outcome == NONE else outcome.replace(" ", "-")}" '
        f'style="flex-grow:{count}" title="{count} {outcome}"></span>'
        for outcome, count in counts.items() if count
    )  # fmt: skip
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    here = sum(line.run is not None for line in lines)
    st.html(f'<div class="kb-tally" role="img" aria-label="{said}">{parts}</div>')
    st.markdown(
        f"**{len(lines)} claims:** {said}. {here} verdicts are from runs on this machine, "
        f"{sum(line.recorded is not None for line in lines)} from the repository's record."
    )


def _chosen(lines: list[Line]) -> list[Line]:
    """What the address, or the two fields that write it, narrow the list to."""
    outcomes = [outcome for outcome in (*words.MARKS, NONE) if any(line.outcome == outcome for line in lines)]
    papers, found = list(dict.fromkeys(line.claim.milestone for line in lines)), frame.milestones()
    left, right = st.columns(2)
    given, paper = st.query_params.get("verdict"), st.query_params.get("paper")
    wanted = left.pills("Outcome", outcomes, key=frame.synced("claims-verdict", given if given in outcomes else None))
    of = right.selectbox("Paper", papers, index=None, placeholder="every paper",
                         key=frame.synced("claims-paper", paper if paper in papers else None),
                         format_func=lambda name: found[name].short)  # fmt: skip
    for name, value in (("verdict", wanted), ("paper", of)):
        frame.told(f"claims-{name}", value)
        if value:
            st.query_params[name] = value
        elif name in st.query_params:
            del st.query_params[name]
    return [line for line in lines if (not wanted or line.outcome == wanted) and (not of or line.claim.milestone == of)]


def _launch(missing: list[str]) -> None:
    if not missing or not frame.may_launch():
        return
    count = f"{len(missing)} paper{'' if len(missing) == 1 else 's'}"
    with st.popover(f"Measure what is missing here ({count})", icon=":material/play_arrow:"):
        st.write(
            f"Queues the quick preset of {count}, one after the other: about {len(missing)} minutes. Runs can be stopped."
        )
        if st.button("Queue them", type="primary"):
            with frame.asking():
                store.submit_all(frame.engine(), [store.Order(name) for name in missing])
                frame.go("runs")
