"""The verb time-machine: an experiment on every machine of the timeline."""

import argparse
import dataclasses
from typing import Any

from kb.cli import shell
from kb.formatting import format_table


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        print_projections,
        "time-machine",
        "Print how long an experiment takes on every machine of the timeline, and since when it "
        "is possible in an hour.",
        "kb time-machine dropout",
    )
    verb.add_argument(
        "experiment",
        help="a number of floating-point operations such as 3.1e12, the id of a run, a paper that "
        "runs, or a model of the timeline whose training compute is known, such as gpt-3",
    )
    verb.add_argument(
        "--utilisation",
        type=_part,
        help="the part of the peak rate that is reached, 0.3 or 30%% (as measured here)",
    )
    verb.add_argument("--format", help="the number format: fp32, bf16, fp16, tf32 or fp64 (fp32)")


def _part(text: str) -> float:
    try:
        value = float(text.rstrip("% ")) / (100 if text.rstrip().endswith("%") else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number; give 0.3 or 30%") from None
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text[:40]}: give a part of the peak, such as 0.3")
    return value


def print_projections(args: argparse.Namespace) -> None:
    from kb import db, experiments
    from kb.time_machine import FORMATS, percent

    engine = shell.database()
    experiment = experiments.find(engine, args.experiment)
    if args.format:
        if args.format not in FORMATS:
            raise shell.CommandError(f"{args.format!r} is no format; give {', '.join(FORMATS)}")
        experiment = dataclasses.replace(experiment, format=args.format)
    if args.utilisation:
        origin = f"As it was given: {percent(args.utilisation)}."
        experiment = dataclasses.replace(
            experiment, utilisation=args.utilisation, utilisation_origin=origin
        )
    found = experiment.answer(db.milestones(engine))
    if args.json:
        shell.print_json(_as_json(experiment, found))
    else:
        _print_table(experiment, found)


def _print_table(experiment: Any, found: Any) -> None:
    from kb import experiments
    from kb.time_machine import duration, energy, memory_in_words

    print(f"{experiment.name}\n{experiment.origin} {experiment.here}".rstrip())
    print(f"Utilisation: {experiment.utilisation_origin}")
    if needs := experiments.needs(experiment):
        print(needs)
    head = ("date", "machine", "time", "energy", "memory", "sum", "")
    body = [
        (
            each.machine.date,
            each.machine.name,
            duration(each.seconds),
            energy(each.joules),
            memory_in_words(each),
            each.sum,
            each.remark,
        )
        for each in found.projections
    ]
    print(f"\n{format_table(head, body)}\n")
    print("\n".join(experiments.possible(found)))
    if found.left_out:
        names = ", ".join(machine.name for machine in found.left_out)
        print(f"Without a dense rate in FLOP/s on the timeline: {names}.")


def _as_json(experiment: Any, found: Any) -> dict[str, Any]:
    from kb import experiments
    from kb.time_machine import BUDGET, HOUR

    first, affordable = found.first_within(HOUR), found.first_within(HOUR, BUDGET)
    return {
        "experiment": dataclasses.asdict(experiment),
        "machines": [dataclasses.asdict(each) for each in found.projections],
        "left_out": [machine.id for machine in found.left_out],
        "in_an_hour": first and first.machine.id,
        "in_an_hour_for_1000_dollars": affordable and affordable.machine.id,
        "says": list(experiments.possible(found)),
    }
