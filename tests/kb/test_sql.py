"""Read-only SQL: results, refusals, limits, and that a killed query doesn't affect the others."""

import contextlib
import hashlib
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb import db, loader, paths, sql

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, timeline: loader.Timeline) -> Path:
    path = tmp_path_factory.mktemp("sql") / "a folder? with #%20 in its name.sqlite3"
    db.load_timeline(db.open_database(path), timeline.milestones)
    return path


def test_a_select_gives_its_rows(database: Path) -> None:
    result = sql.query("SELECT id, date FROM milestone WHERE id = 'dropout'", database)
    assert list(result) == [{"id": "dropout", "date": "2012-07-03"}]
    assert sql.query("SELECT 1 WHERE 0", database).rows == ()


def test_full_text_and_json_work(database: Path) -> None:
    matches = sql.query(
        "SELECT id FROM milestone_text WHERE milestone_text MATCH 'thinned'", database
    )
    assert ("dropout",) in matches.rows
    short = "SELECT json_extract(entry, '$.short') FROM milestone WHERE id = 'lstm'"
    assert sql.query(short, database).rows == (("LSTM",),)


def test_rows_beyond_the_limit_are_cut_off(database: Path) -> None:
    result = sql.query("SELECT id FROM milestone", database, rows=5)
    assert len(result.rows) == 5 and result.truncated
    assert not sql.query("SELECT id FROM milestone LIMIT 5", database, rows=5).truncated


def test_values_that_json_cannot_hold_become_text(database: Path) -> None:
    result = sql.query("SELECT x'0102', 1e999, -1e999, 9223372036854775807, NULL, 'ä'", database)
    assert result.rows == (("<2 bytes>", "inf", "-inf", "9223372036854775807", None, "ä"),)


def test_the_schema_names_tables_and_columns(database: Path) -> None:
    tables = sql.schema(database)
    assert ("id", "varchar") in tables["milestone"]
    assert {"milestone", "link", "claim", "run", "verdict"} <= tables.keys()
    assert not any("_text_" in name for name in tables)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DELETE FROM run", "only reading"),
        ("INSERT INTO milestone_text(milestone_text) VALUES ('rebuild')", "only reading"),
        ("CREATE TABLE x(y)", "only reading"),
        ("DROP TABLE run", "only reading"),
        ("ATTACH 'other.db' AS other", "only reading"),
        ("VACUUM INTO 'copy.db'", "only reading"),
        ("PRAGMA query_only = OFF", "only reading"),
        ("PRAGMA journal_mode = DELETE", "only reading"),
        ("BEGIN IMMEDIATE", "only reading"),
        ("SELECT load_extension('x')", "only reading"),
        ("SELECT readfile('/etc/passwd')", "readfile"),
        ("SELECT 1; SELECT 2", "statement"),
        ("", "begin with SELECT"),
        ("-- nothing", "begin with SELECT"),
        ("SELECT * FROM nope", "there is no table nope"),
        ("SELECT nope FROM run", "there is no column nope"),
        ("SELEC 1", "syntax error"),
        ("SELECT '\0'", "null character"),
        ("SELECT '\ud800'", "isn't valid Unicode"),
        ("SELECT hex(zeroblob(400000000))", "more than 5,000,000 bytes"),
    ],
)
def test_a_refusal_says_why(database: Path, query: str, why: str) -> None:
    before = hashlib.sha256(database.read_bytes()).digest()
    with pytest.raises(sql.Refused, match=why):
        sql.query(query, database)
    assert hashlib.sha256(database.read_bytes()).digest() == before


@pytest.mark.parametrize(
    "query",
    [
        ENDLESS,
        "SELECT count(*) FROM milestone a, milestone b, milestone c, milestone d, milestone e",
    ],
)
def test_a_query_that_takes_too_long_is_stopped(database: Path, query: str) -> None:
    with pytest.raises(sql.Refused, match=r"longer than 0\.5 s|bytes|memory"):
        sql.query(query, database, seconds=0.5)


def test_a_text_beyond_the_length_limit_is_refused_or_null(database: Path) -> None:
    """SQLite's patch levels differ: some raise an error, others give NULL. Either is safe."""
    with contextlib.suppress(sql.Refused):
        answer = sql.query("SELECT printf('%.*c', 900000000, 'x')", database)
        assert answer.rows == ((None,),)


def test_memory_is_limited(database: Path) -> None:
    hungry = (
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500) "
        "SELECT randomblob(1000000) AS x FROM c ORDER BY x"
    )
    with pytest.raises(sql.Refused, match="memory"):
        sql.query(hungry, database, seconds=30)


def test_a_stopped_query_does_not_affect_others(database: Path) -> None:
    refusals: list[str] = []

    def run_endless() -> None:
        with pytest.raises(sql.Refused) as caught:
            sql.query(ENDLESS, database, seconds=1)
        refusals.append(str(caught.value))

    threads = [threading.Thread(target=run_endless) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert sql.query("SELECT count(*) > 0 FROM milestone", database, seconds=20).rows == ((1,),)
    with sqlite3.connect(database) as writer:  # readers don't block the writer
        writer.execute("CREATE TABLE IF NOT EXISTS beside (x)")
    for thread in threads:
        thread.join()
    assert len(refusals) == 3


def test_a_missing_database_is_refused_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(sql.Refused, match="kb load"):
        sql.query("SELECT 1", tmp_path / "none.sqlite3")


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40))
def test_any_text_gives_a_table_or_a_refusal(text: str) -> None:
    path = paths.PACKAGE / "sql.py"  # not a database at all
    with pytest.raises(sql.Refused):
        sql.query(text, path)
