"""Certificates of recorded measurements, and what a repetition says of them.

A certificate is the SHA-256 of a canonical JSON document: the source, the settings, the data sets,
the machine, the judged rows and the verdicts of a block of the record. Whoever measures the block
again gets either the same certificate, or the names of what differs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TAG = "executable-history/block/1"  # of the document's form, so that no other text has its hash
# What of a machine can change a figure. Its name or its memory can't.
ENVIRONMENT_KEYS = ("device", "device_name", "torch", "cuda", "driver", "python", "processes")


def canonical_json(value: Any) -> str:
    """The one text of a value: sorted keys, no spaces, the shortest digits of a float."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    return hashlib.sha256(f"{TAG}\n{canonical_json(value)}".encode()).hexdigest()


def rows_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Of the rows that are judged, in any order; of all where an implementation marks none."""
    every = list(rows)
    judged = [row for row in every if row.get("judged")]
    return digest(sorted(map(canonical_json, judged or every)))


def certificate(block: Mapping[str, Any]) -> str:
    """The certificate of a block of the record (kb.results)."""
    return digest(
        {
            **{key: block[key] for key in ("source_hash", "settings", "data", "rows_sha256")},
            "environment": _environment(block),
            "verdicts": block["verdicts"],
        }
    )


def _environment(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: block["environment"].get(key) for key in ENVIRONMENT_KEYS}


@dataclass(frozen=True)
class Comparison:
    """What a repetition says of a recorded block."""

    outcome: str  # same; same verdicts, other figures; differs
    changed: tuple[str, ...]  # what the two were measured with, as far as it differs
    verdicts: tuple[str, ...]  # the claims with another verdict: before and now


def compare_blocks(recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> Comparison:
    before, now = ({v["claim"]: v["verdict"] for v in b["verdicts"]} for b in (recorded, repeated))
    verdicts = tuple(
        f"{claim}: {before.get(claim, 'absent')} in the record, {now.get(claim, 'absent')} now"
        for claim in before | now
        if before.get(claim) != now.get(claim)
    )
    if recorded.get("rows_sha256") == repeated["rows_sha256"] and not verdicts:
        outcome = "same"
    else:
        outcome = "differs" if verdicts else "same verdicts, other figures"
    return Comparison(outcome, tuple(_changes(recorded, repeated)), verdicts)


def _changes(recorded: Mapping[str, Any], repeated: Mapping[str, Any]) -> Iterable[str]:
    if recorded["source_hash"] != repeated["source_hash"]:
        yield "the source"
    if recorded["data"] != repeated["data"]:
        old, new = ", ".join(recorded["data"]), ", ".join(repeated["data"])
        yield f"the data: {old} in the record, {new} now"
    for name, value in recorded["settings"].items():
        if repeated["settings"].get(name) != value:
            yield f"the setting {name}: {value} in the record, {repeated['settings'].get(name)} now"
    before, now = _environment(recorded), _environment(repeated)
    for key in ENVIRONMENT_KEYS:
        if before[key] != now[key]:
            yield f"{key}: {before[key]} in the record, {now[key]} now"
