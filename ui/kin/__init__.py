"""A milestone among its nearest kin, as a small picture: what it stands on, what came of it, each side by date."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from kb.graph import Step
from kb.tables import MilestoneRow

MOST = 7  # milestones at a side

_HERE = Path(__file__).parent
_picture = st.components.v2.component(
    "kin",
    css=(_HERE / "kin.css").read_text(encoding="utf-8"),
    js=(_HERE / "kin.js").read_text(encoding="utf-8"),
)


def kin(
    row: MilestoneRow, before: Sequence[Step], after: Sequence[Step], found: Mapping[str, MilestoneRow], *, key: str
) -> str | None:
    """Draws it, if anything is linked to it; the id of the milestone that was clicked, once, or None otherwise."""
    data = kinship(row, before, after, found)
    if not data["before"] and not data["after"]:
        return None
    clicked = _picture(key=key, data=data, on_clicked_change=_nothing).clicked
    return clicked if clicked in found else None


def kinship(
    row: MilestoneRow, before: Sequence[Step], after: Sequence[Step], found: Mapping[str, MilestoneRow]
) -> dict[str, Any]:
    """What the picture shows, and the same in words."""
    sides = {"before": _by_date(before, found), "after": _by_date(after, found)}
    said = []
    if sides["before"]:
        said.append(f"{row.short} stands on {', '.join(one.short for one in sides['before'])}")
    if sides["after"]:
        said.append(f"of {row.short} came {', '.join(one.short for one in sides['after'])}")
    shown = {side: [_told(one) for one in some[:MOST]] for side, some in sides.items()}
    more = {side: max(0, len(some) - MOST) for side, some in sides.items()}
    return {"name": row.short, "said": "; ".join(said), "more": more, **shown}


def _by_date(steps: Sequence[Step], found: Mapping[str, MilestoneRow]) -> list[MilestoneRow]:
    """Each milestone once, whatever the number of its links."""
    return sorted({step.id: found[step.id] for step in steps}.values(), key=lambda row: (row.first, row.id))


def _told(row: MilestoneRow) -> dict[str, str]:
    return {"id": row.id, "short": row.short, "title": f"{row.title}, {row.date[:4]}", "track": row.track}


def _nothing() -> None:
    """Streamlit wants a callback before it gives the result an attribute; the click is read from the result."""
