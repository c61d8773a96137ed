"""Writes runs to the database after their submission. No other module does.

Functions that take a Run change an object of the caller's session, which the caller commits.
"""

import json
import time
from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session, col, delete

from kb import paths
from kb.runs.active import ActiveRun
from kb.runs.processes import Worker
from kb.tables import Artifact, Run, RunRow, RunVerdict

# As SQL, which takes a third of the time of SQLAlchemy's insert: a run may yield thousands of rows
# in a second.
INSERT_ROWS = 'INSERT INTO run_row (run, number, at, "values") VALUES (?, ?, ?, ?)'
MAX_ATTEMPTS = 5  # starts of a run on this machine
ARTIFACT_FIELDS = ("name", "step", "caption", "file", "sha256", "size")
VERDICT_FIELDS = ("claim", "verdict", "measured", "baseline", "unit", "effect", "n", "rule")
# Verdicts of an earlier version of the program lack them.
OPTIONAL_VERDICT_FIELDS = ("kind", "scale", "note")


def set_status(run: Run, status: str) -> None:
    run.status = status


def set_priority(run: Run, priority: int) -> None:
    run.priority = priority


def set_note(session: Session, run: Run, note: str) -> None:
    """Writes at once what the run is doing or waiting for, if that has changed."""
    if run.note != note:
        run.note = note
        session.commit()


def start_run(run: Run, device: str, worker: Worker) -> None:
    run.status = "running"
    run.started = time.time()
    run.note = ""
    run.place = device
    run.process = worker.process.pid
    run.token = worker.token


def end_run(run: Run, status: str, reason: str | None, *, seconds: float = 0.0) -> None:
    """`seconds` is how long the run took: it ends no earlier, even if the clock was set back."""
    run.status = status
    run.reason = reason
    run.process = None
    run.token = None
    run.finished = max(time.time(), (run.started or 0) + seconds)


def interrupt_run(session: Session, run: Run, reason: str) -> None:
    """Puts a run whose supervisor has ended back into the queue, or ends it.

    It goes on if it has kept finished trials (see impl.kit.trials), which are replayed. After
    MAX_ATTEMPTS it ends: perhaps it is the run that takes its supervisor along.
    """
    has_trials = any(paths.run_folder(run.id).glob("trials/*.pt"))
    if not has_trials or run.attempts >= MAX_ATTEMPTS:
        end_run(run, "interrupted", reason)
        return
    reset_run(session, run, f"goes on where it was: {reason}")
    if run.status == "running":
        run.status = "queued"
    run.process = None
    run.token = None
    run.started = None
    run.place = None


def finish_run(engine: Engine, active: ActiveRun, status: str, reason: str | None) -> None:
    """Writes the end of a run whose process has ended."""
    with Session(engine) as session:
        run = session.get_one(Run, active.id)
        end_run(run, status, reason, seconds=active.seconds())
        session.commit()


def record_events(engine: Engine, active: ActiveRun) -> None:
    """Writes the run's pending events in one transaction. If that fails, they stay pending."""
    if not active.pending:
        return
    counts = dict(active.counts)
    finished = active.finished
    rows: list[tuple[str, int, float, str]] = []
    with Session(engine) as session:
        run: Run | None = None  # read when an event needs it: most batches have only rows
        for event in active.pending:
            kind = event["event"]
            if kind == "row":
                rows.append((active.id, counts[kind], event["at"], json.dumps(event["values"])))
                counts[kind] += 1
                continue
            run = run or session.get_one(Run, active.id)
            if kind == "restarted":
                rows = []
                counts = dict.fromkeys(counts, 0)
                reset_run(session, run, "starts anew: its node was lost")
            elif kind == "finished":
                finished = finished or event  # of several processes that fail, the first counts
                run.usage = event.get("usage")
                run.traceback = event.get("traceback")
            else:
                _apply_event(session, run, event, counts)
        if rows:
            session.connection().exec_driver_sql(INSERT_ROWS, rows)
        session.commit()
    active.counts = counts
    active.finished = finished
    active.pending = []


def reset_run(session: Session, run: Run, note: str) -> None:
    """Removes what the run yielded before it starts anew."""
    for table in (RunRow, Artifact, RunVerdict):
        session.exec(delete(table).where(col(table.run) == run.id))
    run.attempts += 1
    run.done = 0
    run.total = 0
    run.note = note


def _apply_event(session: Session, run: Run, event: dict[str, Any], counts: dict[str, int]) -> None:
    kind = event["event"]
    if kind == "artifact":
        fields: dict[str, Any] = {name: event.get(name) for name in ARTIFACT_FIELDS}
        session.add(Artifact(run=run.id, number=counts[kind], **fields))
    elif kind == "verdict":
        fields = {name: event.get(name) for name in VERDICT_FIELDS}
        fields |= {name: event[name] for name in OPTIONAL_VERDICT_FIELDS if name in event}
        low, high = event.get("interval") or (None, None)
        session.add(RunVerdict(run=run.id, number=counts[kind], low=low, high=high, **fields))
    elif kind == "started":
        run.environment = event["environment"]
        run.source_hash = event["source_hash"]
    elif kind == "progress":
        run.done = event["done"]
        run.total = event["total"]
        run.note = event["note"]
    if kind in counts:
        counts[kind] += 1
