"""Sweeps: which runs they are, how a batch is read as one, and what the shell prints of it."""

import json
import time
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from kb import db, implementations
from kb.runs import launcher, store, sweeps
from kb.runs.submission import RunRequest
from kb.search import search
from kb.tables import Run, RunVerdict
from tests.kb.shell import printed, run_kb

BASE = RunRequest("dropout")


@pytest.fixture
def no_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is submitted stays in the queue."""
    monkeypatch.setattr(launcher, "ensure_supervisor", lambda: True)


def add_run(engine: Engine, id: str, settings: dict[str, Any], **fields: Any) -> None:
    values: dict[str, Any] = dict(
        id=id, implementation="dropout", preset="quick", device="cpu", status="succeeded",
        submitted=time.time(), finished=time.time(), source_hash="0", batch="batch-1",
        settings=settings, changes=settings, options={"sweep": list(settings)},
    )  # fmt: skip
    with Session(engine) as session:
        session.add(Run(**values | fields))
        session.commit()


def add_verdict(engine: Engine, run: str, effect: float, **fields: Any) -> None:
    values: dict[str, Any] = dict(
        run=run, claim="lower-test-error", number=0, verdict="reproduced", measured=9.0,
        baseline=9.0 + effect, unit="%", effect=effect, low=effect - 1, high=effect + 1, n=5,
        rule="a rule",
    )  # fmt: skip
    with Session(engine) as session:
        session.add(RunVerdict(**values | fields))
        session.commit()


def test_a_run_for_each_pair_of_values() -> None:
    axes = {"p_hidden": (0.3, 0.5), "H": (64, 128, 256)}
    requests = sweeps.requests(BASE, axes)
    assert len(requests) == 6 and requests[0].changes == {"p_hidden": 0.3, "H": 64}
    assert all(request.options == {"sweep": ["p_hidden", "H"]} for request in requests)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"H": (1,)}, "one value is no sweep"),
        ({"H": tuple(range(26))}, "26 runs: a sweep has at most 25"),
        ({"H": (1, 2), "seed": (0, 1), "layers": (1, 2)}, "one setting or two, not 3"),
    ],
)
def test_what_is_no_sweep_is_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sweeps.requests(BASE, axes)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"lrs": ["0.1"]}, "lrs is a list"),
        ({"p_hidden": ["2"]}, "give 0 to 1"),
        ({"p_hidden": []}, "give the values to try"),
        ({"nothing": ["1"]}, "no setting 'nothing'"),
    ],
)
def test_values_are_checked_before_anything_is_queued(
    texts: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sweeps.parse_axes(implementations.read("dropout"), "quick", texts)


def test_points_are_in_the_order_of_their_values(engine: Engine) -> None:
    for id, value in (("c", 0.9), ("a", 0.1), ("b", 0.5)):
        add_run(engine, id, {"p_hidden": value}, status="failed" if id == "b" else "succeeded")
        add_verdict(engine, id, value)
    sweep = sweeps.read(engine, "batch-1")
    assert sweep.axes == {"p_hidden": (0.1, 0.5, 0.9)}
    assert [point.run.id for point in sweep.points] == ["a", "b", "c"]
    assert not sweep.points[1].verdicts, "a run that failed has judged nothing"
    assert [run.id for batch in sweeps.recent(engine, "dropout", 3) for run in batch] == [
        "b",
        "a",
        "c",
    ]


def test_comparisons_come_before_identities_and_what_was_not_measured(engine: Engine) -> None:
    for id, value in (("a", 1), ("b", 2)):
        add_run(engine, id, {"H": value})
        add_verdict(engine, id, 0, claim="absent", measured=None, verdict="not measured")
        add_verdict(engine, id, 0, claim="count", kind="identity", number=1)
        add_verdict(engine, id, 1, claim="better", number=2)
    assert sweeps.read(engine, "batch-1").claims() == ["better", "count", "absent"]


@pytest.mark.parametrize(
    ("second", "fields", "reason"),
    [
        ({"H": 1, "seed": 0}, {}, "the same settings"),
        ({"H": 2, "seed": 1}, {"preset": "full"}, "several papers or presets"),
    ],
)
def test_a_batch_that_is_no_sweep_says_why(
    engine: Engine, second: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    add_run(engine, "a", {"H": 1, "seed": 0})
    add_run(engine, "b", second, **fields)
    with pytest.raises(sweeps.NotASweep, match=reason):
        sweeps.read(engine, "batch-1")
    with pytest.raises(sweeps.UnknownBatch):
        sweeps.read(engine, "batch-2")


def test_more_than_two_settings_or_a_list_are_no_axes(engine: Engine) -> None:
    add_run(engine, "a", {"H": 1, "seed": 0, "layers": 2})
    add_run(engine, "b", {"H": 2, "seed": 1, "layers": 3})
    with pytest.raises(sweeps.NotASweep, match="3 settings: H, seed, layers"):
        sweeps.read(engine, "batch-1")
    add_run(engine, "c", {"lrs": [1]}, batch="batch-2")
    add_run(engine, "d", {"lrs": [2]}, batch="batch-2")
    with pytest.raises(sweeps.NotASweep, match="lrs, which is a list"):
        sweeps.read(engine, "batch-2")


def test_a_sweep_is_no_verdict_on_the_claim(loaded: Engine) -> None:
    add_run(loaded, "a", {"p_hidden": 1.0})
    add_verdict(loaded, "a", -1, verdict="not reproduced")
    claims = [claim for claim in db.claims(loaded) if claim.id == "lower-test-error"]
    assert not any(newest.verdict for newest in store.newest_verdicts(loaded, claims))
    assert not search(loaded, "claim:not-reproduced").hits


@pytest.mark.usefixtures("loaded", "no_supervisor")
def test_the_shell_submits_a_sweep_and_prints_it(
    loaded: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["--sweep", "p_hidden=0.3, 0.5", "--sweep", "H=16,32", "--preset", "smoke"]
    answer = printed(capsys, "run", "dropout", *sweep, "--detach", "--json")
    assert len(answer["ids"]) == 4
    _, out, _ = run_kb(capsys, "sweep", answer["batch"])
    assert "no run has given a verdict yet" in out and out.count("queued") == 4
    add_run(loaded, "a", {"p_hidden": 0.1})
    add_run(loaded, "b", {"p_hidden": 0.5}, status="failed")
    add_verdict(loaded, "a", 2.0)
    status, out, _ = run_kb(capsys, "sweep", "batch-1")
    assert status == 0 and "0.1       reproduced  9         11        2 (1 .. 3)" in out
    described = json.loads(run_kb(capsys, "sweep", "batch-1", "--json")[1])
    assert described["axes"] == {"p_hidden": [0.1, 0.5]}
    assert [len(run["verdicts"]) for run in described["runs"]] == [1, 0]
    assert "no verdict on 'x'" in run_kb(capsys, "sweep", "batch-1", "--claim", "x")[2]
    assert "no batch is called 'nothing'" in run_kb(capsys, "sweep", "nothing")[2]


def test_a_sweep_in_the_shell_is_of_one_name(
    loaded: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run_kb(capsys, "run", "dropout", "--seed", "0", "1", "--sweep", "H=1,2")
    assert status == 1 and "--sweep seed=0,1000" in err
    assert store.latest(loaded) == []
