"""Fixtures that several tests share. Every test has a KB_HOME of its own; none reads the user's."""

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
from sqlalchemy import Engine

from kb import db, loader, paths

os.environ.setdefault("KB_CORES", "1")  # of a run; the tests themselves keep the cores busy
hypothesis.settings.register_profile("here", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("here")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A KB_HOME of the test's own; a supervisor that the test started ends with it."""
    folder = tmp_path / "home"
    monkeypatch.setenv("KB_HOME", str(folder))
    yield folder
    end_processes_of(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_processes_of(folder: Path) -> None:
    """Ends what still runs with this KB_HOME."""
    if not folder.exists():  # so nothing was started
        return
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            mine = process.pid != os.getpid() and process.environ().get("KB_HOME") == str(folder)
            if mine and any(word.startswith("kb.runs.") for word in process.cmdline()):
                process.kill()
                process.wait(10)


@pytest.fixture(scope="session")
def timeline() -> loader.Timeline:
    return loader.read_timeline(paths.TIMELINE)


@pytest.fixture
def engine(home: Path) -> Engine:
    """An empty database."""
    return db.open_database()


@pytest.fixture(scope="session")
def loaded_file(tmp_path_factory: pytest.TempPathFactory, timeline: loader.Timeline) -> Path:
    """A database with the project's timeline in it, to be copied."""
    file = tmp_path_factory.mktemp("loaded") / "kb.sqlite3"
    engine = db.open_database(file)
    db.load_timeline(engine, timeline.milestones)
    engine.dispose()  # all of it is in the file then
    return file


@pytest.fixture
def loaded(home: Path, loaded_file: Path) -> Engine:
    """A database with the project's timeline in it; the shell and the app needn't load it."""
    home.mkdir(exist_ok=True)
    shutil.copy(loaded_file, home / "kb.sqlite3")
    return db.open_database()


@pytest.fixture
def until() -> Callable[..., Any]:
    """until(lambda: something): waits for something to become true, and returns it."""

    def wait(condition: Callable[[], Any], seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.02)
        raise AssertionError(f"didn't become true within {seconds} s")

    return wait
