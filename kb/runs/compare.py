"""Compares runs: what they were made with, their verdicts and their rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from kb.runs import store
from kb.tables import Run, RunVerdict


@dataclass(frozen=True)
class Comparison:
    """What the runs were made with is in `differing`, a value for each run, or in `equal`.

    A value or verdict that a run doesn't have is None.
    """

    runs: tuple[Run, ...]
    differing: dict[str, tuple[Any, ...]]
    equal: dict[str, Any]
    verdicts: dict[tuple[str, str], tuple[RunVerdict | None, ...]]  # by implementation and claim

    def rows(self, engine: Engine) -> list[dict[str, Any]]:
        """The rows of all runs; each has the id of its run as `run`, which tells curves apart."""
        return [
            {**row.values, "run": run.id} for run in self.runs for row in store.rows(engine, run.id)
        ]


def compare(engine: Engine, ids: Sequence[str]) -> Comparison:
    """Raises UnknownRun for an id that no run has."""
    runs = tuple(store.get(engine, id) for id in dict.fromkeys(ids))
    origins = [_origin(run) for run in runs]
    names = dict.fromkeys(name for origin in origins for name in origin)
    values = {name: tuple(origin.get(name) for origin in origins) for name in names}
    differing = {name: row for name, row in values.items() if any(value != row[0] for value in row)}
    verdicts = [_verdicts(engine, run) for run in runs]
    claims = dict.fromkeys(claim for of_run in verdicts for claim in of_run)
    return Comparison(
        runs,
        differing,
        {name: row[0] for name, row in values.items() if name not in differing},
        {claim: tuple(of_run.get(claim) for of_run in verdicts) for claim in claims},
    )


def _verdicts(engine: Engine, run: Run) -> dict[tuple[str, str], RunVerdict]:
    return {
        (run.implementation, verdict.claim): verdict for verdict in store.verdicts(engine, run.id)
    }


def _origin(run: Run) -> dict[str, Any]:
    """What can change the result: implementation, preset, settings, source and machine."""
    environment = run.environment or {}
    machine = {name: environment.get(name) for name in ("device", "device_name", "torch", "python")}
    source = {
        "implementation": run.implementation,
        "preset": run.preset,
        "source": run.source_hash[:12],
        "commit": run.git_commit,
    }
    return source | run.settings | machine
