"""The values that settings may have: those of every preset, and none that no run can mean."""

from typing import Any

import pytest
from sqlalchemy import Engine

from kb import implementations, ranges
from kb.runs import submission
from kb.runs.submission import RunRequest
from tests.kb.shell import run_kb

SETTINGS = {
    "seeds": 5,
    "seed": 0,
    "updates": 100,
    "batch": 10,
    "lr": 0.1,
    "lrs": (0.1, 0.3),
    "sizes": (100, 200),
    "p_hidden": 0.5,
    "momentum": 0.9,
    "slope": -0.2,
    "shift": -4,
    "augment": True,
    "data": "mnist",
    "kinds": ("a", "b"),
}


@pytest.mark.parametrize("name", implementations.names())
def test_the_presets_of_every_paper_are_in_range(name: str) -> None:
    implementation = implementations.read(name)
    for setting in implementation.settings:
        for preset in implementation.presets.values():
            ranges.check(setting.name, preset[setting.name], setting.default)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seeds", 0),
        ("seeds", -1),
        ("seeds", 10_001),
        ("seeds", 10**20),
        ("seeds", True),
        ("seeds", 1.0),
        ("seed", -1),
        ("seed", 18446744073709551616),
        ("updates", -1),
        ("updates", 10**400),
        ("batch", 0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("lr", -0.1),
        ("lrs", (0.1, float("nan"))),
        ("lrs", ()),
        ("lrs", (0.1,) * 1001),
        ("lrs", 0.1),
        ("sizes", (100, -1)),
        ("sizes", (100, "1")),
        ("p_hidden", 1.5),
        ("momentum", float("inf")),
        ("momentum", -0.1),
        ("slope", float("-inf")),
        ("slope", 10**400),
        ("augment", 1),
        ("data", "x\n"),
        ("data", "x" * 201),
        ("data", None),
    ],
)
def test_what_no_run_can_mean_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}.*: .*(give|values)"):
        ranges.check(name, value, SETTINGS[name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seeds", 1),
        ("seeds", 10_000),
        ("seed", 4_000_000_000),
        ("updates", 0),
        ("lr", 0),
        ("lr", 1e300),
        ("lrs", [0.1]),
        ("slope", -1e9),
        ("shift", -4),
        ("momentum", 1),
        ("kinds", ()),
        ("data", "Überraschung"),
    ],
)
def test_what_a_run_can_mean_is_taken(name: str, value: Any) -> None:
    ranges.check(name, value, SETTINGS[name])


def test_ranges_are_told_in_words() -> None:
    words = {name: ranges.describe(name, default) for name, default in SETTINGS.items()}
    assert words["seeds"] == "1 to 10,000"
    assert words["batch"] == "1 to 1,000,000,000"
    assert words["lrs"] == "each 0 or more, finite"
    assert words["p_hidden"] == "0 to 1"
    assert words["slope"] == "a finite number"
    assert words["augment"] == words["data"] == words["kinds"] == ""


@pytest.mark.parametrize(
    "request_",
    [
        RunRequest("dropout", changes={"seeds": 0}),
        RunRequest("dropout", changes={"updates": "many"}),
        RunRequest("dropout", changes={"momentum": float("inf")}),
        RunRequest("dropout", device="cpu;rm"),
        RunRequest("dropout", device=""),
        RunRequest("dropout", priority=10**30),
        RunRequest("dropout", options={"processes": -3}),
        RunRequest("dropout", limits={"disk": 1000.0}),
        RunRequest("dropout", limits={"memory": float("nan")}),
        RunRequest("dropout", limits={"seconds": float("inf")}),
        RunRequest("dropout", limits={"minutes": 3.0}),
    ],
    ids=repr,
)
def test_a_request_out_of_range_is_not_queued(loaded: Engine, request_: RunRequest) -> None:
    with pytest.raises(ValueError, match=r"give|is no|a priority is"):
        submission.submit_all(loaded, [request_])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "seeds=0"], "seeds=0: give 1 to 10,000"),
        (["--set", "seeds=99999999999999999999"], "give 1 to 10,000"),
        (["--set", "momentum=1e400"], "momentum=inf: give 0 to 1"),
        (["--set", f"momentum={'9' * 400}"], "not a value like 0.95"),
        (["--set", f"H={'(' * 9000}"], "not a value like"),
        (["--set", "lrs=0.1,-1"], "lrs=-1: give 0 or more, finite"),
        (["--set", "batch=0"], "batch=0: give 1 to"),
        (["--seed", "18446744073709551616"], "give 0 to 4,000,000,000"),
        (["--device", "cpu;rm"], "'cpu;rm' is no device"),
        (["--limit", "disk=1kB"], "give at least 1 MB"),
    ],
)
def test_the_shell_says_what_to_give(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run_kb(capsys, "run", "dropout", "--preset", "smoke", *arguments)
    assert (status, err.count("\n")) == (1, 1), err
    assert message in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs", "--limit", "99999999999999999999999"],
        ["runs", "--limit", "-1"],
        ["search", "x", "--limit", "1" * 30],
        ["run", "dropout", "--priority", "9" * 30],
        ["run", "dropout", "--processes", "-3"],
        ["prioritize", "9" * 30, "x"],
        ["serve", "--port", "99999"],
    ],
    ids=" ".join,
)
def test_numbers_out_of_range_are_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_kb(capsys, *arguments)
    assert ended.value.code == 2
    assert "give " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run_kb(capsys, "run", "--help")
    assert ranges.RULES.split(",")[0] in " ".join(capsys.readouterr().out.split())
