"""Curves from the rows of a run."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kb.runs.curves import build_curves

NAMES = st.sampled_from(["step", "seed", "n", "loss", "net"])
ROWS = st.lists(st.dictionaries(NAMES, st.integers(0, 9) | st.text("ab")))


def test_nets_and_seeds_have_curves_of_their_own() -> None:
    rows: list[dict[str, Any]] = [
        {"net": "a", "seed": 0, "step": 1, "loss": 3.0},
        {"net": "a", "seed": 1, "step": 1, "loss": 2.0},
        {"net": "a", "seed": 0, "step": 2, "loss": float("nan")},
        {"net": "a", "seed": 0, "step": 3, "loss": 1.0},
        {"gap": 0.5},
    ]
    assert {str(series): points for series, points in build_curves(rows).items()} == {
        "loss net=a seed=0": [(1.0, 3.0), (3.0, 1.0)],
        "loss net=a seed=1": [(1.0, 2.0)],
        "gap": [(0.0, 0.5)],
    }


@given(ROWS)
def test_every_curve_has_points(rows: list[dict[str, Any]]) -> None:
    assert all(build_curves(rows).values())
