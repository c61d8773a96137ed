"""The answer to an address that the app doesn't have: what was asked for, and where to go on.

Streamlit would open the home page with a message that speaks of its own folders.
"""

from html import escape
from urllib.parse import quote, unquote

from ui.asgi import Application, Message, Receive, Send
from ui.navigation import PAGES

STREAMLIT = ("_stcore", "app", "auth", "component", "healthz", "media", "oauth2callback", "static")
SHOWN = 60  # characters of an address
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Unknown address · The executable history of deep learning</title>
<style>
  :root {{ color-scheme: light dark; --ink: #22262b; --paper: #fbfaf7; --link: #25598f; }}
  @media (prefers-color-scheme: dark) {{
    :root {{ --ink: #e6e4de; --paper: #14171b; --link: #9cc7ef; }}
  }}
  body {{ background: var(--paper); color: var(--ink); font: 1.05rem/1.6 system-ui, sans-serif;
    margin: 14vh auto; max-width: 34rem; padding: 0 1.2rem; }}
  h1 {{ font: 600 1.9rem/1.2 Georgia, serif; overflow-wrap: anywhere; }}
  a {{ color: var(--link); }}
  nav {{ display: flex; flex-wrap: wrap; gap: 0.4rem 1.2rem; }}
</style>
</head>
<body>
<main>
<h1>There is no page {address}</h1>
<p>Perhaps <a href="{base}search?q={query}">a search for “{words}”</a> finds what you look for.</p>
<nav>{links}</nav>
</main>
</body>
</html>
"""


class UnknownAddress:
    """An ASGI application that hands on every request but those for a page that isn't there.

    `base` is the path below which the app is served, as `/history/`, or `/`.
    """

    def __init__(self, application: Application, base: str = "/") -> None:
        self.application = application
        self.base = base

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _asks_for_page(scope) and self.is_unknown(scope["path"]):
            await self._answer(scope["path"], send)
        else:
            await self.application(scope, receive, send)

    def is_unknown(self, path: str) -> bool:
        """Whether neither the app nor Streamlit has this path."""
        address = path.removeprefix(self.base).strip("/")
        first, _, rest = address.partition("/")
        addresses = ["", *(page.address for page in PAGES.values())]
        is_known = first in STREAMLIT or (first in addresses and not rest)
        is_file = "." in address  # as favicon.png
        return not is_known and not is_file and path.strip("/") != self.base.strip("/")

    async def _answer(self, path: str, send: Send) -> None:
        address = unquote(path)
        words = address.strip("/").replace("/", " ").replace("-", " ").replace("_", " ")
        links = "".join(
            f'<a href="{self.base}{"" if page.title == "Timeline" else page.address}">'
            f"{page.title}</a>"
            for page in PAGES.values()
            if page.in_menu
        )
        text = PAGE.format(
            address=escape(address[:SHOWN]),
            base=self.base,
            query=quote(words[:SHOWN]),
            words=escape(words[:SHOWN]),
            links=links,
        )
        headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})


def _asks_for_page(scope: Message) -> bool:
    return scope["method"] == "GET" and any(
        name == b"accept" and b"text/html" in value for name, value in scope["headers"]
    )
