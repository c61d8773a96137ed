"""The scoreboard: every claim on the timeline, how it stands on this machine, and what the repository's record has."""

from itertools import groupby

import streamlit as st

from kb import db
from kb.runs import store
from ui import frame, standing, words
from ui.standing import NONE, Line


def show() -> None:
    st.title("Claims", anchor=False)
    lines = standing.of(db.claims(frame.engine()))
    _tally(lines)
    shown = _chosen(lines)
    missing = list(dict.fromkeys(line.claim.implementation for line in lines if line.run is None))
    _launch(missing)
    found = frame.milestones()
    if drawn := standing.picture(shown, lambda name: found[name].short):
        st.header("Published against measured", anchor=False)
        st.caption(
            "How many times the baseline the idea is: the ring in the paper, the dot as measured. With smaller nets and data, "
            "and not always of the same thing: the side of 1 counts, hardly the distance."
        )
        st.html(drawn)
        st.header("One by one", anchor=False)
    for name, some in groupby(shown, key=lambda line: line.claim.milestone):
        milestone = found[name]
        frame.link("milestone", f"{milestone.short}, {milestone.date[:4]}", id=name)
        standing.show(some)
    if not shown:
        st.info("No claim fits; choose another outcome or paper.")


def _tally(lines: list[Line]) -> None:
    counts = {outcome: sum(line.outcome == outcome for line in lines) for outcome in (*words.MARKS, NONE)}
    parts = "".join(
        f'<span class="{words.shade("none" if outcome == NONE else outcome)}" '
        f'style="flex-grow:{count}" title="{count} {outcome}"></span>'
        for outcome, count in counts.items() if count
    )  # fmt: skip
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    here = sum(line.run is not None for line in lines)
    st.html(f'<div class="kb-tally" role="img" aria-label="{said}">{parts}</div>')
    st.markdown(
        f"**{len(lines)} claims:** {said}. Verdicts from runs on this machine: {here}, "
        f"from the repository's record: {sum(line.recorded is not None for line in lines)}."
    )


def _chosen(lines: list[Line]) -> list[Line]:
    """What the address, or the fields that write it, narrow the list to; devices where there is more than one."""
    outcomes = [outcome for outcome in (*words.MARKS, NONE) if any(line.outcome == outcome for line in lines)]
    papers, found = list(dict.fromkeys(line.claim.milestone for line in lines)), frame.milestones()
    devices = sorted({line.device for line in lines if line.device})
    fields = st.columns(3 if len(devices) > 1 else 2)
    chosen = {"verdict": fields[0].pills("Outcome", outcomes, key=_field("verdict", outcomes))}
    chosen["paper"] = fields[1].selectbox("Paper", papers, index=None, placeholder="every paper", key=_field("paper", papers),
                                format_func=lambda name: found[name].short)  # fmt: skip
    if len(devices) > 1:
        chosen["device"] = fields[2].selectbox(
            "Device", devices, index=None, placeholder="every device", key=_field("device", devices)
        )
    for name, value in chosen.items():
        frame.told(f"claims-{name}", value)
        if value:
            st.query_params[name] = value
        elif name in st.query_params:
            del st.query_params[name]
    return [line for line in lines if all(value in (None, _has(line)[name]) for name, value in chosen.items())]


def _has(line: Line) -> dict[str, str | None]:
    return {"verdict": line.outcome, "paper": line.claim.milestone, "device": line.device}


def _field(name: str, options: list[str]) -> str:
    """The key of the field that shows what the address narrows the list to."""
    given = st.query_params.get(name)
    return frame.synced(f"claims-{name}", given if given in options else None)


def _launch(missing: list[str]) -> None:
    if not missing or not frame.may_launch():
        return
    count = f"{len(missing)} paper{'' if len(missing) == 1 else 's'}"
    with st.popover(f"Measure what is missing here ({count})", icon=":material/play_arrow:"):
        st.write(
            f"Queues the quick preset of {count}, one after the other: about {len(missing)} minutes. Runs can be stopped."
        )
        if st.button("Queue them", type="primary"):
            with frame.asking():
                store.submit_all(frame.engine(), [store.Order(name) for name in missing])
                frame.go("runs")
