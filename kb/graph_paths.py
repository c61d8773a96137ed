"""Paths between two milestones along the links of the lineage graph, and their text.

A path is the answer to "how are these two related?"; `describe_path` tells it in sentences.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True)
class Path:
    """Links from the milestone `start` on; `directed` if all lead the same way in time."""

    start: str
    steps: tuple[Step, ...]
    directed: bool


def find_paths(graph: "nx.MultiDiGraph", a: str, b: str, limit: int = 5) -> list[Path]:
    """At most `limit` paths from `a` to `b`, the shortest first; either may be the earlier.

    If neither descends from the other, the one shortest path along links of both directions, with
    `directed` False; an empty list if nothing links the two. Raises UnknownMilestone.
    """
    import networkx as nx

    require_known(graph, a)
    require_known(graph, b)
    if limit < 1:
        return []
    if a == b:
        return [Path(a, (), True)]
    if nx.has_path(graph, a, b):  # a is the later
        return [_build_path(graph, ids, (True,)) for ids in _shortest_paths(graph, a, b, limit)]
    if nx.has_path(graph, b, a):
        return [
            _build_path(graph, ids[::-1], (False,)) for ids in _shortest_paths(graph, b, a, limit)
        ]
    undirected = graph.to_undirected(as_view=True)
    if nx.has_path(undirected, a, b):
        return [_build_path(graph, nx.shortest_path(undirected, a, b), (True, False))]
    return []


def _shortest_paths(graph: "nx.MultiDiGraph", start: str, end: str, limit: int) -> list[list[str]]:
    """At most `limit` paths from the later `start` to the earlier `end`, as ids, shortest first.

    Enumerating paths in a large graph is slow, so the search is first limited to nodes near the two
    ends: those on any path that is at most 1, then at most 3 links longer than the shortest. Only
    if that gives too few paths is every node between the two included.
    """
    import networkx as nx

    shortest: list[str] = nx.bidirectional_shortest_path(graph, start, end)
    if limit == 1:
        return [shortest]
    paths_found: list[list[str]] = []
    for extra_links in (1, 3, None):
        if extra_links is None:
            nodes = (nx.descendants(graph, start) & nx.ancestors(graph, end)) | {start, end}
            max_links = len(nodes)
        else:
            # of a path of n links, the first half is near one end and the second near the other
            max_links = len(shortest) - 1 + extra_links
            half = -(-max_links // 2)
            nodes = {
                *_nodes_within(graph.succ, start, half),
                *_nodes_within(graph.pred, end, half),
            }
        links = [(node, other) for node in nodes for other in graph.succ[node] if other in nodes]
        order = {node: position for position, node in enumerate(graph)}
        # in a fixed order, so that paths of the same length always come in the same order
        links.sort(key=lambda link: (order[link[0]], order[link[1]]))
        candidates = nx.shortest_simple_paths(nx.DiGraph(links), start, end)
        paths_found = [
            ids for ids in itertools.islice(candidates, limit) if len(ids) - 1 <= max_links
        ]
        if len(paths_found) >= limit:
            break
    return paths_found


def _nodes_within(links: "Mapping[str, Mapping[str, Any]]", start: str, depth: int) -> set[str]:
    """The nodes at most `depth` links away from `start` along `links`, and `start` itself."""
    seen, frontier = {start}, [start]
    for _ in range(depth):
        frontier = [*{other for node in frontier for other in links[node]} - seen]
        seen.update(frontier)
    return seen


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
