"""Submitting, cancelling and reading runs. Whoever asks writes a queued run or a request; the supervisor does the rest."""

import math
import os
import secrets
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from kb import implementations, places
from kb.runs import launcher
from kb.tables import Artifact, ClaimRow, Request, Run, RunRow, RunVerdict

ENDED = ("succeeded", "failed", "cancelled", "interrupted")
KEPT_VARIABLES = ("KB_DATA", "XDG_CACHE_HOME")  # what a run's data depends on, whoever's process starts it


class UnknownRun(LookupError):
    """No run has that id."""


def submit(
    engine: Engine,
    name: str,
    preset: str = "quick",
    *,
    changes: dict[str, Any] | None = None,
    device: str = "auto",
) -> str:
    """Queues a run and sees to it that a supervisor is there; returns the run's id.

    `changes` are settings that differ from the preset's. Raises FileNotFoundError for an implementation that isn't
    there, ValueError for a preset or setting that it doesn't have.
    """
    implementation = implementations.read(name)
    known = [setting.name for setting in implementation.settings]
    if unknown := [key for key in changes or {} if key not in known]:
        raise ValueError(f"{name} has no setting {unknown[0]!r}; it has {', '.join(known)}")
    if preset not in implementation.presets:
        raise ValueError(f"{name} has no preset {preset!r}; it has {', '.join(implementation.presets)}")
    run = Run(
        id=f"{name.replace('_', '-')}-{secrets.token_hex(4)}",
        implementation=name,
        preset=preset,
        changes=changes or {},
        settings=implementation.presets[preset] | (changes or {}),
        device=device,
        variables={key: str(Path(os.environ[key]).resolve()) for key in KEPT_VARIABLES if key in os.environ},
        submitted=time.time(),
        source_hash=implementation.source_hash,
        git_commit=git_commit(),
    )
    name_of_run = run.id
    with Session(engine) as session:
        session.add(run)
        session.commit()
    launcher.ensure_supervisor()
    return name_of_run


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
    run = get(engine, run_id)
    if run.status in ENDED:
        return
    with Session(engine) as session:
        session.add(Request(run=run_id, verb="cancel", at=time.time()))
        session.commit()
    launcher.ensure_supervisor()


def get(engine: Engine, run_id: str) -> Run:
    """Raises UnknownRun."""
    with Session(engine) as session:
        run = session.get(Run, run_id)
    if run is None:
        raise UnknownRun(f"no run has the id {run_id!r}; `kb runs` lists them")
    return run


def latest(engine: Engine, *, implementation: str | None = None, limit: int = 100) -> list[Run]:
    """Runs, the newest first."""
    query = select(Run).order_by(col(Run.submitted).desc()).limit(limit)
    if implementation:
        query = query.where(Run.implementation == implementation)
    with Session(engine) as session:
        return list(session.exec(query))


def rows(engine: Engine, run_id: str, after: int = -1) -> list[RunRow]:
    """What the run yielded after the row with number `after`, in order."""
    query = select(RunRow).where(RunRow.run == run_id, RunRow.number > after).order_by(col(RunRow.number))
    with Session(engine) as session:
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
        .order_by(col(Run.finished))
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
                curves.setdefault(name, []).append((float(row.get("step", counts[name])), float(value)))
    return curves


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
        if time.monotonic() - asked > 5:  # the supervisor may have been killed
            launcher.ensure_supervisor()
            asked = time.monotonic()
        time.sleep(every)
