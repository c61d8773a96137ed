"""Starts the supervisor of a database, unless there is one: a lock allows one for each database."""

import contextlib
import fcntl
import os
import subprocess
import sys
from typing import IO

from kb import paths


def lock() -> IO[str] | None:
    """The supervisor's lock, held until the file is closed; None if another process holds it.

    The file has the id of the process that holds it.
    """
    file = _try_lock()
    if file:
        with contextlib.suppress(OSError):  # on a full disk nobody learns the id
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
    return file


def holder() -> int | None:
    """The id of the process that took the lock last."""
    with contextlib.suppress(OSError, ValueError):
        return int((paths.home() / "supervisor.lock").read_text())
    return None


def _try_lock() -> IO[str] | None:
    path = paths.home() / "supervisor.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def ensure_supervisor() -> bool:
    """Starts a supervisor, detached from this process, unless one is running; whether it did.

    If two are started at the same time, the one that doesn't get the lock exits.
    """
    held = _try_lock()
    if held is None:
        return False
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
    return True
