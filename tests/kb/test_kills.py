"""Worker, supervisor or whoever submitted, killed at random moments: no run is lost, doubled, or stuck.

`KB_TRIALS=200 pytest tests/kb/test_kills.py` for as many as one likes; a few are enough to notice what broke.
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

from kb import places
from kb.runs import processes, store
from tests.kb.test_runs import alive, supervisors

TRIALS = int(os.environ.get("KB_TRIALS", "3"))
SUBMITS = """
import sys
from kb import db
from kb.runs import store
engine = db.open_database()
ids = store.submit_all(engine, [store.Order("dropout", "smoke", {"seed": seed}, "cpu") for seed in range(2)])
print(*ids, flush=True)
for _ in store.watch(engine, ids[-1], every=0.05): pass
"""


def victim(engine: Engine, whom: str, submitter: subprocess.Popen[str]) -> int | None:
    """The process to kill, if there is one at this moment."""
    if whom == "app":
        return submitter.pid
    if whom == "supervisor":
        return next(iter(supervisors()), None)
    return next((run.process for run in store.latest(engine) if run.status == "running"), None)


@pytest.mark.timeout(60 + 30 * TRIALS)
def test_kills_at_random_moments(loaded: Engine, until: Callable[..., object]) -> None:
    chance = random.Random(time.time_ns())  # other moments every time; what is asserted holds at any
    submitted: list[str] = []
    tokens: set[str] = set()
    ended: dict[str, int] = {}
    for trial in range(TRIALS):
        with subprocess.Popen(
            [sys.executable, "-c", SUBMITS], cwd=places.ROOT, stdout=subprocess.PIPE, text=True
        ) as submitter:
            assert submitter.stdout
            ids = submitter.stdout.readline().split()
            submitted += ids
            whom = ("worker", "supervisor", "app")[trial % 3]
            time.sleep(chance.uniform(0, 2.5))  # the moment is the point of it
            tokens |= {run.token for run in store.latest(loaded, limit=4) if run.token}
            if pid := victim(loaded, whom, submitter):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for id in ids:
                run = list(store.watch(loaded, id, every=0.05))[-1]
                ended[run.status] = ended.get(run.status, 0) + 1
                if run.status != "succeeded":
                    assert run.reason, run
                    assert (whom, run.status) in {("worker", "failed"), ("supervisor", "interrupted")}, (whom, run)
            submitter.kill()
    check(loaded, submitted)
    until(lambda: not any(alive(process.pid) for process in _left(tokens)))
    print(f"{TRIALS} kills: {ended}")


def check(engine: Engine, submitted: list[str]) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        assert sorted(connection.execute(text("SELECT id FROM run")).scalars()) == sorted(submitted)
        stuck = "SELECT count(*) FROM run WHERE finished IS NULL OR process IS NOT NULL OR started > finished"
        assert connection.execute(text(stuck)).scalar_one() == 0
        late = "SELECT count(*) FROM run_row JOIN run ON run.id = run_row.run WHERE run_row.at > run.finished + 0.01"
        assert connection.execute(text(late)).scalar_one() == 0
        gaps = "SELECT count(*) FROM (SELECT 1 FROM run_row GROUP BY run HAVING count(*) <> max(number) + 1)"
        assert connection.execute(text(gaps)).scalar_one() == 0


def _left(tokens: set[str]) -> list[psutil.Process]:
    return [process for token in tokens for process in processes.family(token)]
