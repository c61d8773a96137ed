"""Every claim on the timeline, and how it stands on this machine."""

import streamlit as st

from kb import db
from kb.runs import store
from ui import frame, words


def show() -> None:
    st.title("Claims", anchor=False)
    found = store.standings(frame.engine(), db.claims(frame.engine()))
    measured = [one.verdict.verdict for one in found if one.verdict]
    counts = ", ".join(f"{measured.count(outcome)} {outcome}" for outcome in words.MARKS if outcome in measured)
    st.markdown(f"{len(found)} claims. Measured on this machine: {counts or 'none yet'}.")
    for one in found:
        with st.container(border=True, gap="xsmall"):
            milestone = frame.milestones()[one.claim.milestone]
            outcome = (
                words.verdict(one.verdict.verdict) if one.verdict else '<span class="kb-verdict">not measured</span>'
            )
            st.html(outcome)
            st.markdown(f"{frame.plain(one.claim.says)} :gray[{frame.plain(one.claim.where)}]")
            words.figures(one.claim, one.verdict)
            with st.container(horizontal=True):
                frame.link("milestone", f"{milestone.short}, {milestone.date[:4]}", id=milestone.id)
                if one.run:
                    frame.link("run", f"run with {one.run.preset}", id=one.run.id)
