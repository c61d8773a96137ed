"""Fixtures of the knowledge base's tests."""

import networkx as nx
import pytest
from sqlalchemy import Engine

from kb import db, graph
from tests.kb import search_timeline, small_lineage


@pytest.fixture(scope="session")
def small_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A database with the timeline in small_lineage.py."""
    engine = db.open_database(tmp_path_factory.mktemp("graph") / "kb.sqlite3")
    db.load_timeline(engine, small_lineage.TIMELINE)
    return engine


@pytest.fixture(scope="session")
def lineage(small_engine: Engine) -> nx.MultiDiGraph:
    return graph.load_lineage(small_engine)


@pytest.fixture(scope="session")
def search_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A database with the timeline and the runs in search_timeline.py."""
    engine = db.open_database(tmp_path_factory.mktemp("search") / "kb.sqlite3")
    search_timeline.load(engine)
    return engine
