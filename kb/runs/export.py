"""Rows and figures of runs for other programs: CSV, JSON lines, TensorBoard's event files."""

import csv as _csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Engine

from kb.formatting import replace_non_finite, spreadsheet_text
from kb.runs import curves, store


def csv(engine: Engine, run_ids: Sequence[str], out: TextIO) -> None:
    """Columns run, number and at (seconds since 1970), then one for each name in the rows."""
    found = list(_rows(engine, run_ids))
    names = list(dict.fromkeys(name for row in found for name in row))
    writer = _csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in found:
        writer.writerow({name: _cell(value) for name, value in row.items()})


def _cell(value: Any) -> Any:
    return spreadsheet_text(value) if isinstance(value, str) else value


def lines(engine: Engine, run_ids: Sequence[str], out: TextIO) -> None:
    """A JSON object in each line; numbers that aren't finite are null."""
    for row in _rows(engine, run_ids):
        out.write(json.dumps(replace_non_finite(row), ensure_ascii=False) + "\n")


def _rows(engine: Engine, run_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for run_id in run_ids:
        for row in store.rows(engine, store.get(engine, run_id).id):
            yield {"run": run_id, "number": row.number, "at": row.at, **row.values}


def tensorboard(engine: Engine, run_ids: Sequence[str], folder: Path) -> Path:
    """Writes a folder of event files for each run, with its curves and figures.

    Raises RuntimeError if TensorBoard isn't installed.
    """
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise RuntimeError(
            "TensorBoard's event files are written by its own package: pip install '.[tensorboard]'"
        ) from None
    for run_id in run_ids:
        writer = EventFileWriter(str(folder / store.get(engine, run_id).id))
        for event in _tensorboard_events(engine, run_id):
            writer.add_event(event)
        writer.close()
    return folder


def _tensorboard_events(engine: Engine, run_id: str) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    at = 0.0
    for row in store.rows(engine, run_id):
        at = row.at
        step = int(curves.step_of(row.values, row.number))
        for series, points in curves.build_curves([row.values]).items():
            tag = str(series).replace(" ", "/")
            value = Summary.Value(tag=tag, simple_value=points[0][1])
            yield Event(wall_time=at, step=step, summary=Summary(value=[value]))
    for artifact in store.artifacts(engine, run_id):
        picture = Summary.Image(encoded_image_string=store.artifact_file(artifact).read_bytes())
        value = Summary.Value(tag=artifact.name, image=picture)
        step = artifact.step or artifact.number
        yield Event(wall_time=at, step=step, summary=Summary(value=[value]))
