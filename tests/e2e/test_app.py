"""The app as a person uses it, in a real browser."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from kb import db
from kb.runs import control, store

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def database(app: str, app_home: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The database that the app uses."""
    monkeypatch.setenv("KB_HOME", str(app_home))
    return db.open_database()


def launch(page: Page, **settings: str) -> str:
    """Starts a run on dropout's page, with these settings in the form; returns its id."""
    page.goto("/milestone?id=dropout")
    page.get_by_text("Settings").first.click()
    for name, value in settings.items():
        page.get_by_label(name, exact=True).fill(value)
        page.get_by_label(name, exact=True).press("Tab")
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    page.wait_for_url(re.compile(r"/run\?id=dropout-"))
    return page.url.split("id=")[1]


def test_from_the_timeline_to_a_verdict_and_back(
    page: Page, database: Engine, until: Callable[..., Any]
) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="The executable history")).to_be_visible()
    field = page.get_by_placeholder("Search: gpu")
    field.fill("dropout author:hinton")
    field.press("Enter")
    expect(page.get_by_text("· 2 of 2")).to_be_visible()
    page.wait_for_url("**q=dropout+author%3Ahinton")
    page.get_by_role("button", name="hardware").click()
    expect(page.get_by_text("Nothing on the timeline matches")).to_be_visible()
    page.get_by_role("button", name="hardware").click()
    expect(page.get_by_text("· 2 of 2")).to_be_visible()
    page.locator('[data-id="dropout"]').dispatch_event("click")
    expect(page.get_by_role("heading", name="Dropout: A Simple Way")).to_be_visible()
    assert "at=dropout" in page.url
    page.get_by_text("Read it, see its code, run it").click()
    page.wait_for_url("**/milestone?id=dropout")

    run_id = launch(page, data="digits", seeds="2", updates="60")
    chart = page.get_by_test_id("stVegaLiteChart")
    expect(chart).to_be_visible()
    before = chart.screenshot()
    seen = len(store.rows(database, run_id))
    until(lambda: len(store.rows(database, run_id)) > seen + 30)
    until(lambda: chart.screenshot() != before)
    expect(page.get_by_role("heading", name="Verdicts")).to_be_visible(timeout=150_000)
    expect(page.get_by_text("succeeded").first).to_be_visible()
    expect(page.locator(".kb-verdict")).to_have_count(3)

    page.reload()
    expect(page.locator(".kb-verdict")).to_have_count(3)
    page.goto("/runs")
    page.get_by_text(run_id).click()
    expect(page.get_by_role("heading", name="Verdicts")).to_be_visible()
    page.goto("/milestone?id=dropout")
    expect(page.get_by_text("The run that measured it").first).to_be_visible()


def test_a_run_is_stopped_by_its_button(
    page: Page, database: Engine, until: Callable[..., Any]
) -> None:
    run_id = launch(page, data="digits", seeds="1000", updates="40")
    until(lambda: store.rows(database, run_id))
    pid = store.get(database, run_id).process
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_test_id("stMain").get_by_text("cancelled").first).to_be_visible()
    assert store.get(database, run_id).status == "cancelled"
    until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    )
    page.get_by_role("button", name="Run it again").click()
    page.wait_for_url(lambda url: run_id not in url)
    again = page.url.split("id=")[1]
    control.cancel(database, again)
    expect(page.get_by_test_id("stMain").get_by_text("cancelled").first).to_be_visible()


def test_a_crash_is_shown_with_its_traceback(page: Page) -> None:
    launch(page, data="nothing", updates="5")
    expect(page.get_by_test_id("stMain").get_by_text("failed").first).to_be_visible()
    expect(page.get_by_role("heading", name="What went wrong")).to_be_visible()
    expect(page.get_by_text("no data set 'nothing'").first).to_be_visible()


def test_searching_has_an_address(page: Page) -> None:
    page.goto("/search")
    box = page.get_by_label("Words and qualifiers")
    box.fill("gpu track:hardware")
    box.press("Enter")
    expect(page.locator("mark").first).to_be_visible()
    page.wait_for_url(re.compile("q=gpu"))
    page.reload()
    expect(box).to_have_value("gpu track:hardware")
    box.fill("trak:hardware")
    box.press("Enter")
    expect(page.get_by_text('did you mean "track"')).to_be_visible()
