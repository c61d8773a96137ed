"""Submitting, cancelling and reading runs. Whoever asks writes a queued run or a request; the supervisor does the rest."""

import contextlib
import importlib.util
import math
import os
import secrets
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from kb import implementations, places
from kb.runs import launcher
from kb.tables import Artifact, ClaimRow, Device, Request, Run, RunRow, RunVerdict

ENDED = ("succeeded", "failed", "cancelled", "interrupted")
KEPT_VARIABLES = ("KB_DATA", "XDG_CACHE_HOME")  # what a run's data depends on, whoever's process starts it


class UnknownRun(LookupError):
    """No run has that id."""


class Unwritable(RuntimeError):
    """What was asked for couldn't be written down; the message says why."""


@dataclass(frozen=True)
class Order:
    """A run that is wanted. `changes` are settings that differ from the preset's, `limits` those of kb.runs.limits,
    `options` deterministic, flops and processes; `cluster` is a Ray cluster's address, "" this machine, None what
    KB_CLUSTER says."""

    name: str
    preset: str = "quick"
    changes: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"
    priority: int = 0
    limits: dict[str, float] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    cluster: str | None = None


def submit(
    engine: Engine,
    name: str,
    preset: str = "quick",
    *,
    changes: dict[str, Any] | None = None,
    device: str = "auto",
    **more: Any,
) -> str:
    """Queues a run and sees to it that a supervisor is there; returns the run's id. `more` as in Order.

    Raises FileNotFoundError for an implementation that isn't there, ValueError for a preset or setting that it doesn't
    have.
    """
    return submit_all(engine, [Order(name, preset, changes or {}, device, **more)])[0]


def submit_all(engine: Engine, orders: Sequence[Order]) -> list[str]:
    """Queues several runs, all or none; they share a batch. Raises as `submit` does, and Unwritable."""
    batch = f"batch-{secrets.token_hex(4)}" if len(orders) > 1 else None
    commit = git_commit()
    made = [_run(order, batch, commit) for order in orders]
    ids = [run.id for run in made]
    with _writing(engine) as session:
        session.add_all(made)
    launcher.ensure_supervisor()
    return ids


def _run(order: Order, batch: str | None, commit: str | None) -> Run:
    implementation = implementations.read(order.name)
    known = [setting.name for setting in implementation.settings]
    if unknown := [key for key in order.changes if key not in known]:
        raise ValueError(f"{order.name} has no setting {unknown[0]!r}; it has {', '.join(known)}")
    if order.preset not in implementation.presets:
        raise ValueError(f"{order.name} has no preset {order.preset!r}; it has {', '.join(implementation.presets)}")
    if order.options.get("processes", 1) > 1 and not implementation.parallel:
        raise ValueError(f"{order.name} isn't written for several processes; one that uses impl.kit.parallel is")
    return Run(
        id=f"{order.name.replace('_', '-')}-{secrets.token_hex(4)}",
        implementation=order.name,
        preset=order.preset,
        changes=order.changes,
        settings=implementation.presets[order.preset] | order.changes,
        device=order.device,
        priority=order.priority,
        limits=order.limits,
        options=order.options,
        cluster=_cluster(order),
        batch=batch,
        variables={key: str(Path(os.environ[key]).resolve()) for key in KEPT_VARIABLES if key in os.environ},
        submitted=time.time(),
        source_hash=implementation.source_hash,
        git_commit=commit,
    )


def _cluster(order: Order) -> str | None:
    address = os.environ.get("KB_CLUSTER") if order.cluster is None else order.cluster
    if address and importlib.util.find_spec("ray") is None:
        raise ValueError(
            f"a run on the cluster at {address} needs Ray: pip install 'executable-history-of-deep-learning[ray]'"
        )
    return address or None


def retry(engine: Engine, run_id: str) -> str:
    """Queues the run again, just as it was asked for; returns the new run's id. Raises UnknownRun, and as `submit` does."""
    run = get(engine, run_id)
    return submit(
        engine,
        run.implementation,
        run.preset,
        changes=run.changes,
        device=run.device,
        priority=run.priority,
        limits=run.limits,
        options=run.options,
        cluster=run.cluster or "",
    )


def git_commit() -> str | None:
    """The checkout's commit, marked "+" where files differ from it; None outside a checkout."""
    if not (places.ROOT / ".git").exists():
        return None
    git = ["git", "-C", str(places.ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "-uno", "--", "impl"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") if head.returncode == 0 else None


def cancel(engine: Engine, run_id: str) -> None:
    """Asks for a run to be cancelled. Raises UnknownRun; nothing happens to a run that has ended."""
    _ask(engine, run_id, "cancel")


def pause(engine: Engine, run_id: str) -> None:
    """Asks for a run to stand still, its memory kept and its device given to others.

    Raises UnknownRun, and ValueError for a run on a cluster.
    """
    if get(engine, run_id).cluster:
        raise ValueError(f"{run_id} is on a cluster, where runs can't be paused; they can be stopped")
    _ask(engine, run_id, "pause")


def resume(engine: Engine, run_id: str) -> None:
    """Asks for a paused run to go on as soon as its device is free. Raises UnknownRun."""
    _ask(engine, run_id, "resume")


def prioritize(engine: Engine, run_id: str, priority: int) -> None:
    """The greater the priority, the sooner a queued run begins; 0 is usual. Raises UnknownRun."""
    _ask(engine, run_id, "priority", priority)


def _ask(engine: Engine, run_id: str, verb: str, value: int | None = None) -> None:
    if get(engine, run_id).status in ENDED:
        return
    with _writing(engine) as session:
        session.add(Request(run=run_id, verb=verb, value=value, at=time.time()))
    launcher.ensure_supervisor()


@contextlib.contextmanager
def _writing(engine: Engine) -> Iterator[Session]:
    """A session that is committed at its end. Raises Unwritable where the disk is full, say, or read-only."""
    try:
        with Session(engine) as session:
            yield session
            session.commit()
    except OperationalError as error:
        raise Unwritable(f"{places.home()} can't be written: {error.orig}") from None


def heeded(engine: Engine, run_ids: Sequence[str], every: float = 0.05) -> None:
    """Waits until the supervisor has done what was asked of these runs."""
    asked = time.monotonic()
    query = select(Request.id).where(col(Request.run).in_(run_ids)).limit(1)
    while True:
        with Session(engine) as session:
            if session.exec(query).first() is None:
                return
        asked = _supervised(asked)
        time.sleep(every)


def devices(engine: Engine) -> list[Device]:
    """This machine's devices, the best first, as the last supervisor saw them; none before the first has."""
    with Session(engine) as session:
        return list(session.exec(select(Device).order_by(col(Device.position))))


def devices_known(engine: Engine, every: float = 0.1) -> list[Device]:
    """The same, when they are known: the first worker takes some seconds to find them."""
    launcher.ensure_supervisor()
    asked = time.monotonic()
    while not (found := devices(engine)):
        asked = _supervised(asked)
        time.sleep(every)
    return found


def _supervised(asked: float) -> float:
    """Sees to it, every few seconds, that there is a supervisor: the one there was may have been killed."""
    if time.monotonic() - asked < 5:
        return asked
    launcher.ensure_supervisor()
    return time.monotonic()


def get(engine: Engine, run_id: str) -> Run:
    """Raises UnknownRun."""
    with Session(engine) as session:
        run = session.get(Run, run_id)
    if run is None:
        raise UnknownRun(f"no run has the id {run_id!r}; `kb runs` lists them")
    return run


def latest(
    engine: Engine, *, implementation: str | None = None, batch: str | None = None, limit: int = 100
) -> list[Run]:
    """Runs, the last submitted first, whatever the clock said."""
    query = select(Run).order_by(text("rowid DESC")).limit(limit)
    if batch:
        query = query.where(Run.batch == batch)
    if implementation:
        query = query.where(Run.implementation == implementation)
    with Session(engine) as session:
        return list(session.exec(query))


def rows(engine: Engine, run_id: str, after: int = -1) -> list[RunRow]:
    """What the run yielded after the row with number `after`, in order."""
    query = select(RunRow).where(RunRow.run == run_id, RunRow.number > after).order_by(col(RunRow.number))
    with Session(engine) as session:
        return list(session.exec(query))


def some_rows(engine: Engine, run_id: str, most: int) -> list[RunRow]:
    """Not many more than `most` of the rows, in order and spread over all that the run yielded: enough for a picture."""
    own = select(func.max(RunRow.number)).where(RunRow.run == run_id)
    with Session(engine) as session:
        apart = -(-((session.exec(own).one() or 0) + 1) // most)
        # Scrambled, so that what comes in turns (one row for each net, say) isn't thinned to one of them.
        kept = (col(RunRow.number) * 2654435761 // 65536) % apart == 0
        query = select(RunRow).where(RunRow.run == run_id, kept).order_by(col(RunRow.number))
        return list(session.exec(query))


def artifacts(engine: Engine, run_id: str) -> list[Artifact]:
    query = select(Artifact).where(Artifact.run == run_id).order_by(col(Artifact.number))
    with Session(engine) as session:
        return list(session.exec(query))


def verdicts(engine: Engine, run_id: str) -> list[RunVerdict]:
    query = select(RunVerdict).where(RunVerdict.run == run_id).order_by(col(RunVerdict.number))
    with Session(engine) as session:
        return list(session.exec(query))


@dataclass(frozen=True)
class Standing:
    """A claim, and the verdict of the newest succeeded run that judged it, if there is one."""

    claim: ClaimRow
    verdict: RunVerdict | None
    run: Run | None


def standings(engine: Engine, claims: Sequence[ClaimRow]) -> list[Standing]:
    """How each claim stands by this machine's runs. A smoke run proves nothing and counts for nothing."""
    query = (
        select(RunVerdict, Run)
        .join(Run, col(Run.id) == RunVerdict.run)
        .where(Run.status == "succeeded", Run.preset != "smoke")
        .order_by(text("run.rowid"))  # not by the clock, which may have been set
    )
    newest: dict[tuple[str, str], tuple[RunVerdict, Run]] = {}
    with Session(engine) as session:
        for verdict, run in session.exec(query):
            newest[run.implementation, verdict.claim] = (verdict, run)
    return [Standing(claim, *newest.get((claim.implementation, claim.id), (None, None))) for claim in claims]


def log_tail(run_id: str, size: int = 20_000) -> str:
    """The end of what the run printed, at most `size` bytes, whatever bytes they are."""
    path = places.run_folder(run_id) / "log.txt"
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def artifact_file(artifact: Artifact) -> Path:
    return places.run_folder(artifact.run) / artifact.file


Point = tuple[float, float]
LABELS = ("n", "seed")  # numbers that say which series a row belongs to


@dataclass(frozen=True)
class Series:
    """What a curve shows: a measure, and the words, `n` and `seed` that go with it."""

    measure: str
    labels: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " ".join([self.measure, *(f"{name}={value}" for name, value in self.labels)])


def series(values: Iterable[dict[str, Any]]) -> dict[Series, list[Point]]:
    """Rows to curves.

    x is the row's `step`, or its place among the rows of that curve where it has none. Values that aren't finite are
    left out: they can't be drawn, and the rows keep them.
    """
    curves: dict[Series, list[Point]] = {}
    counts: dict[Series, int] = {}
    for row in values:
        labels = tuple((k, str(v)) for k, v in row.items() if isinstance(v, str) or k in LABELS)
        for measure, value in row.items():
            if measure in ("step", *LABELS) or isinstance(value, str | bool):
                continue
            name = Series(measure, labels)
            counts[name] = counts.get(name, -1) + 1
            if math.isfinite(value):
                curves.setdefault(name, []).append((step_of(row, counts[name]), float(value)))
    return curves


def step_of(row: dict[str, Any], place: int) -> float:
    """Where a row stands on a curve's axis: its step; its place where it has none or one that is no place."""
    step = row.get("step", place)
    return float(step if isinstance(step, int | float) and abs(step) < 2**53 else place)


def describe(engine: Engine, run_id: str) -> dict[str, Any]:
    """Everything of a run that a script may want, as plain values; `metrics` has the last value of each series."""
    run = get(engine, run_id)
    published = {
        claim.id: claim.published
        for claim in _claims_of(engine, run.implementation)
    }  # fmt: skip
    curves = series(row.values for row in rows(engine, run_id))
    return {
        "id": run.id,
        "implementation": run.implementation,
        "preset": run.preset,
        "status": run.status,
        "reason": run.reason,
        "settings": run.settings,
        "device": (run.environment or {}).get("device", run.device),
        "cluster": run.cluster,
        "attempts": run.attempts,
        "batch": run.batch,
        "priority": run.priority,
        "limits": run.limits,
        "options": run.options,
        "submitted": run.submitted,
        "started": run.started,
        "finished": run.finished,
        "source_hash": run.source_hash,
        "git_commit": run.git_commit,
        "environment": run.environment,
        "usage": run.usage,
        "metrics": {str(name): points[-1][1] for name, points in curves.items()},
        "verdicts": [
            {
                "claim": v.claim,
                "verdict": v.verdict,
                "measured": v.measured,
                "baseline": v.baseline,
                "effect": v.effect,
                "interval": None if v.low is None else [v.low, v.high],
                "unit": v.unit,
                "n": v.n,
                "rule": v.rule,
                "published": published.get(v.claim),
            }
            for v in verdicts(engine, run_id)
        ],
        "artifacts": [
            {"name": a.name, "step": a.step, "caption": a.caption, "file": str(artifact_file(a)), "sha256": a.sha256}
            for a in artifacts(engine, run_id)
        ],
        "traceback": run.traceback,
    }


def _claims_of(engine: Engine, implementation: str) -> list[ClaimRow]:
    with Session(engine) as session:
        return list(session.exec(select(ClaimRow).where(ClaimRow.implementation == implementation)))


def watch(engine: Engine, run_id: str, every: float = 0.2) -> Iterator[Run]:
    """The run as it is now, again and again until it has ended. Raises UnknownRun."""
    asked = time.monotonic()
    while True:
        run = get(engine, run_id)
        yield run
        if run.status in ENDED:
            return
        asked = _supervised(asked)
        time.sleep(every)
