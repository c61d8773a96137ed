"""What several verbs of the shell need: the database, names looked up, errors, JSON output."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb import paths
from kb.formatting import format_count

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kb.db import Changes
    from kb.tables import MilestoneRow

Handler = Callable[[argparse.Namespace], int | None]  # runs a verb; may return the exit status
AddVerb = Callable[[Handler, str, str, str], argparse.ArgumentParser]
"""Adds a verb to the parser: its handler, name, description and an example of its use."""


def bounded_int(low: int, high: int) -> Callable[[str], int]:
    """A type of arguments: a whole number in this range. argparse prints the error."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no whole number") from None
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{text[:40]}: give {low:,} to {high:,}")
        return number

    return parse


ROW_COUNT = bounded_int(0, 1_000_000_000)  # how many to print at most
PRIORITY = bounded_int(-1_000_000, 1_000_000)  # as kb.runs.submission checks it


class CommandError(Exception):
    """The verb can't do what was requested; the message is printed for the user."""


def database() -> "Engine":
    """Opens the database, and loads the timeline into it if the file has changed.

    If the file has errors, or the database can't be written to, that is printed and the timeline
    loaded before is used; if there is none, raises CommandError.
    """
    from kb import db

    engine = db.open_database()
    if db.is_stale(engine, paths.TIMELINE):
        try:
            load_timeline(engine, paths.TIMELINE)
        except CommandError as error:
            if db.timeline_digest(engine) is None:
                raise
            print(f"{error}; using the timeline loaded before", file=sys.stderr)
    return engine


def load_timeline(engine: "Engine", file: Path, *, rebuild: bool = False) -> "Changes":
    """Loads the file into the database and prints its problems; raises CommandError on errors."""
    from sqlalchemy.exc import DatabaseError

    from kb import db, loader
    from kb.database_errors import explain

    timeline = loader.read_timeline(file)
    for problem in timeline.problems:
        print(problem, file=sys.stderr)
    if timeline.errors:
        errors = format_count(len(timeline.errors), "error")
        raise CommandError(f"{file} has {errors}; nothing was loaded")
    try:
        return db.load_timeline(engine, timeline.milestones, file.resolve(), rebuild=rebuild)
    except DatabaseError as error:
        reason = explain(error.orig or error, paths.database_file())
        raise CommandError(f"{file} can't be loaded: {reason}") from None


def find_milestone(engine: "Engine", name: str) -> "MilestoneRow":
    """The milestone with this id. Raises CommandError, which suggests a similar id."""
    from kb import db, suggestions

    if row := db.milestone(engine, name):
        return row
    suggestion = suggestions.did_you_mean(name, [row.id for row in db.milestones(engine)])
    raise CommandError(f'no milestone has the id "{name}"{suggestion}')


def find_implementation(engine: "Engine", name: str) -> str:
    """The implementation of this name, or that of the milestone with this id; or CommandError."""
    from kb import db, implementations, suggestions

    known = implementations.names()
    if name in known:
        return name
    row = db.milestone(engine, name)
    if row and row.implementation:
        return row.implementation
    raise CommandError(
        f"no implementation is called {name!r}{suggestions.did_you_mean(name, known)}; "
        f"there are {', '.join(known)}"
    )


def print_json(value: Any, *, indent: int | None = 2, ensure_ascii: bool = False) -> None:
    print(json.dumps(value, indent=indent, ensure_ascii=ensure_ascii))
