"""Starts the supervisor of a database, unless there is one: a lock allows one for each database."""

import fcntl
import os
import subprocess
import sys
from typing import IO

from kb import paths


def lock() -> IO[str] | None:
    """The supervisor's lock, held until the file is closed; None if another process holds it."""
    path = paths.home() / "supervisor.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def ensure_supervisor() -> None:
    """Starts a supervisor, detached from this process, unless one is running.

    If two are started at the same time, the one that doesn't get the lock exits.
    """
    held = lock()
    if held is None:
        return
    held.close()
    with (paths.home() / "supervisor.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "kb.runs.supervisor"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=paths.ROOT,
            env=os.environ | {"KB_HOME": str(paths.home())},
        )
