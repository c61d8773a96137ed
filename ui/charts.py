"""Curves of a run: the mean over the seeds, with each seed as a faint line behind it.

A colour is a side of the comparison, a pattern of the line a setting that was tried for it.
"""

import math
from collections.abc import Iterable
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from kb.runs.curves import Series, build_curves
from ui.escape import escape_markdown

PALETTE = [
    *("#3b82c4", "#e07b39", "#2f9e77", "#a56cc1", "#c9a227", "#d1495b"),
    *("#3fb6b2", "#8c6d4f", "#e57fb1", "#6f6fd8", "#93a832", "#8a8f98"),
]
DASHES = [[1, 0], [6, 3], [2, 2], [10, 3, 2, 3], [4, 1], [1, 3]]
SMOOTHING_SPAN = 10  # points of the exponential moving average
MAX_POINTS = 4000  # more than a screen can show; a longer curve is thinned evenly
MAX_MARKED = 40  # steps of a curve whose points are marked
MAX_TICKS = 8
HEIGHT, LEGEND_ROW = 270, 22  # pixels
MAX_LABEL = 22  # characters of a legend in two columns, on a phone
COLUMNS = ["measure", "series", "setting", "seed", "step", "value"]
WORDS = {"lr": "learning rate", "rate": "learning rate", "std": "standard deviation"}


def draw_curves(rows: list[dict[str, Any]], key: str) -> None:
    """Draws a chart of one measure with controls above it; nothing while there are no curves.

    Until the visitor chooses a measure, it is the one with the most points, which may change while
    the run goes on.
    """
    points = curve_points(rows)
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
        st.session_state[widget] = longest_measure(points)
    return st.segmented_control(
        "Measure",
        measures,
        required=True,
        format_func=lambda name: escape_markdown(in_words(name)),
        key=widget,
        on_change=lambda: st.session_state.update({has_chosen: True}),
    )


def longest_measure(points: pd.DataFrame) -> str:
    """The measure with the most points; of several, the last."""
    measures = list(dict.fromkeys(points["measure"]))
    counts = points["measure"].value_counts()
    return str(max(reversed(measures), key=counts.__getitem__))


def measures_with_curves(rows: list[dict[str, Any]]) -> list[str]:
    """The measures that have a curve so far."""
    return list(dict.fromkeys(curve_points(rows)["measure"]))


def curve_points(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Every point of the measures that have a curve: more than one point with the same labels.

    Curves of one measure with the same series and setting differ only by their seed. The first
    point of a side is shown, too, when the other side has a curve already.
    """
    curves = build_curves(_without_data(row) for row in rows if "step" in row)
    measures = {name.measure for name, curve in curves.items() if len(curve) > 1}
    curves = {name: curve for name, curve in curves.items() if name.measure in measures}
    common = _common_labels(curves)
    records = []
    for name, curve in curves.items():
        own = {k: v for k, v in name.labels if (k, v) not in common[name.measure]}
        setting, seed = _setting_in_words(own.pop("setting", "")), own.pop("seed", "")
        series = ", ".join(f"{v} examples" if k == "n" else v for k, v in own.items())
        series, setting = (series, setting) if series else (setting, "")
        labels = (name.measure, series or in_words(name.measure), setting, seed)
        records += [(*labels, step, value) for step, value in curve]
    return pd.DataFrame(records, columns=COLUMNS)


def in_words(measure: str) -> str:
    """ "val_error" becomes "validation error"."""
    words = measure.split("_")
    return " ".join(["validation" if words[0] == "val" else words[0], *words[1:]])


def _without_data(row: dict[str, Any]) -> dict[str, Any]:
    """The row without the name of its data set, which only the last row of a trial may have."""
    return {name: value for name, value in row.items() if name != "data"}


def _setting_in_words(setting: str) -> str:
    """ "lr 0.1" becomes "learning rate 0.1"."""
    parts = (part.partition(" ") for part in setting.split(", "))
    return ", ".join(
        f"{WORDS.get(name, name.replace('_', ' '))}{space}{value}" for name, space, value in parts
    )


def _common_labels(names: Iterable[Series]) -> dict[str, set[tuple[str, str]]]:
    """For each measure, the labels that all its curves have: they tell no curves apart."""
    common: dict[str, set[tuple[str, str]]] = {}
    for name in names:
        labels = set(name.labels)
        common[name.measure] = common.get(name.measure, labels) & labels
    return common


def _smoothed(points: pd.DataFrame) -> pd.DataFrame:
    """The points with the exponential moving average of their curve as value."""
    curves = points.sort_values("step").groupby(["series", "setting", "seed"])["value"]
    return points.assign(
        value=curves.transform(lambda curve: curve.ewm(span=SMOOTHING_SPAN).mean())
    )


def round_ticks(low: float, high: float) -> list[float]:
    """Steps to name on the axis: multiples of 1, 2 or 5 times a power of ten, at most eight."""
    if not high > low:
        return [low]
    size = 10.0 ** math.floor(math.log10((high - low) / MAX_TICKS))
    step = next(s for s in (size, 2 * size, 5 * size, 10 * size) if (high - low) / s <= MAX_TICKS)
    step = max(1.0, step)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [step * n for n in range(first, last + 1)]


def _chart(points: pd.DataFrame, *, log: bool) -> Any:
    if len(points) > MAX_POINTS:
        stride = -(-len(points) // MAX_POINTS)
        points = points.iloc[::stride]
    if log:
        points = points[points["value"] > 0]
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    axis = alt.Axis(labelFlush=False)  # the outermost numbers stand at their lines, too
    value = alt.Y("value:Q", title=None, scale=scale, axis=axis)
    mean = alt.Y("mean(value):Q", title=None, scale=scale, axis=axis)
    sides = {"x": _x(points["step"]), "color": _color(points), "strokeDash": _dash(points)}
    base = alt.Chart(points)
    seeds = base.mark_line(opacity=0.25, strokeWidth=1).encode(
        y=value, detail=["seed:N", "setting:N"], **sides
    )
    means = base.mark_line(strokeWidth=2.5).encode(
        y=mean,
        tooltip=[
            alt.Tooltip("series:N", title="side"),
            "setting:N",
            "step:Q",
            alt.Tooltip("mean(value):Q", format=".4g", title="mean over seeds"),
        ],
        **sides,
    )
    layers = [seeds, means]
    if points["step"].nunique() <= MAX_MARKED:
        places = {name: sides[name] for name in ("x", "color")}
        marks = base.mark_circle(size=18, opacity=1).encode(y=mean, detail="setting:N", **places)
        layers.append(marks)
    return alt.layer(*layers).properties(height=_height(points))


def _height(points: pd.DataFrame) -> int:
    """The legends are in the height of a chart: their rows must not be taken from the curves."""
    series, settings = points["series"].unique(), points["setting"].nunique()
    rows = math.ceil(len(series) / _legend_columns(series))
    if settings > 1:
        rows += math.ceil(settings / 2) + 1
    return HEIGHT + LEGEND_ROW * rows


def _legend_columns(series: Iterable[str]) -> int:
    """Two names must fit beside each other on a phone."""
    return 1 if any(len(name) > MAX_LABEL for name in series) else 2


def _x(steps: Any) -> alt.X:
    low, high = (float(steps.min()), float(steps.max())) if len(steps) else (0.0, 1.0)
    axis = alt.Axis(grid=False, values=round_ticks(low, high), format=",d")
    return alt.X("step:Q", title="step", axis=axis, scale=alt.Scale(domain=[low, high], nice=False))


def _color(points: pd.DataFrame) -> alt.Color:
    domain = list(dict.fromkeys(points["series"]))
    legend = alt.Legend(
        orient="top",
        columns=_legend_columns(domain),
        labelLimit=0,  # a name that is cut off can be that of several curves
        symbolOpacity=1,  # otherwise the legend has the faint lines of the seeds
        symbolStrokeWidth=2.5,
    )
    colors = [PALETTE[index % len(PALETTE)] for index in range(len(domain))]
    scale = alt.Scale(domain=domain, range=colors)
    return alt.Color("series:N", title=None, scale=scale, legend=legend)


def _dash(points: pd.DataFrame) -> alt.StrokeDash:
    domain = list(dict.fromkeys(points["setting"]))
    legend = alt.Legend(
        orient="bottom",  # beside the colours it would be too wide for a phone
        columns=2,
        symbolType="stroke",
        symbolSize=900,
        symbolOpacity=1,
        symbolStrokeWidth=2,
        symbolStrokeColor="gray",
    )
    dashes = [DASHES[index % len(DASHES)] for index in range(len(domain))]
    scale = alt.Scale(domain=domain, range=dashes)
    shown = legend if len(domain) > 1 else None
    return alt.StrokeDash("setting:N", title=None, scale=scale, legend=shown)
