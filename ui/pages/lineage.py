"""The lineage of one milestone, drawn; the way between two, told. What is asked is in the address and nowhere else:
`?id=dropout&show=before&depth=2`, `?id=backprop&to=alexnet`; `open` lists what was expanded, `at` is what was clicked.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

import streamlit as st

from kb import graph
from kb.tables import MilestoneRow
from ui import frame, words
from ui.lineage import MOST, lineage

if TYPE_CHECKING:
    import networkx as nx

SHOW = {"before": "what made it possible", "both": "both", "after": "what it made possible"}
DEPTHS = ("1", "2", "3", "4", "all")
WAYS = 3  # told between two milestones
LISTED = 18  # links in a row; the others wait behind a click
EXAMPLES = (
    ("What made AlexNet possible?", {"id": "alexnet", "show": "before"}),
    ("What came of the LSTM?", {"id": "lstm", "show": "after"}),
    ("How did back-propagation lead to dropout?", {"id": "backprop", "to": "dropout"}),
)


@dataclass(frozen=True)
class Asked:
    """The address, with what makes no sense left out."""

    id: str
    to: str | None
    show: str
    depth: str
    open: tuple[str, ...]
    at: str | None


def show() -> None:
    found = frame.milestones()
    name = st.query_params.get("id", "")
    if not name:
        _start(found)
        return
    if name not in found:
        st.title("No such milestone", anchor=False)
        st.write(f"The timeline has nothing with the id {frame.plain(name)}.")
        frame.link("lineage", "To the beginning of the lineage")
        return
    asked = _asked(name, found)
    st.title(_title(asked, found), anchor=False)
    _controls(asked, found)
    whole = frame.lineage()
    ways = graph.paths(whole, asked.id, asked.to, WAYS) if asked.to else []
    _picture(asked, whole, ways)
    about = found[asked.at or asked.id]
    left, right = st.columns([5, 4], gap="large")
    with left:
        if asked.to:
            _told(asked, whole, ways)
        _card(asked, about)
    with right:
        _without(whole, about)
        _meanwhile(whole, about)


def _start(found: dict[str, MilestoneRow]) -> None:
    st.title("Lineage", anchor=False)
    st.write(
        "What made a milestone possible, what it made possible, and how one led to another: "
        "each link has its type and its reason."
    )
    if not found:
        st.info("The timeline is empty. `kb load` fills it from data/timeline.yaml.", icon=":material/info:")
        return
    for question, query in EXAMPLES:
        if all(query[key] in found for key in ("id", "to") if key in query):
            frame.link("lineage", question, **query)
    with st.container(width=420):
        _choice("id", "Or begin with a milestone", found, None)


def _asked(name: str, found: dict[str, MilestoneRow]) -> Asked:
    given = st.query_params
    to = given.get("to")
    if to and to not in found:
        st.warning(f"The timeline has nothing with the id {frame.plain(to)}, so there is no path to it.")
    shown, depth = given.get("show", "both"), given.get("depth", "2")
    return Asked(
        id=name,
        to=to if to in found and to != name else None,
        show=shown if shown in SHOW else "both",
        depth=depth if depth in DEPTHS else "2",
        open=tuple(id for id in given.get("open", "").split(",") if id in found),
        at=at if (at := given.get("at")) in found else None,
    )


def _title(asked: Asked, found: dict[str, MilestoneRow]) -> str:
    short = frame.plain(found[asked.id].short)
    return f"From {short} to {frame.plain(found[asked.to].short)}" if asked.to else f"The lineage of {short}"


# Controls: the address is the truth, so each field shows what it says, and writes it when changed.


def _controls(asked: Asked, found: dict[str, MilestoneRow]) -> None:
    if asked.to:
        left, right = st.columns(2)
        with left:
            _choice("id", "Milestone", found, asked.id)
        with right:
            _choice("to", "and its path to", found, asked.to)
        return
    one, three, four, two = st.columns([3, 5, 3, 3])
    with one:
        _choice("id", "Milestone", found, asked.id)
    with two:
        _choice("to", "and its path to", found, None)
    with three:
        key = frame.synced("lineage-show", asked.show)
        st.segmented_control("Show", list(SHOW), format_func=SHOW.__getitem__, required=True, key=key,
                             on_change=_written, args=("show", key))  # fmt: skip
    with four:
        key = frame.synced("lineage-depth", asked.depth)
        st.segmented_control("Links away", DEPTHS, required=True, key=key, on_change=_written, args=("depth", key))


def _choice(name: str, label: str, found: dict[str, MilestoneRow], value: str | None) -> None:
    key = frame.synced(f"lineage-{name}", value)
    st.selectbox(
        label,
        list(found),
        index=None,
        format_func=lambda id: f"{found[id].short}, {found[id].date[:4]}",
        placeholder="choose a milestone",
        key=key,
        on_change=_written,
        args=(name, key),
    )


def _written(name: str, key: str) -> None:
    """A changed field goes into the address; with another milestone, what was clicked and opened before is forgotten."""
    value = st.session_state[key]
    frame.told(f"lineage-{name}", value)
    _write(name, value)
    if name in ("id", "to"):
        _write("at", None)
        _write("open", None)


def _write(name: str, value: str | None) -> None:
    if value:
        st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]


# The picture


def _picture(asked: Asked, whole: "nx.MultiDiGraph", ways: list[graph.Path]) -> None:
    roles, left_out = _roles(asked, whole, ways)
    if not asked.to:
        _counted(asked, whole)
    if left_out:
        st.caption(f"The nearest {len(roles)} are drawn; {left_out} farther away are not. Fewer links away show all.")
    way = [ways[0].start, *(step.id for step in ways[0].steps)] if ways else []
    acted = lineage(
        whole, roles, centre=asked.id, selected=asked.at or asked.id, opened=asked.open, way=way, key="lineage"
    )
    st.caption(
        "Point at a milestone or a line to read why they are linked; click one to read about it. **+**, or a click with "
        "Shift, opens what else it is linked to. Years with more in them are drawn wider."
    )
    if acted.opened:
        rest = [id for id in asked.open if id != acted.opened]
        _write("open", ",".join(rest if acted.opened in asked.open else [*asked.open, acted.opened]))
        st.rerun()
    if acted.selected and acted.selected != (asked.at or asked.id):
        _write("at", acted.selected if acted.selected != asked.id else None)
        st.rerun()


def _roles(asked: Asked, whole: "nx.MultiDiGraph", ways: list[graph.Path]) -> tuple[dict[str, str], int]:
    """What is drawn and as what, at most MOST of the nearest; and how many were left out."""
    if asked.to:
        wanted = {asked.id: "end", asked.to: "end"}
        for path in ways:
            wanted |= {step.id: "way" for step in path.steps if step.id not in wanted}
    else:
        wanted = {asked.id: "centre"}
        before, after = _walked(asked, whole)
        nearest = sorted([(step, "before") for step in before] + [(step, "after") for step in after], key=_depth)
        wanted |= {step.id: role for step, role in nearest}
    for id in asked.open:
        built_on, led_to = graph.neighbours(whole, id)
        wanted |= {step.id: "beside" for step in [*built_on, *led_to] if step.id not in wanted}
    return dict(islice(wanted.items(), MOST)), max(0, len(wanted) - MOST)


def _walked(asked: Asked, whole: "nx.MultiDiGraph") -> tuple[list[graph.Step], list[graph.Step]]:
    depth = None if asked.depth == "all" else int(asked.depth)
    before = graph.ancestors(whole, asked.id, depth) if asked.show != "after" else []
    return before, graph.descendants(whole, asked.id, depth) if asked.show != "before" else []


def _depth(item: tuple[graph.Step, str]) -> int:
    return item[0].depth


def _counted(asked: Asked, whole: "nx.MultiDiGraph") -> None:
    before, after = _walked(asked, whole)
    reach = "over any number of links" if asked.depth == "all" else f"at most {_counted_links(int(asked.depth))} away"
    parts = []
    if asked.show != "after":
        parts.append(f"{len(before)} made it possible")
    if asked.show != "before":
        parts.append(f"{len(after)} came of it")
    st.caption(f"{' and '.join(parts)}, {reach}.")


# Beneath the picture


def _told(asked: Asked, whole: "nx.MultiDiGraph", ways: list[graph.Path]) -> None:
    st.header("Step by step", anchor=False)
    if not ways:
        st.write("Nothing on the timeline links the two, whichever way it is followed.")
        return
    for number, path in enumerate(ways):
        if len(ways) > 1:
            st.markdown(f"**{'The shortest way' if not number else 'Another way'}**, {_counted_links(len(path.steps))}")
        lines = graph.tell(path, whole).splitlines()
        if not path.directed:
            st.write(frame.plain(lines.pop(0)))
        st.html(f"<ol>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ol>")
    if not ways[0].directed:
        common = graph.common_ancestors(whole, asked.id, asked.to or asked.id)
        st.write("Both descend from:" if common else "They have no ancestor in common.")
        _listed(common)


def _counted_links(n: int) -> str:
    return f"{n} link{'' if n == 1 else 's'}"


def _card(asked: Asked, row: MilestoneRow) -> None:
    with st.container(border=True, key="lineage-card"):
        words.kicker(row.track, row.kind, words.when(row.date))
        st.header(frame.plain(row.title), anchor=False)
        words.idea(row.entry["idea"])
        with st.container(horizontal=True):
            frame.link("milestone", "Open its page", id=row.id)
            if row.id != asked.id:
                frame.link("lineage", "Centre it here", id=row.id, show=asked.show, depth=asked.depth)
                begin = frame.milestones()[asked.id].short
                frame.link("lineage", f"Its path from {begin}", id=asked.id, to=row.id)


def _without(whole: "nx.MultiDiGraph", row: MilestoneRow) -> None:
    st.header(frame.plain(f"Without {row.short}"), anchor=False)
    falling = falls(whole, row.id)
    came = len(graph.descendants(whole, row.id))
    if not came:
        st.write("Nothing on the timeline came of it yet, so nothing would fall.")
    elif not falling:
        st.write(f"Nothing would fall: the {came} that came of it have other lines of descent, too.")
    else:
        st.write(
            f"{len(falling)} of the {came} that came of it would fall: every line of their descent goes through it. "
            "A link leads to the path."
        )
        _listed(falling, row.id)


def _meanwhile(whole: "nx.MultiDiGraph", row: MilestoneRow) -> None:
    st.header("Within a year, in other tracks", anchor=False)
    near = graph.contemporaries(whole, row.id)
    if not near:
        st.write("Nothing on the timeline.")
    for track in dict.fromkeys(frame.milestones()[id].track for id in near):
        with st.container(gap="xsmall"):
            words.kicker(track)
            _listed([id for id in near if frame.milestones()[id].track == track])


def _listed(ids: list[str], begin: str | None = None) -> None:
    """Links to the lineages of some milestones, or to the paths from `begin` to them."""
    _links(ids[:LISTED], begin)
    if rest := ids[LISTED:]:
        with st.expander(f"and {len(rest)} more"):
            _links(rest, begin)


def _links(ids: Iterable[str], begin: str | None) -> None:
    with st.container(horizontal=True, gap="small"):
        for id in ids:
            row = frame.milestones()[id]
            query = {"id": begin, "to": id} if begin else {"id": id}
            frame.link("lineage", f"{row.short}, {row.date[:4]}", **query)


def falls(whole: "nx.MultiDiGraph", id: str) -> list[str]:
    """The milestones that `id` is a pillar of, by date: without it none of their lines would lead back to a beginning.

    What still leads back without `id` is found by one walk from the beginnings; asking graph.pillars of every descendant
    would take a walk for each.
    """
    fallen = _standing(whole, None) - _standing(whole, id) - {id}
    return sorted(fallen, key=lambda one: (whole.nodes[one]["first"], one))


def _standing(whole: "nx.MultiDiGraph", without: str | None) -> set[str]:
    """The milestones with a line back to a beginning (one that builds on nothing) that avoids `without`."""
    frontier = [node for node, links in whole.out_degree() if not links and node != without]
    seen = set(frontier)
    while frontier:
        later = {one for node in frontier for one in whole.pred[node] if one != without}
        frontier = list(later - seen)
        seen |= later
    return seen
