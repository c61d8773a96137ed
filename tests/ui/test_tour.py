"""Tours in the app: a step, a guess, the sum at the end."""

from sqlalchemy import Engine

from tests.ui.pages import open_page, page_text


def test_the_list_and_an_unknown_tour(loaded: Engine) -> None:
    text = page_text(open_page("tour"))
    assert "Ten ideas, and what carried them" in text and "How a verdict fails" in text
    assert "no tour with the id" in open_page("tour", id="<b>").warning[0].value


def test_a_guess_comes_before_the_verdict_and_is_summed_up(loaded: Engine) -> None:
    app = open_page("tour", id="verdicts")
    assert "1 of 6" in page_text(app)
    assert "appears here after your guess" in page_text(app)
    app.radio[0].set_value("no, or nobody can tell").run()
    assert "Measured: **" in page_text(app)
    assert "A net trained with dropout makes fewer test errors" in page_text(app)
    app.query_params["step"] = "7"
    app.run()
    text = page_text(app)
    assert "What you guessed" in text and "0 of 1 came out as you guessed" in text


def test_steps_go_forward_and_back(loaded: Engine) -> None:
    app = open_page("tour", id="why-2012")
    [forward] = [button for button in app.button if button.label == "Next"]
    forward.click().run()
    assert app.query_params["step"] == "2"
    assert "2006, a card for players" in page_text(app)
    [back] = [button for button in app.button if button.label == "Back"]
    back.click().run()
    assert "1989, it already worked" in page_text(app)


def test_a_step_that_is_no_number_is_the_first(loaded: Engine) -> None:
    for step in ("x", "-3", "²", "99999999999"):
        assert "1 of 6" in page_text(open_page("tour", id="why-2012", step=step))
    assert "This tour asked nothing" not in page_text(open_page("tour", id="why-2012", step="99"))
