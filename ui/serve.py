"""What `kb serve` starts: Streamlit, which else imports the app only when its first visitor waits for it."""

import importlib
import runpy

if __name__ == "__main__":
    importlib.import_module("ui.pages.timeline")
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
