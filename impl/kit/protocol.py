"""The protocol of every comparison: the same data, budget and search for all arms, seed by seed.

An *arm* is one side of a comparison: the idea, a rival, an ablation. A *trial* trains one net: one
arm, one point of the grid, one seed. For each arm and seed the point of the grid with the best
validation measure is chosen, and only what that trial measured on the test data is judged. The
choice is made anew for each seed, so that the interval over seeds covers it.
"""

import itertools
import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from impl.kit.events import Arrays, Event, Figure, Progress, Row
from impl.kit.trials import Trial, TrialJob, run_trials


@dataclass(frozen=True)
class Protocol:
    """What is the same for all arms.

    `grid` and `conditions` map a keyword of the trial to the setting that lists its values. The
    grid is searched: of its points, the one whose last row is best in `select` counts. Under each
    of the conditions, such as sizes of the training set, everything is measured anew.
    """

    arms: Sequence[str]
    grid: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    select: str = "val_error"
    best: Literal["lowest", "highest"] = "lowest"

    def jobs(self, config: Any) -> list[TrialJob]:
        """The trials in their order: seed by seed with the arms side by side.

        So whoever watches sees the arms race from the first seconds.
        """
        seeds = range(config.seed, config.seed + config.seeds)
        grids = [getattr(config, setting) for setting in self.grid.values()]
        conditions = [getattr(config, setting) for setting in self.conditions.values()]
        return [
            {"arm": arm, "seed": seed}
            | dict(zip(self.conditions, condition, strict=True))
            | dict(zip(self.grid, point, strict=True))
            for seed in seeds
            for condition in itertools.product(*conditions)
            for point in itertools.product(*grids)
            for arm in self.arms
        ]

    def badness(self, row: Row) -> float:
        """What the choice minimizes; a trial that diverged is never better than one that didn't."""
        value = float(row[self.select])
        if not math.isfinite(value):
            return math.inf
        return value if self.best == "lowest" else -value

    def edges(self, config: Any, job: TrialJob) -> str:
        """The settings whose chosen value is the first or last of the grid."""
        return ", ".join(
            name
            for name, setting in self.grid.items()
            if len(values := getattr(config, setting)) > 1
            and job[name] in (values[0], values[-1])
            and all(isinstance(value, int | float) for value in values)
        )


@dataclass(frozen=True)
class Chosen:
    """The trial that counts for an arm, a seed and a condition."""

    arm: str
    seed: int
    job: TrialJob  # arm, seed, conditions and the point of the grid
    row: Row  # the last that the trial yielded
    tensors: Mapping[str, Tensor]  # what it left to the figures


def run_protocol(
    trial: Trial, config: Any, protocol: Protocol | Sequence[Protocol], device: torch.device
) -> Generator[Event, None, list[Chosen]]:
    """Yields the rows and figures of all trials as they come; then the rows that are judged.

    These have `judged=True`, the chosen point of the grid, and `at_edge` where that is the first or
    last value of its setting. Returns the chosen trials, in the order seed, condition, arm.
    Experiments of one paper that differ in arms, grid or choice are several protocols of one run,
    each chosen from by itself; the order is then seed, protocol, condition, arm. A trial that is in
    several of them runs once, and `selected_by` tells their judged rows apart.
    """
    protocols = [protocol] if isinstance(protocol, Protocol) else protocol
    planned = [(one, job) for one in protocols for job in one.jobs(config)]
    planned.sort(key=lambda each: each[1]["seed"])  # stable: within a seed as they are
    jobs: list[TrialJob] = []
    owners: list[Protocol] = []  # of each trial the first protocol that it is in
    for one, job in planned:
        if job not in jobs:
            jobs.append(job)
            owners.append(one)
    last: dict[int, Row] = {}
    tensors: dict[int, dict[str, Tensor]] = {index: {} for index in range(len(jobs))}
    progress = _Progress(len(jobs))
    yield progress.event()
    for index, event in run_trials(trial, config, jobs, device):
        if event is None or isinstance(event, Progress):
            yield progress.update(index, event)
        elif isinstance(event, Arrays):
            tensors[index].update(event.tensors)
        elif isinstance(event, Figure):
            yield event
        else:
            last[index] = event
            yield _label(owners[index], jobs[index]) | event
    chosen = _choose([(one, jobs.index(job)) for one, job in planned], jobs, last, tensors)
    for one, choice in chosen:
        selected_by: Row = {"selected_by": one.select} if len(protocols) > 1 else {}
        yield _judged_row(one, config, choice) | selected_by
    return [choice for _, choice in chosen]


def _choose(
    planned: Sequence[tuple[Protocol, int]],
    jobs: Sequence[TrialJob],
    last: Mapping[int, Row],
    tensors: Mapping[int, Mapping[str, Tensor]],
) -> list[tuple[Protocol, Chosen]]:
    """For each arm, seed and condition the best point; the first of several that are as good."""
    groups: dict[tuple[Any, ...], list[tuple[Protocol, int]]] = {}
    for protocol, index in planned:
        job = jobs[index]
        if index not in last:
            raise ValueError(f"the trial {dict(job)} yielded no row")
        condition = tuple(job[name] for name in protocol.conditions)
        key = (job["seed"], id(protocol), condition, job["arm"])
        groups.setdefault(key, []).append((protocol, index))
    chosen = []
    for points in groups.values():
        protocol, index = points[0]
        if len(points) > 1:
            _, index = min(points, key=lambda point: protocol.badness(last[point[1]]))
        job = jobs[index]
        choice = Chosen(job["arm"], job["seed"], job, last[index], tensors[index])
        chosen.append((protocol, choice))
    return chosen


def _label(protocol: Protocol, job: TrialJob) -> Row:
    """What tells the curve of a trial from the others: its point of the grid is a word."""
    label: Row = {name: value for name, value in job.items() if name not in protocol.grid}
    if protocol.grid:
        label["setting"] = ", ".join(f"{name} {job[name]}" for name in protocol.grid)
    return label


def _judged_row(protocol: Protocol, config: Any, chosen: Chosen) -> Row:
    measured = {name: value for name, value in chosen.row.items() if name != "step"}
    row: Row = {**chosen.job, "judged": True, **measured}
    if edges := protocol.edges(config, chosen.job):
        row["at_edge"] = edges
    return row


class _Progress:
    """Trials done, and the time left: as long as the rest takes at the pace so far."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.parts: dict[int, float] = {}  # of the trials that run, how much is done
        self.started = time.monotonic()

    def update(self, index: int, event: Progress | None) -> Progress:
        if event is None:
            self.done += 1
            self.parts.pop(index, None)
        else:
            self.parts[index] = min(event.done / event.total, 1.0)
        return self.event()

    def event(self) -> Progress:
        done = self.done + sum(self.parts.values())
        note = f"{self.done} of {self.total} trials"
        if 0 < done < self.total:
            left = (time.monotonic() - self.started) * (self.total - done) / done
            note += f", about {_duration(left)} left"
        return Progress(done, self.total, note)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
