"""Full disks, a clock that is set back, several supervisors: no run and no row is lost."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from kb import db, paths
from kb.runs import control, launcher, store
from tests.conftest import end_processes_of
from tests.kb.run_processes import (
    Until,
    is_alive,
    start_slow_run,
    submit_dropout,
    supervisors,
    wait_for_end,
)

SHORT = {"data": "digits", "H": 32, "updates": 300, "seeds": 2}  # seconds; a figure at its end
OLD_CLOCK = """
import os, time
now = time.time
time.time = lambda: now() - 3600 * os.path.exists({flag!r})
"""


def mount(*arguments: str) -> None:
    """Mounts something, or skips the test where that isn't possible."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a disk")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Disk:
    """A small disk, mounted at a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder))
        self.folder = folder
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        for block_size in (1 << 20, 1 << 10):
            with self.ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(block_size))
        assert shutil.disk_usage(self.folder).free == 0

    def clear(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def mount_disk(home: Path) -> Iterator[Callable[[Path], Disk]]:
    """mount_disk(folder) mounts a disk, which is unmounted after the test."""
    folders: list[Path] = []

    def mount_at(folder: Path) -> Disk:
        disk = Disk(folder)
        folders.append(folder)
        return disk

    yield mount_at
    end_processes_of(home)
    for folder in reversed(folders):
        unmount(folder)


def row_values(engine: Engine, run_id: str) -> list[dict[str, Any]]:
    """What the run has yielded. Every row is there once.

    The rows are sorted: they come from several trials at the same time.
    """
    rows = store.rows(engine, run_id)
    assert [row.number for row in rows] == list(range(len(rows)))
    return sorted((row.values for row in rows), key=json.dumps)


def check_integrity(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"


def test_a_full_disk_with_the_database_loses_nothing(
    home: Path, mount_disk: Callable[[Path], Disk], until: Until
) -> None:
    disk = mount_disk(home)
    mount_disk(home / "runs")  # has room
    engine = db.open_database()
    run_id = submit_dropout(engine, "quick", **SHORT)
    until(lambda: store.rows(engine, run_id))
    disk.fill()
    with pytest.raises(store.Unwritable, match=r"can't be written: .*full"):
        submit_dropout(engine, "quick", **SHORT)
    with pytest.raises(store.Unwritable, match=r"can't be written: .*full"):
        control.cancel(engine, run_id)
    pid = store.get(engine, run_id).process or 0
    until(lambda: not is_alive(pid))
    assert store.get(engine, run_id).status == "running", "its end can't be written yet"
    assert supervisors(), "the supervisor waits until it can be"
    disk.clear()
    assert wait_for_end(engine, run_id).status == "succeeded"
    assert len(store.artifacts(engine, run_id)) == 1
    again = submit_dropout(engine, "quick", **SHORT)
    assert wait_for_end(engine, again).status == "succeeded"
    assert row_values(engine, again) == row_values(engine, run_id)
    check_integrity(engine)


def test_a_full_disk_with_a_runs_folder_fails_the_run_and_others_wait(
    home: Path, engine: Engine, mount_disk: Callable[[Path], Disk], until: Until
) -> None:
    disk = mount_disk(home / "runs")
    run_id = submit_dropout(engine, "quick", **SHORT)
    until(lambda: store.rows(engine, run_id))
    disk.fill()
    queued = submit_dropout(engine)
    run = wait_for_end(engine, run_id)
    assert run.status == "failed"
    assert run.reason.split(":")[0] == "the disk is full"
    assert any("test_error" in row for row in row_values(engine, run_id)), "earlier rows stay"
    until(lambda: store.get(engine, queued).note == "waits: the disk is full")
    assert store.get(engine, queued).status == "queued"
    disk.clear()
    assert wait_for_end(engine, queued).status == "succeeded"
    check_integrity(engine)


def test_a_clock_that_is_set_back_changes_no_order(
    loaded: Engine, tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "set back"
    (tmp_path / "sitecustomize.py").write_text(OLD_CLOCK.format(flag=str(flag)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    before = submit_dropout(loaded, "quick", **SHORT)
    assert wait_for_end(loaded, before).status == "succeeded"
    during = submit_dropout(loaded, "quick", **SHORT)
    until(lambda: store.rows(loaded, during))
    flag.touch()
    assert wait_for_end(loaded, during).status == "succeeded"
    after = submit_dropout(loaded, "quick", **SHORT)
    assert wait_for_end(loaded, after).status == "succeeded"

    ids = [before, during, after]
    runs: list[Any] = [store.get(loaded, run_id) for run_id in ids]
    assert runs[2].started < runs[0].started, "the clock was set back"
    for run in runs:
        assert run.finished - run.started > run.usage["wall_seconds"] - 0.01
        assert row_values(loaded, run.id) == row_values(loaded, before)
    assert [run.id for run in store.latest(loaded)] == ids[::-1]
    newest = store.newest_verdicts(loaded, db.claims(loaded))
    assert {verdict.run.id for verdict in newest if verdict.run} == {after}


def test_of_several_supervisors_one_stays(loaded: Engine, until: Until) -> None:
    running = start_slow_run(loaded, until)  # the queued runs wait until the supervisors start
    ids = [submit_dropout(loaded, seed=seed) for seed in range(3)]
    for pid in supervisors():
        os.kill(pid, 9)
    until(lambda: not supervisors() and launcher.lock())
    command = [sys.executable, "-m", "kb.runs.supervisor"]
    started = [
        subprocess.Popen(command, cwd=paths.ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    # Before one of them has the lock, `wait_for_end` could start another.
    until(lambda: store.get(loaded, running.id).attempts == 2)
    control.cancel(loaded, running.id)
    assert {wait_for_end(loaded, run_id).status for run_id in ids} == {"succeeded"}
    until(lambda: sum(process.poll() is None for process in started) == 1)
    staying = next(process for process in started if process.poll() is None)
    for process in started:
        if process is not staying:
            assert (process.returncode, process.communicate()[1]) == (0, "")
    staying.terminate()
    log = staying.communicate()[1]
    assert "Traceback" not in log
    for seed, run_id in enumerate(ids):
        assert log.count(f"{run_id} succeeded") == 1, log
        rows = row_values(loaded, run_id)
        assert len(rows) == len(row_values(loaded, ids[0]))
        assert {row["seed"] for row in rows if "seed" in row} == {seed, seed + 1}


def test_a_read_only_folder_can_be_read(home: Path, loaded: Engine) -> None:
    loaded.dispose()
    mount("--bind", str(home), str(home))
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(home)], check=True)
        search = kb("search", "dropout")
        assert search.returncode == 0 and "dropout" in search.stdout
        runs = kb("runs")
        assert (runs.returncode, runs.stdout) == (0, "no runs yet\n")
        for arguments in (["run", "dropout", "--preset", "smoke"], ["devices"]):
            refused = kb(*arguments)
            assert refused.returncode == 1
            assert refused.stderr.startswith("kb: ") and str(home) in refused.stderr
            assert refused.stderr.count("\n") == 1, refused.stderr
    finally:
        unmount(home)


def kb(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kb.cli", *arguments]
    return subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True)
