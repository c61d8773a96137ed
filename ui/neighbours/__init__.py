"""A small picture of a milestone between what it builds on and what builds on it, by date."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kb.graph import Step
from kb.tables import MilestoneRow
from ui import components

MAX_PER_SIDE = 7  # milestones drawn at each side

_render = components.register(Path(__file__).parent)


def draw_neighbours(
    row: MilestoneRow,
    before: Sequence[Step],
    after: Sequence[Step],
    milestones: Mapping[str, MilestoneRow],
    *,
    key: str,
) -> str | None:
    """Draws the picture if the milestone has links.

    Returns the id of the milestone that was clicked, once; None in all other runs of the page.
    """
    data = neighbours_data(row, before, after, milestones)
    if not data["before"] and not data["after"]:
        return None
    clicked = _render(key=key, data=data, on_clicked_change=components.ignore_change).clicked
    return clicked if clicked in milestones else None


def neighbours_data(
    row: MilestoneRow,
    before: Sequence[Step],
    after: Sequence[Step],
    milestones: Mapping[str, MilestoneRow],
) -> dict[str, Any]:
    """What the picture shows, with a description of it in words for screen readers."""
    sides = {"before": _by_date(before, milestones), "after": _by_date(after, milestones)}
    description = "; ".join(
        f"{side} {row.short}: {', '.join(neighbour.short for neighbour in neighbours)}"
        for side, neighbours in sides.items()
        if neighbours
    )
    shown = {
        side: [_row_data(neighbour) for neighbour in neighbours[:MAX_PER_SIDE]]
        for side, neighbours in sides.items()
    }
    hidden = {side: max(0, len(neighbours) - MAX_PER_SIDE) for side, neighbours in sides.items()}
    return {"name": row.short, "description": description, "hidden": hidden, **shown}


def _by_date(steps: Sequence[Step], milestones: Mapping[str, MilestoneRow]) -> list[MilestoneRow]:
    """Each milestone once, however many links lead to it."""
    rows = {step.id: milestones[step.id] for step in steps}
    return sorted(rows.values(), key=lambda row: (row.first, row.id))


def _row_data(row: MilestoneRow) -> dict[str, str]:
    return {
        "id": row.id,
        "short": row.short,
        "title": f"{row.title}, {row.date[:4]}",
        "track": row.track,
    }
