"""What the time machine shows of an experiment: sentences, a chart by year, a table of the sums."""

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from kb import experiments
from kb.experiments import Experiment
from kb.tables import Run
from kb.time_machine import (
    HOUR,
    Answer,
    Projection,
    duration,
    energy,
    memory_in_words,
    number,
    percent,
)
from ui import cache, format, navigation
from ui.escape import escape_markdown

YEAR = 365.25 * 86400
TICKS = (  # of the time axis
    *(1e-9, 1e-6, 1e-3, 1.0, 60.0, HOUR, 86400.0, 30 * 86400.0),
    *(YEAR * 10.0**exponent for exponent in range(0, 40, 2)),
)
TICK_NAMES = {30 * 86400.0: "1 month", 86400.0: "1 day", HOUR: "1 hour", YEAR: "1 year"}
COLORS = {"fits": "#2f9e77", "too small": "#d1495b", "not known": "#3b82c4"}  # by memory
FRONTIER_COLOR = "#8a8f98"
LABEL_FACTOR = 6.0  # a machine so many times faster than the last with its name has its own
CAVEAT = (
    "One machine, as the timeline describes it, at its peak dense rate times the utilisation. The "
    "sum gives an order of magnitude: the speed of memory isn't in it, and small nets use less "
    "of a larger machine. Energy is the time at the machine's full power."
)


def show_run(run: Run) -> None:
    """Shows a run's section; of one that ended early, nothing."""
    if run.status != "succeeded":
        return
    st.header("The time machine", anchor="time-machine")
    try:
        experiment = experiments.of_run(cache.engine(), run)
    except LookupError:
        st.caption(f"Not for this run: {experiments.NOT_COUNTED}.")
        return
    found = experiment.answer(list(cache.milestones().values()))
    show_answers(experiment, found)
    show_chart(found)
    navigation.link("time-machine", "Every machine, with its sum", of=run.id)


def show_answers(experiment: Experiment, found: Answer) -> None:
    """Shows since when the experiment is possible, and where its number comes from."""
    for sentence in experiments.possible(found):
        st.markdown(f"**{escape_markdown(sentence)}**")
    details = [
        f"{number(experiment.flops)} floating-point operations. {experiment.origin}",
        experiment.here,
        experiments.needs(experiment),
        f"Utilisation {percent(experiment.utilisation)}. {experiment.utilisation_origin}",
    ]
    st.markdown(escape_markdown(" ".join(filter(None, details))))


def show_chart(found: Answer) -> None:
    st.altair_chart(chart(found.projections), key="time-machine-chart")
    st.caption(CAVEAT)


def chart(projections: Sequence[Projection]) -> Any:
    """The time on each machine by the year of the machine. The grey steps are the fastest until
    then, of those whose memory isn't too small. The sum is shown on hover."""
    points = pd.DataFrame([_point(each) for each in projections])
    best = points.loc[_records(projections)]
    x = alt.X("date:T", title=None, axis=alt.Axis(format="%Y", grid=False, tickCount=8))
    y = _time_axis(points["seconds"])
    hour = alt.Chart(pd.DataFrame({"seconds": [HOUR]})).mark_rule(strokeDash=[4, 4], opacity=0.6)
    steps = alt.Chart(best).mark_line(
        interpolate="step-after", color=FRONTIER_COLOR, strokeWidth=1.5
    )
    names = alt.Chart(points.loc[_records(projections, LABEL_FACTOR)]).mark_text(
        # At the left, below the steps, there are no other machines.
        align="right",
        dx=-8,
        dy=6,
        fontSize=11,
        color=FRONTIER_COLOR,
    )
    circles = alt.Chart(points).mark_circle(size=70, opacity=0.9)
    layers = [
        hour.encode(y=y),
        steps.encode(x=x, y=y),
        names.encode(x=x, y=y, text="machine:N"),
        circles.encode(x=x, y=y, color=_color(points), tooltip=_tooltip()),
    ]
    return alt.layer(*layers).properties(height=420)


def _point(projection: Projection) -> dict[str, Any]:
    machine, rate = projection.machine, projection.rate
    return {
        "machine": machine.name,
        "date": machine.first_day,
        "seconds": projection.seconds,
        "memory": memory_in_words(projection).split(":")[0],
        "memory in words": memory_in_words(projection),
        "time": duration(projection.seconds),
        "sum": projection.sum,
        "energy": energy(projection.joules),
        "when": f"{machine.date_is} {format.date(machine.date)}",
        "rate": f"{rate.written}, {rate.format} ({rate.where})",
        "remark": projection.remark or "-",
    }


def _records(projections: Sequence[Projection], factor: float = 1.0) -> list[int]:
    """The indices of the machines that have the memory and were so many times faster than all
    before them."""
    fastest, indices = math.inf, []
    for index, each in enumerate(projections):
        if each.fits is not False and each.seconds * factor < fastest:
            fastest = each.seconds
            indices.append(index)
    return indices


def _time_axis(seconds: Any) -> alt.Y:
    low, high = min(float(seconds.min()), HOUR), max(float(seconds.max()), HOUR)
    ticks = [tick for tick in TICKS if low / 10 <= tick <= high * 10]
    names = [f"datum.value == {tick} ? '{TICK_NAMES.get(tick, duration(tick))}'" for tick in ticks]
    axis = alt.Axis(values=ticks, labelExpr=" : ".join([*names, "''"]), title=None)
    return alt.Y("seconds:Q", axis=axis, scale=alt.Scale(type="log", nice=False))


def _color(points: pd.DataFrame) -> alt.Color:
    """By memory; without a legend where nothing is known of it."""
    names = [name for name in COLORS if name in set(points["memory"])]
    scale = alt.Scale(domain=names, range=[COLORS[name] for name in names])
    legend = alt.Legend(orient="top", title="memory") if names != ["not known"] else None
    return alt.Color("memory:N", scale=scale, legend=legend)


def _tooltip() -> list[Any]:
    fields = {
        "machine": "machine",
        "when": "when",
        "time": "time",
        "sum": "sum",
        "rate": "peak",
        "energy": "energy",
        "memory in words": "memory",
        "remark": "remark",
    }
    return [alt.Tooltip(f"{name}:N", title=title) for name, title in fields.items()]


def show_table(found: Answer) -> None:
    """Shows a row for each machine, the oldest first, with its sum."""
    rows = [
        {
            "date": each.machine.date,
            "machine": each.machine.name,
            "time": duration(each.seconds),
            "energy": energy(each.joules),
            "memory": memory_in_words(each),
            "price": "-"
            if each.machine.dollars is None
            else f"{each.machine.dollars:,.0f} dollars",
            "sum": each.sum,
            "remark": each.remark,
        }
        for each in found.projections
    ]
    shown = [{name: escape_markdown(text) for name, text in row.items()} for row in rows]
    with st.container(key="machines"):
        st.table(shown, hide_index=True, border="horizontal")
    if found.left_out:
        names = ", ".join(machine.name for machine in found.left_out)
        st.caption(escape_markdown(f"Without a dense rate in FLOP/s on the timeline: {names}."))
