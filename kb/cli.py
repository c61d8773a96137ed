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

from kb import places
from kb.shown import count, finite, gain, number, published, table

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kb.graph import Step
    from kb.tables import Run


FORMATS = ("json", "csv", "bibtex", "graphml", "mermaid", "jsonld", "html")  # those of kb.exports


class Wrong(Exception):
    """What was asked for can't be done; the message is for the person who asked."""


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
    one = verb(run, "run", "Run an implementation, watch it, print its verdicts.", "kb run dropout --preset quick")
    one.add_argument(
        "name", help="an implementation (impl/NAME.py), the milestone that names it, or a run's id: to repeat it"
    )
    one.add_argument("--preset", default="quick", help="smoke, quick (the default), full or paper")
    one.add_argument("--seed", type=int, help="the first seed; the others follow it")
    one.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, xpu")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    one.add_argument("--detach", action="store_true", help="queue it, print its id and leave")
    one = verb(runs, "runs", "List the runs, the newest first.", "kb runs --implementation dropout")
    one.add_argument("--implementation")
    one.add_argument("--limit", type=int, default=20)
    one = verb(stop, "stop", "Cancel runs, and wait until they have ended.", "kb stop dropout-1f0c22ab")
    one.add_argument("run", nargs="+")
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


def database() -> "Engine":
    """The database, with the timeline in it as its file is now; with what was loaded before if the file has errors."""
    from kb import db

    engine = db.open_database()
    if db.is_stale(engine, places.TIMELINE):
        try:
            _load(engine, places.TIMELINE)
        except Wrong as wrong:
            if db.loaded(engine) is None:
                raise
            print(f"{wrong}; using what was loaded before", file=sys.stderr)
    return engine


def _load(engine: "Engine", file: Path) -> Any:
    from kb import db, loader

    timeline = loader.load(file)
    for problem in timeline.problems:
        print(problem, file=sys.stderr)
    if timeline.errors:
        raise Wrong(f"{file} has {count(len(timeline.errors), 'error')}; nothing was loaded")
    return db.load(engine, timeline.milestones, file.resolve())


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

    changes = _load(db.open_database(), args.file)
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


def run(args: argparse.Namespace) -> int:
    from kb import implementations
    from kb.runs import store

    engine = database()
    earlier = _earlier(engine, args.name)
    name = earlier.implementation if earlier else _implementation(engine, args.name)
    preset, device = (earlier.preset, earlier.device) if earlier else (args.preset, args.device)
    implementation = implementations.read(name)
    changes = dict(item.partition("=")[::2] for item in args.set)
    if args.seed is not None:
        changes["seed"] = str(args.seed)
    settings = implementations.parse_settings(implementation, preset, changes)
    if earlier:  # its settings, also where the preset has others by now
        now = implementation.presets[preset]
        settings = {
            key: value for key, value in earlier.settings.items() if key in now and now[key] != value
        } | settings
    run_id = store.submit(engine, name, preset, changes=settings, device=device)
    if args.detach:
        print(json.dumps({"id": run_id}) if args.json else run_id)
        return 0
    try:
        last = _follow(engine, run_id)
    except KeyboardInterrupt:
        print(f"\n{run_id} goes on; `kb stop {run_id}` ends it", file=sys.stderr)
        return 130
    if args.json:
        print(json.dumps(finite(store.describe(engine, run_id)), ensure_ascii=False, indent=2))
    else:
        _print_verdicts(store.describe(engine, run_id))
        if last.traceback:
            print(last.traceback, file=sys.stderr)
        print(f"{run_id} {last.status}{f': {last.reason}' if last.reason else ''}", file=sys.stderr)
        if earlier:
            _print_differences(engine, earlier.id, run_id)
    return 0 if last.status == "succeeded" else 1


def _earlier(engine: "Engine", name: str) -> "Run | None":
    from kb.runs import store

    try:
        return store.get(engine, name)
    except store.UnknownRun:
        return None


def _print_differences(engine: "Engine", before: str, after: str) -> None:
    """What wasn't the same in a run that was to repeat another, in how it was made and in what came out."""
    from kb.runs.compare import compare

    found = compare(engine, [before, after])
    for name, (old, new) in found.differing.items():
        print(f"not as before: {name} was {old}, is {new}", file=sys.stderr)
    old_rows, new_rows = ([row for row in found.rows(engine) if row.pop("run") == id] for id in (before, after))
    differ = sum(one != other for one, other in zip(old_rows, new_rows, strict=False)) + abs(
        len(old_rows) - len(new_rows)
    )
    print(f"{count(len(new_rows), 'row')}, {differ or 'none'} other than before", file=sys.stderr)


def _implementation(engine: "Engine", name: str) -> str:
    """The implementation called `name`, or the one of the milestone with that id."""
    from kb import db, implementations, loader

    known = implementations.names()
    if name in known:
        return name
    row = db.milestone(engine, name)
    if row and row.implementation:
        return row.implementation
    raise Wrong(f"no implementation is called {name!r}{loader.suggestion(name, known)}; there are {', '.join(known)}")


def _follow(engine: "Engine", run_id: str) -> "Run":
    """Shows the progress on a terminal's error output until the run has ended."""
    from kb.runs import store

    live = sys.stderr.isatty()
    shown = ""
    for now in store.watch(engine, run_id):
        line = f"{run_id} {now.status}"
        if now.total:
            line += f" {now.done / now.total:4.0%}  {now.note}"
        if line != shown and live:
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        shown = line
    if live:
        print(file=sys.stderr)
    return now


def _print_verdicts(described: dict[str, Any]) -> None:
    head = ("claim", "verdict", "measured", "baseline", "gain, 95% interval", "published", "unit")
    body = [
        (v["claim"], v["verdict"], number(v["measured"]), number(v["baseline"]), gain(v), published(v["published"]), v["unit"])
        for v in described["verdicts"]
    ]  # fmt: skip
    if body:
        print(table(head, body))


def runs(args: argparse.Namespace) -> None:
    from datetime import datetime

    from kb.runs import store

    found = store.latest(database(), implementation=args.implementation, limit=args.limit)
    if args.json:
        print(json.dumps([run.model_dump(mode="json") for run in found], indent=2))
        return
    body = [
        (
            run.id,
            run.status,
            run.preset,
            (run.environment or {}).get("device", run.device),
            f"{datetime.fromtimestamp(run.submitted):%Y-%m-%d %H:%M}",
            f"{(run.usage or {}).get('wall_seconds', 0):.0f} s",
            run.reason or "",
        )
        for run in found
    ]
    print(table(("run", "status", "preset", "device", "submitted", "time", ""), body) if body else "no runs yet")


def stop(args: argparse.Namespace) -> None:
    from kb.runs import store

    engine = database()
    for run_id in args.run:
        store.cancel(engine, run_id)
    ended = [list(store.watch(engine, run_id))[-1] for run_id in args.run]
    if args.json:
        print(json.dumps([{"id": run.id, "status": run.status} for run in ended]))
    else:
        for run in ended:
            print(f"{run.id} {run.status}")


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
    names = [_implementation(engine, name) for name in args.name] or implementations.names()
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
        print(f"timeline: {_load(engine, places.TIMELINE)}")
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
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(places.APP), *flags])


if __name__ == "__main__":
    raise SystemExit(main())
