"""The record of what was measured: `results/PRESET.json`, written by `kb record`, shown by `kb claims --record` and the README.

A record keeps each verdict as it came out, with the source it came from, the settings, the data and the machine.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from kb import implementations, places
from kb.runs import store
from kb.shown import finite, number, published
from kb.tables import ClaimRow, Run, RunVerdict

BEGIN, END = "<!-- the record begins -->", "<!-- the record ends -->"


def measure(engine: Engine, names: Sequence[str], preset: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs each implementation, one after the other, and returns its entry of the record; one that fails has no verdicts."""
    queued = {name: store.submit(engine, name, preset) for name in names}
    measured = {}
    for name, run_id in queued.items():
        ended = list(store.watch(engine, run_id))[-1]
        measured[name] = _entry(engine, ended)
        verdicts = [verdict["verdict"] for verdict in measured[name]["verdicts"]]
        say(f"{name}: {', '.join(verdicts) or ended.reason or ended.status}")
    return measured


def _entry(engine: Engine, run: Run) -> dict[str, Any]:
    described = store.describe(engine, run.id)
    data = {row.values["data"] for row in store.rows(engine, run.id) if "data" in row.values}
    return {
        "measured": time.strftime("%Y-%m-%d", time.gmtime(run.finished)),
        "status": run.status,
        "source_hash": run.source_hash,
        "settings": run.settings,
        "data": sorted(map(str, data)),
        "environment": run.environment,
        "usage": run.usage,
        "verdicts": [{key: v for key, v in verdict.items() if key != "published"} for verdict in described["verdicts"]],
    }


def file(preset: str = "quick", folder: Path | None = None) -> Path:
    return (folder or places.SHARE / "results") / f"{preset}.json"


def read(preset: str = "quick", folder: Path | None = None) -> dict[str, Any]:
    """Implementation: its entry; empty where nothing was recorded."""
    path = file(preset, folder)
    return json.loads(path.read_text()) if path.exists() else {}


def write(measured: dict[str, Any], preset: str, folder: Path | None = None) -> Path:
    """Puts what was measured into the record; implementations that are no more leave it."""
    path = file(preset, folder)
    known = implementations.names()
    whole = {name: entry for name, entry in (read(preset, folder) | measured).items() if name in known}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(finite(whole), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    partial.replace(path)
    return path


def recorded(
    claims: Sequence[ClaimRow], preset: str = "quick"
) -> Iterator[tuple[ClaimRow, dict[str, Any], dict[str, Any]]]:
    """Each claim that the record has, with its verdict and the entry of its implementation."""
    record = read(preset)
    for claim in claims:
        entry = record.get(claim.implementation, {"verdicts": []})
        for verdict in entry["verdicts"]:
            if verdict["claim"] == claim.id:
                yield claim, verdict, entry


def as_verdict(verdict: dict[str, Any]) -> RunVerdict:
    """A verdict of the record in the form that those of this machine's runs have."""
    low, high = verdict["interval"] or (None, None)
    kept = {key: value for key, value in verdict.items() if key != "interval"}
    return RunVerdict(run="", number=0, low=low, high=high, **kept)


def into(readme: Path, table: str) -> None:
    """Puts the table between the two marks of a Markdown file."""
    text = readme.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    readme.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


def markdown(rows: Iterable[tuple[ClaimRow, dict[str, Any], dict[str, Any]]], shorts: dict[str, str]) -> str:
    """A table with a line for each claim; the paper's name stands once, and leads to its file."""
    lines = ["| Paper | It checks that | Published | Measured | Verdict |", "| --- | --- | --- | --- | --- |"]
    shown = ""
    for claim, verdict, _ in rows:
        paper = f"[{shorts[claim.milestone]}](impl/{claim.implementation}.py)" if claim.milestone != shown else ""
        shown = claim.milestone
        against = "must be" if verdict["rule"].startswith("every value") else "against"
        measured = "not measured by `quick`"
        if verdict["measured"] is not None:
            measured = f"{number(verdict['measured'])} {against} {number(verdict['baseline'])} {verdict['unit']}"
        cells = [paper, claim.says.strip(), published(claim.published), measured, verdict["verdict"]]
        lines.append("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)
