"""Describes a run as plain values: what `kb run --json` prints and `KnowledgeBase.run` returns."""

from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session, select

from kb.runs import curves, store
from kb.tables import Artifact, ClaimRow, Run, RunVerdict


def describe(engine: Engine, run_id: str) -> dict[str, Any]:
    """All that is known of a run. `metrics` has the last value of each curve. Raises UnknownRun."""
    run = store.get(engine, run_id)
    published = _published_values(engine, run.implementation)
    series = curves.build_curves(row.values for row in store.rows(engine, run_id))
    return {
        **_describe_request(run),
        **_describe_execution(run),
        "metrics": {str(name): points[-1][1] for name, points in series.items()},
        "verdicts": [
            {**describe_verdict(verdict), "published": published.get(verdict.claim)}
            for verdict in store.verdicts(engine, run_id)
        ],
        "artifacts": list(map(_describe_artifact, store.artifacts(engine, run_id))),
        "traceback": run.traceback,
    }


def _describe_request(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "implementation": run.implementation,
        "preset": run.preset,
        "status": run.status,
        "reason": run.reason,
        "settings": run.settings,
        "device": (run.environment or {}).get("device", run.device),
        "cluster": run.cluster,
        "attempts": run.attempts,
        "batch": run.batch,
        "priority": run.priority,
        "limits": run.limits,
        "options": run.options,
    }


def _describe_execution(run: Run) -> dict[str, Any]:
    return {
        "submitted": run.submitted,
        "started": run.started,
        "finished": run.finished,
        "source_hash": run.source_hash,
        "git_commit": run.git_commit,
        "environment": run.environment,
        "usage": run.usage,
    }


def describe_verdict(verdict: RunVerdict) -> dict[str, Any]:
    return {
        "claim": verdict.claim,
        "verdict": verdict.verdict,
        "measured": verdict.measured,
        "baseline": verdict.baseline,
        "effect": verdict.effect,
        "interval": None if verdict.low is None else [verdict.low, verdict.high],
        "unit": verdict.unit,
        "n": verdict.n,
        "rule": verdict.rule,
        "kind": verdict.kind,
        "scale": verdict.scale,
        "note": verdict.note,
    }


def _describe_artifact(artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "step": artifact.step,
        "caption": artifact.caption,
        "file": str(store.artifact_file(artifact)),
        "sha256": artifact.sha256,
    }


def _published_values(engine: Engine, implementation: str) -> dict[str, dict[str, Any] | None]:
    """What the paper reports for each claim of an implementation."""
    query = select(ClaimRow).where(ClaimRow.implementation == implementation)
    with Session(engine) as session:
        return {claim.id: claim.published for claim in session.exec(query)}
