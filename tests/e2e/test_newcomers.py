"""Three questions that newcomers have are answered in one or two clicks, in the first screen."""

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def ask(page: Page, question: str) -> None:
    page.goto("/")
    field = page.get_by_placeholder("Search: gpu")
    field.fill(question)
    field.press("Enter")


def expect_in_first_screen(found: Locator) -> None:
    """It can be seen without scrolling."""
    expect(found.first).to_be_visible()
    expect(found.first).to_be_in_viewport()


def test_what_made_it_possible(page: Page) -> None:
    ask(page, "what made AlexNet possible?")
    page.get_by_role("link", name="What made AlexNet possible?").click()
    expect_in_first_screen(page.get_by_role("heading", name="The lineage of AlexNet"))
    for id in ("cuda", "imagenet", "dropout"):
        expect_in_first_screen(page.locator(f'.node[data-id="{id}"]'))


def test_what_came_of_it(page: Page) -> None:
    ask(page, "what came of the LSTM?")
    page.get_by_role("link", name="What did LSTM make possible?").click()
    expect_in_first_screen(page.get_by_role("heading", name="The lineage of LSTM"))
    expect_in_first_screen(page.locator('.node[data-id="highway-networks"]'))


def test_does_it_reproduce_on_my_machine(page: Page) -> None:
    ask(page, "does dropout reproduce on my machine?")
    page.get_by_role("link", name="Is Dropout reproduced?").click()
    expect_in_first_screen(page.get_by_text("makes fewer test errors than the same net"))
    expect_in_first_screen(page.get_by_role("button", name="Run it"))
