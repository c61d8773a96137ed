"""Paths between two milestones along the links of the lineage graph, and their text.

A path is the answer to "how are these two related?"; `describe_path` tells it in sentences.
"""

import functools
import heapq
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
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
USED_PENALTY = 2.0  # what a link of another way costs more, in terms of its own cost


@dataclass(frozen=True)
class Path:
    """Links from the milestone `start` on; `directed` if all lead the same way in time."""

    start: str
    steps: tuple[Step, ...]
    directed: bool

    @property
    def ids(self) -> list[str]:
        """The milestones on it, from the first to the last."""
        return [self.start, *(step.id for step in self.steps)]


def find_paths(graph: "nx.MultiDiGraph", a: str, b: str, limit: int = 3) -> list[Path]:
    """At most `limit` ways on which `a` led to `b` or `b` to `a`, the best first.

    The best way hands the idea on in small steps: a link costs more the more years it spans
    (`link_cost`), so that a shortcut through an ancestor of everything is no short way. The others
    are the best that keep away from the links of those before, if they cost at most MAX_DETOUR
    times as much. If neither descends from the other, the one shortest path along links of both
    directions, with `directed` False; an empty list if nothing links the two. Raises
    UnknownMilestone.
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
    return _decimal_year(graph.nodes[id]["first"])


@functools.cache
def _decimal_year(first: str) -> float:
    """2014.5 for "2014-07-01"."""
    return int(first[:4]) + (int(first[5:7]) - 1) / 12


def _best_ways(graph: "nx.MultiDiGraph", start: str, end: str, limit: int) -> list[list[str]]:
    """At most `limit` ways from the later `start` to the earlier `end`, as ids; none if there is
    none."""
    ways: list[tuple[float, list[str]]] = []
    used: Counter[tuple[str, str]] = Counter()
    while len(ways) < limit and (ids := _best_way(graph, start, end, used)):
        cost = sum(link_cost(graph, *pair) for pair in itertools.pairwise(ids))
        if ids in [way for _, way in ways] or (ways and cost > MAX_DETOUR * ways[0][0]):
            break
        ways.append((cost, ids))
        used.update(itertools.pairwise(ids))
    return [ids for _, ids in sorted(ways, key=itemgetter(0))]


def _best_way(
    graph: "nx.MultiDiGraph", start: str, end: str, used: Mapping[tuple[str, str], int]
) -> list[str] | None:
    """The way that costs least, where a link that is `used` by another way costs more.

    A* search: however the years to the end are divided among links, they cost two for every
    HANDING_ON_YEARS at least.
    """
    end_year = _year(graph, end)
    reached_from: dict[str, str] = {}
    queue = [(0.0, 0.0, 0.0, start, start)]
    while queue:  # of those that promise the same, first the one that is nearest to the end
        _, _, cost, id, previous = heapq.heappop(queue)
        if id in reached_from:
            continue
        reached_from[id] = previous
        if id == end:
            return _trace(reached_from, start, end)
        for other in graph.succ[id]:
            if other not in reached_from:
                price = (1 + USED_PENALTY * used.get((id, other), 0)) * link_cost(graph, id, other)
                rest = 2 * max(_year(graph, other) - end_year, 0.0) / HANDING_ON_YEARS
                heapq.heappush(queue, (cost + price + rest, rest, cost + price, other, id))
    return None


def _trace(reached_from: Mapping[str, str], start: str, end: str) -> list[str]:
    ids = [end]
    while ids[-1] != start:
        ids.append(reached_from[ids[-1]])
    return ids[::-1]


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
