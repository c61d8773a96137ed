"""Backups: whole, with the runs and their files; restoring one keeps what was there before."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from kb import backup, db, integrity, paths
from kb.literature import database
from kb.runs import launcher, store
from kb.tables import Run
from tests.kb.run_processes import Until, submit_dropout, supervisors, wait_for_end
from tests.kb.shell import printed, run_kb


def add_run(engine: Engine, run_id: str, **fields: object) -> None:
    with Session(engine) as session:
        session.add(
            Run(
                id=run_id,
                implementation="dropout",
                preset="quick",
                device="cpu",
                status="succeeded",
                submitted=time.time(),
                source_hash="x",
                **fields,
            )
        )
        session.commit()
    paths.run_folder(run_id).mkdir(parents=True, exist_ok=True)
    (paths.run_folder(run_id) / "log.txt").write_text(f"log of {run_id}")


def run_ids(engine: Engine) -> list[str]:
    return [run.id for run in store.latest(engine)]


def test_a_backup_brings_back_database_runs_and_literature(
    loaded: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(loaded, "a-1")
    database.open_library().close()
    made = printed(capsys, "backup", str(tmp_path / "b"), "--json")
    assert made.keys() == {"folder", "runs", "bytes"}
    assert made["runs"] == 1
    names = {path.name for path in (tmp_path / "b").iterdir()}
    assert names == {"kb.sqlite3", "outside.sqlite3", "runs"}
    assert integrity.find_problems(tmp_path / "b" / "kb.sqlite3") == []

    add_run(loaded, "b-2")
    (paths.run_folder("a-1") / "log.txt").unlink()
    restored = printed(capsys, "restore", str(tmp_path / "b"), "--json")
    assert restored.keys() == {"folder", "runs", "kept"}
    assert run_ids(loaded) == ["a-1"], "a program that has the database open sees the restored one"
    assert (paths.run_folder("a-1") / "log.txt").read_text() == "log of a-1"
    assert run_ids(db.open_database(Path(restored["kept"]) / "kb.sqlite3")) == ["b-2", "a-1"]
    with loaded.connect() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    assert mode == "wal"


def test_a_damaged_database_is_kept_and_replaced(loaded: Engine, tmp_path: Path) -> None:
    add_run(loaded, "a-1")
    backup.create(tmp_path / "b")
    loaded.dispose()
    paths.database_file().write_bytes(b"damaged" * 1000)
    restored = backup.restore(tmp_path / "b")
    assert run_ids(db.open_database()) == ["a-1"]
    assert restored.kept
    assert (Path(restored.kept) / "kb.sqlite3").read_bytes() == b"damaged" * 1000


def test_nothing_is_written_over(
    loaded: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "b"
    target.mkdir()
    for arguments, message in (
        (["backup", str(target)], "exists already"),
        (["backup", str(paths.home() / "runs" / "b")], "is in the folder of the runs"),
        (["restore", str(target)], "is no backup"),
        (["restore", str(tmp_path / "none")], "is no backup"),
    ):
        status, _, err = run_kb(capsys, *arguments)
        assert (status, message in err) == (1, True), err
    (target / "kb.sqlite3").write_bytes(b"x" * 5000)
    status, _, err = run_kb(capsys, "restore", str(target))
    assert status == 1 and "the backup can't be used" in err
    assert db.milestone(loaded, "dropout")


def test_without_a_name_it_goes_into_the_home(
    loaded: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run_kb(capsys, "backup")
    assert status == 0
    assert out.startswith(str(paths.home() / "backups"))


def test_a_disk_that_is_too_small_is_noticed_before(
    loaded: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(backup.BackupError, match=r"are needed, 0 MB are free .*another disk"):
        backup.create(tmp_path / "b")
    assert list(tmp_path.glob("b*")) == []


def test_backup_while_a_run_goes_on_and_restore_when_it_has_ended(
    loaded: Engine, tmp_path: Path, until: Until
) -> None:
    first = submit_dropout(loaded)
    assert wait_for_end(loaded, first).status == "succeeded"
    backup.create(tmp_path / "b")
    running = submit_dropout(loaded, "quick", data="digits", seeds=1000, updates=40)
    until(lambda: store.get(loaded, running).status == "running")
    backup.create(tmp_path / "c")
    with pytest.raises(backup.BackupError, match="a run is being executed"):
        backup.restore(tmp_path / "b")
    (pid,) = supervisors()
    assert launcher.holder() == pid
    from kb.runs import control

    control.cancel(loaded, running)
    assert wait_for_end(loaded, running).status == "cancelled"
    until(lambda: store.get(loaded, running).process is None)
    backup.restore(tmp_path / "b")
    assert run_ids(loaded) == [first]
    until(lambda: not supervisors())  # the idle one ends
    artifacts = store.artifacts(loaded, first)
    assert all(store.artifact_file(artifact).exists() for artifact in artifacts)
    again = submit_dropout(loaded)
    assert wait_for_end(loaded, again).status == "succeeded"


def test_a_backup_while_others_write_is_of_one_moment(loaded: Engine, tmp_path: Path) -> None:
    """Each transaction writes two rows: a backup has both or none."""
    with closing(sqlite3.connect(paths.database_file())) as connection:
        connection.execute("CREATE TABLE pair (n INTEGER, text VARCHAR)")
    writer = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60)
print(flush=True)
for n in range(100_000):
    with connection:
        for _ in range(2):
            connection.execute("INSERT INTO pair VALUES (?, ?)", (n, "x" * 2000))
"""
    with subprocess.Popen(
        [sys.executable, "-c", writer, str(paths.database_file())], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        for name in "bcd":
            backup.create(tmp_path / name)
            with closing(integrity.connect(tmp_path / name / "kb.sqlite3")) as connection:
                odd = "SELECT count(*) FROM (SELECT n FROM pair GROUP BY n HAVING count(*) <> 2)"
                assert connection.execute(odd).fetchone()[0] == 0
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        process.kill()
