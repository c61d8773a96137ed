"""The state of a run: its status and progress, and the buttons that stop, pause or repeat it."""

import time

import streamlit as st

from kb.runs import control, polling, resources, store, submission
from kb.tables import MilestoneRow, Run
from ui import auth, cache, errors, format, navigation, run_status
from ui.escape import escape_markdown

MIN_SHARE = 0.02  # of the work that must be done before the time that is left is estimated


def show_state(run: Run, paper: MilestoneRow | None, *, has_values: bool) -> None:
    """Shows the state of a run; `paper` is the milestone of its implementation."""
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.show_badge(run)
        if details := _details(run):
            st.caption(escape_markdown(details))
        if auth.may_launch():
            if run.status in store.ENDED:
                _show_repeat_buttons(run, paper)
            else:
                _show_control_buttons(run)
    if run.reason:
        show_reason = st.error if run.status == "failed" else st.warning
        show_reason(escape_markdown(run.reason))
    if run.status == "running":
        _show_progress(run, has_values)


def _details(run: Run) -> str:
    """What stands beside the status: device, time and resources, or why the run waits."""
    if run.status == "queued":
        return polling.waiting_reason(cache.engine(), run) or "about to start"
    if run.status == "paused":
        return "waiting to be resumed; its device is free for other runs"
    if run.status == "running" and run.started:
        duration = format.duration(time.time() - run.started)
        return f"for {duration} on {format.run_device(run)}{_current_usage(run)}"
    if run.finished and run.started:
        duration, age = format.duration(run.finished - run.started), format.age(run.finished)
        return f"after {duration} on {format.run_device(run)}{_total_usage(run)}, {age}"
    return ""


def _current_usage(run: Run) -> str:
    usage = resources.measure_resources(run)
    if usage is None:
        return ""
    cpu, memory = format.duration(usage.cpu_seconds), format.byte_size(usage.memory)
    return f", {cpu} of CPU time, {memory} of memory"


def _total_usage(run: Run) -> str:
    usage = run.usage or {}
    if "cpu_seconds" not in usage:
        return ""
    cpu = format.duration(usage["cpu_seconds"])
    return f", {cpu} of CPU time, at most {format.byte_size(usage['peak_memory_bytes'])} of memory"


def _show_progress(run: Run, has_values: bool) -> None:
    share = min(run.done / run.total, 1.0) if run.total else 0.0
    st.progress(share, text=escape_markdown(_progress_text(run, share, has_values)))


def _progress_text(run: Run, share: float, has_values: bool) -> str:
    """How far the run is and how long it takes still; before its first value, what comes next."""
    if not has_values:
        return (
            "Preparing: the run reads its data and builds the first nets. "
            f"Curves begin with the first values. {run.note}"
        )
    left = ""
    if run.started and share > MIN_SHARE and "left" not in run.note:
        seconds_left = (time.time() - run.started) * (1 - share) / share
        left = f", about {format.duration(seconds_left)} left"
    return f"{share:.0%}{left}. {run.note}"


def _show_control_buttons(run: Run) -> None:
    """Shows the buttons of a run that has not ended. A run on a cluster can't be paused."""
    if st.button("Stop", icon=":material/stop:", key="stop"):
        with errors.show_errors():
            control.cancel(cache.engine(), run.id)
            st.toast("The run will be stopped.")
    if run.status == "paused":
        if st.button("Resume", icon=":material/play_arrow:", key="resume"):
            with errors.show_errors():
                control.resume(cache.engine(), run.id)
                st.toast("The run will resume as soon as its device is free.")
    elif not run.cluster and st.button("Pause", icon=":material/pause:", key="pause"):
        with errors.show_errors():
            control.pause(cache.engine(), run.id)
            st.toast("The run will be paused.")


def _show_repeat_buttons(run: Run, paper: MilestoneRow | None) -> None:
    """Shows buttons for the same run once more, and for one with other settings."""
    if st.button("Run it again", icon=":material/replay:", key="again"):
        with errors.show_errors():
            navigation.switch_to("run", id=submission.retry(cache.engine(), run.id))
    if paper and st.button("Change its settings", icon=":material/tune:", key="change"):
        navigation.switch_to("milestone", id=paper.id, like=run.id)
