"""Writes the files of a site into a folder: all of them or none.

They are written beside the folder first, which is then replaced in one move. What is replaced is
only ever an earlier site: it has a file MARKER, and any other folder is left alone.
"""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MARKER = "made-by-kb.txt"
MARKER_TEXT = (
    "`kb export site` made this folder, and replaces all of it the next time.\n"
    "Keep files of your own elsewhere.\n"
)


class NotASite(ValueError):
    """The folder has something else in it; the message says what to do."""


class Written(NamedTuple):
    pages: int
    files: int
    bytes: int


def check_target(folder: Path) -> None:
    """Raises NotASite for a folder that would lose something else than an earlier site."""
    if folder.is_dir() and ((folder / MARKER).is_file() or not any(folder.iterdir())):
        return
    if folder.is_symlink() or folder.exists():
        raise NotASite(
            f"{folder} exists and was not made by `kb export site`; nothing was written. "
            "Name a new folder, or an empty one"
        )


def write(folder: Path, files: Iterable[tuple[str, bytes]]) -> Written:
    """Writes the files, each with its path inside the folder. Raises NotASite, OSError."""
    target = folder.resolve()
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        written = _write_all(work / "new", [(MARKER, MARKER_TEXT.encode()), *files])
        if target.exists():
            target.rename(work / "old")
        (work / "new").rename(target)
    finally:
        if (work / "old").exists() and not target.exists():
            (work / "old").rename(target)
        shutil.rmtree(work, ignore_errors=True)
    return written


def _write_all(root: Path, files: Iterable[tuple[str, bytes]]) -> Written:
    pages = count = size = 0
    for path, content in files:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        pages += path.endswith(".html")
        count, size = count + 1, size + len(content)
    return Written(pages, count, size)
