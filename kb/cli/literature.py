"""The verbs import and imports, and the search of what was imported: `kb search --outside`."""

import argparse
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb.cli import shell
from kb.formatting import format_count

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kb.literature.imports import Import

MAX_CHANGES = 20  # sentences about changed works that are printed
DIGEST_LENGTH = 12


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
        help="BibTeX, RIS, Web of Science, CSV, JSON or JSON lines; may be compressed (.gz)",
    )
    verb.add_argument(
        "--format",
        default="auto",
        help="auto (the default), bibtex, ris, wos, csv, csl, json, openalex, semantic-scholar, "
        "pwc-links or pwc-papers",
    )
    verb.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="FIELD=NAME",
        help="the column or key that has a field, as title=Name, where it isn't recognised",
    )
    verb.add_argument("--encoding", help="as utf-8, utf-16 or cp1252 (detected without it)")
    verb.add_argument(
        "--remove", type=int, metavar="N", help="undo the import N, as `kb imports` numbers them"
    )
    add_verb(
        show_imports,
        "imports",
        "List the imports of literature: file, date, what each brought.",
        "kb imports",
    )


def import_literature(args: argparse.Namespace) -> None:
    from kb.literature import importing

    if args.remove is not None:
        _remove_import(args)
        return
    if args.file is None:
        show_imports(args)
        return
    live = sys.stderr.isatty()
    started = time.time()

    def show_progress(state: importing.Import) -> None:
        if live:
            print(f"\r\033[K{state}", end="", file=sys.stderr)

    options = importing.Options(args.encoding, dict(map(_parse_column, args.map)))
    result = importing.import_file(
        args.file, args.format, on_progress=show_progress, options=options
    )
    if live:
        print(file=sys.stderr)
    if args.json:
        shell.print_json(dataclasses.asdict(result), indent=None)
    else:
        print(result)
    if result.finished and result.finished < started:
        print(
            f"  this content was imported before, as import {result.id}; nothing was changed. "
            f"To read it anew: kb import --remove {result.id}",
            file=sys.stderr,
        )
    _print_remarks(result)


def _parse_column(text: str) -> tuple[str, str]:
    field, equals, name = text.partition("=")
    if not equals or not name:
        raise shell.CommandError(f"--map {text}: write FIELD=NAME, such as title=Name")
    return field.strip().lower(), name.strip()


def _print_remarks(result: "Import") -> None:
    for title, counts in {"rejected": result.reasons, "noted": result.notes}.items():
        for reason, times in sorted(counts.items(), key=lambda item: -item[1]):
            print(f"  {times:,} {title}: {reason}", file=sys.stderr)
    for sentence in result.changes[:MAX_CHANGES]:
        print(f"  {sentence}", file=sys.stderr)
    if len(result.changes) > MAX_CHANGES or result.rejected:
        from kb.literature import imports

        for path in sorted(imports.report_paths(result.id)):
            print(f"  one by one: {path}", file=sys.stderr)


def _remove_import(args: argparse.Namespace) -> None:
    from kb.literature import removing

    removed, gone, changed = removing.remove_import(args.remove)
    if args.json:
        shell.print_json({"removed": dataclasses.asdict(removed), "works": gone, "kept": changed})
        return
    print(f"removed import {removed.id} of {removed.file}: {format_count(gone, 'work')} gone")
    if changed:
        works = format_count(changed, "work")
        print(f"  {works} of other imports kept, without what came from this one", file=sys.stderr)


def show_imports(args: argparse.Namespace) -> None:
    from kb.literature import database, importing

    imports = importing.list_imports(database.open_library())
    if args.json:
        shell.print_json([dataclasses.asdict(entry) for entry in imports])
    elif imports:
        print("\n".join(map(_describe_import, imports)))
    else:
        print("nothing was imported yet")


def _describe_import(entry: "Import") -> str:
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.begun))
    details = ", ".join(filter(None, [date, entry.format, entry.digest[:DIGEST_LENGTH]]))
    return f"{entry.id:>3}  {entry.file}\n     {details}\n     {entry}"


def search_literature(args: argparse.Namespace) -> None:
    from kb import db
    from kb.literature import database, search
    from kb.literature.milestones import milestones_by_identifier

    milestones = milestones_by_identifier(db.milestones(shell.database()))
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


def print_related(engine: "Engine", milestone: str) -> None:
    """Prints which imported works are the milestone, and which mention it, if there are any."""
    from kb import db
    from kb.literature import related
    from kb.literature.milestones import milestones_by_identifier

    rows = db.milestones(engine)
    row = next(row for row in rows if row.id == milestone)
    found = related.related_works(row, lambda: milestones_by_identifier(rows))
    if found.same or found.mentions:
        print("\nImported literature")
    for title, hits in {"is it": found.same, "mentions it": found.mentions}.items():
        for hit in hits:
            print(f"  {title:<12} {hit.year or '    '}  {hit.title}")
    if found.total > len(found.mentions):
        print(f"  and {found.total - len(found.mentions):,} more: kb search --outside")


def hit_as_json(hit: Any) -> dict[str, Any]:
    """A hit of either search, its snippet as plain text."""
    return dataclasses.asdict(hit) | {"snippet": "".join(text for text, _ in hit.snippet)}
