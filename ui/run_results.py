"""What a run has produced: verdicts, pictures, and text that cites or reproduces it."""

from typing import Any

import streamlit as st

from kb import db
from kb.formatting import format_number
from kb.runs import store
from kb.tables import Artifact, ClaimRow, Run, RunVerdict
from ui import cache, claim_cards, format, html_parts, run_card
from ui.claim_status import ClaimStatus
from ui.escape import escape_markdown

PLAY_SECONDS = 0.7  # between two pictures of a series that plays


def show_headline(run: Run) -> None:
    """Shows the verdict of the run's most important claim, as soon as there is one."""
    if run.preset == "smoke":
        return
    if statuses := _statuses(run):
        st.html(claim_cards.headline_html(statuses))


def _statuses(run: Run) -> list[ClaimStatus]:
    """The verdicts of the run with the claims of the timeline that they are about."""
    claims = _claims(run)
    return [
        ClaimStatus(claims[verdict.claim], verdict, run, None)
        for verdict in store.verdicts(cache.engine(), run.id)
        if verdict.claim in claims
    ]


def _claims(run: Run) -> dict[str, ClaimRow]:
    """The claims of the run's implementation by their ids."""
    claims = db.claims(cache.engine())
    return {claim.id: claim for claim in claims if claim.implementation == run.implementation}


def show_verdicts(run: Run) -> None:
    verdicts = store.verdicts(cache.engine(), run.id)
    if not verdicts:
        return
    st.header("Verdicts", anchor=False)
    if run.preset == "smoke":
        st.caption(
            "A smoke run takes seconds and proves nothing: it only shows that the code runs."
        )
    claims = _claims(run)
    for verdict in verdicts:
        _show_verdict(run, verdict, claims.get(verdict.claim))


def _show_verdict(run: Run, verdict: RunVerdict, claim: ClaimRow | None) -> None:
    with st.container(border=True, gap="xsmall"):
        if claim is None:
            st.html(html_parts.verdict_html(verdict.verdict))
            st.markdown(escape_markdown(f"{verdict.claim}: no longer on the timeline"))
            return
        st.html(claim_cards.card_html(ClaimStatus(claim, verdict, run, None)))
        st.caption(escape_markdown(f"Rule: {verdict.rule} (n = {verdict.n})"))


def show_pictures(run: Run) -> None:
    """Shows the newest picture of each name; earlier ones of the same name can be gone through."""
    by_name: dict[str, list[Artifact]] = {}
    for artifact in store.artifacts(cache.engine(), run.id):
        by_name.setdefault(artifact.name, []).append(artifact)
    if by_name:
        st.header("Pictures", anchor=False)
    for name, artifacts in by_name.items():
        if len(artifacts) == 1:
            _show_picture(artifacts[0])
        elif run.status not in store.ENDED:
            _show_series(name, artifacts)
        else:
            is_playing = st.toggle("Play", key=f"play-{name}")
            interval = PLAY_SECONDS if is_playing else None
            st.fragment(_show_series, run_every=interval)(name, artifacts, is_playing)


def _show_series(name: str, artifacts: list[Artifact], is_playing: bool = False) -> None:
    """Shows a picture of a series, chosen by its step; one that plays goes on by itself."""
    key = f"picture-{name}-{len(artifacts)}"
    shown = st.session_state.setdefault(key, len(artifacts) - 1)
    if is_playing:
        st.session_state[key] = (shown + 1) % len(artifacts)
    index = st.select_slider(
        "step",
        range(len(artifacts)),
        key=key,
        format_func=[str(artifact.step) for artifact in artifacts].__getitem__,
    )
    _show_picture(artifacts[index])


def _show_picture(artifact: Artifact) -> None:
    file = store.artifact_file(artifact)
    if not file.exists():
        st.caption(f"{escape_markdown(artifact.file)} is no longer in the run's folder.")
        return
    caption = escape_markdown(artifact.caption)
    st.image(file.read_bytes(), caption=caption, alt=artifact.caption)


def show_summary(run: Run, title: str, rows: list[dict[str, Any]]) -> None:
    """Shows the verdicts as text that can be copied into a message or a paper, and as a card."""
    verdicts = store.verdicts(cache.engine(), run.id)
    if not verdicts or run.preset == "smoke" or not run.environment:
        return
    device, torch = run.environment["device_name"], run.environment["torch"]
    took = format.duration((run.finished or 0) - (run.started or 0))
    lines = [
        f"{run.implementation}, preset {run.preset}, {took} on {device}, torch {torch}, "
        f"seed {run.settings.get('seed', 0)}:"
    ]
    for verdict in verdicts:
        measured = format_number(verdict.measured)
        if verdict.baseline is not None:
            measured += f" against {format_number(verdict.baseline)}"
        lines.append(f"  {verdict.claim}: {verdict.verdict}; {measured} {verdict.unit}")
    st.header("Summary to copy", anchor=False)
    st.code("\n".join(lines), language=None, wrap_lines=True)
    st.download_button(
        "Card",
        lambda: run_card.run_card(run, title, _statuses(run), rows),
        f"{run.id}.html",
        "text/html",
        icon=":material/download:",
        on_click="ignore",
        help="One HTML file with claims, verdicts, curves, machine and date, to be sent or shown",
    )


def show_provenance(run: Run) -> None:
    """Shows the command that repeats the run, and everything that a repetition depends on."""
    with st.expander("How to reproduce this run", icon=":material/fingerprint:"):
        st.code(f"kb run {run.id}", language="bash")
        st.caption("Repeats the run and names everything that differs from it.")
        st.json(
            {
                "settings": run.settings,
                "environment": run.environment,
                "usage": run.usage,
                "source sha256": run.source_hash,
                "git commit": run.git_commit,
            },
            expanded=1,
        )
