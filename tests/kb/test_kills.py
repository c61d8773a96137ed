"""Kills a worker, the supervisor or the submitter at random moments: every run ends, and only once.

A few kills are enough to notice a defect; `KB_KILLS=200 pytest tests/kb/test_kills.py` does more.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest
from sqlalchemy import Engine, text

from kb import paths
from kb.runs import processes, store
from tests.kb.run_processes import is_alive, supervisors, wait_for_end

KILLS = int(os.environ.get("KB_KILLS", "3"))
TARGETS = ("worker", "supervisor", "submitter")
SUBMITTER = """
from kb import db
from kb.runs import polling, submission
engine = db.open_database()
requests = [
    submission.RunRequest("dropout", "smoke", {"seed": seed}, "cpu") for seed in range(2)
]
ids = submission.submit_all(engine, requests)
print(*ids, flush=True)
for _ in polling.watch(engine, ids[-1], interval=0.05):
    pass
"""
STUCK_RUNS = """
SELECT count(*) FROM run
WHERE finished IS NULL OR process IS NOT NULL OR started > finished
"""
LATE_ROWS = """
SELECT count(*) FROM run_row JOIN run ON run.id = run_row.run
WHERE run_row.at > run.finished + 0.01
"""
RUNS_WITH_GAPS = """
SELECT count(*) FROM (SELECT 1 FROM run_row GROUP BY run HAVING count(*) <> max(number) + 1)
"""


def find_process(engine: Engine, target: str, submitter: subprocess.Popen[str]) -> int | None:
    """The process to kill, if there is one at this moment."""
    if target == "submitter":
        return submitter.pid
    if target == "supervisor":
        return next(iter(supervisors()), None)
    return next((run.process for run in store.latest(engine) if run.status == "running"), None)


@pytest.mark.timeout(60 + 30 * KILLS)
def test_kills_at_random_moments(loaded: Engine, until: Callable[..., object]) -> None:
    # Other moments every time; what is asserted holds at any.
    generator = random.Random(time.time_ns())
    submitted: list[str] = []
    tokens: set[str] = set()
    for kill in range(KILLS):
        target = TARGETS[kill % len(TARGETS)]
        with subprocess.Popen(
            [sys.executable, "-c", SUBMITTER], cwd=paths.ROOT, stdout=subprocess.PIPE, text=True
        ) as submitter:
            assert submitter.stdout
            ids = submitter.stdout.readline().split()
            submitted += ids
            time.sleep(generator.uniform(0, 2.5))  # the moment of the kill
            tokens |= {run.token for run in store.latest(loaded, limit=4) if run.token}
            if pid := find_process(loaded, target, submitter):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for run_id in ids:
                check_end(loaded, run_id, target)
            submitter.kill()
    check_database(loaded, submitted)
    until(lambda: not any(is_alive(process.pid) for process in _left(tokens)))


def check_end(engine: Engine, run_id: str, target: str) -> None:
    run = wait_for_end(engine, run_id)
    if run.status != "succeeded":
        assert run.reason, run
        possible = {("worker", "failed"), ("supervisor", "interrupted")}
        assert (target, run.status) in possible, run


def check_database(engine: Engine, submitted: list[str]) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        assert sorted(connection.execute(text("SELECT id FROM run")).scalars()) == sorted(submitted)
        for query in (STUCK_RUNS, LATE_ROWS, RUNS_WITH_GAPS):
            assert connection.execute(text(query)).scalar_one() == 0, query


def _left(tokens: set[str]) -> list[psutil.Process]:
    return [process for token in tokens for process in processes.processes_with_token(token)]
