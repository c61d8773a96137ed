"""Lecture mode: a milestone slide by slide, a tour in large type, and the way out."""

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from tests.ui.pages import open_page, page_text


def press(app: AppTest, label: str) -> None:
    next(button for button in app.button if button.label == label).click().run()


def test_a_paper_in_slides(loaded: Engine) -> None:
    app = open_page("milestone", id="dropout")
    press(app, "Lecture")
    assert "Dropout: 1 of" in page_text(app) and "Switch off a random half" in page_text(app)
    seen = [page_text(app)]
    while any(button.label == "Next" for button in app.button):
        press(app, "Next")
        seen.append(page_text(app))
    assert any("makes fewer test errors" in text for text in seen)
    assert "What made Dropout possible" in seen[-1]
    assert len(set(seen)) == len(seen) >= 4
    press(app, "Leave")
    assert "Sources" in page_text(app) and "slide" not in app.query_params


@pytest.mark.parametrize("slide", ["0", "99", "x", "-1"])
def test_any_number_of_a_slide_is_answered(loaded: Engine, slide: str) -> None:
    app = open_page("milestone", id="cuda", lecture="1", slide=slide)
    assert "of 2" in page_text(app)


def test_a_tour_keeps_its_step(loaded: Engine) -> None:
    app = open_page("tour", id="essay", step="2")
    press(app, "Lecture")
    press(app, "Next")
    assert app.query_params["step"] == "3" and app.query_params["lecture"] == "1"
    press(app, "Leave")
    assert app.query_params["step"] == "3" and "lecture" not in app.query_params
