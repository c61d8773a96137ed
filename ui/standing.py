"""How a claim stands, and how that looks: what this machine's newest run says, else what the repository's record has."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
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

    @property
    def device(self) -> str | None:
        """What it was measured on, by name."""
        where = self.run.environment if self.run else self.recorded["environment"] if self.recorded else None
        return words.named(where) if where else None

    @property
    def ratios(self) -> tuple[float, float] | None:
        """Idea over baseline, as published and as measured, where both were, and neither is an identity or a logarithm."""
        given, v = self.claim.published or {}, self.verdict
        if v is None or v.low is None or "logarithm" in v.unit:
            return None
        values = given.get("idea"), given.get("baseline"), v.measured, v.baseline
        if not all(value and value > 0 for value in values):
            return None
        idea, baseline, measured, beside = (float(value) for value in values)  # type: ignore[arg-type]
        return idea / baseline, measured / beside


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


def picture(lines: Sequence[Line], name: Callable[[str], str]) -> str:
    """Published against measured, all in one, as HTML: how many times the baseline the idea is, from 1/4 to 4."""
    rows = []
    for line in lines:
        if not line.ratios:
            continue
        published, measured = line.ratios
        a, b = (min(100.0, max(0.0, 50 + 25 * math.log2(ratio))) for ratio in line.ratios)
        said = f"{name(line.claim.milestone)}: {line.claim.id.replace('-', ' ')}"
        mark = f'<b class="{words.shade(line.outcome)}">{words.MARKS[line.outcome]}</b>'
        rows.append(
            f'<span title="{escape(line.claim.says)}">{mark} {escape(said)}</span>'
            f"{words.step(a, b)}<small>{published:.2g} → {measured:.2g}</small>"
        )
    if not rows:
        return ""
    marks = {0: "¼", 25: "½", 50: "1", 75: "2", 100: "4"}
    scale = "".join(f'<small style="left: {x}%">{text}</small>' for x, text in marks.items())
    head = f'<span></span><div class="kb-scale">{scale}</div><small>paper → measured</small>'
    return f'<div class="kb-against">{head}{"".join(rows)}</div>'


def show(lines: Iterable[Line]) -> None:
    """Each in a box. In as few pieces as can be: a hundred and fifty stand on the claims page; a link must be its own."""
    for run_here, some in groupby(lines, key=lambda line: line.run is not None):
        if not run_here:
            st.html("".join(f'<div class="kb-box">{_told(line)}</div>' for line in some))
            continue
        for line in some:
            assert line.run
            with st.container(border=True, gap="xsmall"):
                st.html(_told(line))
                on = f"{line.run.preset}, {words.device(line.run)}, {words.ago(line.run.submitted)}"
                frame.link("run", f"The run that measured it: {on}", id=line.run.id)


def _told(line: Line) -> str:
    """The verdict, the claim, the figures and their picture, as HTML."""
    claim, where = line.claim, "record" if line.recorded else "here"
    numbers = words.figures(claim, line.verdict, where) + words.dumbbell(claim, line.verdict, where)
    if line.recorded:
        on = f"{line.recorded['measured']}, {line.recorded['environment']['device_name']}"
        numbers += f"<small>{escape(f'On record: quick, {on}. Not measured on this machine yet.')}</small>"
    said = f"<p>{escape(claim.says)} <small>{escape(claim.where)}</small></p>"
    return f'<div class="kb-standing">{words.verdict(line.outcome)}{said}{numbers}</div>'
