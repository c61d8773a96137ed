"""Where the milestones of a lineage go in its picture: dates from left to right, a lane per track.

This is computed here and not in the browser, so that it is the same each time and can be tested.
"""

import datetime as dt
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kb.schema import TRACKS
from ui.lineage.time_axis import TimeAxis

if TYPE_CHECKING:
    import networkx as nx

# All sizes are in pixels.
LEFT = 40.0  # room for a line that comes from behind
TOP = 26.0  # the axis above the lanes
LANE_NAME, ROW_HEIGHT, LANE_PADDING = 22.0, 30.0, 8.0
BOX_HEIGHT = 22.0
BOX_GAP = 18.0  # between boxes in a row: the head of an arrow fits
SYMBOL_WIDTH, NAME_PADDING = 20.0, 8.0  # in a box, before and after the name
BADGE_WIDTH = 20.0  # the button that opens more
MAX_LABEL = 28  # characters of a name; the card has the whole of it
PACKINGS = 6  # tried; the best is kept


@dataclass(frozen=True)
class Lane:
    track: str
    top: float
    height: float


@dataclass(frozen=True)
class Box:
    """A milestone before its row is known. `x` is the left edge and stands for the date."""

    id: str
    track: str
    label: str
    x: float
    width: float

    @property
    def right(self) -> float:
        return self.x + self.width


@dataclass(frozen=True)
class Placed:
    """A milestone in the picture; `y` is the middle of its box.

    `hidden` counts the milestones linked to it that are not in the picture.
    """

    id: str
    label: str
    x: float
    y: float
    width: float
    hidden: int


@dataclass(frozen=True)
class Layout:
    nodes: tuple[Placed, ...]  # by date
    lanes: tuple[Lane, ...]  # those with milestones
    ticks: tuple[tuple[int, float], ...]  # years of the axis
    width: float
    height: float


def layout(graph: "nx.MultiDiGraph", ids: Collection[str]) -> Layout:
    """Places the milestones. No two boxes touch, and an earlier one is never farther right."""
    day = {id: dt.date.fromisoformat(graph.nodes[id]["first"]) for id in ids}
    order = sorted(day, key=lambda id: (day[id], id))
    if not order:
        return Layout((), (), (), LEFT, TOP)
    axis = TimeAxis([day[id] for id in order], LEFT)
    boxes = [_box(graph, id, axis.x(day[id])) for id in order]
    links = [(later, earlier) for later in order for earlier in graph.succ[later] if earlier in day]
    y, lanes = _best_packing(boxes, links)
    nodes = tuple(
        Placed(box.id, box.label, box.x, y[box.id], box.width, _count_hidden(graph, box.id, day))
        for box in boxes
    )
    width = max(box.right for box in boxes) + NAME_PADDING
    return Layout(nodes, lanes, axis.ticks, width, lanes[-1].top + lanes[-1].height)


def _box(graph: "nx.MultiDiGraph", id: str, x: float) -> Box:
    label = _shorten(graph.nodes[id]["short"])
    width = SYMBOL_WIDTH + _estimate_width(label) + NAME_PADDING + BADGE_WIDTH
    return Box(id, graph.nodes[id]["track"], label, x, round(width, 1))


def _count_hidden(graph: "nx.MultiDiGraph", id: str, shown: Collection[str]) -> int:
    return sum(other not in shown for other in {*graph.succ[id], *graph.pred[id]})


def _shorten(name: str) -> str:
    return name if len(name) <= MAX_LABEL else f"{name[: MAX_LABEL - 1].rstrip()}…"


def _estimate_width(text: str) -> float:
    """The width of a name at 13 px, semibold: rather too much than too little.

    The browser squeezes a name that is wider still.
    """
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 14.0
    if character in "iljt.,:;'|!()[] frI-":
        return 4.8
    return 10.6 if character in "mwMW@%&…" else 8.6 if character.isupper() else 7.2


def _best_packing(
    boxes: Sequence[Box], links: Sequence[tuple[str, str]]
) -> tuple[dict[str, float], tuple[Lane, ...]]:
    """The heights of the milestones, and the lanes.

    Packs several times, each time with a milestone as near as possible to the mean height of those
    that it is linked to. The packing whose links climb least is kept: short links cross less, and
    the climb takes time in proportion to the links, while crossings take all pairs of them.
    """
    linked: dict[str, list[str]] = {box.id: [] for box in boxes}
    for later, earlier in links:
        linked[later].append(earlier)
        linked[earlier].append(later)
    packings = []
    wanted = dict.fromkeys(linked, 0.0)
    for _ in range(PACKINGS):
        y, lanes = _pack(boxes, wanted)
        packings.append((y, lanes))
        wanted = {
            id: sum(y[other] for other in others) / len(others) if others else y[id]
            for id, others in linked.items()
        }
    return min(packings, key=lambda packing: _climb(packing[0], links))


def _climb(y: Mapping[str, float], links: Sequence[tuple[str, str]]) -> float:
    return sum(abs(y[later] - y[earlier]) for later, earlier in links)


def _pack(
    boxes: Sequence[Box], wanted: Mapping[str, float]
) -> tuple[dict[str, float], tuple[Lane, ...]]:
    """The lanes one below the other. `wanted` are the heights that the milestones should have."""
    y: dict[str, float] = {}
    lanes: list[Lane] = []
    top = TOP
    for track in TRACKS:
        inside = [box for box in boxes if box.track == track]
        if not inside:
            continue
        first = top + LANE_NAME + ROW_HEIGHT / 2
        rows = _pack_rows(
            inside, {id: (height - first) / ROW_HEIGHT for id, height in wanted.items()}
        )
        y |= {box.id: first + ROW_HEIGHT * i for i, row in enumerate(rows) for box in row}
        lanes.append(Lane(track, top, LANE_NAME + ROW_HEIGHT * len(rows) + LANE_PADDING))
        top += lanes[-1].height
    return y, tuple(lanes)


def _pack_rows(boxes: Sequence[Box], wanted: Mapping[str, float]) -> list[list[Box]]:
    """The milestones of a lane in as few rows as hold them.

    Each goes to the free row nearest to the one that it wants, or to a new one. Then the rows are
    sorted by what their milestones want.
    """
    rows: list[list[Box]] = []
    for box in boxes:
        free = [i for i, row in enumerate(rows) if row[-1].right + BOX_GAP <= box.x]
        if free:
            rows[min(free, key=lambda i: abs(i - wanted[box.id]))].append(box)
        else:
            rows.append([box])
    return sorted(rows, key=lambda row: sum(wanted[box.id] for box in row) / len(row))
