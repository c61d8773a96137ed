"""Runs side by side: what differs in their settings, their verdicts, and their rows with the run's name in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from kb.runs import store
from kb.tables import Run, RunVerdict


@dataclass(frozen=True)
class Comparison:
    """`differing` and `equal` are what the runs were made with, by name: a value for each run, None where it has none."""

    runs: tuple[Run, ...]
    differing: dict[str, tuple[Any, ...]]
    equal: dict[str, Any]
    verdicts: dict[tuple[str, str], tuple[RunVerdict | None, ...]]  # by implementation and claim

    def rows(self, engine: Engine) -> list[dict[str, Any]]:
        """Every run's rows, each with the word `run`, for curves to be drawn over each other."""
        return [{**row.values, "run": run.id} for run in self.runs for row in store.rows(engine, run.id)]


def compare(engine: Engine, ids: Sequence[str]) -> Comparison:
    """Raises UnknownRun for an id that no run has."""
    runs = tuple(store.get(engine, id) for id in dict.fromkeys(ids))
    made = [_made_with(run) for run in runs]
    names = list(dict.fromkeys(name for one in made for name in one))
    values = {name: tuple(one.get(name) for one in made) for name in names}
    differing = {name: row for name, row in values.items() if any(value != row[0] for value in row)}
    judged = [{(run.implementation, v.claim): v for v in store.verdicts(engine, run.id)} for run in runs]
    claims = list(dict.fromkeys(claim for one in judged for claim in one))
    return Comparison(
        runs,
        differing,
        {name: row[0] for name, row in values.items() if name not in differing},
        {claim: tuple(one.get(claim) for one in judged) for claim in claims},
    )


def _made_with(run: Run) -> dict[str, Any]:
    """What can make a difference: implementation, preset, settings, source and the machine."""
    environment = run.environment or {}
    machine = {name: environment.get(name) for name in ("device", "device_name", "torch", "python")}
    source = {
        "implementation": run.implementation,
        "preset": run.preset,
        "source": run.source_hash[:12],
        "commit": run.git_commit,
    }
    return source | run.settings | machine
