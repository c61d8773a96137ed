"""Tells the page in the browser where its server is.

A Streamlit page that is opened at /lineage first looks for its server there, with two requests that
get status 404 and stand red in the browser's console. The script below says where the server is.
"""

from typing import Any

from ui.asgi import Application, Message, Receive, Send

HEAD = b"<head>"
SCRIPT = b"""<script>
  window.__streamlit = { BACKEND_BASE_URL: new URL(".", location.href).href };
</script>"""


class DeepLinks:
    """An ASGI application that adds the script to each HTML page of another."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _accepts_html(scope):
            scope["headers"] = [h for h in scope["headers"] if h[0] != b"accept-encoding"]
            send = _Inserting(send).send
        await self.application(scope, receive, send)


def _accepts_html(scope: Message) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


class _Inserting:
    """Hands on a response when all of it is there, with the script in its head."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: dict[str, Any] = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_html(message):
            self._start = dict(message)
        elif message["type"] == "http.response.body" and self._start:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish()
        else:
            await self._send(message)

    async def _finish(self) -> None:
        body = self._body.replace(HEAD, HEAD + SCRIPT, 1)
        headers = [h for h in self._start["headers"] if h[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await self._send(self._start | {"headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _is_html(message: Message) -> bool:
    return message["status"] == 200 and any(
        name.lower() == b"content-type" and value.startswith(b"text/html")
        for name, value in message["headers"]
    )
