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
from sqlmodel import Session

from kb import db, paths
from kb.runs import control, launcher, polling, store
from kb.tables import Run
from tests.conftest import end_processes_of
from tests.kb.run_processes import (
    Until,
    is_alive,
    start_slow_run,
    submit_dropout,
    supervisors,
    wait_for_end,
)

SHORT = {"data": "digits", "H": 32, "updates": 100, "seeds": 2}  # seconds; a figure at its end
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

    def fill_but(self, free: float) -> None:
        """Leaves about so many bytes."""
        with self.ballast.open("wb") as file:
            file.write(bytes(shutil.disk_usage(self.folder).free - int(free)))

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
    disk, _ = mount_disk(home), mount_disk(home / "runs")  # this one has room
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
    until(lambda: store.get(engine, queued).note.startswith("waits: the disk is full"))
    assert store.get(engine, queued).status == "queued"
    disk.clear()
    assert wait_for_end(engine, queued).status == "succeeded"
    check_integrity(engine)


@pytest.mark.slow
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


@pytest.mark.slow
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


def check_message(done: subprocess.CompletedProcess[str]) -> None:
    """A verb that can't go on says why in a line, and what helps."""
    assert done.returncode == 1, done
    assert done.stderr.startswith("kb: ") and done.stderr.count("\n") == 1, done.stderr
    assert "free some space" in done.stderr


@pytest.mark.slow
def test_every_verb_survives_a_full_disk(
    home: Path, mount_disk: Callable[[Path], Disk], tmp_path: Path
) -> None:
    disk = mount_disk(home)
    engine = db.open_database()
    assert kb("load").returncode == 0
    with engine.begin() as connection:  # as after an update of the program
        connection.execute(text("UPDATE loaded SET file_digest = 'of another version'"))
    disk.fill()
    for arguments in (["search", "dropout"], ["show", "dropout"], ["export"], ["runs"], ["claims"]):
        done = kb(*arguments)
        assert done.returncode == 0 and done.stdout, done
        assert "using the timeline loaded before" in done.stderr
    for arguments in (
        ["load", "--rebuild"],
        ["run", "dropout", "--preset", "smoke"],
        ["backup"],
        ["rows", "x", "--to", "/dev/full"],
    ):
        done = kb(*arguments)
        assert done.returncode == 1 and "Traceback" not in done.stderr, done
        assert "free some space" in done.stderr or "full" in done.stderr or "no run" in done.stderr
    engine.dispose()  # so that no other process helps
    assert kb("check", "--database").returncode == 0
    assert kb("backup", str(tmp_path / "b")).returncode == 0, "to another disk"
    assert "is full; free some space" in kb("search", "dropout").stderr
    disk.clear()
    assert kb("load").returncode == 0
    check_integrity(engine)


@pytest.mark.parametrize(
    "arguments",
    [["search", "dropout"], ["export"], ["schema"], ["check"], ["runs"], ["claims"]],
    ids=" ".join,
)
def test_output_that_finds_no_space_is_an_error(loaded: Engine, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kb.cli", *arguments],
            cwd=paths.ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    check_message(done)


@pytest.mark.slow
def test_a_run_says_what_it_waits_for(
    home: Path, mount_disk: Callable[[Path], Disk], until: Until
) -> None:
    disk = mount_disk(home)
    engine = db.open_database()
    assert kb("load").returncode == 0
    disk.fill_but(12e6)
    command = ["run", "dropout", "--preset", "smoke", "--device", "cpu"]
    detached = kb(*command, "--detach")
    assert "MB are free" in detached.stderr and "starts with 100 MB; free some" in detached.stderr
    assert "waits: 1" in kb("runs").stdout
    with subprocess.Popen(
        [sys.executable, "-m", "kb.cli", *command],
        cwd=paths.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert "MB are free" in process.stderr.readline()
        disk.clear()
        assert process.wait(120) == 0
    run_id = detached.stdout.strip()
    assert wait_for_end(engine, run_id).status == "succeeded"


def test_a_run_that_waits_for_another_says_so(loaded: Engine, until: Until) -> None:
    running = start_slow_run(loaded, until)
    queued = submit_dropout(loaded)
    assert polling.waiting_reason(loaded, store.get(loaded, queued)) == (
        f"waits for its turn, after {running.id}"
    )
    assert polling.waiting_reason(loaded, store.get(loaded, running.id)) == ""
    running.status, running.note = "queued", ""  # as it was read before it started
    assert not polling.waiting_reason(loaded, running), "no run waits for itself"
    assert f"waits for its turn, after {running.id}" in kb("runs").stdout
    control.cancel(loaded, queued)
    control.cancel(loaded, running.id)
    wait_for_end(loaded, running.id)


def test_runs_without_a_supervisor_are_noticed(
    loaded: Engine, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert polling.revive(loaded) == 0, "no runs, no supervisor"
    assert not supervisors()
    with monkeypatch.context() as patch:
        patch.setattr(launcher, "ensure_supervisor", lambda: False)
        run_id = submit_dropout(loaded)
    with Session(loaded) as session:
        run = session.get_one(Run, run_id)
        run.submitted -= 60
        session.commit()
    listed = kb("runs")
    assert listed.stderr == "1 run had no supervisor any more; a new one was started\n"
    until(lambda: store.get(loaded, run_id).status == "succeeded")
    assert kb("runs").stderr == ""


def test_a_run_that_was_submitted_just_now_has_a_supervisor_that_starts(loaded: Engine) -> None:
    submit_dropout(loaded)
    assert polling.revive(loaded) == 0
