"""The lineage as a picture: milestones by date, a lane for each track, a curve for each link.

`placement` decides where everything goes; lineage.js draws it and returns what was clicked.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb.graph_paths import LINK_VERBS
from ui import components, format
from ui.lineage.placement import BADGE_WIDTH, BOX_HEIGHT, LEFT, layout

if TYPE_CHECKING:
    import networkx as nx

MAX_MILESTONES = 300  # milestones in one picture

_render = components.register(Path(__file__).parent)


@dataclass(frozen=True)
class Action:
    """What the visitor did in the picture since the last run of the page: at most one of them."""

    selected: str | None
    opened: str | None


def lineage(
    graph: "nx.MultiDiGraph",
    roles: Mapping[str, str],
    *,
    centre: str,
    selected: str | None,
    opened: Collection[str],
    way: Collection[str],
    losses: Mapping[str, str],
    key: str,
) -> Action:
    """Draws the milestones that have a role.

    The roles are "centre", "before", "after", "end", "way" and "beside". `way` is a path from one
    milestone to another, drawn heavier. `opened` are those whose neighbours were asked for.
    `losses` has what each would have lost without the one that is taken out; "out" is that one.
    """
    data = picture_data(graph, roles, way, losses) | {
        "centre": centre,
        "selected": selected,
        "opened": sorted(opened),
    }
    ignore = components.ignore_change
    result = _render(key=key, data=data, on_selected_change=ignore, on_opened_change=ignore)
    return Action(*(id if id in roles else None for id in (result.selected, result.opened)))


def picture_data(
    graph: "nx.MultiDiGraph",
    roles: Mapping[str, str],
    way: Collection[str],
    losses: Mapping[str, str],
) -> dict[str, Any]:
    """What lineage.js draws: the milestones in their places, with the links between them."""
    placed = layout(graph, roles)
    nodes = [
        asdict(node)
        | {"role": roles[node.id], "loss": losses.get(node.id, "")}
        | {"when": format.date(graph.nodes[node.id]["date"])}
        | {name: graph.nodes[node.id][name] for name in ("short", "title", "track")}
        for node in placed.nodes
    ]
    return {
        "nodes": nodes,
        "links": _links(graph, roles, way, losses),
        "lanes": [asdict(lane) for lane in placed.lanes],
        "ticks": placed.ticks,
        "width": placed.width,
        "height": placed.height,
        "left": LEFT,
        "box": BOX_HEIGHT,
        "badge": BADGE_WIDTH,
        "verbs": LINK_VERBS,
    }


def _links(
    graph: "nx.MultiDiGraph",
    roles: Mapping[str, str],
    way: Collection[str],
    losses: Mapping[str, str],
) -> list[dict[str, Any]]:
    heavy = {frozenset(pair) for pair in pairwise(way)}
    edges = graph.subgraph(roles).edges(keys=True, data="how")  # in the order of a set
    return [
        {
            "later": later,
            "earlier": earlier,
            "type": kind,
            "how": how,
            "heavy": frozenset((later, earlier)) in heavy,
            "lost": losses.get(earlier) in ("out", "all") or losses.get(later) == "out",
        }
        for later, earlier, kind, how in sorted(edges, key=lambda edge: edge[:3])
    ]
