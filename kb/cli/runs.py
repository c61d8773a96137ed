"""Verbs that read runs and devices: runs, rows, devices."""

import argparse
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kb.cli import shell
from kb.formatting import format_table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kb.tables import Run


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        list_runs, "runs", "List the runs, the newest first.", "kb runs --implementation dropout"
    )
    verb.add_argument("--implementation", help="only the runs of this one")
    verb.add_argument("--batch", help="only the runs that were submitted together as this batch")
    verb.add_argument(
        "--limit", type=shell.ROW_COUNT, default=20, help="how many to print at most (20)"
    )
    verb = add_verb(
        export_rows,
        "rows",
        "Print all rows that runs have recorded, for other programs.",
        "kb rows dropout-1f0c22ab --format csv",
    )
    verb.add_argument("run", nargs="+", help="a run's id")
    verb.add_argument("--format", choices=("csv", "jsonl", "tensorboard"), default="csv")
    verb.add_argument(
        "--to",
        type=Path,
        help="a file, or for tensorboard a folder, to write into (standard output)",
    )
    add_verb(list_devices, "devices", "List the devices that runs can use.", "kb devices")


def list_runs(args: argparse.Namespace) -> None:
    from kb.runs import store

    engine = shell.database()
    _revive_supervisor(engine)
    runs = store.latest(
        engine, implementation=args.implementation, batch=args.batch, limit=args.limit
    )
    if args.json:
        shell.print_json([run.model_dump(mode="json") for run in runs], ensure_ascii=True)
    elif runs:
        head = ("run", "status", "preset", "device", "submitted", "time", "FLOPs", "")
        print(format_table(head, [_run_cells(engine, run) for run in runs]))
    else:
        print("no runs yet")


def _revive_supervisor(engine: "Engine") -> None:
    """Starts a supervisor for runs that have lost theirs, and says so."""
    from kb.runs import polling

    try:
        count = polling.revive(engine)
    except OSError as error:
        print(f"runs wait, and no supervisor can be started: {error}", file=sys.stderr)
        return
    if count:
        print(polling.restart_message(count), file=sys.stderr)


def _run_cells(engine: "Engine", run: "Run") -> tuple[str, ...]:
    from kb.runs import polling
    from kb.time_machine import number

    return (
        run.id,
        run.status,
        run.preset,
        (run.environment or {}).get("device", run.place or run.device),
        f"{datetime.fromtimestamp(run.submitted):%Y-%m-%d %H:%M}",
        f"{(run.usage or {}).get('wall_seconds', 0):.0f} s",
        number(flops) if (flops := (run.usage or {}).get("flops")) else "-",
        run.reason or polling.waiting_reason(engine, run),
    )


def export_rows(args: argparse.Namespace) -> None:
    from kb.runs import export

    engine = shell.database()
    _revive_supervisor(engine)
    if args.format == "tensorboard":
        if args.to is None:
            raise shell.CommandError("TensorBoard reads folders: name one with --to FOLDER")
        print(export.tensorboard(engine, args.run, args.to))
        return
    write = export.csv if args.format == "csv" and not args.json else export.lines
    if args.to is None:
        write(engine, args.run, sys.stdout)
        return
    with args.to.open("w", encoding="utf-8", newline="") as file:
        write(engine, args.run, file)
    print(args.to)


def list_devices(args: argparse.Namespace) -> None:
    from kb.runs import polling

    devices = polling.wait_for_devices(shell.database())
    if args.json:
        shell.print_json([device.model_dump(mode="json") for device in devices], ensure_ascii=True)
        return
    body = [
        (device.id, device.name, f"{device.memory / 1e9:.0f} GB" if device.memory else "-")
        for device in devices
    ]
    print(format_table(("device", "name", "memory"), body))
