"""What the lineage page says below its picture: paths, a milestone, what depends on it."""

import functools
import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from kb import graph
from kb.formatting import format_count
from kb.graph_paths import Path, describe_path
from kb.tables import MilestoneRow
from ui import cache, format, html_parts, navigation
from ui.escape import escape_markdown
from ui.lineage_query import LineageQuery

if TYPE_CHECKING:
    import networkx as nx

LISTED_LOSSES = 8
LISTED_LINKS = 18  # in a row; the others are in an expander


def show_paths(query: LineageQuery, lineage: "nx.MultiDiGraph", paths: Sequence[Path]) -> None:
    """Shows the paths between the two milestones of the query as sentences."""
    st.header("Step by step", anchor=False)
    if not paths:
        st.write("No path on the timeline links the two, in either direction.")
        return
    for index, path in enumerate(paths):
        if len(paths) > 1:
            name = "Another path" if index else "The path with the shortest steps in time"
            st.markdown(f"**{name}**, {format_count(len(path.steps), 'link')}")
        sentences = describe_path(path, lineage).splitlines()
        if not path.directed:
            st.write(escape_markdown(sentences.pop(0)))
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
        st.html(f"<ol>{items}</ol>")
    if not paths[0].directed:
        common = graph.common_ancestors(lineage, query.id, query.to or query.id)
        st.write("Both descend from:" if common else "They have no ancestor in common.")
        _show_links(common)


def show_card(query: LineageQuery, row: MilestoneRow) -> None:
    """Shows the selected milestone with links to its page, its lineage and its path."""
    with st.container(border=True, key="lineage-card"):
        html_parts.show_track(row.track, row.kind, format.date(row.date))
        st.header(escape_markdown(row.title), anchor=False)
        html_parts.show_idea(row.entry["idea"])
        with st.container(horizontal=True):
            navigation.link("milestone", "Open its page", id=row.id)
            if row.id != query.id:
                params = {"show": query.show, "depth": query.depth}
                navigation.link("lineage", "Show its lineage", id=row.id, **params)
                start = cache.milestones()[query.id].short
                navigation.link("lineage", f"Its path from {start}", id=query.id, to=row.id)


def show_losses(lineage: "nx.MultiDiGraph", row: MilestoneRow) -> None:
    """Shows which descendants would have lost all, or some, of their lines of descent."""
    st.header(escape_markdown(f"Without {row.short}"), anchor=False)
    losses = graph.losses(lineage, row.id)
    if not losses:
        st.write("It has no descendants on the timeline yet.")
        return
    ids = graph.dependents(lineage, row.id)
    if ids:
        milestones = format_count(len(ids), "milestone")
        st.write(f"{milestones} would have lost every line of descent:")
        _show_links(ids, start=row.id)
    st.write("What its descendants would lose of their lines to earlier milestones, nearest first:")
    show_list = functools.partial(_show_loss_list, start=row.id)
    html_parts.show_with_rest(losses, LISTED_LOSSES, show_list)


def _show_loss_list(losses: Sequence[graph.Loss], start: str) -> None:
    for loss in losses:
        _show_loss(loss, start)


def _show_loss(loss: graph.Loss, start: str) -> None:
    milestones = cache.milestones()
    row = milestones[loss.id]
    lost = ", ".join(milestones[id].short for id in loss.lost)
    with st.container(horizontal=True, gap="small"):
        navigation.link("lineage", f"{row.short}, {row.date[:4]}", id=start, to=loss.id)
        st.caption(escape_markdown(f"{len(loss.lost)} of {loss.lines}: {lost}"))


def show_contemporaries(lineage: "nx.MultiDiGraph", row: MilestoneRow) -> None:
    st.header("In other tracks within a year", anchor=False)
    milestones = cache.milestones()
    ids = graph.contemporaries(lineage, row.id)
    if not ids:
        st.write("No milestone.")
    for track in dict.fromkeys(milestones[id].track for id in ids):
        with st.container(gap="xsmall"):
            html_parts.show_track(track)
            _show_links([id for id in ids if milestones[id].track == track])


def _show_links(ids: Sequence[str], start: str | None = None) -> None:
    """Shows links to the lineages of milestones, or to the paths to them from `start`."""
    show_row = functools.partial(_show_link_row, start=start)
    html_parts.show_with_rest(ids, LISTED_LINKS, show_row)


def _show_link_row(ids: Iterable[str], start: str | None) -> None:
    with st.container(horizontal=True, gap="small"):
        for id in ids:
            row = cache.milestones()[id]
            params = {"id": start, "to": id} if start else {"id": id}
            navigation.link("lineage", f"{row.short}, {row.date[:4]}", **params)
