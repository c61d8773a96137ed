"""The verdict that counts for a claim: of the newest run on this machine, else of the record."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from kb import db, results
from kb.results import RecordedVerdict
from kb.runs import store
from kb.tables import ClaimRow, Run, RunVerdict
from ui import cache, format

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
        """Idea divided by baseline, as published and as measured.

        None if a figure is missing or not positive, for a comparison of ours, for an identity,
        which has no baseline, and for logarithms, whose ratio means nothing.
        """
        published, verdict = self.claim.published or {}, self.verdict
        if verdict is None or verdict.low is None or "logarithm" in verdict.unit:
            return None
        if verdict.kind != "paper":
            return None  # another measure than the published one
        figures = (
            *(published.get("idea"), published.get("baseline")),
            *(verdict.measured, verdict.baseline),
        )
        if not all(figure and figure > 0 for figure in figures):
            return None
        idea, baseline, measured, measured_baseline = map(float, figures)  # type: ignore[arg-type]
        return idea / baseline, measured / measured_baseline


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


@st.cache_resource(max_entries=2)
def _read_record(
    timeline_digest: str | None, record_changed: int
) -> dict[tuple[str, str], RecordedVerdict]:
    """The record by milestone and claim; read again when the timeline or the record has changed."""
    return {
        (recorded.claim.milestone, recorded.claim.id): recorded
        for recorded in results.recorded_verdicts(db.claims(cache.engine()))
    }


def _record_changed() -> int:
    """When the file of the record was last changed, in nanoseconds; 0 if there is none."""
    file = results.record_file()
    return file.stat().st_mtime_ns if file.exists() else 0
