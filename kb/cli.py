"""The `kb` command: each verb a few lines over the knowledge base. `kb VERB --help` has an example of each.

Exit status: 0 done, 1 what was asked for isn't so (a timeline with errors, a run that failed, an unknown id), 2 wrong usage.
"""

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb import cli_runs, places
from kb.shown import count, finite, gain, number, published, table
from kb.terminal import Wrong, database, implementation_of, load_into

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kb.graph import Step


FORMATS = ("json", "csv", "bibtex", "graphml", "mermaid", "jsonld", "html")  # those of kb.exports


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return int(args.verb(args) or 0)
    except BrokenPipeError:  # `kb export | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (Wrong, LookupError, ValueError, OSError, RuntimeError) as error:
        message = error.args[0] if error.args and not getattr(error, "errno", None) else error
        print(f"kb: {message}", file=sys.stderr)
        return 1
    except Exception as error:  # SQLAlchemy isn't imported for those who don't need it
        if type(error).__name__ != "OperationalError" or not hasattr(error, "orig"):
            raise
        print(f"kb: {places.home()}: {error.orig}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="kb",
        description="The executable history of deep learning: search the timeline, walk its lineage, run its papers.",
        epilog="KB_HOME is the folder of the database and the runs, KB_DATA a folder of data sets, PORT the app's port.",
    )
    verbs = top.add_subparsers(required=True, metavar="VERB")

    def verb(run: Callable[[Any], int | None], name: str, about: str, example: str) -> argparse.ArgumentParser:
        form = argparse.RawDescriptionHelpFormatter
        one = verbs.add_parser(
            name, help=about, description=about, epilog=f"example:\n  {example}", formatter_class=form
        )
        one.set_defaults(verb=run)
        one.add_argument("--json", action="store_true", help="print JSON")
        return one

    one = verb(check, "check", "Validate a timeline; print every error with its place.", "kb check data/timeline.yaml")
    one.add_argument("file", type=Path, nargs="?", default=places.TIMELINE)
    one = verb(load, "load", "Load a timeline into the database; a bad one changes nothing.", "kb load")
    one.add_argument("file", type=Path, nargs="?", default=places.TIMELINE)
    one = verb(search, "search", "Search the milestones.", "kb search 'attention track:theory year:2014..2017'")
    one.add_argument("query", nargs="*")
    one.add_argument("--limit", type=int, default=50)
    one.add_argument("--outside", action="store_true", help="search the imported literature instead")
    one = verb(
        bring, "import", "Import literature into its own space, or list what was imported.", "kb import library.bib"
    )
    one.add_argument(
        "file", type=Path, nargs="?", help="BibTeX, OpenAlex, Papers with Code, CSV or JSON lines, .gz too"
    )
    one.add_argument("--format", default="auto", help="auto, bibtex, csv, json, openalex, pwc-links or pwc-papers")
    one = verb(show, "show", "Everything about one milestone.", "kb show dropout")
    one.add_argument("id")
    one = verb(path, "path", "How one milestone led to another.", "kb path backprop dropout")
    one.add_argument("start")
    one.add_argument("end")
    one = verb(lineage, "lineage", "What made a milestone possible, and what it made possible.", "kb lineage dropout")
    one.add_argument("id")
    one.add_argument("--depth", type=int, help="how many links to follow (all)")
    one = verb(export, "export", "Print milestones for other programs.", "kb export 'to:resnet' --format bibtex")
    one.add_argument("query", nargs="*")
    one.add_argument("--format", choices=FORMATS, default="json")
    one = verb(
        sql,
        "sql",
        "Ask the database in SQL; it can only be read.",
        "kb sql 'select track, count(*) from milestone group by 1'",
    )
    one.add_argument("query", nargs="?", help="one SELECT; without it, - or --schema: read from standard input")
    one.add_argument("--schema", action="store_true", help="list the tables and their columns")
    one.add_argument("--limit", type=int, default=1000, help="how many rows (1,000)")
    one.add_argument("--seconds", type=float, default=5.0, help="how long it may take (5)")
    verb(
        schema, "schema", "Print the JSON Schema of the timeline, for editors.", "kb schema > data/timeline.schema.json"
    )
    cli_runs.add(verb)
    one = verb(claims, "claims", "Every claim: published, measured, verdict, time, device.", "kb claims")
    one.add_argument("--record", action="store_true", help="what the repository's record has, not this machine's runs")
    one = verb(record, "record", "Measure claims anew and keep what came out in results/.", "kb record dropout lenet5")
    one.add_argument("name", nargs="*", help="implementations (all)")
    one.add_argument("--preset", default="quick", help="quick (the default), full or paper")
    one = verb(new, "new", "Write the skeleton of a milestone and its implementation.", "kb new paper batch-norm")
    one.add_argument("what", choices=("paper",))
    one.add_argument("id")
    one = verb(serve, "serve", "Serve the app on this machine.", "PORT=8765 kb serve")
    one.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8501")))
    one.add_argument("--address", default="127.0.0.1", help="127.0.0.1, so that only this machine sees it")
    one.add_argument(
        "--read-only", action="store_true", help="for public display: nothing can be run or stopped from it"
    )
    return top


def check(args: argparse.Namespace) -> int:
    from kb import loader

    timeline = loader.load(args.file)
    if args.json:
        print(json.dumps([dataclasses.asdict(problem) for problem in timeline.problems], indent=2))
    else:
        for problem in timeline.problems:
            print(problem)
        if not timeline.errors:
            print(f"{args.file}: {count(len(timeline.milestones), 'milestone')}, no errors")
    return 1 if timeline.errors else 0


def load(args: argparse.Namespace) -> None:
    from kb import db

    changes = load_into(db.open_database(), args.file)
    print(json.dumps(dataclasses.asdict(changes)) if args.json else changes)


def search(args: argparse.Namespace) -> None:
    from kb import search as box

    if args.outside:
        search_outside(args)
        return
    answer = box.search(database(), " ".join(args.query), limit=args.limit)
    if args.json:
        print(json.dumps([_hit(hit) for hit in answer.hits], ensure_ascii=False, indent=2))
        return
    if answer.correction:
        print(f"nothing for {' '.join(args.query)!r}; showing {answer.correction!r}", file=sys.stderr)
    for hit in answer.hits:
        mark = "*" if hit.implementation else " "
        print(f"{hit.date:<10} {mark} {hit.id:<24} {hit.short}")
    more = f", {len(answer.hits)} shown" if answer.total > len(answer.hits) else ""
    print(f"{count(answer.total, 'milestone')}{more} (* runs)", file=sys.stderr)


def search_outside(args: argparse.Namespace) -> None:
    from kb import db
    from kb.outside import finding, library

    known = finding.curated(db.milestones(database()))
    answer = finding.find(library.opened(), " ".join(args.query), args.limit, known)
    if args.json:
        print(json.dumps([_hit(hit) for hit in answer.hits], ensure_ascii=False, indent=2))
        return
    for hit in answer.hits:
        where = ", ".join(filter(None, [hit.people.partition(";")[0], hit.venue]))
        print(f"{hit.year or '    '}  {hit.title}\n      {where}")
        for address in [hit.url, *hit.code[:3]]:
            if address:
                print(f"      {address}")
        if hit.milestone:
            print(f"      on the timeline: {hit.milestone}")
    print(f"{count(answer.total, 'imported work')}, not curated", file=sys.stderr)


def bring(args: argparse.Namespace) -> None:
    from kb.outside import library

    if args.file is None:
        found = library.imports(library.opened())
        if args.json:
            print(json.dumps([dataclasses.asdict(one) for one in found], ensure_ascii=False, indent=2))
        else:
            print("\n".join(f"{one.file}\n  {one}" for one in found) or "nothing was imported yet")
        return
    live = sys.stderr.isatty()
    done = library.bring(
        args.file, args.format, say=lambda now: print(f"\r\033[K{now}", end="", file=sys.stderr) if live else None
    )
    if live:
        print(file=sys.stderr)
    print(json.dumps(dataclasses.asdict(done), ensure_ascii=False) if args.json else done)
    for reason, times in sorted(done.reasons.items(), key=lambda item: -item[1]):
        print(f"  {times:,} rejected: {reason}", file=sys.stderr)


def _hit(hit: Any) -> dict[str, Any]:
    return dataclasses.asdict(hit) | {"snippet": "".join(text for text, _ in hit.snippet)}


def _milestone(engine: "Engine", name: str) -> Any:
    from kb import db, loader

    if row := db.milestone(engine, name):
        return row
    near = loader.suggestion(name, [row.id for row in db.milestones(engine)])
    raise Wrong(f'no milestone has the id "{name}"{near}')


def show(args: argparse.Namespace) -> None:
    from kb import graph

    engine = database()
    entry = _milestone(engine, args.id).entry
    if args.json:
        print(json.dumps(entry, ensure_ascii=False, indent=2))
        return
    people = ", ".join([*entry.get("authors", []), *entry.get("makers", [])])
    print(f"{entry['title']}\n{people}\n{entry['date']}, {entry['track']}, {entry['kind']}\n")
    print(f"{entry['idea'].strip()}\n\n{entry['story'].strip()}")
    built_on, led_to = graph.neighbours(graph.lineage(engine), args.id)
    for title, steps in {"Builds on": built_on, "Led to": led_to}.items():
        if steps:
            print(f"\n{title}")
            for step in steps:
                print(f"  {step.id:<24} {step.via}{f': {step.how}' if step.how else ''}")
    for claim in entry.get("claims", []):
        print(f"\nClaim {claim['id']} ({claim['where']})\n  {claim['says'].strip()}")
    print("\nSources")
    for source in entry["sources"]:
        print(f"  {source['url']}")


def path(args: argparse.Namespace) -> None:
    from kb import graph

    whole = graph.lineage(database())
    found = graph.paths(whole, args.start, args.end)
    if args.json:
        print(json.dumps([dataclasses.asdict(one) for one in found], ensure_ascii=False, indent=2))
    elif not found:
        raise Wrong(f"nothing on the timeline links {args.start} and {args.end}")
    else:
        print("\n\n".join(graph.tell(one, whole) for one in found))
        if not found[0].directed and (common := graph.common_ancestors(whole, args.start, args.end)):
            print(f"\nBoth descend from {', '.join(common[:8])}.")


def lineage(args: argparse.Namespace) -> None:
    from kb import graph

    whole = graph.lineage(database())
    before, after = graph.ancestors(whole, args.id, args.depth), graph.descendants(whole, args.id, args.depth)
    pillars, meanwhile = graph.pillars(whole, args.id), graph.contemporaries(whole, args.id)
    if args.json:
        steps = {"ancestors": before, "descendants": after}
        found = {name: [dataclasses.asdict(step) for step in some] for name, some in steps.items()}
        print(json.dumps(found | {"pillars": pillars, "contemporaries": meanwhile}, ensure_ascii=False, indent=2))
        return
    _print_steps("What made it possible", before, whole, "{step.from_id} {verb} it")
    _print_steps("What it made possible", after, whole, "{verb} {step.from_id}")
    if pillars:
        print(f"Every line of its descent passes through\n  {', '.join(pillars)}")
    if meanwhile:
        print("Within a year, in other tracks")
        for id in sorted(meanwhile, key=lambda id: whole.nodes[id]["first"]):
            print(f"  {id} ({whole.nodes[id]['date']}), {whole.nodes[id]['track']}")


def _print_steps(title: str, steps: "list[Step]", whole: Any, link: str) -> None:
    """The milestones indented by their distance, each with the link that leads there."""
    print(f"{title}{'' if steps else ': nothing on the timeline'}")
    for step in steps:
        linked = link.format(step=step, verb=step.via.replace("_", " "))
        how = f": {step.how}" if step.how else ""
        print(f"{'  ' * step.depth}{step.id} ({whole.nodes[step.id]['date']}), {linked}{how}")


def export(args: argparse.Namespace) -> None:
    from kb import db, exports
    from kb import search as box

    engine = database()
    rows = db.milestones(engine)
    if args.query:
        found = {hit.id for hit in box.search(engine, " ".join(args.query), limit=len(rows)).hits}
        rows = [row for row in rows if row.id in found]
    print(exports.FORMATS["json" if args.json else args.format]([row.entry for row in rows]))


def sql(args: argparse.Namespace) -> None:
    from kb import sql as reader

    database()
    if args.schema:
        tables = reader.schema()
        lines = (
            f"{table}({', '.join(f'{name} {kind}' for name, kind in columns)})" for table, columns in tables.items()
        )
        print(json.dumps(tables, indent=2) if args.json else "\n".join(lines))
        return
    query = sys.stdin.read() if args.query in (None, "-") else args.query
    found = reader.query(query, seconds=args.seconds, rows=args.limit)
    if args.json:
        print(json.dumps(list(found), ensure_ascii=False, indent=2))
    else:
        print(
            table(found.columns, [[" ".join(str("" if v is None else v).split()) for v in row] for row in found.rows])
        )
    if found.cut:
        print(f"only the first {count(len(found.rows), 'row')} (--limit)", file=sys.stderr)


def schema(args: argparse.Namespace) -> None:
    from kb.schema import json_schema

    print(json.dumps(json_schema(), indent=1))


def _standings(engine: "Engine", on_record: bool) -> Iterator[tuple[Any, Any, dict[str, Any], dict[str, Any], str]]:
    """Claim, verdict or None, environment, usage and preset: of the repository's record, or of the newest runs here."""
    from kb import db, record
    from kb.runs import store

    claims = db.claims(engine)
    if on_record:
        for claim, verdict, entry in record.recorded(claims):
            yield claim, verdict, entry["environment"], entry["usage"], "quick"
        return
    for one in store.standings(engine, claims):
        if one.run and one.verdict:
            verdict = one.verdict.model_dump(mode="json")
            yield one.claim, verdict, one.run.environment or {}, one.run.usage or {}, one.run.preset
        else:
            yield one.claim, None, {}, {}, "-"


def claims(args: argparse.Namespace) -> None:
    found = list(_standings(database(), args.record))
    if args.json:
        standings = [
            {
                "milestone": c.milestone,
                "claim": c.id,
                "says": c.says,
                "where": c.where,
                "published": c.published,
                "verdict": v,
                "preset": preset,
                "wall_seconds": usage.get("wall_seconds"),
                "device": environment.get("device_name"),
            }
            for c, v, environment, usage, preset in found
        ]
        print(json.dumps(finite(standings), ensure_ascii=False, indent=2))
        return
    head = ("milestone", "claim", "verdict", "measured", "baseline", "gain, 95% interval", "published", "preset", "time",
            "device")  # fmt: skip
    body = []
    for c, v, environment, usage, preset in found:
        measured = (v["verdict"], number(v["measured"]), number(v["baseline"]), gain(v)) if v else ("-",) * 4
        ran = (preset, f"{usage.get('wall_seconds', 0):.0f} s" if v else "-", environment.get("device", "-"))
        body.append((c.milestone, c.id, *measured, published(c.published), *ran))
    print(table(head, body))


def record(args: argparse.Namespace) -> int:
    from kb import db, implementations
    from kb import record as book

    engine = database()
    if args.preset not in implementations.PRESETS[1:]:
        raise Wrong(f"a record is made with {', '.join(implementations.PRESETS[1:])}, not {args.preset}")
    names = [implementation_of(engine, name) for name in args.name] or implementations.names()
    measured = book.measure(engine, names, args.preset, say=lambda line: print(line, file=sys.stderr, flush=True))
    kept = {name: entry for name, entry in measured.items() if entry["status"] == "succeeded"}
    written = [book.write(kept, args.preset)]
    readme = places.ROOT / "README.md"
    if places.CHECKOUT and args.preset == "quick":
        shorts = {row.id: f"{row.short}, {row.date[:4]}" for row in db.milestones(engine)}
        book.into(readme, book.markdown(book.recorded(db.claims(engine)), shorts))
        written.append(readme)
    print(json.dumps(finite(kept), ensure_ascii=False, indent=2) if args.json else "\n".join(map(str, written)))
    return 0 if len(kept) == len(names) else 1


def new(args: argparse.Namespace) -> None:
    from kb import skeleton

    for written in skeleton.paper(args.id):
        print(written)


def serve(args: argparse.Namespace) -> None:
    engine = None
    try:
        from kb import db

        engine = db.open_database()
        print(f"timeline: {load_into(engine, places.TIMELINE)}")
    except Wrong as wrong:
        from kb import db

        if engine is None or not db.milestones(engine):
            raise
        print(f"{wrong}; serving what was loaded before", file=sys.stderr)
    os.environ["KB_HOME"] = str(places.home())
    if args.read_only:
        os.environ["KB_READ_ONLY"] = "1"
    os.chdir(places.SHARE)  # where Streamlit looks for .streamlit/config.toml
    print(f"the app: http://{'localhost' if args.address == '127.0.0.1' else args.address}:{args.port}", flush=True)
    options = {
        "server.port": args.port,
        "server.address": args.address,
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "server.fileWatcherType": "none",
        "logger.hideWelcomeMessage": "true",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    os.execv(sys.executable, [sys.executable, "-m", "ui.serve", "run", str(places.APP), *flags])


if __name__ == "__main__":
    raise SystemExit(main())
