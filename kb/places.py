"""Where things are: the timeline, the implementations, the app, and the folder that holds the database and the runs."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # the checkout, or site-packages
IMPLEMENTATIONS = ROOT / "impl"
CHECKOUT = (ROOT / "pyproject.toml").exists()
SHARE = ROOT if CHECKOUT else PACKAGE / "share"  # an installed package carries the timeline and the app in kb/share
TIMELINE = SHARE / "data" / "timeline.yaml"
APP = SHARE / "app.py"


def home() -> Path:
    """`KB_HOME`; without it, `.kb` in the checkout, or the user's data folder for an installed package."""
    if given := os.environ.get("KB_HOME"):
        return Path(given).expanduser().resolve()
    if CHECKOUT:
        return ROOT / ".kb"
    data = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return data / "executable-history"


def database() -> Path:
    return home() / "kb.sqlite3"


def run_folder(run_id: str) -> Path:
    """The figures, the log and the source of one run."""
    return home() / "runs" / run_id
