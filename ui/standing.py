"""How a claim stands, and how that looks: what this machine's newest run says, else what the repository's record has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from kb import db, record
from kb.runs import store
from kb.tables import ClaimRow, Run, RunVerdict
from ui import frame, words

NONE = "not measured"


@dataclass(frozen=True)
class Line:
    """A claim with the verdict that counts for it: of the newest run here, else of the record (then `run` is None)."""

    claim: ClaimRow
    verdict: RunVerdict | None
    run: Run | None
    recorded: dict[str, Any] | None  # the record's entry, where the verdict is from it

    @property
    def outcome(self) -> str:
        return self.verdict.verdict if self.verdict else NONE


def of(claims: Sequence[ClaimRow]) -> list[Line]:
    kept = _on_record(db.loaded(frame.engine()), _written())
    lines = []
    for one in store.standings(frame.engine(), claims):
        verdict, entry = kept.get((one.claim.milestone, one.claim.id), (None, None))
        if one.verdict or not verdict:
            lines.append(Line(one.claim, one.verdict, one.run, None))
        else:
            lines.append(Line(one.claim, verdict, None, entry))
    return lines


@st.cache_resource(max_entries=2)
def _on_record(digest: str | None, written: int) -> dict[tuple[str, str], tuple[RunVerdict, dict[str, Any]]]:
    """What the record has, by milestone and claim; read again when the timeline or the record changed."""
    found = record.recorded(db.claims(frame.engine()))
    return {(claim.milestone, claim.id): (record.as_verdict(verdict), entry) for claim, verdict, entry in found}


def _written() -> int:
    file = record.file()
    return file.stat().st_mtime_ns if file.exists() else 0


def show(line: Line) -> None:
    with st.container(border=True, gap="xsmall"):
        st.html(words.verdict(line.outcome))
        st.markdown(f"{frame.plain(line.claim.says)} :gray[{frame.plain(line.claim.where)}]")
        numbers, picture = st.columns([3, 2])
        where = "record" if line.recorded else "here"
        with numbers:
            words.figures(line.claim, line.verdict, where)
        with picture:
            words.dumbbell(line.claim, line.verdict, where)
        if line.run:
            on = f"{line.run.preset}, {words.device(line.run)}, {words.ago(line.run.submitted)}"
            frame.link("run", f"The run that measured it: {on}", id=line.run.id)
        elif line.recorded:
            on = f"{line.recorded['measured']}, {line.recorded['environment']['device_name']}"
            st.caption(frame.plain(f"On record: quick, {on}. Not measured on this machine yet."))
