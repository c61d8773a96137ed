"""The scoreboard: every claim on the timeline, how it stands on this machine, and what the repository's record has."""

from dataclasses import dataclass
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


def show() -> None:
    st.title("Claims", anchor=False)
    lines = _lines()
    _tally(lines)
    shown = _chosen(lines)
    missing = list(dict.fromkeys(line.claim.implementation for line in lines if line.run is None))
    _launch(missing)
    for name, some in groupby(shown, key=lambda line: line.claim.milestone):
        milestone = frame.milestones()[name]
        frame.link("milestone", f"{milestone.short}, {milestone.date[:4]}", id=name)
        for line in some:
            _line(line)
    if not shown:
        st.info("No claim fits; choose another outcome or paper.")


def _lines() -> list[Line]:
    claims = db.claims(frame.engine())
    kept = {(c.milestone, c.id): (verdict, entry) for c, verdict, entry in record.recorded(claims)}
    lines = []
    for one in store.standings(frame.engine(), claims):
        verdict, entry = kept.get((one.claim.milestone, one.claim.id), (None, None))
        if one.verdict or not verdict:
            lines.append(Line(one.claim, one.verdict, one.run, None))
        else:
            lines.append(Line(one.claim, record.as_verdict(verdict), None, entry))
    return lines


def _tally(lines: list[Line]) -> None:
    counts = {outcome: sum(line.outcome == outcome for line in lines) for outcome in (*words.MARKS, NONE)}
    parts = "".join(
        f'<span class="kb-verdict-{"none" if outcome == NONE else outcome.replace(" ", "-")}" '
        f'style="flex-grow:{count}" title="{count} {outcome}"></span>'
        for outcome, count in counts.items() if count
    )  # fmt: skip
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    here = sum(line.run is not None for line in lines)
    st.html(f'<div class="kb-tally" role="img" aria-label="{said}">{parts}</div>')
    st.markdown(
        f"**{len(lines)} claims:** {said}. {here} verdicts are from runs on this machine, "
        f"{sum(line.recorded is not None for line in lines)} from the repository's record."
    )


def _chosen(lines: list[Line]) -> list[Line]:
    """What the address, or the two fields that write it, narrow the list to."""
    outcomes = [outcome for outcome in (*words.MARKS, NONE) if any(line.outcome == outcome for line in lines)]
    papers = list(dict.fromkeys(line.claim.milestone for line in lines))
    left, right = st.columns(2)
    given, paper = st.query_params.get("verdict"), st.query_params.get("paper")
    wanted = left.pills("Outcome", outcomes, default=given if given in outcomes else None, key="claims-outcome")
    place = papers.index(paper) if paper in papers else None
    of = right.selectbox("Paper", papers, index=place, placeholder="every paper", key="claims-paper",
                         format_func=lambda name: frame.milestones()[name].short)  # fmt: skip
    for key, value in (("verdict", wanted), ("paper", of)):
        if value:
            st.query_params[key] = value
        elif key in st.query_params:
            del st.query_params[key]
    return [line for line in lines if (not wanted or line.outcome == wanted) and (not of or line.claim.milestone == of)]


def _launch(missing: list[str]) -> None:
    if not missing:
        return
    count = f"{len(missing)} paper{'' if len(missing) == 1 else 's'}"
    with st.popover(f"Measure what is missing here ({count})", icon=":material/play_arrow:"):
        st.write(
            f"Queues the quick preset of {count}, one after the other: about {len(missing)} minutes. Runs can be stopped."
        )
        if st.button("Queue them", type="primary"):
            for name in missing:
                store.submit(frame.engine(), name, "quick")
            frame.go("runs")


def _line(line: Line) -> None:
    with st.container(border=True, gap="xsmall"):
        st.html(words.verdict(line.outcome))
        st.markdown(f"{frame.plain(line.claim.says)} :gray[{frame.plain(line.claim.where)}]")
        numbers, picture = st.columns([3, 2])
        with numbers:
            words.figures(line.claim, line.verdict)
        with picture:
            words.dumbbell(line.claim, line.verdict)
        if line.run:
            frame.link("run", f"run with {line.run.preset}, {words.ago(line.run.submitted)}", id=line.run.id)
        elif line.recorded:
            on = f"on record: quick, {line.recorded['measured']}, {line.recorded['environment']['device_name']}"
            st.caption(frame.plain(on))
