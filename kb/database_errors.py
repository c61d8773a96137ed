"""SQLite's errors in words: what each means for a database file, and what can be done about it."""

import shutil
import sqlite3
from pathlib import Path

FULL_BYTES = 1e6  # with less free space, an error of input or output means that the disk is full
BEGIN_ANEW = "move it away to begin anew, or bring a backup back with `kb restore FOLDER`"


def explain(error: BaseException, path: Path) -> str:
    """What an error of SQLite's about this file means, with the remedy. The file isn't changed."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    if path.is_dir():
        return f"{path} is a folder, where the database should be; move it away"
    if code == sqlite3.SQLITE_NOTADB:
        return f"{path} is no database, or its beginning is damaged; {BEGIN_ANEW}"
    if code == sqlite3.SQLITE_CORRUPT or isinstance(error, UnicodeError):
        return f"{path} is damaged ({error}); `kb check --database` says where; {BEGIN_ANEW}"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"{path} is in use by another program ({error}); try again"
    if code == sqlite3.SQLITE_FULL or is_full(path.parent):
        return f"{error}: {full_disk_remedy(path.parent)}"
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return f"{path}: {error}; it must be readable and writable by you, and so must its folder"
    return f"{path}: {error}; `kb check --database` says whether it is damaged"


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no space left."""
    try:
        return shutil.disk_usage(folder).free < FULL_BYTES
    except OSError:
        return False


def full_disk_remedy(folder: Path) -> str:
    return f"the disk with {folder} is full; free some space, or set KB_HOME to another disk"
