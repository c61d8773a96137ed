"""Loading is one transaction that makes the database equal to the file, and leaves the runs alone."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlmodel import Session

from kb import db, loader, places, tables
from kb.schema import Milestone
from kb.tables import Run


def dump(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    with engine.connect() as connection:
        return {
            table: sorted(tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}")))
            for table in ("milestone", "link", "claim", "milestone_text", "loaded", "run")
        }


def renamed(milestone: Milestone) -> Milestone:
    return milestone.model_copy(update={"title": "Another title"}, deep=True)


def test_loading_twice_changes_nothing(loaded: Engine, timeline: loader.Timeline) -> None:
    before = dump(loaded)
    changes = db.load(loaded, timeline.milestones)
    assert (changes.added, changes.changed, changes.removed) == ((), (), ())
    assert dump(loaded) == before


def test_any_order_of_loads_ends_in_the_same(loaded: Engine, timeline: loader.Timeline) -> None:
    whole = dump(loaded)
    some = [renamed(timeline.milestones[0]), *timeline.milestones[5:]]
    changes = db.load(loaded, some)
    assert changes.changed == (timeline.milestones[0].id,)
    assert set(changes.removed) == {m.id for m in timeline.milestones[1:5]}
    assert len(db.milestones(loaded)) == len(some)
    db.load(loaded, timeline.milestones)
    assert dump(loaded) == whole


def test_runs_stay_when_their_milestone_goes(loaded: Engine, timeline: loader.Timeline) -> None:
    with Session(loaded) as session:
        session.add(
            Run(id="r", implementation="dropout", preset="quick", device="cpu", submitted=time.time(), source_hash="x")
        )
        session.commit()
    db.load(loaded, [m for m in timeline.milestones if m.id != "dropout"])
    assert db.milestone(loaded, "dropout") is None
    assert len(dump(loaded)["run"]) == 1


def test_an_entry_comes_back_with_the_files_own_keys(loaded: Engine, timeline: loader.Timeline) -> None:
    import yaml

    written = {entry["id"]: entry for entry in yaml.load(places.TIMELINE.read_text(), yaml.CSafeLoader)}
    row = db.milestone(loaded, "dropout")
    assert row and set(row.entry) == set(written["dropout"])
    assert row.entry["links"][0]["as"] == written["dropout"]["links"][0]["as"]
    assert row.entry["claims"][0]["published"]["idea"] == 1.35


def test_a_load_that_fails_leaves_everything_as_it_was(
    loaded: Engine, timeline: loader.Timeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(loaded)
    inserts = db._inserts

    def fail_late(*args: Any) -> Iterator[Any]:
        yield from inserts(*args)[:2]  # milestones and links are written
        raise RuntimeError("power cut")

    monkeypatch.setattr(db, "_inserts", fail_late)
    with pytest.raises(RuntimeError, match="power cut"):
        db.load(loaded, [renamed(m) for m in timeline.milestones[:10]])
    assert dump(loaded) == before


def test_a_reader_sees_the_old_timeline_until_the_new_one_is_whole(loaded: Engine, timeline: loader.Timeline) -> None:
    with loaded.connect() as reader:
        reader.execute(text("BEGIN"))
        count = reader.execute(text("SELECT count(*) FROM milestone")).scalar_one()
        db.load(loaded, timeline.milestones[:10])
        assert reader.execute(text("SELECT count(*) FROM milestone")).scalar_one() == count
    assert len(db.milestones(loaded)) == 10


def test_it_is_known_when_the_file_has_changed_since(engine: Engine, timeline: loader.Timeline, tmp_path: Path) -> None:
    file = tmp_path / "timeline.yaml"
    file.write_text("one")
    assert db.is_stale(engine, file), "nothing is loaded yet"
    db.load(engine, timeline.milestones, file)
    assert not db.is_stale(engine, file)
    file.write_text("two")
    assert db.is_stale(engine, file)
    assert not db.is_stale(engine, places.TIMELINE), "what was loaded from another file on purpose stays"


def test_another_versions_file_is_refused_unchanged(engine: Engine) -> None:
    path = places.database()
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(db.WrongVersion, match="has version 99"):
        db.open_database()


OLDER = {  # what leads back to a version from the next
    2: ("ALTER TABLE run DROP COLUMN cluster", "ALTER TABLE run DROP COLUMN attempts"),
    1: (
        "DROP INDEX ix_run_batch",
        *(
            f"ALTER TABLE run DROP COLUMN {name}"
            for name in ("priority", "batch", "place", "limits", "options", "token")
        ),
        "ALTER TABLE request DROP COLUMN value",
        "DROP TABLE device",
    ),
}


@pytest.mark.parametrize("version", OLDER)
def test_a_database_of_an_older_version_keeps_its_runs(version: int, tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    with Session(db.open_database(path)) as session:
        session.add(Run(id="r", implementation="dropout", preset="quick", device="cpu", submitted=1.0, source_hash="x"))
        session.commit()
    with sqlite3.connect(path) as connection:
        for step in range(tables.VERSION - 1, version - 1, -1):
            for statement in OLDER[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
    with Session(db.open_database(path)) as session:
        run = session.get(Run, "r")
        assert run and (run.implementation, run.priority, run.batch, run.limits, run.options) == (
            "dropout",
            0,
            None,
            {},
            {},
        )
        assert (run.cluster, run.attempts) == (None, 1)
        session.add(Run(id="s", implementation="dropout", preset="quick", device="cpu", submitted=2.0, source_hash="x"))
        session.commit()
