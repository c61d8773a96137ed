"""The server answers only to its names, as an ASGI application without a network."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kb.cli.serve import known_names
from kb.cli.shell import CommandError
from ui.host_check import HostCheck, host_name


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """The application behind the check."""
    await send({"type": "http.response.start", "status": 200})


def status_of(*hosts: str, path: str = "/", kind: str = "http", metrics: bool = False) -> Any:
    """The status, or the code with which a WebSocket is closed before it is open."""
    sent: list[Any] = []
    scope = {"type": kind, "path": path, "headers": [(b"host", host.encode()) for host in hosts]}

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    check = HostCheck(answer, known_names("127.0.0.1", ["App.example.org"]), shows_metrics=metrics)
    # in a thread: a browser test in this process leaves a running loop behind
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, check(scope, receive, send)).result()
    return sent[0].get("status") or sent[0]["code"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8501", "LOCALHOST.", "127.0.0.1:1", "[::1]:8501", "app.example.org"],
)
def test_a_name_of_the_server_is_answered(host: str) -> None:
    assert status_of(host) == 200
    assert status_of(host, kind="websocket") == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8501",
        "localhost.evil.example",
        "evil-localhost",
        "192.0.2.1",
        "[::2]",
        "",
        "localhost@evil.example",
        "evil.example#localhost",
    ],
)
def test_another_name_is_refused(host: str) -> None:
    assert status_of(host) == 421
    assert status_of(host, kind="websocket") == 1008


def test_a_request_has_one_host() -> None:
    assert status_of() == 421
    assert status_of("localhost", "evil.example") == 421


def test_metrics_are_closed_unless_asked_for() -> None:
    assert status_of("localhost", path="/_stcore/metrics") == 404
    assert status_of("localhost", path="/base/_stcore/metrics/") == 404
    assert status_of("localhost", path="/_stcore/metrics", metrics=True) == 200
    assert status_of("localhost", path="/_stcore/health") == 200


def test_names_follow_from_the_address() -> None:
    assert known_names("127.0.0.1", []) == ["localhost", "127.0.0.1", "::1"]
    assert "192.0.2.7" in known_names("192.0.2.7", [])
    everywhere = known_names("0.0.0.0", ["Bücher.example", "[2001:DB8::1]"])
    assert "0.0.0.0" not in everywhere and "" not in everywhere
    assert {"localhost", "127.0.0.1", "xn--bcher-kva.example", "2001:db8::1"} <= {*everywhere}


@pytest.mark.parametrize(
    "host", ["https://x.org", "x.org:80", "x.org/", "", "*", "a b", "a,b", "x" * 300, ".x", "-x"]
)
def test_what_is_no_name_is_refused(host: str) -> None:
    with pytest.raises(CommandError, match="without https:// and port"):
        known_names("127.0.0.1", [host])


def test_the_name_in_a_host_header() -> None:
    assert [host_name(host) for host in ("A.b:80", "[::1]:80", "[::1]", "a.")] == [
        "a.b",
        "::1",
        "::1",
        "a",
    ]
