"""Read-only SQL: what it answers, what it refuses, and that a query which is stopped hurts nobody else."""

import hashlib
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb import db, loader, places, sql

FOREVER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sql") / "a folder? with #%20 in its name.sqlite3"
    db.load(db.open_database(path), loader.load(places.TIMELINE).milestones)
    return path


def test_it_answers(database: Path) -> None:
    found = sql.query("SELECT id, date FROM milestone WHERE id = 'dropout'", database)
    assert list(found) == [{"id": "dropout", "date": "2014-06"}]
    assert sql.query("SELECT 1 WHERE 0", database).rows == ()


def test_full_text_and_json_work(database: Path) -> None:
    words = sql.query("SELECT id FROM milestone_text WHERE milestone_text MATCH 'thinned'", database)
    assert ("dropout",) in words.rows
    assert sql.query("SELECT entry ->> '$.short' FROM milestone WHERE id = 'lstm'", database).rows == (("LSTM",),)


def test_more_rows_than_asked_for_are_cut(database: Path) -> None:
    found = sql.query("SELECT id FROM milestone", database, rows=5)
    assert len(found.rows) == 5 and found.cut
    assert not sql.query("SELECT id FROM milestone LIMIT 5", database, rows=5).cut


def test_values_that_json_has_not(database: Path) -> None:
    found = sql.query("SELECT x'0102', 1e999, -1e999, 9223372036854775807, NULL, 'ä'", database)
    assert found.rows == (("<2 bytes>", "inf", "-inf", "9223372036854775807", None, "ä"),)


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
        ("SELECT 1; SELECT 2", "one statement"),
        ("", "begin with SELECT"),
        ("-- nothing", "begin with SELECT"),
        ("SELECT * FROM nope", "there is no table nope"),
        ("SELECT nope FROM run", "there is no column nope"),
        ("SELEC 1", "syntax error"),
        ("SELECT '\0'", "null character"),
        ("SELECT hex(zeroblob(400000000))", "more than 5,000,000 bytes"),
    ],
)
def test_it_refuses_and_says_why(database: Path, query: str, why: str) -> None:
    before = hashlib.sha256(database.read_bytes()).digest()
    with pytest.raises(sql.Refused, match=why):
        sql.query(query, database)
    assert hashlib.sha256(database.read_bytes()).digest() == before


@pytest.mark.parametrize(
    "query",
    [
        FOREVER,
        "SELECT printf('%.*c', 900000000, 'x')",
        "SELECT count(*) FROM milestone a, milestone b, milestone c, milestone d, milestone e, milestone f",
    ],
)
def test_a_query_without_end_is_ended(database: Path, query: str) -> None:
    with pytest.raises(sql.Refused, match=r"longer than 0\.5 s|bytes|memory"):
        sql.query(query, database, seconds=0.5)


def test_memory_is_limited(database: Path) -> None:
    hungry = (
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500) "
        "SELECT randomblob(1000000) AS x FROM c ORDER BY x"
    )
    with pytest.raises(sql.Refused, match="memory"):
        sql.query(hungry, database, seconds=30)


def test_a_stopped_query_leaves_the_others_unhurt(database: Path) -> None:
    refused: list[str] = []

    def endless() -> None:
        with pytest.raises(sql.Refused) as caught:
            sql.query(FOREVER, database, seconds=1)
        refused.append(str(caught.value))

    threads = [threading.Thread(target=endless) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert sql.query("SELECT count(*) > 0 FROM milestone", database, seconds=20).rows == ((1,),)
    with sqlite3.connect(database) as writer:  # readers don't hold the writer up
        writer.execute("CREATE TABLE IF NOT EXISTS beside (x)")
    for thread in threads:
        thread.join()
    assert len(refused) == 3


def test_without_a_database_it_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(sql.Refused, match="kb load"):
        sql.query("SELECT 1", tmp_path / "none.sqlite3")


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=40))
def test_any_text_gives_a_table_or_a_refusal(text: str) -> None:
    path = places.PACKAGE / "sql.py"  # not a database at all
    with pytest.raises(sql.Refused):
        sql.query(text, path)
