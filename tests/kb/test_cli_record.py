"""The verbs that write the record and measure it again."""

from pathlib import Path

import pytest

from kb import certificates, paths, results
from tests.kb.shell import printed, run_kb


def test_record_writes_the_record_and_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = results.read_record()["dropout"]["blocks"][:1]
    monkeypatch.setattr(paths, "SHARE", tmp_path)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(results, "measure_blocks", lambda *_: {"dropout": blocks})
    arguments = ("record", "dropout", "--seed", "0", "--json")
    assert printed(capsys, *arguments) == {"dropout": blocks}
    assert results.read_record() == {"dropout": {"blocks": blocks, "broken": {}}}
    page = (tmp_path / "RESULTS.md").read_text()
    assert "[Dropout, 2012](impl/dropout.py)" in page and "gan.py" not in page
    monkeypatch.setattr(results, "measure_blocks", lambda *_: {"dropout": blocks, "gan": []})
    assert run_kb(capsys, "record", "dropout", "gan", "--seed", "0")[0] == 1, "one run failed"
    assert results.read_record()["dropout"]["blocks"] == blocks


def test_record_refuses_a_claim_that_stands_without_its_idea(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = results.read_record()["dropout"]["blocks"][0]["verdicts"][0]
    monkeypatch.setattr(paths, "SHARE", tmp_path)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for outcome, status in [("not reproduced", 0), ("reproduced", 1)]:
        broken = {"dropout": {verdict["claim"]: verdict | {"verdict": outcome}}}
        monkeypatch.setattr(results, "measure_broken", lambda *_, broken=broken: broken)
        assert run_kb(capsys, "record", "dropout", "--broken")[0] == status
        assert results.read_record()["dropout"]["broken"] == broken["dropout"]


def test_verify_measures_a_block_again_and_names_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = results.read_record()["dropout"]["blocks"][0] | {"rows_sha256": "a"}
    block |= {"certificate": certificates.certificate(block)}
    monkeypatch.setattr(paths, "SHARE", tmp_path)
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
