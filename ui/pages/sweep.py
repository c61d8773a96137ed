"""The page of a sweep, refreshed while its runs come in: a curve or heat map for one claim."""

import streamlit as st

from kb import db
from kb.claim_sides import sides_of
from kb.formatting import format_count, format_gain
from kb.runs import control, store, sweeps
from kb.runs.sweeps import Point, Sweep
from kb.tables import ClaimRow, MilestoneRow, Run, RunVerdict
from ui import (
    auth,
    cache,
    errors,
    format,
    html_parts,
    navigation,
    query_params,
    run_status,
    sweep_charts,
)
from ui.escape import escape_markdown

REFRESH_SECONDS = 1.0
COMPARED_RUNS = 8  # as many as the comparison page shows
GAIN, IDEA, RIVAL = "effect", "measured", "baseline"


def show() -> None:
    batch = st.query_params.get("batch", "")
    try:
        sweep = sweeps.read(cache.engine(), batch)
    except sweeps.UnknownBatch:
        _show_unknown()
        return
    except sweeps.NotASweep as error:
        _show_other_batch(batch, str(error))
        return
    _show_title(sweep)
    is_active = bool(sweep.active)
    show_body = st.fragment(_show_body, run_every=REFRESH_SECONDS) if is_active else _show_body
    show_body(batch, is_active)


def _show_unknown() -> None:
    st.title("No such sweep")
    st.write(
        "This database has no sweep with the name in the address. A sweep is started on the page "
        "of a paper, under Run it."
    )
    navigation.link("search", "Papers with an implementation", q="has:impl")
    navigation.link("runs", "All runs")


def _show_other_batch(batch: str, reason: str) -> None:
    st.title("Not a sweep")
    st.info(
        escape_markdown(f"The runs of {batch} can't be drawn over one setting or two: {reason}."),
        icon=":material/ssid_chart:",
    )
    runs = store.latest(cache.engine(), batch=batch, limit=COMPARED_RUNS)
    navigation.link("compare", "Compare its runs", runs=",".join(run.id for run in runs))


def _show_title(sweep: Sweep) -> None:
    run = sweep.runs[0]
    paper = _paper(run)
    name = paper.short if paper else run.implementation
    swept = " and ".join(sweep.axes)
    st.set_page_config(page_title=f"{name}: sweep of {swept}")
    st.title(escape_markdown(f"{name}: sweep of {swept}"), anchor=False)
    if paper:
        navigation.link("milestone", paper.title, id=paper.id)
    fixed = {key: value for key, value in run.changes.items() if key not in sweep.axes}
    changes = "".join(f", {key}={value}" for key, value in fixed.items())
    count = format_count(len(sweep.points), "run")
    st.caption(escape_markdown(f"{sweep.batch}: {count} of the preset {run.preset}{changes}"))


def _paper(run: Run) -> MilestoneRow | None:
    """The milestone that the runs' implementation belongs to."""
    milestones = cache.milestones().values()
    return next((row for row in milestones if row.implementation == run.implementation), None)


def _show_body(batch: str, was_active: bool) -> None:
    """Shows all that changes as runs come in; the whole page once more when the last has ended."""
    sweep = sweeps.read(cache.engine(), batch)
    if was_active and not sweep.active:
        st.rerun()
    _show_progress(sweep)
    claims = sweep.claims()
    if claims:
        _show_claim(sweep, claims)
    else:
        _show_nothing_yet(sweep)
    st.header("Runs", anchor=False)
    claim = _chosen_claim(claims) if claims else ""
    for point in sweep.points:
        _show_point(sweep, point, point.verdicts.get(claim))
    st.header("In a shell", anchor=False)
    st.code(f"kb sweep {sweep.batch}", language="bash")


def _show_progress(sweep: Sweep) -> None:
    """Shows how many runs have ended, and the button that stops the others."""
    active, total = sweep.active, len(sweep.points)
    if not active:
        return
    ended = total - len(active)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(ended / total, text=f"{ended} of {total} runs have ended")
        if auth.may_launch() and st.button("Stop what is left", icon=":material/stop:", key="stop"):
            with errors.show_errors():
                for run in active:
                    control.cancel(cache.engine(), run.id)
                st.toast(f"{format_count(len(active), 'run')} will be stopped.")


def _show_nothing_yet(sweep: Sweep) -> None:
    """Says what will be here, or why nothing will."""
    statuses = [run.status for run in sweep.runs]
    if sweep.active:
        axes = "a curve" if len(sweep.axes) == 1 else "a heat map"
        st.info(
            f"Here {axes} grows, with a point for each run as it ends. None has ended with a "
            "verdict yet.",
            icon=":material/ssid_chart:",
        )
    elif "failed" in statuses:
        st.error(
            f"No run has given a verdict; {statuses.count('failed')} of {len(statuses)} failed. "
            "The page of each says why.",
            icon=":material/error:",
        )
    else:
        st.warning("The sweep was stopped before a run had given a verdict.")


def _chosen_claim(claims: list[str]) -> str:
    """The claim in the address, or the first comparison."""
    claim = st.query_params.get("claim", claims[0])
    return claim if claim in claims else claims[0]


def _show_claim(sweep: Sweep, claims: list[str]) -> None:
    """Shows the pictures of one claim, and a field that chooses it where there are several."""
    run = sweep.runs[0]
    rows = {
        row.id: row for row in db.claims(cache.engine()) if row.implementation == run.implementation
    }
    claim = _choose_claim(claims, rows)
    verdict = next(p.verdicts[claim] for p in sweep.points if claim in p.verdicts)
    if run.preset == "smoke":
        st.caption("Smoke runs take seconds and prove nothing: they only show that the code runs.")
    if all(verdict is None or verdict.measured is None for verdict in _verdicts(sweep, claim)):
        st.info(escape_markdown(f"Not measured with this preset. {verdict.note}"))
        return
    is_comparison = any(v and v.effect is not None for v in _verdicts(sweep, claim))
    if len(sweep.axes) == 2:
        _show_heat_map(sweep, claim, is_comparison)
    else:
        _show_curves(sweep, claim, is_comparison)
    if is_comparison:
        st.caption(
            escape_markdown(f"Rule: {verdict.rule}.")
            + " Each point is a run of its own, judged by itself over its own seeds. The best of "
            "many points looks better than it is: run it again with another seed before you "
            "believe it."
        )


def _verdicts(sweep: Sweep, claim: str) -> list[RunVerdict | None]:
    return [point.verdicts.get(claim) for point in sweep.points]


def _choose_claim(claims: list[str], rows: dict[str, ClaimRow]) -> str:
    chosen = _chosen_claim(claims)
    if len(claims) == 1:
        st.markdown(escape_markdown(rows[chosen].says if chosen in rows else chosen))
        return chosen
    claim = st.selectbox(
        "Claim",
        claims,
        format_func=lambda id: rows[id].says if id in rows else id,
        key=query_params.synced_key("sweep-claim", chosen),
    )
    if claim != chosen:
        query_params.set_param("claim", claim)
        query_params.mark_synced("sweep-claim", claim)
    return claim


def _show_curves(sweep: Sweep, claim: str, is_comparison: bool) -> None:
    sides = sides_of(sweep.runs[0].implementation, claim)
    if is_comparison:
        st.header("Gain", anchor=False)
        sweep_charts.draw_curve(sweep, claim, key=f"gain-{sweep.batch}-{claim}")
    st.header("Measured", anchor=False)
    sweep_charts.draw_sides(sweep, claim, sides, key=f"sides-{sweep.batch}-{claim}")


def _show_heat_map(sweep: Sweep, claim: str, is_comparison: bool) -> None:
    sides = sides_of(sweep.runs[0].implementation, claim)
    names = {GAIN: "gain"} if is_comparison else {}
    names |= {IDEA: sides.idea, RIVAL: sides.rival}
    field = st.segmented_control(
        "Shown",
        list(names),
        default=next(iter(names)),
        required=True,
        format_func=lambda field: escape_markdown(names[field]),
        key=f"field-{sweep.batch}-{claim}",
    )
    chosen = field or next(iter(names))
    sweep_charts.draw_heat_map(sweep, claim, chosen, key=f"map-{sweep.batch}-{claim}-{chosen}")


def _show_point(sweep: Sweep, point: Point, verdict: RunVerdict | None) -> None:
    """Shows a run with its values, its verdict and its figures in a row."""
    run = point.run
    values = ", ".join(
        f"{name}={value}" for name, value in zip(sweep.axes, point.values, strict=True)
    )
    with st.container(horizontal=True, vertical_alignment="center", key=f"point-{run.id}"):
        run_status.show_badge(run)
        navigation.link("run", values, id=run.id)
        st.caption(escape_markdown(_outcome(run, verdict)))


def _outcome(run: Run, verdict: RunVerdict | None) -> str:
    if verdict is None:
        share = f"{run.done / run.total:.0%}" if run.status == "running" and run.total else ""
        return run.reason or share
    mark = html_parts.VERDICT_MARKS.get(verdict.verdict, "")
    if verdict.measured is None:
        return f"{mark} {verdict.verdict}"
    gain = f", gain {format_gain(verdict.model_dump())}" if verdict.effect is not None else ""
    figures = f"{format.number(verdict.measured)} against {format.number(verdict.baseline)}"
    return f"{mark} {verdict.verdict}{gain}, {figures} {verdict.unit}"
