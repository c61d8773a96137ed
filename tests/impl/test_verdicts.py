"""The rules by which claims are judged."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.kit import alike, by_seed, compare, exact, no_worse
from impl.kit.verdicts import mean_interval

values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


def judged(idea: list[float], baseline: list[float], margin: float = 1.0) -> str:
    return compare(
        "c", dict(enumerate(idea)), dict(enumerate(baseline)), better="lower", margin=margin, unit="%"
    ).verdict


def test_a_clear_gain_is_reproduced() -> None:
    assert judged([1.0, 1.1, 0.9, 1.0, 1.05], [3.0, 3.1, 2.9, 3.2, 3.0]) == "reproduced"


def test_no_gain_at_all_is_not_reproduced() -> None:
    assert judged([3.0, 3.1, 2.9, 3.2, 3.0], [3.0, 3.1, 2.9, 3.2, 3.0]) == "not reproduced"


def test_a_gain_that_varies_too_much_is_inconclusive() -> None:
    assert judged([0.0, 6.0, 1.0, 5.0, 2.0], [3.0, 3.0, 3.0, 3.0, 6.0]) == "inconclusive"


def test_a_sure_gain_below_the_margin_is_not_reproduced() -> None:
    assert judged([2.9, 2.9, 2.9, 2.91, 2.9], [3.0, 3.0, 3.0, 3.0, 3.0]) == "not reproduced"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_diverged_run_is_inconclusive(bad: float) -> None:
    assert judged([1.0, bad], [3.0, 3.0]) == "inconclusive"


def test_one_seed_proves_nothing() -> None:
    assert judged([1.0], [9.0]) == "inconclusive"
    assert compare("c", {}, {}, better="lower", margin=1, unit="%").verdict == "inconclusive"


@given(values, values, st.floats(0.1, 10))
def test_swapping_the_sides_negates_the_effect(a: list[float], b: list[float], margin: float) -> None:
    n = min(len(a), len(b))
    idea, baseline = dict(enumerate(a[:n])), dict(enumerate(b[:n]))
    one = compare("c", idea, baseline, better="lower", margin=margin, unit="%")
    other = compare("c", baseline, idea, better="lower", margin=margin, unit="%")
    assert one.effect == pytest.approx(-(other.effect or 0.0))
    assert not (one.verdict == other.verdict == "reproduced")


@given(values)
def test_the_interval_holds_the_mean_and_agrees_with_scipy(some: list[float]) -> None:
    from scipy import stats

    mean, low, high = mean_interval(some)
    assert low <= mean <= high
    if len(set(some)) > 1:
        expected = stats.ttest_1samp(some, 0).confidence_interval()
        assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)


NOISE = [0.1, -0.1, 0.05, -0.05, 0.0]


@pytest.mark.parametrize(
    ("loss", "outcome"), [(0.0, "reproduced"), (-5.0, "reproduced"), (3.0, "not reproduced"), (1.0, "inconclusive")]
)
def test_no_worse_forgives_a_loss_below_the_tolerance_and_any_gain(loss: float, outcome: str) -> None:
    baseline = dict.fromkeys(range(5), 10.0)
    idea = {seed: 10.0 + loss + NOISE[seed] for seed in range(5)}
    assert no_worse("c", idea, baseline, better="lower", tolerance=1.0, unit="%").verdict == outcome


@pytest.mark.parametrize(
    ("gap", "outcome"), [(0.0, "reproduced"), (-5.0, "not reproduced"), (3.0, "not reproduced"), (1.0, "inconclusive")]
)
def test_alike_forgives_neither_a_loss_nor_a_gain(gap: float, outcome: str) -> None:
    baseline = dict.fromkeys(range(5), 10.0)
    idea = {seed: 10.0 + gap + NOISE[seed] for seed in range(5)}
    assert alike("c", idea, baseline, tolerance=1.0, unit="%").verdict == outcome


def test_too_much_noise_shows_no_likeness() -> None:
    assert alike("c", {0: 0.0, 1: 9.0}, {0: 5.0, 1: 5.0}, tolerance=1.0, unit="%").verdict == "inconclusive"
    assert alike("c", {0: 1.0}, {0: 1.0}, tolerance=1.0, unit="%").verdict == "inconclusive"


def test_exact_reports_the_worst() -> None:
    verdict = exact("c", [1.0, 1.0001, 0.9], 1.0, tolerance=0.01, unit="")
    assert (verdict.verdict, verdict.measured) == ("not reproduced", 0.9)
    assert exact("c", [1.0, 1.0001], 1.0, tolerance=0.01, unit="").verdict == "reproduced"
    assert exact("c", [1.0, math.nan], 1.0, tolerance=0.01, unit="").verdict == "not reproduced"
    assert exact("c", [], 1.0, tolerance=0.01, unit="").verdict == "inconclusive"


def test_by_seed_takes_the_last_row_that_fits() -> None:
    rows = [
        {"net": "a", "seed": 0, "step": 1, "e": 3.0},
        {"net": "a", "seed": 0, "step": 2, "e": 2.0},
        {"net": "b", "seed": 0, "step": 2, "e": 9.0},
        {"net": "a", "seed": 1, "step": 2, "e": 1.0},
        {"net": "a", "note": "no measure"},
    ]
    assert by_seed(rows, "e", net="a") == {0: 2.0, 1: 1.0}
