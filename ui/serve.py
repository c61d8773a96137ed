"""The program that `kb serve` starts: Streamlit, with the home page imported in advance.

Streamlit itself would import the app only when its first visitor opens it. Requests for names that
the server isn't meant to have are refused, and runs that have lost their supervisor get a new one.
"""

import contextlib
import importlib
import os
import runpy
import sys
import threading
import time

from sqlalchemy.exc import SQLAlchemyError

CHECK_SECONDS = 5.0  # between two looks at the queue


def watch_queue() -> None:
    """Starts a supervisor whenever runs wait for one that isn't there any more."""
    from kb import db
    from kb.runs import polling

    engine = db.open_database()
    while True:
        # a locked database, a full disk: it is tried again
        with contextlib.suppress(SQLAlchemyError, OSError):
            if count := polling.revive(engine):
                message = f"runs without a supervisor: {count}; a new one was started"
                print(message, file=sys.stderr, flush=True)
        time.sleep(CHECK_SECONDS)


def main() -> None:
    importlib.import_module("ui.pages.timeline")
    importlib.import_module("ui.host_check").guard_streamlit()
    if not os.environ.get("KB_READ_ONLY"):
        threading.Thread(target=watch_queue, daemon=True).start()
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
