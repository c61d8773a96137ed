"""Disks that are full, a clock that goes back, supervisors that start at once: done to real processes, nothing is lost."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from kb import db, places
from kb.runs import launcher, store
from tests.conftest import end_processes_of
from tests.kb.test_runs import alive, begun, ended, supervisors

Until = Callable[..., Any]
SHORT = {"data": "digits", "H": 32, "updates": 300, "seeds": 2}  # seconds; leaves two pictures near its end
OLD_CLOCK = """
import os, time
now = time.time
time.time = lambda: now() - 3600 * os.path.exists({flag!r})
"""


class Disk:
    """A small disk of its own, mounted at a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() != 0 or not shutil.which("mount"):
            pytest.skip("only root can mount a disk")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        self.folder, self.ballast = folder, folder / "ballast"

    def fill(self) -> None:
        with self.ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
        with self.ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 10))
        assert shutil.disk_usage(self.folder).free == 0

    def clear(self) -> None:
        self.ballast.unlink()


@pytest.fixture
def disk(home: Path) -> Iterator[Callable[[Path], Disk]]:
    """disk(folder): a disk that is unmounted after the test."""
    mounted: list[Path] = []

    def mount(folder: Path) -> Disk:
        made = Disk(folder)
        mounted.append(folder)
        return made

    yield mount
    end_processes_of(home)
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def yielded(engine: Engine, run_id: str) -> list[dict[str, Any]]:
    rows = store.rows(engine, run_id)
    assert [row.number for row in rows] == list(range(len(rows)))
    return [row.values for row in rows]


def whole(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok")


def test_a_database_on_a_full_disk_loses_nothing(home: Path, disk: Callable[[Path], Disk], until: Until) -> None:
    small = disk(home)
    disk(home / "runs")  # has room
    engine = db.open_database()
    run_id = store.submit(engine, "dropout", "quick", changes=SHORT, device="cpu")
    until(lambda: store.rows(engine, run_id))
    small.fill()
    with pytest.raises(store.Unwritable, match=r"can't be written: .*full"):
        store.submit(engine, "dropout", "quick", changes=SHORT, device="cpu")
    with pytest.raises(store.Unwritable, match=r"can't be written: .*full"):
        store.cancel(engine, run_id)
    run = store.get(engine, run_id)
    until(lambda: not alive(run.process))
    assert store.get(engine, run_id).status == "running", "its end waits for room"
    assert supervisors(), "and so does the supervisor"
    small.clear()
    assert ended(engine, run_id).status == "succeeded"
    assert len(store.artifacts(engine, run_id)) == 2
    again = store.submit(engine, "dropout", "quick", changes=SHORT, device="cpu")
    assert ended(engine, again).status == "succeeded"
    assert yielded(engine, again) == yielded(engine, run_id)
    assert whole(engine)


def test_a_run_whose_folder_is_full_says_so_and_others_wait(
    home: Path, engine: Engine, disk: Callable[[Path], Disk], until: Until
) -> None:
    small = disk(home / "runs")
    run_id = store.submit(engine, "dropout", "quick", changes=SHORT, device="cpu")
    until(lambda: store.rows(engine, run_id))
    small.fill()
    waiting = store.submit(engine, "dropout", "smoke", device="cpu")
    run = ended(engine, run_id)
    assert (run.status, run.reason.split(":")[0]) == ("failed", "the disk is full")
    assert any("test_error" in row for row in yielded(engine, run_id)), "what it yielded before is there"
    until(lambda: store.get(engine, waiting).note == "waits: the disk is full")
    assert store.get(engine, waiting).status == "queued"
    small.clear()
    assert ended(engine, waiting).status == "succeeded"
    assert whole(engine)


def test_a_clock_that_goes_back_disorders_nothing(
    loaded: Engine, tmp_path: Path, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = tmp_path / "an hour back"
    (tmp_path / "sitecustomize.py").write_text(OLD_CLOCK.format(flag=str(back)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def short() -> str:
        return store.submit(loaded, "dropout", "quick", changes=SHORT, device="cpu")

    ids = [short()]
    assert ended(loaded, ids[0]).status == "succeeded"
    ids.append(short())
    until(lambda: store.rows(loaded, ids[1]))
    back.touch()
    assert ended(loaded, ids[1]).status == "succeeded"
    ids.append(short())
    assert ended(loaded, ids[2]).status == "succeeded"
    runs = [store.get(loaded, id) for id in ids]
    assert runs[2].started < runs[0].started, "the clock did go back"
    for run in runs:
        assert run.finished - run.started > run.usage["wall_seconds"] - 0.01
        assert yielded(loaded, run.id) == yielded(loaded, ids[0])
    assert [run.id for run in store.latest(loaded)] == ids[::-1]
    judged = [one.run for one in store.standings(loaded, db.claims(loaded)) if one.run]
    assert {run.id for run in judged} == {ids[2]}, "the newest counts"


def test_supervisors_that_start_at_once_settle_who_stays(loaded: Engine, until: Until) -> None:
    running = begun(loaded, until)  # queued runs wait behind it until there are many supervisors
    ids = [store.submit(loaded, "dropout", "smoke", changes={"seed": seed}, device="cpu") for seed in range(3)]
    for pid in supervisors():
        os.kill(pid, 9)
    until(lambda: not supervisors() and launcher.lock())
    command = [sys.executable, "-m", "kb.runs.supervisor"]
    many = [subprocess.Popen(command, cwd=places.ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert {ended(loaded, id).status for id in ids} == {"succeeded"}
    assert ended(loaded, running.id).status == "interrupted"
    until(lambda: sum(one.poll() is None for one in many) == 1)
    stayed = next(one for one in many if one.poll() is None)
    for one in many:
        if one is not stayed:
            assert (one.returncode, one.communicate()[1]) == (0, "")
    for id in ids:
        rows = yielded(loaded, id)
        seeds = {row["seed"] for row in rows if "seed" in row}
        assert len(rows) == len(yielded(loaded, ids[0])) and seeds == {ids.index(id), ids.index(id) + 1}
    stayed.terminate()
    said = stayed.communicate()[1]
    assert [said.count(f"{id} succeeded") for id in ids] == [1, 1, 1], said
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_written_can_be_read(home: Path, loaded: Engine) -> None:
    loaded.dispose()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a folder read-only")
    done = subprocess.run(["mount", "--bind", str(home), str(home)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(home)], check=True)

        def kb(*arguments: str) -> tuple[int, str, str]:
            command = [sys.executable, "-m", "kb.cli", *arguments]
            done = subprocess.run(command, cwd=places.ROOT, capture_output=True, text=True)
            return done.returncode, done.stdout, done.stderr

        status, out, _ = kb("search", "dropout")
        assert status == 0 and "dropout" in out
        assert kb("runs")[:2] == (0, "no runs yet\n")
        for arguments in (("run", "dropout", "--preset", "smoke"), ("devices",)):
            status, _, said = kb(*arguments)
            assert status == 1 and said.startswith("kb: ") and said.count("\n") == 1 and str(home) in said, said
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)
