"""The lineage page: the lineage of one milestone or the paths between two, as a picture.

Everything that the visitor chose is in the address; see `ui/lineage_query.py`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from kb import graph_paths
from kb.formatting import format_count
from kb.graph_paths import Path
from kb.tables import MilestoneRow
from ui import cache, lineage_details, lineage_query, navigation, query_params
from ui.escape import escape_markdown
from ui.lineage import lineage as draw_lineage
from ui.lineage_query import DEPTHS, SIDES, LineageQuery

if TYPE_CHECKING:
    import networkx as nx

SIDE_LABELS = {"before": "ancestors", "both": "both", "after": "descendants"}
MAX_PATHS = 3  # between two milestones
START = "alexnet"  # what is drawn while no milestone was chosen
EXAMPLES = (
    ("What made the Transformer possible?", {"id": "transformer", "show": "before"}),
    ("What did the LSTM make possible?", {"id": "lstm", "show": "after"}),
    ("How did back-propagation lead to dropout?", {"id": "backprop", "to": "dropout"}),
)


def show() -> None:
    milestones = cache.milestones()
    if not milestones:
        _show_empty()
        return
    params = st.query_params.to_dict()
    if "id" not in params:
        start = START if START in milestones else next(iter(milestones))
        params = {"show": "before", **params, "id": start}
    id = params["id"]
    if id not in milestones:
        st.title("No such milestone", anchor=False)
        st.write(f"The timeline has no milestone with the id {escape_markdown(id)}.")
        navigation.link("lineage", "Choose a milestone")
        return
    to = st.query_params.get("to")
    if to and to not in milestones:
        unknown = escape_markdown(to)
        st.warning(f"The timeline has no milestone with the id {unknown}: no path leads to it.")
    query = lineage_query.read_query(id, params, milestones)
    lineage = cache.lineage()
    paths = graph_paths.find_paths(lineage, id, query.to, MAX_PATHS) if query.to else []
    if "id" in st.query_params:
        title = _title(query, milestones)
        st.set_page_config(page_title=title)
        st.title(escape_markdown(title), anchor=False)
    else:
        _introduce(milestones, id)
    _show_controls(query, milestones)
    _show_picture(query, lineage, paths)
    row = milestones[query.selected]
    left, right = st.columns([5, 4], gap="large")
    with left:
        if query.to:
            lineage_details.show_paths(query, lineage, paths)
        lineage_details.show_card(query, row)
    with right:
        lineage_details.show_losses(lineage, row)
        lineage_details.show_contemporaries(lineage, row)


def _show_empty() -> None:
    st.title("Lineage", anchor=False)
    st.info(
        "The timeline is empty. `kb load` fills it from data/timeline.yaml.",
        icon=":material/info:",
    )


def _introduce(milestones: dict[str, MilestoneRow], id: str) -> None:
    """Says what the page is for, while no milestone was chosen: the picture is an example."""
    st.title("Lineage", anchor=False)
    st.write(
        "What made a milestone possible, what it made possible, and how one led to another: "
        "each link has its type and its reason. Here is what made "
        f"**{escape_markdown(milestones[id].short)}** possible. Choose another, or begin with:"
    )
    with st.container(horizontal=True):
        for question, params in EXAMPLES:
            if all(params[key] in milestones for key in ("id", "to") if key in params):
                navigation.link("lineage", question, **params)


def _title(query: LineageQuery, milestones: dict[str, MilestoneRow]) -> str:
    short = milestones[query.id].short
    if query.to:
        return f"From {short} to {milestones[query.to].short}"
    return f"The lineage of {short}"


def _show_controls(query: LineageQuery, milestones: dict[str, MilestoneRow]) -> None:
    """Draws the fields: each shows a parameter of the address, and writes it when changed."""
    if query.to:
        left, right = st.columns(2)
        with left:
            _milestone_field("id", "Path from", milestones, query.id)
        with right:
            _milestone_field("to", "Path to", milestones, query.to)
        return
    with st.container(key="lineage-fields"):
        milestone, sides, depth, path = st.columns([3, 4, 3, 3])
    with milestone:
        _milestone_field("id", "Milestone", milestones, query.id)
    with sides:
        _choice_field("show", "Show", SIDES, query.show, SIDE_LABELS)
    with depth:
        _choice_field("depth", "Distance in links, at most", DEPTHS, query.depth)
    with path:
        _milestone_field("to", "Path to", milestones, None)


def _milestone_field(
    name: str, label: str, milestones: dict[str, MilestoneRow], value: str | None
) -> None:
    key = query_params.synced_key(f"lineage-{name}", value)
    st.selectbox(
        label,
        list(milestones),
        index=None,
        format_func=lambda id: f"{milestones[id].short}, {milestones[id].date[:4]}",
        placeholder="choose a milestone",
        key=key,
        on_change=_write_field,
        args=(name, key),
    )


def _choice_field(
    name: str, label: str, options: Sequence[str], value: str, labels: dict[str, str] | None = None
) -> None:
    key = query_params.synced_key(f"lineage-{name}", value)
    st.segmented_control(
        label,
        options,
        required=True,
        format_func=lambda option: (labels or {}).get(option, option),
        key=key,
        on_change=_write_field,
        args=(name, key),
    )


def _write_field(name: str, key: str) -> None:
    """Writes a changed field to the address.

    With another milestone, what was clicked and opened before loses its meaning.
    """
    value = st.session_state[key]
    query_params.mark_synced(f"lineage-{name}", value)
    query_params.set_param(name, value)
    if name in ("id", "to"):
        query_params.set_param("at", None)
        query_params.set_param("open", None)
        query_params.set_param("out", None)


def _show_picture(query: LineageQuery, lineage: "nx.MultiDiGraph", paths: Sequence[Path]) -> None:
    """Draws the picture, and writes what the visitor did in it to the address."""
    roles, left_out = lineage_query.milestone_roles(query, lineage, paths)
    losses = lineage_query.losses_without(query, lineage)
    with st.container(horizontal=True, vertical_alignment="center"):
        if query.out:
            _show_lost_counts(query.out, roles, losses)
        elif not query.to:
            _show_counts(query, lineage)
        _show_toggle(query)
    if left_out:
        st.caption(
            f"Only the nearest {len(roles)} are drawn; {left_out} are farther away. With fewer "
            "links away, all are drawn."
        )
    acted = draw_lineage(
        lineage,
        roles,
        centre=query.id,
        selected=query.selected,
        opened=query.open,
        way=paths[0].ids if paths else (),
        losses=losses,
        key="lineage",
    )
    st.caption(
        "Point at a milestone or a line to read why they are linked; click one to read about it "
        "below. **+**, or a click with Shift, adds what else it is linked to. Years with more "
        "milestones are wider."
    )
    if acted.opened:
        _toggle_open(query, acted.opened)
        st.rerun()
    if acted.selected and acted.selected != query.selected:
        query_params.set_param("at", acted.selected if acted.selected != query.id else None)
        st.rerun()


def _show_counts(query: LineageQuery, lineage: "nx.MultiDiGraph") -> None:
    before, after = lineage_query.walk(query, lineage)
    parts = []
    if query.show != "after":
        parts.append(format_count(len(before), "ancestor"))
    if query.show != "before":
        parts.append(format_count(len(after), "descendant"))
    limit = query.max_links
    reach = "any number of links" if limit is None else f"at most {format_count(limit, 'link')}"
    st.caption(f"{' and '.join(parts)}, {reach} away.")


def _show_lost_counts(out: str, roles: Mapping[str, str], losses: Mapping[str, str]) -> None:
    short = escape_markdown(cache.milestones()[out].short)
    drawn = [losses.get(id) for id in roles]
    every, some = drawn.count("all"), drawn.count("some")
    st.caption(
        f"Without {short}: of the {format_count(len(roles), 'milestone')} drawn, {every} would "
        f"have lost every line to what came before, {some} a part of them. Point at one to see "
        "which."
    )


def _show_toggle(query: LineageQuery) -> None:
    """Takes the selected milestone out of the picture, or puts back the one that is out."""
    id = query.out or query.selected
    key = query_params.synced_key("lineage-out", query.out is not None)
    st.toggle(
        f"Without {escape_markdown(cache.milestones()[id].short)}",
        key=key,
        help="Takes it out of history: what would have lost its lines is drawn grey.",
        on_change=_write_out,
        args=(id, key),
    )


def _write_out(id: str, key: str) -> None:
    is_out = st.session_state[key]
    query_params.mark_synced("lineage-out", is_out)
    query_params.set_param("out", id if is_out else None)


def _toggle_open(query: LineageQuery, id: str) -> None:
    """Adds a milestone to those whose neighbours are shown, or takes it away again."""
    others = [other for other in query.open if other != id]
    ids = others if id in query.open else [*query.open, id]
    query_params.set_param("open", ",".join(ids) or None)
