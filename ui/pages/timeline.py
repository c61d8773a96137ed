"""Home: the timeline in four lanes, and beneath it the milestone that was clicked."""

from typing import Any

import streamlit as st

from kb import db, graph, search
from kb.schema import TRACKS, date_range
from kb.tables import MilestoneRow
from ui import frame, words
from ui.timeline import timeline

RUNS = "runs"
SHOWN = (*TRACKS, RUNS)
BEST = 4  # hits told beneath the timeline


def show() -> None:
    found = frame.milestones()
    st.title("The executable history of deep learning")
    runnable = sum(1 for row in found.values() if row.implementation)
    st.markdown(
        f"It took theory *and* software *and* hardware *and* data. {len(found)} milestones; "
        f"{runnable} of them run here, and check what their paper claims."
    )
    if not found:
        st.info("The timeline is empty. `kb load` fills it from data/timeline.yaml.", icon=":material/info:")
        return
    selected = st.query_params.get("at")
    selected = selected if selected in found else None
    answer, shown = _asked(found)
    if selected:
        shown |= {selected}
    every = _items(db.loaded(frame.engine()))
    span = min(item["start"] for item in every), max(item["end"] for item in every)
    items = [item for item in every if item["id"] in shown]
    clicked = timeline(items, span=span, selected=selected, links=_links(selected), key="timeline")
    if clicked and clicked != selected and clicked in found:
        st.query_params["at"] = clicked
        st.rerun()
    if selected:
        _card(found[selected])
    elif answer and shown:
        _best([found[id] for id in answer.ids if id in shown], st.query_params.to_dict())
    else:
        st.caption(
            "Click a milestone to read about it. Scroll to zoom, drag to move; the keys + and - and the arrows do the same."
        )


def _asked(found: dict[str, MilestoneRow]) -> tuple[search.Answer | None, set[str]]:
    """What was typed above the timeline, answered, and the milestones that it and the choice of tracks leave."""
    field, choice = st.columns([3, 4], vertical_alignment="center")
    with field:
        placeholder = "Search: gpu year:2006..2012, to:alexnet, author:hinton"
        query = frame.asked("Search the timeline", placeholder, hidden=True)
    given = [name for name in st.query_params.get("show", "").split(",") if name in SHOWN]
    with choice:
        key = frame.synced("shown", given)
        chosen = st.pills("Show", SHOWN, selection_mode="multi", key=key, label_visibility="collapsed")
    if chosen != given:
        st.query_params["show"] = ",".join(chosen)
        frame.told("shown", chosen)
    tracks = [name for name in chosen if name in TRACKS] or TRACKS
    ids = {row.id for row in found.values() if row.track in tracks and (row.implementation or RUNS not in chosen)}
    answer = _answer(query) if query.strip() else None
    if answer:
        ids &= set(answer.ids)
    if not ids:
        st.info("Nothing on the timeline matches. Fewer words or choices may help.", icon=":material/search_off:")
    elif answer and answer.correction:
        st.info(f"Nothing matches as written; shown is {frame.plain(answer.correction)}.", icon=":material/search:")
        frame.about(found[answer.ids[0]])
    return answer, ids


def _answer(query: str) -> search.Answer | None:
    try:
        return search.search(frame.engine(), query, limit=0)
    except search.BadQuery as error:
        frame.unreadable(error)
        return None


def _best(rows: list[MilestoneRow], asked: dict[str, str]) -> None:
    """The first of what was found, where nothing was clicked yet."""
    for row in rows[:BEST]:
        with st.container(gap=None):
            frame.link("timeline", f"{row.short}, {row.date[:4]}", **asked | {"at": row.id})
            st.caption(frame.plain(row.entry["idea"]))
    if len(rows) > BEST:
        frame.link("search", "All of them, and why they match", q=asked["q"])


@st.cache_resource(max_entries=2)
def _items(digest: str | None) -> list[dict[str, Any]]:
    """What the timeline shows of every milestone."""
    weights = graph.influence(frame.lineage())
    return [
        {
            "id": row.id,
            "short": row.short,
            "title": row.title,
            "date": row.date,
            "start": _year(row.date, 0),
            "end": _year(row.date, 1),
            "track": row.track,
            "kind": row.kind,
            "idea": row.entry["idea"],
            "runs": row.implementation is not None,
            "weight": max(weights.get(row.id, 0.0), 0.6 if row.implementation else 0.0),
        }
        for row in frame.milestones().values()
    ]


def _year(date: str, end: int) -> float:
    """The first or last day that a date can mean, as a year with decimals."""
    day = date_range(date)[end]
    return day.year + (day.timetuple().tm_yday - 1) / 366


def _links(selected: str | None) -> list[dict[str, Any]]:
    if selected is None:
        return []
    built_on, led_to = graph.neighbours(frame.lineage(), selected)
    before = [{"source": selected, "target": step.id, "as": step.via, "how": step.how} for step in built_on]
    return before + [{"source": step.id, "target": selected, "as": step.via, "how": step.how} for step in led_to]


def _card(row: MilestoneRow) -> None:
    with st.container(border=True, key="selected"):
        words.kicker(row.track, row.kind, words.when(row.date))
        st.header(frame.plain(row.title), anchor=False)
        words.idea(row.entry["idea"])
        label = "Read it, see its code, run it" if row.implementation else "Read more"
        st.page_link(
            frame.pages()["milestone"], label=label, icon=":material/arrow_forward:", query_params={"id": row.id}
        )
