"""Guard: every file in impl/ keeps the contract of implementations, and its smoke preset runs."""

import dataclasses

import pytest
import torch

from impl.kit import Figure, Progress, Verdict
from impl.kit.trials import WORKERS_VARIABLE
from kb import implementations, loader, paths, results
from kb.schema import Executable
from tests.impl.smoke import module, run_smoke, smoke_events, smoke_rows

NAMES = implementations.names()


def test_every_implementation_is_found() -> None:
    named = {
        m.impl
        for m in loader.read_timeline(paths.TIMELINE).milestones
        if isinstance(m, Executable) and m.impl
    }
    assert set(NAMES) == named
    files = {path.stem for path in paths.IMPLEMENTATIONS.glob("*.py")} - {"__init__"}
    assert set(NAMES) == files and len(files) >= 3


def test_what_ast_reads_is_what_import_gives(subtests: pytest.Subtests) -> None:
    for name in NAMES:
        with subtests.test(name):
            check_reading(name)


def check_reading(name: str) -> None:
    read, imported = implementations.read(name), module(name)
    assert {
        key: dataclasses.asdict(preset) for key, preset in imported.PRESETS.items()
    } == read.presets
    assert dataclasses.asdict(imported.Config()) == {s.name: s.default for s in read.settings}
    assert all(setting.comment for setting in read.settings), (
        "each setting says where the paper gives it, or that it is ours"
    )
    assert {"seed", "seeds"} <= {setting.name for setting in read.settings}
    assert set(read.doc) >= {"Claims", "Deviations", "Shapes"}


@pytest.mark.parametrize("name", NAMES)
def test_smoke_runs_and_judges_every_claim_once(name: str) -> None:
    rows = smoke_rows(name)
    figures = [event for event in smoke_events(name) if isinstance(event, Figure)]
    progress = [event for event in smoke_events(name) if isinstance(event, Progress)]
    verdicts = module(name).check(rows)
    assert all(isinstance(verdict, Verdict) for verdict in verdicts)
    assert [verdict.claim for verdict in verdicts] == list(implementations.read(name).claims)
    assert verdicts == module(name).check(rows), "the check is a pure function of the rows"
    assert figures and all(
        figure.png.startswith(b"\x89PNG") and figure.caption for figure in figures
    )
    assert progress and progress[-1].done == pytest.approx(progress[-1].total)
    assert any("step" in row for row in rows), "something to draw a curve of"
    for row in rows:
        assert all(isinstance(value, int | float | str | bool) for value in row.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other or two at the same time, in any order: trials yield the same rows."""
    monkeypatch.setenv(WORKERS_VARIABLE, "2")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *args, **more: None)
    again = [event for event in run_smoke(name) if isinstance(event, dict)]
    assert sorted(map(repr, again)) == sorted(map(repr, smoke_rows(name)))


def test_every_claim_names_what_takes_its_idea_out(subtests: pytest.Subtests) -> None:
    for name in NAMES:
        with subtests.test(name):
            check_broken(name)


def check_broken(name: str) -> None:
    claims = module(name).CLAIMS
    assert [claim.claim for claim in claims] == list(implementations.read(name).claims)
    broken = module(name).BROKEN
    assert (
        set(broken) == {claim.claim for claim in claims} == set(implementations.read(name).broken)
    )
    settings = {field.name for field in dataclasses.fields(module(name).Config)}
    for change in broken.values():
        assert callable(change) or set(change) <= settings


def test_the_record_has_every_claim(subtests: pytest.Subtests) -> None:
    record = results.read_record()
    for name in NAMES:
        with subtests.test(name):
            assert name in record, f"`kb record {name}` measures it and writes results/quick.json"
            for block in record[name]["blocks"]:
                claims = [verdict["claim"] for verdict in block["verdicts"]]
                assert claims == list(implementations.read(name).claims)


@pytest.mark.claims
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_quick_gives_the_verdicts_on_record(name: str) -> None:
    """Slow. `kb record NAME` puts another verdict on record; the story may have to say so."""
    events = module(name).run(module(name).PRESETS["quick"], torch.device("cpu"))
    rows = [event for event in events if isinstance(event, dict)]
    kept = results.read_record()[name]["blocks"][0]
    if sorted({str(row["data"]) for row in rows if "data" in row}) != kept["data"]:
        pytest.skip(f"the record was made on {kept['data']}")
    found = {verdict.claim: verdict.verdict for verdict in module(name).check(rows)}
    assert found == {verdict["claim"]: verdict["verdict"] for verdict in kept["verdicts"]}
