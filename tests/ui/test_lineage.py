"""The lineage page: its picture, and the text of a path."""

import itertools

import networkx as nx
import pytest
from sqlalchemy import Engine

from kb import graph
from tests.ui.pages import open_page, page_text
from ui import lineage as drawing
from ui import lineage_query


@pytest.fixture
def whole(loaded: Engine) -> nx.MultiDiGraph:
    return graph.load_lineage(loaded)


@pytest.mark.parametrize("centre", ["dropout", "resnet", "backprop", "imagenet"])
def test_nothing_drawn_overlaps_and_earlier_is_left_of_later(
    whole: nx.MultiDiGraph, centre: str
) -> None:
    near = {
        centre,
        *(s.id for s in graph.ancestors(whole, centre, 2)),
        *(s.id for s in graph.descendants(whole, centre, 2)),
    }
    placed = drawing.layout(whole, near)
    assert {node.id for node in placed.nodes} == near
    for one, other in itertools.combinations(placed.nodes, 2):
        apart = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert apart or one.y != other.y, (one, other)
    by_id = {node.id: node for node in placed.nodes}
    for later, earlier in whole.subgraph(near).edges():
        if whole.nodes[earlier]["first"] < whole.nodes[later]["first"]:
            assert by_id[earlier].x <= by_id[later].x


def test_a_path_is_told_step_by_step(loaded: Engine) -> None:
    text = page_text(open_page("lineage", id="backprop", to="dropout"))
    assert "From Back" in text
    assert "The path with the shortest steps in time" in text
    assert "<li>Dropout (2012) builds on" in text


def test_what_would_be_lost_without_a_milestone_is_named(loaded: Engine) -> None:
    app = open_page("lineage", id="zip-codes", show="after")
    text = page_text(app)
    assert "would have lost" in text
    assert any("Efficient BackProp" in link.label for link in app.get("page_link"))


def test_a_milestone_is_taken_out_of_the_picture(loaded: Engine) -> None:
    app = open_page("lineage", id="zip-codes", show="after")
    (toggle,) = app.toggle
    assert "Without Zip code reader" in toggle.label
    toggle.set_value(True).run()
    assert "every line to what came before" in page_text(app)
    assert app.query_params["out"] == "zip-codes"
    app.toggle[0].set_value(False).run()
    assert "out" not in app.query_params


def test_what_is_lost_with_a_milestone(whole: nx.MultiDiGraph) -> None:
    query = lineage_query.read_query("lstm", {"out": "lstm"}, whole)
    losses = lineage_query.losses_without(query, whole)
    assert losses["lstm"] == "out"
    for id, loss in losses.items():
        lost = [losses.get(earlier) in ("out", "all") for earlier in whole.succ[id]]
        assert loss == "out" or any(lost)
        assert loss != "all" or all(lost)
    assert "all" in losses.values() and "some" in losses.values()


@pytest.mark.parametrize(
    "query",
    [
        {"id": "nothing"},
        {
            "id": "dropout",
            "to": "nothing",
            "show": "<script>",
            "depth": "-1",
            "open": "a,b,dropout",
            "at": "'",
        },
        {"id": "dropout", "to": "dropout"},
        {"id": "fastai", "depth": "all"},
    ],
)
def test_any_address_is_answered(loaded: Engine, query: dict[str, str]) -> None:
    assert open_page("lineage", **query).title
