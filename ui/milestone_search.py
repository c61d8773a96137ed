"""The search of the timeline on the Explore page: results, facets and export."""

import html

import streamlit as st

from kb import exports, search
from kb.formatting import format_count
from kb.search import Answer, Hit
from ui import cache, errors, format, html_parts, navigation, query_params

EXAMPLES = (
    "track:hardware year:2012..2017",
    "has:impl",
    "from:backprop",
    "to:dropout",
    "claim:reproduced",
    "author:hinton",
)
FIRST_HITS = 20  # drawn at once; the others on request
FACET_TITLES = {
    "track": "Track",
    "kind": "Kind",
    "decade": "Decade",
    "verdict": "Verdicts on this machine",
    "tag": "Tag",
}
LISTED_VALUES = 8  # of a facet
EXTENSIONS = {  # of the files that milestones are exported to
    "json": "json",
    "csv": "csv",
    "bibtex": "bib",
    "graphml": "graphml",
    "mermaid": "mmd",
    "jsonld": "jsonld",
    "html": "html",
}


def show() -> None:
    query = query_params.query_field("Words and qualifiers", "gpu track:hardware year:2006..2012")
    with st.container(horizontal=True):
        for example in EXAMPLES:
            navigation.link("search", example, q=example)
    try:
        answer = search.search(cache.engine(), query)
    except search.BadQuery as error:
        errors.show_query_error(error)
        return
    if answer.correction and answer.hits:
        navigation.show_correction(answer, answer.hits[0])
    results, facets = st.columns([3, 1], gap="large")
    with results:
        _show_hits(answer)
    with facets:
        _show_facets(query, answer)
        _show_export(answer)


def _show_hits(answer: Answer) -> None:
    hits = answer.hits if st.query_params.get("all") else answer.hits[:FIRST_HITS]
    count = format_count(answer.total, "milestone")
    first = f", the first {len(hits)} shown" if answer.total > len(hits) else ""
    st.caption(f"{count}{first}")
    if not answer.total:
        st.write(
            "Nothing on the timeline matches. Use fewer words, or start with one of the examples "
            "above."
        )
    for hit in hits:
        _show_hit(hit)
    if len(hits) < len(answer.hits):
        label = f"Show the first {len(answer.hits)}"
        navigation.link("search", label, all="1", **st.query_params.to_dict())


def _show_hit(hit: Hit) -> None:
    with st.container(border=True, gap="xsmall"):
        runs = ["with code that runs"] if hit.implementation else []
        html_parts.show_track(hit.track, hit.kind, format.date(hit.date), *runs)
        navigation.link("milestone", hit.title, id=hit.id)
        text = html_parts.snippet_html(hit.snippet) or html.escape(hit.idea)
        st.html(f'<p class="kb-snippet">{text}</p>')


def _show_facets(query: str, answer: Answer) -> None:
    """Shows for each facet the most frequent values, as links that add them to the query."""
    for facet, title in FACET_TITLES.items():
        counts = answer.facets.get(facet, {})
        values = sorted(counts, key=counts.__getitem__, reverse=True)[:LISTED_VALUES]
        if values:
            st.markdown(f"**{title}**")
        for value in values:
            narrower = f"{query} {_facet_term(facet, value)}".strip()
            navigation.link("search", f"{value} ({counts[value]})", q=narrower)


def _facet_term(facet: str, value: str) -> str:
    """The qualifier that selects a value of a facet: "year:1990..1999" for the decade "1990s"."""
    if facet == "decade":
        decade = int(value[:4])
        return f"year:{decade}..{decade + 9}"
    return f"claim:{value.replace(' ', '-')}" if facet == "verdict" else f"{facet}:{value}"


def _show_export(answer: Answer) -> None:
    milestones = cache.milestones()
    entries = [milestones[hit.id].entry for hit in answer.hits if hit.id in milestones]
    if not entries:
        return
    with st.popover("Export", icon=":material/download:"):
        file_format = st.radio("Format", list(EXTENSIONS), horizontal=True, key="export-format")
        file_format = file_format or "json"
        count = format_count(len(entries), "milestone")
        st.download_button(
            f"Save {count} as {file_format}",
            exports.FORMATS[file_format](entries),
            file_name=f"milestones.{EXTENSIONS[file_format]}",
            on_click="ignore",
        )
