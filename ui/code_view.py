"""The code of an implementation on a milestone's page, beside the equations that it computes."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from kb.equation_terms import BoundTerm
from kb.equations import sections_with_equations
from kb.exports.notebook import as_notebook
from kb.implementations import Implementation, Section
from ui import html_parts
from ui.terms import draw_terms

WHOLE_FILE = "the whole file"


def show_code(entry: dict[str, Any], implementation: Implementation) -> None:
    """Shows the sections that compute the story's equations; any other section on request."""
    st.header("The code", anchor="code")
    lines = implementation.source.count("\n")
    st.caption(
        f"`impl/{implementation.path.name}`, {lines} lines. "
        f"In a shell: `python -m impl.{implementation.name} --preset quick`"
    )
    st.download_button(
        "Jupyter notebook",
        lambda: as_notebook(entry, implementation, "quick"),
        f"{entry['id']}.ipynb",
        "application/x-ipynb+json",
        icon=":material/download:",
        help="The story and this code in cells that can be changed and run",
        on_click="ignore",
    )
    show_equations(entry, implementation)
    names = [section.name for section in implementation.sections]
    chosen = st.pills("Other parts of the file", [WHOLE_FILE, *names], key="section")
    if chosen == WHOLE_FILE:
        # A scrolling container must hold something that the keyboard reaches: the copy button.
        with st.container(height=640):
            st.code(implementation.source, language="python", line_numbers=True, wrap_lines=True)
    for section in implementation.sections:
        if section.name == chosen:
            show_section(section, [])


def show_equations(
    entry: dict[str, Any], implementation: Implementation, *, stacked: bool = False
) -> None:
    """Shows the equations of the story, each beside the section that computes it, or above it."""
    for part in sections_with_equations(entry, implementation):
        show_section(*part, stacked=stacked)


def show_section(
    section: Section,
    equations: Sequence[str],
    terms: Sequence[BoundTerm] = (),
    *,
    stacked: bool = False,
) -> None:
    """Shows a section of the file: its equations and docstring, and beside them the code.

    Where terms of the equations are tied to the code, each lights the other.
    """
    if terms:
        draw_terms(section, equations, terms, stacked=stacked)
        return
    if stacked:
        explanation, code = st.container(), st.container()
    else:
        explanation, code = st.columns([4, 5], gap="large")
    with explanation:
        for equation in equations:
            st.latex(equation)
        st.html(html_parts.section_html(section))
    with code:
        st.code(section.code, language="python", wrap_lines=True)
