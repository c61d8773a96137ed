"""Read-only SQL over the database, for people: `kb sql`, the app's Explore page and notebooks.

A query runs in a process of its own that may only read, with limits on time, rows and memory, and that can be killed
without hurting anything: a time limit inside SQLite alone is got round by `hex(zeroblob(400000000))`, which is one step.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kb import places

SECONDS, ROWS, MEGABYTES = 5.0, 1_000, 256
PROGRAM = Path(__file__).with_name("sql_process.py")


class Refused(ValueError):
    """The query was wrong, not allowed, or beyond a limit; the message says which, and the remedy."""


@dataclass(frozen=True)
class Table:
    """What a query gave: column names and rows of None, numbers and text; `cut` if there were more rows than the limit."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    cut: bool

    def __iter__(self) -> Any:
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)


def query(
    sql: str,
    database: Path | None = None,
    *,
    seconds: float = SECONDS,
    rows: int = ROWS,
    megabytes: int = MEGABYTES,
) -> Table:
    """One SELECT (or WITH ... SELECT, VALUES, EXPLAIN) over the database that `KB_HOME` holds.

    Raises Refused for anything else, for SQLite's errors and for a limit reached: `seconds`, `megabytes` of memory.
    More than `rows` rows are cut off. Bytes are shown as "<12 bytes>".
    """
    path = (database or places.database()).resolve()
    if not path.exists():
        raise Refused(f"{path} isn't there yet; `kb load` makes it")
    asked = {"database": str(path), "sql": sql, "seconds": seconds, "rows": rows, "megabytes": megabytes}
    # -I -S: no environment, no site-packages: the process starts in a fortieth of a second
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        out, _ = process.communicate(json.dumps(asked), timeout=seconds + 1)
    except subprocess.TimeoutExpired:
        raise Refused(_too_long(seconds)) from None
    finally:
        process.kill()
        process.communicate()
    try:
        answer = json.loads(out)
    except ValueError:  # the process was ended by the system before it could answer
        raise Refused(f"the query needed more than {megabytes} MB of memory; ask for less at a time") from None
    if "refused" in answer:
        raise Refused(answer["refused"].replace("TIME", _too_long(seconds)))
    return Table(tuple(answer["columns"]), tuple(map(tuple, answer["rows"])), answer["cut"])


def schema(database: Path | None = None) -> dict[str, list[tuple[str, str]]]:
    """Table: its columns with their types, in order; what is internal to full-text search is left out."""
    found = query(
        "SELECT m.name, p.name, lower(p.type) FROM sqlite_schema m, pragma_table_info(m.name) p "
        "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite%' "
        "AND m.name NOT GLOB '*_text_*' ORDER BY m.name, p.cid",
        database,
    )
    tables: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in found.rows:
        tables.setdefault(table, []).append((column, kind))
    return tables


def _too_long(seconds: float) -> str:
    return f"the query took longer than {seconds:g} s; narrow it with WHERE, or count instead of listing"
