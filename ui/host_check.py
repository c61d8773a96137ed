"""Which requests the server answers: those for the names that it is meant to have.

Without this, a page of another site could let its own name lead to this server (DNS rebinding), and
so read the app and start runs through a visitor's browser. Streamlit compares the origin of a
WebSocket only with the name in the same request.
"""

import importlib
import os
from collections.abc import Iterable
from typing import Any

from kb.cli.serve import LOOPBACK
from ui.asgi import Application, Message, Receive, Send
from ui.deep_links import DeepLinks
from ui.unknown_address import UnknownAddress

METRICS_PATH = "/_stcore/metrics"


class HostCheck:
    """An ASGI application that hands on what it doesn't refuse."""

    def __init__(
        self, application: Application, names: Iterable[str], *, shows_metrics: bool
    ) -> None:
        self.application = application
        self.names = frozenset(names)
        self.shows_metrics = shows_metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            if not self.is_known(scope):
                message = "This server doesn't have that name; kb serve --host NAME gives it one."
                await _refuse(scope, receive, send, 421, message)
                return
            if not self.shows_metrics and scope["path"].rstrip("/").endswith(METRICS_PATH):
                await _refuse(scope, receive, send, 404, "Not found: see kb serve --metrics.")
                return
        await self.application(scope, receive, send)

    def is_known(self, scope: Message) -> bool:
        """Whether the request has one Host, of a known name; its port isn't compared."""
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        return len(hosts) == 1 and host_name(hosts[0].decode("latin-1")) in self.names


def host_name(host: str) -> str:
    """The name in a Host header, without the port: "localhost" of "localhost:8501"."""
    host = host.strip().lower()
    if host.startswith("["):  # an IPv6 address
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


async def _refuse(scope: Message, receive: Receive, send: Send, status: int, message: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # the request to connect
        await send({"type": "websocket.close", "code": 1008})  # so it is refused with status 403
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{message}\n".encode()})


def guard_streamlit() -> None:
    """Puts the check before the server that Streamlit is about to start."""
    config: Any = importlib.import_module("streamlit.config")
    server: Any = importlib.import_module("streamlit.web.server.starlette.starlette_server")
    create_app = server.create_starlette_app
    names = list(filter(None, os.environ.get("KB_HOSTS", "").split(","))) or LOOPBACK
    shows_metrics = bool(os.environ.get("KB_METRICS"))

    def create_guarded_app(runtime: Any) -> Any:
        base = config.get_option("server.baseUrlPath").strip("/")
        pages = UnknownAddress(DeepLinks(create_app(runtime)), f"/{base}/" if base else "/")
        return HostCheck(pages, names, shows_metrics=shows_metrics)

    server.create_starlette_app = create_guarded_app
