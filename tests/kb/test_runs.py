"""Runs in real processes, from submission to their end: none is lost, and none stays `running`."""

import os
import signal
import subprocess
import sys

import pytest
from sqlalchemy import Engine, text

from kb import paths
from kb.runs import control, description, launcher, store, submission
from tests.kb.run_processes import (
    Until,
    is_alive,
    kept_trials,
    start_slow_run,
    submit_dropout,
    supervisors,
    wait_for_end,
)


def test_a_run_is_recorded_completely(loaded: Engine) -> None:
    run_id = submit_dropout(loaded, seed=7)
    run = wait_for_end(loaded, run_id)
    assert (run.status, run.reason, run.traceback) == ("succeeded", None, None)
    assert run.settings["seed"] == 7
    assert run.done == run.total > 0
    assert run.environment["device"] == "cpu" and run.environment["torch"]
    assert run.usage["cpu_seconds"] > 0 and run.process is None
    for artifact in store.artifacts(loaded, run_id):
        assert store.artifact_file(artifact).stat().st_size == artifact.size
    rows = store.rows(loaded, run_id)
    assert [row.number for row in rows] == list(range(len(rows)))
    assert store.rows(loaded, run_id, after=3) == rows[4:]
    check_description(loaded, run_id)


def check_description(engine: Engine, run_id: str) -> None:
    from impl import dropout

    described = description.describe(engine, run_id)
    verdicts = {verdict["claim"]: verdict["verdict"] for verdict in described["verdicts"]}
    assert list(verdicts) == ["lower-test-error", "weight-scaling", "data-size"]
    published = described["verdicts"][0]["published"]
    assert (published["idea"], published["baseline"]) == (1.35, 1.6)
    assert published["unit"] == "% test error, MNIST"
    assert any(name.startswith("test_error") and "seed=8" in name for name in described["metrics"])
    # The recorded rows give the same verdicts again.
    again = dropout.check([row.values for row in store.rows(engine, run_id)])
    assert {verdict.claim: verdict.verdict for verdict in again} == verdicts


def test_an_invalid_submission_is_refused_with_a_reason(loaded: Engine) -> None:
    with pytest.raises(FileNotFoundError):
        submission.submit(loaded, "nothing")
    with pytest.raises(ValueError, match="no preset 'fast'"):
        submission.submit(loaded, "dropout", "fast")
    with pytest.raises(ValueError, match="no setting 'lr'"):
        submission.submit(loaded, "dropout", "quick", changes={"lr": 1})
    with pytest.raises(store.UnknownRun, match="none-1"):
        store.get(loaded, "none-1")
    assert store.latest(loaded) == []


def test_a_cancelled_run_ends_and_the_queue_continues(loaded: Engine, until: Until) -> None:
    running = start_slow_run(loaded, until)
    queued = submit_dropout(loaded)
    last = submit_dropout(loaded)
    control.cancel(loaded, queued)
    assert wait_for_end(loaded, queued).status == "cancelled"
    assert store.get(loaded, queued).started is None
    control.cancel(loaded, running.id)
    assert wait_for_end(loaded, running.id).status == "cancelled"
    assert not is_alive(running.process)
    assert store.rows(loaded, running.id), "what was recorded before stays"
    assert wait_for_end(loaded, last).status == "succeeded"
    control.cancel(loaded, last)
    assert store.get(loaded, last).status == "succeeded", "a run that has ended is not cancelled"


def test_a_run_that_raises_fails_alone(loaded: Engine) -> None:
    raising = submit_dropout(loaded, data="nothing")
    no_device = submission.submit(loaded, "dropout", "smoke", device="cuda:99")
    good = submit_dropout(loaded)
    run = wait_for_end(loaded, raising)
    assert run.status == "failed" and "no data set 'nothing'" in run.reason
    assert "Traceback" in run.traceback and "impl/dropout.py" in run.traceback
    assert wait_for_end(loaded, no_device).status == "failed"
    assert wait_for_end(loaded, good).status == "succeeded"


def test_a_killed_worker_fails_only_its_run(loaded: Engine, until: Until) -> None:
    run = start_slow_run(loaded, until)
    os.kill(run.process, signal.SIGKILL)
    run = wait_for_end(loaded, run.id)
    assert run.status == "failed" and "SIGKILL" in run.reason
    assert wait_for_end(loaded, submit_dropout(loaded)).status == "succeeded"


def end_supervisors(until: Until, with_signal: signal.Signals) -> None:
    for pid in supervisors():
        os.kill(pid, with_signal)
    until(lambda: not supervisors())


def test_a_run_goes_on_after_its_supervisor_was_killed(loaded: Engine, until: Until) -> None:
    changes = dict(data="digits", seeds=3, updates=40)
    undisturbed = wait_for_end(loaded, submit_dropout(loaded, "quick", **changes))
    run_id = submit_dropout(loaded, "quick", **changes)
    queued = submit_dropout(loaded)
    until(lambda: len(kept_trials(run_id)) >= 2)
    process = store.get(loaded, run_id).process
    end_supervisors(until, signal.SIGKILL)
    until(lambda: not is_alive(process))  # the worker ends with its supervisor
    times = {file.name: file.stat().st_mtime_ns for file in kept_trials(run_id)}
    launcher.ensure_supervisor()
    run = wait_for_end(loaded, run_id)
    assert (run.status, run.attempts) == ("succeeded", 2)
    assert times.items() <= {f.name: f.stat().st_mtime_ns for f in kept_trials(run_id)}.items()
    rows = [
        sorted(repr(row.values) for row in store.rows(loaded, id))
        for id in (run_id, undisturbed.id)
    ]
    assert rows[0] == rows[1]
    assert wait_for_end(loaded, queued).status == "succeeded"
    with loaded.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"


def test_a_stopped_supervisor_leaves_the_run_to_the_next(loaded: Engine, until: Until) -> None:
    run = start_slow_run(loaded, until)
    end_supervisors(until, signal.SIGTERM)
    stopped = store.get(loaded, run.id)
    assert stopped.status == "queued" and "goes on" in stopped.note
    launcher.ensure_supervisor()
    until(lambda: store.get(loaded, run.id).status == "running")
    control.cancel(loaded, run.id)
    assert wait_for_end(loaded, run.id).status == "cancelled"


def test_a_database_has_one_supervisor(loaded: Engine, until: Until) -> None:
    for _ in range(5):
        launcher.ensure_supervisor()
    until(lambda: launcher.lock() is None and len(supervisors()) == 1)
    first = supervisors()
    command = [sys.executable, "-m", "kb.runs.supervisor"]
    second = subprocess.run(command, timeout=60, cwd=paths.ROOT, env=os.environ)
    assert second.returncode == 0, "a second one exits at once"
    assert supervisors() == first
