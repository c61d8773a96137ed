"""Verbs about the timeline and its milestones: check, load, search, show, new."""

import argparse
import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb import paths
from kb.cli import literature, shell
from kb.formatting import format_count

if TYPE_CHECKING:
    from sqlalchemy import Engine


def add_verbs(add_verb: shell.AddVerb) -> None:
    _add_file_verbs(add_verb)
    verb = add_verb(
        search_milestones,
        "search",
        "Search the milestones.",
        "kb search 'attention track:theory year:2014..2017'",
    )
    verb.add_argument("query", nargs="*", help="words, and qualifiers such as track:theory")
    verb.add_argument(
        "--limit", type=shell.ROW_COUNT, default=50, help="how many to print at most (50)"
    )
    verb.add_argument(
        "--outside", action="store_true", help="search the imported literature instead"
    )
    verb = add_verb(
        show_milestone, "show", "Print everything about one milestone.", "kb show dropout"
    )
    verb.add_argument("id", help="the milestone's id, as `kb search` prints it")
    _add_new(add_verb)


def _add_file_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        check_timeline,
        "check",
        "Validate a timeline; print every error with its file, line and column.",
        "kb check data/timeline.yaml",
    )
    verb.add_argument("file", type=Path, nargs="?", help="a timeline (the project's own)")
    verb.add_argument(
        "--database",
        action="store_true",
        help="check the database instead, or the file of one: pages, text, runs and their figures",
    )
    verb.add_argument(
        "--strict",
        action="store_true",
        help="also refuse an entry without a primary source, a link without `how`, a long `short`",
    )
    verb = add_verb(
        load_timeline,
        "load",
        "Load a timeline into the database; a timeline with errors changes nothing.",
        "kb load",
    )
    verb.add_argument("file", type=Path, nargs="?", default=paths.TIMELINE)
    verb.add_argument(
        "--rebuild",
        action="store_true",
        help="write all of it anew, also where the stored timeline is damaged; runs stay",
    )


def _add_new(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        create_paper,
        "new",
        "Create a milestone and its implementation, to be filled in.",
        "kb new paper se-net --date 2017-09-05",
    )
    verb.add_argument("what", choices=("paper",))
    verb.add_argument("id", help="the new milestone's id")
    verb.add_argument(
        "--date", default="", help="2017-09-05, 2015-02 or 2015: places the entry (at the end)"
    )


def check_timeline(args: argparse.Namespace) -> int:
    if args.database:
        return _check_database(args)
    from kb import loader, tours

    file = args.file or paths.TIMELINE
    timeline = loader.read_timeline(file, strict=args.strict)
    found = tours.Tours((), ())
    if not timeline.errors:  # they may be all that is wrong with the tours
        entries = {m.id: m.model_dump(mode="json", by_alias=True) for m in timeline.milestones}
        found = tours.read_tours(tours.file_beside(file), entries)
    problems = [*timeline.problems, *found.problems]
    if args.json:
        shell.print_json([dataclasses.asdict(problem) for problem in problems], ensure_ascii=True)
    else:
        for problem in problems:
            print(problem)
        if not (timeline.errors or found.problems):
            count = format_count(len(timeline.milestones), "milestone")
            also = f" and {format_count(len(found.tours), 'tour')}" if found.tours else ""
            print(f"{file}: {count}{also}, no errors")
    return 1 if timeline.errors or timeline.drafts or found.problems else 0


def _check_database(args: argparse.Namespace) -> int:
    from kb import integrity

    file = args.file or paths.database_file()
    problems = integrity.find_problems(file)
    if args.json:
        shell.print_json([{"file": str(file), "message": message} for message in problems])
    else:
        print("\n".join(problems) or f"{file}: no errors")
    return 1 if problems else 0


def load_timeline(args: argparse.Namespace) -> None:
    from kb import db

    changes = shell.load_timeline(db.open_database(), args.file, rebuild=args.rebuild)
    if args.json:
        shell.print_json(dataclasses.asdict(changes), indent=None)
    else:
        print(changes)


def search_milestones(args: argparse.Namespace) -> None:
    if args.outside:
        literature.search_literature(args)
        return
    from kb.search import search

    query = " ".join(args.query)
    answer = search(shell.database(), query, limit=args.limit)
    if args.json:
        shell.print_json([literature.hit_as_json(hit) for hit in answer.hits])
        return
    if answer.subject:
        print(
            f"a question about {answer.subject}: `kb lineage {answer.subject}` and `kb show "
            f"{answer.subject}` answer it; these match {answer.correction!r}",
            file=sys.stderr,
        )
    elif answer.correction:
        match = "are nearest to any word of" if answer.any_word else "match"
        print(
            f"no milestone matches {query!r}; these {match} {answer.correction!r}", file=sys.stderr
        )
    for hit in answer.hits:
        mark = "*" if hit.implementation else " "
        print(f"{hit.date:<10} {mark} {hit.id:<24} {hit.short}")
    shown = f", {len(answer.hits)} shown" if answer.total > len(answer.hits) else ""
    print(f"{format_count(answer.total, 'milestone')}{shown} (*: can be run)", file=sys.stderr)


def show_milestone(args: argparse.Namespace) -> None:
    engine = shell.database()
    entry = shell.find_milestone(engine, args.id).entry
    if args.json:
        shell.print_json(entry)
        return
    people = ", ".join([*entry.get("authors", []), *entry.get("makers", [])])
    print(f"{entry['title']}\n{people}\n{entry['date']}, {entry['track']}, {entry['kind']}\n")
    print(f"{entry['idea'].strip()}\n\n{entry['story'].strip()}")
    _print_neighbours(engine, args.id)
    _print_claims(entry)
    _print_flops(engine, args.id)
    print("\nSources")
    for source in entry["sources"]:
        print(f"  {source['url']}")
    literature.print_related(engine, args.id)


def _print_neighbours(engine: "Engine", milestone: str) -> None:
    from kb import graph

    before, after = graph.neighbours(graph.load_links(engine), milestone)
    for title, steps in {"Before it": before, "After it": after}.items():
        if steps:
            print(f"\n{title}")
        for step in steps:
            print(f"  {step.id:<24} {step.via}{f': {step.how}' if step.how else ''}")


def _print_claims(entry: dict[str, Any]) -> None:
    for claim in entry.get("claims", []):
        print(f"\nClaim {claim['id']} ({claim['where']})\n  {claim['says'].strip()}")


def _print_flops(engine: "Engine", milestone: str) -> None:
    """The operations of its run or its training, where they are known."""
    from kb import experiments
    from kb.time_machine import number

    with contextlib.suppress(LookupError):
        experiment = experiments.find(engine, milestone)
        print(f"\n{experiment.name}: {number(experiment.flops)} FLOPs. {experiment.origin}")
        print(f"  `kb time-machine {milestone}` tells how long that takes, and since when.")


def create_paper(args: argparse.Namespace) -> None:
    from kb import skeleton

    for line in skeleton.create_paper(args.id, args.date):
        print(line)
