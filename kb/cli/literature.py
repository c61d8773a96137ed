"""The verb import, and the search of what it imported: `kb search --outside`."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from kb.cli import shell
from kb.formatting import format_count


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        import_literature,
        "import",
        "Import literature, kept apart from the timeline; without a file, list the imports.",
        "kb import library.bib",
    )
    verb.add_argument(
        "file",
        type=Path,
        nargs="?",
        help="BibTeX, OpenAlex, Papers with Code, CSV or JSON lines; may be compressed (.gz)",
    )
    verb.add_argument(
        "--format",
        default="auto",
        help="auto (the default), bibtex, csv, json, openalex, pwc-links or pwc-papers",
    )


def import_literature(args: argparse.Namespace) -> None:
    from kb.literature import importing

    if args.file is None:
        _list_imports(args)
        return
    live = sys.stderr.isatty()

    def show_progress(state: importing.Import) -> None:
        if live:
            print(f"\r\033[K{state}", end="", file=sys.stderr)

    result = importing.import_file(args.file, args.format, on_progress=show_progress)
    if live:
        print(file=sys.stderr)
    if args.json:
        shell.print_json(dataclasses.asdict(result), indent=None)
    else:
        print(result)
    for reason, times in sorted(result.reasons.items(), key=lambda item: -item[1]):
        print(f"  {times:,} rejected: {reason}", file=sys.stderr)


def _list_imports(args: argparse.Namespace) -> None:
    from kb.literature import database, importing

    imports = importing.list_imports(database.open_library())
    if args.json:
        shell.print_json([dataclasses.asdict(entry) for entry in imports])
    elif imports:
        print("\n".join(f"{entry.file}\n  {entry}" for entry in imports))
    else:
        print("nothing was imported yet")


def search_literature(args: argparse.Namespace) -> None:
    from kb import db
    from kb.literature import database, search

    milestones = search.milestones_by_identifier(db.milestones(shell.database()))
    query = " ".join(args.query)
    answer = search.search_works(database.open_library(), query, args.limit, milestones)
    if args.json:
        shell.print_json([hit_as_json(hit) for hit in answer.hits])
        return
    for hit in answer.hits:
        where = ", ".join(filter(None, [hit.people.partition(";")[0], hit.venue]))
        print(f"{hit.year or '    '}  {hit.title}\n      {where}")
        for address in [hit.url, *hit.code[:3]]:
            if address:
                print(f"      {address}")
        if hit.milestone:
            print(f"      on the timeline: {hit.milestone}")
    print(f"{format_count(answer.total, 'imported work')}, not curated", file=sys.stderr)


def hit_as_json(hit: Any) -> dict[str, Any]:
    """A hit of either search, its snippet as plain text."""
    return dataclasses.asdict(hit) | {"snippet": "".join(text for text, _ in hit.snippet)}
