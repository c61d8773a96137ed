"""Ladders: what each step of a line of ideas bought, as recorded in `results/ladders.json`.

A ladder (impl/ladders) gives predecessors and successors one task and one budget of training FLOPs.
`kb ladders NAME --record` measures it in a process of its own, since this one has no torch.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kb import paths, results, source_hashes

SHARED = "ladder"  # the module of impl/ladders that all of them use


class Ladder(NamedTuple):
    name: str
    entry: dict[str, Any]  # as impl.ladders.ladder.record writes it, and where it was measured

    @property
    def is_stale(self) -> bool:
        """Whether the source has changed since it was measured."""
        return bool(self.entry["source_hash"] != source_hash(self.name))

    @property
    def command(self) -> str:
        """Measures it anew."""
        return f"kb ladders {self.name} --record"

    def has_rung(self, milestone: str) -> bool:
        conditions = self.entry["conditions"]
        return any(rung["milestone"] == milestone for rung in conditions[0]["rungs"])


def names() -> list[str]:
    """The names of all ladders, sorted."""
    folder = paths.IMPLEMENTATIONS / "ladders"
    return sorted(file.stem for file in folder.glob("[a-z]*.py") if file.stem != SHARED)


def source_hash(name: str) -> str:
    file = paths.IMPLEMENTATIONS / "ladders" / f"{name}.py"
    return source_hashes.ladder_hash(file, paths.IMPLEMENTATIONS.parent)


def record_file() -> Path:
    return results.record_file("ladders")


def recorded() -> Iterator[Ladder]:
    """The ladders of the record that there still are, in the order of their names."""
    known = names()
    for name, entry in sorted(results.read_file(record_file()).items()):
        if name in known:
            yield Ladder(name, entry)


def measure(name: str, preset: str = "quick", seed: int = 0) -> dict[str, Any]:
    """Measures a ladder on this machine's processor: minutes; its progress goes to standard error.

    Raises RuntimeError if that fails.
    """
    from kb.runs import environment

    hash_before, started = source_hash(name), time.monotonic()
    arguments = ["--json", "--preset", preset, "--seed", str(seed)]
    done = subprocess.run(
        [sys.executable, "-m", f"impl.ladders.{name}", *arguments],
        cwd=paths.IMPLEMENTATIONS.parent,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise RuntimeError(
            f"the ladder {name} ended with status {done.returncode}; nothing changed"
        )
    entry: dict[str, Any] = json.loads(done.stdout)
    usage = environment.measure_process(started)
    entry["environment"] |= {"device_name": environment.processor_name(), **usage}
    return entry | {
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "source_hash": hash_before,
    }


def write_record(measured: Mapping[str, dict[str, Any]]) -> Path:
    """Puts these ladders in the place of the recorded ones, and drops those that are no more."""
    record = results.read_file(record_file()) | dict(measured)
    known = names()
    kept = {name: entry for name, entry in record.items() if name in known}
    return results.write_file(kept, record_file())


# What the shell and the pages say of a ladder


class Best(NamedTuple):
    rung: str  # with the lowest mean
    wins: int  # with how many seeds it was the lowest of all rungs
    seeds: int


def best_rung(rungs: Sequence[Mapping[str, Any]]) -> Best | None:
    """None if all diverged."""
    measured = [rung for rung in rungs if rung["mean"] is not None]
    if not measured:
        return None
    best = min(measured, key=lambda rung: rung["mean"])
    by_seed = list(zip(*(rung["values"] for rung in measured), strict=True))
    lowest = zip(best["values"], map(min, by_seed), strict=True)
    return Best(best["name"], sum(own == least for own, least in lowest), len(by_seed))


def step_in_words(gain: Mapping[str, Any] | None) -> str:
    """What a rung bought over the one before, as "7.2 better (3.1 .. 11)"; empty for the first."""
    if gain is None:
        return ""
    mean, low, high = gain["mean"], gain["low"], gain["high"]
    if mean is None or low is None:
        return "not known"
    if low > 0:
        return f"{mean:.3g} better ({low:.3g} .. {high:.3g})"
    if high < 0:
        return f"{-mean:.3g} worse ({-high:.3g} .. {-low:.3g})"
    return f"no sure difference ({low:.3g} .. {high:.3g})"
