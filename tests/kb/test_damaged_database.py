"""Damaged and foreign files in the place of the database: a sentence with the remedy, no harm."""

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kb import db, integrity, loader, paths
from tests.kb.shell import printed, run_kb

VERBS = (["search", "dropout"], ["runs"], ["load"], ["show", "dropout"], ["claims"])
REMEDIES = ("kb restore", "KB_HOME", "kb check --database", "move it away")


@pytest.fixture
def file(loaded: Engine) -> Path:
    """A database with the timeline, in one file."""
    with closing(sqlite3.connect(paths.database_file())) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    loaded.dispose()
    return paths.database_file()


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2 + 100)


def zero(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def flip_header(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[3] ^= 255
    file.write_bytes(content)


def randomize(file: Path) -> None:
    file.write_bytes(random.Random(0).randbytes(100_000))


def flip_schema(file: Path) -> None:
    """The statements that made the tables."""
    file.write_bytes(file.read_bytes().replace(b"CREATE TABLE", b"CR\xffATE TABL\xfe"))


def write_text(file: Path) -> None:
    file.write_text("not a database\n" * 1000)


@pytest.mark.parametrize(
    "damage", [truncate, zero, flip_header, randomize, flip_schema, write_text]
)
def test_a_damaged_file_gets_a_sentence_and_is_left_alone(
    damage: object, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(damage)
    damage(file)
    content = file.read_bytes()
    for verb in VERBS:
        status, _, err = run_kb(capsys, *verb)
        if status:  # of a truncated file some pages are whole
            assert err.startswith("kb: ") and str(file) in err, err
            assert any(remedy in err for remedy in REMEDIES), err
    assert file.read_bytes()[:3000] == content[:3000]
    status, out, _ = run_kb(capsys, "check", "--database")
    assert status == 1
    assert any(remedy in out for remedy in REMEDIES), out
    assert run_kb(capsys, "backup", str(file.parent / "b"))[0] == 1
    assert not (file.parent / "b").exists()


def test_flipped_bytes_anywhere_never_give_a_traceback(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = file.read_bytes()
    generator = random.Random(1)
    for _ in range(12):
        content = bytearray(whole)
        for _ in range(200):
            content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        for suffix in ("-wal", "-shm"):
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        file.write_bytes(content)
        for verb in (*VERBS, ["export"], ["check", "--database"]):
            status, _, err = run_kb(capsys, *verb)
            assert status == 0 or verb[0] == "check" or len(err) > 30, (verb, err)
        assert run_kb(capsys, "check", "--database")[0] == 1


def test_a_folder_in_its_place_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths.database_file().mkdir(parents=True)
    status, _, err = run_kb(capsys, "search", "dropout")
    assert status == 1
    assert "is a folder, where the database should be; move it away" in err


def test_another_programs_database_is_left_as_it_is(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    file = paths.database_file()
    for version in (0, 2, 99):
        file.unlink(missing_ok=True)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE bookmark (id)")
            connection.execute(f"PRAGMA user_version = {version}")
        content = file.read_bytes()
        with pytest.raises(db.Unusable, match="another program's database, with the table bookm"):
            db.open_database()
        assert file.read_bytes() == content
        assert "another program's database" in run_kb(capsys, "check", "--database")[1]


def test_an_empty_file_is_a_new_database(home: Path) -> None:
    home.mkdir()
    paths.database_file().touch()
    assert db.milestones(db.open_database()) == []


def test_a_whole_database_has_no_problems(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert integrity.find_problems(file) == []
    assert printed(capsys, "check", "--database", "--json") == []
    assert "no errors" in run_kb(capsys, "check", "--database", str(file))[1]
    file.unlink()
    assert "does not exist" in run_kb(capsys, "check", "--database")[1]


def test_what_sqlite_does_not_notice_is_found(file: Path, timeline: loader.Timeline) -> None:
    changes = {
        "UPDATE milestone SET entry = '{' WHERE id = 'dropout'": "1 value of the table milestone",
        "UPDATE milestone SET title = CAST(x'ff' AS TEXT) WHERE id = 'dropout'": "title of dropout",
        "UPDATE milestone SET entry = json_set(entry, '$.title', 'x') WHERE id = 'dropout'": (
            "not those that were loaded"
        ),
        "DELETE FROM milestone_text WHERE id = 'dropout'": "milestone_text lacks",
        "DELETE FROM milestone WHERE id = 'dropout'": "milestone lacks",
        "INSERT INTO run_row VALUES ('gone-1', 0, 0, '{}')": "run lacks what 1 row of run_row",
        "DROP TABLE verdict": "verdict lacks run",
        "ALTER TABLE run DROP COLUMN token": "run lacks token",
    }
    for statement, message in changes.items():
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            connection.execute(statement)
            problems = integrity.check_all(connection, file)
            connection.execute("ROLLBACK")
        assert any(message in problem for problem in problems), (statement, problems)
    engine = db.open_database()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE milestone SET entry = '{' WHERE id = 'dropout'")
        connection.execute("DELETE FROM milestone_text")
        connection.commit()
    db.load_timeline(engine, timeline.milestones, rebuild=True)
    assert integrity.find_problems(file) == []
