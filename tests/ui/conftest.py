"""Fixtures that the tests of several pages share."""

import time

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from kb.tables import Run, RunRow, RunVerdict


@pytest.fixture
def a_run(loaded: Engine) -> str:
    """The id of a run that failed after it had written rows and a verdict; nothing was run."""
    with Session(loaded) as session:
        session.add(
            Run(
                id="dropout-1",
                implementation="dropout",
                preset="quick",
                device="cpu",
                status="failed",
                submitted=time.time(),
                started=time.time() - 9,
                finished=time.time(),
                reason="ValueError: <b>no</b>",
                traceback="Traceback: boom",
                source_hash="0",
                settings={"seed": 0},
            )
        )
        for step in range(3):
            values = {"net": "dropout", "seed": 0, "step": step, "loss": 1.0 / (step + 1)}
            session.add(RunRow(run="dropout-1", number=step, at=time.time(), values=values))
        session.add(
            RunVerdict(
                run="dropout-1",
                claim="lower-test-error",
                number=0,
                verdict="inconclusive",
                measured=1.0,
                baseline=2.0,
                unit="%",
                effect=1.0,
                low=-1.0,
                high=3.0,
                n=5,
                rule="by a rule",
            )
        )
        session.commit()
    return "dropout-1"
