"""The `kb` command: each module of this package has the verbs of one group.

Exit status: 0 success, 1 failure (a timeline with errors, a run that failed, an unknown id),
2 wrong usage, 130 interrupted with Ctrl-C while runs continue.
"""

import argparse
import errno
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kb import paths
from kb.cli.shell import CommandError, Handler

GROUPS = {  # a module of this package, and the verbs that it adds
    "timeline": ("check", "load", "search", "show", "new"),
    "literature": ("import", "imports"),
    "lineage": ("path", "lineage"),
    "time_machine": ("time-machine",),
    "export": ("export", "sql", "schema"),
    "run": ("run",),
    "runs": ("runs", "rows", "devices"),
    "sweep": ("sweep",),
    "queue": ("stop", "pause", "resume", "prioritize"),
    "claims": ("claims", "record", "verify"),
    "ladders": ("ladders",),
    "backup": ("backup", "restore"),
    "serve": ("serve", "mcp"),
}
LITERATURE_VERBS = ("import", "imports")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit status. Expected errors are printed without traceback."""
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(words[0] if words else None).parse_args(words)
    try:
        status = int(args.handler(args) or 0)
        sys.stdout.flush()  # here, so that a full disk is noticed
        return status
    except BrokenPipeError:  # the reader has closed the pipe, as in `kb export | head`
        _discard_output()
        return 0
    except Exception as error:
        message = _error_message(error, _database_file(args, words[0]))
        if message is None:
            raise
        _discard_output()
        print(f"kb: {message}", file=sys.stderr)
        return 1


def _discard_output() -> None:
    """Drops what can't be printed any more; Python would try again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _database_file(args: argparse.Namespace, verb: str) -> Path:
    """The file that an error of SQLite's is about."""
    is_literature = verb in LITERATURE_VERBS or getattr(args, "outside", False)
    return paths.home() / "outside.sqlite3" if is_literature else paths.database_file()


def _error_message(error: Exception, database: Path) -> object | None:
    """What is printed of an expected error; None for a defect of this program."""
    cause = getattr(error, "orig", None) or error  # SQLAlchemy's errors have SQLite's
    sqlite = sys.modules.get("sqlite3")
    if sqlite and isinstance(cause, sqlite.Error):
        from kb.database_errors import explain

        return explain(cause, database)
    unreadable = isinstance(error, UnicodeError | json.JSONDecodeError) or type(error) is KeyError
    if unreadable and (damage := _damage(database)):
        return damage
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error}; free some space, or set KB_HOME to a folder on another disk"
    if isinstance(error, UnicodeError | OSError):
        return error  # their first argument alone says too little
    if isinstance(error, CommandError | LookupError | ValueError | RuntimeError):
        return error.args[0] if error.args else error  # str() would quote a LookupError's
    return _damage(database)


def _damage(database: Path) -> str | None:
    """What is wrong with the database, if that explains why something in it can't be read."""
    from kb import integrity

    problems = integrity.find_problems(database) if database == paths.database_file() else []
    return problems[0] if problems else None


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """The parser of the verb's group, or of all verbs if there is no such verb.

    The other groups' modules are not imported, which keeps the shell's start short.
    """
    parser = argparse.ArgumentParser(
        prog="kb",
        description="The executable history of deep learning: search the timeline, "
        "follow its links, run its papers.",
        epilog="Environment variables: KB_HOME is the folder of the database and the runs, "
        "KB_DATA a folder of data sets, PORT the app's port.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def add_verb(
        handler: Handler, name: str, description: str, example: str
    ) -> argparse.ArgumentParser:
        verb_parser = verbs.add_parser(
            name,
            help=description,
            description=description,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb_parser.set_defaults(handler=handler)
        verb_parser.add_argument("--json", action="store_true", help="print JSON")
        return verb_parser

    for group in [group for group, names in GROUPS.items() if verb in names] or GROUPS:
        importlib.import_module(f"kb.cli.{group}").add_verbs(add_verb)
    return parser
