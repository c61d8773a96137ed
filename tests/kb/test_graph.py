"""The lineage: laws that hold for any timeline, and a small one whose answers are known by heart."""

import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb import db, graph
from kb.schema import LINK_TYPES, Event, Link, Source

SOURCES = [Source(url="https://example.org", read="2026-11-23")]


def milestone(id: str, date: str, **links: str | list[str]) -> Event:
    """An event whose links are given by type: `builds_on="a"`, or a list; `how` is made of the ids."""
    several = [(kind, to) for kind, ends in links.items() for to in ([ends] if isinstance(ends, str) else ends)]
    return Event(
        id=id,
        track="theory",
        kind="event",
        title=f"The title of {id}",
        short=id.upper(),
        date=date,
        idea="An idea.",
        story="A story.",
        links=[Link.model_validate({"to": to, "as": kind, "how": f"how {id} met {to}"}) for kind, to in several],
        sources=SOURCES,
    )


#     calculus <- chain-rule <- backprop <- lenet <- alexnet -> cuda      abacus (alone)
#                                  ^--- rnn <- lstm
TIMELINE = [
    milestone("calculus", "1684"),
    milestone("chain-rule", "1696", builds_on="calculus"),
    milestone("backprop", "1986-10-09", builds_on="chain-rule"),
    milestone("lenet", "1989", builds_on="backprop"),
    milestone("rnn", "1990", builds_on="backprop"),
    milestone("lstm", "1997-11", builds_on="rnn", disputes="backprop"),
    milestone("cuda", "2006-11"),
    milestone("alexnet", "2012", builds_on="lenet", implements="backprop", enabled_by="cuda"),
    milestone("abacus", "1700"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> nx.MultiDiGraph:
    engine = db.open_database(tmp_path_factory.mktemp("graph") / "kb.sqlite3")
    db.load(engine, TIMELINE)
    return graph.lineage(engine)


def ids(steps: list[graph.Step]) -> list[str]:
    return [step.id for step in steps]


def test_the_graph_has_every_milestone_and_link(whole: nx.MultiDiGraph) -> None:
    assert set(whole) == {m.id for m in TIMELINE}
    assert whole.nodes["lstm"] == {
        "short": "LSTM",
        "title": "The title of lstm",
        "date": "1997-11",
        "first": "1997-11-01",
        "track": "theory",
        "kind": "event",
    }
    assert whole.edges["alexnet", "cuda", "enabled_by"] == {"type": "enabled_by", "how": "how alexnet met cuda"}
    assert whole.number_of_edges() == sum(len(m.links) for m in TIMELINE)


def test_ancestors_are_nearest_first_and_the_latest_of_a_depth_first(whole: nx.MultiDiGraph) -> None:
    steps = graph.ancestors(whole, "alexnet")
    assert ids(steps) == ["cuda", "lenet", "backprop", "chain-rule", "calculus"]
    assert [step.depth for step in steps] == [1, 1, 1, 2, 3]
    assert steps[2] == graph.Step("backprop", 1, "implements", "how alexnet met backprop", "alexnet")
    assert ids(graph.ancestors(whole, "alexnet", depth=2)) == ["cuda", "lenet", "backprop", "chain-rule"]
    assert graph.ancestors(whole, "alexnet", depth=0) == []


def test_descendants_are_nearest_first_and_the_earliest_of_a_depth_first(whole: nx.MultiDiGraph) -> None:
    assert ids(graph.descendants(whole, "chain-rule")) == ["backprop", "lenet", "rnn", "lstm", "alexnet"]
    assert graph.descendants(whole, "abacus") == []


def test_neighbours_are_the_direct_links(whole: nx.MultiDiGraph) -> None:
    built_on, led_to = graph.neighbours(whole, "rnn")
    assert built_on == [graph.Step("backprop", 1, "builds_on", "how rnn met backprop", "rnn")]
    assert led_to == [graph.Step("lstm", 1, "builds_on", "how lstm met rnn", "rnn")]


def test_neighbours_tell_each_of_two_links_between_a_pair() -> None:
    two = of([milestone("a", "2000"), milestone("b", "2001", builds_on="a", supersedes="a")])
    assert {step.via for step in graph.neighbours(two, "b")[0]} == {"builds_on", "supersedes"}
    assert len(graph.ancestors(two, "b")) == 1


def test_of_two_links_the_one_that_says_how_is_told() -> None:
    silent = milestone("b", "2001", builds_on="a", supersedes="a")
    silent = silent.model_copy(update={"links": [silent.links[0].model_copy(update={"how": None}), silent.links[1]]})
    two = of([milestone("a", "2000"), silent])
    assert graph.ancestors(two, "b")[0].via == "supersedes"


def test_paths_run_either_way_in_time(whole: nx.MultiDiGraph) -> None:
    down = graph.paths(whole, "alexnet", "calculus")
    assert [ids([*path.steps]) for path in down] == [
        ["backprop", "chain-rule", "calculus"],
        ["lenet", "backprop", "chain-rule", "calculus"],
    ]
    up = graph.paths(whole, "calculus", "alexnet", limit=1)
    assert [ids([*path.steps]) for path in up] == [["chain-rule", "backprop", "alexnet"]]
    assert all(path.directed for path in down + up)
    assert graph.paths(whole, "alexnet", "calculus", limit=0) == []


def test_a_path_is_told_from_later_to_earlier(whole: nx.MultiDiGraph) -> None:
    [path] = graph.paths(whole, "rnn", "calculus")
    told = graph.tell(path, whole).splitlines()
    assert told[0] == "RNN (1990) builds on BACKPROP (1986): how rnn met backprop."
    [turned] = graph.paths(whole, "calculus", "rnn")
    assert graph.tell(turned, whole).splitlines() == told[::-1]


def test_relatives_without_descent_are_told_as_such(whole: nx.MultiDiGraph) -> None:
    [path] = graph.paths(whole, "lenet", "rnn")
    assert not path.directed
    assert ids([*path.steps]) == ["backprop", "rnn"]
    first, *_, last = graph.tell(path, whole).splitlines()
    assert first == "Neither of LENET (1989) and RNN (1990) led to the other; this is how they are related."
    assert last == "RNN (1990) builds on BACKPROP (1986): how rnn met backprop."


def test_no_path_and_no_way_to_go(whole: nx.MultiDiGraph) -> None:
    assert graph.paths(whole, "abacus", "alexnet") == []
    [here] = graph.paths(whole, "lstm", "lstm")
    assert here.steps == ()
    assert "LSTM (1997)" in graph.tell(here, whole)


def test_every_type_of_link_can_be_told() -> None:
    assert graph.VERBS.keys() == set(LINK_TYPES)


def test_common_ancestors_are_nearest_first_and_never_the_two_themselves(whole: nx.MultiDiGraph) -> None:
    assert graph.common_ancestors(whole, "alexnet", "lstm") == ["backprop", "chain-rule", "calculus"]
    assert graph.common_ancestors(whole, "lenet", "backprop") == ["chain-rule", "calculus"]
    assert graph.common_ancestors(whole, "abacus", "lstm") == []


def test_pillars(whole: nx.MultiDiGraph) -> None:
    assert graph.pillars(whole, "lstm") == ["backprop", "chain-rule", "calculus"]
    assert graph.pillars(whole, "alexnet") == []  # it could still come of cuda
    assert graph.pillars(whole, "calculus") == []


def test_influence_orders_what_it_should(whole: nx.MultiDiGraph) -> None:
    influence = graph.influence(whole)
    assert influence.keys() == set(whole)
    assert max(influence.values()) == 1.0
    assert influence["abacus"] == influence["lstm"] == influence["alexnet"] == 0.0
    assert influence["backprop"] > influence["rnn"] > influence["cuda"] > 0
    assert graph.influence(nx.MultiDiGraph()) == {}


@pytest.mark.parametrize(
    "ask",
    [
        graph.ancestors,
        graph.descendants,
        graph.neighbours,
        graph.pillars,
        lambda g, id: graph.paths(g, "lstm", id),
        lambda g, id: graph.common_ancestors(g, id, "lstm"),
    ],
)
def test_an_unknown_milestone_is_refused_with_a_suggestion(whole: nx.MultiDiGraph, ask: Any) -> None:
    with pytest.raises(graph.UnknownMilestone, match=r'"alexnt"; did you mean "alexnet"\?'):
        ask(whole, "alexnt")


def test_importing_the_module_does_not_import_networkx() -> None:
    code = "import sys, kb.graph; raise SystemExit('networkx' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


# Laws


def of(milestones: list[Event]) -> nx.MultiDiGraph:
    """The graph that `lineage` makes of them, without a database."""
    made = nx.MultiDiGraph()
    for m in milestones:
        first = dt.date(int(m.date), 1, 1).isoformat()
        made.add_node(m.id, short=m.short, title=m.title, date=m.date, first=first, track=m.track, kind=m.kind)
    for m in milestones:
        for link in m.links:
            made.add_edge(m.id, link.to, key=link.as_, type=link.as_, how=link.how)
    return made


@st.composite
def timelines(draw: st.DrawFn) -> nx.MultiDiGraph:
    """Up to ten milestones, each linked to any earlier ones; sometimes one link to a later one, so circles too."""
    names = [f"m{number}" for number in range(draw(st.integers(2, 10)))]
    types = st.sampled_from(LINK_TYPES)
    made = []
    for number, name in enumerate(names):
        targets = draw(st.sets(st.sampled_from(names[:number]), max_size=3)) if number else set[str]()
        made.append(milestone(name, str(1900 + number), **group(draw, types, sorted(targets))))
    if draw(st.booleans()):
        made[0] = milestone(names[0], "1900", equivalent_to=draw(st.sampled_from(names[1:])))
    return of(made)


def group(draw: st.DrawFn, types: st.SearchStrategy[Any], targets: list[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for target in targets:
        grouped.setdefault(draw(types), []).append(target)
    return grouped


pairs = timelines().flatmap(lambda g: st.tuples(st.just(g), *[st.sampled_from(sorted(g))] * 2))
law = settings(max_examples=40, deadline=None)


@law
@given(pairs)
def test_ancestors_and_descendants_are_each_others_mirror(case: tuple[nx.MultiDiGraph, str, str]) -> None:
    whole, a, b = case
    above = {step.id: step.depth for step in graph.ancestors(whole, a)}
    below = {step.id: step.depth for step in graph.descendants(whole, b)}
    assert above.get(b) == below.get(a)
    assert a not in above
    assert above.keys() == nx.ancestors(whole.reverse(), a)


@law
@given(pairs, st.integers(0, 4))
def test_walks_go_outwards_and_each_step_is_a_link(case: tuple[nx.MultiDiGraph, str, str], depth: int) -> None:
    whole, a, _ = case
    steps = graph.ancestors(whole, a)
    depths = {a: 0} | {step.id: step.depth for step in steps}
    assert len(depths) == len(steps) + 1
    assert [step.depth for step in steps] == sorted(step.depth for step in steps)
    for step in steps:
        assert whole.has_edge(step.from_id, step.id, step.via)
        assert step.depth == depths[step.from_id] + 1
    assert graph.ancestors(whole, a, depth) == [step for step in steps if step.depth <= depth]


@law
@given(pairs)
def test_paths_are_paths(case: tuple[nx.MultiDiGraph, str, str]) -> None:
    whole, a, b = case
    found = graph.paths(whole, a, b, limit=3)
    related = a in {*ids(graph.ancestors(whole, b)), *ids(graph.descendants(whole, b)), b}
    assert related == any(path.directed for path in found)
    assert bool(found) == nx.has_path(whole.to_undirected(), a, b)
    assert len(set(found)) == len(found) <= 3
    assert [len(path.steps) for path in found] == sorted(len(path.steps) for path in found)
    for path in found:
        ends = [a, *(step.id for step in path.steps)]
        assert (path.start, ends[-1]) == (a, b)
        assert [step.from_id for step in path.steps] == ends[:-1]
        forward = [whole.has_edge(step.from_id, step.id, step.via) for step in path.steps]
        backward = [whole.has_edge(step.id, step.from_id, step.via) for step in path.steps]
        assert all(one or other for one, other in zip(forward, backward, strict=True))
        assert not path.directed or all(forward) or all(backward)
        assert len(graph.tell(path, whole).splitlines()) == max(1, len(path.steps) + (not path.directed))


@law
@given(pairs)
def test_without_a_pillar_no_beginning_is_reached(case: tuple[nx.MultiDiGraph, str, str]) -> None:
    whole, a, _ = case
    roots = {node for node in whole if not whole.out_degree(node)}

    def reaches(without: str) -> bool:
        rest = whole.subgraph(set(whole) - {without})
        return bool(({a} | nx.descendants(rest, a)) & roots)

    pillars = graph.pillars(whole, a)
    if reaches(without=""):
        assert set(pillars) == {node for node in whole if node != a and not reaches(without=node)}
        depth = {step.id: step.depth for step in graph.ancestors(whole, a)}
        assert [depth[id] for id in pillars] == sorted(depth[id] for id in pillars)
    else:
        assert pillars == []


@law
@given(timelines())
def test_influence_is_between_nothing_and_everything(whole: nx.MultiDiGraph) -> None:
    influence = graph.influence(whole)
    assert all(0 <= value <= 1 for value in influence.values())
    assert {node for node, value in influence.items() if value == 0} == {n for n in whole if not whole.in_degree(n)}
    assert influence == graph.influence(whole)
