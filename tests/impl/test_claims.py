"""The rules by which claims are judged, and how often they err."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.kit import Alike, AtMost, Bound, Comparison, Identity, NoWorse, Row, by_seed, judge
from impl.kit.cli import table
from impl.kit.verdicts import Outcome, Verdict, mean_interval

values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)
NOISE = [0.1, -0.1, 0.05, -0.05, 0.0]


def judged_rows(**arms: list[float]) -> list[Row]:
    return [
        {"arm": arm, "seed": seed, "judged": True, "error": value}
        for arm, measured in arms.items()
        for seed, value in enumerate(measured)
    ]


def comparison(kind: type[Comparison] = Comparison, **more: Any) -> Comparison:
    declared: dict[str, Any] = dict(
        claim="c", idea="idea", rival="rival", measure="error", better="lower", margin=1.0,
        because="half of the published gain", unit="%",
    )  # fmt: skip
    return kind(**declared | more)


def verdict(
    idea: list[float], rival: list[float], kind: type[Comparison] = Comparison, **more: Any
) -> Verdict:
    return judge([comparison(kind, **more)], judged_rows(idea=idea, rival=rival))[0]


RIVAL = [3.0, 3.1, 2.9, 3.2, 3.0]


@pytest.mark.parametrize(
    ("idea", "outcome"),
    [
        ([1.0, 1.1, 0.9, 1.0, 1.05], "reproduced"),
        ([1.9, 2.4, 1.4, 2.1, 2.2], "weaker"),  # surely better, not surely by the margin
        ([2.8, 2.9, 2.75, 3.0, 2.81], "weaker"),  # surely better, surely by less
        (RIVAL, "not reproduced"),
        ([4.0, 4.1, 3.8, 4.2, 4.1], "not reproduced"),
        ([0.0, 6.0, 1.0, 5.0, 2.0], "inconclusive"),
    ],
)
def test_the_interval_decides(idea: list[float], outcome: str) -> None:
    assert verdict(idea, RIVAL).verdict == outcome


def test_a_verdict_says_what_it_rests_on() -> None:
    found = verdict([1.0, 1.1, 0.9, 1.0, 1.05], RIVAL, ours=True)
    assert found.kind == "ours" and found.n == 5 and "half of the published gain" in found.rule
    assert found.measured == pytest.approx(1.01) and found.baseline == pytest.approx(3.04)
    assert found.interval and found.interval[0] < (found.effect or 0) < found.interval[1]


def test_nothing_measured_is_not_inconclusive() -> None:
    assert verdict([], RIVAL).verdict == "not measured"


def test_one_seed_proves_nothing() -> None:
    assert verdict([1.0], [9.0]).verdict == "inconclusive"


def test_a_missing_seed_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"seeds \[4\]"):
        verdict(RIVAL[:4], RIVAL)


def test_the_same_with_every_seed_is_no_comparison() -> None:
    assert verdict([1.0] * 5, [3.0] * 5).verdict == "inconclusive"
    assert verdict([3.0] * 5, [3.0] * 5).verdict == "not reproduced"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_who_diverges_loses(bad: float) -> None:
    broken = [1.0, 1.1, 0.9, 1.0, bad]
    assert verdict(broken, RIVAL).verdict == "not reproduced"
    assert verdict(broken, RIVAL, worst=90.0).verdict == "inconclusive"
    assert verdict([bad] * 5, RIVAL, worst=90.0).verdict == "not reproduced"
    assert verdict(RIVAL, [*RIVAL[:4], bad], worst=90.0).verdict == "inconclusive"
    diverged = [90.0, 89.0, bad, bad, 88.0]
    assert verdict(RIVAL, diverged, worst=90.0, rival_may_diverge=True).verdict == "reproduced"


def test_a_ratio_is_judged_by_its_logarithm() -> None:
    found = verdict([1.0, 2.0, 4.0], [4.1, 8.0, 15.8], scale="ratio", margin=2.0)
    assert found.verdict == "reproduced" and found.effect == pytest.approx(4.0, rel=0.01)
    swapped = verdict([4.1, 8.0, 15.8], [1.0, 2.0, 4.0], scale="ratio", margin=2.0)
    assert swapped.effect == pytest.approx(1 / (found.effect or 0))


@pytest.mark.parametrize(
    ("loss", "outcome"),
    [(0.0, "reproduced"), (-5.0, "reproduced"), (3.0, "not reproduced"), (1.0, "inconclusive")],
)
def test_no_worse_forgives_a_loss_below_the_margin_and_any_gain(loss: float, outcome: str) -> None:
    idea = [10.0 + loss + noise for noise in NOISE]
    assert verdict(idea, [10.0] * 5, NoWorse).verdict == outcome


@pytest.mark.parametrize(
    ("gap", "outcome"),
    [(0.0, "reproduced"), (-5.0, "not reproduced"), (3.0, "not reproduced"), (1.0, "inconclusive")],
)
def test_alike_forgives_neither_a_loss_nor_a_gain(gap: float, outcome: str) -> None:
    rows = judged_rows(
        idea=[10.0 + gap + noise for noise in NOISE], rival=[10.0] * 5, other=[13.0] * 5
    )
    claim = comparison(Alike, control=("other", "rival"))
    assert judge([claim], rows)[0].verdict == outcome


def test_alike_needs_a_control_that_differs() -> None:
    rows = judged_rows(idea=[10.0 + noise for noise in NOISE], rival=[10.0] * 5, other=[10.2] * 5)
    found = judge([comparison(Alike, control=("other", "rival"))], rows)[0]
    assert found.verdict == "inconclusive" and "control" in found.note


@pytest.mark.parametrize(
    ("limit", "outcome"), [(5.0, "reproduced"), (2.0, "not reproduced"), (3.05, "inconclusive")]
)
def test_at_most_asks_the_whole_interval(limit: float, outcome: str) -> None:
    claim = AtMost(
        claim="c", idea="idea", measure="error", limit=limit, because="Table 1", unit="%"
    )
    assert judge([claim], judged_rows(idea=RIVAL))[0].verdict == outcome


@pytest.mark.parametrize(
    ("gaps", "outcome", "shown"),
    [
        ([1.0, 1.0001, 0.9], "fails", 0.9),
        ([1.0, 1.0001], "holds", 1.0001),
        ([1.0, math.nan], "fails", None),
        ([], "not measured", None),
    ],
)
def test_an_identity_reports_the_worst(
    gaps: list[float], outcome: Outcome, shown: float | None
) -> None:
    claim = Identity(claim="c", measure="gap", expected=1.0, tolerance=0.01, unit="")
    found = judge([claim], [{"gap": gap} for gap in gaps])[0]
    assert found.verdict == outcome and found.kind == "identity"
    assert shown is None or found.measured == shown


@pytest.mark.parametrize(
    ("counts", "outcome", "shown"),
    [
        ([0.1, 0.02], "holds", 0.1),
        ([0.1, 0.3, 0.2], "fails", 0.3),
        ([0.1, math.nan], "fails", None),
        ([], "not measured", None),
    ],
)
def test_a_bound_reports_the_largest(
    counts: list[float], outcome: Outcome, shown: float | None
) -> None:
    claim = Bound(claim="c", measure="share", expected=0.1, unit="")
    found = judge([claim], [{"share": share} for share in counts])[0]
    assert (found.verdict, found.kind) == (outcome, "identity") and "at most 0.1" in found.rule
    assert shown is None or found.measured == shown


def test_a_choice_at_the_edge_of_the_grid_is_reported() -> None:
    rows = judged_rows(idea=[1.0, 1.1, 0.9, 1.0, 1.05], rival=RIVAL)
    for row in rows[6:]:
        row["at_edge"] = "lr"
    assert judge([comparison()], rows)[0].note == (
        "rival chose the edge of the grid (lr) in 4 of 5"
    )


@given(values, values, st.floats(0.1, 10))
def test_swapping_the_sides_negates_the_effect(
    a: list[float], b: list[float], margin: float
) -> None:
    n = min(len(a), len(b))
    one = verdict(a[:n], b[:n], margin=margin)
    other = verdict(b[:n], a[:n], margin=margin)
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


def test_overlapping_splits_widen_the_interval() -> None:
    some = [1.0, 2.0, 4.0, 3.0]
    mean, low, _ = mean_interval(some)
    _, wide, _ = mean_interval(some, overlap=0.5)
    assert (mean - wide) / (mean - low) == pytest.approx(math.sqrt((1 / 4 + 0.5) / (1 / 4)))


def test_by_seed_takes_the_last_row_that_fits() -> None:
    rows: list[Row] = [
        {"net": "a", "seed": 0, "step": 1, "e": 3.0},
        {"net": "a", "seed": 0, "step": 2, "e": 2.0},
        {"net": "b", "seed": 0, "step": 2, "e": 9.0},
        {"net": "a", "seed": 1, "step": 2, "e": 1.0},
        {"net": "a", "note": "no measure"},
    ]
    assert by_seed(rows, "e", net="a") == {0: 2.0, 1: 1.0}


# How often the rules err, in simulated runs of five seeds


def simulate(effect: float, noise: float, runs: int = 1000, seeds: int = 5) -> list[Verdict]:
    """Runs in which the idea is better by `effect` margins; `noise` is that of the paired gain."""
    gains = np.random.default_rng(0).normal(effect, noise, (runs, seeds))
    return [verdict(list(-row), [0.0] * seeds) for row in gains]


def share(verdicts: list[Verdict], outcome: Outcome) -> float:
    return sum(verdict.verdict == outcome for verdict in verdicts) / len(verdicts)


@pytest.mark.parametrize("noise", [0.1, 1.0, 10.0])
def test_an_idea_without_an_effect_is_rarely_reproduced(noise: float) -> None:
    assert share(simulate(0.0, noise), "reproduced") <= 0.025


def test_even_an_effect_of_exactly_the_margin_is_rarely_reproduced() -> None:
    assert share(simulate(1.0, 0.5), "reproduced") <= 0.04  # 2.5 %, and what 1,000 runs vary by


def test_a_true_effect_of_twice_the_margin_is_mostly_reproduced() -> None:
    """With a noise of half of the margin, which is what five seeds are enough for."""
    assert share(simulate(2.0, 0.5), "reproduced") >= 0.8


def test_choosing_by_validation_does_not_narrow_the_interval() -> None:
    """All points of the grid are equally good, so each choice is noise: 95% still cover 0."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        validation = rng.normal(size=(2, 5, 3))  # arm, seed, point of the grid
        test = validation * 0.5 + rng.normal(size=(2, 5, 3))  # what is good there is good here
        chosen = np.take_along_axis(test, validation.argmin(2)[..., None], 2)[..., 0]
        interval = verdict(list(chosen[0]), list(chosen[1])).interval
        assert interval
        covered += interval[0] <= 0 <= interval[1]
    assert covered >= 930


def test_a_verdict_on_nets_that_diverged_can_be_printed() -> None:
    verdicts = judge([comparison()], judged_rows(idea=[math.nan, 1.0], rival=[math.inf, 2.0]))
    printed = table([*verdicts, Verdict("c", "fails", math.nan, 4000.0, "%")])
    assert "inconclusive" in printed and "4,000" in printed and "nan" in printed
