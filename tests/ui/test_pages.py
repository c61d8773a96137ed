"""Every page drawn by Streamlit's AppTest: whole, empty, and asked for what isn't there."""

import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session
from streamlit.testing.v1 import AppTest

from kb import db, implementations, loader
from kb.runs import store
from kb.tables import Run, RunRow, RunVerdict

SECONDS = 60


def draw(page: str) -> None:
    """One page inside the frame's navigation, as the address would open it."""
    import importlib

    import streamlit as st

    from ui import frame

    st.navigation(list(frame.pages().values()), position="hidden")
    importlib.import_module(f"ui.pages.{page}").show()


def opened(page: str, **query: str) -> AppTest:
    import streamlit as st

    st.cache_resource.clear()
    app = AppTest.from_function(draw, args=(page,), default_timeout=SECONDS)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    """All the text of a page."""
    parts: list[Any] = [
        *app.title,
        *app.header,
        *app.subheader,
        *app.markdown,
        *app.caption,
        *app.error,
        *app.info,
        *app.code,
    ]
    html = [str(element.proto.body) for element in app.main if element.type == "html"]
    return "\n".join([str(part.value) for part in parts] + html)


@pytest.fixture
def a_run(loaded: Engine) -> str:
    """A run that has ended, without the time it takes."""
    with Session(loaded) as session:
        session.add(
            Run(
                id="dropout-1",
                implementation="dropout",
                preset="quick",
                device="cpu",
                status="failed",
                submitted=time.time(),
                started=time.time() - 9,
                finished=time.time(),
                reason="ValueError: <b>no</b>",
                traceback="Traceback: boom",
                source_hash="0",
                settings={"seed": 0},
            )
        )
        for step in range(3):
            values = {"net": "dropout", "seed": 0, "step": step, "loss": 1.0 / (step + 1)}
            session.add(RunRow(run="dropout-1", number=step, at=time.time(), values=values))
        session.add(
            RunVerdict(
                run="dropout-1",
                claim="lower-test-error",
                number=0,
                verdict="inconclusive",
                measured=1.0,
                baseline=2.0,
                unit="%",
                effect=1.0,
                low=-1.0,
                high=3.0,
                n=5,
                rule="by a rule",
            )
        )
        session.commit()
    return "dropout-1"


@pytest.mark.parametrize("page", ["timeline", "search", "lineage", "claims", "runs", "compare", "milestone", "run"])
def test_an_empty_database_is_no_error(page: str, engine: Engine) -> None:
    assert opened(page).title


def test_home_names_what_is_there(loaded: Engine, timeline: loader.Timeline) -> None:
    assert f"{len(timeline.milestones)} milestones" in words(opened("timeline"))
    assert "Dropout: A Simple Way" in words(opened("timeline", at="dropout")).replace("\\", "")
    assert opened("timeline", at="nothing").title


@pytest.mark.parametrize(
    "name", ["dropout", "tesla-v100", "pytorch", "imagenet", "deep-learning-book", "cs231n", "dartmouth"]
)
def test_a_milestone_of_each_kind(loaded: Engine, name: str) -> None:
    row = db.milestone(loaded, name)
    assert row
    text = words(opened("milestone", id=name)).replace("\\", "")
    assert row.title in text
    assert row.entry["sources"][0]["url"] in text


def test_a_paper_has_its_claims_its_code_and_a_form_of_its_settings(loaded: Engine) -> None:
    app = opened("milestone", id="dropout")
    text = words(app).replace("\\", "")
    assert "fewer test errors" in text and "not measured" in text.lower()
    assert "class Dropout(nn.Module)" in text, "beside its equation"
    assert [element.value for element in app.latex][-1] == "$$\nW_{\\text{test}} = p\\, W\n$$"
    app.pills[0].select("the whole file").run()
    assert "def scaling_gap" in words(app)
    fields = {field.label: field.value for field in app.text_input}
    quick = implementations.read("dropout").presets["quick"]
    assert next(box for box in app.selectbox if box.label == "device").value == "auto"
    assert {name: fields[name] for name in ("updates", "p_hidden")} == {
        n: repr(quick[n]) for n in ("updates", "p_hidden")
    }


def test_equations_that_stand_side_by_side_get_lines_of_their_own() -> None:
    from ui.pages.milestone import parts

    assert parts(r"a = b, \qquad c = \frac{d}{e}") == ["a = b", r"c = \frac{d}{e}"]
    cases = r"f = \begin{cases} a & b \qquad c \end{cases}"
    assert parts(cases) == [cases]


def test_the_nearest_kin(loaded: Engine) -> None:
    from kb import graph
    from ui.kin import MOST, kinship

    found = {row.id: row for row in db.milestones(loaded)}
    before, after = graph.neighbours(graph.lineage(loaded), "cuda")
    kin = kinship(found["cuda"], before, after, found)
    assert [one["id"] for one in kin["before"]] == ["geforce-8800"]
    assert len(kin["after"]) == MOST and kin["more"]["after"] > 0
    dates = [found[one["id"]].first for one in kin["after"]]
    assert dates == sorted(dates)
    assert kin["said"].startswith("CUDA stands on GeForce 8800 GTX; of CUDA came ")


def test_a_setting_that_does_not_fit_is_refused_in_the_form(loaded: Engine) -> None:
    app = opened("milestone", id="dropout")
    next(field for field in app.text_input if field.label == "updates").set_value("many")
    app.button[0].click().run()
    assert "updates" in app.error[0].value
    assert store.latest(loaded) == []


def test_a_run_that_failed_shows_why(a_run: str) -> None:
    app = opened("run", id=a_run)
    text = words(app)
    assert "Traceback: boom" in text
    assert "inconclusive" in text and "by a rule" in text
    assert "<b>" not in app.error[0].value.replace("\\<b\\>", "")
    assert [link.label for link in opened("runs").get("page_link")]


def test_a_run_that_stands_still_says_so_and_can_go_on(a_run: str, loaded: Engine) -> None:
    with Session(loaded) as session:
        run = session.get(Run, a_run)
        assert run
        run.status, run.finished, run.reason = "paused", None, None
        session.add(run)
        session.commit()
    app = opened("run", id=a_run)
    assert "stands still" in words(app)
    assert [button.label for button in app.button][:2] == ["Stop", "Go on"]


def test_other_settings_begin_with_those_of_a_run(a_run: str, loaded: Engine) -> None:
    with Session(loaded) as session:
        run = session.get(Run, a_run)
        assert run
        run.changes = {"updates": 7}
        session.add(run)
        session.commit()
    app = opened("milestone", id="dropout", like=a_run)
    assert next(field.value for field in app.text_input if field.label == "updates") == "7"
    assert a_run in words(app).replace("\\", "")


def test_what_a_run_found_can_be_quoted(a_run: str, loaded: Engine) -> None:
    with Session(loaded) as session:
        run = session.get(Run, a_run)
        assert run
        run.status, run.environment = "succeeded", {"device": "cpu", "device_name": "a processor", "torch": "2"}
        session.add(run)
        session.commit()
    quoted = next(code.value for code in opened("run", id=a_run).code if "lower-test-error" in code.value)
    assert "a processor" in quoted and "inconclusive; 1 against 2 %" in quoted


def test_what_is_not_there_says_so(loaded: Engine) -> None:
    assert "No such milestone" in words(opened("milestone", id="nothing"))
    assert "No such run" in words(opened("run", id="nothing"))


def test_searching(loaded: Engine) -> None:
    app = opened("search", q="gpu track:hardware")
    assert "<mark>" in words(app)
    assert "can't be read" in words(opened("search", q="trak:hardware"))
    app.text_input[0].set_value("zzzzqqqq").run()
    assert "Nothing on the timeline matches" in words(app)
    assert "zzzzqqqq" in app.query_params["q"]


def test_the_search_box_above_the_timeline(loaded: Engine) -> None:
    asked = opened("timeline", q="what made AlexNet possible?")
    assert "shown is AlexNet" in words(asked)
    assert "two of which trained AlexNet" in words(asked), "the first hits are told beneath"
    assert 'did you mean "track"' in words(opened("timeline", q="trak:theory"))
    assert "Nothing on the timeline matches" in words(opened("timeline", show="hardware,runs"))
    assert "Click a milestone" in words(opened("timeline", show="nonsense"))


def test_claims_count_what_was_measured(a_run: str, loaded: Engine) -> None:
    assert "from runs on this machine: 0," in words(opened("claims")), "a failed run proves nothing"
    with Session(loaded) as session:
        run = session.get(Run, a_run)
        assert run
        run.status, run.environment = "succeeded", {"device": "cuda:0", "device_name": "A <b>card</b>"}
        session.add(run)
        session.commit()
    app = opened("claims")
    assert "from runs on this machine: 1," in words(app)
    only = words(opened("claims", verdict="inconclusive", paper="dropout"))
    assert "~ inconclusive" in only and "✓" not in only
    there = opened("claims", device="cuda:0 (A <b>card</b>)")
    assert there.selectbox[1].label == "Device"
    assert [html for html in words(there).split("\n") if "kb-standing" in html] == [
        html
        for html in words(opened("claims", paper="dropout")).split("\n")
        if "~ inconclusive" in html and "here" in html
    ]


def test_published_against_measured_is_one_picture(a_run: str, loaded: Engine) -> None:
    picture = next(html for html in words(opened("claims")).split("\n") if "kb-against" in html)
    assert "Dropout: lower test error" in picture and "0.84 → 0.92" in picture, "1.35 of 1.60, and what the record has"
    assert "Back-propagation" not in picture, "an identity has no baseline"
    assert "kb-against" not in words(opened("claims", paper="backprop"))


def test_runs_side_by_side(a_run: str, loaded: Engine) -> None:
    assert "Choose two runs" in words(opened("compare", runs=a_run))
    assert "No run here is called nothing" in opened("compare", runs=f"{a_run},nothing").warning[0].value
    with Session(loaded) as session:
        session.add(Run(id="dropout-2", implementation="dropout", preset="full", device="cpu", status="succeeded",
                        submitted=time.time(), source_hash="0", settings={"seed": 7}))  # fmt: skip
        session.commit()
    app = opened("compare", runs=f"{a_run},dropout-2")
    differing, *_ = app.dataframe
    assert set(differing.value["setting"]) == {"preset", "seed"}
    assert list(differing.value["dropout-2"]) == ["full", "7"]


def test_explore_draws_a_few_hits_and_more_when_asked(loaded: Engine) -> None:
    assert "106 milestones, the first 20 shown" in words(opened("search"))
    assert "106 milestones, the first 50 shown" in words(opened("search", all="1"))
    assert "shown" not in words(opened("search", q="author:hinton"))


def test_sql_is_answered_and_refused(loaded: Engine) -> None:
    app = opened("search", **{"in": "sql", "q": "SELECT id, short FROM milestone WHERE id = 'lstm'"})
    assert list(app.dataframe[0].value["short"]) == ["LSTM"]
    assert "only reading is allowed" in words(opened("search", **{"in": "sql", "q": "DELETE FROM milestone"}))


def test_imported_literature_is_searched_apart(loaded: Engine, tmp_path: Path) -> None:
    from kb.outside import library

    assert "Nothing was imported yet" in words(opened("search", **{"in": "literature"}))
    bib = tmp_path / "some.bib"
    bib.write_text("@misc{x, title={A paper about <b>teapots</b>}, year={1999}}")
    library.bring(bib)
    text = words(opened("search", **{"in": "literature", "q": "teapot"}))
    assert "1 imported works, not curated" in text and "&lt;b&gt;" in text


def test_served_for_reading_only_nothing_can_be_launched(
    a_run: str, loaded: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(button.label == "Run" for button in opened("milestone", id="dropout").button)
    monkeypatch.setenv("KB_READ_ONLY", "1")
    app = opened("milestone", id="dropout")
    assert not app.button and "Served for reading only" in words(app)
    assert not opened("run", id=a_run).button
    assert not opened("claims").button


def test_where_sign_in_is_set_up_only_who_has_signed_in_may_run(a_run: str, loaded: Engine) -> None:
    for page, query in (("milestone", {"id": "dropout"}), ("run", {"id": a_run})):
        app = AppTest.from_function(draw, args=(page,), default_timeout=SECONDS)
        app.secrets["auth"] = {"redirect_uri": "http://localhost:8501/oauth2callback", "cookie_secret": "hush"}
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception
        assert [button.label for button in app.button] in (["Sign in to run it"], []), "nothing runs"
        assert page == "run" or app.button, "and there is a way in"
