"""The search box, its facets, and results that show why they matched. The query is in the address."""

from html import escape

import streamlit as st

from kb import search as box
from ui import frame, words

EXAMPLES = (
    "track:hardware year:2012..2017",
    "has:impl",
    "from:backprop",
    "to:dropout",
    "claim:reproduced",
    "author:hinton",
)


def show() -> None:
    st.title("Search", anchor=False)
    if "query" not in st.session_state or st.session_state.get("query_from") != st.query_params.get("q", ""):
        st.session_state["query"] = st.session_state["query_from"] = st.query_params.get("q", "")
    query = st.text_input("Words and qualifiers", key="query", placeholder="gpu track:hardware year:2006..2012")
    if query != st.query_params.get("q", ""):
        st.query_params["q"] = st.session_state["query_from"] = query
    with st.container(horizontal=True):
        for example in EXAMPLES:
            frame.link("search", example, q=example)
    try:
        answer = box.search(frame.engine(), query)
    except box.BadQuery as error:
        st.error("That query can't be read.", icon=":material/error:")
        st.code(str(error), language=None)
        return
    if answer.correction:
        st.info(f"Nothing matches as written; these match {frame.plain(answer.correction)}.")
    results, facets = st.columns([3, 1], gap="large")
    with results:
        _results(answer)
    with facets:
        _facets(query, answer)


def _results(answer: box.Answer) -> None:
    shown = f", the first {len(answer.hits)} shown" if answer.total > len(answer.hits) else ""
    st.caption(f"{answer.total} milestone{'' if answer.total == 1 else 's'}{shown}")
    if not answer.total:
        st.write("Nothing on the timeline matches. Fewer words, or one of the examples above, may help.")
    for hit in answer.hits:
        with st.container(border=True, gap="xsmall"):
            words.kicker(hit.track, hit.kind, words.when(hit.date), *(["runs"] if hit.implementation else []))
            frame.link("milestone", hit.title, id=hit.id)
            snippet = "".join(f"<mark>{escape(text)}</mark>" if match else escape(text) for text, match in hit.snippet)
            st.html(f"<p>{snippet or escape(hit.idea)}</p>")


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
