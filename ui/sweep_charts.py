"""Pictures of a sweep: a curve with intervals over one setting, a heat map over two."""

import itertools
import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import altair as alt
import pandas as pd
import streamlit as st

from kb.claim_sides import Sides
from kb.runs.sweeps import Point, Sweep
from kb.tables import RunVerdict
from ui import format, html_parts

UNORDERED = ("seed",)  # settings whose values have no order: no line joins their points
VERDICT_STYLES = {  # colour and shape of the points; an identity has none
    "reproduced": ("#2f9e77", "circle"),
    "weaker": ("#7aa83a", "triangle-up"),
    "inconclusive": ("#c9a227", "diamond"),
    "not reproduced": ("#d1495b", "cross"),
}
DIVERGING = ["#e39a6b", "#f3efe8", "#7fb2de"]  # light enough for dark figures, in both themes
SEQUENTIAL = ["#f3efe8", "#7fb2de"]
MIN_LOG_RATIO = 4  # from the smallest to the largest value of a logarithmic axis
HEIGHT = 320
CELL_HEIGHT = 46


def draw_curve(sweep: Sweep, claim: str, key: str) -> None:
    """Draws the gain with its 95% interval by the setting's value; a point opens its run."""
    table = _table(sweep, claim)
    shown = table[table["effect"].notna()]
    if shown.empty:
        return
    scale = alt.Scale(zero=False)
    neutral = pd.DataFrame({"y": [_neutral(table)]})
    title = f"gain{' (times)' if _is_ratio(table) else ''}, 95% interval"
    base, color = alt.Chart(shown).encode(x=_x(sweep)), _verdict_color(shown)
    layers = [
        alt.Chart(neutral).mark_rule(strokeDash=[4, 4], opacity=0.5).encode(y="y:Q"),
        base.mark_rule(strokeWidth=2).encode(
            y=alt.Y("low:Q", title=title, scale=scale), y2="high:Q", color=color
        ),
        base.mark_point(size=110, filled=True, opacity=1, cursor="pointer").encode(
            y=alt.Y("effect:Q", scale=scale),
            color=color,
            shape=_verdict_shape(shown),
            tooltip=_tooltip(sweep),
            href="href:N",
        ),
    ]
    if _is_ordered(sweep):
        layers.insert(1, base.mark_line(color="#8a8a8a", strokeWidth=1.5).encode(y="effect:Q"))
    st.altair_chart(alt.layer(*layers).properties(height=HEIGHT), key=key)


def draw_sides(sweep: Sweep, claim: str, sides: Sides, key: str) -> None:
    """Draws what was measured on both sides, whose difference or ratio the gain is."""
    table = _table(sweep, claim)
    unit = next(iter(table["unit"].dropna()), "")
    names = {"baseline": sides.rival, "measured": sides.idea}
    points = pd.concat(
        table.assign(side=name, value=table[field])[["x", "href", "side", "value"]]
        for field, name in names.items()
    ).dropna(subset="value")
    if points.empty:
        return
    base = alt.Chart(points).encode(
        x=_x(sweep),
        y=alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False)),
        color=alt.Color(
            "side:N",
            title=None,
            scale=alt.Scale(domain=list(names.values()), range=["#e07b39", "#3b82c4"]),
            legend=alt.Legend(orient="top"),
        ),
        tooltip=["side:N", alt.Tooltip("x", title=_axis_name(sweep)), alt.Tooltip("value:Q")],
    )
    layers = [base.mark_point(size=70, filled=True, opacity=1).encode(href="href:N")]
    if _is_ordered(sweep):
        layers.insert(0, base.mark_line(strokeWidth=2))
    st.altair_chart(alt.layer(*layers).properties(height=HEIGHT * 3 // 4), key=key)


def draw_heat_map(sweep: Sweep, claim: str, field: str, key: str) -> None:
    """Draws a cell for each run: `effect` with its verdict's mark, `measured` or `baseline`."""
    table = _table(sweep, claim)
    table["label"] = [_cell(row, field) for row in table.to_dict("records")]
    first, second = sweep.axes
    base = alt.Chart(table).encode(
        x=alt.X("x:N", title=first, sort=list(sweep.axes[first]), axis=alt.Axis(labelAngle=0)),
        y=alt.Y("y:N", title=second, sort=list(reversed(sweep.axes[second]))),
        tooltip=_tooltip(sweep),
        href="href:N",
    )
    color = alt.Color(f"{field}:Q", scale=_cell_scale(table, field), legend=None)
    is_empty = f"!isValid(datum.{field})"
    rect: Any = {"stroke": "#8a8a8a", "strokeWidth": 0.5, "cursor": "pointer", "invalid": None}
    cells = base.mark_rect(**rect).encode(
        color=alt.condition(is_empty, alt.value("#cfcfcf"), color)
    )
    labels = base.mark_text(fontSize=13, color="#222222", cursor="pointer").encode(text="label:N")
    height = 70 + CELL_HEIGHT * len(sweep.axes[second])
    st.altair_chart((cells + labels).properties(height=height), key=key)


def _table(sweep: Sweep, claim: str) -> pd.DataFrame:
    return pd.DataFrame([_record(point, point.verdicts.get(claim)) for point in sweep.points])


def _record(point: Point, verdict: RunVerdict | None) -> dict[str, Any]:
    """What the pictures show of a run; numbers that it doesn't have are missing."""
    figures = ("effect", "low", "high", "measured", "baseline")
    values = {name: _finite(getattr(verdict, name, None)) for name in figures}
    run = point.run
    return {
        "x": point.values[0],
        "y": point.values[-1],
        "href": f"run?id={quote(run.id)}",
        "verdict": verdict.verdict if verdict else run.status,
        "interval": _interval(values),
        "scale": verdict.scale if verdict else "",
        "unit": verdict.unit if verdict else None,
        **values,
    }


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.nan


def _interval(values: dict[str, float]) -> str:
    return "–" if math.isnan(values["low"]) else f"{values['low']:.3g} to {values['high']:.3g}"


def _cell_scale(table: pd.DataFrame, field: str) -> alt.Scale:
    """The colours of the cells; a gain of nothing is in the middle, a loss on the other side."""
    if field != "effect":
        return alt.Scale(range=SEQUENTIAL, zero=False, interpolate="rgb")
    middle = _neutral(table)
    reach = (table["effect"] - middle).abs().max()
    reach = reach if reach > 0 else 1.0  # also where nothing is measured yet
    domain = [middle - reach, middle, middle + reach]
    return alt.Scale(domain=domain, range=DIVERGING, interpolate="rgb")


def _cell(record: dict[str, Any], field: str) -> str:
    if math.isnan(record[field]):
        return str(record["verdict"])
    if field == "effect":
        return f"{record[field]:.3g} {html_parts.VERDICT_MARKS.get(record['verdict'], '')}"
    return format.number(record[field])


def _neutral(table: pd.DataFrame) -> float:
    """The gain of an idea that changes nothing."""
    return 1.0 if _is_ratio(table) else 0.0


def _is_ratio(table: pd.DataFrame) -> bool:
    return "ratio" in set(table["scale"])


def _tooltip(sweep: Sweep) -> list[Any]:
    names = list(sweep.axes)
    places = [alt.Tooltip(f"{axis}:N", title=name) for axis, name in zip("xy", names, strict=False)]
    numbers = [alt.Tooltip(f"{name}:Q", format=".4g") for name in ("measured", "baseline")]
    gain = alt.Tooltip("effect:Q", format=".3g", title="gain")
    interval = alt.Tooltip("interval:N", title="95% interval")
    return [*places, "verdict:N", gain, interval, *numbers]


def _axis_name(sweep: Sweep) -> str:
    return next(iter(sweep.axes))


def _x(sweep: Sweep) -> alt.X:
    """The axis of the setting; it has a place for every value, also before its run has ended."""
    name, values = _axis_name(sweep), next(iter(sweep.axes.values()))
    if not _is_ordered(sweep):
        domain = alt.Scale(domain=list(values))
        return alt.X("x:N", title=name, scale=domain, axis=alt.Axis(labelAngle=0))
    scale = alt.Scale(
        type="log" if is_geometric(values) else "linear",
        domain=[values[0], values[-1]],
        nice=False,
        padding=24,
    )
    axis = alt.Axis(values=list(values), grid=False, labelOverlap=True, format="~g")
    return alt.X("x:Q", title=name, scale=scale, axis=axis)


def _is_ordered(sweep: Sweep) -> bool:
    name, values = next(iter(sweep.axes.items()))
    return name not in UNORDERED and not isinstance(values[0], str | bool)


def is_geometric(values: Sequence[float]) -> bool:
    """Whether neighbours differ by a factor rather than by a difference."""
    if len(values) < 3 or values[0] <= 0 or values[-1] / values[0] < MIN_LOG_RATIO:
        return False
    pairs = list(itertools.pairwise(values))
    ratios = [b / a for a, b in pairs]
    differences = [b - a for a, b in pairs]
    return max(ratios) / min(ratios) < max(differences) / min(differences)


def _verdict_color(shown: pd.DataFrame) -> alt.Color:
    outcomes = _outcomes(shown)
    scale = alt.Scale(domain=outcomes, range=[VERDICT_STYLES[name][0] for name in outcomes])
    return alt.Color("verdict:N", title=None, scale=scale, legend=alt.Legend(orient="top"))


def _verdict_shape(shown: pd.DataFrame) -> alt.Shape:
    outcomes = _outcomes(shown)
    scale = alt.Scale(domain=outcomes, range=[VERDICT_STYLES[name][1] for name in outcomes])
    return alt.Shape("verdict:N", title=None, scale=scale, legend=alt.Legend(orient="top"))


def _outcomes(shown: pd.DataFrame) -> list[str]:
    """The verdicts that have points, in the order of the legend."""
    return [name for name in VERDICT_STYLES if name in set(shown["verdict"])]
