"""The program that `kb serve` starts: Streamlit, with the home page imported in advance.

Streamlit itself would import the app only when its first visitor opens it. Requests for names that
the server isn't meant to have are refused, and runs that have lost their supervisor get a new one.
"""

import importlib
import os
import runpy
import threading


def main() -> None:
    importlib.import_module("ui.pages.timeline")
    importlib.import_module("ui.host_check").guard_streamlit()
    if not os.environ.get("KB_READ_ONLY"):
        watch = importlib.import_module("ui.queue_watch").watch_queue
        threading.Thread(target=watch, daemon=True).start()
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
