"""The verbs that write the record and measure it again."""

import json
from pathlib import Path
from typing import Any

import pytest

from kb import certificates, implementations, paths, results
from tests.kb.shell import printed, run_kb


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the record and its page are written, in place of the repository."""
    monkeypatch.setattr(paths, "SHARE", tmp_path)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


DROPOUT = json.loads((paths.SHARE / "results" / "quick.json").read_text())["dropout"]
SOURCE = implementations.read("dropout").source_hash


def block_of(seed: int, source: str = SOURCE) -> dict[str, Any]:
    return DROPOUT["blocks"][0] | {"seed": seed, "source_hash": source}


def test_record_writes_the_record_and_its_page(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = {"dropout": [block_of(0)], "gan": []}
    monkeypatch.setattr(results, "measure_blocks", lambda _, name, *args: measured[name])
    arguments = ("record", "dropout", "--seed", "0", "--json")
    assert printed(capsys, *arguments) == {"dropout": measured["dropout"]}
    assert results.read_record()["dropout"] == {"blocks": measured["dropout"], "broken": {}}
    page = (folder / "RESULTS.md").read_text()
    assert "[Dropout, 2012](impl/dropout.py)" in page and "gan.py" not in page
    assert run_kb(capsys, "record", "dropout", "gan", "--seed", "0")[0] == 1, "one run failed"
    assert results.read_record()["dropout"]["blocks"] == measured["dropout"]


def test_what_was_measured_is_recorded_before_the_next_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(engine: object, name: str, *args: object) -> list[dict[str, Any]]:
        if name == "gan":
            raise KeyboardInterrupt
        return [block_of(0)]

    monkeypatch.setattr(results, "measure_blocks", measure)
    with pytest.raises(KeyboardInterrupt):
        run_kb(capsys, "record", "dropout", "gan")
    assert len(results.read_record()["dropout"]["blocks"]) == 1


def test_missing_measures_what_the_record_lacks_for_this_source(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []
    verdict = DROPOUT["blocks"][0]["verdicts"][0] | {"verdict": "not reproduced"}
    first, *others = implementations.read("dropout").broken
    old, new = ({first: verdict | {"source_hash": source}} for source in ("old", SOURCE))
    monkeypatch.setattr(results, "measure_blocks", lambda *args: asked.append(args[3]) or [])
    monkeypatch.setattr(results, "measure_broken", lambda *args: asked.append(args[3]) or {})
    blocks = {"dropout": [block_of(0, "old"), block_of(1000, "old")]}
    results.write_record(blocks, {"dropout": old}, "quick")
    for option in (("--seed", "0", "1000"), ("--broken",)):
        run_kb(capsys, "record", "dropout", "--missing", *option)
    assert asked == [[0, 1000], [first, *others]]
    results.write_record({"dropout": [block_of(1000)]}, {"dropout": new}, "quick")
    for option in (("--seed", "0", "1000"), ("--broken",)):
        run_kb(capsys, "record", "dropout", "--missing", *option)
    assert asked[2:] == [[0], others]


def test_record_refuses_a_claim_that_stands_without_its_idea(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = list(implementations.read("dropout").broken)
    for outcome, status in [("not reproduced", 0), ("reproduced", 1)]:
        verdict = DROPOUT["blocks"][0]["verdicts"][0] | {"verdict": outcome, "source_hash": SOURCE}
        broken = dict.fromkeys(claims, verdict)
        monkeypatch.setattr(results, "measure_broken", lambda *_, broken=broken: broken)
        assert run_kb(capsys, "record", "dropout", "--broken")[0] == status
        assert results.read_record()["dropout"]["broken"] == broken


def test_verify_measures_a_block_again_and_names_what_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = DROPOUT["blocks"][0] | {"rows_sha256": "a"}
    block |= {"certificate": certificates.certificate(block)}
    results.write_record({"dropout": [block]}, {}, "quick")
    other = block | {"rows_sha256": "b", "source_hash": "c"}
    monkeypatch.setattr(results, "repeat_block", lambda *_: block)
    status, out, _ = run_kb(capsys, "verify", "dropout")
    assert (status, out.strip()) == (0, "dropout, seed 0: same")
    monkeypatch.setattr(results, "repeat_block", lambda *_: other)
    status, out, _ = run_kb(capsys, "verify", "dropout")
    assert status == 0 and "same verdicts, other figures\n  differs: the source" in out
    results.write_record({"dropout": [block | {"data": ["forged"]}]}, {}, "quick")
    status, out, _ = run_kb(capsys, "verify", "dropout")
    assert status == 1 and "does not match its own certificate" in out
    status, _, err = run_kb(capsys, "verify", "dropout", "--seed", "7")
    assert status == 1 and "no block with the first seed 7; it has 0" in err


def test_smoke_is_not_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run_kb(capsys, "record", "--preset", "smoke")
    assert status == 1 and "quick, full, paper, not smoke" in err
