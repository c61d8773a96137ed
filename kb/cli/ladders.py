"""The verb about ladders: what each step of a line of ideas bought, with one budget of FLOPs."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from kb import ranges
from kb.cli import shell
from kb.formatting import format_number, format_table

if TYPE_CHECKING:
    from kb.ladders import Ladder

COLUMNS = (
    "rung",
    "milestone",
    "measured, 95% interval",
    "over the rung above",
    "parameters",
    "updates",
    "learning rates",
)


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        show_ladders,
        "ladders",
        "Show what each step bought: predecessor and successor on one task with one budget.",
        "kb ladders sequence",
    )
    verb.add_argument("name", nargs="*", help="depth, generative, optimizers, sequence (all)")
    verb.add_argument(
        "--record",
        action="store_true",
        help="measure them anew, minutes each, and write results/ladders.json",
    )
    verb.add_argument(
        "--seed",
        type=shell.bounded_int(0, ranges.MAX_SEED),
        help="the first seed, with --record (0)",
    )


def show_ladders(args: argparse.Namespace) -> None:
    from kb import ladders, suggestions

    known = ladders.names()
    for name in args.name:
        if name not in known:
            raise shell.CommandError(
                f"no ladder is called {name!r}{suggestions.did_you_mean(name, known)}; "
                f"there are {', '.join(known)}"
            )
    if args.record:
        for name in args.name or known:
            file = ladders.write_record({name: ladders.measure(name, seed=args.seed or 0)})
            print(f"{name}: {file}", file=sys.stderr, flush=True)
    elif args.seed is not None:
        raise shell.CommandError("--seed is for a new measurement; add --record")
    shown = [one for one in ladders.recorded() if not args.name or one.name in args.name]
    if args.json:
        shell.print_json([_as_json(one) for one in shown])
    elif not shown:
        print("No ladder is recorded; `kb ladders --record` measures them.")
    else:
        print("\n\n".join(_in_words(one) for one in shown))


def _as_json(ladder: "Ladder") -> dict[str, Any]:
    return {"name": ladder.name, "stale": ladder.is_stale, **ladder.entry}


def _in_words(ladder: "Ladder") -> str:
    entry = ladder.entry
    environment, budget = entry["environment"], entry["settings"]["budget"]
    lines = [f"{ladder.name}: {entry['title']}", entry["task"]]
    lines.append(f"Measured in {entry['unit']}, less is better; {budget:.3g} training FLOPs each.")
    for condition in entry["conditions"]:
        lines += ["", condition["name"]] if condition["name"] else [""]
        lines.append(format_table(COLUMNS, [_cells(rung) for rung in condition["rungs"]]))
    lines += ["", f"{entry['measured']}, {environment['device_name']}; again: {ladder.command}"]
    if ladder.is_stale:
        lines.append("The source has changed since: these figures are of an earlier version.")
    return "\n".join(lines)


def _cells(rung: dict[str, Any]) -> tuple[str, ...]:
    from kb.ladders import step_in_words

    interval = "" if rung["low"] is None else f" ({rung['low']:.3g} .. {rung['high']:.3g})"
    return (
        rung["name"],
        rung["milestone"],
        format_number(rung["mean"]) + interval,
        step_in_words(rung["gain"]) or "-",
        f"{rung['parameters']:,}",
        f"{rung['updates']:,}",
        ", ".join(f"{lr:g}" for lr in sorted(set(rung["lrs"]))),
    )
