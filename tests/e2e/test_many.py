"""Twenty people at once: each has a page of its own, one starts a run, those who look see it come and end."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.test_app import launch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# What is asked for, and a heading by which it is known that the page is whole.
ASKED = {
    "/milestone?id=deep-learning-book": "Sources",
    "/runs": "Runs",
    "/": "The executable history",
    "/?at=dropout": "Dropout: A Simple Way",
    "/milestone?id=dropout": "Sources",
    "/milestone?id=resnet": "Sources",
    "/milestone?id=mnist": "Sources",
    "/lineage": "Lineage",
    "/lineage?id=resnet&show=before": "The lineage of ResNet",
    "/lineage?id=backprop&to=dropout": "Step by step",
    "/lineage?id=alexnet&depth=all": "The lineage of AlexNet",
    "/search": "Explore",
    "/search?q=track:hardware": "Explore",
    "/search?q=network": "Explore",
    "/search?in=sql": "Explore",
    "/claims": "Claims",
    "/claims?paper=dropout": "Claims",
    "/compare": "Compare",
    "/?at=lstm": "Long Short-Term Memory",
}


@pytest.fixture
def visitors(browser: Browser, app: str) -> Iterator[list[Page]]:
    """Twenty pages, each in a context of its own; what any of them throws fails the test."""
    wrong: list[str] = []
    with ExitStack() as stack:
        pages = []
        for _ in range(20):
            context = stack.enter_context(browser.new_context(viewport={"width": 1280, "height": 900}, base_url=app))
            page = context.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            pages.append(page)
        yield pages
    assert wrong == []


def test_twenty_at_once(visitors: list[Page]) -> None:
    addresses = [*ASKED, "/runs"]
    for page, address in zip(visitors, addresses, strict=True):
        page.goto(address, wait_until="commit")
    for page, address in zip(visitors, addresses, strict=True):
        expect(page.get_by_role("heading", name=ASKED[address]).first).to_be_visible()

    one, *others = visitors
    run = launch(one, data="digits", updates="60")
    for page, address in zip(others, addresses[1:], strict=True):
        if address == "/runs":
            expect(page.get_by_text(run)).to_be_visible()
        elif address.startswith("/lineage"):
            page.goto(f"/run?id={run}", wait_until="commit")
        else:
            page.get_by_role("link", name="Lineage", exact=True).click()
    for page, address in zip(visitors, addresses, strict=True):
        if address == "/runs":
            expect(page.locator(f".st-key-run-{run}").get_by_text("succeeded")).to_be_visible()
        elif page is one or address.startswith("/lineage"):
            expect(page.get_by_test_id("stMain").get_by_text("succeeded").first).to_be_visible()
            expect(page.get_by_role("heading", name="Verdicts")).to_be_visible()
        else:
            expect(page.get_by_text("What made AlexNet possible?")).to_be_visible()
    for page in visitors:
        expect(page.get_by_test_id("stException")).to_have_count(0)
        expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
