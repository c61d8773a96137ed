"""Counts the floating-point operations of a run on some of its trials.

Counting slows a trial down, up to three times if its tensors are small. So it is done for one trial
of each arm under each condition, and for no more than a tenth of all; the others of an arm are
taken as equal. A trial that stops as soon as it has learnt makes that an estimate.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from impl.kit import trials
from impl.kit.events import TrialEvent
from impl.kit.protocol import Protocol
from impl.kit.trials import Executor, Trial, TrialJob
from kb import paths
from kb.runs.flop_counter import FlopCounter

MAX_SHARE = 10  # at most one trial in so many is counted
MATMUL_SIZE = {"cpu": 768}  # of the product that measures a device's rate
MATMUL_SIZE_ELSEWHERE = 4096
MATMUL_REPEATS = 5


class OnlyCounted(Exception):
    """All trials that were to be counted are, and no others are wanted."""


@dataclass(frozen=True)
class Count:
    """What a trial has done; the last that a counted trial yields."""

    flops: int
    bytes: int


@dataclass(frozen=True)
class CountedTrial:
    """A trial that counts if its job is one of `chosen`, and yields what it yields otherwise."""

    trial: Trial
    chosen: tuple[TrialJob, ...]

    def __call__(
        self, config: Any, device: torch.device, **job: Any
    ) -> Iterator[TrialEvent | Count]:
        events = self.trial(config, device, **job)
        if job not in self.chosen:
            yield from events
            return
        counter, end = FlopCounter(), object()
        while True:
            with counter:  # not while the events are consumed
                event: Any = next(events, end)
            if event is end:
                break
            yield event
        yield Count(counter.flops, counter.bytes)


class CountingExecutor:
    """Executes trials for `impl.kit.trials.execute_with`, in the usual way or by `executor`.

    `which` is "some", "all", or "only": then nothing but the counted trials is executed, and
    OnlyCounted is raised. The counts are kept in `file`, for a run that is interrupted. `dtype` is
    what most of its operations are in.
    """

    def __init__(
        self,
        module: Any,
        device: torch.device,
        file: Path,
        *,
        which: str = "some",
        executor: Executor | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.searched = _searched_settings(module)
        self.device, self.file, self.which, self.executor = device, file, which, executor
        self.dtype = dtype
        self.trials: Counter[str] = Counter()  # of each group
        self.executed = 0  # of the trials, by this process; the others were kept by an earlier one
        self.counts: dict[str, list[list[int]]] = _read_counts(file)  # of each group

    def __call__(
        self, trial: Trial, config: Any, jobs: Sequence[TrialJob], missing: Sequence[int]
    ) -> Iterator[tuple[int, TrialEvent | None]]:
        self.trials.update(map(self._group, jobs))
        chosen = self._choose(jobs, missing)
        counted: Any = CountedTrial(trial, tuple(jobs[index] for index in chosen))
        indices = chosen if self.which == "only" else missing
        self.executed += len(indices)
        for index, event in self._execute(counted, config, jobs, indices):
            if isinstance(event, Count):
                self._keep(self._group(jobs[index]), event)
            elif self.which != "only":
                yield index, event
        if self.which == "only":
            raise OnlyCounted

    def _execute(
        self, trial: Trial, config: Any, jobs: Sequence[TrialJob], indices: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        if self.executor:
            yield from self.executor(trial, config, jobs, indices)
            return
        trials.execute_with(None)
        try:
            yield from trials._execute_missing(trial, config, jobs, indices, self.device)
        finally:
            trials.execute_with(self)

    def _group(self, job: TrialJob) -> str:
        """The trials that are taken as equal: those that differ in seed and grid only."""
        parts = {
            name: value
            for name, value in job.items()
            if name != "seed" and name not in self.searched
        }
        return json.dumps(parts, sort_keys=True, default=str)

    def _choose(self, jobs: Sequence[TrialJob], missing: Sequence[int]) -> list[int]:
        """The trials to count: of each group that has no count the one in the middle, since the
        first ones are what somebody watches."""
        if self.which == "all":
            return list(missing)
        groups: dict[str, list[int]] = {}
        for index in missing:
            groups.setdefault(self._group(jobs[index]), []).append(index)
        middle = [group[len(group) // 2] for key, group in groups.items() if key not in self.counts]
        return middle if self.which == "only" else middle[: max(1, len(jobs) // MAX_SHARE)]

    def _keep(self, group: str, count: Count) -> None:
        self.counts.setdefault(group, []).append([count.flops, count.bytes])
        paths.replace_text(self.file, json.dumps(self.counts))

    def usage(self) -> dict[str, Any]:
        """The fields of a run's usage. Groups without a count have the mean of the others."""
        means = {
            group: [sum(column) / len(counts) for column in zip(*counts, strict=True)]
            for group, counts in self.counts.items()
            if group in self.trials
        }
        if not means:
            return {}
        others = [sum(column) / len(means) for column in zip(*means.values(), strict=True)]
        totals = [
            sum(number * means.get(group, others)[part] for group, number in self.trials.items())
            for part in range(2)
        ]
        return {
            "flops": round(totals[0]),
            "bytes_moved": round(totals[1]),
            "flops_counted_trials": sum(len(self.counts[group]) for group in means),
            "flops_trials": self.trials.total(),
            "flops_executed_trials": self.executed,
            "flops_format": "bf16" if self.dtype is torch.bfloat16 else "fp32",
            "dense_flops_per_second": round(measure_dense_rate(self.device, self.dtype)),
        }


def _read_counts(file: Path) -> dict[str, list[list[int]]]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _searched_settings(module: Any) -> set[str]:
    """The keywords of trials that are searched on a grid in any protocol of the implementation."""
    values = [
        one
        for value in vars(module).values()
        for one in (value if isinstance(value, tuple | list) else [value])
    ]
    return {name for one in values if isinstance(one, Protocol) for name in one.grid}


def measure_dense_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a product of two matrices on this device; on a CPU, of one core.

    The best of several. On a CPU the time is the thread's own, so that other programs don't count.
    """
    is_cpu = device.type == "cpu"
    size = MATMUL_SIZE.get(device.type, MATMUL_SIZE_ELSEWHERE)
    a = torch.ones(size, size, device=device, dtype=dtype)
    clock = time.thread_time if is_cpu else time.perf_counter
    seconds = []
    for _ in range(MATMUL_REPEATS):
        started = clock()
        product = a @ a
        if not is_cpu:
            product[0, 0].item()  # waits for the device
        seconds.append(clock() - started)
    return float(2 * size**3 / min(seconds))
