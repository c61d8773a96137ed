"""The verb sweep: what a sweep has shown so far, as a table or as JSON."""

import argparse
from typing import TYPE_CHECKING, Any

from kb.cli import shell
from kb.formatting import format_gain, format_number, format_table, replace_non_finite

if TYPE_CHECKING:
    from kb.runs.sweeps import Point, Sweep

HEAD = ("verdict", "measured", "baseline", "gain, 95% interval", "status", "run")


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        show_sweep,
        "sweep",
        "Print what a sweep has shown so far: one claim by the values of its settings.",
        "kb sweep batch-1f0c22ab",
    )
    verb.add_argument("batch", help="as `kb run --sweep` has printed it")
    verb.add_argument("--claim", help="the claim (the first comparison that was measured)")


def show_sweep(args: argparse.Namespace) -> None:
    from kb.runs import sweeps

    engine = shell.database()
    try:
        sweep = sweeps.read(engine, args.batch)
    except sweeps.NotASweep as error:
        raise shell.CommandError(
            f"{args.batch} is no sweep: {error}; `kb runs --batch {args.batch}` lists its runs"
        ) from None
    claims = sweep.claims()
    if args.claim and claims and args.claim not in claims:
        raise shell.CommandError(f"no verdict on {args.claim!r}; there are {', '.join(claims)}")
    print_sweep(sweep, args.claim, as_json=args.json)


def print_sweep(sweep: "Sweep", claim: str | None, *, as_json: bool) -> None:
    """One claim, by default the first, as a table; all claims as JSON."""
    if as_json:
        shell.print_json(replace_non_finite(_describe(sweep)))
        return
    claims = sweep.claims()
    claim = claim or next(iter(claims), "")
    print(f"claim: {claim}" if claim else "no run has given a verdict yet")
    print(format_table((*sweep.axes, *HEAD), [_cells(point, claim) for point in sweep.points]))
    if others := [other for other in claims if other != claim]:
        print(f"--claim shows the others: {', '.join(others)}")


def _describe(sweep: "Sweep") -> dict[str, Any]:
    from kb.runs.description import describe_verdict

    first = sweep.runs[0]
    return {
        "batch": sweep.batch,
        "implementation": first.implementation,
        "preset": first.preset,
        "axes": sweep.axes,
        "runs": [
            {
                "id": point.run.id,
                "status": point.run.status,
                "settings": dict(zip(sweep.axes, point.values, strict=True)),
                "verdicts": list(map(describe_verdict, point.verdicts.values())),
            }
            for point in sweep.points
        ],
    }


def _cells(point: "Point", claim: str) -> tuple[str, ...]:
    """The run as a line of the table, in the order of the settings and HEAD."""
    values = [f"{value:g}" if isinstance(value, float) else str(value) for value in point.values]
    verdict = point.verdicts.get(claim)
    if verdict is None:
        return (*values, "-", "-", "-", "-", point.run.status, point.run.id)
    return (
        *values,
        verdict.verdict,
        format_number(verdict.measured),
        format_number(verdict.baseline),
        format_gain(verdict.model_dump()),
        point.run.status,
        point.run.id,
    )
