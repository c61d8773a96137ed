"""The shell: what scripts rely on, and what people read when something is wrong."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kb import cli, paths
from kb.cli import claims as claims_verbs
from tests.kb.shell import printed, run_kb

pytestmark = pytest.mark.usefixtures("loaded")  # so that no command reads the timeline

VERBS = [
    "check",
    "load",
    "search",
    "show",
    "path",
    "lineage",
    "time-machine",
    "export",
    "run",
    "runs",
    "rows",
    "sweep",
    "stop",
    "pause",
    "resume",
    "prioritize",
    "devices",
    "claims",
    "record",
    "verify",
    "ladders",
    "sql",
    "import",
    "imports",
    "schema",
    "new",
    "backup",
    "restore",
    "serve",
    "mcp",
]

RUN_KEYS = (
    "id implementation preset status reason settings device cluster attempts batch priority limits "
    "options submitted started finished source_hash git_commit environment usage metrics verdicts "
    "artifacts traceback"
)
VERDICT_KEYS = "claim verdict measured baseline effect interval unit n rule kind scale note"
CLAIM_KEYS = "milestone claim says where published verdict preset wall_seconds device"
JSON_KEYS = {  # a command, and the keys of the object, or of each object of the list, it prints
    "load": "added changed removed unchanged",
    "search dropout": "id title short date track kind implementation idea score snippet",
    "path backprop dropout": "start steps directed",
    "lineage dropout": "ancestors descendants pillars contemporaries",
    "sql --schema": "artifact claim device link loaded milestone milestone_text "
    "request run run_row verdict",
    "claims": CLAIM_KEYS,
    "claims --record": CLAIM_KEYS,
    "devices": "id name memory position at",
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "example:" in text and f"kb {verb}" in text and "--json" in text


def test_every_verb_is_in_the_group_of_its_module() -> None:
    grouped = [verb for verbs in cli.GROUPS.values() for verb in verbs]
    assert sorted(grouped) == sorted(VERBS)
    all_verbs = cli.build_parser().format_help()
    assert all(re.search(rf"^    {verb}\b", all_verbs, re.M) for verb in VERBS)


def test_wrong_usage_has_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["serach"])
    assert ended.value.code == 2


@pytest.mark.parametrize("command", JSON_KEYS)
def test_json_keys_are_stable(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = printed(capsys, *command.split(), "--json")
    objects = output if isinstance(output, list) else [output]
    assert objects
    for value in objects:
        assert value.keys() == set(JSON_KEYS[command].split())


def test_export_has_the_files_own_keys(capsys: pytest.CaptureFixture[str]) -> None:
    exported = {entry["id"]: entry for entry in printed(capsys, "export", "--format", "json")}
    written = {
        entry["id"]: entry for entry in yaml.load(paths.TIMELINE.read_text(), yaml.CSafeLoader)
    }
    assert exported.keys() == written.keys()
    for name, entry in written.items():
        assert exported[name].keys() == entry.keys()
        assert [link["to"] for link in exported[name].get("links", [])] == [
            link["to"] for link in entry.get("links", [])
        ]
    status, out, _ = run_kb(capsys, "export", "track:hardware", "--format", "csv")
    assert status == 0 and out.splitlines()[0].startswith("id,track,kind")


def test_search_prints_hits(capsys: pytest.CaptureFixture[str]) -> None:
    hits = printed(capsys, "search", "dropout", "--json")
    assert hits[0]["id"] == "dropout"
    assert {"id", "title", "date", "track", "kind"} <= hits[0].keys()
    assert printed(capsys, "search", "track:data", "kind:dataset", "--json")
    status, _, err = run_kb(capsys, "search", "trak:data")
    assert status == 1 and 'did you mean "track"' in err


def test_show_path_and_lineage(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "show", "dropout", "--json")["title"].startswith("Dropout")
    assert "Before it" in run_kb(capsys, "show", "dropout")[1]
    assert "builds on Back-propagation" in run_kb(capsys, "path", "backprop", "dropout")[1]
    lineage = printed(capsys, "lineage", "lenet5", "--json")
    assert "backprop" in {step["id"] for step in lineage["ancestors"]}
    assert lineage["ancestors"][0].keys() == {"id", "depth", "via", "how", "from_id"}
    headings = run_kb(capsys, "lineage", "lenet5")[1]
    assert headings.index("Before it") < headings.index("After it")
    for wrong in (["show", "dropuot"], ["path", "dropuot", "mnist"], ["lineage", "dropuot"]):
        status, _, err = run_kb(capsys, *wrong)
        assert status == 1 and "dropout" in err


def test_a_bad_file_is_refused_with_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("- id: a\n  knid: paper\n")
    run_kb(capsys, "load")
    for verb in ("check", "load"):
        status, out, err = run_kb(capsys, verb, str(bad))
        assert status == 1
        assert re.search(rf"^{re.escape(str(bad))}:1:3: .*\"kind\" is missing", out + err, re.M)
    assert len(printed(capsys, "export")) > 40, "what was loaded before is still there"
    assert run_kb(capsys, "load")[1].startswith("0 added, 0 changed, 0 removed")
    problems = json.loads(run_kb(capsys, "check", str(bad), "--json")[1])
    assert {"file", "line", "column", "message"} <= problems[0].keys()


def test_run_prints_one_object(home: Path) -> None:
    kb = [sys.executable, "-m", "kb.cli"]
    options = ["--preset", "smoke", "--seed", "3", "--device", "cpu", "--set", "updates=7"]
    done = subprocess.run(
        [*kb, "run", "dropout", *options, "--json"], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["status"], run["device"]) == ("succeeded", "cpu")
    assert (run["settings"]["seed"], run["settings"]["updates"]) == (3, 7)
    assert all(isinstance(value, float) for value in run["metrics"].values())
    assert run.keys() == set(RUN_KEYS.split())
    assert all(
        verdict.keys() == {*VERDICT_KEYS.split(), "published"} for verdict in run["verdicts"]
    )
    listed = subprocess.run([*kb, "runs"], capture_output=True, text=True, env=os.environ)
    assert run["id"] in listed.stdout


def test_a_run_that_fails_has_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_kb(
        capsys,
        "run",
        "dropout",
        "--preset",
        "smoke",
        "--set",
        "data=nothing",
        "--device",
        "cpu",
        "--json",
    )
    assert status == 1
    assert json.loads(out)["status"] == "failed" and "Traceback" in json.loads(out)["traceback"]
    for wrong in (
        ["droput"],
        ["dropout", "--preset", "fast"],
        ["dropout", "--set", "lr=1"],
        ["dropout", "--set", "updates=x"],
    ):
        status, _, err = run_kb(capsys, "run", *wrong)
        assert status == 1 and "kb: " in err
    assert len(printed(capsys, "runs", "--json")) == 1, "what can't be run isn't queued"


def test_detach_and_stop(capsys: pytest.CaptureFixture[str]) -> None:
    run_id = printed(capsys, "run", "dropout", "--set", "updates=100000", "--detach", "--json")[
        "id"
    ]
    assert printed(capsys, "stop", run_id, "--json") == [{"id": run_id, "status": "cancelled"}]
    assert run_kb(capsys, "stop", "nothing-1")[0] == 1


def test_claims_lists_every_claim(capsys: pytest.CaptureFixture[str]) -> None:
    claims = printed(capsys, "claims", "--json")
    names = {(claim["milestone"], claim["claim"]) for claim in claims}
    assert ("dropout", "lower-test-error") in names and len(names) >= 9
    recorded = printed(capsys, "claims", "--record", "--json")
    assert all(claim["verdict"].keys() == set(VERDICT_KEYS.split()) for claim in recorded)
    head = run_kb(capsys, "claims")[1].splitlines()[0]
    assert re.split(r"\s{2,}", head) == list(claims_verbs.COLUMNS)


def test_sql_prints_a_table_and_refuses_to_write(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_kb(
        capsys, "sql", "SELECT id, short FROM milestone ORDER BY id", "--limit", "2"
    )
    assert (
        status == 0
        and out.splitlines()[0].split() == ["id", "short"]
        and "only the first 2 rows" in err
    )
    assert printed(capsys, "sql", "SELECT 1 AS one", "--json") == [{"one": 1}]
    assert "milestone(id varchar" in run_kb(capsys, "sql", "--schema")[1]
    status, _, err = run_kb(capsys, "sql", "DELETE FROM milestone")
    assert status == 1 and "only reading is allowed" in err


def test_schema_is_what_editors_get(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "schema")["type"] == "array"


def test_import_then_search_outside(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bib = tmp_path / "some.bib"
    bib.write_text(
        "@article{x, title={A paper about teapots}, year={1999}}\n@misc{y, year={2000}}\n"
    )
    assert "nothing was imported" in run_kb(capsys, "import")[1]
    status, out, err = run_kb(capsys, "import", str(bib))
    assert (
        status == 0
        and "2 records: 1 added, 0 merged, 1 rejected" in out
        and "1 rejected: no title" in err
    )
    status, out, err = run_kb(capsys, "search", "--outside", "teapot")
    assert "1999  A paper about teapots" in out and "1 imported work, not curated" in err
    assert printed(capsys, "search", "--outside", "teapot", "--json")[0]["year"] == 1999
    assert printed(capsys, "search", "teapot", "--json") == [], "the timeline doesn't know it"
    assert str(bib) in run_kb(capsys, "import")[1]
    status, _, err = run_kb(capsys, "import", str(tmp_path / "none.bib"))
    assert status == 1 and "No such file" in err and "none.bib" in err


def test_a_run_is_repeated_by_its_id_and_differences_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = printed(
        capsys,
        "run",
        "perceptron",
        "--preset",
        "smoke",
        "--seed",
        "7",
        "--set",
        "seeds=2",
        "--json",
    )
    status, _, err = run_kb(capsys, "run", first["id"])
    assert status == 0
    assert f"none different from those of {first['id']}" in err
    assert "differs from" not in err
    status, _, err = run_kb(capsys, "run", first["id"], "--seed", "8")
    assert f"differs from {first['id']}: seed was 7, is 8" in err
    assert "none different" not in err
