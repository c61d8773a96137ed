"""Runs side by side."""

import time
from typing import Any

import pytest
from sqlmodel import Session

from kb import db
from kb.runs import store
from kb.runs.compare import compare
from kb.tables import Run, RunRow, RunVerdict


@pytest.fixture
def three() -> Any:
    engine = db.open_database()
    with Session(engine) as session:
        for name, seed, device in (("a", 0, "cpu"), ("b", 1, "cpu"), ("c", 0, None)):
            session.add(Run(id=name, implementation="dropout", preset="quick", device="auto", status="succeeded",
                            submitted=time.time(), source_hash="0" * 64, settings={"seed": seed, "H": 8},
                            environment={"device": device} if device else None))  # fmt: skip
            session.add(RunRow(run=name, number=0, at=0.0, values={"net": "x", "step": 1, "loss": 0.5}))
        for name in ("a", "b"):
            session.add(RunVerdict(run=name, claim="wins", number=0, verdict="reproduced", measured=1.0, baseline=2.0,
                                   unit="%", n=5, rule=""))  # fmt: skip
        session.commit()
    return engine


def test_what_differs_comes_apart_from_what_is_equal(three: Any) -> None:
    found = compare(three, ["a", "b"])
    assert found.differing == {"seed": (0, 1)}
    assert found.equal["H"] == 8 and found.equal["preset"] == "quick"
    assert [v.verdict if v else None for v in found.verdicts["dropout", "wins"]] == ["reproduced", "reproduced"]


def test_what_a_run_has_not_is_none(three: Any) -> None:
    found = compare(three, ["a", "c", "a"])
    assert len(found.runs) == 2 and found.differing == {"device": ("cpu", None)}
    assert found.verdicts["dropout", "wins"][1] is None


def test_rows_carry_the_name_of_their_run(three: Any) -> None:
    assert [row["run"] for row in compare(three, ["b", "a"]).rows(three)] == ["b", "a"]


def test_an_unknown_run_is_an_error(three: Any) -> None:
    with pytest.raises(store.UnknownRun):
        compare(three, ["a", "nothing"])
