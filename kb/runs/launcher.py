"""One supervisor for each database: a lock that only it holds, and the way to start it where there is none."""

import fcntl
import os
import subprocess
import sys
from typing import IO

from kb import places


def lock() -> IO[str] | None:
    """The supervisor's lock, to be kept open as long as it is held; None if somebody holds it."""
    path = places.home() / "supervisor.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def ensure_supervisor() -> None:
    """Starts a supervisor, detached from this process, unless there is one. Two started at once settle it by the lock."""
    held = lock()
    if held is None:
        return
    held.close()
    with (places.home() / "supervisor.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "kb.runs.supervisor"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=places.ROOT,
            env=os.environ | {"KB_HOME": str(places.home())},
        )
