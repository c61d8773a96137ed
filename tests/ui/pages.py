"""Helpers to open a page with Streamlit's AppTest and to read what it shows."""

from typing import Any

from streamlit.testing.v1 import AppTest

SECONDS = 60


def draw(page: str) -> None:
    """One page among the pages of the app, as its address would open it."""
    import importlib

    import streamlit as st

    from ui import navigation

    st.navigation(list(navigation.pages().values()), position="hidden")
    importlib.import_module(f"ui.pages.{page}").show()


def open_page(page: str, **query: str) -> AppTest:
    import streamlit as st

    st.cache_resource.clear()
    app = AppTest.from_function(draw, args=(page,), default_timeout=SECONDS)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def page_text(app: AppTest) -> str:
    """All the text of the page, with the source of its HTML."""
    parts: list[Any] = [
        *app.title,
        *app.header,
        *app.subheader,
        *app.markdown,
        *app.caption,
        *app.error,
        *app.info,
        *app.code,
    ]
    html = [str(element.proto.body) for element in app.main if element.type == "html"]
    return "\n".join([str(part.value) for part in parts] + html)
