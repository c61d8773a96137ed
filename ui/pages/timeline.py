"""The home page: the timeline with a search field.

What a search has found stands beside the timeline, the milestone that was clicked below it.
"""

from collections.abc import Collection, Iterable

import streamlit as st

from kb import search
from kb.schema import TRACKS
from kb.tables import MilestoneRow
from ui import cache, errors, format, html_parts, navigation, query_params
from ui.escape import escape_markdown
from ui.timeline_view import draw_timeline

RUNNABLE = "runs"  # the filter for milestones with an implementation, as it is in the address
FILTERS = (*TRACKS, RUNNABLE)
LISTED_RESULTS = 5  # search results shown beside the timeline


def show() -> None:
    milestones = cache.milestones()
    runnable = sum(1 for row in milestones.values() if row.implementation)
    st.title("The executable history of deep learning")
    st.markdown(
        f"It took theory *and* software *and* hardware *and* data. The timeline has "
        f"{len(milestones)} milestones; {runnable} of them have code that runs here and checks "
        "the paper's claims."
    )
    if not milestones:
        st.info(
            "The timeline is empty. `kb load` fills it from data/timeline.yaml.",
            icon=":material/info:",
        )
        return
    if tours := cache.tours():
        label = f"Begin here: {tours[0].title[:1].lower()}{tours[0].title[1:]}, step by step"
        navigation.link("tour", label, icon=":material/directions_walk:", id=tours[0].id)
    selected = st.query_params.get("at")
    selected = selected if selected in milestones else None
    answer, shown = _search_and_filter(milestones)
    results = [milestones[id] for id in answer.ids if id in shown] if answer else []
    left, right = st.columns([3, 1], gap="medium") if results else (st.container(), None)
    with left:
        clicked = draw_timeline(shown, selected, key="timeline")
    if clicked and clicked != selected and clicked in milestones:
        st.query_params["at"] = clicked
        st.rerun()
    if right:
        with right:
            _show_results(results)
    if selected:
        _show_card(milestones[selected])
    elif shown and not right:
        st.caption(
            "Click a milestone to read about it. Scroll to zoom and drag to move, or use the keys "
            "+ and - and the arrow keys."
        )


def _search_and_filter(
    milestones: dict[str, MilestoneRow],
) -> tuple[search.Answer | None, set[str]]:
    """Draws the search field and the filters.

    Returns the answer to the search, if there is one, and the ids that match search and filters.
    """
    left, right = st.columns([3, 4], vertical_alignment="center")
    with left:
        placeholder = "Search: gpu year:2006..2012, to:alexnet, author:hinton"
        query = query_params.query_field("Search the timeline", placeholder, hidden=True)
    with right:
        filters = _choose_filters()
    ids = _filtered_ids(milestones.values(), filters)
    answer = _answer(query) if query.strip() else None
    if answer:
        ids &= set(answer.ids)
    if not ids:
        st.info(
            "Nothing on the timeline matches. Use fewer words or fewer filters.",
            icon=":material/search_off:",
        )
    elif answer and answer.correction:
        navigation.show_correction(answer, milestones[answer.ids[0]])
    return answer, ids


def _choose_filters() -> list[str]:
    in_address = [name for name in st.query_params.get("show", "").split(",") if name in FILTERS]
    chosen = st.pills(
        "Show",
        FILTERS,
        selection_mode="multi",
        key=query_params.synced_key("shown", in_address),
        format_func=lambda name: "with code that runs" if name == RUNNABLE else name,
        label_visibility="collapsed",
    )
    if chosen != in_address:
        st.query_params["show"] = ",".join(chosen)
        query_params.mark_synced("shown", chosen)
    return chosen


def _filtered_ids(rows: Iterable[MilestoneRow], filters: Collection[str]) -> set[str]:
    tracks = [name for name in filters if name in TRACKS] or TRACKS
    return {
        row.id
        for row in rows
        if row.track in tracks and (row.implementation or RUNNABLE not in filters)
    }


def _answer(query: str) -> search.Answer | None:
    """The answer to a search; shows the error and returns None if the query is not valid."""
    try:
        return search.search(cache.engine(), query, limit=0)
    except search.BadQuery as error:
        errors.show_query_error(error)
        return None


def _show_card(row: MilestoneRow) -> None:
    """Shows the selected milestone with a link to its page."""
    with st.container(border=True, key="selected"):
        html_parts.show_track(row.track, row.kind, format.date(row.date))
        st.header(escape_markdown(row.title), anchor=False)
        html_parts.show_idea(row.entry["idea"])
        label = "Read it, see its code, run it" if row.implementation else "Read more"
        navigation.link("milestone", label, icon=":material/arrow_forward:", id=row.id)


def _show_results(rows: list[MilestoneRow]) -> None:
    """Shows the first search results; their links keep the search and the filters."""
    params = {name: st.query_params[name] for name in ("q", "show") if name in st.query_params}
    for row in rows[:LISTED_RESULTS]:
        with st.container(gap=None):
            label = f"{row.short}, {row.date[:4]}"
            navigation.link("timeline", label, **params, at=row.id)
            st.caption(escape_markdown(row.entry["idea"]))
    if len(rows) > LISTED_RESULTS:
        navigation.link("search", "All results on the Explore page", q=params["q"])
