"""What every page has: its address, the navigation, the style; and what is opened once for all of them."""

import contextlib
import importlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import streamlit as st
from sqlalchemy import Engine
from streamlit.errors import StreamlitAuthError

from kb import db
from kb.runs.store import Unwritable
from kb.search import Hit
from kb.tables import MilestoneRow

STYLE = Path(__file__).parent / "style.css"
ICON = Path(__file__).parent / "icon.svg"


def show() -> None:
    """Draws the page that the address names."""
    st.set_page_config(page_title="The executable history of deep learning", page_icon=str(ICON), layout="wide")
    st.html(STYLE)
    page = st.navigation(list(pages().values()), position="top")
    # A link to another view of the same page leaves the browser's address as it was; said again, it follows.
    st.query_params.from_dict(st.query_params.to_dict())
    page.run()


def pages() -> dict[str, Any]:
    """The pages by their address, of this session: a page remembers whether it was drawn, so that two can't share it."""
    if "pages" not in st.session_state:
        st.session_state["pages"] = _pages()
    return dict(st.session_state["pages"])


def _pages() -> dict[str, Any]:
    """Those of one milestone or run are reached by links, not from the menu."""
    return {
        "timeline": st.Page(_later("timeline"), title="Timeline", url_path="home", default=True),  # at /
        "search": st.Page(_later("search"), url_path="search", title="Explore"),
        "lineage": st.Page(_later("lineage"), url_path="lineage", title="Lineage"),
        "claims": st.Page(_later("claims"), url_path="claims", title="Claims"),
        "runs": st.Page(_later("runs"), url_path="runs", title="Runs"),
        "again": st.Page(
            _later("timeline"), title="Timeline", url_path="timeline", visibility="hidden"
        ),  # who types it
        "milestone": st.Page(_later("milestone"), url_path="milestone", title="Milestone", visibility="hidden"),
        "compare": st.Page(_later("compare"), url_path="compare", title="Compare", visibility="hidden"),
        "run": st.Page(_later("run"), url_path="run", title="Run", visibility="hidden"),
    }


def _later(name: str) -> Callable[[], None]:
    """A page that is imported when it is first drawn: the home page doesn't wait for the libraries of the charts."""

    def draw() -> None:
        importlib.import_module(f"ui.pages.{name}").show()

    return draw


@st.cache_resource
def engine() -> Engine:
    return db.open_database()


def milestones() -> dict[str, MilestoneRow]:
    """The timeline by id, in order of date; read again when it was loaded again."""
    return _milestones(db.loaded(engine()))


@st.cache_resource(max_entries=2)
def _milestones(digest: str | None) -> dict[str, MilestoneRow]:
    return {row.id: row for row in db.milestones(engine())}


def lineage() -> Any:
    """The lineage as a graph, cached likewise."""
    return _lineage(db.loaded(engine()))


@st.cache_resource(max_entries=2)
def _lineage(digest: str | None) -> Any:
    from kb import graph

    return graph.lineage(engine())


def asked(label: str, placeholder: str, *, area: bool = False, default: str = "", hidden: bool = False) -> str:
    """A field whose text is the address's `q`, whichever of the two was changed last."""
    given = st.query_params.get("q", default)
    key = synced("query", given)
    visibility: Any = "collapsed" if hidden else "visible"
    if area:
        query = st.text_area(label, key=key, height=130)
    else:
        query = st.text_input(label, key=key, placeholder=placeholder, label_visibility=visibility)
    if query != given:
        st.query_params["q"] = query
        told("query", query)
    return query


def synced(name: str, value: Any) -> str:
    """The key of a field that shows what the address says.

    It is another one after the address was changed by other means than the field: the browser may still tell what the field
    held before, and that would pass for a change by its user. Whoever writes a field's value to the address says so by `told`.
    """
    state = st.session_state
    if (last := state.get(f"{name}-last")) is None or last[1] != value:
        state[f"{name}-last"] = last = (0 if last is None else last[0] + 1, value)
    key = f"{name}-{last[0]}"
    if key not in state:
        state[key] = value
    return key


def told(name: str, value: Any) -> None:
    """The address says now what the field holds."""
    st.session_state[f"{name}-last"] = (st.session_state[f"{name}-last"][0], value)


def about(hit: Hit | MilestoneRow) -> None:
    """Where a question about a milestone is likely to lead."""
    with st.container(horizontal=True):
        link("lineage", f"What made {hit.short} possible?", id=hit.id, show="before")
        link("lineage", f"What came of {hit.short}?", id=hit.id, show="after")
        if hit.implementation:
            link("milestone", f"Does {hit.short} reproduce?", id=hit.id)


def unreadable(error: Exception) -> None:
    """In place of the answer to a query that says itself what is wrong with it."""
    st.error("That query can't be read.", icon=":material/error:")
    st.code(str(error), language=None, wrap_lines=True)


def may_launch() -> bool:
    """Whether this visitor may start and stop runs: not with `kb serve --read-only`, and where Streamlit's own sign-in is set
    up (an [auth] section in .streamlit/secrets.toml), only who has signed in."""
    return not os.environ.get("KB_READ_ONLY") and (not _guarded() or bool(st.user.get("is_logged_in")))


def _guarded() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:  # no secrets at all
        return False


def why_not() -> None:
    """In place of a button that this visitor hasn't got."""
    if os.environ.get("KB_READ_ONLY"):
        st.caption("Served for reading only: nothing can be run from here.")
    elif st.button("Sign in to run it", icon=":material/login:", key="sign-in"):
        try:
            st.login()
        except StreamlitAuthError as error:  # what is set up isn't whole, or Authlib isn't there
            st.error(plain(str(error)), icon=":material/error:")


def signed_in() -> None:
    """Who has signed in, and the way out; nothing where nobody has to."""
    if _guarded() and st.user.get("is_logged_in"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Signed in as {plain(str(st.user.get('name') or st.user.get('email') or 'somebody'))}.")
            if st.button("Sign out", icon=":material/logout:", type="tertiary"):
                st.logout()


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """What is asked of the runs may be refused, or the disk may be full: said in place of what would have followed."""
    try:
        yield
    except (ValueError, Unwritable) as error:
        st.error(plain(str(error)), icon=":material/error:")


def link(page: str, label: str, **query: str) -> None:
    """A link to a page of the app, whose text is shown as it is."""
    st.page_link(pages()[page], label=plain(label), query_params=query)


def go(page: str, **query: str) -> None:
    st.switch_page(pages()[page], query_params=query)


# What Streamlit replaces after markdown's own escapes are gone: names between colons by icons, arrows alone by arrows.
SHORTHAND = re.compile(r":(?=[\w+/-]+:)|(?<!\S)[<>~-](?=[->=]{1,2}(?!\S))")
JOINER = "\u2060"  # takes no room, and no line is broken at it


def plain(words: str) -> str:
    """Text from a file, for where Streamlit reads markdown: one line, and nothing in it is markup."""
    line = SHORTHAND.sub(rf"\g<0>{JOINER}", " ".join(words.split()))
    return "".join(f"\\{c}" if c in r"\`*_{}[]()<>#+-=!|$:~&." else c for c in line)


# In a story: a picture, a link or a definition that isn't of the web's, an address in <> that isn't.
ELSEWHERE = re.compile(r"!(?=\[)|\](?=[(:](?!\s*<?https?://))|<(?!https?://)(?=[a-z][a-z0-9+.-]+:)", re.IGNORECASE)
FENCE = re.compile(r"^([ \t>*+\d.)-]*(?:`{3,}(?=[^`]*$)|~{3,})).*")


def story(text: str) -> str:
    """A story, which is markdown: its links lead to the web and nowhere else, and nothing is fetched for it.

    A block of code loses the name of its language: one of mermaid's would be drawn, with the pictures that it names.
    """
    lines = [FENCE.sub(r"\1", line) for line in text.splitlines()]
    return ELSEWHERE.sub(rf"\g<0>{JOINER}", "\n".join(lines))


def address(url: str) -> str:
    """A link that shows where it leads; a DOI may hold what would end it."""
    return f"<{url.replace('<', '%3C').replace('>', '%3E')}>"
