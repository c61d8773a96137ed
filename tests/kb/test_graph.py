"""The lineage graph of a small timeline whose ancestors, pillars and influence are known."""

import subprocess
import sys
from typing import Any

import networkx as nx
import pytest
from sqlalchemy import Engine

from kb import graph, graph_paths, paths
from tests.kb.small_lineage import TIMELINE, graph_of, ids, milestone


def test_the_graph_has_every_milestone_and_what_caused_it(lineage: nx.MultiDiGraph) -> None:
    assert set(lineage) == {m.id for m in TIMELINE}
    assert lineage.nodes["lstm"] == {
        "short": "LSTM",
        "title": "The title of lstm",
        "date": "1997-11",
        "first": "1997-11-01",
        "track": "theory",
        "kind": "event",
    }
    assert lineage.edges["alexnet", "cuda", "enabled_by"] == {
        "type": "enabled_by",
        "how": "how alexnet met cuda",
    }
    causes = [link for m in TIMELINE for link in m.links if link.as_ in graph.CAUSES]
    assert lineage.number_of_edges() == len(causes)
    assert not lineage.has_edge("lstm", "backprop"), "a dispute is no cause"


def test_the_graph_of_all_links_has_the_others_too(small_engine: Engine) -> None:
    links = graph.load_links(small_engine)
    assert links.number_of_edges() == sum(len(m.links) for m in TIMELINE)
    assert links.has_edge("lstm", "backprop", "disputes")


def test_ancestors_are_nearest_first_and_the_latest_of_a_depth_first(
    lineage: nx.MultiDiGraph,
) -> None:
    steps = graph.ancestors(lineage, "alexnet")
    assert ids(steps) == ["cuda", "lenet", "backprop", "chain-rule", "calculus"]
    assert [step.depth for step in steps] == [1, 1, 1, 2, 3]
    assert steps[2] == graph.Step(
        "backprop", 1, "implements", "how alexnet met backprop", "alexnet"
    )
    assert ids(graph.ancestors(lineage, "alexnet", depth=2)) == [
        "cuda",
        "lenet",
        "backprop",
        "chain-rule",
    ]
    assert graph.ancestors(lineage, "alexnet", depth=0) == []


def test_descendants_are_nearest_first_and_the_earliest_of_a_depth_first(
    lineage: nx.MultiDiGraph,
) -> None:
    assert ids(graph.descendants(lineage, "chain-rule")) == [
        "backprop",
        "lenet",
        "rnn",
        "alexnet",
        "lstm",
    ]
    assert graph.descendants(lineage, "abacus") == []


def test_neighbours_are_the_direct_links(lineage: nx.MultiDiGraph) -> None:
    built_on, led_to = graph.neighbours(lineage, "rnn")
    assert built_on == [graph.Step("backprop", 1, "builds_on", "how rnn met backprop", "rnn")]
    assert led_to == [graph.Step("lstm", 1, "builds_on", "how lstm met rnn", "rnn")]


def test_two_links_between_a_pair_give_two_neighbours_and_one_ancestor() -> None:
    two = graph_of([milestone("a", "2000"), milestone("b", "2001", builds_on="a", supersedes="a")])
    assert {step.via for step in graph.neighbours(two, "b")[0]} == {"builds_on", "supersedes"}
    assert len(graph.ancestors(two, "b")) == 1


def test_of_two_links_the_walk_takes_the_one_with_a_sentence() -> None:
    later = milestone("b", "2001", builds_on="a", supersedes="a")
    without_how = later.links[0].model_copy(update={"how": None})
    later = later.model_copy(update={"links": [without_how, later.links[1]]})
    two = graph_of([milestone("a", "2000"), later])
    assert graph.ancestors(two, "b")[0].via == "supersedes"


def test_common_ancestors_are_nearest_first_and_never_the_two_themselves(
    lineage: nx.MultiDiGraph,
) -> None:
    assert graph.common_ancestors(lineage, "alexnet", "lstm") == [
        "backprop",
        "chain-rule",
        "calculus",
    ]
    assert graph.common_ancestors(lineage, "lenet", "backprop") == ["chain-rule", "calculus"]
    assert graph.common_ancestors(lineage, "abacus", "lstm") == []


def test_pillars(lineage: nx.MultiDiGraph) -> None:
    assert graph.pillars(lineage, "lstm") == ["rnn", "backprop", "chain-rule", "calculus"]
    assert graph.pillars(lineage, "alexnet") == []  # it could still come of cuda
    assert graph.pillars(lineage, "calculus") == []


def test_influence_orders_what_it_should(lineage: nx.MultiDiGraph) -> None:
    influence = graph.influence(lineage)
    assert influence.keys() == set(lineage)
    assert max(influence.values()) == 1.0
    assert influence["abacus"] == influence["lstm"] == influence["alexnet"] == 0.0
    assert influence["backprop"] > influence["rnn"] > influence["cuda"] > 0
    assert graph.influence(nx.MultiDiGraph()) == {}


@pytest.mark.parametrize(
    "function",
    [
        graph.ancestors,
        graph.descendants,
        graph.neighbours,
        graph.pillars,
        lambda g, id: graph_paths.find_paths(g, "lstm", id),
        lambda g, id: graph.common_ancestors(g, id, "lstm"),
    ],
)
def test_an_unknown_milestone_is_refused_with_a_suggestion(
    lineage: nx.MultiDiGraph, function: Any
) -> None:
    with pytest.raises(graph.UnknownMilestone, match=r'"alexnt"; did you mean "alexnet"\?'):
        function(lineage, "alexnt")


def test_importing_the_module_does_not_import_networkx() -> None:
    code = (
        "import sys, kb.graph, kb.graph_paths; "
        "raise SystemExit('networkx' in sys.modules or 'pydantic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, check=True)
