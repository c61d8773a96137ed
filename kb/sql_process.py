"""The process in which one read-only query runs. Only the standard library: it must start at once and may be killed.

Reads {"database", "sql", "seconds", "rows", "megabytes"} as JSON from its input, prints {"columns", "rows", "cut"} or
{"refused": why}.
"""

import json
import re
import sqlite3
import sys
import time
from typing import Any

LONGEST = 5_000_000  # bytes of a text or blob: SQLite refuses to make a longer one
ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_RECURSIVE,
}
HARMLESS_PRAGMAS = {
    "data_version",  # full-text search asks for it
    "foreign_key_list",
    "index_info",
    "index_list",
    "table_info",
    "table_list",
    "table_xinfo",
}
HARMFUL_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}


def may(action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None) -> int:
    """SQLite asks for every table, column and function of a statement before it runs."""
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").lower() not in HARMFUL_FUNCTIONS
    elif action == sqlite3.SQLITE_PRAGMA:
        allowed = (first or "").lower() in HARMLESS_PRAGMAS
    else:
        allowed = action in ALLOWED
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def limit_memory(megabytes: int) -> None:
    """The system ends a process that asks for more; where it can't (Windows), SQLite's own limits remain."""
    try:
        import resource
    except ImportError:
        return
    limit = megabytes * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def answer(database: str, sql: str, seconds: float, rows: int) -> dict[str, Any]:
    # as_uri() of pathlib would be nicer, but importing it costs as much as the query
    quoted = database.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{quoted}?mode=ro", uri=True, timeout=seconds)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -16000")
    connection.execute("PRAGMA temp_store = MEMORY")  # a great sort meets the memory's limit, it doesn't fill the disk
    virtual = "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
    names = [name for (name,) in connection.execute(virtual).fetchall()]
    for name in [*names, *(f"pragma_{pragma}" for pragma in sorted(HARMLESS_PRAGMAS))]:
        connection.execute(
            f'SELECT 1 FROM "{name}" LIMIT 0'
        )  # connected now: the authorizer would take it for a CREATE
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(may)
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    cursor = connection.execute(sql)
    if cursor.description is None:
        return {"refused": "only questions are answered here: begin with SELECT, WITH or VALUES"}
    found: list[list[Any]] = []
    size, cut = 0, False
    for row in cursor:
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(found) == rows or size > 4 * LONGEST:
            cut = True
            break
        found.append([plain(value) for value in row])
    return {"columns": [column[0] for column in cursor.description], "rows": found, "cut": cut}


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, int) and abs(value) > 2**53:
        return str(value)  # JavaScript would round it
    return value


def main() -> None:
    asked = json.load(sys.stdin)
    limit_memory(asked["megabytes"])
    try:
        said = answer(asked["database"], asked["sql"], asked["seconds"], asked["rows"])
    except sqlite3.Error as error:
        said = {"refused": refusal(str(error))}
    except MemoryError:
        said = {"refused": f"the query needed more than {asked['megabytes']} MB of memory; ask for less at a time"}
    sys.stdout.buffer.write(json.dumps(said).encode())


def refusal(message: str) -> str:
    if message == "interrupted":
        return "TIME"
    if (
        "not authorized" in message
        or "authorization denied" in message
        or "prohibited" in message
        or "attempt to write" in message
    ):
        return f"only reading is allowed here, and only what is in this database ({message})"
    if "string or blob too big" in message:
        return f"a text or blob of more than {LONGEST:,} bytes was asked for; ask for less at a time"
    if "out of memory" in message:
        return "the query needed too much memory; ask for less at a time"
    if unknown := re.fullmatch(r"no such (table|column): (.+)", message):
        return f"there is no {unknown[1]} {unknown[2]}; `kb sql --schema` lists what there is"
    return message


if __name__ == "__main__":
    main()
