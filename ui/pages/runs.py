"""The list of runs: first those that move, again and again, then those that have ended, the newest first."""

import streamlit as st

from kb.runs import store
from kb.tables import Run
from ui import frame, words

SHOWN = 100
MOVES = 1.0  # seconds between two looks while a run moves
RESTS = 3.0  # the same, while none does


def show() -> None:
    st.title("Runs", anchor=False)
    found = store.latest(frame.engine(), limit=SHOWN)
    moving = [run.id for run in found if run.status not in store.ENDED]
    if len(found) > 1:
        frame.link("compare", "Compare runs", runs=",".join(run.id for run in found[:2]))
    # A container of its own: where a refresh begins before the page was sent, Streamlit drops the fragment's place, and what
    # comes after it moves up by one and is taken for it.
    with st.container():
        st.fragment(_moving, run_every=MOVES if moving else RESTS)([run.id for run in found], moving)
    for run in found:
        if run.id not in moving:
            _entry(run)
    if not found:
        st.info(
            "Nothing has run here yet. Open a paper that runs, and press its button.", icon=":material/play_circle:"
        )
        frame.link("search", "Papers that run", q="has:impl")


def _moving(known: list[str], moving: list[str]) -> None:
    """The runs that move. When one ends or begins, the whole page is drawn, once: what has ended isn't sent each second."""
    found = store.latest(frame.engine(), limit=SHOWN)
    still = [run for run in found if run.status not in store.ENDED]
    if [run.id for run in found] != known or [run.id for run in still] != moving:
        st.rerun()
    for run in still:
        _entry(run)


def _entry(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key=f"run-{run.id}"):
        st.badge(run.status, icon=words.STATUS_ICONS[run.status], color=words.STATUS_COLORS[run.status])
        frame.link("run", run.id, id=run.id)
        outcomes = _outcomes(run.id) if run.status in store.ENDED else []
        share = f"{run.done / run.total:.0%}, " if run.status == "running" and run.total else ""
        st.caption(
            frame.plain(f"{run.preset} on {words.device(run)}, {share}{words.ago(run.submitted)}")
            + "".join(f", {outcomes.count(one)} {one}" for one in words.MARKS if one in outcomes)
        )


@st.cache_data(max_entries=10 * SHOWN)
def _outcomes(run_id: str) -> list[str]:
    """The verdicts of a run that has ended, which stay as they are."""
    return [v.verdict for v in store.verdicts(frame.engine(), run_id)]
