"""Backups of all that can't be made again: the database with its runs, their files, the literature.

A backup is a folder like KB_HOME. The databases in it are copied by SQLite's own backup, which
gives one moment of a database while others write to it.
"""

import contextlib
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import psutil

from kb import integrity, paths
from kb.database_errors import explain
from kb.runs import launcher

DATABASE = "kb.sqlite3"
DATABASES = (DATABASE, "outside.sqlite3")  # the second has the imported literature
RUNS = "runs"
STOP_SECONDS = 15.0  # that an idle supervisor has to end


class BackupError(RuntimeError):
    """No backup was made or restored; the message says why, and what to do."""


@dataclass(frozen=True)
class Backup:
    folder: str
    runs: int
    bytes: int


@dataclass(frozen=True)
class Restored:
    folder: str
    runs: int
    kept: str | None  # where the database that was there before is now


def create(folder: Path | None = None) -> Backup:
    """Copies databases and runs into a new folder, by default in KB_HOME/backups.

    It appears under its name only when it is whole. Raises BackupError, and OSError.
    """
    home = paths.home()
    target = (folder or home / "backups" / _now()).resolve()
    if not (home / DATABASE).is_file():
        raise BackupError(f"there is nothing to back up: {home / DATABASE} does not exist")
    if target.exists():
        raise BackupError(f"{target} exists already; name a new folder")
    if target.is_relative_to(home / RUNS):
        raise BackupError(f"{target} is in the folder of the runs; name another")
    _require_space(target, sum(map(_size, _sources(home))))
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a backup that was interrupted
    partial.mkdir(parents=True)
    try:
        for name in _present(home):
            copy_database(home / name, partial / name)
        if (home / RUNS).is_dir():
            _copy_files(home / RUNS, partial / RUNS)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Backup(str(target), count_runs(target / DATABASE), _size(target))


def restore(folder: Path) -> Restored:
    """Makes databases and runs those of a backup. What was there before is kept in KB_HOME/backups.

    Programs that have the database open see the restored one. Raises BackupError, and OSError.
    """
    home = paths.home()
    if not (folder / DATABASE).is_file():
        raise BackupError(f"{folder} is no backup: it has no {DATABASE}; `kb backup` makes one")
    if problems := integrity.find_problems(folder / DATABASE):
        raise BackupError(f"the backup can't be used: {problems[0]}")
    _require_space(home, 2 * sum(map(_size, _sources(folder))))
    kept = home / "backups" / f"before-restore-{_now()}"
    with _lock_out_supervisor(home / DATABASE):
        for name in _present(folder):
            if (home / name).exists():
                kept.mkdir(parents=True, exist_ok=True)
                _keep(home / name, kept / name)
            copy_database(folder / name, home / name, journal="WAL")
        if (folder / RUNS).is_dir():
            _copy_files(folder / RUNS, home / RUNS)
    runs = count_runs(home / DATABASE)
    return Restored(str(folder), runs, str(kept) if kept.exists() else None)


def copy_database(source: Path, target: Path, journal: str = "DELETE") -> None:
    """Makes `target` equal to `source`. Raises BackupError if a file can't be read or written."""
    try:
        with (
            closing(integrity.connect(source)) as reader,
            closing(sqlite3.connect(target, timeout=STOP_SECONDS)) as writer,
        ):
            reader.backup(writer)
            writer.execute(f"PRAGMA journal_mode = {journal}")
            is_whole = integrity.is_whole(writer)
    except (sqlite3.Error, UnicodeError) as error:
        raise BackupError(explain(error, source)) from None
    if not is_whole:
        raise BackupError(f"{source} is damaged; `kb check --database` says where")


def count_runs(database: Path) -> int:
    with closing(integrity.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM run").fetchone()[0])


def _keep(file: Path, copy: Path) -> None:
    """Copies a database, or moves it away if it is damaged, with the files that belong to it."""
    try:
        copy_database(file, copy)
    except BackupError:
        copy.unlink(missing_ok=True)
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{file}{suffix}").rename(f"{copy}{suffix}")


@contextlib.contextmanager
def _lock_out_supervisor(database: Path) -> Iterator[None]:
    """Keeps runs from starting. Ends an idle supervisor; BackupError if it is executing runs."""
    held = launcher.lock()
    if held is None:
        if executing := _count_executing(database):
            runs = "a run is" if executing == 1 else f"{executing} runs are"
            raise BackupError(f"{runs} being executed; wait for the end, or use `kb stop`")
        held = _stop_supervisor()
    try:
        yield
    finally:
        held.close()


def _count_executing(database: Path) -> int:
    """0 if the database can't be read: then nothing that a run yields can be recorded either."""
    query = "SELECT count(*) FROM run WHERE process IS NOT NULL"
    with contextlib.suppress(sqlite3.Error), closing(integrity.connect(database)) as connection:
        return int(connection.execute(query).fetchone()[0])
    return 0


def _stop_supervisor() -> IO[str]:
    """Asks an idle supervisor to end, and takes its lock."""
    pid = launcher.holder()
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        if pid and "kb.runs.supervisor" in psutil.Process(pid).cmdline():
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while (held := launcher.lock()) is None:
        if time.monotonic() > deadline:
            raise BackupError("the supervisor of the runs has the database open; try again later")
        time.sleep(0.1)
    return held


def _copy_files(source: Path, target: Path) -> None:
    """Copies the regular files that aren't there yet. A run may remove some meanwhile."""

    def links(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if (Path(folder) / name).is_symlink()]

    def copy_file(file: str, copy: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            if Path(file).is_file() and not Path(copy).exists():
                shutil.copy2(file, copy)

    shutil.copytree(source, target, ignore=links, copy_function=copy_file, dirs_exist_ok=True)


def _present(folder: Path) -> list[str]:
    return [name for name in DATABASES if (folder / name).is_file()]


def _sources(folder: Path) -> list[Path]:
    return [folder / name for name in (*_present(folder), RUNS)]


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    total = 0
    for file in path.rglob("*") if path.is_dir() else [path]:
        with contextlib.suppress(OSError):
            total += file.lstat().st_size
    return total


def _require_space(target: Path, needed: int) -> None:
    existing = next(folder for folder in (target, *target.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise BackupError(
            f"{needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free at {existing}; "
            "free some space, or name a folder on another disk"
        )


def _now() -> str:
    return f"{datetime.now():%Y-%m-%d-%H%M%S}"
