"""The lineage as a picture: dates from left to right, a lane for each track, a curve for each link.

Python says where everything goes, so that it can be tested and is the same each time; lineage.js draws it, widens it to
its window and gives back what was clicked.
"""

import datetime as dt
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from kb.graph import VERBS
from kb.schema import TRACKS
from ui import words

if TYPE_CHECKING:
    import networkx as nx

MOST = 300  # milestones in one picture
LABEL = 28  # characters of a name; the whole of it is in the card
LEFT, TOP = 40.0, 26.0  # pixels: room for a line that comes from behind, and for the axis above the lanes
HEAD, ROW, BOX, FOOT = 22.0, 30.0, 22.0, 8.0  # a lane: its name, its rows, the boxes in them, the space beneath
GAP = 18.0  # between boxes in a row: an arrow's head fits
MARK, PAD, BADGE = 20.0, 8.0, 20.0  # in a box: the track's mark, the space after the name, the button that opens more
SWEEPS = 6  # packings tried
TICK = 42.0  # between years on the axis


@dataclass(frozen=True)
class Placed:
    """A milestone's box: `x` is its left edge and stands for its date, `y` its middle.

    `hidden` counts the milestones linked to it that are not in the picture.
    """

    id: str
    label: str
    x: float
    y: float
    width: float
    hidden: int


@dataclass(frozen=True)
class Lane:
    track: str
    top: float
    height: float


@dataclass(frozen=True)
class Layout:
    nodes: tuple[Placed, ...]  # by date
    lanes: tuple[Lane, ...]  # those with something in them
    ticks: tuple[tuple[int, float], ...]  # years of the axis
    width: float
    height: float


@dataclass(frozen=True)
class Acted:
    """What the visitor did in the picture since the last run of the page: at most one of the two."""

    selected: str | None
    opened: str | None


def layout(graph: "nx.MultiDiGraph", ids: Collection[str]) -> Layout:
    """Where the milestones `ids` go. No two boxes touch, and what is earlier is never farther right.

    A year is the wider the more of them it has, so that 2012 to 2018 don't need thirty rows while 1950 is empty.
    """
    day = {id: dt.date.fromisoformat(graph.nodes[id]["first"]) for id in ids}
    order = sorted(day, key=lambda id: (day[id], id))
    if not order:
        return Layout((), (), (), LEFT, TOP)
    place, ticks = _axis([day[id] for id in order])
    x = {id: place(day[id]) for id in order}
    label = {id: _cropped(graph.nodes[id]["short"]) for id in order}
    width = {id: round(MARK + _text_width(label[id]) + PAD + BADGE, 1) for id in order}
    links = [(later, earlier) for later in order for earlier in graph.succ[later] if earlier in day]
    track = {id: graph.nodes[id]["track"] for id in order}
    y, lanes = _best_packing(order, track, x, width, links)
    nodes = tuple(Placed(id, label[id], x[id], y[id], width[id], _hidden(graph, id, day)) for id in order)
    right = max(node.x + node.width for node in nodes) + PAD
    return Layout(nodes, lanes, ticks, right, lanes[-1].top + lanes[-1].height)


def _hidden(graph: "nx.MultiDiGraph", id: str, shown: Collection[str]) -> int:
    return sum(other not in shown for other in {*graph.succ[id], *graph.pred[id]})


def _cropped(name: str) -> str:
    return name if len(name) <= LABEL else f"{name[: LABEL - 1].rstrip()}…"


def _text_width(text: str) -> float:
    """Pixels of a name at 13 px, semibold, rather too many than too few; the browser squeezes what is longer still."""
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 14.0
    if character in "iljt.,:;'|!()[] frI-":
        return 4.8
    return 10.6 if character in "mwMW@%&…" else 8.6 if character.isupper() else 7.2


# The axis


def _axis(days: list[dt.date]) -> tuple[Callable[[dt.date], float], tuple[tuple[int, float], ...]]:
    """From a day to its place, for days in order; and the years to write."""
    first, last = days[0].year, days[-1].year
    years = last - first + 1
    room = max(900.0, min(2400.0, 8.0 * len(days)))  # with the last name, a page that is 1,280 wide
    empty = min(4.0, room / 3 / years)
    full = min(60.0, (room - empty * years) / len(days))
    count = dict.fromkeys(range(first, last + 1), 0)
    for day in days:
        count[day.year] += 1
    starts = list(accumulate((empty + full * count[year] for year in count), initial=LEFT))

    def place(day: dt.date) -> float:
        start, end = starts[day.year - first], starts[day.year - first + 1]
        return round(start + (end - start) * (day.timetuple().tm_yday - 1) / 366, 1)

    return place, tuple(_ticks(dict(zip(count, starts, strict=False))))


def _ticks(starts: Mapping[int, float]) -> Iterator[tuple[int, float]]:
    """The years that find room, round ones before others."""
    taken: dict[int, float] = {}
    for step in (50, 10, 5, 2, 1):
        for year, x in starts.items():
            if year % step == 0 and all(abs(x - other) >= TICK for other in taken.values()):
                taken[year] = x
    return ((year, round(taken[year], 1)) for year in sorted(taken))


# Rows


def _best_packing(
    order: list[str],
    track: Mapping[str, str],
    x: Mapping[str, float],
    width: Mapping[str, float],
    links: list[tuple[str, str]],
) -> tuple[dict[str, float], tuple[Lane, ...]]:
    """Heights and lanes. Packs anew with each milestone drawn towards what it is linked to, and keeps the packing whose
    links climb least: short links cross less, and this costs one look at each link where counting crossings takes all pairs.
    """
    near: dict[str, list[str]] = {id: [] for id in order}
    for later, earlier in links:
        near[later].append(earlier)
        near[earlier].append(later)
    best: tuple[float, dict[str, float], tuple[Lane, ...]] | None = None
    wanted = dict.fromkeys(order, 0.0)
    for _ in range(SWEEPS):
        y, lanes = _stacked(order, track, x, width, wanted)
        climb = sum(abs(y[later] - y[earlier]) for later, earlier in links)
        if best is None or climb < best[0]:
            best = climb, y, lanes
        wanted = {id: sum(y[other] for other in near[id]) / len(near[id]) if near[id] else y[id] for id in order}
    assert best
    return best[1], best[2]


def _stacked(
    order: list[str],
    track: Mapping[str, str],
    x: Mapping[str, float],
    width: Mapping[str, float],
    wanted: Mapping[str, float],
) -> tuple[dict[str, float], tuple[Lane, ...]]:
    """The lanes one beneath the other, each packed by itself."""
    y: dict[str, float] = {}
    lanes: list[Lane] = []
    top = TOP
    for name in TRACKS:
        inside = [id for id in order if track[id] == name]
        if not inside:
            continue
        first = top + HEAD + ROW / 2
        rows = _rows(inside, x, width, {id: (wanted[id] - first) / ROW for id in inside})
        y |= {id: first + ROW * row for row, some in enumerate(rows) for id in some}
        height = HEAD + ROW * len(rows) + FOOT
        lanes.append(Lane(name, top, height))
        top += height
    return y, tuple(lanes)


def _rows(
    order: list[str], x: Mapping[str, float], width: Mapping[str, float], wanted: Mapping[str, float]
) -> list[list[str]]:
    """As few rows as hold them: each goes to the free row nearest to where it is wanted, to a new one if none is free.
    Then whole rows change places, those that are wanted higher first."""
    rows: list[list[str]] = []
    for id in order:
        free = [row for row, some in enumerate(rows) if x[some[-1]] + width[some[-1]] + GAP <= x[id]]
        if free:
            rows[min(free, key=lambda row: abs(row - wanted[id]))].append(id)
        else:
            rows.append([id])
    return sorted(rows, key=lambda some: sum(wanted[id] for id in some) / len(some))


# The component

_HERE = Path(__file__).parent
_picture = st.components.v2.component(
    "lineage",
    css=(_HERE / "lineage.css").read_text(encoding="utf-8"),
    js=(_HERE / "lineage.js").read_text(encoding="utf-8"),
)


def lineage(
    graph: "nx.MultiDiGraph",
    roles: Mapping[str, str],
    *,
    centre: str,
    selected: str | None,
    opened: Collection[str],
    way: Collection[str],
    key: str,
) -> Acted:
    """Draws the milestones that have a role: "centre", "before", "after", "end", "way" or "beside".

    `way` is a path from one milestone to the next, drawn heavier; `opened` are those whose neighbours were asked for.
    """
    data = _data(graph, roles, way) | {"centre": centre, "selected": selected, "opened": sorted(opened)}
    result = _picture(key=key, data=data, on_selected_change=_nothing, on_opened_change=_nothing)
    return Acted(*(name if name in roles else None for name in (result.selected, result.opened)))


def _data(graph: "nx.MultiDiGraph", roles: Mapping[str, str], way: Collection[str]) -> dict[str, Any]:
    placed = layout(graph, roles)
    heavy = {frozenset(pair) for pair in pairwise(way)}
    nodes = [
        asdict(node)
        | {"role": roles[node.id], "when": words.when(graph.nodes[node.id]["date"])}
        | {name: graph.nodes[node.id][name] for name in ("short", "title", "track")}
        for node in placed.nodes
    ]
    links = [
        {"later": later, "earlier": earlier, "type": kind, "how": how, "heavy": frozenset((later, earlier)) in heavy}
        for later, earlier, kind, how in graph.subgraph(roles).edges(keys=True, data="how")
    ]
    lanes = [asdict(lane) for lane in placed.lanes]
    frame = {"lanes": lanes, "ticks": placed.ticks, "width": placed.width, "height": placed.height, "box": BOX}
    return {"nodes": nodes, "links": links, "verbs": VERBS, "left": LEFT, "badge": BADGE} | frame


def _nothing() -> None:
    """Streamlit wants a callback before it gives the result an attribute; the click is read from the result."""
