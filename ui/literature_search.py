"""The search of imported literature on the Explore page: results and counts."""

import html

import streamlit as st

from kb import search
from kb.literature import database, importing
from kb.literature.readers.source import FORMS
from kb.literature.search import Answer, WorkHit, search_works
from ui import cache, errors, html_parts, navigation, query_params
from ui.escape import escape_markdown, safe_link

MAX_HITS = 30
MAX_AUTHORS_LENGTH = 140  # characters
FACET_TITLES = {"decade": "Decade", "has": "Code", "source": "Imported from"}


def show() -> None:
    query = query_params.query_field("Words and qualifiers", "attention year:2014..2017 has:code")
    answer = _answer(query)
    if answer is None:
        return
    results, facets = st.columns([3, 1], gap="large")
    with results:
        st.caption(
            f"{answer.total:,} imported {'work' if answer.total == 1 else 'works'}. They are not "
            "curated: nobody here has checked them."
        )
        for hit in answer.hits:
            _show_work(hit)
    with facets:
        for facet, title in FACET_TITLES.items():
            _show_facet(title, answer.facets[facet])


def _answer(query: str) -> Answer | None:
    """The answer; shows why there is none if nothing was imported or the query is not valid."""
    connection = database.open_library()
    try:
        if not any(run.finished for run in importing.list_imports(connection)):
            _show_import_hint()
            return None
        known = cache.milestones_by_identifier()
        return search_works(connection, query, MAX_HITS, known)
    except search.BadQuery as error:
        errors.show_query_error(error)
        return None
    finally:
        connection.close()


def _show_import_hint() -> None:
    st.info(
        "Nothing was imported yet. Here you search works that you import from your own files; "
        "they stay apart from the timeline.",
        icon=":material/library_books:",
    )
    st.code("kb import library.bib", language="bash")
    st.write(f"The formats are {FORMS}, also gzipped.")


def _show_work(hit: WorkHit) -> None:
    with st.container(border=True, gap="xsmall"):
        is_title = "".join(text for text, _ in hit.snippet) == hit.title
        title = html_parts.snippet_html(hit.snippet) if is_title else html.escape(hit.title)
        st.html(f"<strong>{title}</strong>")
        authors = hit.people
        if len(authors) > MAX_AUTHORS_LENGTH:
            authors = f"{authors[:MAX_AUTHORS_LENGTH]}…"
        details = [authors, hit.venue, str(hit.year or "")]
        st.caption(escape_markdown(", ".join(filter(None, details))))
        if hit.snippet and not is_title:
            st.html(f'<p class="kb-snippet">{html_parts.snippet_html(hit.snippet)}</p>')
        addresses = [hit.url or (hit.doi and f"https://doi.org/{hit.doi}"), *hit.code]
        st.markdown("  \n".join(safe_link(url) for url in addresses if url))
        if hit.milestone:
            short = cache.milestones()[hit.milestone].short
            navigation.link("milestone", f"On the timeline: {short}", id=hit.milestone)


def _show_facet(title: str, counts: dict[str, int]) -> None:
    st.markdown(f"**{title}**")
    lines = [f"{html.escape(value)} ({count:,})" for value, count in counts.items()]
    st.html("<br>".join(lines) or "–")
