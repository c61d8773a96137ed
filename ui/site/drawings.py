"""Small drawings in SVG: the intervals of a claim's blocks of seeds, and the curves of a run.

Lines and words take the colour of the text around them, so they fit light, dark and paper.
"""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from ui import format

WIDTH, ROW = 320.0, 22.0  # of a drawing of intervals; a row for each block
LABEL = 74.0  # room for the name of a block
CHART = (560.0, 260.0)  # width and height of a chart of curves
LEFT, BOTTOM, TOP = 58.0, 24.0, 8.0  # room for its axes
MAX_POINTS = 160  # of one curve; a longer one is thinned evenly


def intervals_svg(verdicts: Sequence[dict[str, Any]], seeds: Sequence[int]) -> str:
    """The gain of each block with its 95% interval; empty where no block has one.

    The line from top to bottom is no gain: 0, or 1 where the gain is a ratio.
    """
    rows = [(v, seed) for v, seed in zip(verdicts, seeds, strict=True) if v.get("interval")]
    if not rows:
        return ""
    is_ratio = rows[0][0].get("scale") == "ratio"
    none = 1.0 if is_ratio else 0.0
    ends = [none, *(end for verdict, _ in rows for end in verdict["interval"])]
    x = _scale(min(ends), max(ends), LABEL, WIDTH - 10)
    height = ROW * len(rows) + 20
    anchor = "start" if x(none) < WIDTH / 2 else "end"
    parts = [
        _line("none", x(none), 2, x(none), height - 18),
        _text(x(none), height - 4, f"no gain ({none:.0f})", anchor),
    ]
    words = []
    for i, (verdict, seed) in enumerate(rows):
        y = ROW * (i + 0.5)
        effect, (start, end) = verdict["effect"], verdict["interval"]
        parts.append(_text(0, y + 4, f"seeds {seed}…"))
        parts.append(_line("interval", x(start), y, x(end), y))
        parts.append(f'<circle cx="{x(effect):.1f}" cy="{y:.1f}" r="4"/>')
        words.append(f"seeds from {seed}: {effect:.3g}, {start:.3g} to {end:.3g}")
    label = f"Gain with its 95% interval, {'times' if is_ratio else 'difference'}. "
    return _svg("kb-intervals", WIDTH, height, label + "; ".join(words), parts)


def curves_html(rows: list[dict[str, Any]]) -> str:
    """The measure with the most points: for each side and setting, the mean over the seeds."""
    from ui import charts

    points = charts.curve_points(rows)
    if points.empty:
        return ""
    measure = charts.longest_measure(points)
    shown = points[points["measure"] == measure]
    sides = list(dict.fromkeys(shown["series"]))
    colours = {side: charts.PALETTE[i % len(charts.PALETTE)] for i, side in enumerate(sides)}
    settings = list(dict.fromkeys(shown["setting"]))
    dashes = {name: charts.DASHES[i % len(charts.DASHES)] for i, name in enumerate(settings)}
    means = shown.groupby(["series", "setting", "step"])["value"].mean()
    curves = [
        (colours[side], dashes[setting], list(means[side, setting].sort_index().items()))
        for side, setting in dict.fromkeys(zip(shown["series"], shown["setting"], strict=True))
    ]
    name = charts.in_words(measure)
    chart = _chart(curves, f"{name} over the steps: {', '.join(sides)}")
    legend = "".join(
        f'<li><svg width="26" height="8" aria-hidden="true"><line x1="0" x2="26" y1="4" y2="4" '
        f'stroke="{colours[side]}" stroke-width="3"/></svg> {html.escape(side)}</li>'
        for side in sides
    )
    tried = f" A pattern of lines for each of {len(settings)} settings." * (len(settings) > 1)
    caption = f"{name[:1].upper()}{name[1:]}, mean over the seeds.{tried}"
    return f'<ul class="legend">{legend}</ul>{chart}<p class="small">{html.escape(caption)}</p>'


def _chart(
    curves: Sequence[tuple[str, Sequence[int], list[tuple[float, float]]]], label: str
) -> str:
    width, height = CHART
    steps = [step for *_, curve in curves for step, _ in curve]
    values = [value for *_, curve in curves for _, value in curve]
    x = _scale(min(steps), max(steps), LEFT, width - 8)
    y = _scale(min(values), max(values), height - BOTTOM, TOP)
    parts = []
    for value in (min(values), (min(values) + max(values)) / 2, max(values)):
        parts.append(_line("grid", LEFT, y(value), width - 8, y(value)))
        parts.append(_text(LEFT - 6, y(value) + 4, format.number(value), "end"))
    for step, anchor in ((min(steps), "start"), (max(steps), "end")):
        name = f"step {step:,.0f}"
        parts.append(_text(x(step), height - 6, name, anchor))
    for colour, dash, curve in curves:
        stride = -(-len(curve) // MAX_POINTS)
        thinned = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in curve[::stride])
        pattern = "" if dash[1] == 0 else f' stroke-dasharray="{" ".join(map(str, dash))}"'
        parts.append(f'<polyline points="{thinned}" stroke="{colour}"{pattern}/>')
    return _svg("kb-curves", width, height, label, parts)


def _scale(low: float, high: float, start: float, end: float) -> Any:
    span = high - low if math.isfinite(high - low) and high > low else 1.0
    return lambda value: start + (end - start) * (value - low) / span


def _svg(css_class: str, width: float, height: float, label: str, parts: Iterable[str]) -> str:
    return (
        f'<svg class="{css_class}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{html.escape(label)}">{"".join(parts)}</svg>'
    )


def _line(css_class: str, x1: float, y1: float, x2: float, y2: float) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line class="{css_class}" {ends}/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}>{html.escape(text)}</text>"
