"""The page of one run, refreshed while it goes on: progress, verdicts, curves, pictures, log."""

from typing import Any

import streamlit as st

from kb.formatting import format_number
from kb.runs import curves, store, sweeps
from kb.tables import MilestoneRow, Run
from ui import cache, charts, navigation, run_results, run_state, time_machine_view
from ui.escape import escape_markdown

REFRESH_SECONDS = 0.6
FIRST_REFRESH_SECONDS = 0.15  # until the run has its first curve
MAX_ROWS = 20_000  # that curves are drawn from; a run may have a million


def show() -> None:
    run_id = st.query_params.get("id", "")
    try:
        run = store.get(cache.engine(), run_id)
    except store.UnknownRun:
        st.title("No such run")
        st.write(
            "This database has no run with the id in the address. The run may be in another "
            "database, that of another KB_HOME."
        )
        navigation.link("runs", "All runs")
        return
    paper = _paper(run)
    _show_title(run, paper)
    is_active = run.status not in store.ENDED
    has_curves = bool(charts.measures_with_curves(_row_values(run_id)))
    show_body = _show_body
    if is_active:  # afterwards no fragment: a click while the page is still drawn would be lost
        interval = REFRESH_SECONDS if has_curves else FIRST_REFRESH_SECONDS
        show_body = st.fragment(_show_body, run_every=interval)
    show_body(run_id, paper, is_active, has_curves)


def _paper(run: Run) -> MilestoneRow | None:
    """The milestone that the run's implementation belongs to."""
    milestones = cache.milestones().values()
    return next((row for row in milestones if row.implementation == run.implementation), None)


def _row_values(run_id: str) -> list[dict[str, Any]]:
    return [row.values for row in store.sample_rows(cache.engine(), run_id, MAX_ROWS)]


def _title(run: Run, paper: MilestoneRow | None) -> str:
    return f"{paper.short if paper else run.implementation}: {run.preset} run"


def _show_title(run: Run, paper: MilestoneRow | None) -> None:
    st.set_page_config(page_title=_title(run, paper))
    st.title(escape_markdown(_title(run, paper)), anchor=False)
    if paper:
        navigation.link("milestone", paper.title, id=paper.id)
    if run.batch and sweeps.OPTION in run.options:
        navigation.link("sweep", "The sweep that it belongs to", batch=run.batch)
    changes = "".join(f", {name}={value}" for name, value in run.changes.items())
    cluster = f", on the cluster at {run.cluster}" if run.cluster else ""
    lost = "nodes were lost" if run.cluster else "its supervisor had ended"
    restarts = f", started {run.attempts} times: {lost}" if run.attempts > 1 else ""
    st.caption(escape_markdown(f"run {run.id}{changes}{cluster}{restarts}"))


def _show_body(run_id: str, paper: MilestoneRow | None, was_active: bool, had_curves: bool) -> None:
    """Shows everything that changes while the run goes on.

    Draws the whole page once more when the run has ended, and when it has its first curve: the
    interval between refreshes then changes.
    """
    run = store.get(cache.engine(), run_id)
    if was_active and run.status in store.ENDED:
        st.rerun()
    run_results.show_headline(run)
    rows = _row_values(run_id)
    run_state.show_state(run, paper, has_values=bool(rows))
    if was_active and not had_curves:
        if charts.measures_with_curves(rows):
            st.rerun()
        if rows:
            _show_numbers(rows[-1])
    charts.draw_curves(rows, key=run_id)
    run_results.show_verdicts(run)
    run_results.show_pictures(run)
    if run.traceback:
        wrong = "What went wrong" if run.status == "failed" else "Where it was stopped"
        st.header(wrong, anchor=False)
        st.code(run.traceback, language="python", wrap_lines=True)
    _show_log(run)
    if not was_active:
        time_machine_view.show_run(run)
        run_results.show_summary(run, _title(run, paper), rows)
        run_results.show_provenance(run)


def _show_numbers(row: dict[str, Any]) -> None:
    """Shows the newest numbers while there is no curve."""
    with st.container(horizontal=True):
        for name, value in row.items():
            if isinstance(value, int | float) and name not in ("step", *curves.LABELS):
                st.metric(escape_markdown(name.replace("_", " ")), format_number(value))


def _show_log(run: Run) -> None:
    log = store.log_tail(run.id)
    if not log:
        return
    with (
        st.expander("Log", icon=":material/terminal:", expanded=bool(run.traceback)),
        st.container(height=240),
    ):
        st.code(log, language=None, wrap_lines=True)
