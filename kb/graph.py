"""The lineage graph: what made a milestone possible, and what it made possible.

A NetworkX graph of the timeline in which every link points from a later milestone to an earlier
one. Only links that carry cause are in it (`CAUSES`): that a paper was evaluated on a
data set, disputes another or tells of it made neither possible. In a notebook:

    from kb import open_kb
    kb = open_kb()
    for step in kb.ancestors("alexnet", depth=2):
        print(step.depth, step.id, "through", step.from_id)
    print(kb.story("alexnet", "backprop"))
"""

import datetime as dt
import gc
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from kb.suggestions import did_you_mean

# networkx takes a third of a second to import, so the functions that use it import it.
if TYPE_CHECKING:
    import networkx as nx

    from kb.schema import LinkType

# These carry cause: the lineage follows them. Links of other types are shown, and not followed.
CAUSES: tuple["LinkType", ...] = ("builds_on", "implements", "runs_on", "enabled_by")
DAMPING = 0.85  # the share of its own influence that a milestone passes on along its links
INFLUENCE_ROUNDS = 40  # 0.85 to the 40th is 0.0015: more rounds make no visible difference
VIRTUAL_ROOT = ""  # the node that every beginning is linked to; no id is empty


class UnknownMilestone(LookupError):
    """No milestone has that id; the message suggests one that is close."""


@dataclass(frozen=True)
class Step:
    """One link of a walk: from the milestone `from_id` to `id`, `depth` links from the start.

    `via` is the link's type, `how` its sentence or None. The graph tells which end is the later:
    that is the end where the edge begins.
    """

    id: str
    depth: int
    via: "LinkType"
    how: str | None
    from_id: str


def load_lineage(engine: Engine) -> "nx.MultiDiGraph":
    """The graph of every milestone and every link that carries cause, later -> earlier.

    A node is an id with short, title, date (as written), first (the first day that the date can
    mean), track and kind. An edge's key and its `type` are the link's type; `how` is the link's
    sentence or None.
    """
    return _load_graph(engine, CAUSES)


def load_links(engine: Engine) -> "nx.MultiDiGraph":
    """The same graph with the links of every type, for what is shown and not followed."""
    return _load_graph(engine, None)


def _load_graph(engine: Engine, types: Collection[str] | None) -> "nx.MultiDiGraph":
    import networkx as nx

    graph = nx.MultiDiGraph()
    # Half a million small dictionaries are made, and none is garbage: to search them for garbage
    # would take as long as to make them.
    gc_was_enabled = gc.isenabled()
    gc.disable()
    try:
        with engine.connect() as connection:
            cursor: Any = connection.connection.cursor()
            names = ("short", "title", "date", "first", "track", "kind")
            cursor.execute(f"SELECT id, {', '.join(names)} FROM milestone ORDER BY first, position")
            graph.add_nodes_from(
                (id, dict(zip(names, values, strict=True))) for id, *values in cursor
            )
            cursor.execute("SELECT source, target, type, how FROM link ORDER BY rowid")
            for source, target, type, how in cursor:  # faster than add_edges_from
                if types is None or type in types:
                    graph.add_edge(source, target, type, type=type, how=how)
    finally:
        if gc_was_enabled:
            gc.enable()
    return graph


def ancestors(graph: "nx.MultiDiGraph", id: str, depth: int | None = None) -> list[Step]:
    """What made `id` possible, the nearest first, each once, at most `depth` links away.

    Within one depth the latest comes first. Raises UnknownMilestone.
    """
    return _walk_links(graph, id, depth, earlier=True)


def descendants(graph: "nx.MultiDiGraph", id: str, depth: int | None = None) -> list[Step]:
    """What `id` made possible, the nearest first, each once, at most `depth` links away.

    Within one depth the earliest comes first. Raises UnknownMilestone.
    """
    return _walk_links(graph, id, depth, earlier=False)


def neighbours(graph: "nx.MultiDiGraph", id: str) -> tuple[list[Step], list[Step]]:
    """The direct links of `id`: those to earlier milestones, and those from later ones.

    Two milestones with two links between them give two steps. Raises UnknownMilestone.
    """
    require_known(graph, id)
    return tuple(  # type: ignore[return-value]
        _sort_by_date(graph, list(links_of(graph, id, 1, earlier=earlier)), earlier=earlier)
        for earlier in (True, False)
    )


def common_ancestors(graph: "nx.MultiDiGraph", a: str, b: str) -> list[str]:
    """The ids that both `a` and `b` descend from, by the sum of the two distances.

    A milestone isn't its own ancestor. Raises UnknownMilestone.
    """
    of_a, of_b = ({step.id: step.depth for step in ancestors(graph, id)} for id in (a, b))
    return sorted(of_a.keys() & of_b.keys(), key=lambda id: (of_a[id] + of_b[id], id))


def pillars(graph: "nx.MultiDiGraph", id: str) -> list[str]:
    """The ids that every line of descent of `id` passes through (its dominators), nearest first.

    Without any one of them, no links would lead from `id` back to a beginning, which is a milestone
    that is linked to no earlier one. Empty for a beginning itself. Raises UnknownMilestone.
    """
    import networkx as nx

    above = nx.DiGraph(graph.subgraph({id, *(step.id for step in ancestors(graph, id))}))
    above.add_edges_from(
        [(node, VIRTUAL_ROOT) for node, links in list(above.out_degree()) if not links]
    )
    dominator = nx.immediate_dominators(above, id)
    pillar_ids: list[str] = []
    node = dominator.get(VIRTUAL_ROOT, id)
    while node != id:
        pillar_ids.insert(0, node)
        node = dominator[node]
    return pillar_ids


def dependents(graph: "nx.MultiDiGraph", id: str) -> list[str]:
    """The milestones that have `id` among their pillars, by date.

    One walk finds what is still reached without `id`; `pillars` would need one for each descendant.
    Raises UnknownMilestone.
    """
    require_known(graph, id)
    ids = _reached_from_beginnings(graph, None) - _reached_from_beginnings(graph, id) - {id}
    return sorted(ids, key=lambda other: (graph.nodes[other]["first"], other))


@dataclass(frozen=True)
class Loss:
    """What a milestone would have lost without another: `lost` of its `lines` to earlier ones."""

    id: str
    lost: tuple[str, ...]
    lines: int


def losses(graph: "nx.MultiDiGraph", id: str) -> list[Loss]:
    """Who would have lost which of its direct lines to earlier milestones without `id`.

    A line is lost if it leads to `id`, or to a milestone all of whose lines of descent do. Nearest
    first, then by date. Raises UnknownMilestone.
    """
    gone = {id, *dependents(graph, id)}
    found = []
    for step in descendants(graph, id):
        lost = tuple(other for other in graph.succ[step.id] if other in gone)
        if lost:
            found.append(Loss(step.id, lost, len(graph.succ[step.id])))
    return found


def _reached_from_beginnings(graph: "nx.MultiDiGraph", without: str | None) -> set[str]:
    """The milestones with a line of descent from a beginning that avoids `without`.

    A beginning is a milestone that has no link to an earlier one.
    """
    frontier = [node for node, links in graph.out_degree() if not links and node != without]
    seen = set(frontier)
    while frontier:
        later = {other for node in frontier for other in graph.pred[node]} - seen - {without}
        frontier = list(later)
        seen |= later
    return seen


def contemporaries(graph: "nx.MultiDiGraph", id: str, years: float = 1.0) -> list[str]:
    """The ids of other tracks at most `years` before or after `id`, the nearest in time first.

    A date counts from the first day that it can mean. Raises UnknownMilestone.
    """
    require_known(graph, id)
    day = {
        node: dt.date.fromisoformat(first).toordinal() for node, first in graph.nodes(data="first")
    }
    others = (
        node for node, track in graph.nodes(data="track") if track != graph.nodes[id]["track"]
    )
    distance = {node: abs(day[node] - day[id]) for node in others}
    return sorted(
        (node for node, days in distance.items() if days <= years * 365.25),
        key=lambda node: (distance[node], node),
    )


def influence(graph: "nx.MultiDiGraph") -> dict[str, float]:
    """How much each milestone led to, from 0 (nothing) to 1 (the most), on a logarithmic scale.

    Each milestone gives credit in equal shares to those that it is linked to: 1 for itself, and
    DAMPING times the credit that it has received. So a descendant counts less the farther away it
    is, and the more other milestones it is linked to.
    """
    credit = dict.fromkeys(graph, 0.0)
    earlier_of = {node: list(graph.successors(node)) for node in graph}
    for _ in range(INFLUENCE_ROUNDS):
        next_credit = dict.fromkeys(graph, 0.0)
        for node, earlier in earlier_of.items():
            for other in earlier:
                next_credit[other] += (1 + DAMPING * credit[node]) / len(earlier)
        credit = next_credit
    most = math.log1p(max(credit.values(), default=0.0)) or 1.0
    return {node: math.log1p(value) / most for node, value in credit.items()}


def _walk_links(
    graph: "nx.MultiDiGraph", start: str, depth: int | None, *, earlier: bool
) -> list[Step]:
    require_known(graph, start)
    seen, frontier, steps = {start}, [start], list[Step]()
    level = 0
    while frontier and (depth is None or level < depth):
        level += 1
        new_steps: dict[str, Step] = {}
        for node in frontier:
            for step in links_of(graph, node, level, earlier=earlier):
                if step.id not in seen:
                    new_steps.setdefault(step.id, step)
        seen |= new_steps.keys()
        by_date = _sort_by_date(graph, list(new_steps.values()), earlier=earlier)
        steps += by_date
        frontier = [step.id for step in by_date]
    return steps


def links_of(graph: "nx.MultiDiGraph", node: str, depth: int, *, earlier: bool) -> Iterator[Step]:
    """The links of `node` in one direction; of several to one milestone, first those with `how`."""
    others = graph.succ[node] if earlier else graph.pred[node]
    for other, links in others.items():
        for link in sorted(links.values(), key=lambda link: link["how"] is None):
            yield Step(other, depth, link["type"], link["how"], node)


def _sort_by_date(graph: "nx.MultiDiGraph", steps: list[Step], *, earlier: bool) -> list[Step]:
    """Sorted by date, those first that are nearest in time to the start of the walk."""
    return sorted(
        sorted(steps, key=lambda step: step.id),
        key=lambda s: graph.nodes[s.id]["first"],
        reverse=earlier,
    )


def require_known(graph: "nx.MultiDiGraph", id: str) -> None:
    if id not in graph:
        raise UnknownMilestone(f'no milestone has the id "{id}"{did_you_mean(id, graph)}')
