"""The record of the ladders: what is kept, what is said of it, what is marked as outdated."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kb import ladders, loader, paths, source_hashes
from tests.kb.shell import printed, run_kb

RUNG = {"parameters": 100, "updates": 7, "flops": 3, "lrs": [0.1, 0.3], "at_edge": 0}


def rung(name: str, mean: float | None, half: float = 1.0, **more: Any) -> dict[str, Any]:
    low, high = (None, None) if mean is None else (mean - half, mean + half)
    return {"name": name, "milestone": name, "mean": mean, "low": low, "high": high,
            "gain": None, "values": [mean, mean], **RUNG, **more}  # fmt: skip


def test_the_record_has_every_ladder_and_milestones_that_there_are(
    timeline: loader.Timeline,
) -> None:
    recorded = list(ladders.recorded())
    assert [one.name for one in recorded] == ladders.names()
    dates = {milestone.id: milestone.date for milestone in timeline.milestones}
    for one in recorded:
        assert not one.is_stale, f"{one.command} is due"
        for condition in one.entry["conditions"]:
            order = [dates[each["milestone"]] for each in condition["rungs"]]
            assert order == sorted(order), "the oldest first"


def test_the_best_rung_has_the_lowest_mean_and_says_with_how_many_seeds() -> None:
    older, newer = rung("a", 5.0, values=[4.0, 6.0]), rung("b", 6.0, values=[5.0, 7.0])
    assert ladders.best_rung([older, newer]) == ("a", 2, 2)
    even = rung("c", 4.5, values=[4.5, 4.5])
    assert ladders.best_rung([older, newer, even]) == ("c", 1, 2)
    assert ladders.best_rung([rung("d", None), newer]) == ("b", 2, 2)
    assert ladders.best_rung([rung("d", None)]) is None


@pytest.mark.parametrize(
    "gain, words",
    [
        (None, ""),
        ({"mean": 7.0, "low": 3.0, "high": 11.0}, "7 better (3 .. 11)"),
        ({"mean": -7.0, "low": -11.0, "high": -3.0}, "7 worse (3 .. 11)"),
        ({"mean": 1.0, "low": -2.0, "high": 4.0}, "no sure difference (-2 .. 4)"),
        ({"mean": None, "low": None, "high": None}, "not known"),
    ],
)
def test_a_step_in_words(gain: dict[str, Any] | None, words: str) -> None:
    assert ladders.step_in_words(gain) == words


def test_the_hash_covers_what_a_ladder_imports_and_no_drawing(tmp_path: Path) -> None:
    copy = tmp_path / "impl"
    shutil.copytree(paths.IMPLEMENTATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "ladders" / "generative.py"
    before = source_hashes.ladder_hash(file, tmp_path)
    assert before == ladders.source_hash("generative"), "the folder does not matter"
    (copy / "drawing" / "ddpm.py").write_text("# another picture\n")
    (copy / "gru.py").write_text("# not imported\n")
    assert source_hashes.ladder_hash(file, tmp_path) == before
    for module in ("ddpm.py", "kit/tasks.py", "ladders/ladder.py"):
        with (copy / module).open("a") as source:
            source.write("# changed\n")
        after = source_hashes.ladder_hash(file, tmp_path)
        assert after != before, module
        before = after


@pytest.mark.usefixtures("loaded")
def test_the_shell_prints_tables_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run_kb(capsys, "ladders", "sequence")
    assert status == 0
    assert "bahdanau-attention" in out and "kb ladders sequence --record" in out
    assert "robbins-monro" not in out
    every = printed(capsys, "ladders", "--json")
    assert [one["name"] for one in every] == ladders.names()
    assert every[0].keys() == {
        *("name", "stale", "title", "task", "unit", "settings", "environment", "conditions"),
        *("measured", "source_hash"),
    }


def test_wrong_names_and_options_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run_kb(capsys, "ladders", "sequense")
    assert status == 1 and 'did you mean "sequence"' in err
    status, _, err = run_kb(capsys, "ladders", "--seed", "3")
    assert status == 1 and "--record" in err


def test_measuring_adds_the_machine_and_replaces_one_ladder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladders, "record_file", lambda: tmp_path / "results" / "ladders.json")
    assert list(ladders.recorded()) == []
    python = tmp_path / "python"  # says what a ladder would; tests/impl asks the ladders themselves
    printed_text = json.dumps({"environment": {}, "conditions": [{"rungs": [rung("adam", 1.0)]}]})
    python.write_text(f"#!/bin/sh\necho \"$@\" >{tmp_path}/arguments\necho '{printed_text}'\n")
    python.chmod(0o755)
    monkeypatch.setattr(ladders.sys, "executable", str(python))
    entry = ladders.measure("optimizers", preset="smoke", seed=7)
    arguments = "-m impl.ladders.optimizers --json --preset smoke --seed 7\n"
    assert (tmp_path / "arguments").read_text() == arguments
    assert entry["environment"]["device_name"] and entry["environment"]["cpu_seconds"] >= 0
    file = ladders.write_record({"optimizers": entry, "gone": entry})
    assert [*json.loads(file.read_text())] == ["optimizers"], "a ladder that is no more is dropped"
    (one,) = ladders.recorded()
    assert one.has_rung("adam") and not one.has_rung("gan") and not one.is_stale
    ladders.write_record({"optimizers": entry | {"source_hash": "0"}})
    (one,) = ladders.recorded()
    assert one.is_stale


def test_a_measurement_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ladders, "record_file", lambda: tmp_path / "ladders.json")
    monkeypatch.setattr(ladders.sys, "executable", "/bin/false")
    status, _, err = run_kb(capsys, "ladders", "depth", "--record")
    assert status == 1 and "ended with status 1; nothing changed" in err
    assert not (tmp_path / "ladders.json").exists()
