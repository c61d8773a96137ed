"""Runs end to end, in real processes: submitted, recorded, cancelled, killed. None may be lost or stay `running`."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from kb import places
from kb.runs import launcher, store

Until = Callable[..., Any]
SLOW = {"updates": 100_000, "data": "digits"}  # minutes, were nobody to stop it


def ended(engine: Engine, run_id: str) -> Any:
    return list(store.watch(engine, run_id, every=0.05))[-1]


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def begun(engine: Engine, until: Until) -> Any:
    """A slow run that has yielded its first row."""
    run_id = store.submit(engine, "dropout", "quick", changes=SLOW, device="cpu")
    until(lambda: store.rows(engine, run_id))
    return store.get(engine, run_id)


def supervisors() -> list[int]:
    """The processes that are, or would like to be, this test's supervisor."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mine = process.environ().get("KB_HOME") == str(places.home())
            if mine and "kb.runs.supervisor" in process.cmdline():
                found.append(process.pid)
    return found


def test_a_run_is_recorded_whole(loaded: Engine) -> None:
    run_id = store.submit(loaded, "dropout", "smoke", changes={"seed": 7}, device="cpu")
    run = ended(loaded, run_id)
    assert (run.status, run.reason, run.traceback) == ("succeeded", None, None)
    assert run.settings["seed"] == 7
    assert run.done == run.total > 0
    assert run.environment["device"] == "cpu" and run.environment["torch"]
    assert run.usage["cpu_seconds"] > 0 and run.process is None

    described = store.describe(loaded, run_id)
    assert [v["claim"] for v in described["verdicts"]] == ["lower-test-error", "weight-scaling", "data-size"]
    assert described["verdicts"][0]["published"] == {"unit": "% test error, MNIST", "baseline": 1.6, "idea": 1.35} | {
        "note": described["verdicts"][0]["published"]["note"]
    }
    assert any(name.startswith("test_error") and "seed=8" in name for name in described["metrics"])
    for artifact in store.artifacts(loaded, run_id):
        assert store.artifact_file(artifact).stat().st_size == artifact.size
    rows = store.rows(loaded, run_id)
    assert [row.number for row in rows] == list(range(len(rows)))
    assert store.rows(loaded, run_id, after=3) == rows[4:]

    from impl import dropout  # what was stored can be judged again

    again = {verdict.claim: verdict.verdict for verdict in dropout.check([row.values for row in rows])}
    assert again == {v["claim"]: v["verdict"] for v in described["verdicts"]}


def test_what_cannot_be_submitted_says_why(loaded: Engine) -> None:
    with pytest.raises(FileNotFoundError):
        store.submit(loaded, "nothing")
    with pytest.raises(ValueError, match="no preset 'fast'"):
        store.submit(loaded, "dropout", "fast")
    with pytest.raises(ValueError, match="no setting 'lr'"):
        store.submit(loaded, "dropout", "quick", changes={"lr": 1})
    with pytest.raises(store.UnknownRun, match="none-1"):
        store.get(loaded, "none-1")
    assert store.latest(loaded) == []


def test_cancelling_ends_the_process_and_the_queue_goes_on(loaded: Engine, until: Until) -> None:
    running = begun(loaded, until)
    waiting = store.submit(loaded, "dropout", "smoke", device="cpu")
    second = store.submit(loaded, "dropout", "smoke", device="cpu")
    store.cancel(loaded, waiting)
    assert ended(loaded, waiting).status == "cancelled"
    assert store.get(loaded, waiting).started is None
    store.cancel(loaded, running.id)
    assert ended(loaded, running.id).status == "cancelled"
    assert not alive(running.process)
    assert store.rows(loaded, running.id), "what was measured before stays"
    assert ended(loaded, second).status == "succeeded"
    store.cancel(loaded, second)
    assert store.get(loaded, second).status == "succeeded", "cancelling what has ended changes nothing"


def test_a_crash_is_shown_and_costs_nothing_else(loaded: Engine) -> None:
    crash = store.submit(loaded, "dropout", "smoke", changes={"data": "nothing"}, device="cpu")
    no_device = store.submit(loaded, "dropout", "smoke", device="cuda:99")
    good = store.submit(loaded, "dropout", "smoke", device="cpu")
    run = ended(loaded, crash)
    assert run.status == "failed" and "no data set 'nothing'" in run.reason
    assert "Traceback" in run.traceback and "impl/dropout.py" in run.traceback
    assert ended(loaded, no_device).status == "failed"
    assert ended(loaded, good).status == "succeeded"


def test_a_killed_worker_fails_its_run_only(loaded: Engine, until: Until) -> None:
    run = begun(loaded, until)
    os.kill(run.process, signal.SIGKILL)
    run = ended(loaded, run.id)
    assert run.status == "failed" and "SIGKILL" in run.reason
    assert ended(loaded, store.submit(loaded, "dropout", "smoke", device="cpu")).status == "succeeded"


def test_a_killed_supervisor_loses_no_run(loaded: Engine, until: Until) -> None:
    run = begun(loaded, until)
    queued = store.submit(loaded, "dropout", "smoke", device="cpu")
    for pid in supervisors():
        os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(run.process))  # the worker doesn't outlive it
    launcher.ensure_supervisor()
    assert ended(loaded, run.id).status == "interrupted"
    assert store.rows(loaded, run.id)
    assert ended(loaded, queued).status == "succeeded"
    with loaded.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"


def test_one_supervisor_only(loaded: Engine, until: Until) -> None:
    for _ in range(5):
        launcher.ensure_supervisor()
    until(lambda: launcher.lock() is None and len(supervisors()) == 1)
    first = supervisors()
    second = subprocess.run([sys.executable, "-m", "kb.runs.supervisor"], timeout=60, cwd=places.ROOT, env=os.environ)
    assert second.returncode == 0, "a second one leaves at once"
    assert supervisors() == first


def test_series_tell_nets_and_seeds_apart() -> None:
    rows: list[dict[str, Any]] = [
        {"net": "a", "seed": 0, "step": 1, "loss": 3.0},
        {"net": "a", "seed": 1, "step": 1, "loss": 2.0},
        {"net": "a", "seed": 0, "step": 2, "loss": float("nan")},
        {"net": "a", "seed": 0, "step": 3, "loss": 1.0},
        {"gap": 0.5},
    ]
    assert {str(name): points for name, points in store.series(rows).items()} == {
        "loss net=a seed=0": [(1.0, 3.0), (3.0, 1.0)],
        "loss net=a seed=1": [(1.0, 2.0)],
        "gap": [(0.0, 0.5)],
    }


@given(
    st.lists(st.dictionaries(st.sampled_from(["step", "seed", "n", "loss", "net"]), st.integers(0, 9) | st.text("ab")))
)
def test_any_rows_have_series(rows: list[dict[str, Any]]) -> None:
    clean = [{k: v for k, v in row.items() if k in ("net", "loss") or isinstance(v, int)} for row in rows]
    for points in store.series(clean).values():
        assert points
