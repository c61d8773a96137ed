"""Curves of a run: the mean over the seeds, with each seed as a faint line behind it."""

from collections.abc import Iterable
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from kb.runs.curves import Series, build_curves
from ui.escape import escape_markdown

PALETTE = ["#3b82c4", "#e07b39", "#2f9e77", "#a56cc1", "#c9a227", "#d1495b"]
SMOOTHING_SPAN = 10  # points of the exponential moving average
MAX_POINTS = 4000  # more than a screen can show; a longer curve is thinned evenly


def draw_curves(rows: list[dict[str, Any]], key: str) -> None:
    """Draws a chart of one measure with controls above it; nothing while there are no curves.

    Until the visitor chooses a measure, it is the one with the most points, which may change while
    the run goes on.
    """
    points = _points(rows)
    if points.empty:
        return
    st.header("Curves", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = _choose_measure(points, key)
        log = st.toggle("log scale", key=f"log-{key}")
        smooth = st.toggle(
            "smoothed",
            key=f"smooth-{key}",
            help=f"exponential moving average over about {SMOOTHING_SPAN} points",
        )
    shown = points[points["measure"] == measure]
    if smooth:
        shown = _smoothed(shown)
    st.altair_chart(_chart(shown, log=log), key=f"curves-{key}")


def _choose_measure(points: pd.DataFrame, key: str) -> str | None:
    measures = list(dict.fromkeys(points["measure"]))
    widget, has_chosen = f"measure-{key}", f"measure-chosen-{key}"
    if not st.session_state.get(has_chosen):
        counts = points["measure"].value_counts()
        st.session_state[widget] = max(reversed(measures), key=counts.__getitem__)
    return st.segmented_control(
        "Measure",
        measures,
        required=True,
        format_func=lambda name: escape_markdown(name.replace("_", " ")),
        key=widget,
        on_change=lambda: st.session_state.update({has_chosen: True}),
    )


def measures_with_curves(rows: list[dict[str, Any]]) -> list[str]:
    """The measures that have a curve so far."""
    return list(dict.fromkeys(_points(rows)["measure"]))


def _points(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Every point of every curve that has more than one.

    The columns are measure, series, seed, step and value; curves of one measure with the same
    series differ only by their seed.
    """
    curves = {
        name: curve
        for name, curve in build_curves(row for row in rows if "step" in row).items()
        if len(curve) > 1
    }
    common = _common_labels(curves)
    records = []
    for name, curve in curves.items():
        labels = [
            f"n={value}" if label == "n" else value
            for label, value in name.labels
            if label != "seed" and (label, value) not in common[name.measure]
        ]
        series = ", ".join(labels) or name.measure
        seed = dict(name.labels).get("seed", "")
        records += [(name.measure, series, seed, step, value) for step, value in curve]
    return pd.DataFrame(records, columns=["measure", "series", "seed", "step", "value"])


def _common_labels(names: Iterable[Series]) -> dict[str, set[tuple[str, str]]]:
    """For each measure, the labels that all its curves have: they tell no curves apart."""
    common: dict[str, set[tuple[str, str]]] = {}
    for name in names:
        labels = set(name.labels)
        common[name.measure] = common.get(name.measure, labels) & labels
    return common


def _smoothed(points: pd.DataFrame) -> pd.DataFrame:
    """The points with the exponential moving average of their curve as value."""
    curves = points.sort_values("step").groupby(["series", "seed"])["value"]
    return points.assign(
        value=curves.transform(lambda curve: curve.ewm(span=SMOOTHING_SPAN).mean())
    )


def _chart(points: pd.DataFrame, *, log: bool) -> Any:
    if len(points) > MAX_POINTS:
        stride = -(-len(points) // MAX_POINTS)
        points = points.iloc[::stride]
    if log:
        points = points[points["value"] > 0]
    x = alt.X("step:Q", title="step", axis=alt.Axis(grid=False, tickMinStep=1))
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    # Otherwise the legend has the faint lines of the seeds, and in one row it can be too wide.
    legend = alt.Legend(orient="top", columns=2, symbolOpacity=1, symbolStrokeWidth=2.5)
    color = alt.Color("series:N", title=None, scale=alt.Scale(range=PALETTE), legend=legend)
    base = alt.Chart(points)
    seeds = base.mark_line(opacity=0.25, strokeWidth=1).encode(
        x, alt.Y("value:Q", title=None, scale=scale), color, detail="seed:N"
    )
    mean = base.mark_line(strokeWidth=2.5).encode(
        x,
        alt.Y("mean(value):Q", title=None, scale=scale),
        color,
        tooltip=[
            "series:N",
            "step:Q",
            alt.Tooltip("mean(value):Q", format=".4g", title="mean over seeds"),
        ],
    )
    return alt.layer(seeds, mean).properties(height=300)
