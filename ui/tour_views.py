"""What stands beside the text of a tour's step: a view of its milestone."""

from typing import assert_never

import streamlit as st

from kb import db
from kb.implementations import Implementation
from kb.tables import MilestoneRow
from kb.tours import Step
from ui import cache, claim_cards, code_view, launch_form, lineage_query, timeline_view
from ui.claim_status import claim_statuses
from ui.lineage import lineage as draw_lineage

TIMELINE_HEIGHT = 480  # pixels


def show_view(step: Step, row: MilestoneRow, implementation: Implementation | None) -> None:
    match step.show:
        case "timeline":
            show_place(row)
        case "lineage":
            show_lineage(step.at, step.to)
        case "equations":
            if implementation:
                code_view.show_equations(row.entry, implementation, stacked=True)
        case "claims":
            _show_claims(step, row, implementation)
        case _:
            assert_never(step.show)


def show_place(row: MilestoneRow) -> None:
    """Shows the milestone on the timeline."""
    timeline_view.draw_timeline(
        cache.milestones(), row.id, key="tour-timeline", height=TIMELINE_HEIGHT
    )


def show_lineage(at: str, to: str | None = None) -> None:
    """The paths to another milestone, or else what the milestone is linked to before it."""
    roles, way = lineage_query.roles_and_way(at, to, cache.milestones(), cache.lineage())
    draw_lineage(
        cache.lineage(),
        roles,
        centre=at,
        selected=at,
        opened=(),
        way=way,
        losses={},
        key="tour-lineage",
    )


def _show_claims(step: Step, row: MilestoneRow, implementation: Implementation | None) -> None:
    """The claim that was asked about, or all of the milestone's; and a button to measure them."""
    asked = step.question.claim if step.question else None
    claims = [claim for claim in db.claims(cache.engine(), row.id) if asked in (None, claim.id)]
    claim_cards.show_claims(claim_statuses(claims))
    if implementation:
        st.caption(
            "The card says when and where this was measured; a run on this machine measures it "
            "again."
        )
        launch_form.show_quick_button(implementation)
