"""What the address of the lineage page asks for, and which milestones the picture then shows.

`?id=dropout&show=before&depth=2` asks for the lineage of one milestone, `?id=backprop&to=alexnet`
for the paths between two. `open` lists the milestones whose neighbours are shown as well, `at` is
the milestone that was clicked, `out` one that is taken out.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from kb import graph, graph_paths
from kb.graph import Step
from kb.graph_paths import Path
from ui.lineage import MAX_MILESTONES

if TYPE_CHECKING:
    import networkx as nx

SIDES = ("before", "both", "after")
DEPTHS = ("1", "2", "3", "4", "all")


@dataclass(frozen=True)
class LineageQuery:
    id: str
    to: str | None
    show: str  # one of SIDES
    depth: str  # one of DEPTHS
    open: tuple[str, ...]
    at: str | None
    out: str | None

    @property
    def selected(self) -> str:
        """The milestone that the page tells about."""
        return self.at or self.id

    @property
    def max_links(self) -> int | None:
        return None if self.depth == "all" else int(self.depth)


def read_query(id: str, params: Mapping[str, str], known: Collection[str]) -> LineageQuery:
    """The query for the milestone `id`; a parameter that makes no sense gets its default."""
    to, at, out = params.get("to"), params.get("at"), params.get("out")
    show, depth = params.get("show"), params.get("depth")
    return LineageQuery(
        id=id,
        to=to if to in known and to != id else None,
        show=show if show in SIDES else "both",
        depth=depth if depth in DEPTHS else "2",
        open=tuple(id for id in params.get("open", "").split(",") if id in known),
        at=at if at in known else None,
        out=out if out in known else None,
    )


def walk(query: LineageQuery, lineage: "nx.MultiDiGraph") -> tuple[list[Step], list[Step]]:
    """The ancestors and the descendants that the query asks for, the nearest first."""
    before, after = list[Step](), list[Step]()
    if query.show != "after":
        before = graph.ancestors(lineage, query.id, query.max_links)
    if query.show != "before":
        after = graph.descendants(lineage, query.id, query.max_links)
    return before, after


def milestone_roles(
    query: LineageQuery, lineage: "nx.MultiDiGraph", paths: Sequence[Path]
) -> tuple[dict[str, str], int]:
    """The milestones in the picture, each with its role there, and how many did not fit in.

    The roles are those of `ui.lineage`. What is nearest comes first, and is what fits in.
    """
    roles = _path_roles(query, paths) if query.to else _walk_roles(query, lineage)
    for id in query.open:
        for step in [step for side in graph.neighbours(lineage, id) for step in side]:
            roles.setdefault(step.id, "beside")
    return dict(islice(roles.items(), MAX_MILESTONES)), max(0, len(roles) - MAX_MILESTONES)


def roles_and_way(
    at: str, to: str | None, known: Collection[str], lineage: "nx.MultiDiGraph"
) -> tuple[dict[str, str], list[str]]:
    """For a step of a tour: what stands in its picture, and the path to `to` that is heavier.

    Without `to`, what the milestone is linked to before it.
    """
    params = {"show": "before", "depth": "1"} | ({"to": to} if to else {})
    query = read_query(at, params, known)
    paths = graph_paths.find_paths(lineage, at, to, limit=1) if to else []
    roles, _ = milestone_roles(query, lineage, paths)
    return roles, paths[0].ids if paths else []


def losses_without(query: LineageQuery, lineage: "nx.MultiDiGraph") -> dict[str, str]:
    """What each milestone loses with the one that is taken out: "all" or "some" of its lines to
    what came before it. That one itself is "out"."""
    if not query.out:
        return {}
    some = {loss.id: "some" for loss in graph.losses(lineage, query.out)}
    every = dict.fromkeys(graph.dependents(lineage, query.out), "all")
    return some | every | {query.out: "out"}


def _path_roles(query: LineageQuery, paths: Sequence[Path]) -> dict[str, str]:
    roles = {query.id: "end", query.to or query.id: "end"}
    for path in paths:
        for step in path.steps:
            roles.setdefault(step.id, "way")
    return roles


def _walk_roles(query: LineageQuery, lineage: "nx.MultiDiGraph") -> dict[str, str]:
    before, after = walk(query, lineage)
    steps = [(step, "before") for step in before] + [(step, "after") for step in after]
    steps.sort(key=lambda item: item[0].depth)
    return {query.id: "centre"} | {step.id: role for step, role in steps}
