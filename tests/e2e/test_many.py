"""Twenty people at once, each with a page: one starts a run, and the others see it come and end."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect

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
    "/tour?id=why-2012&step=5": "The autumn of 2012",
    "/lineage": "Lineage",
    "/lineage?id=resnet&show=before": "The lineage of ResNet",
    "/lineage?id=backprop&to=dropout": "Step by step",
    "/lineage?id=alexnet&depth=all": "The lineage of AlexNet",
    "/search": "Explore",
    "/search?q=track:hardware": "Explore",
    "/search?in=sql": "Explore",
    "/claims": "Claims",
    "/claims?paper=dropout": "Claims",
    "/compare": "Compare",
    "/?at=lstm": "Long Short-Term Memory",
}


@pytest.fixture
def visitors(browser: Browser, app: str) -> Iterator[list[Page]]:
    """Twenty pages, each in a context of its own; what any of them throws fails the test.

    Without animations: what twenty pages draw while they wait would take most of two processors.
    """
    wrong: list[str] = []
    with ExitStack() as stack:
        pages = []
        for _ in range(20):
            context = stack.enter_context(
                browser.new_context(reduced_motion="reduce", base_url=app)
            )
            page = context.new_page()
            page.set_default_timeout(60_000)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            pages.append(page)
        yield pages
    assert wrong == []


@pytest.mark.slow
def test_twenty_at_once(visitors: list[Page]) -> None:
    addresses = [*ASKED, "/runs"]
    for page, address in zip(visitors, addresses, strict=True):
        page.goto(address, wait_until="commit")
    for page, address in zip(visitors, addresses, strict=True):
        expect(page.get_by_role("heading", name=ASKED[address]).first).to_be_visible()

    one, *others = visitors
    one.get_by_text("Settings").first.click()
    one.get_by_text("smoke: seconds").click()
    expect(one.get_by_label("points", exact=True).first).to_have_value("40")
    expect(one.get_by_label("points", exact=True)).to_have_count(
        1
    )  # while the page is drawn, the old fields are there
    one.get_by_test_id("stFormSubmitButton").get_by_role("button").click()
    expect(one).to_have_url(re.compile(r"/run\?id="))
    run = one.url.split("id=")[1]
    lists = [
        page for page, address in zip(others, addresses[1:], strict=True) if address == "/runs"
    ]
    for page in lists:  # nothing was pressed there
        expect(page.locator(f".st-key-run-{run}")).to_be_visible()
    rest = [page for page in others if page not in lists]
    watchers, readers = rest[::4], [page for page in rest if page not in rest[::4]]
    for page in watchers:
        page.goto(f"/run?id={run}", wait_until="commit")
    for page in readers:
        page.get_by_role("link", name="Runs", exact=True).click()
    for page in [one, *watchers]:
        expect(page.get_by_role("heading", name="Verdicts")).to_be_visible()
        expect(page.get_by_test_id("stMain").get_by_text("succeeded").first).to_be_visible()
    for page in [*lists, *readers]:
        expect(page.locator(f".st-key-run-{run}").get_by_text("succeeded")).to_be_visible()
    for page in visitors:
        expect(page.get_by_test_id("stException")).to_have_count(0)
        expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
