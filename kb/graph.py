"""The lineage: what made a milestone possible, and what it made possible.

A NetworkX graph of the timeline in which every link points from a later milestone to an earlier one. All types of link
count, `disputes` too: an answer to a milestone came of it. In a notebook:

    from kb import open_kb
    kb = open_kb()
    for step in kb.ancestors("alexnet", depth=2):
        print(step.depth, step.id, "by way of", step.from_id)
    print(kb.story("alexnet", "backprop"))
"""

import datetime as dt
import difflib
import gc
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

if TYPE_CHECKING:  # networkx takes a third of a second to import; only a graph that is asked for pays it
    import networkx as nx

    from kb.schema import LinkType

VERBS: dict[str, str] = {
    "builds_on": "builds on",
    "implements": "implements",
    "runs_on": "runs on",
    "enabled_by": "was enabled by",
    "evaluated_on": "was evaluated on",
    "supersedes": "supersedes",
    "equivalent_to": "is equivalent to",
    "disputes": "disputes",
}
DAMPING = 0.85  # how much of its own influence a milestone passes on to what it is linked to
ROUNDS = 40  # 0.85 to the 40th is 0.0015: more rounds change nothing that can be seen
ROOT = ""  # stands for the beginning of everything; no id is empty


class UnknownMilestone(LookupError):
    """No milestone has that id; the message suggests one that is close."""


@dataclass(frozen=True)
class Step:
    """One link walked: from the milestone `from_id` to `id`, which lies `depth` links from where the walk began.

    `via` is the link's type and `how` its sentence, if it has one; which end is the later, the graph knows.
    """

    id: str
    depth: int
    via: "LinkType"
    how: str | None
    from_id: str


@dataclass(frozen=True)
class Path:
    """A way from the milestone `start` along links; `directed` if every link points the same way in time."""

    start: str
    steps: tuple[Step, ...]
    directed: bool


def lineage(engine: Engine) -> "nx.MultiDiGraph":
    """Everything on the timeline and every link, later -> earlier.

    A node is an id with short, title, date (as written), first (the first day it can mean), track and kind. An edge's
    key and `type` are the link's type; `how` is its sentence or None.
    """
    import networkx as nx

    graph = nx.MultiDiGraph()
    collecting = gc.isenabled()
    gc.disable()  # half a million small dictionaries, none of them garbage: looking through them takes as long as making them
    try:
        with engine.connect() as connection:
            rows: Any = connection.connection.cursor()
            names = ("short", "title", "date", "first", "track", "kind")
            rows.execute(f"SELECT id, {', '.join(names)} FROM milestone ORDER BY first, position")
            graph.add_nodes_from((id, dict(zip(names, values, strict=True))) for id, *values in rows)
            rows.execute("SELECT source, target, type, how FROM link ORDER BY rowid")
            for source, target, kind, how in rows:  # add_edges_from makes three views for each edge
                graph.add_edge(source, target, kind, type=kind, how=how)
    finally:
        if collecting:
            gc.enable()
    return graph


def ancestors(graph: "nx.MultiDiGraph", id: str, depth: int | None = None) -> list[Step]:
    """What made `id` possible, the nearest first, each once, at most `depth` links away.

    Within one depth the latest comes first. Raises UnknownMilestone.
    """
    return _walk(graph, id, depth, earlier=True)


def descendants(graph: "nx.MultiDiGraph", id: str, depth: int | None = None) -> list[Step]:
    """What `id` made possible, the nearest first, each once, at most `depth` links away.

    Within one depth the earliest comes first. Raises UnknownMilestone.
    """
    return _walk(graph, id, depth, earlier=False)


def neighbours(graph: "nx.MultiDiGraph", id: str) -> tuple[list[Step], list[Step]]:
    """Every direct link of `id`: those to what it is built on, and those from what it led to.

    A pair that is linked in two ways gives two steps. Raises UnknownMilestone.
    """
    _known(graph, id)
    return tuple(  # type: ignore[return-value]
        _nearest(graph, list(_links(graph, id, 1, earlier=earlier)), earlier=earlier) for earlier in (True, False)
    )


def paths(graph: "nx.MultiDiGraph", a: str, b: str, limit: int = 5) -> list[Path]:
    """At most `limit` ways from `a` to `b`, the shortest first, whichever of the two is the earlier.

    Where neither descends from the other, the shortest way along links of either direction, with `directed` False;
    nothing if there is none of these either. Raises UnknownMilestone.
    """
    import networkx as nx

    _known(graph, a)
    _known(graph, b)
    if limit < 1:
        return []
    if a == b:
        return [Path(a, (), True)]
    for start, end in ((a, b), (b, a)):
        if nx.has_path(graph, start, end):
            back = start == a  # from the later to the earlier
            return [_path(graph, way if back else way[::-1], (back,)) for way in _ways(graph, start, end, limit)]
    together = graph.to_undirected(as_view=True)
    return [_path(graph, nx.shortest_path(together, a, b), (True, False))] if nx.has_path(together, a, b) else []


def _ways(graph: "nx.MultiDiGraph", start: str, end: str, limit: int) -> list[list[str]]:
    """The shortest ways from the later `start` to the earlier `end`, searched near the two first, in all if need be."""
    import networkx as nx

    shortest: list[str] = nx.bidirectional_shortest_path(graph, start, end)
    ways = [shortest]
    longest = len(shortest) - 1
    for slack in (1, 3, None):
        if limit == 1 or len(ways) >= limit:
            break
        if slack is None:
            near = (nx.descendants(graph, start) & nx.ancestors(graph, end)) | {start, end}
            longest = len(near)
        else:  # a way of n links has its first half near one end and its second near the other
            longest = len(shortest) - 1 + slack
            half = -(-longest // 2)
            near = {*_within(graph.succ, start, half), *_within(graph.pred, end, half)}
        links = [(node, other) for node in near for other in graph.succ[node] if other in near]
        order = {node: position for position, node in enumerate(graph)}
        links.sort(key=lambda link: (order[link[0]], order[link[1]]))  # so that ties fall the same each time
        found = itertools.islice(nx.shortest_simple_paths(nx.DiGraph(links), start, end), limit)
        ways = [way for way in found if len(way) - 1 <= longest]
    return ways[:limit]


def _within(links: "Mapping[str, Mapping[str, Any]]", node: str, depth: int) -> set[str]:
    """The nodes at most `depth` links away along `links`, the node among them."""
    seen, frontier = {node}, [node]
    for _ in range(depth):
        frontier = [*{other for one in frontier for other in links[one]} - seen]
        seen.update(frontier)
    return seen


def tell(path: Path, graph: "nx.MultiDiGraph") -> str:
    """The path as plain sentences, one a line, each link told from its later to its earlier end."""
    if not path.steps:
        return f"{_name(graph, path.start)} is both ends of this path."
    lines = []
    if not path.directed:
        ends = f"{_name(graph, path.start)} and {_name(graph, path.steps[-1].id)}"
        lines.append(f"Neither of {ends} led to the other; this is how they are related.")
    for step in path.steps:
        turned = not graph.has_edge(step.from_id, step.id, step.via)
        later, earlier = (step.id, step.from_id) if turned else (step.from_id, step.id)
        how = f": {step.how.rstrip('.')}" if step.how else ""
        lines.append(f"{_name(graph, later)} {VERBS[step.via]} {_name(graph, earlier)}{how}.")
    return "\n".join(lines)


def common_ancestors(graph: "nx.MultiDiGraph", a: str, b: str) -> list[str]:
    """The ids that both `a` and `b` descend from, those nearest to the two together first.

    A milestone isn't its own ancestor. Raises UnknownMilestone.
    """
    of_a, of_b = ({step.id: step.depth for step in ancestors(graph, id)} for id in (a, b))
    return sorted(of_a.keys() & of_b.keys(), key=lambda id: (of_a[id] + of_b[id], id))


def pillars(graph: "nx.MultiDiGraph", id: str) -> list[str]:
    """The ids that every line of descent of `id` passes through, the nearest first.

    Without one of them nothing would lead from `id` back to a beginning (a milestone that builds on nothing). Nothing
    for a beginning itself. Raises UnknownMilestone.
    """
    import networkx as nx

    above = nx.DiGraph(graph.subgraph({id, *(step.id for step in ancestors(graph, id))}))
    above.add_edges_from([(node, ROOT) for node, links in list(above.out_degree()) if not links])
    dominator = nx.immediate_dominators(above, id)
    found: list[str] = []
    node = dominator.get(ROOT, id)
    while node != id:
        found.insert(0, node)
        node = dominator[node]
    return found


def contemporaries(graph: "nx.MultiDiGraph", id: str, years: float = 1.0) -> list[str]:
    """The ids of other tracks whose date is at most `years` away from that of `id`, the nearest in time first.

    Dates count from the first day that they can mean. Raises UnknownMilestone.
    """
    _known(graph, id)
    day = {node: dt.date.fromisoformat(first).toordinal() for node, first in graph.nodes(data="first")}
    others = (node for node, track in graph.nodes(data="track") if track != graph.nodes[id]["track"])
    apart = {node: abs(day[node] - day[id]) for node in others}
    return sorted(
        (node for node, days in apart.items() if days <= years * 365.25), key=lambda node: (apart[node], node)
    )


def influence(graph: "nx.MultiDiGraph") -> dict[str, float]:
    """How much came of each milestone, from 0 (nothing) to 1 (the most), on a logarithmic scale.

    Each milestone credits what it is linked to in equal shares, with itself and the greater part of what came of it;
    so a descendant counts the less the farther it is and the more it owes to others.
    """
    credit = dict.fromkeys(graph, 0.0)
    owed = {node: list(graph.successors(node)) for node in graph}
    for _ in range(ROUNDS):
        following = dict.fromkeys(graph, 0.0)
        for node, earlier in owed.items():
            for one in earlier:
                following[one] += (1 + DAMPING * credit[node]) / len(earlier)
        credit = following
    most = math.log1p(max(credit.values(), default=0.0)) or 1.0
    return {node: math.log1p(value) / most for node, value in credit.items()}


def _walk(graph: "nx.MultiDiGraph", start: str, depth: int | None, *, earlier: bool) -> list[Step]:
    _known(graph, start)
    seen, frontier, steps = {start}, [start], list[Step]()
    level = 0
    while frontier and (depth is None or level < depth):
        level += 1
        found: dict[str, Step] = {}
        for node in frontier:
            for step in _links(graph, node, level, earlier=earlier):
                if step.id not in seen:
                    found.setdefault(step.id, step)
        seen |= found.keys()
        nearest = _nearest(graph, list(found.values()), earlier=earlier)
        steps += nearest
        frontier = [step.id for step in nearest]
    return steps


def _links(graph: "nx.MultiDiGraph", node: str, depth: int, *, earlier: bool) -> Iterator[Step]:
    """The links of one direction; where a pair has several, those that say how come first."""
    others = graph.succ[node] if earlier else graph.pred[node]
    for other, links in others.items():
        for link in sorted(links.values(), key=lambda link: link["how"] is None):
            yield Step(other, depth, link["type"], link["how"], node)


def _nearest(graph: "nx.MultiDiGraph", steps: list[Step], *, earlier: bool) -> list[Step]:
    """Ordered by date, outwards from where the walk began."""
    return sorted(sorted(steps, key=lambda step: step.id), key=lambda s: graph.nodes[s.id]["first"], reverse=earlier)


def _path(graph: "nx.MultiDiGraph", way: list[str], directions: tuple[bool, ...]) -> Path:
    """The links from each milestone of `way` to the next, towards the earlier (True), the later (False) or either."""
    steps = []
    for depth, (node, other) in enumerate(itertools.pairwise(way), start=1):
        links = (step for earlier in directions for step in _links(graph, node, depth, earlier=earlier))
        steps.append(next(step for step in links if step.id == other))
    return Path(way[0], tuple(steps), directed=len(directions) == 1)


def _name(graph: "nx.MultiDiGraph", id: str) -> str:
    node = graph.nodes[id]
    return f"{node['short']} ({node['date'][:4]})"


def _known(graph: "nx.MultiDiGraph", id: str) -> None:
    if id not in graph:
        close = difflib.get_close_matches(id, list(graph), n=1)
        near = f'; did you mean "{close[0]}"?' if close else ""
        raise UnknownMilestone(f'no milestone has the id "{id}"{near}')
