"""Verbs that keep the database safe: backup, restore."""

import argparse
import dataclasses
from pathlib import Path

from kb.cli import shell
from kb.formatting import format_count


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        create_backup,
        "backup",
        "Copy the database, its runs with their files, and the imported literature.",
        "kb backup /media/disk/history",
    )
    verb.add_argument(
        "folder", type=Path, nargs="?", help="a new folder (one in KB_HOME/backups, by its time)"
    )
    verb = add_verb(
        restore_backup,
        "restore",
        "Bring a backup back; what was there before is kept in KB_HOME/backups.",
        "kb restore /media/disk/history",
    )
    verb.add_argument("folder", type=Path, help="a folder that `kb backup` made")


def create_backup(args: argparse.Namespace) -> None:
    from kb import backup

    made = backup.create(args.folder)
    if args.json:
        shell.print_json(dataclasses.asdict(made), indent=None)
    else:
        print(f"{made.folder}: {format_count(made.runs, 'run')}, {made.bytes / 1e6:,.1f} MB")


def restore_backup(args: argparse.Namespace) -> None:
    from kb import backup

    restored = backup.restore(args.folder)
    if args.json:
        shell.print_json(dataclasses.asdict(restored), indent=None)
        return
    print(f"restored {format_count(restored.runs, 'run')} from {restored.folder}")
    if restored.kept:
        print(f"the database that was there before is in {restored.kept}")
