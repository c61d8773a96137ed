"""Which addresses are unknown, and what is answered to them."""

from typing import Any

import pytest

from tests.asynchronous import run_to_end
from ui.asgi import Message, Receive, Send
from ui.navigation import PAGES
from ui.unknown_address import UnknownAddress

BROWSER = [(b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8")]


def answer(path: str, base: str = "/", **changes: Any) -> list[Message]:
    """What is sent; nothing, if the request is handed on."""
    sent: list[Message] = []

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        assert scope["path"] == path

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": path, "headers": BROWSER} | changes
    run_to_end(UnknownAddress(application, base)(scope, receive, send))
    return sent


def page(path: str, base: str = "/") -> str:
    start, body = answer(path, base)
    assert start["status"] == 404
    return str(body["body"].decode())


@pytest.mark.parametrize("base", ["/", "/history/"])
def test_pages_and_what_streamlit_has_are_handed_on(base: str) -> None:
    known = [page.address for page in PAGES.values()]
    parts = ["", "lineage/", "_stcore/health", "static/js/index.js", "favicon.png", "component/x/y"]
    for path in [*known, *parts]:
        assert not answer(base + path, base)


def test_only_pages_are_answered() -> None:
    assert not answer("/nowhere", headers=[(b"accept", b"*/*")])
    assert not answer("/nowhere", method="POST")
    assert not answer("/nowhere", type="websocket")


def test_an_unknown_address_is_named_and_leads_on() -> None:
    text = page("/batch-norm")
    assert "<h1>There is no page /batch-norm</h1>" in text
    assert '<a href="/search?q=batch%20norm">a search for “batch norm”</a>' in text
    assert '<a href="/">Timeline</a><a href="/search">Explore</a>' in text
    assert '<a href="/history/lineage">' in page("/history/nowhere", "/history/")
    assert page("/lineage/dropout"), "a page has no pages below it"


def test_what_was_asked_for_is_text_and_short() -> None:
    text = page("/<script>alert(1)</script>{0}%22onload")
    assert "<script" not in text and "&lt;script&gt;" in text and "{0}" in text
    assert len(page("/" + "x" * 100_000)) < 3_000
