"""Explore: the search box over the timeline or over imported literature, and read-only SQL. What is asked is in the address."""

from html import escape

import streamlit as st

from kb import exports
from kb import search as box
from kb import sql as reader
from kb.outside import finding, library
from ui import frame, words

EXAMPLES = (
    "track:hardware year:2012..2017",
    "has:impl",
    "from:backprop",
    "to:dropout",
    "claim:reproduced",
    "author:hinton",
)
PLACES = {"timeline": "The timeline", "literature": "Imported literature", "sql": "SQL"}
FEW = 20  # hits drawn at once
FILES = {
    "json": "json",
    "csv": "csv",
    "bibtex": "bib",
    "graphml": "graphml",
    "mermaid": "mmd",
    "jsonld": "jsonld",
    "html": "html",
}
QUESTIONS = {
    "Milestones by decade and track": "SELECT substr(first, 1, 3) || '0s' AS decade, track, count(*) AS milestones\n"
    "FROM milestone GROUP BY 1, 2 ORDER BY 1",
    "What most was built on": "SELECT m.short, count(*) AS links FROM link l JOIN milestone m ON m.id = l.target\n"
    "GROUP BY m.id ORDER BY links DESC LIMIT 15",
    "Figures of chips": "SELECT short, date, f.key AS figure, f.value ->> '$.value' AS value, f.value ->> '$.unit' AS unit\n"
    "FROM milestone, json_each(entry, '$.spec') f WHERE track = 'hardware' ORDER BY date",
    "Runs and their verdicts": "SELECT r.id, r.preset, v.claim, v.verdict, v.measured, v.baseline\n"
    "FROM run r JOIN verdict v ON v.run = r.id ORDER BY r.finished DESC",
}  # fmt: skip


def show() -> None:
    st.title("Explore", anchor=False)
    place = st.query_params.get("in", "timeline")
    place = st.segmented_control("Where", list(PLACES), default=place if place in PLACES else "timeline", required=True,
                                 format_func=PLACES.__getitem__, label_visibility="collapsed", key="explore-place")  # fmt: skip
    if place != st.query_params.get("in", "timeline"):
        st.query_params["in"] = place or "timeline"
    {"timeline": _timeline, "literature": _literature, "sql": _sql}[place or "timeline"]()


# The timeline


def _timeline() -> None:
    query = frame.asked("Words and qualifiers", "gpu track:hardware year:2006..2012")
    with st.container(horizontal=True):
        for example in EXAMPLES:
            frame.link("search", example, q=example)
    try:
        answer = box.search(frame.engine(), query)
    except box.BadQuery as error:
        frame.unreadable(error)
        return
    if answer.correction:
        st.info(f"No milestone has all of these words; shown is what {frame.plain(answer.correction)} finds.")
        if answer.hits:
            frame.about(answer.hits[0])
    results, facets = st.columns([3, 1], gap="large")
    with results:
        _results(answer)
    with facets:
        _facets(query, answer)
        _take_away(answer)


def _results(answer: box.Answer) -> None:
    hits = answer.hits if st.query_params.get("all") else answer.hits[:FEW]
    shown = f", the first {len(hits)} shown" if answer.total > len(hits) else ""
    st.caption(f"{answer.total} milestone{'' if answer.total == 1 else 's'}{shown}")
    if not answer.total:
        st.write("Nothing on the timeline matches. Fewer words, or one of the examples above, may help.")
    for hit in hits:
        with st.container(border=True, gap="xsmall"):
            words.kicker(hit.track, hit.kind, words.when(hit.date), *(["runs"] if hit.implementation else []))
            frame.link("milestone", hit.title, id=hit.id)
            st.html(f"<p>{_marked(hit.snippet) or escape(hit.idea)}</p>")
    if len(hits) < len(answer.hits):
        frame.link("search", f"Show {len(answer.hits)}", all="1", **st.query_params.to_dict())


def _marked(snippet: list[tuple[str, bool]]) -> str:
    return "".join(f"<mark>{escape(text)}</mark>" if match else escape(text) for text, match in snippet)


def _facets(query: str, answer: box.Answer) -> None:
    names = {"track": "Track", "kind": "Kind", "decade": "Decade", "verdict": "Claims", "tag": "Tag"}
    for facet, title in names.items():
        counts = sorted(answer.facets.get(facet, {}).items(), key=lambda item: -item[1])[:8]
        if counts:
            st.markdown(f"**{title}**")
        for value, count in counts:
            frame.link("search", f"{value} ({count})", q=f"{query} {_narrow(facet, value)}".strip())


def _narrow(facet: str, value: str) -> str:
    if facet == "decade":
        decade = int(value[:4])
        return f"year:{decade}..{decade + 9}"
    return f"claim:{value.replace(' ', '-')}" if facet == "verdict" else f"{facet}:{value}"


def _take_away(answer: box.Answer) -> None:
    if not answer.hits:
        return
    with st.popover("Take it away", icon=":material/download:"):
        form = st.radio("Format", list(FILES), horizontal=True, key="export-format") or "json"
        entries = [frame.milestones()[hit.id].entry for hit in answer.hits if hit.id in frame.milestones()]
        text = exports.FORMATS[form](entries)
        st.download_button(
            f"Save {len(entries)} as {FILES[form]}", text, file_name=f"milestones.{FILES[form]}", on_click="ignore"
        )


# Imported literature


def _literature() -> None:
    query = frame.asked("Words and qualifiers", "attention year:2014..2017 has:code")
    connection = library.opened()
    try:
        imports = [one for one in library.imports(connection) if one.finished]
        if not imports:
            st.info("Nothing was imported yet. The timeline is told elsewhere; here is room for everybody's papers beside it.",
                    icon=":material/library_books:")  # fmt: skip
            st.code("kb import library.bib", language="bash")
            st.write("BibTeX, OpenAlex works, the Papers with Code dumps, CSV and JSON lines are read, gzipped too.")
            return
        try:
            answer = finding.find(connection, query, 30, finding.curated(list(frame.milestones().values())))
        except box.BadQuery as error:
            frame.unreadable(error)
            return
    finally:
        connection.close()
    results, facets = st.columns([3, 1], gap="large")
    with results:
        st.caption(f"{answer.total:,} imported works, not curated: nobody here has checked them")
        for hit in answer.hits:
            _work(hit)
    with facets:
        for facet, title in {"decade": "Decade", "has": "Code", "source": "Imported from"}.items():
            st.markdown(f"**{title}**")
            st.html("<br>".join(f"{escape(value)} ({count:,})" for value, count in answer.facets[facet].items()) or "–")


def _work(hit: finding.Found) -> None:
    with st.container(border=True, gap="xsmall"):
        in_title = "".join(text for text, _ in hit.snippet) == hit.title
        st.html(f"<strong>{_marked(hit.snippet) if in_title else escape(hit.title)}</strong>")
        people = hit.people if len(hit.people) < 140 else f"{hit.people[:140]}…"
        st.caption(frame.plain(", ".join(filter(None, [people, hit.venue, str(hit.year or "")]))))
        if hit.snippet and not in_title:
            st.html(f"<p>{_marked(hit.snippet)}</p>")
        addresses = [hit.url or (hit.doi and f"https://doi.org/{hit.doi}"), *hit.code]
        st.markdown("  \n".join(f"<{address}>" for address in addresses if address))
        if hit.milestone:
            frame.link("milestone", f"on the timeline: {frame.milestones()[hit.milestone].short}", id=hit.milestone)


# SQL


def _sql() -> None:
    query = frame.asked(
        "One SELECT over the database; it can only be read", "", area=True, default=next(iter(QUESTIONS.values()))
    )
    with st.container(horizontal=True):
        for title, question in QUESTIONS.items():
            frame.link("search", title, q=question, **{"in": "sql"})
    results, beside = st.columns([3, 1], gap="large")
    with results:
        _answered(query)
    with beside:
        st.markdown("**Tables**")
        for table, columns in reader.schema().items():
            with st.expander(table):
                st.html("<br>".join(f"{escape(name)} <small>{escape(kind)}</small>" for name, kind in columns))


def _answered(query: str) -> None:
    try:
        with st.spinner("Asking"):
            found = reader.query(query)
    except reader.Refused as error:
        st.error(frame.plain(str(error)), icon=":material/error:")
        return
    import pandas as pd

    table = pd.DataFrame(found.rows, columns=_unlike(found.columns))
    st.caption(f"{'the first ' if found.cut else ''}{len(table)} row{'' if len(table) == 1 else 's'}")
    st.dataframe(table, hide_index=True)
    numbers = [name for name in table if pd.api.types.is_numeric_dtype(table[name])]
    if len(table) > 1 and numbers and table.columns[0] not in numbers:
        rest = [name for name in table if name not in numbers]
        st.bar_chart(table, x=rest[0], y=numbers[0], color=rest[1] if len(rest) == 2 else None, sort=False)
    st.download_button("Save as CSV", table.to_csv(index=False), file_name="answer.csv", on_click="ignore")


def _unlike(columns: tuple[str, ...]) -> list[str]:
    """Names of columns: SQL may give one twice, a table may not; and on two lines, which a chart can't be told."""
    columns = tuple(" ".join(name.split()) for name in columns)
    return [name if name not in columns[:place] else f"{name} ({place + 1})" for place, name in enumerate(columns)]
