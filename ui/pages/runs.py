"""The list of runs, the newest first; it moves while any of them does, and when somebody starts one."""

import streamlit as st

from kb.runs import store
from ui import frame, words

SHOWN = 100
MOVES = 2.0  # seconds between two looks while a run moves: with twenty people here, ten looks a second
RESTS = 4.0  # the same, while none does


def show() -> None:
    st.title("Runs", anchor=False)
    found = store.latest(frame.engine(), limit=SHOWN)
    moving = any(run.status not in store.ENDED for run in found)
    st.fragment(_list, run_every=MOVES if moving else None)(moving)
    if not moving:
        st.fragment(_wait, run_every=RESTS)(found[0].id if found else None)


def _wait(newest: str | None) -> None:
    """While nothing moves, only whether somebody started a run is looked at."""
    found = store.latest(frame.engine(), limit=1)
    if found and found[0].id != newest:
        st.rerun()


def _list(moving: bool) -> None:
    found = store.latest(frame.engine(), limit=SHOWN)
    if moving and all(run.status in store.ENDED for run in found):
        st.rerun()
    if not found:
        st.info(
            "Nothing has run here yet. Open a paper that runs, and press its button.", icon=":material/play_circle:"
        )
        frame.link("search", "Papers that run", q="has:impl")
        return
    if len(found) > 1:
        frame.link("compare", "Compare runs", runs=",".join(run.id for run in found[:2]))
    for run in found:
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
