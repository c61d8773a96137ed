"""Steps and slides: their number in the address, and the buttons back and next."""

import streamlit as st


def read_number(name: str, count: int) -> int:
    """The parameter `name` of the address, from 1 to `count`; what makes no sense is the first."""
    text = st.query_params.get(name, "1")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 1
    return min(max(number, 1), count)


def show_buttons(name: str, number: int, count: int, last: str = "Next") -> None:
    """Back and next, by the arrow keys too. `last` is what the step to the last one is called."""
    with st.container(horizontal=True):
        if number > 1 and st.button("Back", icon=":material/arrow_back:", shortcut="Left"):
            _go_to(name, number - 1)
        label = last if number == count - 1 else "Next"
        if number < count and st.button(
            label, icon=":material/arrow_forward:", shortcut="Right", type="primary"
        ):
            _go_to(name, number + 1)


def _go_to(name: str, number: int) -> None:
    st.query_params[name] = str(number)
    st.rerun()
