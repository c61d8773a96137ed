"""The rows that a milestone of the YAML file becomes in the database."""

from typing import Any

from kb.schema import Claim, Executable, Milestone, date_range

Row = dict[str, Any]


def milestone_row(milestone: Milestone, position: int, entry: Row) -> Row:
    """`position` is that in the file, `entry` the milestone with the YAML's own keys."""
    first, last = date_range(milestone.date)
    return {
        "id": milestone.id,
        "position": position,
        "track": milestone.track,
        "kind": milestone.kind,
        "title": milestone.title,
        "short": milestone.short,
        "date": milestone.date,
        "first": first.isoformat(),
        "last": last.isoformat(),
        "implementation": milestone.impl if isinstance(milestone, Executable) else None,
        "entry": entry,
    }


def link_rows(milestone: Milestone) -> list[Row]:
    return [
        {"source": milestone.id, "target": link.to, "type": link.as_, "how": link.how}
        for link in milestone.links
    ]


def claim_rows(milestone: Milestone) -> list[Row]:
    if not isinstance(milestone, Executable):
        return []
    return [
        {
            "milestone": milestone.id,
            "id": claim.id,
            "position": position,
            "implementation": milestone.impl or "",
            "says": claim.says,
            "where": claim.where,
            "published": _published(claim),
        }
        for position, claim in enumerate(milestone.claims)
    ]


def _published(claim: Claim) -> Row | None:
    return claim.published.model_dump(mode="json", exclude_none=True) if claim.published else None


def full_text_row(milestone: Milestone) -> Row:
    return {
        "id": milestone.id,
        "short": milestone.short,
        "title": milestone.title,
        "people": ", ".join([*milestone.authors, *milestone.makers]),
        "tags": " ".join(milestone.tags),
        "idea": milestone.idea,
        "story": milestone.story,
    }
