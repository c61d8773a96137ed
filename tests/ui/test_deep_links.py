"""The script that tells a page where its server is, and what goes through unchanged."""

from typing import Any

import pytest

from tests.asynchronous import run_to_end
from ui.asgi import Message, Receive, Send
from ui.deep_links import DeepLinks

PAGE = b"<!DOCTYPE html><html><head><title>x</title></head></html>"


def answer(headers: list[tuple[bytes, bytes]], kind: bytes, parts: list[bytes]) -> tuple[Any, Any]:
    """The request's headers as the application sees them, and what is sent to the browser."""
    seen: list[Any] = []
    sent: list[Message] = []

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(scope["headers"])
        length = str(sum(map(len, parts))).encode()
        start = [(b"content-type", kind), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": start})
        for i, part in enumerate(parts):
            more = i + 1 < len(parts)
            await send({"type": "http.response.body", "body": part, "more_body": more})

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "path": "/lineage", "headers": headers}
    run_to_end(DeepLinks(application)(scope, receive, send))
    return seen[0], sent


def body(sent: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("cut", [0, 20, 25, len(PAGE)])
def test_a_page_gets_the_script_whole_and_its_length(cut: int) -> None:
    wanted = [(b"accept", b"text/html,*/*"), (b"accept-encoding", b"gzip")]
    seen, sent = answer(wanted, b"text/html; charset=utf-8", [PAGE[:cut], PAGE[cut:]])
    assert body(sent).startswith(b"<!DOCTYPE html><html><head><script>")
    assert body(sent).endswith(b"</script><title>x</title></head></html>")
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(body(sent))).encode()
    assert (b"accept-encoding", b"gzip") not in seen, "a compressed page couldn't be changed"


def test_everything_else_is_handed_on_part_by_part() -> None:
    page = [(b"accept", b"text/html")]
    for headers, kind in ((page, b"text/javascript"), ([(b"accept", b"*/*")], b"text/html")):
        _, sent = answer(headers, kind, [PAGE[:9], PAGE[9:]])
        assert len(sent) == 3 and body(sent) == PAGE
