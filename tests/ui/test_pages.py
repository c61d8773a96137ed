"""Timeline, milestone, lineage and Explore in Streamlit's AppTest: filled, empty, unknown ids."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from kb import db, implementations, loader
from kb.runs import store
from tests.ui.pages import open_page, page_text


@pytest.mark.parametrize(
    "page",
    ["timeline", "search", "lineage", "claims", "runs", "compare", "milestone", "run", "sweep"],
)
def test_an_empty_database_is_no_error(page: str, engine: Engine) -> None:
    assert open_page(page).title


def test_home_names_what_is_there(loaded: Engine, timeline: loader.Timeline) -> None:
    assert f"{len(timeline.milestones)} milestones" in page_text(open_page("timeline"))
    selected = page_text(open_page("timeline", at="dropout"))
    assert "Dropout: A Simple Way" in selected.replace("\\", "")
    assert open_page("timeline", at="nothing").title


@pytest.mark.parametrize(
    "name",
    ["dropout", "tesla-v100", "pytorch", "imagenet", "deep-learning-book", "cs231n", "dartmouth"],
)
def test_a_milestone_of_each_kind(loaded: Engine, name: str) -> None:
    row = db.milestone(loaded, name)
    assert row
    text = page_text(open_page("milestone", id=name)).replace("\\", "")
    assert row.title in text
    assert row.entry["sources"][0]["url"] in text


def test_a_paper_has_its_claims_its_code_and_a_form_of_its_settings(loaded: Engine) -> None:
    app = open_page("milestone", id="dropout")
    text = page_text(app).replace("\\", "")
    assert "fewer test errors" in text
    assert "not measured" in text.lower()
    assert [button.proto.label for button in app.get("download_button")] == ["Jupyter notebook"]
    app.pills[0].select("the whole file").run()
    assert implementations.read("dropout").source.strip() in [code.value for code in app.code]
    fields = {field.label: field.value for field in app.text_input}
    quick = implementations.read("dropout").presets["quick"]
    assert next(box for box in app.selectbox if box.label == "device").value == "auto"
    assert {name: fields[name] for name in ("updates", "batch")} == {
        n: repr(quick[n]) for n in ("updates", "batch")
    }


def test_equations_that_stand_side_by_side_get_lines_of_their_own() -> None:
    from kb.equations import split_equations

    assert split_equations(r"a = b, \qquad c = \frac{d}{e}") == ["a = b", r"c = \frac{d}{e}"]
    cases = r"f = \begin{cases} a & b \qquad c \end{cases}"
    assert split_equations(cases) == [cases]


def test_the_picture_of_neighbours(loaded: Engine) -> None:
    from kb import graph
    from ui.neighbours import MAX_PER_SIDE, neighbours_data

    found = {row.id: row for row in db.milestones(loaded)}
    before, after = graph.neighbours(graph.load_lineage(loaded), "cuda")
    data = neighbours_data(found["cuda"], before, after, found)
    assert "geforce-8800" in [one["id"] for one in data["before"]]
    assert len(data["after"]) == MAX_PER_SIDE and data["hidden"]["after"] > 0
    dates = [found[one["id"]].first for one in data["after"]]
    assert dates == sorted(dates)
    assert data["description"].startswith("before CUDA: ")
    assert "GeForce 8800 GTX; after CUDA: " in data["description"]


def test_a_setting_that_does_not_fit_is_refused_in_the_form(loaded: Engine) -> None:
    app = open_page("milestone", id="dropout")
    next(field for field in app.text_input if field.label == "updates").set_value("many")
    next(button for button in app.button if button.label == "Run").click().run()
    assert "updates" in app.error[0].value
    assert store.latest(loaded) == []


def test_what_is_not_there_says_so(loaded: Engine) -> None:
    assert "No such milestone" in page_text(open_page("milestone", id="nothing"))
    assert "No such run" in page_text(open_page("run", id="nothing"))


def test_searching(loaded: Engine) -> None:
    app = open_page("search", q="gpu track:hardware")
    assert "<mark>" in page_text(app)
    assert "not valid" in page_text(open_page("search", q="trak:hardware"))
    app.text_input[0].set_value("zzzzqqqq").run()
    assert "Nothing on the timeline matches" in page_text(app)
    assert "zzzzqqqq" in app.query_params["q"]


def test_the_search_box_above_the_timeline(loaded: Engine) -> None:
    text = page_text(open_page("timeline", q="what made AlexNet possible?"))
    assert "You ask about **AlexNet**" in text
    assert "two of which trained AlexNet" in text, "the first results are listed"
    assert 'did you mean "track"' in page_text(open_page("timeline", q="trak:theory"))
    no_match = page_text(open_page("timeline", show="hardware,runs"))
    assert "Nothing on the timeline matches" in no_match and "Click a milestone" not in no_match
    assert "Click a milestone" in page_text(open_page("timeline", show="nonsense"))


def test_explore_draws_a_few_hits_and_more_on_request(
    loaded: Engine, timeline: loader.Timeline
) -> None:
    count = f"{len(timeline.milestones)} milestones"
    assert f"{count}, the first 20 shown" in page_text(open_page("search"))
    assert f"{count}, the first 50 shown" in page_text(open_page("search", all="1"))
    assert "shown" not in page_text(open_page("search", q="author:hinton"))


def test_sql_is_answered_and_refused(loaded: Engine) -> None:
    tab = {"in": "sql"}
    app = open_page("search", **tab, q="SELECT id, short FROM milestone WHERE id = 'lstm'")
    assert list(app.dataframe[0].value["short"]) == ["LSTM"]
    refused = page_text(open_page("search", **tab, q="DELETE FROM milestone"))
    assert "only reading is allowed" in refused


def test_imported_literature_is_searched_apart(loaded: Engine, tmp_path: Path) -> None:
    from kb.literature import importing

    assert "Nothing was imported yet" in page_text(open_page("search", **{"in": "literature"}))
    bib = tmp_path / "some.bib"
    bib.write_text("@misc{x, title={A paper about <b>teapots</b>}, year={1999}}")
    importing.import_file(bib)
    text = page_text(open_page("search", **{"in": "literature", "q": "teapot"}))
    assert "1 imported work." in text
    assert "&lt;b&gt;" in text
