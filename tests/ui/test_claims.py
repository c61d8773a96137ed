"""What is said about claims: the names of their sides, why a verdict is so, and what is better."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from kb import implementations
from kb.claim_sides import LIMIT, UNNAMED, Sides, declared_sides, sides_of
from kb.results import RecordedVerdict
from kb.tables import ClaimRow, RunVerdict
from tests.ui.pages import open_page, page_text
from ui import claim_cards, claim_figures, claim_reasons
from ui.claim_status import ClaimStatus

LOWER = (
    "lower is better; reproduced if the whole paired 95% interval of the gain is at least 0.125 "
    "(half of the smallest gain of Table 2)"
)


def verdict(outcome: str, **fields: Any) -> RunVerdict:
    values: dict[str, Any] = dict(
        run="", number=0, claim="a", verdict=outcome, unit="% test error", rule=LOWER, n=5,
        measured=8.0, baseline=9.0, effect=1.0, low=0.5, high=1.5, kind="paper",
        scale="difference", note="",
    )  # fmt: skip
    return RunVerdict(**values | fields)


def status(measured: RunVerdict, **published: Any) -> ClaimStatus:
    claim = ClaimRow(
        milestone="dropout", id="lower-test-error", position=0, implementation="dropout",
        says="It errs less.", where="Table 2", published=published or None,
    )  # fmt: skip
    return ClaimStatus(claim, measured, None, None)


@pytest.mark.parametrize(
    ("with_idea", "without", "meaning"),
    [
        ("reproduced", "not reproduced", "as it should be"),
        ("reproduced", "reproduced", "proves nothing"),
        ("inconclusive", "inconclusive", "tells little"),
    ],
)
def test_a_card_says_what_the_verdict_without_the_idea_means(
    with_idea: str, without: str, meaning: str
) -> None:
    shown = verdict(with_idea)
    block = {"measured": "2026-01-01", "environment": {"device": "cpu", "device_name": "6502"}}
    broken = {"verdict": without, "measured": 9.0, "baseline": 8.0}
    one = status(shown)
    recorded = RecordedVerdict(one.claim, {"verdict": with_idea}, block, (with_idea,), broken)
    card = claim_cards.card_html(replace(one, recorded=recorded))
    assert f"With the idea taken out: 9 against 8, {without}, " in card and meaning in card


def test_the_sides_have_the_names_that_the_source_gives_them() -> None:
    source = """
NINE, ONE = "nine anchors", "one anchor"
def saves(claim, part, idea="whole"):
    return Comparison(claim=claim, idea=idea, rival=f"no-{part}")
CLAIMS = (
    Comparison(claim="a", idea="dropout", rival="standard"),
    Comparison(claim="b", idea=NINE, rival=best(all)),
    Comparison(claim="c", idea=share("solved", "two units"), rival=share("solved", "no units")),
    Comparison(claim="d", idea=gain(max), rival=gain(min)),
    AtMost(claim="e", idea="lstm", limit=1),
    Identity(claim="f", measure="error"),
    saves("g", "dropout"),
    saves(claim="h", part="pooling", idea=ONE),
)
"""
    assert declared_sides(source) == {
        "a": Sides("dropout", "standard"),
        "b": Sides("nine anchors", UNNAMED.rival),
        "c": Sides("two units", "no units"),
        "d": UNNAMED,
        "e": Sides("lstm", LIMIT),
        "g": Sides("whole", "no-dropout"),
        "h": Sides("one anchor", "no-pooling"),
    }
    assert sides_of("nothing", "a") == UNNAMED
    assert sides_of("dropout", "lower-test-error") == Sides("dropout", "standard")


@pytest.mark.parametrize("name", implementations.names())
def test_every_implementation_has_two_different_names(name: str) -> None:
    for claim in implementations.read(name).claims:
        idea, rival = sides_of(name, claim)
        assert idea and rival and idea != rival


@pytest.mark.parametrize(
    ("outcome", "fields", "words"),
    [
        ("reproduced", {}, "The whole interval satisfies the rule: a gain of at least 0.125."),
        ("weaker", {"low": 0.1}, "not all of it satisfies the rule: a gain of at least 0.125."),
        ("inconclusive", {"low": -1.0}, "Inconclusive: a part of the interval satisfies the rule"),
        ("inconclusive", {"note": "the rival diverged"}, "Inconclusive: the rival diverged."),
        ("inconclusive", {"low": None, "high": None, "n": 1}, "with 1 seed there is no"),
        ("not measured", {"measured": None, "note": "no data"}, "Not measured: no data."),
        (
            "holds",
            {"kind": "identity", "n": 3},
            "the furthest of 3 values checked: 8 (% test error).",
        ),
    ],
)
def test_a_verdict_is_explained(outcome: str, fields: dict[str, Any], words: str) -> None:
    assert words in claim_reasons.explain(verdict(outcome, **fields))


def test_a_claim_without_a_verdict_says_so() -> None:
    assert claim_reasons.explain(None) == "No run has measured it yet."


def test_right_is_better_in_every_row() -> None:
    errors = status(verdict("reproduced"), idea=1.35, baseline=1.6, unit="% test error")
    assert errors.ratios == pytest.approx((1.6 / 1.35, 9 / 8))
    accuracy = status(verdict("reproduced"), idea=82.8, baseline=80.6, unit="% accuracy")
    assert accuracy.ratios == pytest.approx((82.8 / 80.6, 9 / 8)), "published as accuracy"
    saved = status(
        verdict("reproduced"), idea=6.0, baseline=1.0, unit="times as long, to 25% error"
    )
    assert saved.ratios == pytest.approx((6.0, 9 / 8)), "published as what is saved"
    higher = LOWER.replace("lower", "higher", 1)
    worse = verdict("not reproduced", rule=higher, effect=-1.0, low=-2.0, high=-0.5)
    assert status(worse, idea=3.0, baseline=2.0, unit="bits").ratios == (1.5, 8 / 9)


def test_what_lies_beyond_the_scale_is_an_arrow() -> None:
    far = verdict("reproduced", measured=1.0, baseline=90.0)
    chart = claim_figures.ratio_chart([status(far, idea=1.0, baseline=2.0, unit="x")], str.title)
    assert 'class="kb-to kb-beyond-right" style="left: 100.0%"' in chart
    assert 'class="kb-from" style="left: 75.0%"' in chart


def test_where_there_is_no_figure_is_a_sentence() -> None:
    without = status(verdict("reproduced"), unit="%", note="A <figure>.")
    assert "The paper gives no number. A &lt;figure&gt;." in claim_figures.missing_html(without)
    card = claim_figures.figures_html(without)
    assert "–" not in card
    assert "<span>standard</span><span>dropout</span>" in card


def test_a_paper_is_a_row_that_opens(loaded: Engine) -> None:
    app = open_page("claims")
    rows = [row.label for row in app.expander]
    assert len(rows) == len(set(rows)) and any(row.startswith("**Dropout") for row in rows)
    assert "kb-claim" not in page_text(app), "no paper is open"
    opened = page_text(open_page("claims", paper="dropout"))
    assert "kb-claim" in opened
    assert "each holds or fails" in page_text(open_page("claims", paper="backprop"))
