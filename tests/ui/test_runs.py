"""The pages of runs, claims and comparisons in Streamlit's AppTest, and who may start a run."""

import time
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from kb.tables import Artifact, Run
from tests.ui.pages import SECONDS, draw, open_page, page_text
from ui import queue_watch


def change_run(engine: Engine, run_id: str, **fields: Any) -> None:
    """Sets fields of a run in the database."""
    with Session(engine) as session:
        run = session.get(Run, run_id)
        assert run
        for name, value in fields.items():
            setattr(run, name, value)
        session.add(run)
        session.commit()


def html_with(css_class: str, app: AppTest) -> list[str]:
    """The pieces of HTML on the page that have an element of this class."""
    return [html for html in page_text(app).split("\n") if css_class in html]


def test_the_list_says_that_a_supervisor_was_missing(a_run: str) -> None:
    assert "supervisor" not in page_text(open_page("runs"))
    queue_watch.remember(2)
    try:
        text = page_text(open_page("runs"))
    finally:
        queue_watch.restarts.clear()
    assert "2 runs had no supervisor any more; a new one was started, just now" in text


def test_a_run_that_went_on_says_so(loaded: Engine, a_run: str) -> None:
    change_run(loaded, a_run, attempts=2)
    assert "started 2 times: its supervisor had ended" in page_text(
        open_page("run", id=a_run)
    ).replace("\\", "")
    change_run(loaded, a_run, cluster="auto")
    assert "started 2 times: nodes were lost" in page_text(open_page("run", id=a_run)).replace(
        "\\", ""
    )


def test_pictures_of_a_series_are_gone_through_and_played(loaded: Engine, a_run: str) -> None:
    with Session(loaded) as session:
        for number, step in enumerate((10, 20, 30)):
            file = f"samples-{step}.png"
            fields = {"caption": f"after {step}", "file": file, "sha256": "0", "size": 1}
            picture = Artifact(run=a_run, number=number, name="samples", step=step, **fields)
            session.add(picture)
        session.commit()
    app = open_page("run", id=a_run)
    (slider,) = app.select_slider
    assert slider.value == 2 and "samples-30.png is no longer" in page_text(app).replace("\\", "")
    slider.set_value(0).run()
    assert "samples-10.png" in page_text(app).replace("\\", "")
    app.toggle(key="play-samples").set_value(True).run()
    assert app.select_slider[0].value == 1
    app.run()
    app.run()
    assert app.select_slider[0].value == 0, "it begins again"


def test_a_run_that_failed_shows_why(a_run: str) -> None:
    app = open_page("run", id=a_run)
    text = page_text(app)
    assert "Traceback: boom" in text
    assert "inconclusive" in text
    assert "by a rule" in text
    assert "<b>" not in app.error[0].value.replace("\\<b\\>", "")
    assert [link.label for link in open_page("runs").get("page_link")]


def test_a_paused_run_says_so_and_can_be_resumed(a_run: str, loaded: Engine) -> None:
    change_run(loaded, a_run, status="paused", finished=None, reason=None)
    app = open_page("run", id=a_run)
    assert "waiting to be resumed" in page_text(app)
    assert [button.label for button in app.button][:2] == ["Stop", "Resume"]


def test_a_queued_run_says_what_it_waits_for(a_run: str, loaded: Engine) -> None:
    change_run(loaded, a_run, status="running", finished=None, reason=None, place="cpu")
    with Session(loaded) as session:
        fields = {"implementation": "dropout", "preset": "quick", "device": "cpu"}
        fields |= {"id": "dropout-2", "status": "queued", "source_hash": "0"}
        session.add(Run(submitted=time.time(), **fields))
        session.commit()
    text = page_text(open_page("run", id="dropout-2")).replace("\\", "")
    assert f"waits for its turn, after {a_run}" in text
    assert "on cpu" not in page_text(open_page("runs")).split("quick, just now")[0]


def test_other_settings_begin_with_those_of_a_run(a_run: str, loaded: Engine) -> None:
    change_run(loaded, a_run, changes={"updates": 7})
    app = open_page("milestone", id="dropout", like=a_run)
    assert next(field.value for field in app.text_input if field.label == "updates") == "7"
    assert a_run in page_text(app).replace("\\", "")


def test_the_verdicts_of_a_run_have_a_summary_to_copy(a_run: str, loaded: Engine) -> None:
    environment = {"device": "cpu", "device_name": "a processor", "torch": "2"}
    change_run(loaded, a_run, status="succeeded", environment=environment)
    codes = [code.value for code in open_page("run", id=a_run).code]
    summary = next(code for code in codes if "lower-test-error" in code)
    assert "a processor" in summary
    assert "inconclusive; 1 against 2 %" in summary


def test_claims_count_what_was_measured(a_run: str, loaded: Engine) -> None:
    text = page_text(open_page("claims"))
    assert "from runs on this machine: 0," in text, "a failed run does not count"
    environment = {"device": "cuda:0", "device_name": "A <b>card</b>"}
    change_run(loaded, a_run, status="succeeded", environment=environment)
    app = open_page("claims")
    assert "from runs on this machine: 1," in page_text(app)
    inconclusive = page_text(open_page("claims", verdict="inconclusive", paper="dropout"))
    assert "~ inconclusive" in inconclusive
    assert "✓" not in inconclusive
    app = open_page("claims", device="cuda:0 (A <b>card</b>)", paper="dropout")
    assert app.selectbox[1].label == "Device"
    cards = html_with("kb-claim", app)
    assert len(cards) == 1
    assert "~ inconclusive" in cards[0]
    assert "this machine" in cards[0]


def test_published_against_measured_is_one_chart(a_run: str, loaded: Engine) -> None:
    (chart,) = html_with("kb-ratios", open_page("claims"))
    assert "<b>Dropout</b> " in chart and "fewer test errors" in chart
    assert "1.19 → 1." in chart, "from 1.60 to 1.35 is better, then the ratio in the record"
    assert "Back-propagation" not in chart, "an identity has no rival"
    assert not html_with("kb-ratios", open_page("claims", paper="backprop"))


def test_runs_side_by_side(a_run: str, loaded: Engine) -> None:
    assert "Choose two or more runs" in page_text(open_page("compare", runs=a_run))
    app = open_page("compare", runs=f"{a_run},nothing")
    assert "Not among the newest 200 runs" in app.warning[0].value
    with Session(loaded) as session:
        session.add(
            Run(
                id="dropout-2",
                implementation="dropout",
                preset="full",
                device="cpu",
                status="succeeded",
                submitted=time.time(),
                source_hash="0",
                settings={"seed": 7},
            )
        )
        session.commit()
    app = open_page("compare", runs=f"{a_run},dropout-2")
    differing, *_ = app.table
    assert set(differing.value["setting"]) == {"preset", "seed"}
    assert list(differing.value["dropout-2"]) == ["full", "7"]


def launching(app: AppTest) -> list[str]:
    """The labels of the buttons that do more than change the view."""
    return [button.label for button in app.button if button.label != "Lecture"]


def test_served_for_reading_only_nothing_can_be_launched(
    a_run: str, loaded: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(button.label == "Run" for button in open_page("milestone", id="dropout").button)
    monkeypatch.setenv("KB_READ_ONLY", "1")
    app = open_page("milestone", id="dropout")
    assert launching(app) == [] and "This server is read-only" in page_text(app)
    assert not open_page("run", id=a_run).button
    assert not open_page("claims").button


def test_where_sign_in_is_set_up_only_who_has_signed_in_may_run(a_run: str, loaded: Engine) -> None:
    for page, query in (("milestone", {"id": "dropout"}), ("run", {"id": a_run})):
        app = AppTest.from_function(draw, args=(page,), default_timeout=SECONDS)
        app.secrets["auth"] = {
            "redirect_uri": "http://localhost:8501/oauth2callback",
            "cookie_secret": "hush",
        }
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception
        assert launching(app) == (["Sign in to run it"] if page == "milestone" else [])
