"""Submits runs: checks the request and writes it to the queue, which the supervisor executes."""

import importlib.util
import os
import re
import secrets
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from kb import implementations, paths, ranges
from kb.implementations import Implementation
from kb.runs import launcher, limits, store
from kb.tables import Run

# Folders that a run's data depends on. A run keeps them, since the supervisor that executes it may
# have been started with others.
KEPT_VARIABLES = ("KB_DATA", "XDG_CACHE_HOME")
GIT_TIMEOUT_SECONDS = 5
DEVICE = re.compile(r"auto|cpu|(cuda|mps|xpu)(:[0-9]{1,3})?")
MAX_PRIORITY = 1_000_000
MAX_PROCESSES = 1_024


@dataclass(frozen=True)
class RunRequest:
    """A run to submit."""

    name: str  # of the implementation
    preset: str = "quick"
    changes: dict[str, Any] = field(default_factory=dict)  # settings that differ from the preset's
    device: str = "auto"
    priority: int = 0
    limits: dict[str, float] = field(default_factory=dict)  # as kb.runs.limits parses them
    options: dict[str, Any] = field(default_factory=dict)  # as in kb.tables.Run
    cluster: str | None = None  # a Ray cluster's address; "": this machine; None: KB_CLUSTER


def submit(
    engine: Engine,
    name: str,
    preset: str = "quick",
    *,
    changes: dict[str, Any] | None = None,
    device: str = "auto",
    **fields: Any,
) -> str:
    """Submits one run and returns its id. `fields` are the other fields of RunRequest.

    Raises as `submit_all` does.
    """
    return submit_all(engine, [RunRequest(name, preset, changes or {}, device, **fields)])[0]


def submit_all(engine: Engine, requests: Sequence[RunRequest]) -> list[str]:
    """Submits all these runs or none, as one batch, and returns their ids. Starts a supervisor.

    Raises FileNotFoundError for an unknown implementation, ValueError for a preset, a setting or an
    option that it doesn't have, and Unwritable.
    """
    batch = f"batch-{secrets.token_hex(4)}" if len(requests) > 1 else None
    commit = _git_commit()
    runs = [_create_run(request, batch, commit) for request in requests]
    ids = [run.id for run in runs]
    with store.write_session(engine) as session:
        session.add_all(runs)
    launcher.ensure_supervisor()
    return ids


def retry(engine: Engine, run_id: str) -> str:
    """Submits a run again, with the same settings. Raises UnknownRun, and as `submit_all` does."""
    run = store.get(engine, run_id)
    return submit(
        engine,
        run.implementation,
        run.preset,
        changes=run.changes,
        device=run.device,
        priority=run.priority,
        limits=run.limits,
        options=run.options,
        cluster=run.cluster or "",
    )


def _create_run(request: RunRequest, batch: str | None, commit: str | None) -> Run:
    implementation = implementations.read(request.name)
    _check_request(request, implementation)
    return Run(
        id=f"{request.name.replace('_', '-')}-{secrets.token_hex(4)}",
        implementation=request.name,
        preset=request.preset,
        changes=request.changes,
        settings=implementation.presets[request.preset] | request.changes,
        device=request.device,
        priority=request.priority,
        limits=request.limits,
        options=request.options,
        cluster=_cluster_address(request),
        batch=batch,
        variables={
            name: str(Path(os.environ[name]).resolve())
            for name in KEPT_VARIABLES
            if name in os.environ
        },
        submitted=time.time(),
        source_hash=implementation.source_hash,
        git_commit=commit,
    )


def _check_request(request: RunRequest, implementation: Implementation) -> None:
    """Raises ValueError if the implementation can't be run like this."""
    name = request.name
    defaults = {setting.name: setting.default for setting in implementation.settings}
    for key, value in request.changes.items():
        if key not in defaults:
            raise ValueError(f"{name} has no setting {key!r}; it has {', '.join(defaults)}")
        ranges.check(key, value, defaults[key])
    presets = implementation.presets
    if request.preset not in presets:
        raise ValueError(f"{name} has no preset {request.preset!r}; it has {', '.join(presets)}")
    _check_execution(request)
    if request.options.get("processes", 1) > 1 and not implementation.parallel:
        raise ValueError(f"{name} can't be split among several processes; leave out --processes")


def _check_execution(request: RunRequest) -> None:
    """Checks where, when and how far the run may go."""
    if not DEVICE.fullmatch(request.device):
        shown = request.device[:40]
        raise ValueError(f"{shown!r} is no device; give auto, cpu, cuda, cuda:1, mps or xpu")
    check_priority(request.priority)
    processes = request.options.get("processes", 1)
    if not 1 <= processes <= MAX_PROCESSES:
        raise ValueError(f"{processes} processes: give 1 to {MAX_PROCESSES:,}")
    limits.check(request.limits)


def check_priority(priority: int) -> None:
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise ValueError(f"a priority is {-MAX_PRIORITY:,} to {MAX_PRIORITY:,}")


def _cluster_address(request: RunRequest) -> str | None:
    address = os.environ.get("KB_CLUSTER") if request.cluster is None else request.cluster
    if address and importlib.util.find_spec("ray") is None:
        raise ValueError(
            f"a run on the cluster at {address} needs Ray: "
            "pip install 'executable-history-of-deep-learning[ray]'"
        )
    return address or None


def _git_commit() -> str | None:
    """The checkout's commit, with a "+" if impl/ was changed since; None without a checkout."""
    if not (paths.ROOT / ".git").exists():
        return None
    commit = _git_output("rev-parse", "HEAD")
    changed = _git_output("status", "--porcelain", "-uno", "--", "impl")
    if commit is None:
        return None
    return commit + ("+" if changed else "")


def _git_output(*arguments: str) -> str | None:
    """What a git command prints; None if it fails."""
    try:
        completed = subprocess.run(
            ["git", "-C", str(paths.ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout.strip() if completed.returncode == 0 else None
