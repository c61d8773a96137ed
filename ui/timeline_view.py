"""The timeline of the loaded milestones, for the pages that draw it."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

import streamlit as st

from kb import db, graph
from kb.schema import date_range
from kb.tables import MilestoneRow
from ui import cache
from ui.timeline import timeline

if TYPE_CHECKING:
    import networkx as nx

MIN_RUNNABLE_WEIGHT = 0.6  # milestones with an implementation are never drawn smaller


def draw_timeline(
    shown: Collection[str], selected: str | None, *, key: str, height: int = 560
) -> str | None:
    """Draws these milestones and the selected one; returns the id that was clicked, once."""
    items = _timeline_items(db.timeline_digest(cache.engine()))
    found = [item for item in items if item["id"] in shown] if len(shown) < len(items) else []
    return timeline(
        [item for item in items if item["id"] in shown or item["id"] == selected],
        every_time=[(item["start"] + item["end"]) / 2 for item in items],
        found=(min(i["start"] for i in found), max(i["end"] for i in found)) if found else None,
        selected=selected,
        links=links_of(cache.links(), selected) if selected else [],
        key=key,
        height=height,
    )


@st.cache_resource(max_entries=2)
def _timeline_items(timeline_digest: str | None) -> list[dict[str, Any]]:
    return timeline_items(cache.milestones().values(), cache.lineage())


def timeline_items(
    rows: Iterable[MilestoneRow], lineage: "nx.MultiDiGraph"
) -> list[dict[str, Any]]:
    """What the timeline shows of every milestone."""
    weights = graph.influence(lineage)
    return [
        {
            "id": row.id,
            "short": row.short,
            "title": row.title,
            "date": row.date,
            "start": _decimal_year(row.date, 0),
            "end": _decimal_year(row.date, 1),
            "track": row.track,
            "kind": row.kind,
            "idea": row.entry["idea"],
            "runs": row.implementation is not None,
            "weight": max(
                weights.get(row.id, 0.0), MIN_RUNNABLE_WEIGHT if row.implementation else 0.0
            ),
        }
        for row in rows
    ]


def _decimal_year(date: str, end: int) -> float:
    """The first (`end` 0) or last (1) day that a date can mean, as a year with decimals."""
    day = date_range(date)[end]
    return day.year + (day.timetuple().tm_yday - 1) / 366


def links_of(links: "nx.MultiDiGraph", selected: str) -> list[dict[str, Any]]:
    """The links of the selected milestone, each from the later milestone to the earlier."""
    before, after = graph.neighbours(links, selected)
    ends = [(selected, step.id, step) for step in before]
    ends += [(step.id, selected, step) for step in after]
    return [
        {"source": later, "target": earlier, "as": step.via, "how": step.how}
        for later, earlier, step in ends
    ]
