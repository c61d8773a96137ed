"""The rows of runs, exported and read back as other programs read them."""

import csv
import io
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kb.runs import export
from tests.kb.test_store import add_run

ROWS = [
    {"net": "a", "step": 0, "loss": 1.5},
    {"net": "b", "step": 0, "loss": float("nan")},
    {"net": "a", "step": 1, "loss": 0.5},
    {"net": "c", "step": 10**30, "loss": 0.25, "note": "commas, and\nlines"},
    {"net": "=1+1", "step": 11, "loss": -0.5},
]


@pytest.fixture
def run_id(engine: Engine) -> str:
    return add_run(engine, "r-1", ROWS)


def test_csv_has_a_column_for_each_name(run_id: str, engine: Engine) -> None:
    out = io.StringIO()
    export.csv(engine, [run_id], out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["run"] for row in rows] == [run_id] * 5
    assert [row["loss"] for row in rows] == ["1.5", "nan", "0.5", "0.25", "-0.5"]
    assert [row["note"] for row in rows] == ["", "", "", "commas, and\nlines", ""]
    assert rows[-1]["net"] == "'=1+1", "a spreadsheet would execute it"


def test_json_lines_are_valid_json(run_id: str, engine: Engine) -> None:
    out = io.StringIO()
    export.lines(engine, [run_id], out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [row["loss"] for row in rows] == [1.5, None, 0.5, 0.25, -0.5]


def test_tensorboard_reads_the_curves(run_id: str, engine: Engine, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    export.tensorboard(engine, [run_id], tmp_path)
    accumulator = EventAccumulator(str(tmp_path / run_id))
    accumulator.Reload()
    points = [(event.step, event.value) for event in accumulator.Scalars("loss/net=a")]
    assert points == [(0, 1.5), (1, 0.5)]
