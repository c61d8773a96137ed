"""The steps of a tour: what each tells, shows and asks."""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from kb.tours import Step
from ui import guesses, lineage_query, timeline_view, tour_views
from ui.claim_status import ClaimStatus
from ui.lineage import picture_data
from ui.site import milestone_parts
from ui.site.content import Content


def step(content: Content, step: Step, markdown: Callable[[str], Markup]) -> dict[str, Any]:
    """What the template shows of a step: its `view` and what that needs, and the guess."""
    row = content.milestones[step.at]
    return {
        "step": step,
        "row": row,
        "view": step.show,
        "question": _question(content, step),
        "data": _data(content, step),
        "sections": _sections(content, step, markdown),
        "claims": milestone_parts.claims_html(_statuses(content, step)),
    }


def _statuses(content: Content, step: Step) -> list[ClaimStatus]:
    """The claim that is asked about, or all of the milestone's."""
    if step.show != "claims":
        return []
    asked = step.question.claim if step.question else None
    return [one for one in content.statuses.get(step.at, []) if asked in (None, one.claim.id)]


def _question(content: Content, step: Step) -> dict[str, Any] | None:
    """What may be guessed; None where nothing is asked, or nobody knows the answer yet."""
    if step.question is None:
        return None
    asked = step.question.claim
    status = next(one for one in content.statuses[step.at] if one.claim.id == asked)
    right = guesses.right_options(status)
    if not right:
        return None
    return {
        "ask": step.question.ask,
        "options": list(guesses.options_of(status)),
        "right": right[0],
        "outcome": status.outcome,
    }


def _sections(
    content: Content, step: Step, markdown: Callable[[str], Markup]
) -> list[milestone_parts.Section]:
    if step.show != "equations":
        return []
    entry = content.milestones[step.at].entry
    implementation = content.implementations.get(step.at)
    return milestone_parts.sections(entry, implementation, markdown, stacked=True)


def _data(content: Content, step: Step) -> dict[str, Any] | None:
    """What the component of the step draws."""
    if step.show == "timeline":
        links = timeline_view.links_of(content.links, step.at)
        return {"selected": step.at, "links": links, "height": tour_views.TIMELINE_HEIGHT}
    if step.show != "lineage":
        return None
    roles, way = lineage_query.roles_and_way(step.at, step.to, content.milestones, content.lineage)
    picture = picture_data(content.lineage, roles, way, {})
    return picture | {"centre": step.at, "selected": step.at, "opened": []}
