"""What the time machine computes: a run, what was recorded of an implementation, a model, a number.

How much of a machine's peak rate an experiment uses was measured here: the operations that were
counted, over the seconds they took times the rate of a product of two matrices on that machine.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from kb import db, implementations, results, suggestions
from kb.formatting import format_number
from kb.runs import store
from kb.tables import MilestoneRow, Run
from kb.time_machine import (
    BUDGET,
    HOUR,
    Answer,
    Projection,
    answer,
    byte_size,
    duration,
    machines,
    number,
    percent,
)

MAX_FLOPS = 1e40
NOT_COUNTED = (
    "its operations weren't counted: it was run by an earlier version, in several processes, with "
    "torch.compile, or did nothing that is counted"
)


@dataclass(frozen=True)
class Experiment:
    """A number of operations, and what is known of them."""

    name: str
    flops: float
    utilisation: float
    origin: str  # where the number of operations comes from, in a sentence
    utilisation_origin: str
    format: str = "fp32"
    memory: float | None = None  # bytes that it needs
    bytes_moved: float | None = None
    here: str = ""  # how long it took here, in a sentence
    milestone: str | None = None

    def answer(self, rows: "list[MilestoneRow]") -> Answer:
        """This experiment on the machines among these milestones."""
        return answer(
            machines(rows), self.flops, self.utilisation, format=self.format, memory=self.memory
        )


def find(engine: Engine, text: str) -> Experiment:
    """The experiment that `text` names: a number of operations such as 1e18; the id of a run; an
    implementation or its milestone; a model whose training compute is on the timeline.

    Raises LookupError, with the remedy, for anything else.
    """
    text = text.strip()
    if (flops := parse_flops(text)) is not None:
        return of_number(flops)
    try:
        return of_run(engine, store.get(engine, text))
    except store.UnknownRun:
        pass
    row = db.milestone(engine, text)
    name = row.implementation if row else text
    if name and name in implementations.names():
        return of_implementation(engine, name)
    if row and "training_compute" in row.entry.get("spec", {}):
        return of_model(row)
    known = [*implementations.names(), *(model.id for model in models(db.milestones(engine)))]
    raise LookupError(
        f"{text[:60]!r} has no number of operations{suggestions.did_you_mean(text, known)}; give a "
        "number such as 1e18, a run's id, a paper that runs, or a model with `training_compute`"
    )


def parse_flops(text: str) -> float | None:
    """None if the text is no number. Raises LookupError for one that is out of range."""
    try:
        flops = float(text.replace(",", "").replace(" ", ""))
    except ValueError:
        return None
    if not 1 <= flops <= MAX_FLOPS:
        raise LookupError(f"{text[:60]} is no number of operations: give 1 to {number(MAX_FLOPS)}")
    return flops


def of_number(flops: float) -> Experiment:
    utilisation, origin = typical_utilisation()
    return Experiment(
        f"{number(flops)} FLOPs", flops, utilisation, "The number that was given.", origin
    )


def models(rows: "list[MilestoneRow]") -> "list[MilestoneRow]":
    """The milestones with the compute that they were trained with, by date."""
    return [row for row in rows if "training_compute" in row.entry.get("spec", {})]


def of_model(row: MilestoneRow) -> Experiment:
    figure = row.entry["spec"]["training_compute"]
    note = f" ({figure['note']})" if figure.get("note") else ""
    utilisation, origin = typical_utilisation()
    return Experiment(
        f"Training {row.short}",
        float(figure["value"]),
        utilisation,
        f"From the timeline: {figure['where']}{note}.",
        origin,
        milestone=row.id,
    )


def counted(engine: Engine) -> list[str]:
    """The implementations of which a counted run is known: recorded, or made here."""
    blocks = {name: entry["blocks"] for name, entry in results.read_record().items()}
    recorded = {n for n in blocks if any(block["usage"].get("flops") for block in blocks[n])}
    here = {run.implementation for run in store.latest(engine) if _is_counted(run)}
    return sorted(recorded | here)


def _is_counted(run: Run) -> bool:
    """Whether it was counted, and did more than that."""
    is_whole = run.status == "succeeded" and run.options.get("flops") != "only"
    return is_whole and bool((run.usage or {}).get("flops"))


def of_run(engine: Engine, run: Run) -> Experiment:
    """Raises LookupError if the run's operations weren't counted."""
    usage, environment = run.usage or {}, run.environment or {}
    if not usage.get("flops"):
        raise LookupError(f"{run.id}: {NOT_COUNTED}")
    return _of_usage(engine, f"{run.preset} run", run.implementation, usage, environment)


def of_implementation(engine: Engine, name: str) -> Experiment:
    """What is recorded of it; else its newest run here that was counted. Raises LookupError."""
    for block in results.read_record().get(name, {"blocks": []})["blocks"]:
        if block["usage"].get("flops"):
            kind = "quick run, as recorded"
            return _of_usage(engine, kind, name, block["usage"], block["environment"])
    for run in store.latest(engine, implementation=name):
        if _is_counted(run):
            return of_run(engine, run)
    raise LookupError(f"no counted run of {name} is known; `kb run {name}` makes one")


def _of_usage(
    engine: Engine,
    kind: str,
    implementation: str,
    usage: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> Experiment:
    rows = [row for row in db.milestones(engine) if row.implementation == implementation]
    name = rows[0].short if rows else implementation
    own = utilisation(usage, environment)
    share, origin = (own, _measured(usage, environment, own)) if own else typical_utilisation()
    counted, trials = usage["flops_counted_trials"], usage["flops_trials"]
    others = "" if counted == trials else "; the others of an arm are taken as equal"
    return Experiment(
        f"{name}, {kind}",
        float(usage["flops"]),
        share,
        f"Counted on {counted} of {trials} trials{others}.",
        origin,
        format=usage.get("flops_format", "fp32"),
        memory=needed_memory(usage),
        bytes_moved=usage.get("bytes_moved"),
        here=f"Here it took {_time_here(usage, environment)}." if _is_whole(usage) else "",
        milestone=rows[0].id if rows else None,
    )


def needed_memory(usage: Mapping[str, Any]) -> float | None:
    """What a run needed at most: of its GPU, or beyond what Python and torch take by themselves."""
    if usage.get("peak_device_memory_bytes"):
        return float(usage["peak_device_memory_bytes"])
    before = usage.get("memory_before_bytes")
    if before is None or usage["peak_memory_bytes"] <= before:
        return None
    return float(usage["peak_memory_bytes"] - before)


def utilisation(usage: Mapping[str, Any], environment: Mapping[str, Any]) -> float | None:
    """The part of the rate of a matrix product that a run has reached; None if not measured."""
    rate, seconds = usage.get("dense_flops_per_second"), _busy_seconds(usage, environment)
    if not (rate and seconds and usage.get("flops") and _is_whole(usage)):
        return None
    return min(1.0, float(usage["flops"] / (seconds * rate)))


def _is_whole(usage: Mapping[str, Any]) -> bool:
    """Whether the time is that of all trials: not of a run that went on after an interruption, or
    that only counted."""
    return bool(usage.get("flops_executed_trials", usage["flops_trials"]) == usage["flops_trials"])


def _busy_seconds(usage: Mapping[str, Any], environment: Mapping[str, Any]) -> float:
    """On a processor the CPU seconds, since the rate is that of one core; else the time."""
    on_cpu = str(environment.get("device", "cpu")).startswith("cpu")
    return float(usage.get("cpu_seconds" if on_cpu else "wall_seconds", 0.0))


def _time_here(usage: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    took = duration(usage["wall_seconds"])
    on_cpu = str(environment.get("device", "cpu")).startswith("cpu")
    device = environment.get("device_name", "this machine")
    cores = f" ({duration(usage['cpu_seconds'])} of one core)" if on_cpu else ""
    return f"{took} on {device}{cores}"


def _measured(usage: Mapping[str, Any], environment: Mapping[str, Any], own: float) -> str:
    seconds, rate = _busy_seconds(usage, environment), usage["dense_flops_per_second"]
    on_cpu = str(environment.get("device", "cpu")).startswith("cpu")
    device = environment.get("device_name", "this machine")
    unit = "of one core" if on_cpu else "of the device"
    return (
        f"Measured: {number(usage['flops'])} FLOPs / ({format_number(seconds)} s {unit} × "
        f"{number(rate)} FLOP/s) = {percent(own)}, where the rate is that of a product of two "
        f"matrices on {device}."
    )


def typical_utilisation() -> tuple[float, str]:
    """The median of the recorded runs, and a sentence that says so."""
    found = [
        share
        for entry in results.read_record().values()
        for block in entry["blocks"][:1]
        if (share := utilisation(block["usage"], block["environment"]))
    ]
    if not found:
        return 1.0, "Not measured here: the machine's peak rate itself."
    median = statistics.median(found)
    return median, (
        f"The median of {len(found)} recorded runs, {percent(min(found))} to "
        f"{percent(max(found))}: small nets use little of a processor, and work that isn't counted "
        "takes time, too."
    )


def possible(found: Answer) -> tuple[str, str]:
    """In which year it became possible in an hour, and in an hour for a thousand dollars."""
    first, affordable = found.first_within(HOUR), found.first_within(HOUR, BUDGET)
    by_time, by_price = _too_slow(found), _too_expensive(found)
    if first:
        by_time = f"Possible in an hour since {_machine_and_time(first)}."
    if affordable:
        price = f"{affordable.machine.dollars:,.0f} dollars of the time"
        by_price = f"For a thousand dollars since {_machine_and_time(affordable)}, for {price}."
    return by_time, by_price


def _machine_and_time(projection: Projection) -> str:
    machine = projection.machine
    return f"{machine.date[:4]}, by one {machine.name} in {duration(projection.seconds)}"


def _too_slow(found: Answer) -> str:
    fastest = found.fastest()
    if fastest is None:
        return "Not possible on any machine of the timeline: none has the memory for it."
    many = math.ceil(fastest.seconds / HOUR)
    return (
        f"Not possible in an hour on any machine of the timeline: one {fastest.machine.name} takes "
        f"{duration(fastest.seconds)}. {many:,} of them side by side would do it, if nothing were "
        "lost in sharing the work."
    )


def _too_expensive(found: Answer) -> str:
    affordable = [
        each for each in found.projections if (each.machine.dollars or math.inf) <= BUDGET
    ]
    return (
        "For a thousand dollars not possible in an hour: of the machines with a price on the "
        f"timeline, {len(affordable)} cost no more, and none is fast enough."
    )


def needs(experiment: Experiment) -> str:
    """What the experiment needs besides operations, as far as it is known; may be empty."""
    parts = []
    if experiment.memory:
        parts.append(f"It needs {byte_size(experiment.memory)} of memory.")
    if experiment.bytes_moved:
        parts.append(
            f"Its counted operations move {byte_size(experiment.bytes_moved)} at least, if each "
            "operand is read once and each result written once."
        )
    return " ".join(parts)
