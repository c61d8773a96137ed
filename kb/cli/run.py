"""The verb run: submits runs, follows their progress, prints their verdicts."""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kb import ranges
from kb.cli import shell, sweep
from kb.formatting import (
    format_count,
    format_gain,
    format_number,
    format_published,
    format_table,
    replace_non_finite,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kb.implementations import Implementation
    from kb.runs.submission import RunRequest
    from kb.tables import Run


CLEAR_LINE = "\r\033[K"  # of a terminal


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        run_implementations,
        "run",
        "Run implementations, show their progress, print their verdicts.",
        "kb run dropout --preset quick",
    )
    verb.add_argument(
        "name",
        nargs="+",
        help="an implementation (impl/NAME.py), the id of its milestone, "
        "or the id of a run to repeat",
    )
    _add_settings(verb)
    _add_execution_options(verb)
    verb.add_argument(
        "--detach", action="store_true", help="queue the runs, print their ids and exit"
    )


def _add_settings(verb: argparse.ArgumentParser) -> None:
    """The options that say what to run."""
    verb.add_argument("--preset", default="quick", help="smoke, quick (the default), full or paper")
    verb.add_argument(
        "--seed",
        type=int,
        nargs="+",
        help="the first seed; the run takes the following ones too; several: a run for each",
    )
    verb.add_argument(
        "--device",
        nargs="+",
        help="auto (the default), cpu, cuda, cuda:1, mps, xpu; several: a run for each",
    )
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"change one setting; {ranges.RULES}",
    )
    verb.add_argument(
        "--sweep",
        action="append",
        default=[],
        metavar="KEY=VALUE,VALUE",
        help="a run for each of these values; given twice, for each pair; `kb sweep` shows them",
    )
    verb.add_argument(
        "--deterministic",
        action="store_true",
        help="use torch's deterministic algorithms where they exist",
    )
    verb.add_argument(
        "--flops",
        action="store_true",
        help="count the floating-point operations of every trial, which slows down small nets; "
        "otherwise of one for each arm",
    )


def _add_execution_options(verb: argparse.ArgumentParser) -> None:
    """The options that say where and when to run."""
    verb.add_argument(
        "--on",
        metavar="ADDRESS",
        help="run on a Ray cluster: ray://HOST:10001, or HOST:6379 from one of its nodes "
        "(the default is KB_CLUSTER)",
    )
    verb.add_argument(
        "--priority", type=shell.PRIORITY, help="runs with a greater number start first (0)"
    )
    verb.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="WHAT=AMOUNT",
        help="stop the run beyond a limit: time=10m, memory=4GB, disk=1GB",
    )
    verb.add_argument(
        "--processes",
        type=shell.bounded_int(1, 1_024),
        metavar="N",
        help="split each batch among N processes; on CUDA each has a GPU of its own",
    )


def run_implementations(args: argparse.Namespace) -> int:
    from kb.runs import description, polling, store, submission, sweeps

    engine = shell.database()
    requests = [request for name in args.name for request in _requests(engine, name, args)]
    if args.sweep:
        requests = _sweep_requests(requests, args)
    ids = submission.submit_all(engine, requests)
    batch = store.get(engine, ids[0]).batch or ""
    if args.detach:
        if reason := polling.disk_reason():
            print(f"{ids[0]} {reason}", file=sys.stderr)
        _print_ids(ids, batch, args)
        return 0
    if args.sweep:
        print(f"{batch}: {len(ids)} runs; `kb sweep {batch}` shows them", file=sys.stderr)
    try:
        ended = [_follow(engine, run_id) for run_id in ids]
    except KeyboardInterrupt:
        left = batch if args.sweep else ", ".join(ids)
        print(f"\n{left} continue; `kb stop` stops them", file=sys.stderr)
        return 130
    if args.sweep:
        sweep.print_sweep(sweeps.read(engine, batch), None, as_json=args.json)
    elif args.json:
        described = [replace_non_finite(description.describe(engine, run_id)) for run_id in ids]
        shell.print_json(described[0] if len(ids) == 1 else described)
    else:
        for run in ended:
            _print_outcome(engine, run, several=len(ids) > 1)
        if len(ids) == len(args.name):  # one run for each name: it may repeat an earlier one
            _print_all_differences(engine, args.name, ids)
    return 0 if all(run.status == "succeeded" for run in ended) else 1


def _print_ids(ids: list[str], batch: str, args: argparse.Namespace) -> None:
    """The ids of the runs; of a sweep the batch, which stands for them all."""
    if args.json:
        printed = {"id": ids[0]} if len(ids) == 1 else {"ids": ids}
        shell.print_json(printed | ({"batch": batch} if args.sweep else {}), indent=None)
    else:
        print(batch if args.sweep else "\n".join(ids))


def _requests(engine: "Engine", name: str, args: argparse.Namespace) -> "list[RunRequest]":
    """The runs to submit for one name: one for each seed and device.

    For the id of a run, they are like it, except where the arguments say otherwise.
    """
    from kb import implementations
    from kb.runs.submission import RunRequest

    if earlier := _find_run(engine, name):
        implementation = implementations.read(earlier.implementation)
        request = _repeat(earlier, implementation)
    else:
        implementation = implementations.read(shell.find_implementation(engine, name))
        request = RunRequest(implementation.name, args.preset)
    request = _with_options(request, args)
    texts = dict(item.partition("=")[::2] for item in args.set)
    requests = []
    for seed in args.seed or [None]:
        changed = texts | ({} if seed is None else {"seed": str(seed)})
        settings = implementations.parse_settings(implementation, request.preset, changed)
        for device in args.device or [request.device]:
            requests.append(
                dataclasses.replace(request, changes=request.changes | settings, device=device)
            )
    return requests


def _sweep_requests(requests: "list[RunRequest]", args: argparse.Namespace) -> "list[RunRequest]":
    """The runs of a sweep. Raises CommandError or ValueError if they can't be one."""
    from kb import implementations
    from kb.runs import sweeps

    if len(requests) > 1:
        raise shell.CommandError(
            "a sweep is of one name, seed and device; sweep seeds by --sweep seed=0,1000"
        )
    base = requests[0]
    implementation = implementations.read(base.name)
    texts: dict[str, list[str]] = {}
    for item in args.sweep:
        name, _, values = item.partition("=")
        texts.setdefault(name, []).extend(
            text.strip() for text in values.split(",") if text.strip()
        )
    return sweeps.requests(base, sweeps.parse_axes(implementation, base.preset, texts))


def _repeat(earlier: "Run", implementation: "Implementation") -> "RunRequest":
    """The request that repeats a run, with its settings even if the preset has changed since."""
    from kb.runs.submission import RunRequest

    preset = implementation.presets[earlier.preset]
    return RunRequest(
        earlier.implementation,
        earlier.preset,
        changes={
            key: value
            for key, value in earlier.settings.items()
            if key in preset and preset[key] != value
        },
        device=earlier.device,
        priority=earlier.priority,
        limits=earlier.limits,
        options=dict(earlier.options),
        cluster=earlier.cluster or "",
    )


def _with_options(request: "RunRequest", args: argparse.Namespace) -> "RunRequest":
    """The request with the options that were given on the command line."""
    from kb.runs import limits

    given = {key: getattr(args, key) for key in ("deterministic", "flops", "processes")}
    return dataclasses.replace(
        request,
        priority=request.priority if args.priority is None else args.priority,
        limits=limits.parse(args.limit) or request.limits,
        options=request.options | {key: value for key, value in given.items() if value},
        cluster=request.cluster if args.on is None else args.on,
    )


def _find_run(engine: "Engine", name: str) -> "Run | None":
    """The run with this id; None if the name is no run's id."""
    from kb.runs import store

    try:
        return store.get(engine, name)
    except store.UnknownRun:
        return None


def _follow(engine: "Engine", run_id: str) -> "Run":
    """Waits until the run has ended. Says what it waits for, and its progress in a terminal."""
    from kb.runs import polling

    live = sys.stderr.isatty()
    shown = ""
    waits_for = ""
    for run in polling.watch(engine, run_id):
        if run.status in ("queued", "paused"):
            reason = polling.waiting_reason(engine, run)
            if reason and reason != waits_for:
                print(f"{CLEAR_LINE if live else ''}{run_id} {reason}", file=sys.stderr, flush=True)
            waits_for = reason
        line = f"{run_id} {run.status}"
        if run.total:
            line += f" {run.done / run.total:4.0%}  {run.note}"
        if live and line != shown:
            print(f"{CLEAR_LINE}{line}", end="", file=sys.stderr, flush=True)
            shown = line
    if live:
        print(file=sys.stderr)
    return run


def _print_outcome(engine: "Engine", run: "Run", *, several: bool) -> None:
    from kb.runs import description

    if several:
        print(f"\n{run.id}")
    _print_verdicts(description.describe(engine, run.id)["verdicts"])
    if run.traceback:
        print(run.traceback, file=sys.stderr)
    print(f"{run.id} {run.status}{f': {run.reason}' if run.reason else ''}", file=sys.stderr)


def _print_verdicts(verdicts: Sequence[dict[str, Any]]) -> None:
    head = ("claim", "verdict", "measured", "baseline", "gain, 95% interval", "published", "unit")
    body = [
        (
            verdict["claim"],
            verdict["verdict"],
            format_number(verdict["measured"]),
            format_number(verdict["baseline"]),
            format_gain(verdict),
            format_published(verdict["published"]),
            verdict["unit"],
        )
        for verdict in verdicts
    ]
    if body:
        print(format_table(head, body))


def _print_all_differences(engine: "Engine", names: Sequence[str], ids: Sequence[str]) -> None:
    for name, run_id in zip(names, ids, strict=True):
        if earlier := _find_run(engine, name):
            _print_differences(engine, earlier.id, run_id)


def _print_differences(engine: "Engine", earlier: str, repeated: str) -> None:
    """What differs between a run and its repetition, in how it was made and in its rows."""
    from kb.runs.compare import compare

    comparison = compare(engine, [earlier, repeated])
    for name, (was, now) in comparison.differing.items():
        print(f"differs from {earlier}: {name} was {was}, is {now}", file=sys.stderr)
    # In any order: trials that run at the same time take turns.
    rows: dict[str, Counter[str]] = {earlier: Counter(), repeated: Counter()}
    for row in comparison.rows(engine):
        rows[row.pop("run")][repr(sorted(row.items()))] += 1
    old, new = rows[earlier], rows[repeated]
    unequal = max((old - new).total(), (new - old).total())
    total = format_count(new.total(), "row")
    print(f"{total}, {unequal or 'none'} different from those of {earlier}", file=sys.stderr)
