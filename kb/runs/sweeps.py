"""Sweeps: a batch of runs of one paper that differ in one setting or two, and what it has shown.

`requests` makes the runs to submit, `read` brings those of a batch in the order of their values.
Nothing is judged anew: each point has the verdicts of its own run, with their intervals. Runs of a
sweep say so in their options, because a setting taken far from the paper's isn't its claim: they
never are the newest verdict of a claim.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session, col, select

from kb import implementations
from kb.formatting import format_count
from kb.implementations import Implementation
from kb.runs import store
from kb.runs.submission import RunRequest
from kb.tables import Run, RunVerdict

MAX_RUNS = 25
MAX_AXES = 2
OPTION = "sweep"  # of a run: the names of the settings that its sweep varies
READ_RUNS = 1_000  # of a batch


class UnknownBatch(LookupError):
    """No run was submitted in a batch of that name."""


class NotASweep(ValueError):
    """The runs of a batch can't be put on one axis or two; the message says why."""


@dataclass(frozen=True)
class Point:
    run: Run
    values: tuple[Any, ...]  # of the sweep's settings
    verdicts: dict[str, RunVerdict]  # by claim; empty until the run has succeeded


@dataclass(frozen=True)
class Sweep:
    batch: str
    axes: dict[str, tuple[Any, ...]]  # the values of each setting, in order
    points: tuple[Point, ...]  # in the order of their values

    @property
    def runs(self) -> list[Run]:
        return [point.run for point in self.points]

    @property
    def active(self) -> list[Run]:
        return [run for run in self.runs if run.status not in store.ENDED]

    def claims(self) -> list[str]:
        """The claims with a verdict: comparisons, then identities, then what wasn't measured."""
        found: dict[str, list[RunVerdict]] = {}
        for point in self.points:
            for claim, verdict in point.verdicts.items():
                found.setdefault(claim, []).append(verdict)

        def rank(claim: str) -> tuple[bool, bool]:
            verdicts = found[claim]
            return all(v.measured is None for v in verdicts), verdicts[0].kind == "identity"

        return sorted(found, key=rank)


def can_be_swept(default: Any) -> bool:
    """Whether a setting with this default has single values, which an axis needs."""
    return isinstance(default, bool | int | float | str)


def parse_axes(
    implementation: Implementation, preset: str, texts: Mapping[str, Sequence[str]]
) -> dict[str, tuple[Any, ...]]:
    """The values of each setting from their texts, each once. Raises ValueError."""
    return {
        name: _parse_values(implementation, preset, name, values) for name, values in texts.items()
    }


def _parse_values(
    implementation: Implementation, preset: str, name: str, texts: Sequence[str]
) -> tuple[Any, ...]:
    values: dict[Any, None] = {}
    for text in texts:
        value = implementations.parse_settings(implementation, preset, {name: text})[name]
        if not can_be_swept(value):
            raise ValueError(f"{name} is a list; sweep a setting that is a number or a word")
        values[value] = None
    if not values:
        raise ValueError(f"{name}: give the values to try")
    return tuple(values)


def requests(base: RunRequest, axes: Mapping[str, Sequence[Any]]) -> list[RunRequest]:
    """A run for each combination of values, otherwise like `base`. Raises ValueError."""
    if not 1 <= len(axes) <= MAX_AXES:
        raise ValueError(f"a sweep is over one setting or two, not {len(axes)}")
    count = math.prod(map(len, axes.values()))
    if count < 2:
        raise ValueError("one value is no sweep: give two or more")
    if count > MAX_RUNS:
        raise ValueError(f"{count} runs: a sweep has at most {MAX_RUNS}; give fewer values")
    options = base.options | {OPTION: list(axes)}
    return [
        dataclasses.replace(
            base, changes=base.changes | dict(zip(axes, values, strict=True)), options=options
        )
        for values in itertools.product(*axes.values())
    ]


def read(engine: Engine, batch: str) -> Sweep:
    """The sweep that a batch is. Raises UnknownBatch and NotASweep."""
    runs = store.latest(engine, batch=batch, limit=READ_RUNS)[::-1] if batch else []
    if not runs:
        raise UnknownBatch(f"no batch is called {batch!r}; `kb runs --json` names those of runs")
    axes = _axes(runs)
    verdicts = _verdicts(engine, batch)
    points = [
        Point(run, tuple(run.settings[name] for name in axes), verdicts.get(run.id, {}))
        for run in runs
    ]
    places = [{value: i for i, value in enumerate(values)} for values in axes.values()]
    points.sort(key=lambda point: [place[v] for place, v in zip(places, point.values, strict=True)])
    return Sweep(batch, axes, tuple(points))


def recent(engine: Engine, implementation: str, limit: int) -> list[list[Run]]:
    """The runs of the newest sweeps of an implementation, a list for each, the newest first."""
    runs = store.latest(engine, implementation=implementation, swept=True, limit=limit * MAX_RUNS)
    batches: dict[str, list[Run]] = {}
    for run in runs:
        if run.batch:  # the repetition of one run has none
            batches.setdefault(run.batch, []).append(run)
    return list(batches.values())[:limit]


def _axes(runs: Sequence[Run]) -> dict[str, tuple[Any, ...]]:
    """The settings in which the runs differ, with their values in order. Raises NotASweep."""
    if len({(run.implementation, run.preset) for run in runs}) > 1:
        raise NotASweep("its runs are of several papers or presets")
    first = runs[0].settings
    names = [name for name in first if any(r.settings.get(name) != first[name] for r in runs)]
    if not names:
        raise NotASweep("all its runs have the same settings")
    if len(names) > MAX_AXES:
        differing = format_count(len(names), "setting")
        raise NotASweep(f"its runs differ in {differing}: {', '.join(names)}")
    if lists := [name for name in names if not can_be_swept(first[name])]:
        raise NotASweep(f"its runs differ in {lists[0]}, which is a list")
    combinations = {tuple(run.settings[name] for name in names) for run in runs}
    if len(combinations) < len(runs):
        raise NotASweep("several of its runs have the same settings")
    return {name: _ordered([run.settings[name] for run in runs]) for name in names}


def _ordered(values: Sequence[Any]) -> tuple[Any, ...]:
    """Each value once: numbers from the smallest on, words as they were submitted."""
    unique = list(dict.fromkeys(values))
    return tuple(unique if isinstance(unique[0], str) else sorted(unique))


def _verdicts(engine: Engine, batch: str) -> dict[str, dict[str, RunVerdict]]:
    """The verdicts of the runs that have succeeded, by run and claim."""
    query = (
        select(RunVerdict)
        .join(Run, col(Run.id) == RunVerdict.run)
        .where(Run.batch == batch, Run.status == "succeeded")
        .order_by(col(RunVerdict.number))
    )
    found: dict[str, dict[str, RunVerdict]] = {}
    with Session(engine) as session:
        for verdict in session.exec(query):
            found.setdefault(verdict.run, {})[verdict.claim] = verdict
    return found
