"""The Explore page: a search of the timeline, one of imported literature, and SQL, each in a tab.

The tab is in the address as `in`, the search as `q`.
"""

import streamlit as st

from ui import literature_search, milestone_search, sql_queries

TABS = {
    "timeline": ("The timeline", milestone_search.show),
    "literature": ("Imported literature", literature_search.show),
    "sql": ("SQL", sql_queries.show),
}
DEFAULT_TAB = "timeline"


def show() -> None:
    st.title("Explore", anchor=False)
    in_address = st.query_params.get("in", DEFAULT_TAB)
    tab = st.segmented_control(
        "Search in",
        list(TABS),
        default=in_address if in_address in TABS else DEFAULT_TAB,
        required=True,
        format_func=lambda name: TABS[name][0],
        label_visibility="collapsed",
        key="explore-place",
    )
    if tab != in_address:
        st.query_params["in"] = tab or DEFAULT_TAB
    _, show_tab = TABS[tab or DEFAULT_TAB]
    show_tab()
