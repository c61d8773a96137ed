"""The program that `kb serve` starts: Streamlit, with the home page imported in advance.

Streamlit itself would import the app only when its first visitor opens it.
"""

import importlib
import runpy

if __name__ == "__main__":
    importlib.import_module("ui.pages.timeline")
    runpy.run_module("streamlit", run_name="__main__", alter_sys=True)
