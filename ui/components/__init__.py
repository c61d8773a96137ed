"""Components of the app in the browser. Each stands in a folder with its source files.

`ui/timeline` has timeline.css and timeline.js; files that several components share are here.
"""

from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

from ui.components.bundle import bundle

SHARED_CSS = Path(__file__).parent / "shared.css"


def register(folder: Path) -> ComponentRenderer:
    """Registers the component of a folder with Streamlit under the name of the folder.

    To be called once, when the component's Python module is imported.
    """
    js = bundle(folder / f"{folder.name}.js")
    return st.components.v2.component(folder.name, css=style(folder), js=js)


def style(folder: Path) -> str:
    """The CSS of the component of a folder, with what all components have in common."""
    sheets = (SHARED_CSS, folder / f"{folder.name}.css")
    return "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)


def ignore_change() -> None:
    """A callback that does nothing: Streamlit gives a result an attribute only if it has one."""
