"""Laws of the lineage graph that hold for any timeline, checked on generated ones."""

from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb import graph, graph_paths
from kb.schema import LINK_TYPES
from tests.kb.small_lineage import graph_of, ids, milestone


@st.composite
def timelines(draw: st.DrawFn) -> nx.MultiDiGraph:
    """Up to ten milestones, each linked to any earlier ones.

    Sometimes the first is linked to a later one as well, so that there can be circles.
    """
    names = [f"m{number}" for number in range(draw(st.integers(2, 10)))]
    types = st.sampled_from(LINK_TYPES)
    milestones = []
    for number, name in enumerate(names):
        targets = (
            draw(st.sets(st.sampled_from(names[:number]), max_size=3)) if number else set[str]()
        )
        milestones.append(
            milestone(name, str(1900 + number), **targets_by_type(draw, types, sorted(targets)))
        )
    if draw(st.booleans()):
        milestones[0] = milestone(names[0], "1900", equivalent_to=draw(st.sampled_from(names[1:])))
    return graph_of(milestones)


def targets_by_type(
    draw: st.DrawFn, types: st.SearchStrategy[Any], targets: list[str]
) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for target in targets:
        grouped.setdefault(draw(types), []).append(target)
    return grouped


pairs = timelines().flatmap(lambda g: st.tuples(st.just(g), *[st.sampled_from(sorted(g))] * 2))
law = settings(max_examples=40, deadline=None)


@law
@given(pairs)
def test_ancestors_and_descendants_are_each_others_mirror(
    case: tuple[nx.MultiDiGraph, str, str],
) -> None:
    lineage, a, b = case
    above = {step.id: step.depth for step in graph.ancestors(lineage, a)}
    below = {step.id: step.depth for step in graph.descendants(lineage, b)}
    assert above.get(b) == below.get(a)
    assert a not in above
    assert above.keys() == nx.ancestors(lineage.reverse(), a)


@law
@given(pairs, st.integers(0, 4))
def test_walks_go_outwards_and_each_step_is_a_link(
    case: tuple[nx.MultiDiGraph, str, str], depth: int
) -> None:
    lineage, a, _ = case
    steps = graph.ancestors(lineage, a)
    depths = {a: 0} | {step.id: step.depth for step in steps}
    assert len(depths) == len(steps) + 1
    assert [step.depth for step in steps] == sorted(step.depth for step in steps)
    for step in steps:
        assert lineage.has_edge(step.from_id, step.id, step.via)
        assert step.depth == depths[step.from_id] + 1
    assert graph.ancestors(lineage, a, depth) == [step for step in steps if step.depth <= depth]


def cost(lineage: nx.MultiDiGraph, path: graph_paths.Path) -> float:
    pairs = [(step.from_id, step.id) for step in path.steps]
    if pairs and not nx.has_path(lineage, path.start, path.ids[-1]):  # from the earlier one
        pairs = [pair[::-1] for pair in reversed(pairs)]
    return sum(graph_paths.link_cost(lineage, *pair) for pair in pairs)


@law
@given(pairs)
def test_paths_are_paths(case: tuple[nx.MultiDiGraph, str, str]) -> None:
    lineage, a, b = case
    paths = graph_paths.find_paths(lineage, a, b, limit=3)
    related = a in {*ids(graph.ancestors(lineage, b)), *ids(graph.descendants(lineage, b)), b}
    assert related == any(path.directed for path in paths)
    assert bool(paths) == nx.has_path(lineage.to_undirected(), a, b)
    assert len(set(paths)) == len(paths) <= 3
    costs = [cost(lineage, path) for path in paths if path.directed]
    assert costs == sorted(costs)
    if costs and a != b:
        links = nx.DiGraph()
        links.add_edges_from(
            (u, v, {"cost": graph_paths.link_cost(lineage, u, v)}) for u, v in lineage.edges()
        )
        ends = (a, b) if nx.has_path(links, a, b) else (b, a)
        assert costs[0] == pytest.approx(nx.dijkstra_path_length(links, *ends, weight="cost"))
    for path in paths:
        ends = [a, *(step.id for step in path.steps)]
        assert (path.start, ends[-1]) == (a, b)
        assert [step.from_id for step in path.steps] == ends[:-1]
        forward = [lineage.has_edge(step.from_id, step.id, step.via) for step in path.steps]
        backward = [lineage.has_edge(step.id, step.from_id, step.via) for step in path.steps]
        assert all(map(any, zip(forward, backward, strict=True)))
        assert not path.directed or all(forward) or all(backward)
        assert len(graph_paths.describe_path(path, lineage).splitlines()) == max(
            1, len(path.steps) + (not path.directed)
        )


@law
@given(pairs)
def test_without_a_pillar_no_beginning_is_reached(case: tuple[nx.MultiDiGraph, str, str]) -> None:
    lineage, a, _ = case
    roots = {node for node in lineage if not lineage.out_degree(node)}

    def reaches(without: str) -> bool:
        rest = lineage.subgraph(set(lineage) - {without})
        return bool(({a} | nx.descendants(rest, a)) & roots)

    pillars = graph.pillars(lineage, a)
    if reaches(without=""):
        assert set(pillars) == {node for node in lineage if node != a and not reaches(without=node)}
        depth = {step.id: step.depth for step in graph.ancestors(lineage, a)}
        assert [depth[id] for id in pillars] == sorted(depth[id] for id in pillars)
    else:
        assert pillars == []


@law
@given(timelines())
def test_influence_is_between_nothing_and_everything(lineage: nx.MultiDiGraph) -> None:
    influence = graph.influence(lineage)
    assert all(0 <= value <= 1 for value in influence.values())
    assert {node for node, value in influence.items() if value == 0} == {
        n for n in lineage if not lineage.in_degree(n)
    }
    assert influence == graph.influence(lineage)


@given(
    st.integers(1, 9).flatmap(
        lambda n: st.sets(st.tuples(st.integers(0, n), st.integers(0, n)), max_size=20)
    )
)
def test_dependents_are_those_that_have_it_as_a_pillar(pairs: set[tuple[int, int]]) -> None:
    made = nx.MultiDiGraph()
    names = sorted({n for pair in pairs for n in pair})
    made.add_nodes_from((str(n), {"first": str(n)}) for n in names)
    for later, earlier in ((max(pair), min(pair)) for pair in pairs if pair[0] != pair[1]):
        made.add_edge(str(later), str(earlier), key="builds_on", type="builds_on", how=None)
    for one in made:
        assert graph.dependents(made, one) == [
            other for other in made if one != other and one in graph.pillars(made, other)
        ]


@law
@given(pairs)
def test_what_is_lost_leads_back_through_the_milestone(
    case: tuple[nx.MultiDiGraph, str, str],
) -> None:
    lineage, a, _ = case
    found = graph.losses(lineage, a)
    gone = {a, *graph.dependents(lineage, a)}
    assert {loss.id for loss in found} >= set(lineage.pred[a]) - {a}
    for loss in found:
        assert loss.lines == len(lineage.succ[loss.id]) and set(loss.lost) <= gone
        if nx.is_directed_acyclic_graph(lineage):
            assert (loss.id in gone) <= (len(loss.lost) == loss.lines)
