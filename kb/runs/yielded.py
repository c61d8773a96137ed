"""What runs yielded, for other programs: CSV, JSON lines, TensorBoard's event files."""

import csv as _csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Engine

from kb.runs import store
from kb.shown import finite


def csv(engine: Engine, run_ids: Sequence[str], out: TextIO) -> None:
    """A column for each name that any row has, `run`, `number` and `at` (seconds since 1970) before them."""
    found = list(_rows(engine, run_ids))
    names = list(dict.fromkeys(name for row in found for name in row))
    writer = _csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)


def lines(engine: Engine, run_ids: Sequence[str], out: TextIO) -> None:
    """A JSON object a line; what isn't finite is null."""
    for row in _rows(engine, run_ids):
        out.write(json.dumps(finite(row), ensure_ascii=False) + "\n")


def _rows(engine: Engine, run_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    for run_id in run_ids:
        for row in store.rows(engine, store.get(engine, run_id).id):
            yield {"run": run_id, "number": row.number, "at": row.at, **row.values}


def tensorboard(engine: Engine, run_ids: Sequence[str], folder: Path) -> Path:
    """A folder for each run, with its curves as scalars and its pictures, in TensorBoard's event format.

    Raises RuntimeError where TensorBoard isn't installed.
    """
    try:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError:
        raise RuntimeError(
            "TensorBoard's event files are written by its own package: pip install '.[tensorboard]'"
        ) from None
    for run_id in run_ids:
        writer = EventFileWriter(str(folder / store.get(engine, run_id).id))
        rows = store.rows(engine, run_id)
        for row in rows:
            for name, points in store.series([row.values]).items():
                value = Summary.Value(tag=str(name).replace(" ", "/"), simple_value=points[0][1])
                writer.add_event(_event(Summary(value=[value]), row.at, int(store.step_of(row.values, row.number))))
        for one in store.artifacts(engine, run_id):
            picture = Summary.Image(encoded_image_string=store.artifact_file(one).read_bytes())
            value = Summary.Value(tag=one.name, image=picture)
            writer.add_event(_event(Summary(value=[value]), rows[-1].at if rows else 0.0, one.step or one.number))
        writer.close()
    return folder


def _event(summary: Any, at: float, step: int) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=at, step=step, summary=summary)
