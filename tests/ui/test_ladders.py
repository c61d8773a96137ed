"""What each step bought, on the page of a milestone: its picture, links, and what it admits."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from kb import ladders
from tests.kb.test_ladders import rung
from tests.ui.pages import open_page, page_text
from ui import ladder_view


def test_the_page_of_a_rung_shows_its_ladder_with_links_to_the_others(loaded: Engine) -> None:
    app = open_page("milestone", id="gru")
    text = page_text(app)
    assert ladder_view.TITLE in [header.value for header in app.header]
    assert '<span class="kb-own">GRU, 2014</span>' in text
    assert "`kb ladders sequence --record` measures it anew" in text
    assert "billion FLOPs" in text and "seeds 0 to 4" in text


def test_an_article_has_its_ladder_too_and_others_have_none(loaded: Engine) -> None:
    assert ladder_view.TITLE in page_text(open_page("milestone", id="polyak-momentum"))
    assert ladder_view.TITLE not in page_text(open_page("milestone", id="dropout"))


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An invented ladder, which the test may change before it writes it."""
    monkeypatch.setattr(ladders, "record_file", lambda: tmp_path / "ladders.json")
    older = rung("<b>SGD</b>", 40.0, milestone="robbins-monro", values=[39.0, 41.0])
    gain = {"mean": -5.0, "low": -7.0, "high": -3.0}
    newer = rung("Adam", 45.0, milestone="adam", values=[44.0, 46.0], gain=gain, at_edge=2)
    return {
        "title": "Ways <i>down</i>",
        "task": "A *net* learns.",
        "unit": "% lost",
        "settings": {"seed": 0, "seeds": 2, "budget": 2e9},
        "environment": {"device_name": "a processor", "torch": "2.13.0"},
        "conditions": [{"name": "", "rungs": [older, newer]}],
        "measured": "2026-11-29",
        "source_hash": "of an earlier version",
    }


def show(entry: dict[str, Any]) -> str:
    ladders.record_file().write_text(json.dumps({"optimizers": entry}))
    return page_text(open_page("milestone", id="adam")).replace("\\", "")


def test_where_the_older_one_wins_the_page_says_so(loaded: Engine, entry: dict[str, Any]) -> None:
    text = show(entry)
    assert "5 worse (3 .. 7)" in text
    assert "is best on average, and with 2 of 2 seeds, not the newest" in text
    assert "At the edge of them: Adam." in text
    assert "The source has changed since" in text


def test_texts_of_the_record_are_not_rendered(loaded: Engine, entry: dict[str, Any]) -> None:
    ladders.record_file().write_text(json.dumps({"optimizers": entry}))
    text = page_text(open_page("milestone", id="adam"))
    assert "&lt;b&gt;SGD" in text and "\\<b\\>SGD" in text and "<b>SGD" not in text
    assert "\\*net\\*" in text and "<i>down" not in text


def test_a_rung_that_diverged_has_no_dot(loaded: Engine, entry: dict[str, Any]) -> None:
    entry["conditions"][0]["rungs"][1] |= {"mean": None, "low": None, "high": None}
    entry["conditions"][0]["rungs"][1]["gain"] = {"mean": None, "low": None, "high": None}
    text = show(entry)
    assert "diverged" in text and "not known" in text


def test_no_record_no_section(loaded: Engine, tmp_path: Path, entry: dict[str, Any]) -> None:
    assert ladder_view.TITLE not in page_text(open_page("milestone", id="adam"))
