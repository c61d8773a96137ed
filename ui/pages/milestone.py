"""The page of one milestone: story, neighbours, claims, code, runs and a form that starts one."""

import contextlib
import importlib
from collections.abc import Sequence
from typing import Any

import streamlit as st

from kb import db, graph, implementations
from kb.graph import Step
from kb.implementations import Implementation
from kb.literature import related
from kb.runs import launcher, store
from kb.tables import MilestoneRow
from ui import (
    auth,
    cache,
    claim_cards,
    code_view,
    format,
    html_parts,
    ladder_view,
    launch_form,
    lecture,
    navigation,
    run_status,
)
from ui.claim_status import ClaimStatus, claim_statuses
from ui.escape import escape_markdown, safe_link, sanitize_story
from ui.neighbours import draw_neighbours

LISTED_RUNS = 8
LISTED_STEPS = 5  # of the milestones before and after; the others are in a list that opens
ANCHORS = (  # of the parts of the page
    ("Lineage", "lineage"),
    ("Claims", "claims"),
    ("Run it", "run-it"),
    ("Code", "code"),
    ("Sources", "sources"),
)


def show() -> None:
    id = st.query_params.get("id", "")
    row = db.milestone(cache.engine(), id)
    if row is None:
        _show_unknown(id)
        return
    entry = row.entry
    implementation = implementations.read(row.implementation) if row.implementation else None
    ladders = ladder_view.ladders_of(row.id)
    claims = db.claims(cache.engine(), row.id)
    statuses = claim_statuses(claims)
    st.set_page_config(page_title=f"{row.short}, {row.date[:4]}")
    if lecture.is_on():
        lecture.show_slide(row, statuses)
        return
    _show_title(row)
    if implementation:
        _show_headline(statuses, implementation)
    _show_anchors(has_implementation=implementation is not None, has_ladder=bool(ladders))
    with st.container(key="story"):
        _show_story_and_neighbours(row)
    if implementation:
        st.header("Claims", anchor="claims")
        claim_cards.show_claims(statuses)
    ladder_view.show_ladders(ladders, row.id)
    if implementation:
        launch_form.show_form(implementation)
        _show_runs(implementation)
        _show_time_machine(implementation.name, row)
        code_view.show_code(entry, implementation)
    if "training_compute" in entry.get("spec", {}):
        _show_time_machine(row.id, row)
    _show_sources(entry)
    _show_literature(row)
    if implementation and auth.may_launch():
        _prepare_run()


def _show_unknown(id: str) -> None:
    st.title("No such milestone")
    if id:
        st.write(f"The timeline has no milestone with the id {escape_markdown(id)}.")
    else:
        st.write("The address has no id of a milestone.")
    navigation.link("timeline", "Open the timeline")


def _prepare_run() -> None:
    """Imports the page of a run and starts the supervisor, so that the click on Run is fast."""
    importlib.import_module("ui.pages.run")
    with contextlib.suppress(OSError):  # if nothing can be written, the click on Run says so
        launcher.ensure_supervisor()


def _show_title(row: MilestoneRow) -> None:
    entry = row.entry
    date = f"{entry.get('date_is', '')} {format.date(row.date)}".strip()
    html_parts.show_track(row.track, row.kind, date)
    st.title(escape_markdown(row.title), anchor=False)
    venue = f"  \n{escape_markdown(entry['venue'])}" if entry.get("venue") else ""
    st.markdown(escape_markdown(format.authors(entry)) + venue)


def _show_headline(statuses: Sequence[ClaimStatus], implementation: Implementation) -> None:
    """Shows the verdict of the first claim, and the button that measures it on this machine."""
    with st.container(horizontal=True, vertical_alignment="center", key="headline"):
        st.html(claim_cards.headline_html(statuses))
        launch_form.show_quick_button(implementation)


def _show_anchors(*, has_implementation: bool, has_ladder: bool) -> None:
    """Shows links to the parts of the page."""
    anchors = list(ANCHORS if has_implementation else (ANCHORS[0], ANCHORS[-1]))
    if has_ladder:
        place = 2 if has_implementation else 1  # after the claims
        anchors.insert(place, (ladder_view.TITLE, ladder_view.ANCHOR))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(" · ".join(f"[{name}](#{anchor})" for name, anchor in anchors))
        lecture.show_switch()


def _show_story_and_neighbours(row: MilestoneRow) -> None:
    left, right = st.columns([5, 3], gap="large")
    with left:
        _show_story(row.entry)
        _show_facts(row.entry)
    with right:
        _show_neighbours(row)


def _show_story(entry: dict[str, Any]) -> None:
    html_parts.show_idea(entry["idea"])
    st.markdown(sanitize_story(entry["story"]))
    for sentence in entry.get("unconfirmed", []):
        st.caption(f":material/help: Unconfirmed: {escape_markdown(sentence)}")
    if spec := entry.get("spec"):
        _show_spec(spec)


def _show_spec(spec: dict[str, dict[str, Any]]) -> None:
    """Shows the figures of a chip, a model or a data set."""
    rows = [
        {column: escape_markdown(text) for column, text in row.items()}
        for row in format.spec_rows(spec)
    ]
    st.table(rows, hide_index=True, border="horizontal")


def _show_neighbours(row: MilestoneRow) -> None:
    """Shows the milestones that are linked to this one, as a picture and as two lists."""
    before, after = graph.neighbours(cache.links(), row.id)
    milestones, key = cache.milestones(), f"neighbours-{row.id}"
    st.header("Lineage", anchor="lineage")
    if clicked := draw_neighbours(row, before, after, milestones, key=key):
        navigation.switch_to("milestone", id=clicked)
    navigation.link("lineage", f"The lineage of {row.short}", id=row.id)
    _show_steps("Before it", before)
    _show_steps("After it", after)


def _show_steps(title: str, steps: list[Step]) -> None:
    st.markdown(f"**{title}**")
    if not steps:
        st.caption("No milestone.")
    html_parts.show_with_rest(steps, LISTED_STEPS, _show_step_list)


def _show_step_list(steps: Sequence[Step]) -> None:
    for step in steps:
        _show_step(step)


def _show_step(step: Step) -> None:
    milestone = cache.milestones()[step.id]
    reason = f": {escape_markdown(step.how)}" if step.how else ""
    with st.container(gap=None):
        navigation.link("milestone", f"{milestone.short}, {milestone.date[:4]}", id=step.id)
        st.caption(step.via.replace("_", " ") + reason)


def _show_facts(entry: dict[str, Any]) -> None:
    facts, addresses = format.facts(entry), format.addresses(entry)
    lines = [f"**{name}** {escape_markdown(text)}" for name, text in facts.items()]
    lines += [f"**{name}** {safe_link(url)}" for name, url in addresses.items()]
    if lines:
        st.markdown("**Facts**\n\n" + "  \n".join(lines))


def _show_runs(implementation: Implementation) -> None:
    runs = store.latest(
        cache.engine(), implementation=implementation.name, swept=False, limit=LISTED_RUNS
    )
    if runs:
        st.markdown("**Latest runs**")
    for run in runs:
        device = format.run_device(run).split(" ")[0]
        label = f"{run.preset} on {device}, {run.status}, {format.age(run.submitted)}"
        navigation.link("run", label, icon=run_status.ICONS[run.status], id=run.id)


def _show_time_machine(experiment: str, row: MilestoneRow) -> None:
    label = f"{row.short} in the time machine: how long it would have taken, and since when an hour"
    navigation.link("time-machine", label, icon=":material/history:", of=experiment)


def _show_sources(entry: dict[str, Any]) -> None:
    st.header("Sources", anchor="sources")
    for source in entry["sources"]:
        note = f": {escape_markdown(source['note'])}" if source.get("note") else ""
        st.markdown(f"- {safe_link(source['url'])}{note} :gray[(read {source['read']})]")


def _show_literature(row: MilestoneRow) -> None:
    """Shows which of the imported works are this milestone, and which mention it."""
    found = related.related_works(row, cache.milestones_by_identifier)
    if not found.same and not found.mentions:
        return
    st.header("In the imported literature", anchor="literature")
    for title, hits in {"Is this milestone": found.same, "Mentions it": found.mentions}.items():
        for hit in hits:
            work = ", ".join(filter(None, [hit.title, str(hit.year or "")]))
            st.markdown(f"- {title}: {escape_markdown(work)} {safe_link(hit.url)}")
    if found.total > len(found.mentions):
        st.caption(f"{found.total:,} of the imported works mention it; Explore finds them.")
