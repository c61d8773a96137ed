"""Paths in the lineage of a small timeline, and the sentences that describe them."""

import networkx as nx

from kb import graph_paths
from kb.schema import LINK_TYPES
from tests.kb.small_lineage import graph_of, ids, milestone


def test_paths_run_either_way_in_time(lineage: nx.MultiDiGraph) -> None:
    down = graph_paths.find_paths(lineage, "alexnet", "calculus")
    assert [ids([*path.steps]) for path in down] == [
        ["lenet", "backprop", "chain-rule", "calculus"],  # in smaller steps than the next one
        ["backprop", "chain-rule", "calculus"],
    ]
    up = graph_paths.find_paths(lineage, "calculus", "alexnet", limit=1)
    assert [ids([*path.steps]) for path in up] == [["chain-rule", "backprop", "lenet", "alexnet"]]
    assert all(path.directed for path in down + up)
    assert graph_paths.find_paths(lineage, "alexnet", "calculus", limit=0) == []


def test_each_link_is_told_from_its_later_to_its_earlier_end(lineage: nx.MultiDiGraph) -> None:
    [path] = graph_paths.find_paths(lineage, "rnn", "calculus")
    sentences = graph_paths.describe_path(path, lineage).splitlines()
    assert sentences[0] == "RNN (1990) builds on BACKPROP (1986): how rnn met backprop."
    [reverse] = graph_paths.find_paths(lineage, "calculus", "rnn")
    assert graph_paths.describe_path(reverse, lineage).splitlines() == sentences[::-1]


def test_without_descent_the_text_says_that_the_two_are_related(lineage: nx.MultiDiGraph) -> None:
    [path] = graph_paths.find_paths(lineage, "lenet", "rnn")
    assert not path.directed
    assert ids([*path.steps]) == ["backprop", "rnn"]
    first, *_, last = graph_paths.describe_path(path, lineage).splitlines()
    assert first == (
        "Neither of LENET (1989) and RNN (1990) led to the other; this is how they are related."
    )
    assert last == "RNN (1990) builds on BACKPROP (1986): how rnn met backprop."


def test_no_path_and_a_path_to_itself(lineage: nx.MultiDiGraph) -> None:
    assert graph_paths.find_paths(lineage, "abacus", "alexnet") == []
    [here] = graph_paths.find_paths(lineage, "lstm", "lstm")
    assert here.steps == ()
    assert "LSTM (1997)" in graph_paths.describe_path(here, lineage)


def test_a_shortcut_over_decades_is_no_short_way_and_others_differ_most() -> None:
    made = graph_of(
        [
            milestone("root", "1980"),
            milestone("one", "1986", builds_on="root"),
            milestone("two", "1992", builds_on="one"),
            milestone("other", "1990", builds_on="root"),
            milestone("end", "1998", builds_on=["two", "other", "one", "root"]),
        ]
    )
    ways = graph_paths.find_paths(made, "root", "end", limit=2)
    assert [ids([*way.steps]) for way in ways] == [["one", "two", "end"], ["other", "end"]]


def test_every_type_of_link_has_a_verb() -> None:
    assert graph_paths.LINK_VERBS.keys() == set(LINK_TYPES)
