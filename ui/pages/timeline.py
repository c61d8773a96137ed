"""Home: the timeline in four lanes, and beneath it the milestone that was clicked."""

from typing import Any

import streamlit as st

from kb import graph
from kb.schema import date_range
from kb.tables import MilestoneRow
from ui import frame, words
from ui.timeline import timeline


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
    clicked = timeline(_items(found), selected=selected, links=_links(selected), key="timeline")
    if clicked and clicked != selected and clicked in found:
        st.query_params["at"] = clicked
        st.rerun()
    if selected:
        _card(found[selected])
    else:
        st.caption(
            "Click a milestone to read about it. Scroll to zoom, drag to move; the keys + and - and the arrows do the same."
        )


def _items(found: dict[str, MilestoneRow]) -> list[dict[str, Any]]:
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
        for row in found.values()
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
