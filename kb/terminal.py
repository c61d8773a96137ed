"""What the verbs of the shell share: the database, and the way to say that something can't be done."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb import places
from kb.shown import count

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Wrong(Exception):
    """What was asked for can't be done; the message is for the person who asked."""


def database() -> "Engine":
    """The database, with the timeline in it as its file is now; with what was loaded before if the file has errors."""
    from kb import db

    engine = db.open_database()
    if db.is_stale(engine, places.TIMELINE):
        try:
            load_into(engine, places.TIMELINE)
        except Wrong as wrong:
            if db.loaded(engine) is None:
                raise
            print(f"{wrong}; using what was loaded before", file=sys.stderr)
    return engine


def load_into(engine: "Engine", file: Path) -> Any:
    from kb import db, loader

    timeline = loader.load(file)
    for problem in timeline.problems:
        print(problem, file=sys.stderr)
    if timeline.errors:
        raise Wrong(f"{file} has {count(len(timeline.errors), 'error')}; nothing was loaded")
    return db.load(engine, timeline.milestones, file.resolve())


def implementation_of(engine: "Engine", name: str) -> str:
    """The implementation called `name`, or the one of the milestone with that id."""
    from kb import db, implementations, loader

    known = implementations.names()
    if name in known:
        return name
    row = db.milestone(engine, name)
    if row and row.implementation:
        return row.implementation
    raise Wrong(f"no implementation is called {name!r}{loader.suggestion(name, known)}; there are {', '.join(known)}")
