"""The list of runs: those that have not ended, refreshed while they go on, then all others."""

import streamlit as st

from kb.formatting import format_outcomes
from kb.runs import polling, store, sweeps
from kb.tables import Run
from ui import cache, format, html_parts, navigation, queue_watch, run_status
from ui.escape import escape_markdown

LISTED_RUNS = 100
REFRESH_SECONDS = 1.0  # while a run has not ended
IDLE_REFRESH_SECONDS = 3.0


def show() -> None:
    st.title("Runs", anchor=False)
    runs = store.latest(cache.engine(), limit=LISTED_RUNS)
    ids = [run.id for run in runs]
    active = _active_ids(runs)
    if restart := queue_watch.recent_restart():
        st.caption(f"{polling.restart_message(restart.runs)}, {format.age(restart.at)}.")
    if len(runs) > 1:
        navigation.link("compare", "Compare runs", runs=",".join(ids[:2]))
    # The container keeps the place of the fragment. Where a refresh begins before the page was
    # sent, Streamlit drops the fragment, and the element after it is drawn in its place.
    with st.container():
        interval = REFRESH_SECONDS if active else IDLE_REFRESH_SECONDS
        st.fragment(_show_active, run_every=interval)(ids, active)
    for run in runs:
        if run.id not in active:
            _show_run(run)
    if not runs:
        st.info(
            "Here your runs will be listed, with their progress and their verdicts; each opens a "
            "page that is drawn anew while it goes on. There are none yet: open a paper and press "
            "Run it.",
            icon=":material/play_circle:",
        )
        navigation.link("search", "Papers with an implementation", q="has:impl")


def _active_ids(runs: list[Run]) -> list[str]:
    return [run.id for run in runs if run.status not in store.ENDED]


def _show_active(known: list[str], active: list[str]) -> None:
    """Shows the runs that have not ended.

    When a run is submitted or ends, the whole page is drawn once: the runs that have ended are not
    sent again with every refresh.
    """
    runs = store.latest(cache.engine(), limit=LISTED_RUNS)
    if [run.id for run in runs] != known or _active_ids(runs) != active:
        st.rerun()
    for run in runs:
        if run.id in active:
            _show_run(run)


def _show_run(run: Run) -> None:
    has_ended = run.status in store.ENDED
    progress = f"{run.done / run.total:.0%}, " if run.status == "running" and run.total else ""
    changes = "".join(f" {name}={value}," for name, value in run.changes.items())
    place = f"on {format.run_device(run)}, {progress}" if run.status != "queued" else ""
    details = f"{run.preset},{changes} {place}{format.age(run.submitted)}"
    outcomes = _outcomes(run.id) if has_ended else []
    counts = {name: outcomes.count(name) for name in html_parts.VERDICT_MARKS if name in outcomes}
    verdicts = f", {format_outcomes(counts)}" if counts else ""
    with st.container(horizontal=True, vertical_alignment="center", key=f"run-{run.id}"):
        run_status.show_badge(run)
        navigation.link("run", run.id, id=run.id)
        st.caption(escape_markdown(details) + verdicts)
        if run.batch and sweeps.OPTION in run.options:
            navigation.link("sweep", "its sweep", batch=run.batch)


@st.cache_data(max_entries=10 * LISTED_RUNS)
def _outcomes(run_id: str) -> list[str]:
    """The verdicts of a run that has ended; they no longer change."""
    return [verdict.verdict for verdict in store.verdicts(cache.engine(), run_id)]
