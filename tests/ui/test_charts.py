"""The curves of runs: their legends name every series whole, and leave room for the curves."""

from typing import Any

from ui import charts


def chart_of(arms: tuple[str, ...], settings: tuple[str, ...] = ("lr 0.1",)) -> dict[str, Any]:
    """The chart of runs with these sides and settings, as Vega-Lite gets it."""
    rows = [
        {"arm": arm, "setting": setting, "step": step, "error": float(step)}
        for arm in arms
        for setting in settings
        for step in (1, 2, 3)
    ]
    chart: dict[str, Any] = charts._chart(charts.curve_points(rows), log=False).to_dict()
    return chart


def test_a_long_name_has_its_own_line_and_a_colour_of_its_own() -> None:
    short, long = (
        chart_of(tuple(f"{arm} of {run}" for arm in ("dropout", "standard") for run in runs))
        for runs in (("run", "net"), tuple(f"dropout-3a6c1bd{n}" for n in range(4)))
    )
    colors = {chart["height"]: chart["layer"][0]["encoding"]["color"] for chart in (short, long)}
    assert [color["legend"]["columns"] for color in colors.values()] == [2, 1]
    assert all(color["legend"]["labelLimit"] == 0 for color in colors.values()), "none is cut off"
    assert all(len(set(color["scale"]["range"])) in (4, 8) for color in colors.values())
    assert long["height"] == short["height"] + 6 * charts.LEGEND_ROW, "the curves keep their height"


def test_the_legend_of_settings_has_its_own_height_too() -> None:
    one, three = (chart_of(("a", "b"), settings) for settings in (("x 1",), ("x 1", "x 2", "x 3")))
    assert three["height"] > one["height"]
