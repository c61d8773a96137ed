"""Queries of runs."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session

from kb.runs import store
from kb.tables import Run, RunRow


def add_run(engine: Engine, run_id: str, rows: Sequence[dict[str, Any]]) -> str:
    """Adds a run with these rows to the database; returns its id."""
    run = Run(
        id=run_id,
        implementation="r",
        preset="quick",
        device="cpu",
        submitted=0.0,
        source_hash="0",
    )
    with Session(engine) as session:
        session.add(run)
        session.add_all(
            RunRow(run=run_id, number=number, at=float(number), values=values)
            for number, values in enumerate(rows)
        )
        session.commit()
    return run_id


def test_a_sample_has_rows_from_all_parts_of_a_run(engine: Engine) -> None:
    rows = [{"net": "ab"[i % 2], "step": i, "loss": 1.0} for i in range(5000)]
    add_run(engine, "long", rows)
    sample = store.sample_rows(engine, "long", 500)
    assert 350 < len(sample) < 650
    numbers = [row.number for row in sample]
    assert numbers == sorted(numbers)
    assert numbers[0] < 200 and numbers[-1] > 4800
    assert 0.3 < sum(row.values["net"] == "a" for row in sample) / len(sample) < 0.7
    assert len(store.sample_rows(engine, "long", 5000)) == 5000
