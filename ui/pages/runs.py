"""The list of runs, the newest first; it moves by itself."""

import streamlit as st

from kb.runs import store
from ui import frame, words

SHOWN = 100


def show() -> None:
    st.title("Runs", anchor=False)
    moving = any(run.status not in store.ENDED for run in store.latest(frame.engine(), limit=SHOWN))
    st.fragment(_list, run_every=1.0 if moving else 3.0)(moving)  # others start runs, too


def _list(moving: bool) -> None:
    found = store.latest(frame.engine(), limit=SHOWN)
    if moving != any(run.status not in store.ENDED for run in found):
        st.rerun()  # the whole page, once: from here on it is looked at more often, or less
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
            outcomes = [v.verdict for v in store.verdicts(frame.engine(), run.id)]
            share = f"{run.done / run.total:.0%}, " if run.status == "running" and run.total else ""
            st.caption(
                frame.plain(f"{run.preset} on {words.device(run)}, {share}{words.ago(run.submitted)}")
                + "".join(f", {outcomes.count(one)} {one}" for one in words.MARKS if one in outcomes)
            )
