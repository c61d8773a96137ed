"""Data that is opened or read once for all visitors: database, milestones, lineage graph."""

from typing import Any

import streamlit as st
from sqlalchemy import Engine

from kb import db
from kb import tours as tours_file
from kb.tables import MilestoneRow
from kb.tours import Tour


@st.cache_resource
def engine() -> Engine:
    return db.open_database()


def milestones() -> dict[str, MilestoneRow]:
    """All milestones by id, in order of date; read again when another timeline was loaded."""
    return _milestones(db.timeline_digest(engine()))


@st.cache_resource(max_entries=2)
def _milestones(digest: str | None) -> dict[str, MilestoneRow]:
    return {row.id: row for row in db.milestones(engine())}


def milestones_by_identifier() -> dict[int, str]:
    """By what imported works are recognised as milestones."""
    return _milestones_by_identifier(db.timeline_digest(engine()))


@st.cache_resource(max_entries=2)
def _milestones_by_identifier(digest: str | None) -> dict[int, str]:
    from kb.literature.milestones import milestones_by_identifier

    return milestones_by_identifier(milestones().values())


def tours() -> tuple[Tour, ...]:
    """The tours through the loaded timeline; read again when it or their file has changed."""
    file = tours_file.file_beside()
    changed = file.stat().st_mtime_ns if file.exists() else 0
    return _tours(db.timeline_digest(engine()), changed)


@st.cache_resource(max_entries=2)
def _tours(digest: str | None, changed: int) -> tuple[Tour, ...]:
    entries = {id: row.entry for id, row in milestones().items()}
    return tours_file.read_tours(tours_file.file_beside(), entries).tours


def lineage() -> Any:
    """The lineage as a networkx graph; read again when another timeline was loaded."""
    return _lineage(db.timeline_digest(engine()))


def links() -> Any:
    """The same graph with the links of every type, for what is shown and not followed."""
    return _links(db.timeline_digest(engine()))


@st.cache_resource(max_entries=2)
def _lineage(digest: str | None) -> Any:
    from kb import graph

    return graph.load_lineage(engine())


@st.cache_resource(max_entries=2)
def _links(digest: str | None) -> Any:
    from kb import graph

    return graph.load_links(engine())
