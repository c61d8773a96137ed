"""The record of what was measured: `results/PRESET.json`, written by `kb record`.

For each implementation the record has *blocks*: one run with a number of seeds on one machine, with
the verdict of each claim, the hash of the source, the settings, the data, the machine and the
resources used. Several blocks, of other seeds or other machines, tell whether a verdict is stable.
Beside them are the verdicts with the idea of a claim taken out on purpose.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine

from kb import implementations, paths
from kb.certificates import certificate, rows_digest
from kb.formatting import replace_non_finite
from kb.runs import description, polling, store, submission
from kb.runs.submission import RunRequest
from kb.tables import ClaimRow, Run, RunRow, RunVerdict

STABLE_BLOCKS = 3  # that must agree; `make claims` measures the seeds from 0, 1000 and 2000 on
SUPPORTING = ("reproduced", "holds")  # outcomes that a claim must lose without its idea
# What a run that only counts adds to the usage of the blocks that it counts for.
COUNTS = (
    *("flops", "bytes_moved", "flops_counted_trials", "flops_trials", "flops_format"),
    *("dense_flops_per_second", "memory_before_bytes"),
)

Block = dict[str, Any]


class RecordedVerdict(NamedTuple):
    claim: ClaimRow
    verdict: dict[str, Any]  # of the first block
    block: Block
    outcomes: tuple[str, ...] = ()  # of all blocks, the first one's first
    broken: dict[str, Any] | None = None  # the verdict with the claim's idea taken out

    @property
    def is_fragile(self) -> bool:
        """Whether other seeds or another machine gave another verdict."""
        return len(set(self.outcomes)) > 1

    @property
    def is_stable(self) -> bool:
        return len(self.outcomes) >= STABLE_BLOCKS and not self.is_fragile


def measure_blocks(
    engine: Engine, name: str, preset: str, seeds: Sequence[int], report: Callable[[str], None]
) -> list[Block]:
    """Runs an implementation once for each first seed, one run after the other.

    `report` gets a line of text when a run has ended. A run that failed gives no block.
    """
    blocks = []
    for run in _finished_runs(engine, [RunRequest(name, preset, {"seed": seed}) for seed in seeds]):
        block = _block(engine, run)
        outcomes = [verdict["verdict"] for verdict in block["verdicts"]]
        summary = ", ".join(outcomes) or run.reason or run.status
        data = f" on {', '.join(block['data'])}" if block["data"] else ""
        report(f"{name}, seed {block['seed']}{data}: {summary}")
        if run.status == "succeeded":
            blocks.append(block)
    return blocks


def measure_broken(
    engine: Engine, name: str, preset: str, claims: Sequence[str], report: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """The verdict of each of these claims with its idea taken out.

    Claims whose ideas are taken out by the same code share a run.
    """
    verdicts: dict[str, dict[str, Any]] = {}
    groups = _taken_out_alike(name, claims)
    requests = [RunRequest(name, preset, options={"broken": alike[0]}) for alike in groups]
    for run, alike in zip(_finished_runs(engine, requests), groups, strict=True):
        found = {verdict["claim"]: verdict for verdict in _verdicts(engine, run)}
        measured = {"source_hash": run.source_hash, "data": _data(store.rows(engine, run.id))}
        for claim in alike:
            if claim in found:
                verdicts[claim] = found[claim] | measured
            outcome = found[claim]["verdict"] if claim in found else run.reason or run.status
            report(f"{name}, without the idea of {claim}: {outcome}")
    return verdicts


def _taken_out_alike(name: str, claims: Sequence[str]) -> list[list[str]]:
    """The claims in groups, each of those whose ideas are taken out by the same code."""
    groups: dict[str, list[str]] = {}
    for claim, way in implementations.read(name).broken.items():
        if claim in claims:
            groups.setdefault(way, []).append(claim)
    return list(groups.values())


def count_flops(
    engine: Engine, names: Sequence[str], preset: str, report: Callable[[str], None]
) -> dict[str, Run]:
    """Counts the floating-point operations of each implementation's run: a run that executes the
    trials that are counted, and no others. One that failed, or counted nothing, is left out."""
    requests = [RunRequest(name, preset, options={"flops": "only"}) for name in names]
    runs = {}
    for run in _finished_runs(engine, requests):
        usage = run.usage or {}
        if "flops" in usage:
            runs[run.implementation] = run
            counted = f"{usage['flops_counted_trials']} of {usage['flops_trials']} trials"
            report(f"{run.implementation}: {usage['flops']:.3g} FLOPs, counted on {counted}")
        else:
            report(f"{run.implementation}: {run.reason or run.status}, nothing counted")
    return runs


def repeat_block(engine: Engine, name: str, preset: str, block: Block) -> Block:
    """Runs a recorded block again on this machine. Raises RuntimeError if the run fails."""
    known = {setting.name for setting in implementations.read(name).settings}
    changes = {key: value for key, value in block["settings"].items() if key in known}
    run = next(_finished_runs(engine, [RunRequest(name, preset, changes)]))
    if run.status != "succeeded":
        raise RuntimeError(f"{run.id} {run.status}: {run.reason}")
    return _block(engine, run)


def _finished_runs(engine: Engine, requests: Sequence[RunRequest]) -> Iterator[Run]:
    for run_id in submission.submit_all(engine, requests):
        yield list(polling.watch(engine, run_id))[-1]


def _block(engine: Engine, run: Run) -> Block:
    stored = store.rows(engine, run.id)
    block = {
        "measured": time.strftime("%Y-%m-%d", time.gmtime(run.finished)),
        "seed": run.settings["seed"],
        "source_hash": run.source_hash,
        "settings": run.settings,
        "data": _data(stored),
        "environment": run.environment,
        "usage": run.usage,
        "verdicts": _verdicts(engine, run),
        "rows_sha256": rows_digest([row.values for row in stored]),
    }
    finite: Block = replace_non_finite(block)
    return finite | {"certificate": certificate(finite)}


def _data(rows: Sequence[RunRow]) -> list[str]:
    """The names of the data that the rows say they come from."""
    return sorted({str(row.values["data"]) for row in rows if "data" in row.values})


def _verdicts(engine: Engine, run: Run) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in verdict.items() if key != "published"}
        for verdict in description.describe(engine, run.id)["verdicts"]
    ]


def record_file(preset: str = "quick", folder: Path | None = None) -> Path:
    return (folder or paths.SHARE / "results") / f"{preset}.json"


def read_record(preset: str = "quick", folder: Path | None = None) -> dict[str, Any]:
    """The entry of each implementation by its name; empty if there is no record."""
    return read_file(record_file(preset, folder))


def read_file(file: Path) -> dict[str, Any]:
    """A record by its names; empty if there is no such file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def write_record(
    blocks: dict[str, list[Block]],
    broken: dict[str, dict[str, dict[str, Any]]],
    preset: str,
    folder: Path | None = None,
) -> Path:
    """Adds these measurements to the record, and removes those of deleted implementations.

    A block replaces the one of the same seed and machine. All that another source gave goes: it
    says nothing about this one. Nor do verdicts without an idea on other data than the blocks'.
    """
    file = record_file(preset, folder)
    record = read_record(preset, folder)
    for name in blocks.keys() | broken.keys():
        entry = record.setdefault(name, {"blocks": [], "broken": {}})
        _add_to_entry(entry, blocks.get(name, []), broken.get(name, {}))
    known = implementations.names()
    return write_file({name: entry for name, entry in record.items() if name in known}, file)


def write_counts(counted: dict[str, Run], preset: str, folder: Path | None = None) -> Path:
    """Adds what these runs have counted to the blocks that were measured with the same source and
    settings. A seed changes no size, so the count is that of all seeds."""
    record = read_record(preset, folder)
    for name, run in counted.items():
        for block in record.get(name, {"blocks": []})["blocks"]:
            same_settings = block["settings"] == run.settings | {"seed": block["seed"]}
            if block["source_hash"] == run.source_hash and same_settings:
                block["usage"] |= _counts_for(block, run)
    return write_file(record, record_file(preset, folder))


def _counts_for(block: Block, run: Run) -> dict[str, Any]:
    """The rate of a machine says nothing about a block of another."""
    machine = (run.environment or {}).get("device_name")
    is_here = block["environment"]["device_name"] == machine
    usage = run.usage or {}
    fields = COUNTS if is_here else [key for key in COUNTS if key != "dense_flops_per_second"]
    return {key: usage[key] for key in fields}


def write_file(record: dict[str, Any], file: Path) -> Path:
    """Writes a record whole or not at all."""
    text = json.dumps(replace_non_finite(record), indent=1, sort_keys=True, ensure_ascii=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    paths.replace_text(file, text + "\n")
    return file


def _add_to_entry(
    entry: dict[str, Any], blocks: Sequence[Block], broken: Mapping[str, dict[str, Any]]
) -> None:
    added = [*blocks, *broken.values()]
    if not added:
        return
    source = added[-1]["source_hash"]
    merged = {
        (block["seed"], block["environment"]["device_name"]): block
        for block in [*entry["blocks"], *blocks]
        if block["source_hash"] == source
    }
    entry["blocks"] = sorted(merged.values(), key=lambda one: (one["seed"], one["measured"]))
    data = entry["blocks"][0].get("data") if entry["blocks"] else None
    entry["broken"] = {
        claim: verdict
        for claim, verdict in (entry["broken"] | broken).items()
        if verdict["source_hash"] == source and data in (None, verdict.get("data", data))
    }


def missing_seeds(name: str, preset: str, seeds: Sequence[int]) -> list[int]:
    """Those of which the record has no block of the present source."""
    source = implementations.read(name).source_hash
    blocks = read_record(preset).get(name, {"blocks": []})["blocks"]
    known = {block["seed"] for block in blocks if block["source_hash"] == source}
    return [seed for seed in seeds if seed not in known]


def missing_broken(name: str, preset: str) -> list[str]:
    """The claims without a verdict of the present source with their idea taken out."""
    implementation = implementations.read(name)
    known = read_record(preset).get(name, {"broken": {}})["broken"]
    sources = {claim: verdict["source_hash"] for claim, verdict in known.items()}
    return [c for c in implementation.broken if sources.get(c) != implementation.source_hash]


def recorded_verdicts(
    claims: Sequence[ClaimRow], preset: str = "quick"
) -> Iterator[RecordedVerdict]:
    """The verdict of each claim that is in the record, in the order of the claims."""
    record = read_record(preset)
    for claim in claims:
        entry = record.get(claim.implementation, {"blocks": [], "broken": {}})
        found = [
            (verdict, block)
            for block in entry["blocks"]
            for verdict in block["verdicts"]
            if verdict["claim"] == claim.id
        ]
        if found:
            outcomes = tuple(verdict["verdict"] for verdict, _ in found)
            yield RecordedVerdict(claim, *found[0], outcomes, entry["broken"].get(claim.id))


def count_falls(verdicts: Sequence[RecordedVerdict]) -> str:
    """Of the claims that stand, how many fall without their idea, in a sentence."""
    tried = [v for v in verdicts if v.broken and v.verdict["verdict"] in SUPPORTING]
    if not tried:
        return "None was measured with its idea taken out."
    falls = sum(v.broken is not None and v.broken["verdict"] not in SUPPORTING for v in tried)
    standing = sum(v.verdict["verdict"] in SUPPORTING for v in verdicts)
    return (
        f"Of the {standing} that are reproduced or hold, {len(tried)} were measured with their "
        f"idea taken out: {falls} fall."
    )


def to_run_verdict(verdict: dict[str, Any]) -> RunVerdict:
    """A verdict of the record as a row, like the verdicts of this machine's runs."""
    low, high = verdict["interval"] or (None, None)
    columns = {
        key: value
        for key, value in verdict.items()
        if key not in ("interval", "source_hash", "data")
    }
    return RunVerdict(run="", number=0, low=low, high=high, **columns)
