"""Fields that show a parameter of the page's address and write it, so that a view has a link."""

from typing import Any

import streamlit as st


def query_field(
    label: str, placeholder: str, *, area: bool = False, default: str = "", hidden: bool = False
) -> str:
    """Draws a text field that shows the address's parameter `q`, and returns its text.

    Whichever of the two was changed last is written to the other. `hidden` hides the label.
    """
    in_address = st.query_params.get("q", default)
    key = synced_key("query", in_address)
    visibility: Any = "collapsed" if hidden else "visible"
    if area:
        query = st.text_area(label, key=key, height=130)
    else:
        query = st.text_input(label, key=key, placeholder=placeholder, label_visibility=visibility)
    if query != in_address:
        set_param("q", query)
        mark_synced("query", query)
    return query


def set_param(name: str, value: str | None) -> None:
    """Writes a parameter to the address; None removes it."""
    if value is not None:
        st.query_params[name] = value
    elif name in st.query_params:
        del st.query_params[name]


def synced_key(name: str, value: Any) -> str:
    """Returns the key of a widget that shows `value`, which comes from the address.

    The key changes when the address was changed by anything but the widget. With the same key the
    browser could still send the widget's previous value, as if the user had just entered it. After
    writing a widget's value to the address, call `mark_synced`.
    """
    state = st.session_state
    last = state.get(f"{name}-last")
    if last is None or last[1] != value:
        generation = 0 if last is None else last[0] + 1
        state[f"{name}-last"] = last = (generation, value)
    key = f"{name}-{last[0]}"
    if key not in state:
        state[key] = value
    return key


def mark_synced(name: str, value: Any) -> None:
    """Records that the address has the value of the widget, whose key then stays the same."""
    generation, _ = st.session_state[f"{name}-last"]
    st.session_state[f"{name}-last"] = (generation, value)
