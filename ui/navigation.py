"""The app's pages by their addresses, and links between them."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st

from kb.search import Answer, Hit
from kb.tables import MilestoneRow
from ui.escape import escape_markdown

STYLE = Path(__file__).parent / "style.css"
ICON = Path(__file__).parent / "icon.svg"


class PageInfo(NamedTuple):
    module: str  # in ui/pages
    title: str
    address: str
    in_menu: bool  # the other pages are reached by links


PAGES = {
    "timeline": PageInfo("timeline", "Timeline", "home", in_menu=True),
    "search": PageInfo("search", "Explore", "search", in_menu=True),
    "tour": PageInfo("tour", "Tours", "tour", in_menu=True),
    "lineage": PageInfo("lineage", "Lineage", "lineage", in_menu=True),
    "claims": PageInfo("claims", "Claims", "claims", in_menu=True),
    "time-machine": PageInfo("time_machine", "Time machine", "time-machine", in_menu=True),
    "runs": PageInfo("runs", "Runs", "runs", in_menu=True),
    # For visitors who type /timeline: the address of the home page is /.
    "timeline-alias": PageInfo("timeline", "Timeline", "timeline", in_menu=False),
    "milestone": PageInfo("milestone", "Milestone", "milestone", in_menu=False),
    "compare": PageInfo("compare", "Compare", "compare", in_menu=False),
    "run": PageInfo("run", "Run", "run", in_menu=False),
    "sweep": PageInfo("sweep", "Sweep", "sweep", in_menu=False),
}
HOME = "timeline"


def show() -> None:
    """Draws the page that the address names."""
    page = st.navigation(list(pages().values()), position="top")
    title = page.title if page.url_path else "The executable history of deep learning"
    st.set_page_config(page_title=title, page_icon=str(ICON), layout="wide")
    st.html(STYLE)
    # A link to another view of the same page leaves the browser's address unchanged. Setting the
    # parameters again updates it.
    st.query_params.from_dict(st.query_params.to_dict())
    page.run()


def pages() -> dict[str, Any]:
    """The pages by name. Each session has its own: a page remembers whether it was drawn."""
    if "pages" not in st.session_state:
        st.session_state["pages"] = {
            name: st.Page(
                _import_later(info.module),
                title=info.title,
                url_path=info.address,
                default=name == HOME,
                visibility="visible" if info.in_menu else "hidden",
            )
            for name, info in PAGES.items()
        }
    return dict(st.session_state["pages"])


def _import_later(module: str) -> Callable[[], None]:
    """A page that is imported when it is first drawn: the home page needs no chart library."""

    def draw() -> None:
        importlib.import_module(f"ui.pages.{module}").show()

    return draw


def show_correction(answer: Answer, first: Hit | MilestoneRow) -> None:
    """Says what was answered instead of the query, with links that answer common questions.

    `first` is the first milestone that matches.
    """
    if answer.subject:
        st.markdown(f"You ask about **{escape_markdown(first.short)}**. The answers:")
    else:
        correction = escape_markdown(answer.correction or "")
        shown = "Nearest by any of them" if answer.any_word else "Showing results for"
        st.info(
            f"No milestone matches all of these words. {shown}: {correction}",
            icon=":material/search:",
        )
    lineage_links(first)


def lineage_links(milestone: Hit | MilestoneRow) -> None:
    """Shows links that answer common questions about a milestone."""
    short = milestone.short
    with st.container(horizontal=True):
        link("lineage", f"What made {short} possible?", id=milestone.id, show="before")
        link("lineage", f"What did {short} make possible?", id=milestone.id, show="after")
        if milestone.implementation:
            link("milestone", f"Is {short} reproduced?", id=milestone.id)


def link(page: str, label: str, /, icon: str | None = None, **query: str) -> None:
    """Shows a link to a page of the app, with these parameters. The label is text, not markdown."""
    st.page_link(pages()[page], label=escape_markdown(label), icon=icon, query_params=query)


def switch_to(page: str, **query: str) -> None:
    """Opens another page of the app in place of this one."""
    st.switch_page(pages()[page], query_params=query)
