"""The verdict that counts for a claim: of the newest run on this machine, else of the record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import streamlit as st

from kb import db, results
from kb.results import RecordedVerdict
from kb.runs import store
from kb.tables import ClaimRow, Run, RunVerdict
from ui import cache, claim_reasons, format
from ui.html_parts import VERDICT_MARKS

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class ClaimStatus:
    """A claim with the verdict that counts for it, and where the verdict is from."""

    claim: ClaimRow
    verdict: RunVerdict | None
    run: Run | None  # on this machine
    recorded: RecordedVerdict | None  # in the repository's record

    @property
    def outcome(self) -> str:
        return self.verdict.verdict if self.verdict else NOT_MEASURED

    @property
    def is_from_record(self) -> bool:
        return self.recorded is not None and self.run is None

    @property
    def kind(self) -> str:
        return self.verdict.kind if self.verdict else "paper"

    @property
    def device(self) -> str | None:
        """The device on which the claim was measured."""
        if self.run and self.run.environment:
            return format.environment_device(self.run.environment)
        if self.recorded:
            return format.environment_device(self.recorded.block["environment"])
        return None

    @property
    def ratios(self) -> tuple[float, float] | None:
        """How many times better the idea is than its rival, as published and as measured.

        None if a figure is missing or not positive, if the verdict doesn't say which values are
        better, for a comparison of ours, for an identity, which has no rival, and for logarithms,
        whose ratio means nothing.
        """
        published, verdict = self.claim.published or {}, self.verdict
        if verdict is None or verdict.low is None or "logarithm" in verdict.unit:
            return None
        if verdict.kind != "paper":
            return None  # another measure than the published one
        direction = claim_reasons.direction(verdict)
        published_direction = claim_reasons.published_direction(published, direction)
        as_published = _times_better(
            published.get("idea"), published.get("baseline"), published_direction
        )
        measured = _times_better(verdict.measured, verdict.baseline, direction)
        return (as_published, measured) if as_published and measured else None


def _times_better(
    idea: float | None, rival: float | None, direction: claim_reasons.Direction | None
) -> float | None:
    if not idea or not rival or idea < 0 or rival < 0 or direction is None:
        return None
    return idea / rival if direction == "higher" else rival / idea


def count_outcomes(statuses: Iterable[ClaimStatus]) -> dict[str, int]:
    """How many claims have each outcome, in the order of the outcomes."""
    outcomes = [status.outcome for status in statuses]
    return {name: outcomes.count(name) for name in VERDICT_MARKS if name in outcomes}


def claim_statuses(claims: Sequence[ClaimRow]) -> list[ClaimStatus]:
    """The status of each claim, in the same order."""
    record = _read_record(db.timeline_digest(cache.engine()), _record_changed())
    statuses = []
    for newest in store.newest_verdicts(cache.engine(), claims):
        recorded = record.get((newest.claim.milestone, newest.claim.id))
        verdict = newest.verdict
        if recorded and not verdict:
            verdict = results.to_run_verdict(recorded.verdict)
        statuses.append(ClaimStatus(newest.claim, verdict, newest.run, recorded))
    return statuses


def recorded_statuses(claims: Sequence[ClaimRow]) -> list[ClaimStatus]:
    """The status of each claim by the repository's record alone, whatever was run here."""
    record = _by_claim(claims)
    statuses = []
    for claim in claims:
        recorded = record.get((claim.milestone, claim.id))
        verdict = results.to_run_verdict(recorded.verdict) if recorded else None
        statuses.append(ClaimStatus(claim, verdict, None, recorded))
    return statuses


@st.cache_resource(max_entries=2)
def _read_record(
    timeline_digest: str | None, record_changed: int
) -> dict[tuple[str, str], RecordedVerdict]:
    """The record by milestone and claim; read again when the timeline or the record has changed."""
    return _by_claim(db.claims(cache.engine()))


def _by_claim(claims: Sequence[ClaimRow]) -> dict[tuple[str, str], RecordedVerdict]:
    return {
        (recorded.claim.milestone, recorded.claim.id): recorded
        for recorded in results.recorded_verdicts(claims)
    }


def _record_changed() -> int:
    """When the file of the record was last changed, in nanoseconds; 0 if there is none."""
    file = results.record_file()
    return file.stat().st_mtime_ns if file.exists() else 0
