"""Verbs about claims and their results: claims, record."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from kb import paths
from kb.cli import shell
from kb.formatting import (
    format_gain,
    format_number,
    format_published,
    format_table,
    replace_non_finite,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from kb.tables import ClaimRow

COLUMNS = (
    "milestone",
    "claim",
    "verdict",
    "measured",
    "baseline",
    "gain, 95% interval",
    "published",
    "preset",
    "time",
    "device",
)


@dataclass(frozen=True)
class Result:
    """A claim with its verdict, if it has one, and the circumstances of its measurement."""

    claim: "ClaimRow"
    verdict: dict[str, Any] | None
    environment: dict[str, Any]
    usage: dict[str, Any]
    preset: str


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        list_claims,
        "claims",
        "List every claim: published, measured, verdict, time, device.",
        "kb claims",
    )
    verb.add_argument(
        "--record",
        action="store_true",
        help="the results recorded in the repository instead of those of this machine's runs",
    )
    _add_record(add_verb)
    _add_verify(add_verb)


def _add_record(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        record_results,
        "record",
        "Measure claims again and record the results in results/ and RESULTS.md.",
        "kb record dropout lenet5",
    )
    verb.add_argument("name", nargs="*", help="implementations, or ids of milestones (all)")
    verb.add_argument("--preset", default="quick", help="quick (the default), full or paper")
    verb.add_argument(
        "--seed",
        type=int,
        nargs="+",
        default=[0],
        help="the first seed of each block to measure (0); with 0 1000 2000, as `make claims` "
        "does, the record tells whether verdicts are stable",
    )
    verb.add_argument(
        "--broken",
        action="store_true",
        help="measure what each claim gives with its idea taken out, instead of the claims",
    )
    verb.add_argument(
        "--missing",
        action="store_true",
        help="measure only what the record lacks, or has of another source",
    )
    verb.add_argument(
        "--flops",
        action="store_true",
        help="count the floating-point operations of the blocks that are recorded, instead of "
        "measuring the claims: one trial of each arm",
    )


def _add_verify(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        verify_record,
        "verify",
        "Measure a block of the record again and compare it with its certificate.",
        "kb verify dropout",
    )
    verb.add_argument("name", help="an implementation, or the id of its milestone")
    verb.add_argument("--preset", default="quick", help="quick (the default), full or paper")
    verb.add_argument("--seed", type=int, default=0, help="the first seed of the block (0)")


def list_claims(args: argparse.Namespace) -> None:
    results = list(_results(shell.database(), recorded=args.record))
    if args.json:
        shell.print_json(replace_non_finite([_as_json(result) for result in results]))
    else:
        print(format_table(COLUMNS, [_cells(result) for result in results]))


def _results(engine: "Engine", *, recorded: bool) -> Iterator[Result]:
    """Every claim's result: from the repository's record, or from the newest runs here."""
    from kb import db, results
    from kb.runs import store

    claims = db.claims(engine)
    if recorded:
        for claim, verdict, block, *_ in results.recorded_verdicts(claims):
            yield Result(claim, verdict, block["environment"], block["usage"], "quick")
        return
    for newest in store.newest_verdicts(engine, claims):
        run = newest.run
        if run and newest.verdict:
            verdict = newest.verdict.model_dump(mode="json")
            yield Result(newest.claim, verdict, run.environment or {}, run.usage or {}, run.preset)
        else:
            yield Result(newest.claim, None, {}, {}, "-")


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "milestone": result.claim.milestone,
        "claim": result.claim.id,
        "says": result.claim.says,
        "where": result.claim.where,
        "published": result.claim.published,
        "verdict": result.verdict,
        "preset": result.preset,
        "wall_seconds": result.usage.get("wall_seconds"),
        "device": result.environment.get("device_name"),
    }


def _cells(result: Result) -> tuple[str, ...]:
    """The result as a line of the table, in the order of COLUMNS."""
    verdict = result.verdict
    if verdict is None:
        measured, seconds = ("-", "-", "-", "-"), "-"
    else:
        measured = (
            verdict["verdict"],
            format_number(verdict["measured"]),
            format_number(verdict["baseline"]),
            format_gain(verdict),
        )
        seconds = f"{result.usage.get('wall_seconds', 0):.0f} s"
    return (
        result.claim.milestone,
        result.claim.id,
        *measured,
        format_published(result.claim.published),
        result.preset,
        seconds,
        result.environment.get("device", "-"),
    )


def record_results(args: argparse.Namespace) -> int:
    from kb import implementations, results, results_page

    engine = shell.database()
    if args.preset not in implementations.PRESETS[1:]:
        allowed = ", ".join(implementations.PRESETS[1:])
        raise shell.CommandError(f"results are recorded with {allowed}, not {args.preset}")
    names = [shell.find_implementation(engine, name) for name in args.name]
    names = names or implementations.names()

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if args.flops:
        return _record_flops(engine, names, args, report)
    measure = _record_broken if args.broken else _record_blocks
    measured: dict[str, Any] = {}
    complete = True
    for name in names:  # what one has given is recorded before the next begins
        measured[name], whole = measure(engine, name, args, report)
        complete &= whole
        if paths.IS_CHECKOUT and args.preset == "quick":
            results_page.write_page(engine)
    if args.json:
        shell.print_json(replace_non_finite(measured))
    else:
        print(results.record_file(args.preset))
    return 0 if complete else 1


def _record_blocks(
    engine: "Engine", name: str, args: argparse.Namespace, report: Callable[[str], None]
) -> tuple[list[dict[str, Any]], bool]:
    """The blocks that were added, and whether all that were asked for are there."""
    from kb import results

    seeds = results.missing_seeds(name, args.preset, args.seed) if args.missing else args.seed
    blocks = results.measure_blocks(engine, name, args.preset, seeds, report)
    results.write_record({name: blocks}, {}, args.preset)
    return blocks, len(blocks) == len(seeds)


def _record_broken(
    engine: "Engine", name: str, args: argparse.Namespace, report: Callable[[str], None]
) -> tuple[dict[str, dict[str, Any]], bool]:
    """The verdicts with the idea taken out, and whether every claim falls."""
    from kb import implementations, results

    claims: Sequence[str] = [*implementations.read(name).broken]
    if args.missing:
        claims = results.missing_broken(name, args.preset)
    broken = results.measure_broken(engine, name, args.preset, claims, report)
    results.write_record({}, {name: broken}, args.preset)
    surviving = [c for c, verdict in broken.items() if verdict["verdict"] in results.SUPPORTING]
    for claim in surviving:
        report(f"{name}: {claim} stands without its idea, so its verdict proves nothing")
    return broken, not surviving and len(broken) == len(claims)


def _record_flops(
    engine: "Engine", names: list[str], args: argparse.Namespace, report: Callable[[str], None]
) -> int:
    from kb import results

    counted = results.count_flops(engine, names, args.preset, report)
    file = results.write_counts(counted, args.preset)
    if args.json:
        shell.print_json({name: run.usage for name, run in counted.items()})
    else:
        print(file)
    return 0 if len(counted) == len(names) else 1


def verify_record(args: argparse.Namespace) -> int:
    from kb import results
    from kb.certificates import certificate, compare_blocks

    engine = shell.database()
    name = shell.find_implementation(engine, args.name)
    entry = results.read_record(args.preset).get(name, {"blocks": []})
    recorded = next((block for block in entry["blocks"] if block["seed"] == args.seed), None)
    if recorded is None:
        seeds = ", ".join(str(block["seed"]) for block in entry["blocks"]) or "none"
        raise shell.CommandError(
            f"the record of {name} has no block with the first seed {args.seed}; it has {seeds}"
        )
    if "certificate" not in recorded:
        raise shell.CommandError(f"that block has no certificate; `kb record {name}` gives it one")
    intact = recorded["certificate"] == certificate(recorded)
    repeated = results.repeat_block(engine, name, args.preset, recorded)
    comparison = compare_blocks(recorded, repeated)
    if args.json:
        shell.print_json(replace_non_finite(asdict(comparison) | {"intact": intact}))
    else:
        print(f"{name}, seed {args.seed}: {comparison.outcome}")
        lines = [*comparison.verdicts, *(f"differs: {change}" for change in comparison.changed)]
        lines += [] if intact else ["the record does not match its own certificate"]
        print("".join(f"  {line}\n" for line in lines), end="")
    return 0 if intact and comparison.outcome != "differs" else 1
