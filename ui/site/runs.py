"""Curves and pictures of the recorded runs, as far as they are in the exporter's database.

The repository's record has verdicts, effects and intervals, but neither curves nor pictures: those
are in the database of the machine that measured. A run there counts as recorded if it had the
source, the preset and the settings of a block of the record.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from kb import paths, results
from kb.runs import store
from kb.tables import Artifact, Run
from ui import format

PRESET = "quick"
SAMPLED_ROWS = 20_000  # of a run; enough for curves
MAX_PICTURE_BYTES = 1_000_000
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class RecordedRun:
    origin: str  # when and on which device, in words
    rows: list[dict[str, Any]]
    pictures: list[tuple[str, bytes]]  # caption, PNG; the newest of each name


def recorded_runs(engine: Engine, names: Collection[str]) -> dict[str, RecordedRun]:
    """The newest recorded run of each implementation; most machines have none."""
    record = results.read_record(PRESET)
    found = {}
    for run in reversed(store.latest(engine, limit=1_000_000)):
        blocks = record.get(run.implementation, {"blocks": []})["blocks"]
        if run.implementation in names and any(_is_of(run, block) for block in blocks):
            found[run.implementation] = run
    return {name: _read(engine, run) for name, run in sorted(found.items())}


def _is_of(run: Run, block: results.Block) -> bool:
    return (
        (run.status, run.preset) == ("succeeded", PRESET)
        and "broken" not in run.options
        and (run.source_hash, run.settings) == (block["source_hash"], block["settings"])
    )


def _read(engine: Engine, run: Run) -> RecordedRun:
    day = time.strftime("%Y-%m-%d", time.gmtime(run.finished or run.submitted))
    newest = {artifact.name: artifact for artifact in store.artifacts(engine, run.id)}
    pictures = [(artifact.caption, _png(artifact)) for artifact in newest.values()]
    return RecordedRun(
        origin=f"{day}, {format.run_device(run)}",
        rows=[row.values for row in store.sample_rows(engine, run.id, SAMPLED_ROWS)],
        pictures=[(caption, png) for caption, png in pictures if png],
    )


def _png(artifact: Artifact) -> bytes:
    """The picture; nothing if its file is gone, too large, elsewhere or no PNG."""
    folder = paths.run_folder(artifact.run).resolve()
    file = store.artifact_file(artifact).resolve()
    if not file.is_relative_to(folder) or not file.is_file():
        return b""
    png = file.read_bytes() if file.stat().st_size <= MAX_PICTURE_BYTES else b""
    return png if png.startswith(PNG) else b""
