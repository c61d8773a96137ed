"""The paths of the project's files and of the user's data."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # the checkout, or site-packages
IMPLEMENTATIONS = ROOT / "impl"
IS_CHECKOUT = (ROOT / "pyproject.toml").exists()
SHARE = ROOT if IS_CHECKOUT else PACKAGE / "share"  # a wheel has the timeline and the app in there
TIMELINE = SHARE / "data" / "timeline.yaml"
APP = SHARE / "app.py"


def home() -> Path:
    """The folder of the database and the runs: KB_HOME if that is set.

    Otherwise `.kb` in a checkout, and a folder for the user's data for an installed package.
    """
    if value := os.environ.get("KB_HOME"):
        return Path(value).expanduser().resolve()
    if IS_CHECKOUT:
        return ROOT / ".kb"
    data = Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share"))
    return data / "executable-history"


def database_file() -> Path:
    return home() / "kb.sqlite3"


def run_folder(run_id: str) -> Path:
    """The folder of one run's figures, log and source."""
    return home() / "runs" / run_id


def replace_text(path: Path, text: str) -> None:
    """Writes a file anew. On a full disk it stays as it was."""
    path = path.resolve()
    partial = path.with_name(f"{path.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
