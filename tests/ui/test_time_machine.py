"""The page of the time machine, and its section on the page of a run, in Streamlit's AppTest."""

from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from kb.tables import Run
from tests.kb.test_time_machine import add_run
from tests.ui.pages import open_page, page_text


def field(elements: Any, label: str) -> Any:
    return next(each for each in elements if each.label == label)


def text_of(app: Any) -> str:
    return page_text(app).replace("\\", "")


def test_a_number_on_every_machine_with_its_sum(loaded: Engine) -> None:
    app = open_page("time_machine", of="3.2e12")
    field(app.number_input, "Utilisation, % of the peak").set_value(10.0).run()
    assert "Possible in an hour since 1987, by one Connection Machine 2 in 19 min." in text_of(app)
    assert "As it was chosen" in text_of(app)
    sums = app.table[0].value["sum"].str.replace("\\", "", regex=False)
    assert "3.2e12 FLOPs / (1.6e8 FLOP/s × 10 %) = 2.31 days" in list(sums)
    field(app.text_input, "Floating-point operations").set_value("<b>1</b>").run()
    assert "no number of operations" in app.error[0].value and "<b>" not in app.error[0].value


def test_another_kind_begins_with_an_example_and_is_in_the_address(loaded: Engine) -> None:
    app = open_page("time_machine", of="dropout")
    assert "Counted on 2 of 60 trials" in text_of(app)
    app.segmented_control[0].set_value("A model").run()
    assert app.query_params["of"] in ("gpt-3", ["gpt-3"])  # by the version of Streamlit
    assert "Training GPT-3" in text_of(app) and "side by side" in text_of(app)


@pytest.mark.parametrize("of", ["no-such-thing", "1e99", ""])
def test_an_experiment_that_there_is_not_is_an_error_with_a_remedy(of: str, loaded: Engine) -> None:
    app = open_page("time_machine", of=of)
    assert not app.exception
    assert bool(app.error) is bool(of), "without one in the address, the first paper"


def test_the_page_of_a_run_has_its_section(loaded: Engine) -> None:
    run_id = add_run(loaded)
    text = text_of(open_page("run", id=run_id))
    assert "The time machine" in text and "Possible in an hour since" in text
    app = open_page("time_machine", of=run_id)
    assert "= 40 %" in text_of(app), "its own utilisation"
    with Session(loaded) as session:
        run = session.get_one(Run, run_id)
        run.usage = {"wall_seconds": 1.0}
        session.add(run)
        session.commit()
    assert "weren't counted" in text_of(open_page("run", id=run_id))
