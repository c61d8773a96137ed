"""What the pages of a site tell, read once: milestones, links, claims, tours, implementations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from kb import db, graph, implementations, tours
from kb.implementations import Implementation
from kb.tables import MilestoneRow
from kb.tours import Tour
from ui.claim_status import ClaimStatus, recorded_statuses
from ui.site.runs import RecordedRun, recorded_runs

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True)
class Content:
    milestones: dict[str, MilestoneRow]  # by id, in order of date
    lineage: "nx.MultiDiGraph"
    links: "nx.MultiDiGraph"  # those of every type
    statuses: dict[str, list[ClaimStatus]]  # by milestone
    tours: Sequence[Tour]
    implementations: dict[str, Implementation]  # by milestone
    runs: dict[str, RecordedRun]  # by implementation, those that are in this database


def read_content(engine: Engine) -> Content:
    """The loaded timeline. Raises ValueError if there is none."""
    milestones = {row.id: row for row in db.milestones(engine)}
    if not milestones:
        raise ValueError("the timeline is empty; `kb load` fills it from data/timeline.yaml")
    statuses: dict[str, list[ClaimStatus]] = {}
    for status in recorded_statuses(db.claims(engine)):
        statuses.setdefault(status.claim.milestone, []).append(status)
    entries = {id: row.entry for id, row in milestones.items()}
    by_milestone = {
        row.id: implementations.read(row.implementation)
        for row in milestones.values()
        if row.implementation
    }
    return Content(
        milestones=milestones,
        lineage=graph.load_lineage(engine),
        links=graph.load_links(engine),
        statuses=statuses,
        tours=tours.read_tours(tours.file_beside(), entries).tours,
        implementations=by_milestone,
        runs=recorded_runs(engine, {one.name for one in by_milestone.values()}),
    )
