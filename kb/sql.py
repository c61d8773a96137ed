"""Read-only SQL over the database, for people: `kb sql`, the app's Explore page and notebooks.

A query runs in a process of its own, which may only read, has limits on time, rows and memory, and
can be killed without harm to anything else. SQLite's own time limit isn't enough: it is checked
between steps, and `hex(zeroblob(400000000))` is one step.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb import paths

MAX_SECONDS, MAX_ROWS, MAX_MEGABYTES = 5.0, 1_000, 256
GRACE_SECONDS = 1  # the process ends the query itself; this much later it is killed
PROGRAM = Path(__file__).with_name("sql_process.py")


class Refused(ValueError):
    """The query is wrong, not allowed, or beyond a limit; the message says which, and a remedy."""


@dataclass(frozen=True)
class Table:
    """The result of a query: the names of its columns, and rows of None, numbers and text.

    `truncated` if there were more rows than the limit. Iterating gives each row as a dict.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)


def query(
    sql: str,
    database: Path | None = None,
    *,
    seconds: float = MAX_SECONDS,
    rows: int = MAX_ROWS,
    megabytes: int = MAX_MEGABYTES,
) -> Table:
    """The result of one SELECT (or WITH ... SELECT, VALUES, EXPLAIN).

    `database` is the file to read; by default the one in `KB_HOME`. Of the result at most `rows`
    rows are kept. Bytes are shown as "<12 bytes>". Raises Refused for any other statement, for
    SQLite's errors, and when the query needs more than `seconds` or `megabytes` of memory.
    """
    path = (database or paths.database_file()).resolve()
    if not path.exists():
        raise Refused(f"{path} does not exist yet; `kb load` makes it")
    request = {
        "database": str(path),
        "sql": sql,
        "seconds": seconds,
        "rows": rows,
        "megabytes": megabytes,
    }
    response = _run_process(request)
    if "timeout" in response:
        raise Refused(
            f"the query took longer than {seconds:g} s; "
            f"narrow it with WHERE, or count instead of listing"
        )
    if "refused" in response:
        raise Refused(response["refused"])
    result_rows = tuple(map(tuple, response["rows"]))
    return Table(tuple(response["columns"]), result_rows, response["truncated"])


def _run_process(request: dict[str, Any]) -> dict[str, Any]:
    """The response of `sql_process.py`, or one like it if the process had to be killed."""
    # -I -S: no environment, no site-packages: it starts in a fortieth of a second
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    timeout = request["seconds"] + GRACE_SECONDS
    try:
        output, _ = process.communicate(json.dumps(request), timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"timeout": True}
    finally:
        process.kill()
        process.communicate()
    try:
        return dict(json.loads(output))
    except ValueError:  # the system ended the process before it could answer
        megabytes = request["megabytes"]
        return {
            "refused": f"the query needed more than {megabytes} MB of memory; "
            f"ask for less at a time"
        }


def schema(database: Path | None = None) -> dict[str, list[tuple[str, str]]]:
    """Each table with its columns and their types, without the inner tables of full-text search."""
    result = query(
        "SELECT m.name, p.name, lower(p.type) FROM sqlite_master m, pragma_table_info(m.name) p "
        "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite%' "
        "AND m.name NOT GLOB '*_text_*' ORDER BY m.name, p.cid",
        database,
    )
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in result.rows:
        tables.setdefault(table, []).append((column, kind))
    return tables
