"""The app as `kb serve` starts it, and a real Chromium."""

import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from kb import places
from tests.conftest import end_processes_of, free_port

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]

expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        message = "no Chromium: install it with `apt-get install chromium`, or from your system's packages"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def app_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app") / "home"


@pytest.fixture(scope="session")
def app(app_home: Path) -> Iterator[str]:
    """The address of the app."""
    port = free_port()
    server = serve(app_home, port)
    yield f"http://localhost:{port}"
    server.kill()
    server.wait()
    end_processes_of(app_home)


def serve(home: Path, port: int) -> subprocess.Popen[str]:
    """The app on this port, served as a person would serve it, when it answers."""
    environment = {key: value for key, value in os.environ.items() if key != "KB_DATA"}
    server = subprocess.Popen(
        [sys.executable, "-m", "kb.cli", "serve"],
        env=environment | {"KB_HOME": str(home), "PORT": str(port)},
        cwd=places.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout
    address = f"http://localhost:{port}"
    while address not in (line := server.stdout.readline()):
        assert line or server.poll() is None, "kb serve ended"
    answers(address, server)
    return server


def answers(address: str, server: subprocess.Popen[Any]) -> None:
    """Waits until the app answers there."""
    while True:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=5)
            return
        except OSError:
            assert server.poll() is None, "the app ended"


@pytest.fixture
def page(browser: Browser, app: str) -> Iterator[Page]:
    """A page of 1280 x 900; what it loads from outside, or throws, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=app)
    page = context.new_page()
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((app, "ws", "data:", "blob:")) else wrong.append(request.url),
    )
    yield page
    context.close()
    assert wrong == []
