"""The trials of a run on a Ray cluster: each is a Ray task, on whatever node has a free core.

The worker of such a run trains nothing. It arranges the trials, draws, and has the rows judged; for
the trials it connects to the cluster that it runs on. Ray repeats a trial whose node is lost.
"""

import importlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray.exceptions import RayTaskError

import impl.kit.broken
import impl.kit.trials
from impl.kit.events import TrialEvent
from impl.kit.trials import Trial, TrialJob
from kb.runs import cluster

MAX_RETRIES = 3  # of a trial whose node is lost


@dataclass(frozen=True)
class CpuSeconds:
    """What a trial has used; the last that its task yields."""

    seconds: float


class TrialTasks:
    """An executor for `impl.kit.trials.execute_with`. `cpu_seconds` adds up what trials use."""

    def __init__(self, job: dict[str, Any]) -> None:
        cluster.initialize(job["ray_address"], job["runtime_env"])
        self.job = job
        self.cpu_seconds = 0.0

    def __call__(
        self, trial: Trial, config: Any, jobs: Sequence[TrialJob], missing: Sequence[int]
    ) -> Iterator[tuple[int, TrialEvent | None]]:
        options = {"num_returns": "streaming", "num_cpus": 1, "max_retries": MAX_RETRIES}
        task: Any = ray.remote(execute_trial).options(**options)
        # More would wait in this run's own queue, and keep its cores from other runs.
        at_once = max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting, running = list(reversed(missing)), dict[Any, int]()
        while waiting or running:
            while waiting and len(running) < at_once:
                index = waiting.pop()
                running[task.remote(self.job, trial, config, jobs[index])] = index
            events = ray.wait(list(running), num_returns=1)[0][0]
            event = next_event(events)
            if isinstance(event, CpuSeconds):
                self.cpu_seconds += event.seconds
            else:
                yield running[events], event
            if event is None:
                del running[events]


def next_event(events: Any) -> Any:
    """None after the last. Raises what the trial raised."""
    try:
        return ray.get(next(events))
    except StopIteration:
        return None
    except RayTaskError as error:
        if isinstance(error.cause, Exception):
            error.cause.add_note(str(error))
            raise error.cause from None
        raise


def execute_trial(
    job: dict[str, Any], trial: Trial, config: Any, trial_job: TrialJob
) -> Iterator[TrialEvent | CpuSeconds]:
    """On a node: the events of one trial, as on one machine; with the idea taken out if the run's
    options say so, since a patch of the code reaches only the process that applies it."""
    for name, value in job["variables"].items():
        os.environ.setdefault(name, value)  # the node knows its own paths
    options = job.get("options", {})
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(bool(options.get("deterministic")), warn_only=True)
    module = importlib.import_module(f"impl.{job['implementation']}")
    broken = getattr(module, "BROKEN", {})
    started = time.process_time()
    with impl.kit.broken.take_out(broken, options.get("broken"), config) as changed:
        yield from impl.kit.trials.execute(trial, changed, trial_job, torch.device("cpu"))
    yield CpuSeconds(time.process_time() - started)
