"""Functions for tests with runs in real processes."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine

from kb import paths
from kb.runs import polling, store, submission

Until = Callable[..., Any]
# Settings of dropout: it yields its first row at once, and would take hours.
SLOW = {"data": "digits", "seeds": 1_000, "updates": 40}


def submit_dropout(engine: Engine, preset: str = "smoke", **changes: Any) -> str:
    return submission.submit(engine, "dropout", preset, changes=changes, device="cpu")


def start_slow_run(engine: Engine, until: Until) -> Any:
    """A run of minutes that has finished its first trial."""
    run_id = submit_dropout(engine, "quick", **SLOW)
    until(lambda: kept_trials(run_id))
    until(lambda: store.rows(engine, run_id))
    return store.get(engine, run_id)


def kept_trials(run_id: str) -> list[Path]:
    return list(paths.run_folder(run_id).glob("trials/*.pt"))


def wait_for_end(engine: Engine, run_id: str) -> Any:
    return list(polling.watch(engine, run_id, interval=0.05))[-1]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def supervisors() -> list[int]:
    """The processes that are this test's supervisor, or are about to be."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_ours = process.environ().get("KB_HOME") == str(paths.home())
            if is_ours and "kb.runs.supervisor" in process.cmdline():
                found.append(process.pid)
    return found
