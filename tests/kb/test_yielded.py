"""What runs yielded, as other programs read it."""

import csv
import io
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from kb.runs import store, yielded
from kb.tables import Run, RunRow

ROWS = [
    {"net": "a", "step": 0, "loss": 1.5},
    {"net": "b", "step": 0, "loss": float("nan")},
    {"net": "a", "step": 1, "loss": 0.5},
    {"net": "c", "step": 10**30, "loss": 0.25, "note": "commas, and\nlines"},
]


@pytest.fixture
def a_run(engine: Engine) -> str:
    with Session(engine) as session:
        session.add(Run(id="r-1", implementation="r", preset="quick", device="cpu", submitted=0.0, source_hash="0"))
        for number, values in enumerate(ROWS):
            session.add(RunRow(run="r-1", number=number, at=float(number), values=values))
        session.commit()
    return "r-1"


def test_csv_has_a_column_for_each_name(a_run: str, engine: Engine) -> None:
    out = io.StringIO()
    yielded.csv(engine, [a_run], out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["loss"] for row in rows] == ["1.5", "nan", "0.5", "0.25"]
    assert rows[3]["note"] == "commas, and\nlines" and rows[0]["note"] == "" and rows[1]["run"] == a_run


def test_json_lines_are_json(a_run: str, engine: Engine) -> None:
    out = io.StringIO()
    yielded.lines(engine, [a_run], out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["loss"] for row in rows] == [1.5, None, 0.5, 0.25]


def test_tensorboard_reads_its_curves(a_run: str, engine: Engine, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    yielded.tensorboard(engine, [a_run], tmp_path)
    read = EventAccumulator(str(tmp_path / a_run))
    read.Reload()
    found = read.Scalars("loss/net=a")
    assert [(one.step, one.value) for one in found] == [(0, 1.5), (1, 0.5)]


def test_a_long_run_is_thinned_evenly(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Run(id="long", implementation="r", preset="quick", device="cpu", submitted=0.0, source_hash="0"))
        session.add_all(
            RunRow(run="long", number=i, at=0.0, values={"net": "ab"[i % 2], "step": i, "loss": 1.0})
            for i in range(5000)
        )
        session.commit()
    kept = store.some_rows(engine, "long", 500)
    assert 350 < len(kept) < 650 and [row.number for row in kept] == sorted(row.number for row in kept)
    assert 0.3 < sum(row.values["net"] == "a" for row in kept) / len(kept) < 0.7
    assert max(row.number for row in kept) > 4800 and min(row.number for row in kept) < 200
    assert len(store.some_rows(engine, "long", 5000)) == 5000
