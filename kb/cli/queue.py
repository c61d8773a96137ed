"""Verbs that change queued and running runs: stop, pause, resume, prioritize."""

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kb.cli import shell

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kb.tables import Run

RUN_HELP = "the id of a run, or of a batch for all its runs"


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        stop_runs,
        "stop",
        "Cancel runs and wait until they have ended.",
        "kb stop dropout-1f0c22ab",
    )
    verb.add_argument("run", nargs="+", help=RUN_HELP)
    verb = add_verb(
        pause_runs,
        "pause",
        "Pause runs; other runs can use their devices.",
        "kb pause dropout-1f0c22ab",
    )
    verb.add_argument("run", nargs="+", help=RUN_HELP)
    verb = add_verb(resume_runs, "resume", "Resume paused runs.", "kb resume dropout-1f0c22ab")
    verb.add_argument("run", nargs="+", help=RUN_HELP)
    verb = add_verb(
        prioritize_runs,
        "prioritize",
        "Set the priority of queued runs.",
        "kb prioritize 10 dropout-1f0c22ab",
    )
    verb.add_argument(
        "priority", type=shell.PRIORITY, help="the greatest starts first; a new run has 0"
    )
    verb.add_argument("run", nargs="+", help=RUN_HELP)


def stop_runs(args: argparse.Namespace) -> None:
    from kb.runs import control, polling

    engine = shell.database()
    ids = _find_run_ids(engine, args.run)
    for run_id in ids:
        control.cancel(engine, run_id)
    _print_status(args, [list(polling.watch(engine, run_id))[-1] for run_id in ids])


def pause_runs(args: argparse.Namespace) -> None:
    from kb.runs import control

    _request_change(args, control.pause)


def resume_runs(args: argparse.Namespace) -> None:
    from kb.runs import control

    _request_change(args, control.resume)


def prioritize_runs(args: argparse.Namespace) -> None:
    from kb.runs import control

    def set_priority(engine: "Engine", run_id: str) -> None:
        control.prioritize(engine, run_id, args.priority)

    _request_change(args, set_priority)


def _request_change(args: argparse.Namespace, request: "Callable[[Engine, str], None]") -> None:
    """Requests the change of every run and waits until the supervisor has handled all requests."""
    from kb.runs import polling, store

    engine = shell.database()
    ids = _find_run_ids(engine, args.run)
    for run_id in ids:
        request(engine, run_id)
    polling.wait_handled(engine, ids)
    _print_status(args, [store.get(engine, run_id) for run_id in ids])


def _find_run_ids(engine: "Engine", names: Sequence[str]) -> list[str]:
    """The ids of the runs, and of all runs of the batches. Raises UnknownRun."""
    from kb.runs import store

    ids: list[str] = []
    for name in names:
        batch = store.latest(engine, batch=name, limit=10_000)
        if batch:
            ids += [run.id for run in reversed(batch)]
        else:
            ids.append(store.get(engine, name).id)
    return ids


def _print_status(args: argparse.Namespace, runs: "Sequence[Run]") -> None:
    if args.json:
        statuses = [{"id": run.id, "status": run.status} for run in runs]
        shell.print_json(statuses, indent=None, ensure_ascii=True)
    else:
        for run in runs:
            print(f"{run.id} {run.status}")
