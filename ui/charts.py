"""Curves of a run, drawn from its rows: the mean over the seeds, and each seed faintly behind it."""

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from kb.runs import store
from ui import frame

PALETTE = ["#3b82c4", "#e07b39", "#2f9e77", "#a56cc1", "#c9a227", "#d1495b"]
MEMORY = 10  # points that a smoothed curve remembers
MOST_POINTS = 4000  # more than a screen can show: the rest is thinned evenly


def curves(rows: list[dict[str, Any]], key: str) -> None:
    """A chart of one measure, chosen among those that have curves; nothing where there are none yet.

    Until somebody chooses, it is the measure with the most points, which changes as the run goes on.
    """
    points = _points(rows)
    if points.empty:
        return
    measures = list(dict.fromkeys(points["measure"]))
    widget, picked = f"measure-{key}", f"measure-picked-{key}"
    if not st.session_state.get(picked):
        st.session_state[widget] = max(reversed(measures), key=lambda name: int((points["measure"] == name).sum()))
    st.header("Curves", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = st.segmented_control(
            "Measure",
            measures,
            required=True,
            format_func=lambda name: frame.plain(name.replace("_", " ")),
            key=widget,
            on_change=lambda: st.session_state.update({picked: True}),
        )
        log = st.toggle("log scale", key=f"log-{key}")
        smooth = st.toggle(
            "smoothed", key=f"smooth-{key}", help=f"each point the mean of what came before it, {MEMORY} points deep"
        )
    chosen = points[points["measure"] == measure]
    st.altair_chart(_chart(_smoothed(chosen) if smooth else chosen, log=log), key=f"curves-{key}")


def measures(rows: list[dict[str, Any]]) -> list[str]:
    """The measures that have curves by now."""
    return list(dict.fromkeys(_points(rows)["measure"]))


def _points(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """measure, series (what tells its curves apart), seed, step, value; only of curves with more than one point."""
    found = {name: line for name, line in store.series(row for row in rows if "step" in row).items() if len(line) > 1}
    shared: dict[str, set[tuple[str, str]]] = {}
    for name in found:
        shared[name.measure] = shared.get(name.measure, set(name.labels)) & set(name.labels)
    records = []
    for name, line in found.items():
        own = [label for label in name.labels if label[0] != "seed" and label not in shared[name.measure]]
        series = ", ".join(f"n={value}" if label == "n" else value for label, value in own) or name.measure
        seed = dict(name.labels).get("seed", "")
        records += [(name.measure, series, seed, x, y) for x, y in line]
    return pd.DataFrame(records, columns=["measure", "series", "seed", "step", "value"])


def _smoothed(points: pd.DataFrame) -> pd.DataFrame:
    """Each curve's exponential moving average."""
    curves = points.sort_values("step").groupby(["series", "seed"])["value"]
    return points.assign(value=curves.transform(lambda line: line.ewm(span=MEMORY).mean()))


def _chart(points: pd.DataFrame, *, log: bool) -> Any:
    if len(points) > MOST_POINTS:
        points = points.iloc[:: -(-len(points) // MOST_POINTS)]
    if log:
        points = points[points["value"] > 0]
    x = alt.X("step:Q", title="step", axis=alt.Axis(grid=False, tickMinStep=1))
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    color = alt.Color("series:N", title=None, scale=alt.Scale(range=PALETTE), legend=alt.Legend(orient="top"))
    base = alt.Chart(points)
    each = base.mark_line(opacity=0.25, strokeWidth=1).encode(
        x, alt.Y("value:Q", title=None, scale=scale), color, detail="seed:N"
    )
    mean = base.mark_line(strokeWidth=2.5).encode(
        x,
        alt.Y("mean(value):Q", title=None, scale=scale),
        color,
        tooltip=["series:N", "step:Q", alt.Tooltip("mean(value):Q", format=".4g", title="mean over seeds")],
    )
    return alt.layer(each, mean).properties(height=300)
