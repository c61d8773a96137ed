"""The `kb` command: each module of this package has the verbs of one group.

Exit status: 0 success, 1 failure (a timeline with errors, a run that failed, an unknown id),
2 wrong usage, 130 interrupted with Ctrl-C while runs continue.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from kb import paths
from kb.cli.shell import CommandError, Handler

GROUPS = {  # a module of this package, and the verbs that it adds
    "timeline": ("check", "load", "search", "show", "new"),
    "literature": ("import", "imports"),
    "lineage": ("path", "lineage"),
    "export": ("export", "sql", "schema"),
    "run": ("run",),
    "runs": ("runs", "rows", "devices"),
    "queue": ("stop", "pause", "resume", "prioritize"),
    "claims": ("claims", "record", "verify"),
    "serve": ("serve",),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit status. Expected errors are printed without traceback."""
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(words[0] if words else None).parse_args(words)
    try:
        return int(args.handler(args) or 0)
    except BrokenPipeError:  # the reader has closed the pipe, as in `kb export | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (CommandError, LookupError, ValueError, OSError, RuntimeError) as error:
        print(f"kb: {_error_message(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        # SQLAlchemy's OperationalError; the class isn't imported, because that costs start-up time.
        if type(error).__name__ != "OperationalError" or not hasattr(error, "orig"):
            raise
        print(f"kb: {paths.home()}: {error.orig}", file=sys.stderr)
        return 1


def _error_message(error: Exception) -> object:
    """The error's own text. str() would quote a KeyError's; an OSError's has the file's name."""
    if error.args and not getattr(error, "errno", None):
        return error.args[0]
    return error


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
