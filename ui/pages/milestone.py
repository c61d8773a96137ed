"""One milestone: its story, its place in the lineage, its claims with what was measured, its code, and a button to run it."""

import contextlib
import importlib
from typing import Any

import streamlit as st

from kb import db, graph, implementations
from kb.implementations import Implementation, Section, Setting
from kb.runs import launcher, store
from kb.schema import displayed
from kb.tables import MilestoneRow, Run
from ui import frame, standing, words
from ui.kin import kin

VERBS = {  # how a link reads from the later milestone
    "builds_on": "builds on",
    "implements": "implements",
    "runs_on": "runs on",
    "enabled_by": "enabled by",
    "evaluated_on": "evaluated on",
    "supersedes": "supersedes",
    "equivalent_to": "equivalent to",
    "disputes": "disputes",
}


def show() -> None:
    name = st.query_params.get("id", "")
    row = db.milestone(frame.engine(), name)
    if row is None:
        st.title("No such milestone")
        st.write(f"The timeline has nothing with the id {frame.plain(name) or 'that this address lacks'}.")
        frame.link("timeline", "To the timeline")
        return
    entry = row.entry
    implementation = implementations.read(row.implementation) if row.implementation else None
    _head(row, entry)
    story, beside = st.columns([5, 3], gap="large")
    with story:
        words.idea(entry["idea"])
        st.markdown(frame.story(entry["story"]))
        for sentence in entry.get("unconfirmed", []):
            st.caption(f":material/help: Unconfirmed: {frame.plain(sentence)}")
        _spec(entry)
    with beside:
        _lineage(row)
        _facts(entry)
    if implementation:
        _claims(row)
        _launch(implementation)
        _runs(implementation)
        _code(entry, implementation)
    _sources(entry)
    if implementation and frame.may_launch():
        _get_ready()


def _get_ready() -> None:
    """The click on Run waits neither for the libraries of the run's charts nor for a worker that starts."""
    importlib.import_module("ui.pages.run")
    with contextlib.suppress(OSError):  # where nothing can be written nothing can run, and the click says so
        launcher.ensure_supervisor()


def _head(row: MilestoneRow, entry: dict[str, Any]) -> None:
    meaning = entry.get("date_is", "")
    words.kicker(row.track, row.kind, f"{meaning} {words.when(row.date)}".strip())
    st.title(frame.plain(row.title), anchor=False)
    venue = f"  \n{frame.plain(entry['venue'])}" if entry.get("venue") else ""
    st.markdown(frame.plain(words.people(entry)) + venue)


def _lineage(row: MilestoneRow) -> None:
    built_on, led_to = graph.neighbours(frame.lineage(), row.id)
    if clicked := kin(row, built_on, led_to, frame.milestones(), key=f"kin-{row.id}"):
        frame.go("milestone", id=clicked)
    frame.link("lineage", "Its lineage, drawn", id=row.id)
    for title, steps in {"What it stands on": built_on, "What came of it": led_to}.items():
        st.markdown(f"**{title}**")
        if not steps:
            st.caption("Nothing on the timeline.")
        for step in steps:
            target = frame.milestones()[step.id]
            with st.container(gap=None):
                frame.link("milestone", f"{target.short}, {target.date[:4]}", id=step.id)
                st.caption(f"{VERBS[step.via]}{': ' + frame.plain(step.how) if step.how else ''}")


def _facts(entry: dict[str, Any]) -> None:
    facts = {
        "Licence": entry.get("licence"),
        "Languages": ", ".join(entry.get("languages", [])),
        "Tags": ", ".join(entry.get("tags", [])),
        "About the date": entry.get("date_note"),
    }
    lines = [f"**{name}** {frame.plain(text)}" for name, text in facts.items() if text]
    addresses = {
        "Home": entry.get("url"),
        "Repository": entry.get("repository"),
        "arXiv": entry.get("arxiv") and f"https://arxiv.org/abs/{entry['arxiv']}",
        "DOI": entry.get("doi") and f"https://doi.org/{entry['doi']}",
    }
    lines += [f"**{name}** {frame.address(address)}" for name, address in addresses.items() if address]
    if lines:
        st.markdown("**Facts**\n\n" + "  \n".join(lines))


def _spec(entry: dict[str, Any]) -> None:
    if spec := entry.get("spec"):
        rows = [
            {
                "figure": name.replace("_", " "),
                "value": f"{figure['value']:,} {figure['unit']}"
                + (f", {figure['format']}" if "format" in figure else ""),
                "given in": figure["where"],
            }
            for name, figure in spec.items()
        ]
        st.dataframe(rows, hide_index=True)


def _claims(row: MilestoneRow) -> None:
    st.header("What it claims", anchor="claims")
    standing.show(standing.of([claim for claim in db.claims(frame.engine()) if claim.milestone == row.id]))


def _launch(implementation: Implementation) -> None:
    st.header("Run it", anchor="run-it")
    if not frame.may_launch():
        frame.why_not()
        st.code(f"kb run {implementation.name} --preset quick", language="bash")
        return
    hints = {
        "smoke": "seconds; proves nothing",
        "quick": "about a minute",
        "full": "minutes",
        "paper": "as published: hours",
    }
    like = _like(implementation)
    preset = st.segmented_control(
        "Preset",
        list(implementation.presets),
        default=like.preset if like else "quick",
        required=True,
        format_func=lambda name: f"{name}: {hints[name]}" if name in hints else name,
        key=f"preset-{implementation.name}",
    )
    given = implementation.presets[preset or "quick"]
    shown = given | (like.changes if like and like.preset == preset else {})
    with st.form(f"launch-{implementation.name}", border=False):
        with st.expander("Settings", icon=":material/tune:", expanded=like is not None):
            if like:
                st.caption(frame.plain(f"as in run {like.id}"))
            device = _device(like.device if like else "auto")
            texts = {
                setting.name: _field(setting, shown[setting.name], key=f"{implementation.name}-{preset}-{setting.name}")
                for setting in implementation.settings
            }
        pressed = st.form_submit_button("Run", type="primary", icon=":material/play_arrow:")
    frame.signed_in()
    if not pressed:
        return
    changed = {name: text for name, text in texts.items() if text != _text(given[name])}
    with frame.asking():
        settings = implementations.parse_settings(implementation, preset or "quick", changed)
        run_id = store.submit(frame.engine(), implementation.name, preset or "quick", changes=settings, device=device)
        frame.go("run", id=run_id)


def _like(implementation: Implementation) -> Run | None:
    """The run whose settings the form begins with, if the address names one of this implementation's."""
    with contextlib.suppress(store.UnknownRun):
        run = store.get(frame.engine(), st.query_params.get("like", ""))
        return run if run.implementation == implementation.name and run.preset in implementation.presets else None
    return None


def _device(wanted: str) -> str:
    """The devices of this machine, as the last supervisor saw them; before the first there is no list to choose from."""
    names = {"auto": "auto: the best that is free", "cpu": "cpu"}
    names |= {one.id: f"{one.id}: {one.name}" for one in store.devices(frame.engine())}
    ids = [*names, *({wanted} - names.keys())]
    return str(st.selectbox("device", ids, index=ids.index(wanted), format_func=lambda id: names.get(id, id)))


def _field(setting: Setting, value: Any, key: str) -> str:
    """A setting as a field; it is parsed as the command line's `--set` is."""
    about = f"{setting.type}; {frame.plain(setting.comment)}"
    return str(st.text_input(setting.name, _text(value), help=about, key=key))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _runs(implementation: Implementation) -> None:
    found = store.latest(frame.engine(), implementation=implementation.name, limit=8)
    if found:
        st.markdown("**Its runs**")
    for run in found:
        text = f"{run.preset} on {words.device(run).split(' ')[0]}, {run.status}, {words.ago(run.submitted)}"
        st.page_link(
            frame.pages()["run"],
            label=frame.plain(text),
            icon=words.STATUS_ICONS[run.status],
            query_params={"id": run.id},
        )


def _code(entry: dict[str, Any], implementation: Implementation) -> None:
    st.header("The code", anchor="code")
    st.caption(
        f"`impl/{implementation.path.name}`, {implementation.source.count(chr(10))} lines. "
        f"In a shell: `python -m impl.{implementation.name} --preset quick`"
    )
    for section, equations in computed(entry, implementation):
        _beside(section, equations)
    whole = "the whole file"
    chosen = st.pills("More of it", [whole, *(s.name for s in implementation.sections)], key="section")
    if chosen == whole:
        with st.container(height=640):  # what scrolls must hold something that the keyboard reaches: its copy button
            st.code(implementation.source, language="python", line_numbers=True, wrap_lines=True)
    for section in implementation.sections:
        if section.name == chosen:
            _beside(section, [])


def computed(entry: dict[str, Any], implementation: Implementation) -> list[tuple[Section, list[str]]]:
    """The parts of the file that the entry's `code` names, in the file's order, with the equations that each computes."""
    equations = list(zip(entry.get("code", []), displayed(entry["story"]), strict=False))
    found = [(section, [tex for name, tex in equations if name == section.name]) for section in implementation.sections]
    return [(section, some) for section, some in found if some]


def parts(equation: str) -> list[str]:
    """The equations that stand side by side in one line, each for a line of its own."""
    found = [part.strip().rstrip(",") for part in equation.split("\\qquad")]
    whole = all(part.count("{") == part.count("}") and part.count("\\begin") == part.count("\\end") for part in found)
    return found if whole else [equation]


def _beside(section: Section, equations: list[str]) -> None:
    """What a part of the file computes and says of itself, and beside it its code."""
    said, code = st.columns([4, 5], gap="large")
    with said:
        for equation in equations:
            for part in parts(equation):
                st.latex(part)
        st.html(words.explained(section))
    with code:
        st.code(section.code, language="python", wrap_lines=True)


def _sources(entry: dict[str, Any]) -> None:
    st.header("Sources", anchor="sources")
    for source in entry["sources"]:
        note = f": {frame.plain(source['note'])}" if source.get("note") else ""
        st.markdown(f"- <{source['url']}>{note} :gray[(read {source['read']})]")
