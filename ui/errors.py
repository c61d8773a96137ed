"""Error messages that a page shows in place of a result."""

import contextlib
from collections.abc import Iterator

import streamlit as st

from kb.runs.store import Unwritable
from ui.escape import escape_markdown


def show_query_error(error: Exception) -> None:
    """Shows the message of an invalid query; it may point at a place in the query."""
    st.error("The query is not valid.", icon=":material/error:")
    st.code(str(error), language=None, wrap_lines=True)


@contextlib.contextmanager
def show_errors() -> Iterator[None]:
    """Shows why a request to the run store failed: it was refused, or the disk is full."""
    try:
        yield
    except (ValueError, Unwritable) as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
