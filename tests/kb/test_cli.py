"""The shell: what scripts rely on, and what people read when something is wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kb import cli, implementations, loader, places, skeleton

VERBS = [
    "check",
    "load",
    "search",
    "show",
    "path",
    "lineage",
    "export",
    "run",
    "runs",
    "rows",
    "stop",
    "pause",
    "resume",
    "prioritize",
    "devices",
    "claims",
    "record",
    "sql",
    "import",
    "schema",
    "new",
    "serve",
]


def kb(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status, out, err = kb(capsys, *arguments)
    assert status == 0, err
    return json.loads(out)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "example:" in text and f"kb {verb}" in text and "--json" in text


def test_wrong_usage_has_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["serach"])
    assert ended.value.code == 2


def test_export_has_the_files_own_keys(capsys: pytest.CaptureFixture[str]) -> None:
    exported = {entry["id"]: entry for entry in printed(capsys, "export", "--format", "json")}
    written = {entry["id"]: entry for entry in yaml.load(places.TIMELINE.read_text(), yaml.CSafeLoader)}
    assert exported.keys() == written.keys()
    for name, entry in written.items():
        assert exported[name].keys() == entry.keys()
        assert [link["to"] for link in exported[name].get("links", [])] == [
            link["to"] for link in entry.get("links", [])
        ]
    status, out, _ = kb(capsys, "export", "track:hardware", "--format", "csv")
    assert status == 0 and out.splitlines()[0].startswith("id,track,kind")


def test_search_prints_hits(capsys: pytest.CaptureFixture[str]) -> None:
    hits = printed(capsys, "search", "dropout", "--json")
    assert hits[0]["id"] == "dropout"
    assert {"id", "title", "date", "track", "kind"} <= hits[0].keys()
    assert printed(capsys, "search", "track:data", "kind:dataset", "--json")
    status, _, err = kb(capsys, "search", "trak:data")
    assert status == 1 and 'did you mean "track"' in err


def test_show_path_and_lineage(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "show", "dropout", "--json")["title"].startswith("Dropout")
    assert "Builds on" in kb(capsys, "show", "dropout")[1]
    assert "builds on Back-propagation" in kb(capsys, "path", "backprop", "dropout")[1]
    found = printed(capsys, "lineage", "lenet5", "--json")
    assert "backprop" in {step["id"] for step in found["ancestors"]}
    for wrong in (["show", "dropuot"], ["path", "dropuot", "mnist"], ["lineage", "dropuot"]):
        status, _, err = kb(capsys, *wrong)
        assert status == 1 and "dropout" in err


def test_a_bad_file_is_refused_with_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("- id: a\n  knid: paper\n")
    kb(capsys, "load")
    for verb in ("check", "load"):
        status, out, err = kb(capsys, verb, str(bad))
        assert status == 1
        assert re.search(rf"^{re.escape(str(bad))}:1:3: .*\"kind\" is missing", out + err, re.M)
    assert len(printed(capsys, "export")) > 40, "what was loaded before is still there"
    assert kb(capsys, "load")[1].startswith("0 added, 0 changed, 0 removed")
    problems = json.loads(kb(capsys, "check", str(bad), "--json")[1])
    assert {"file", "line", "column", "message"} <= problems[0].keys()


def test_run_prints_one_object(home: Path) -> None:
    command = [sys.executable, "-m", "kb.cli", "run", "dropout", "--preset", "smoke", "--seed", "3", "--device", "cpu"]
    done = subprocess.run([*command, "--set", "updates=7", "--json"], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["status"], run["device"], run["settings"]["seed"], run["settings"]["updates"]) == (
        "succeeded",
        "cpu",
        3,
        7,
    )
    assert all(isinstance(value, float) for value in run["metrics"].values())
    for verdict in run["verdicts"]:
        assert {"claim", "verdict", "measured", "baseline", "interval", "published"} <= verdict.keys()
    assert run["id"] in subprocess.run([*command[:3], "runs"], capture_output=True, text=True, env=os.environ).stdout


def test_a_run_that_fails_has_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = kb(
        capsys, "run", "dropout", "--preset", "smoke", "--set", "data=nothing", "--device", "cpu", "--json"
    )
    assert status == 1
    assert json.loads(out)["status"] == "failed" and "Traceback" in json.loads(out)["traceback"]
    for wrong in (
        ["droput"],
        ["dropout", "--preset", "fast"],
        ["dropout", "--set", "lr=1"],
        ["dropout", "--set", "updates=x"],
    ):
        status, _, err = kb(capsys, "run", *wrong)
        assert status == 1 and "kb: " in err
    assert len(printed(capsys, "runs", "--json")) == 1, "what can't be run isn't queued"


def test_detach_and_stop(capsys: pytest.CaptureFixture[str]) -> None:
    run_id = printed(capsys, "run", "dropout", "--set", "updates=100000", "--detach", "--json")["id"]
    assert printed(capsys, "stop", run_id, "--json") == [{"id": run_id, "status": "cancelled"}]
    assert kb(capsys, "stop", "nothing-1")[0] == 1


def test_claims_lists_every_claim(capsys: pytest.CaptureFixture[str]) -> None:
    names = {(one["milestone"], one["claim"]) for one in printed(capsys, "claims", "--json")}
    assert ("dropout", "lower-test-error") in names and len(names) >= 9


def test_a_new_paper_fails_the_check_until_it_is_filled_in(tmp_path: Path) -> None:
    timeline, folder = tmp_path / "timeline.yaml", tmp_path / "impl"
    timeline.write_text(places.TIMELINE.read_text())
    folder.mkdir()
    for name in implementations.names():
        (folder / f"{name}.py").write_text((places.IMPLEMENTATIONS / f"{name}.py").read_text())
    written = skeleton.paper("batch-norm", timeline, folder)
    assert str(timeline) in written[0] and (folder / "batch_norm.py").exists()
    line = int(written[0].split(":")[1])
    assert timeline.read_text().splitlines()[line - 1] == "- id: batch-norm"
    messages = [problem.message for problem in loader.load(timeline, folder).errors]
    for field in ("title", "short", "date", "authors", "venue", "idea", "story", "claims", "sources"):
        assert any(f'"{field}"' in message or field == "date" for message in messages), field
    with pytest.raises(implementations.Malformed, match="PRESETS lacks smoke"):
        implementations.read("batch_norm", folder)
    with pytest.raises(ValueError, match="already"):
        skeleton.paper("batch-norm", timeline, folder)
    with pytest.raises(ValueError, match="is no id"):
        skeleton.paper("Batch Norm", timeline, folder)


def test_sql_prints_a_table_and_refuses_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = kb(capsys, "sql", "SELECT id, short FROM milestone ORDER BY id", "--limit", "2")
    assert status == 0 and out.splitlines()[0].split() == ["id", "short"] and "only the first 2 rows" in err
    assert printed(capsys, "sql", "SELECT 1 AS one", "--json") == [{"one": 1}]
    assert "milestone(id varchar" in kb(capsys, "sql", "--schema")[1]
    status, _, err = kb(capsys, "sql", "DELETE FROM milestone")
    assert status == 1 and "only reading is allowed" in err


def test_schema_is_what_editors_get(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "schema")["type"] == "array"


def test_import_then_search_outside(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bib = tmp_path / "some.bib"
    bib.write_text("@article{x, title={A paper about teapots}, year={1999}}\n@misc{y, year={2000}}\n")
    assert "nothing was imported" in kb(capsys, "import")[1]
    status, out, err = kb(capsys, "import", str(bib))
    assert status == 0 and "2 records: 1 added, 0 merged, 1 rejected" in out and "1 rejected: no title" in err
    status, out, err = kb(capsys, "search", "--outside", "teapot")
    assert "1999  A paper about teapots" in out and "1 imported work, not curated" in err
    assert printed(capsys, "search", "--outside", "teapot", "--json")[0]["year"] == 1999
    assert printed(capsys, "search", "teapot", "--json") == [], "the timeline doesn't know it"
    assert str(bib) in kb(capsys, "import")[1]
    status, _, err = kb(capsys, "import", str(tmp_path / "none.bib"))
    assert status == 1 and "No such file" in err and "none.bib" in err


def test_a_run_is_repeated_by_its_id_and_differences_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    first = printed(capsys, "run", "perceptron", "--preset", "smoke", "--seed", "7", "--set", "seeds=2", "--json")
    status, _, err = kb(capsys, "run", first["id"])
    assert status == 0 and "none other than before" in err and "not as before" not in err
    status, _, err = kb(capsys, "run", first["id"], "--seed", "8")
    assert "not as before: seed was 7, is 8" in err and "none other" not in err
