"""The verbs of `kb` that are about runs: run, runs, rows, stop, pause, resume, prioritize, devices."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb.shown import count, finite, gain, number, published, table
from kb.terminal import Wrong, database, implementation_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kb.implementations import Implementation
    from kb.runs.store import Order
    from kb.tables import Run


def add(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """The verbs, with their options."""
    one = verb(run, "run", "Run implementations, watch them, print their verdicts.", "kb run dropout --preset quick")
    one.add_argument(
        "name",
        nargs="+",
        help="an implementation (impl/NAME.py), the milestone that names it, or a run's id: to repeat it",
    )
    one.add_argument("--preset", default="quick", help="smoke, quick (the default), full or paper")
    one.add_argument(
        "--seed", type=int, nargs="+", help="the first seed, the others follow it; several: a run for each"
    )
    one.add_argument(
        "--device", nargs="+", help="auto (the default), cpu, cuda, cuda:1, mps, xpu; several: a run for each"
    )
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    one.add_argument(
        "--on",
        metavar="ADDRESS",
        help="a Ray cluster: ray://HOST:10001, or HOST:6379 from one of its nodes (KB_CLUSTER)",
    )
    one.add_argument("--priority", type=int, help="the greater goes first (0)")
    one.add_argument(
        "--limit", action="append", default=[], metavar="WHAT=AMOUNT", help="time=10m, memory=4GB, disk=1GB"
    )
    one.add_argument(
        "--deterministic", action="store_true", help="torch's deterministic algorithms where there are any"
    )
    one.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="share each batch among N processes, each with a GPU of its own if on CUDA",
    )
    one.add_argument("--flops", action="store_true", help="count floating-point operations; slows small nets")
    one.add_argument("--detach", action="store_true", help="queue, print the ids and leave")
    one = verb(runs, "runs", "List the runs, the newest first.", "kb runs --implementation dropout")
    one.add_argument("--implementation")
    one.add_argument("--batch", help="only those that were submitted together")
    one.add_argument("--limit", type=int, default=20)
    one = verb(
        rows, "rows", "Everything that a run yielded, for other programs.", "kb rows dropout-1f0c22ab --format csv"
    )
    one.add_argument("run", nargs="+")
    one.add_argument("--format", choices=("csv", "jsonl", "tensorboard"), default="csv")
    one.add_argument("--to", type=Path, help="a file; for tensorboard a folder (without it: standard output)")
    one = verb(
        stop, "stop", "Cancel runs, or all of a batch, and wait until they have ended.", "kb stop dropout-1f0c22ab"
    )
    one.add_argument("run", nargs="+")
    one = verb(pause, "pause", "Let runs stand still; others get their devices.", "kb pause dropout-1f0c22ab")
    one.add_argument("run", nargs="+")
    one = verb(resume, "resume", "Let paused runs go on.", "kb resume dropout-1f0c22ab")
    one.add_argument("run", nargs="+")
    one = verb(prioritize, "prioritize", "Put queued runs before others.", "kb prioritize 10 dropout-1f0c22ab")
    one.add_argument("priority", type=int, help="the greater goes first; 0 is usual")
    one.add_argument("run", nargs="+")
    verb(devices, "devices", "The devices that runs can have.", "kb devices")


def run(args: argparse.Namespace) -> int:
    from kb.runs import store

    engine = database()
    orders = [order for name in args.name for order in _orders(engine, name, args)]
    ids = store.submit_all(engine, orders)
    if args.detach:
        print(json.dumps({"id": ids[0]} if len(ids) == 1 else {"ids": ids}) if args.json else "\n".join(ids))
        return 0
    try:
        ended = [_follow(engine, run_id) for run_id in ids]
    except KeyboardInterrupt:
        print(f"\n{', '.join(ids)}: `kb stop` ends what still goes on", file=sys.stderr)
        return 130
    if args.json:
        described = [finite(store.describe(engine, run_id)) for run_id in ids]
        print(json.dumps(described[0] if len(ids) == 1 else described, ensure_ascii=False, indent=2))
    else:
        for one in ended:
            _print_outcome(engine, one, several=len(ids) > 1)
        for name, one in zip(args.name, ended, strict=False):
            if (earlier := _earlier(engine, name)) and len(ids) == len(args.name):
                _print_differences(engine, earlier.id, one.id)
    return 0 if all(one.status == "succeeded" for one in ended) else 1


def _orders(engine: "Engine", name: str, args: argparse.Namespace) -> "list[Order]":
    """What is asked for by one name: a run for each seed and device."""
    from kb import implementations
    from kb.runs import limits
    from kb.runs.store import Order

    earlier = _earlier(engine, name)
    implementation = implementations.read(earlier.implementation if earlier else implementation_of(engine, name))
    preset = earlier.preset if earlier else args.preset
    texts = dict(item.partition("=")[::2] for item in args.set)
    before = _settings_of(earlier, implementation) if earlier else {}
    options = dict(earlier.options) if earlier else {}
    options |= {key: given for key in ("deterministic", "flops", "processes") if (given := getattr(args, key))}
    orders = []
    for seed in args.seed or [None]:
        given = texts | ({} if seed is None else {"seed": str(seed)})
        changes = before | implementations.parse_settings(implementation, preset, given)
        for device in args.device or [earlier.device if earlier else "auto"]:
            orders.append(
                Order(
                    implementation.name,
                    preset,
                    changes,
                    device,
                    priority=args.priority if args.priority is not None else earlier.priority if earlier else 0,
                    limits=limits.parse(args.limit) or (earlier.limits if earlier else {}),
                    options=options,
                    cluster=args.on if args.on is not None else (earlier.cluster or "") if earlier else None,
                )
            )
    return orders


def _settings_of(earlier: "Run", implementation: "Implementation") -> dict[str, Any]:
    """An earlier run's settings, also where the preset has others by now."""
    now = implementation.presets[earlier.preset]
    return {key: value for key, value in earlier.settings.items() if key in now and now[key] != value}


def _earlier(engine: "Engine", name: str) -> "Run | None":
    from kb.runs import store

    try:
        return store.get(engine, name)
    except store.UnknownRun:
        return None


def _print_differences(engine: "Engine", before: str, after: str) -> None:
    """What wasn't the same in a run that was to repeat another, in how it was made and in what came out."""
    from kb.runs.compare import compare

    found = compare(engine, [before, after])
    for name, (old, new) in found.differing.items():
        print(f"not as before: {name} was {old}, is {new}", file=sys.stderr)
    old_rows, new_rows = ([row for row in found.rows(engine) if row.pop("run") == id] for id in (before, after))
    differ = sum(one != other for one, other in zip(old_rows, new_rows, strict=False)) + abs(
        len(old_rows) - len(new_rows)
    )
    print(f"{count(len(new_rows), 'row')}, {differ or 'none'} other than before", file=sys.stderr)


def _follow(engine: "Engine", run_id: str) -> "Run":
    """Shows the progress on a terminal's error output until the run has ended."""
    from kb.runs import store

    live = sys.stderr.isatty()
    shown = ""
    for now in store.watch(engine, run_id):
        line = f"{run_id} {now.status}"
        if now.total:
            line += f" {now.done / now.total:4.0%}  {now.note}"
        if line != shown and live:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        shown = line
    if live:
        print(file=sys.stderr)
    return now


def _print_outcome(engine: "Engine", run: "Run", *, several: bool) -> None:
    from kb.runs import store

    if several:
        print(f"\n{run.id}")
    _print_verdicts(store.describe(engine, run.id))
    if run.traceback:
        print(run.traceback, file=sys.stderr)
    print(f"{run.id} {run.status}{f': {run.reason}' if run.reason else ''}", file=sys.stderr)


def _print_verdicts(described: dict[str, Any]) -> None:
    head = ("claim", "verdict", "measured", "baseline", "gain, 95% interval", "published", "unit")
    body = [
        (v["claim"], v["verdict"], number(v["measured"]), number(v["baseline"]), gain(v), published(v["published"]), v["unit"])
        for v in described["verdicts"]
    ]  # fmt: skip
    if body:
        print(table(head, body))


def runs(args: argparse.Namespace) -> None:
    from datetime import datetime

    from kb.runs import store

    found = store.latest(database(), implementation=args.implementation, batch=args.batch, limit=args.limit)
    if args.json:
        print(json.dumps([run.model_dump(mode="json") for run in found], indent=2))
        return
    body = [
        (
            run.id,
            run.status,
            run.preset,
            (run.environment or {}).get("device", run.place or run.device),
            f"{datetime.fromtimestamp(run.submitted):%Y-%m-%d %H:%M}",
            f"{(run.usage or {}).get('wall_seconds', 0):.0f} s",
            run.reason or "",
        )
        for run in found
    ]
    print(table(("run", "status", "preset", "device", "submitted", "time", ""), body) if body else "no runs yet")


def rows(args: argparse.Namespace) -> None:
    from kb.runs import yielded

    engine = database()
    if args.format == "tensorboard":
        if args.to is None:
            raise Wrong("TensorBoard reads folders: say which with --to FOLDER")
        print(yielded.tensorboard(engine, args.run, args.to))
        return
    write = yielded.csv if args.format == "csv" and not args.json else yielded.lines
    if args.to is None:
        write(engine, args.run, sys.stdout)
        return
    with args.to.open("w", encoding="utf-8", newline="") as file:
        write(engine, args.run, file)
    print(args.to)


def stop(args: argparse.Namespace) -> None:
    from kb.runs import store

    engine = database()
    ids = _named(engine, args.run)
    for run_id in ids:
        store.cancel(engine, run_id)
    _print_status(args, [list(store.watch(engine, run_id))[-1] for run_id in ids])


def pause(args: argparse.Namespace) -> None:
    from kb.runs import store

    _ask(args, store.pause)


def resume(args: argparse.Namespace) -> None:
    from kb.runs import store

    _ask(args, store.resume)


def prioritize(args: argparse.Namespace) -> None:
    from kb.runs import store

    _ask(args, lambda engine, id: store.prioritize(engine, id, args.priority))


def _ask(args: argparse.Namespace, ask: Callable[[Any, str], None]) -> None:
    """Asks it of every run, and waits until the supervisor has heeded it."""
    from kb.runs import store

    engine = database()
    ids = _named(engine, args.run)
    for run_id in ids:
        ask(engine, run_id)
    store.heeded(engine, ids)
    _print_status(args, [store.get(engine, id) for id in ids])


def _named(engine: "Engine", names: Sequence[str]) -> list[str]:
    """Runs by their ids, or by their batch's. Raises UnknownRun."""
    from kb.runs import store

    found = [[run.id for run in reversed(store.latest(engine, batch=name, limit=10_000))] or [name] for name in names]
    return [store.get(engine, id).id for ids in found for id in ids]


def _print_status(args: argparse.Namespace, found: "Sequence[Run]") -> None:
    if args.json:
        print(json.dumps([{"id": run.id, "status": run.status} for run in found]))
    else:
        for run in found:
            print(f"{run.id} {run.status}")


def devices(args: argparse.Namespace) -> None:
    from kb.runs import store

    found = store.devices_known(database())
    if args.json:
        print(json.dumps([device.model_dump(mode="json") for device in found], indent=2))
        return
    body = [(one.id, one.name, f"{one.memory / 1e9:.0f} GB" if one.memory else "-") for one in found]
    print(table(("device", "name", "memory"), body))
