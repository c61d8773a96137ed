"""The runs in the database: queries, and the session in which requests are written.

All that users see of a run is read here. kb.runs.recorder writes what a run sends.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, func, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from kb import paths
from kb.tables import Artifact, ClaimRow, Device, Run, RunRow, RunVerdict

ENDED = ("succeeded", "failed", "cancelled", "interrupted")


class UnknownRun(LookupError):
    """No run has that id."""


class Unwritable(RuntimeError):
    """The database can't be written to; the message says why."""


@contextlib.contextmanager
def write_session(engine: Engine) -> Iterator[Session]:
    """A session that is committed at its end. Raises Unwritable, such as when the disk is full."""
    try:
        with Session(engine) as session:
            yield session
            session.commit()
    except OperationalError as error:
        raise Unwritable(f"{paths.home()} can't be written: {error.orig}") from None


def get(engine: Engine, run_id: str) -> Run:
    """Raises UnknownRun."""
    with Session(engine) as session:
        run = session.get(Run, run_id)
    if run is None:
        raise UnknownRun(f"no run has the id {run_id!r}; `kb runs` lists them")
    return run


def latest(
    engine: Engine,
    *,
    implementation: str | None = None,
    batch: str | None = None,
    swept: bool | None = None,
    limit: int = 100,
) -> list[Run]:
    """Runs, the last submitted first, even if the clock was changed.

    `swept` leaves only the runs of sweeps, or only the others.
    """
    query = select(Run).order_by(text("rowid DESC")).limit(limit)
    if batch:
        query = query.where(Run.batch == batch)
    if implementation:
        query = query.where(Run.implementation == implementation)
    if swept is not None:
        sweep = func.json_extract(Run.options, "$.sweep")
        query = query.where(sweep.is_not(None) if swept else sweep.is_(None))
    with Session(engine) as session:
        return list(session.exec(query))


def rows(engine: Engine, run_id: str, after: int = -1) -> list[RunRow]:
    """The rows of a run, in order, from the row after number `after`."""
    query = (
        select(RunRow)
        .where(RunRow.run == run_id, RunRow.number > after)
        .order_by(col(RunRow.number))
    )
    with Session(engine) as session:
        return list(session.exec(query))


def sample_rows(engine: Engine, run_id: str, size: int) -> list[RunRow]:
    """About `size` rows, in order and from all parts of the run: enough to draw its curves."""
    last_number = select(func.max(RunRow.number)).where(RunRow.run == run_id)
    with Session(engine) as session:
        stride = -(-((session.exec(last_number).one() or 0) + 1) // size)
        # The number is hashed: every second row could be always of the same of two nets.
        is_sampled = (col(RunRow.number) * 2654435761 // 65536) % stride == 0
        query = select(RunRow).where(RunRow.run == run_id, is_sampled).order_by(col(RunRow.number))
        return list(session.exec(query))


def artifacts(engine: Engine, run_id: str) -> list[Artifact]:
    query = select(Artifact).where(Artifact.run == run_id).order_by(col(Artifact.number))
    with Session(engine) as session:
        return list(session.exec(query))


def artifact_file(artifact: Artifact) -> Path:
    return paths.run_folder(artifact.run) / artifact.file


def verdicts(engine: Engine, run_id: str) -> list[RunVerdict]:
    query = select(RunVerdict).where(RunVerdict.run == run_id).order_by(col(RunVerdict.number))
    with Session(engine) as session:
        return list(session.exec(query))


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim with its verdict and the run that gave it; without both if no run has judged it."""

    claim: ClaimRow
    verdict: RunVerdict | None
    run: Run | None


def newest_verdicts(engine: Engine, claims: Sequence[ClaimRow]) -> list[ClaimVerdict]:
    """For each claim, the verdict of the newest run that succeeded.

    Smoke runs prove nothing; runs with an idea taken out and those of a sweep prove something else.
    """
    query = (
        select(RunVerdict, Run)
        .join(Run, col(Run.id) == RunVerdict.run)
        .where(Run.status == "succeeded", Run.preset != "smoke")
        .order_by(text("run.rowid"))  # not by time: the clock may have been changed
    )
    newest: dict[tuple[str, str], tuple[RunVerdict, Run]] = {}
    with Session(engine) as session:
        for verdict, run in session.exec(query):
            if not run.options.keys() & {"broken", "sweep"}:
                newest[run.implementation, verdict.claim] = (verdict, run)
    return [
        ClaimVerdict(claim, *newest.get((claim.implementation, claim.id), (None, None)))
        for claim in claims
    ]


def devices(engine: Engine) -> list[Device]:
    """This machine's devices, the best first; none before the first supervisor has found them."""
    with Session(engine) as session:
        return list(session.exec(select(Device).order_by(col(Device.position))))


def log_tail(run_id: str, max_bytes: int = 20_000) -> str:
    """The end of what the run printed. Bytes that aren't UTF-8 are replaced."""
    path = paths.run_folder(run_id) / "log.txt"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - max_bytes))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
