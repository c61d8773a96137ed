"""Comparing runs."""

import time

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from kb import db
from kb.runs import store
from kb.runs.compare import compare
from kb.tables import Run, RunRow, RunVerdict


@pytest.fixture
def three() -> Engine:
    """A database with three runs, of which two have a verdict."""
    engine = db.open_database()
    with Session(engine) as session:
        for name, seed, device in (("a", 0, "cpu"), ("b", 1, "cpu"), ("c", 0, None)):
            session.add(make_run(name, seed, device))
            values = {"net": "x", "step": 1, "loss": 0.5}
            session.add(RunRow(run=name, number=0, at=0.0, values=values))
        for name in ("a", "b"):
            session.add(
                RunVerdict(
                    run=name, claim="wins", number=0, verdict="reproduced", unit="%", n=5, rule=""
                )
            )
        session.commit()
    return engine


def make_run(name: str, seed: int, device: str | None) -> Run:
    return Run(
        id=name,
        implementation="dropout",
        preset="quick",
        device="auto",
        status="succeeded",
        submitted=time.time(),
        source_hash="0" * 64,
        settings={"seed": seed, "H": 8},
        environment={"device": device} if device else None,
    )


def test_what_differs_is_apart_from_what_is_equal(three: Engine) -> None:
    found = compare(three, ["a", "b"])
    assert found.differing == {"seed": (0, 1)}
    assert found.equal["H"] == 8 and found.equal["preset"] == "quick"
    assert [v.verdict if v else None for v in found.verdicts["dropout", "wins"]] == [
        "reproduced",
        "reproduced",
    ]


def test_a_value_or_verdict_that_a_run_lacks_is_none(three: Engine) -> None:
    found = compare(three, ["a", "c", "a"])
    assert len(found.runs) == 2 and found.differing == {"device": ("cpu", None)}
    assert found.verdicts["dropout", "wins"][1] is None


def test_rows_have_the_id_of_their_run(three: Engine) -> None:
    assert [row["run"] for row in compare(three, ["b", "a"]).rows(three)] == ["b", "a"]


def test_an_unknown_run_is_an_error(three: Engine) -> None:
    with pytest.raises(store.UnknownRun):
        compare(three, ["a", "nothing"])
