"""Paths between two milestones along the links of the lineage graph, and their text.

A path is the answer to "how are these two related?"; `describe_path` tells it in sentences.
"""

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kb.graph import Step, links_of, require_known

# networkx takes a third of a second to import, so the functions that use it import it.
if TYPE_CHECKING:
    import networkx as nx

LINK_VERBS: dict[str, str] = {
    "builds_on": "builds on",
    "implements": "implements",
    "runs_on": "runs on",
    "enabled_by": "was enabled by",
    "evaluated_on": "was evaluated on",
    "supersedes": "supersedes",
    "equivalent_to": "is equivalent to",
    "disputes": "disputes",
    "about": "is about",
}


HANDING_ON_YEARS = 6.0  # about as long as a generation of students
MAX_DETOUR = 1.6  # a way that costs more, in terms of the best, is none that a historian would tell
MAX_CANDIDATES = 60  # that the ways which differ most are chosen from


@dataclass(frozen=True)
class Path:
    """Links from the milestone `start` on; `directed` if all lead the same way in time."""

    start: str
    steps: tuple[Step, ...]
    directed: bool


def find_paths(graph: "nx.MultiDiGraph", a: str, b: str, limit: int = 3) -> list[Path]:
    """At most `limit` ways on which `a` led to `b` or `b` to `a`, the best first.

    The best way hands the idea on in small steps: a link costs more the more years it spans
    (`link_cost`), so that a shortcut through an ancestor of everything is no short way. The others
    are those that differ most from the ones before, of all that cost at most MAX_DETOUR times as
    much. If neither descends from the other, the one shortest path along links of both directions,
    with `directed` False; an empty list if nothing links the two. Raises UnknownMilestone.
    """
    import networkx as nx

    require_known(graph, a)
    require_known(graph, b)
    if limit < 1:
        return []
    if a == b:
        return [Path(a, (), True)]
    if ways := _best_ways(graph, a, b, limit):  # a is the later
        return [_build_path(graph, ids, (True,)) for ids in ways]
    if ways := _best_ways(graph, b, a, limit):
        return [_build_path(graph, ids[::-1], (False,)) for ids in ways]
    undirected = graph.to_undirected(as_view=True)
    if nx.has_path(undirected, a, b):
        return [_build_path(graph, nx.shortest_path(undirected, a, b), (True, False))]
    return []


def link_cost(graph: "nx.MultiDiGraph", later: str, earlier: str) -> float:
    """1, and as much again for HANDING_ON_YEARS between the two, four times for twice as many."""
    years = _year(graph, later) - _year(graph, earlier)
    return 1 + (max(years, 0.0) / HANDING_ON_YEARS) ** 2


def _year(graph: "nx.MultiDiGraph", id: str) -> float:
    first: str = graph.nodes[id]["first"]
    return int(first[:4]) + int(first[5:7]) / 12


def _best_ways(graph: "nx.MultiDiGraph", start: str, end: str, limit: int) -> list[list[str]]:
    """At most `limit` ways from the later `start` to the earlier `end`, as ids; none if there is
    none."""
    import networkx as nx

    down = _costs(graph, start, end, earlier=True)
    if end not in down:
        return []
    most = MAX_DETOUR * down[end]
    up = _costs(graph, end, start, earlier=False)
    # in a fixed order, so that ways of the same cost always come in the same order
    near = {
        id: None for id in graph if id in down and id in up and down[id] + up[id] <= most + 1e-9
    }
    links = nx.DiGraph()
    for later in near:
        for earlier in graph.succ[later]:
            if earlier in near:
                links.add_edge(later, earlier, cost=link_cost(graph, later, earlier))
    ways = nx.shortest_simple_paths(links, start, end, weight="cost")
    candidates = list(itertools.islice(ways, 1 if limit == 1 else MAX_CANDIDATES))
    affordable = [ids for ids in candidates if nx.path_weight(links, ids, "cost") <= most]
    return _most_different(affordable, limit)


def _costs(graph: "nx.MultiDiGraph", start: str, end: str, *, earlier: bool) -> dict[str, float]:
    """What the best way costs from `start` to each node, for those that cost at most MAX_DETOUR
    times as much as `end`. Links are followed to earlier or to later milestones."""
    costs, queue, most = dict[str, float](), [(0.0, start)], math.inf
    links = graph.succ if earlier else graph.pred
    while queue:
        cost, id = heapq.heappop(queue)
        if id in costs:
            continue
        if cost > most:
            break
        costs[id] = cost
        if id == end:
            most = MAX_DETOUR * cost
        for other in links[id]:
            if other not in costs:
                ends = (id, other) if earlier else (other, id)
                heapq.heappush(queue, (cost + link_cost(graph, *ends), other))
    return costs


def _most_different(ways: Sequence[list[str]], limit: int) -> list[list[str]]:
    """The first, and of the others one after the other what shares least with those before."""
    chosen = [ways[0]]
    rest = list(ways[1:])
    while rest and len(chosen) < limit:
        known = {id for way in chosen for id in way}
        fewest = min(rest, key=lambda way: len(known.intersection(way)) / len(way))
        rest.remove(fewest)
        chosen.append(fewest)
    return sorted(chosen, key=ways.index)


def describe_path(path: Path, graph: "nx.MultiDiGraph") -> str:
    """The path as sentences, one per line; each link is told from its later to its earlier end."""
    if not path.steps:
        return f"{_label(graph, path.start)} is both ends of this path."
    lines = []
    if not path.directed:
        ends = f"{_label(graph, path.start)} and {_label(graph, path.steps[-1].id)}"
        lines.append(f"Neither of {ends} led to the other; this is how they are related.")
    for step in path.steps:
        later, earlier = step.from_id, step.id
        if not graph.has_edge(later, earlier, step.via):
            later, earlier = earlier, later
        how = f": {step.how.rstrip('.')}" if step.how else ""
        lines.append(
            f"{_label(graph, later)} {LINK_VERBS[step.via]} {_label(graph, earlier)}{how}."
        )
    return "\n".join(lines)


def _build_path(graph: "nx.MultiDiGraph", ids: list[str], directions: tuple[bool, ...]) -> Path:
    """The path through these milestones, along links in the directions that are given.

    A direction is True for links to an earlier milestone, False for links to a later one.
    """
    steps = []
    for depth, (node, other) in enumerate(itertools.pairwise(ids), start=1):
        links = (
            step for earlier in directions for step in links_of(graph, node, depth, earlier=earlier)
        )
        steps.append(next(step for step in links if step.id == other))
    return Path(ids[0], tuple(steps), directed=len(directions) == 1)


def _label(graph: "nx.MultiDiGraph", id: str) -> str:
    node = graph.nodes[id]
    return f"{node['short']} ({node['date'][:4]})"
