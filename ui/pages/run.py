"""One run, moving while it moves: progress, curves, pictures, verdicts, log; a button that stops it, one that repeats it."""

import time
from typing import Any

import streamlit as st

from kb import db
from kb.runs import resources, store
from kb.shown import number
from kb.tables import Run
from ui import charts, frame, words

REFRESH = 0.6  # seconds between two looks at a run that moves
SOON = 0.15  # the same, before its first curve
MOST_ROWS = 20_000  # that curves are drawn from; a run may have a million


def show() -> None:
    run_id = st.query_params.get("id", "")
    try:
        run = store.get(frame.engine(), run_id)
    except store.UnknownRun:
        st.title("No such run")
        st.write("No run has this address's id. It may be of another database (KB_HOME).")
        frame.link("runs", "To the runs")
        return
    _head(run)
    live = run.status not in store.ENDED
    drawn = bool(charts.measures(_values(run_id)))
    every = (REFRESH if drawn else SOON) if live else None
    st.fragment(_body, run_every=every)(run_id, live, drawn)


def _values(run_id: str) -> list[dict[str, Any]]:
    return [row.values for row in store.some_rows(frame.engine(), run_id, MOST_ROWS)]


def _head(run: Run) -> None:
    papers = [row for row in frame.milestones().values() if row.implementation == run.implementation]
    st.title(frame.plain(f"{papers[0].short if papers else run.implementation}, {run.preset}"), anchor=False)
    for row in papers:
        frame.link("milestone", row.title, id=row.id)
    changed = "".join(f", {name}={value}" for name, value in run.changes.items())
    where = f", on the cluster at {run.cluster}" if run.cluster else ""
    again = f", begun {run.attempts} times: nodes were lost" if run.attempts > 1 else ""
    st.caption(frame.plain(f"run {run.id}{changed}{where}{again}"))


def _body(run_id: str, live: bool, drawn: bool) -> None:
    run = store.get(frame.engine(), run_id)
    if live and run.status in store.ENDED:
        st.rerun()  # the whole page, once: from here on nothing moves
    _state(run)
    _verdicts(run)
    values = _values(run_id)
    if live and not drawn:
        if charts.measures(values):
            st.rerun()  # the whole page, once: from here on it is looked at less often
        if values:
            _newest(values[-1])
    charts.curves(values, key=run_id)
    _figures(run)
    if run.traceback:
        st.header("What went wrong", anchor=False)
        st.code(run.traceback, language="python", wrap_lines=True)
    if log := store.log_tail(run_id):
        with st.expander("Log", icon=":material/terminal:", expanded=bool(run.traceback)), st.container(height=240):
            st.code(log, language=None, wrap_lines=True)
    if not live:
        _quote(run)
        _record(run)


def _newest(row: dict[str, Any]) -> None:
    """The newest numbers, where there is no curve yet."""
    with st.container(horizontal=True):
        for name, value in row.items():
            if isinstance(value, int | float) and name not in ("step", *store.LABELS):
                st.metric(frame.plain(name.replace("_", " ")), number(value))


def _state(run: Run) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(run.status, icon=words.STATUS_ICONS[run.status], color=words.STATUS_COLORS[run.status])
        if run.status == "running" and run.started:
            now = resources.taken(run)
            takes = f", {words.duration(now.cpu_seconds)} of CPU, {words.memory(now.memory)}" if now else ""
            st.caption(f"for {words.duration(time.time() - run.started)} on {frame.plain(words.device(run))}{takes}")
        elif run.status == "queued":
            st.caption(frame.plain(run.note) or "waiting for its turn")
        elif run.status == "paused":
            st.caption("stands still; its device is given to others")
        elif run.finished and run.started:
            took = words.duration(run.finished - run.started)
            st.caption(f"after {took} on {frame.plain(words.device(run))}{_spent(run)}, {words.ago(run.finished)}")
        if not frame.may_launch():
            pass
        elif run.status not in store.ENDED:
            _steer(run)
        else:
            _repeat(run)
    if run.reason:
        (st.error if run.status == "failed" else st.warning)(frame.plain(run.reason))
    if run.status == "running":
        share = min(run.done / run.total, 1.0) if run.total else 0.0
        left = ""
        if run.started and share > 0.02:
            left = f", about {words.duration((time.time() - run.started) * (1 - share) / share)} left"
        st.progress(share, text=f"{share:.0%}{left}. {frame.plain(run.note)}")


def _spent(run: Run) -> str:
    usage = run.usage or {}
    if "cpu_seconds" not in usage:
        return ""
    return f", {words.duration(usage['cpu_seconds'])} of CPU, {words.memory(usage['peak_memory_bytes'])} at most"


def _steer(run: Run) -> None:
    """What can be done with a run that hasn't ended."""
    if st.button("Stop", icon=":material/stop:", key="stop"):
        with frame.asking():
            store.cancel(frame.engine(), run.id)
            st.toast("Asked it to stop.")
    if run.status == "paused":
        if st.button("Go on", icon=":material/play_arrow:", key="resume"):
            with frame.asking():
                store.resume(frame.engine(), run.id)
                st.toast("It goes on as soon as its device is free.")
    elif not run.cluster and st.button("Pause", icon=":material/pause:", key="pause"):
        with frame.asking():
            store.pause(frame.engine(), run.id)
            st.toast("Asked it to pause.")


def _repeat(run: Run) -> None:
    """The same run once more, or one with other settings."""
    if st.button("Run it again", icon=":material/replay:", key="again"):
        with frame.asking():
            frame.go("run", id=store.retry(frame.engine(), run.id))
    paper = next((row for row in frame.milestones().values() if row.implementation == run.implementation), None)
    if paper and st.button("Change its settings", icon=":material/tune:", key="change"):
        frame.go("milestone", id=paper.id, like=run.id)


def _verdicts(run: Run) -> None:
    claims = {c.id: c for c in db.claims(frame.engine()) if c.implementation == run.implementation}
    found = store.verdicts(frame.engine(), run.id)
    if not found:
        return
    st.header("Verdicts", anchor=False)
    if run.preset == "smoke":
        st.caption("A smoke run is over in seconds and proves nothing: it only shows that everything works.")
    for measured in found:
        claim = claims.get(measured.claim)
        with st.container(border=True):
            st.html(words.verdict(measured.verdict))
            if claim is None:
                st.markdown(frame.plain(measured.claim) + " (no longer on the timeline)")
                continue
            st.markdown(f"{frame.plain(claim.says)} :gray[{frame.plain(claim.where)}]")
            st.html(words.figures(claim, measured))
            st.caption(frame.plain(f"{measured.rule}; {measured.n} pairs or values"))


def _figures(run: Run) -> None:
    """The newest picture of each name; earlier ones of the same name behind a slider."""
    by_name: dict[str, list[int]] = {}
    found = store.artifacts(frame.engine(), run.id)
    for place, artifact in enumerate(found):
        by_name.setdefault(artifact.name, []).append(place)
    if by_name:
        st.header("What it looks like", anchor=False)
    for name, places in by_name.items():
        at = places[-1]
        if len(places) > 1:
            at = st.select_slider("step", places, value=at, key=f"figure-{name}-{len(places)}",
                                  format_func=lambda place: str(found[place].step))  # fmt: skip
        file = store.artifact_file(found[at])
        if file.exists():
            st.image(file.read_bytes(), caption=frame.plain(found[at].caption), alt=found[at].caption)
        else:
            st.caption(f"{frame.plain(found[at].file)} is no longer in the run's folder.")


def _quote(run: Run) -> None:
    """The outcome as text to copy into a message or a paper."""
    found = store.verdicts(frame.engine(), run.id)
    if not found or run.preset == "smoke" or not run.environment:
        return
    on = f"{run.environment['device_name']}, torch {run.environment['torch']}, seed {run.settings.get('seed', 0)}"
    took = words.duration((run.finished or 0) - (run.started or 0))
    lines = [f"{run.implementation}, preset {run.preset}, {took} on {on}:"]
    for one in found:
        against = "" if one.baseline is None else f" against {number(one.baseline)}"
        lines.append(f"  {one.claim}: {one.verdict}; {number(one.measured)}{against} {one.unit}")
    st.header("To quote", anchor=False)
    st.code("\n".join(lines), language=None, wrap_lines=True)


def _record(run: Run) -> None:
    with st.expander("What reproduces it", icon=":material/fingerprint:"):
        st.code(f"kb run {run.id}", language="bash")
        st.caption("Repeats it, and names whatever is different from then.")
        st.json(
            {
                "settings": run.settings,
                "environment": run.environment,
                "usage": run.usage,
                "source sha256": run.source_hash,
                "git commit": run.git_commit,
            },
            expanded=1,
        )
