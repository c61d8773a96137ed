"""Guard: every file in impl/ keeps the contract of DESIGN, and its smoke preset runs."""

import dataclasses
import importlib
from types import ModuleType
from typing import Any

import pytest
import torch

from impl.kit import Figure, Progress, Verdict
from kb import implementations, loader, places, record
from kb.schema import Executable

NAMES = implementations.names()


def module(name: str) -> ModuleType:
    return importlib.import_module(f"impl.{name}")


def smoke(name: str) -> tuple[list[dict[str, Any]], list[Figure], list[Progress]]:
    events = list(module(name).run(module(name).PRESETS["smoke"], torch.device("cpu")))
    rows = [event for event in events if isinstance(event, dict)]
    return rows, [e for e in events if isinstance(e, Figure)], [e for e in events if isinstance(e, Progress)]


def test_every_implementation_is_found() -> None:
    named = {m.impl for m in loader.load(places.TIMELINE).milestones if isinstance(m, Executable) and m.impl}
    assert set(NAMES) == named
    assert len(NAMES) == len([path for path in places.IMPLEMENTATIONS.glob("*.py") if path.stem != "__init__"]) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_what_ast_reads_is_what_import_gives(name: str) -> None:
    read, imported = implementations.read(name), module(name)
    assert {key: dataclasses.asdict(preset) for key, preset in imported.PRESETS.items()} == read.presets
    assert dataclasses.asdict(imported.Config()) == {s.name: s.default for s in read.settings}
    assert all(setting.comment for setting in read.settings), (
        "each setting says where the paper gives it, or that it is ours"
    )
    assert {"seed", "seeds"} <= {setting.name for setting in read.settings}
    assert set(read.doc) >= {"Claims", "Deviations", "Shapes"}


@pytest.mark.parametrize("name", NAMES)
def test_smoke_runs_and_judges_every_claim_once(name: str) -> None:
    rows, figures, progress = smoke(name)
    verdicts = module(name).check(rows)
    assert all(isinstance(verdict, Verdict) for verdict in verdicts)
    assert [verdict.claim for verdict in verdicts] == list(implementations.read(name).claims)
    assert verdicts == module(name).check(rows), "the check is a pure function of the rows"
    assert figures and all(figure.png.startswith(b"\x89PNG") and figure.caption for figure in figures)
    assert progress and progress[-1].done == pytest.approx(progress[-1].total)
    assert any("step" in row for row in rows), "something to draw a curve of"
    for row in rows:
        assert all(isinstance(value, int | float | str | bool) for value in row.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name: str) -> None:
    assert repr(smoke(name)[0]) == repr(smoke(name)[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_record_has_every_claim(name: str) -> None:
    kept = record.read().get(name)
    assert kept, f"`kb record {name}` measures it and writes results/quick.json"
    assert [verdict["claim"] for verdict in kept["verdicts"]] == list(implementations.read(name).claims)


@pytest.mark.claims
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_quick_gives_the_verdicts_on_record(name: str) -> None:
    """Slow. Another verdict is news: `kb record NAME` puts it on record, and the story may have to say so."""
    rows = [e for e in module(name).run(module(name).PRESETS["quick"], torch.device("cpu")) if isinstance(e, dict)]
    kept = record.read()[name]
    if sorted({str(row["data"]) for row in rows if "data" in row}) != kept["data"]:
        pytest.skip(f"the record was made on {kept['data']}")
    found = {verdict.claim: verdict.verdict for verdict in module(name).check(rows)}
    assert found == {verdict["claim"]: verdict["verdict"] for verdict in kept["verdicts"]}
