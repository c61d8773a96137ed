"""The scale on which years with more milestones are wider."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ui.timeline.density import positions

times = st.lists(st.floats(1936, 2026), max_size=40)


@given(times, st.floats(1930, 1936, width=32), st.floats(2026, 2030, width=32))
def test_positions_grow_with_the_year_and_keep_both_ends(
    times: list[float], first: float, last: float
) -> None:
    points = positions(times, first, last)
    assert points[0] == [first, first]
    assert abs(points[-1][1] - last) < 1e-6 and points[-1][0] == last
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(points))


def test_a_crowded_year_is_wider_than_an_empty_one() -> None:
    at = dict(positions([1950.5, *[2015.5] * 30], 1936.0, 2026.0))
    assert at[2016] - at[2015] > 3 * (at[1981] - at[1980])
    assert at[1981] - at[1980] == 0.5


def test_without_milestones_all_years_are_equal() -> None:
    assert positions([], 2000.5, 2003.0) == [
        *([2000.5, 2000.5], [2001, 2001.0], [2002, 2002.0], [2003.0, 2003.0])
    ]
