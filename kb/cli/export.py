"""Verbs that print the knowledge base for other programs: export, sql, schema."""

import argparse
import os
import sys
from pathlib import Path

from kb import paths
from kb.cli import shell
from kb.formatting import format_count, format_table
from kb.implementations import PRESETS

FORMATS = ("json", "csv", "bibtex", "graphml", "mermaid", "jsonld", "html")  # those of kb.exports


def add_verbs(add_verb: shell.AddVerb) -> None:
    _add_export(add_verb)
    verb = add_verb(
        query_database,
        "sql",
        "Query the database in SQL; it is opened for reading only.",
        "kb sql 'select track, count(*) from milestone group by 1'",
    )
    verb.add_argument(
        "query",
        nargs="?",
        help="one SELECT; with - or without a query, it is read from standard input",
    )
    verb.add_argument(
        "--schema", action="store_true", help="list the tables and their columns instead"
    )
    verb.add_argument("--limit", type=int, default=1000, help="how many rows at most (1000)")
    verb.add_argument("--seconds", type=float, default=5.0, help="how long it may take (5)")
    add_verb(
        print_timeline_schema,
        "schema",
        "Print the JSON Schema of the timeline, for editors.",
        "kb schema > data/timeline.schema.json",
    )


def _add_export(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        export_milestones,
        "export",
        "Print milestones for other programs; or write a Jupyter notebook, or a site.",
        "kb export 'to:resnet' --format bibtex\n  kb export notebook dropout\n  kb export site DIR",
    )
    verb.add_argument(
        "query",
        nargs="*",
        help="as for `kb search` (without it: all milestones); or `notebook` and an id; or `site` "
        "and the folder for its pages",
    )
    verb.add_argument("--format", choices=FORMATS, default="json")
    verb.add_argument(
        "--outside",
        action="store_true",
        help="the imported works that the query finds instead: json, csv or bibtex",
    )
    verb.add_argument(
        "--to", type=Path, metavar="FILE", help="where to write the notebook (ID.ipynb)"
    )
    verb.add_argument(
        "--preset", choices=PRESETS, default="quick", help="what the notebook runs (quick)"
    )


def export_milestones(args: argparse.Namespace) -> None:
    if args.query[:1] == ["site"]:
        _export_site(args)
        return
    if not args.outside and args.query[:1] == ["notebook"] and len(args.query) > 1:
        _export_notebook(args)
        return
    if args.to:
        raise shell.CommandError(f"--to is for a notebook; write the others with > {args.to}")
    if args.outside:
        _export_works(args)
        return
    from kb import db, exports
    from kb.search import search

    engine = shell.database()
    rows = db.milestones(engine)
    if args.query:
        answer = search(engine, " ".join(args.query), limit=len(rows))
        matching = {hit.id for hit in answer.hits}
        rows = [row for row in rows if row.id in matching]
    export = exports.FORMATS["json" if args.json else args.format]
    print(export([row.entry for row in rows]))


def _export_site(args: argparse.Namespace) -> None:
    """Has the program of `ui/site` write the folder: `kb` itself draws nothing."""
    if len(args.query) != 2:
        raise shell.CommandError(
            "name one folder, as in `kb export site public`; to search for the word, `kb search`"
        )
    folder = Path(args.query[1]).expanduser().absolute()
    shell.database()
    os.environ["KB_HOME"] = str(paths.home())
    os.chdir(paths.ROOT)  # where `ui` is
    flags = ["--json"] if args.json else []
    os.execv(sys.executable, [sys.executable, "-m", "ui.site", *flags, "--", str(folder)])


def _export_notebook(args: argparse.Namespace) -> None:
    """Writes the notebook of the milestone; with --json it is printed instead."""
    from kb import db, implementations
    from kb.exports.notebook import as_notebook

    if len(args.query) != 2:
        raise shell.CommandError("one notebook at a time: kb export notebook dropout")
    engine = shell.database()
    name = shell.find_implementation(engine, args.query[1])
    row = next(row for row in db.milestones(engine) if row.implementation == name)
    text = as_notebook(row.entry, implementations.read(name), args.preset)
    if args.json:
        print(text, end="")
        return
    file = args.to or Path(f"{row.id}.ipynb")
    _write_new(file, text)
    print(file)
    print("JupyterLab or VS Code opens it; its first cell says what it needs", file=sys.stderr)


def _write_new(file: Path, text: str) -> None:
    """Writes a file that isn't there yet, or is empty, as one that the shell's `>` has made."""
    if file.exists() and file.stat().st_size and file.read_text(encoding="utf-8") != text:
        raise shell.CommandError(
            f"{file} is there already, with other contents; remove it, or choose another file "
            f"with --to"
        )
    paths.replace_text(file, text)


def _export_works(args: argparse.Namespace) -> None:
    from kb.literature import database, exporting

    name = "json" if args.json else args.format
    if name not in exporting.FORMATS:
        raise shell.CommandError(
            f"imported works have no {name}; there are {', '.join(exporting.FORMATS)}"
        )
    connection = database.open_library()
    for text in exporting.export_works(connection, " ".join(args.query), name):
        print(text, end="")
    print()


def query_database(args: argparse.Namespace) -> None:
    from kb import sql

    shell.database()  # makes sure that the file exists and is up to date
    if args.schema:
        _print_tables(args)
        return
    query = sys.stdin.read() if args.query in (None, "-") else args.query
    result = sql.query(query, seconds=args.seconds, rows=args.limit)
    if args.json:
        shell.print_json(list(result))
    else:
        print(
            format_table(result.columns, [[_cell(value) for value in row] for row in result.rows])
        )
    if result.truncated:
        print(f"only the first {format_count(len(result.rows), 'row')} (--limit)", file=sys.stderr)


def _cell(value: object) -> str:
    """The value on one line; empty for NULL."""
    return "" if value is None else " ".join(str(value).split())


def _print_tables(args: argparse.Namespace) -> None:
    from kb import sql

    tables = sql.schema()
    if args.json:
        shell.print_json(tables, ensure_ascii=True)
        return
    for name, columns in tables.items():
        print(f"{name}({', '.join(f'{column} {kind}' for column, kind in columns)})")


def print_timeline_schema(args: argparse.Namespace) -> None:
    from kb.schema import json_schema

    shell.print_json(json_schema(), indent=1, ensure_ascii=True)
