"""The server of `kb serve`, asked over the network: for other names, for metrics, for its queue."""

import base64
import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from kb import db
from kb.runs import launcher, store
from kb.tables import Run
from tests.conftest import free_port
from tests.e2e.conftest import serve
from tests.kb.run_processes import submit_dropout


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(home: Path, port: int) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the app with these options."""
    servers: list[subprocess.Popen[str]] = []

    def start(**variables: str) -> subprocess.Popen[str]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            servers.append(serve(home, port))
        return servers[-1]

    yield start
    for process in servers:
        process.kill()
        process.wait()


def get(port: int, host: str, path: str = "/") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"Host": host, "Accept": "text/html"})
    return connection.getresponse().status


def open_websocket(port: int, host: str, origin: str) -> int:
    """The status of the answer to a WebSocket's handshake: 101 if it was opened."""
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(
            f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Protocol: streamlit\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        return int(connection.recv(1000).split()[1])


def test_foreign_names_are_refused(server: Callable[..., Any], port: int) -> None:
    server(KB_HOSTS="app.example.org")
    own = (f"localhost:{port}", f"127.0.0.1:{port}", "app.example.org", f"app.example.org:{port}")
    for host in own:
        assert get(port, host) == 200
        assert open_websocket(port, host, f"http://{host}") == 101
    for host in (f"evil.example:{port}", "evil.example", f"192.0.2.1:{port}"):
        for path in ("/", "/_stcore/health", "/_stcore/host-config", "/_stcore/metrics"):
            assert get(port, host, path) == 421
        assert open_websocket(port, host, f"http://{host}") == 403
        assert open_websocket(port, f"localhost:{port}", f"http://{host}") == 403
    assert get(port, f"localhost:{port}", "/_stcore/metrics") == 404
    assert get(port, f"localhost:{port}", "/_stcore/health") == 200
    assert get(port, f"localhost:{port}", "/lineage") == 200
    assert get(port, f"localhost:{port}", "/nowhere") == 404


def test_metrics_on_request(server: Callable[..., Any], port: int) -> None:
    server(KB_METRICS="1")
    assert get(port, f"localhost:{port}", "/_stcore/metrics") == 200


def test_the_server_starts_a_supervisor_for_runs_without_one(
    server: Callable[..., Any], until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = db.open_database()
    with monkeypatch.context() as patch:
        patch.setattr(launcher, "ensure_supervisor", lambda: False)
        run_id = submit_dropout(engine)
    server()
    until(lambda: store.get(engine, run_id).status == "succeeded")


def test_a_read_only_server_starts_none(
    server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = db.open_database()
    with Session(engine) as session:
        session.add(
            Run(
                id="dropout-1",
                implementation="dropout",
                preset="smoke",
                device="cpu",
                submitted=time.time() - 60,
                source_hash="x",
            )
        )
        session.commit()
    server(KB_READ_ONLY="1")
    time.sleep(3)
    assert store.get(engine, "dropout-1").status == "queued"
