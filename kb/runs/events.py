"""The event format: what the process of a run tells the supervisor. Format version 1.

An event is a JSON object with `event`, its type, and `at`, a float: the seconds since 1970.
A line of the stream, in UTF-8 and at most MAX_LINE_BYTES long, holds one event or a list of events.
NaN, Infinity and -Infinity are numbers. Integers of more than 18 digits are read as floats.

type       fields (a `?` marks a field that may be missing or null)
---------  ----------------------------------------------------------------------------------------
ready      devices: list of {id: str, name: str, memory: int?}, the preferred device first
started    version: int, the format version of the writer
           environment: object, what the run runs on (see kb.runs.worker.describe_environment)
           source_hash: str, SHA-256 of the implementation and of what it uses of impl/kit
row        values: object, one row that the implementation yielded
progress   done: number, total: number, note: str
artifact   name: str, caption: str, step: int?, file: str (a file in the run's folder)
           sha256: str, size: int (bytes)
verdict    claim: str, verdict: str, unit: str, n: int, rule: str
           measured: float?, baseline: float?, effect: float?, interval: [float, float]?
           kind: str?, scale: str?, note: str? (see impl.kit.verdicts)
restarted  no fields
finished   status: "succeeded" or "failed", reason: str?, traceback: str?
           usage: object? (wall_seconds, cpu_seconds, peak_memory_bytes, peak_device_memory_bytes?,
           memory_before_bytes?; where operations were counted: flops, bytes_moved,
           flops_counted_trials, flops_executed_trials, flops_trials, flops_format,
           dense_flops_per_second)

Order      `ready` comes once, before the worker has a job. A run then sends `started`; any number
           of `row`, `progress` and `artifact`; its verdicts; `finished`. A run that fails may send
           `finished` at any point. `restarted` means that the run starts again from its first
           event: everything recorded for it so far is void.
Writers    kb.runs.worker, through kb.runs.event_stream, writes all types but `restarted`.
           kb.runs.cluster writes `restarted`, `progress` and `finished` of its own, and passes on
           the events of a worker on a cluster; only there `artifact` also carries the picture.
           Of a run in several processes, the first writes all events, the others only `finished`
           when they fail.
Readers    kb.runs.processes parses the stream, both in the supervisor and on a cluster.
           kb.runs.worker_pool reads `ready`. kb.runs.recorder writes all other types to the
           database, which is what the app, the shell and kb.runs.export read.
Versions   A new optional field keeps the version. A new type, or a field that is removed, renamed
           or changes its meaning, increments EVENT_FORMAT_VERSION. A run whose `started` carries
           another version than the reader's fails, since its other events can't be trusted.
"""

import json
from typing import Any

EVENT_FORMAT_VERSION = 1
MAX_LINE_BYTES = 16 << 20
# The fields that an event must have besides its time, with their types. The optional fields of an
# event fit the columns of its table or are refused by the database.
REQUIRED_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "ready": {"devices": list},
    "started": {"environment": dict, "source_hash": str},  # `version` is checked separately
    "row": {"values": dict},
    "progress": {"done": (int, float), "total": (int, float), "note": str},
    "artifact": {"name": str, "caption": str, "file": str, "sha256": str, "size": int},
    "verdict": {"claim": str, "verdict": str, "unit": str, "n": int, "rule": str},
    "restarted": {},
    "finished": {"status": str},
}


def parse_line(line: bytes) -> list[dict[str, Any]]:
    """The events of one line. Characters that no database stores are replaced.

    Raises ValueError for a line that holds anything but events, and for a `started` event of
    another format version.
    """
    try:
        parsed = _decode(line.decode())
    except ValueError:
        raise ValueError(f"it wrote {line[:60]!r} where its events go") from None
    events = parsed if isinstance(parsed, list) else [parsed]
    if not all(map(_is_event, events)):
        raise ValueError(f"it sent an invalid event: {line[:60]!r}")
    return _replace_unstorable(events) if rb"\u" in line else events


def _is_event(value: Any) -> bool:
    fields = REQUIRED_FIELDS.get(str(value.get("event"))) if isinstance(value, dict) else None
    if fields is None or not isinstance(value.get("at"), float):
        return False
    if value["event"] == "started":
        _check_version(value.get("version"))
    return all(isinstance(value.get(name), kind) for name, kind in fields.items())


def _check_version(version: Any) -> None:
    if version != EVENT_FORMAT_VERSION:
        raise ValueError(
            f"it writes event format {version!r}, but the supervisor reads {EVENT_FORMAT_VERSION}; "
            "restart the supervisor after an update"
        )


def _parse_int(digits: str) -> int | float:
    """An integer that the database and a curve can hold; the nearest float for a longer one."""
    return int(digits) if len(digits) < 19 else float(digits)


def _replace_unstorable(value: Any) -> Any:
    """Replaces lone surrogates and NUL characters in all texts of a decoded JSON value."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_replace_unstorable(key): _replace_unstorable(item) for key, item in value.items()}
    return [_replace_unstorable(item) for item in value] if isinstance(value, list) else value


def _to_json(value: Any) -> Any:
    """Tensors and arrays of one element as numbers, anything else that JSON lacks as its text."""
    return value.item() if hasattr(value, "item") else str(value)


# Both are made once: json.dumps and json.loads with arguments make a new object at every call.
encode = json.JSONEncoder(default=_to_json).encode
_decode = json.JSONDecoder(parse_int=_parse_int).decode
