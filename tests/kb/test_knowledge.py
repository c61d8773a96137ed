"""The knowledge base as notebooks use it: `from kb import open_kb`."""

import subprocess
import sys

import pytest

from kb import graph, open_kb, sql
from kb.knowledge import KnowledgeBase
from kb.search import BadQuery


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    return open_kb(tmp_path_factory.mktemp("kb") / "kb.sqlite3")


def test_milestones_by_id_and_in_order(kb: KnowledgeBase) -> None:
    assert kb["dropout"].authors[0] == "Nitish Srivastava"
    assert "dropout" in kb and "dropuot" not in kb
    dates = [milestone.date[:4] for milestone in kb]
    assert len(kb) == len(dates) >= 40 and dates == sorted(dates)
    with pytest.raises(graph.UnknownMilestone, match='did you mean "dropout"'):
        kb["dropuot"]


def test_the_lineage_of_a_milestone(kb: KnowledgeBase) -> None:
    assert "backprop" in {step.id for step in kb.ancestors("dropout", depth=1)}
    assert "dropout" in {step.id for step in kb.descendants("backprop")}
    assert "builds on Back-propagation" in kb.story("dropout", "backprop")
    assert set(kb.pillars("dropout")) <= {step.id for step in kb.ancestors("dropout")}
    assert set(kb.common_ancestors("dropout", "lenet5")) <= {
        step.id for step in kb.ancestors("dropout")
    }
    assert kb.paths("dropout", "backprop")[0].directed
    assert next(iter(kb.influence().values())) == 1.0


def test_contemporaries_are_of_other_tracks_and_near(kb: KnowledgeBase) -> None:
    near = kb.contemporaries("dropout", years=0.5)
    assert near and near[0] in kb
    assert all(kb[id].track != "theory" and kb[id].date[:4] in ("2012", "2013") for id in near)
    assert set(near) <= set(kb.contemporaries("dropout", years=3))


def test_search_and_sql(kb: KnowledgeBase) -> None:
    assert kb.search("dropout")[0].id == "dropout"
    hardware = kb.search("track:hardware", limit=1000)
    assert kb.facets("track:hardware")["track"]["hardware"] == len(hardware)
    assert kb.sql("SELECT short FROM milestone WHERE id = 'lstm'") == [{"short": "LSTM"}]
    with pytest.raises(BadQuery):
        kb.search("trak:data")
    with pytest.raises(sql.Refused):
        kb.sql("DELETE FROM run")


def test_a_run_needs_the_database_of_kb_home(kb: KnowledgeBase) -> None:
    with pytest.raises(ValueError, match="KB_HOME"):
        kb.run("dropout", "smoke")


def test_a_run_returns_its_verdicts() -> None:
    described = open_kb().run("perceptron", "smoke", seeds=2)
    assert described["status"] == "succeeded" and described["settings"]["seeds"] == 2
    assert [verdict["claim"] for verdict in described["verdicts"]] == [
        "convergence",
        "xor",
        "association-units",
    ]


def test_importing_kb_imports_no_large_package() -> None:
    large = {"torch", "networkx", "sqlmodel", "streamlit"}
    command = [sys.executable, "-c", "import sys, kb; print(*sys.modules)"]
    imported = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not large & set(imported)
