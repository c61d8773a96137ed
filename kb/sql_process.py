"""The process in which one read-only query runs: `kb.sql` starts it, and may kill it at any time.

Reads {"database", "sql", "seconds", "rows", "megabytes"} as JSON from its standard input. Prints
{"columns", "rows", "truncated"}, {"refused": the reason} or {"timeout": true}.

It imports the standard library only, and little of that, so that it starts fast.
"""

import json
import re
import sqlite3
import sys
import time
from typing import Any

MAX_VALUE_BYTES = 5_000_000  # SQLite refuses to make a longer text or blob
MAX_RESULT_SIZE = 4 * MAX_VALUE_BYTES  # characters and bytes of all the rows together
INSTRUCTIONS_BETWEEN_CHECKS = 10_000  # of SQLite's virtual machine, between two checks of the time
ALLOWED_ACTIONS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_RECURSIVE,
}
ALLOWED_PRAGMAS = {
    "data_version",  # full-text search reads it
    "foreign_key_list",
    "index_info",
    "index_list",
    "table_info",
    "table_list",
    "table_xinfo",
}
FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}


def main() -> None:
    request = json.load(sys.stdin)
    limit_memory(request["megabytes"])
    try:
        response = run_query(
            request["database"], request["sql"], request["seconds"], request["rows"]
        )
    except sqlite3.Error as error:
        response = error_response(error)
    except MemoryError:
        response = refused(
            f"the query needed more than {request['megabytes']} MB of memory; "
            f"ask for less at a time"
        )
    except UnicodeEncodeError:  # half of a surrogate pair
        response = refused("the query contains a character that isn't valid Unicode; remove it")
    sys.stdout.buffer.write(json.dumps(response).encode())


def limit_memory(megabytes: int) -> None:
    """Makes the system refuse more memory to this process; on Windows only SQLite's limits hold."""
    try:
        import resource
    except ImportError:
        return
    limit = megabytes * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def run_query(database: str, sql: str, seconds: float, max_rows: int) -> dict[str, Any]:
    """The response to one query. Raises sqlite3.Error, MemoryError, UnicodeEncodeError."""
    if "\0" in sql:
        return refused("the query contains a null character; remove it")
    connection = connect(database, seconds)
    cursor = connection.execute(sql)
    if cursor.description is None:
        return refused("only questions are answered here: begin with SELECT, WITH or VALUES")
    rows: list[list[Any]] = []
    size, truncated = 0, False
    for row in cursor:
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(rows) == max_rows or size > MAX_RESULT_SIZE:
            truncated = True
            break
        rows.append([json_value(value) for value in row])
    columns = [column[0] for column in cursor.description]
    return {"columns": columns, "rows": rows, "truncated": truncated}


def connect(database: str, seconds: float) -> sqlite3.Connection:
    """A connection that can only read, and that interrupts a query after `seconds`."""
    # pathlib's as_uri() would quote the path, but importing it takes as long as a query
    quoted = database.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{quoted}?mode=ro", uri=True, timeout=seconds)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA cache_size = -16000")
    # a large sort reaches the limit of memory and can't fill the disk
    connection.execute("PRAGMA temp_store = MEMORY")
    connect_virtual_tables(connection)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(authorize)
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > end, INSTRUCTIONS_BETWEEN_CHECKS)
    return connection


def connect_virtual_tables(connection: sqlite3.Connection) -> None:
    """Uses each virtual table once: the authorizer would take its first use for a CREATE."""
    created = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"
    names = [name for (name,) in connection.execute(created).fetchall()]
    for name in names:
        connection.execute(f'SELECT 1 FROM "{name}" LIMIT 0')
    for pragma in sorted(ALLOWED_PRAGMAS):
        try:
            connection.execute(f'SELECT 1 FROM "pragma_{pragma}" LIMIT 0')
        except sqlite3.OperationalError:
            if pragma != "table_list":  # SQLite has it since 3.37
                raise


def authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
) -> int:
    """SQLite calls it for every table, column and function of a statement, before it runs."""
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").lower() not in FORBIDDEN_FUNCTIONS
    elif action == sqlite3.SQLITE_PRAGMA:
        allowed = (first or "").lower() in ALLOWED_PRAGMAS
    else:
        allowed = action in ALLOWED_ACTIONS
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def json_value(value: Any) -> Any:
    """The value, or text where JSON, or JavaScript's numbers, can't hold it."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if isinstance(value, int) and abs(value) > 2**53:
        return str(value)  # JavaScript would round it
    return value


def refused(reason: str) -> dict[str, Any]:
    return {"refused": reason}


def error_response(error: sqlite3.Error) -> dict[str, Any]:
    """The response to an error: decided by SQLite's code, since its wording changes by version."""
    message = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    if code == sqlite3.SQLITE_INTERRUPT:
        return {"timeout": True}
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return refused(f"{message}; `kb check --database` says what is damaged, and the remedy")
    # a forbidden function has the code of any wrong statement
    if code in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_READONLY) or "not authorized" in message:
        return refused(
            f"only reading is allowed here, and only what is in this database ({message})"
        )
    if code == sqlite3.SQLITE_TOOBIG:
        return refused(
            f"a text or blob of more than {MAX_VALUE_BYTES:,} bytes was asked for; "
            f"ask for less at a time"
        )
    if unknown := re.match(r"no such (table|column): (\S+)", message):
        kind, name = unknown.groups()
        return refused(f"there is no {kind} {name}; `kb sql --schema` lists what there is")
    return refused(message)


if __name__ == "__main__":
    main()
