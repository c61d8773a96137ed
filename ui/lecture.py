"""Lecture mode: a milestone or a tour in large type, one thing at a time, without the menu.

`?lecture=1` in the address turns it on, `slide=2` is a milestone's second slide.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from kb import implementations
from kb.equations import sections_with_equations
from kb.runs import store
from kb.tables import MilestoneRow
from ui import (
    cache,
    claim_cards,
    code_view,
    format,
    html_parts,
    launch_form,
    navigation,
    paging,
    query_params,
    run_results,
    tour_views,
)
from ui.claim_status import ClaimStatus
from ui.escape import escape_markdown

STYLE = Path(__file__).parent / "lecture.css"
Slide = Callable[[], None]


def is_on() -> bool:
    return st.query_params.get("lecture") == "1"


def show_switch() -> None:
    """Shows the button that turns it on, or off again, also by a key."""
    if is_on():
        st.html(STYLE)
        if st.button("Leave", icon=":material/close:", shortcut="Escape", type="tertiary"):
            query_params.set_param("lecture", None)
            query_params.set_param("slide", None)
            st.rerun()
    elif st.button(
        "Lecture",
        icon=":material/slideshow:",
        shortcut="L",
        type="tertiary",
        help="Large type, one thing at a time; the arrow keys go on and back, Escape leaves.",
    ):
        query_params.set_param("lecture", "1")
        st.rerun()


def show_slide(row: MilestoneRow, statuses: list[ClaimStatus]) -> None:
    """Shows the slide of the milestone that the address names."""
    slides = _slides(row, statuses)
    number = paging.read_number("slide", len(slides))
    show_switch()
    st.caption(f"{escape_markdown(row.short)}: {number} of {len(slides)}")
    slides[number - 1]()
    paging.show_buttons("slide", number, len(slides))


def _slides(row: MilestoneRow, statuses: list[ClaimStatus]) -> list[Slide]:
    """The idea, its equations with their code, what was measured, pictures of it, its lineage."""
    slides: list[Slide] = [partial(_show_idea, row)]
    if row.implementation:
        implementation = implementations.read(row.implementation)
        parts = sections_with_equations(row.entry, implementation)
        slides += [partial(code_view.show_section, *part) for part in parts]
        slides.append(partial(_show_measured, statuses, implementation))
        slides += _picture_slides(row.implementation)
    return [*slides, partial(_show_lineage, row)]


def _show_idea(row: MilestoneRow) -> None:
    html_parts.show_track(row.track, row.kind, format.date(row.date))
    st.title(escape_markdown(row.title), anchor=False)
    st.markdown(escape_markdown(format.authors(row.entry)))
    html_parts.show_idea(row.entry["idea"])


def _show_measured(
    statuses: list[ClaimStatus], implementation: implementations.Implementation
) -> None:
    st.html(claim_cards.headline_html(statuses))
    launch_form.show_quick_button(implementation)


def _picture_slides(name: str) -> list[Slide]:
    """The pictures of the newest run on this machine that has any."""
    for run in store.latest(cache.engine(), implementation=name, limit=10):
        if run.status == "succeeded" and store.artifacts(cache.engine(), run.id):
            return [partial(run_results.show_pictures, run)]
    return []


def _show_lineage(row: MilestoneRow) -> None:
    st.header(f"What made {escape_markdown(row.short)} possible", anchor=False)
    tour_views.show_lineage(row.id)
    navigation.link("lineage", f"The lineage of {row.short}", id=row.id)
