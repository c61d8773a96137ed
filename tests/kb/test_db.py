"""Opening the database; loading a timeline makes it equal to the file and keeps the runs."""

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session

from kb import db, loader, paths, rows, tables
from kb.schema import Milestone
from kb.tables import Run, RunVerdict


def dump(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with engine.connect() as connection:
        return {
            table: sorted(tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}")))
            for table in ("milestone", "link", "claim", "milestone_text", "loaded", "run")
        }


def renamed(milestone: Milestone) -> Milestone:
    return milestone.model_copy(update={"title": "Another title"}, deep=True)


def a_run(id: str) -> Run:
    return Run(
        id=id,
        implementation="dropout",
        preset="quick",
        device="cpu",
        submitted=time.time(),
        source_hash="x",
    )


def test_loading_twice_changes_nothing(loaded: Engine, timeline: loader.Timeline) -> None:
    before = dump(loaded)
    changes = db.load_timeline(loaded, timeline.milestones)
    assert (changes.added, changes.changed, changes.removed) == ((), (), ())
    assert dump(loaded) == before


def test_any_order_of_loads_ends_in_the_same(loaded: Engine, timeline: loader.Timeline) -> None:
    whole = dump(loaded)
    fewer = [renamed(timeline.milestones[0]), *timeline.milestones[5:]]
    changes = db.load_timeline(loaded, fewer)
    assert changes.changed == (timeline.milestones[0].id,)
    assert set(changes.removed) == {m.id for m in timeline.milestones[1:5]}
    assert len(db.milestones(loaded)) == len(fewer)
    db.load_timeline(loaded, timeline.milestones)
    assert dump(loaded) == whole


def test_runs_stay_when_their_milestone_goes(loaded: Engine, timeline: loader.Timeline) -> None:
    with Session(loaded) as session:
        session.add(a_run("r"))
        session.commit()
    db.load_timeline(loaded, [m for m in timeline.milestones if m.id != "dropout"])
    assert db.milestone(loaded, "dropout") is None
    assert len(dump(loaded)["run"]) == 1


def test_an_entry_comes_back_with_the_files_own_keys(
    loaded: Engine, timeline: loader.Timeline
) -> None:
    import yaml

    written = {
        entry["id"]: entry for entry in yaml.load(paths.TIMELINE.read_text(), yaml.CSafeLoader)
    }
    row = db.milestone(loaded, "dropout")
    assert row and set(row.entry) == set(written["dropout"])
    assert row.entry["links"][0]["as"] == written["dropout"]["links"][0]["as"]
    assert row.entry["claims"][0]["published"]["idea"] == 1.35


def test_a_load_that_fails_leaves_everything_as_it_was(
    loaded: Engine, timeline: loader.Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(loaded)

    def fail(milestone: Milestone) -> Any:
        raise RuntimeError("power cut")  # milestones, links and claims are written by now

    monkeypatch.setattr(rows, "full_text_row", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        db.load_timeline(loaded, [renamed(m) for m in timeline.milestones[:10]])
    assert dump(loaded) == before


def test_a_reader_sees_the_old_timeline_until_the_new_one_is_whole(
    loaded: Engine, timeline: loader.Timeline
) -> None:
    with loaded.connect() as reader:
        reader.execute(text("BEGIN"))
        count = reader.execute(text("SELECT count(*) FROM milestone")).scalar_one()
        db.load_timeline(loaded, timeline.milestones[:10])
        assert reader.execute(text("SELECT count(*) FROM milestone")).scalar_one() == count
    assert len(db.milestones(loaded)) == 10


def test_a_changed_file_makes_the_timeline_stale(
    engine: Engine, timeline: loader.Timeline, tmp_path: Path
) -> None:
    file = tmp_path / "timeline.yaml"
    file.write_text("one")
    assert db.is_stale(engine, file), "nothing is loaded yet"
    db.load_timeline(engine, timeline.milestones, file)
    assert not db.is_stale(engine, file)
    file.write_text("two")
    assert db.is_stale(engine, file)
    assert not db.is_stale(engine, paths.TIMELINE), (
        "what was loaded from another file on purpose stays"
    )


def test_another_versions_file_is_refused_unchanged(engine: Engine) -> None:
    path = paths.database_file()
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(db.WrongVersion, match="has version 99"):
        db.open_database()


def test_a_sqlite_that_is_too_old_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 30, 1))
    with pytest.raises(db.UnsupportedSQLite, match=r"SQLite 3\.31\.0 or newer is needed"):
        db.open_database(tmp_path / "kb.sqlite3")
    assert list(tmp_path.glob("*.sqlite3")) == []


# Version: the columns that the next version added to each table, and the tables that it added.
ADDED_COLUMNS = {
    1: {
        "run": ("priority", "batch", "place", "limits", "options", "token"),
        "request": ("value",),
    },
    2: {"run": ("cluster", "attempts")},
    3: {"verdict": ("kind", "scale", "note")},
}
ADDED_TABLES = {1: ("device",), 2: (), 3: ()}


def drop_columns(connection: sqlite3.Connection, table: str, columns: tuple[str, ...]) -> None:
    """As ALTER TABLE ... DROP COLUMN, which SQLite has since 3.35; indexes on them go as well."""
    created = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,))
    statement = re.sub(rf"\n\s*({'|'.join(columns)}) [^\n]*", "", created.fetchone()[0])
    indexes = connection.execute(
        "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (table,),
    ).fetchall()
    connection.execute(re.sub(r'^CREATE TABLE "?\w+"?', "CREATE TABLE older", statement))
    kept = ", ".join(f'"{row[1]}"' for row in connection.execute("PRAGMA table_info(older)"))
    connection.execute(f"INSERT INTO older SELECT {kept} FROM {table}")
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE older RENAME TO {table}")
    for (index,) in indexes:
        if not any(f"({column})" in index for column in columns):
            connection.execute(index)


@pytest.mark.parametrize("version", ADDED_COLUMNS)
def test_a_database_of_an_older_version_keeps_its_runs(version: int, tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    engine = db.open_database(path)
    with Session(engine) as session:
        session.add(a_run("r"))
        session.commit()
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        for step in range(tables.SCHEMA_VERSION - 1, version - 1, -1):
            for table, columns in ADDED_COLUMNS[step].items():
                drop_columns(connection, table, columns)
            for table in ADDED_TABLES[step]:
                connection.execute(f"DROP TABLE {table}")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
        for table, columns in ADDED_COLUMNS[version].items():
            names = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            assert not names & set(columns)
    with Session(db.open_database(path)) as session:
        run = session.get(Run, "r")
        assert run
        assert (run.implementation, run.priority, run.batch) == ("dropout", 0, None)
        assert (run.limits, run.options) == ({}, {})
        assert (run.cluster, run.attempts) == (None, 1)
        session.add(a_run("s"))
        session.add(
            RunVerdict(run="s", claim="c", number=0, verdict="holds", unit="", n=1, rule="")
        )
        session.commit()
        assert session.get_one(RunVerdict, ("s", "c")).kind == "paper"
