"""The app killed at random moments after "Run" was pressed: what was submitted runs to its end.

`KB_KILLS=60 pytest tests/e2e/test_kills.py` for as many as one likes.
"""

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from kb import db
from kb.runs import polling, store
from tests.conftest import free_port
from tests.e2e.conftest import serve
from tests.kb.test_kills import check_database

TRIALS = int(os.environ.get("KB_KILLS", "2"))
pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(120 + 60 * TRIALS)]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def visitor(browser: Browser, port: int) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce", base_url=f"http://localhost:{port}")
    yield context.new_page()
    context.close()


@pytest.fixture
def served(home: Path, port: int) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts the app, always on the same port."""
    servers: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        servers.append(serve(home, port))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()
        server.wait()


def test_the_app_is_killed(visitor: Page, served: Callable[[], subprocess.Popen[str]]) -> None:
    chance = random.Random(
        time.time_ns()
    )  # other moments every time; what is asserted holds at any
    submitted: set[str] = set()
    server = served()
    engine = db.open_database()
    for _ in range(TRIALS):
        visitor.goto("/milestone?id=dropout")
        visitor.get_by_text("Settings").first.click()
        visitor.get_by_text("smoke: seconds").click()
        expect(visitor.get_by_label("H", exact=True).first).to_have_value("16")
        expect(visitor.get_by_label("H", exact=True)).to_have_count(1)
        visitor.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
        time.sleep(chance.uniform(0, 2))  # the moment is the point of it
        server.kill()
        server.wait()
        there = {run.id for run in store.latest(engine, limit=2 + TRIALS)}
        assert len(there - submitted) <= 1, "one press, one run"
        shown = visitor.url.partition("run?id=")[2]
        assert not shown or shown in there, "the page has a run that isn't there"
        for run_id in there - submitted:
            run = list(polling.watch(engine, run_id, interval=0.05))[-1]
            assert run.status == "succeeded", run
        submitted |= there
        server = served()
        if shown:
            # Streamlit connects again by itself, unless it was loading a part of its own program.
            visitor.reload()
            expect(visitor.get_by_test_id("stMain").get_by_text("succeeded").first).to_be_visible()
            expect(visitor.get_by_role("heading", name="Verdicts")).to_be_visible()
    check_database(engine, [*submitted])
    print(f"{TRIALS} kills of the app: {len(submitted)} runs were submitted, and succeeded")
