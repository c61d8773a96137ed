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
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Request,
    ViewportSize,
    expect,
    sync_playwright,
)

from kb import paths
from tests.conftest import end_processes_of, free_port

# The headless shell has the same engine without the windows, which take most of the processor.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]

VIEWPORT: ViewportSize = {"width": 1280, "height": 900}

expect.set_options(timeout=60_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        message = "no Chromium: `apt-get install chromium` or a package of your system installs it"
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
        cwd=paths.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout
    address = f"http://localhost:{port}"
    while address not in (line := server.stdout.readline()):
        assert line or server.poll() is None, "kb serve ended"
    wait_for_server(address, server)
    return server


def wait_for_server(address: str, server: subprocess.Popen[Any]) -> None:
    """Waits until the app answers at that address."""
    while True:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=5)
            return
        except OSError:
            assert server.poll() is None, "the app ended"


@pytest.fixture(scope="session")
def context(browser: Browser, app: str) -> Iterator[BrowserContext]:
    """One for all tests, so that the browser loads and compiles the app's scripts once.

    Without animations: what a page draws while it waits takes a fifth of the processor's time.
    """
    context = browser.new_context(viewport=VIEWPORT, base_url=app, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, app: str) -> Iterator[Page]:
    """A page; what it loads from another server, or throws, fails the test."""
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    allowed = (app, app.replace("http", "ws"), "data:", "blob:")

    def check_request(request: Request) -> None:
        if not request.url.startswith(allowed):
            errors.append(request.url)

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", check_request)
    yield page
    page.close()
    assert errors == []
