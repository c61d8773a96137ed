"""The lineage in a real browser: clicked, walked by the keyboard, found again by its address."""

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


def test_what_made_alexnet_possible(page: Page) -> None:
    page.goto("/lineage")
    expect(page.get_by_text("Here is what made AlexNet possible")).to_be_visible()
    dropout = page.get_by_role("button", name="Dropout, ")
    expect(dropout).to_be_visible()
    dropout.click()
    page.wait_for_url("**at=dropout**")
    card = page.locator(".st-key-lineage-card")
    expect(card.get_by_role("heading", name="Dropout: A Simple Way")).to_be_visible()
    page.reload()
    expect(card.get_by_role("heading", name="Dropout: A Simple Way")).to_be_visible()
    card.get_by_text("Its path from AlexNet").click()
    expect(page.get_by_role("heading", name="Step by step")).to_be_visible()


def test_keys_walk_the_picture(page: Page) -> None:
    page.goto("/lineage?id=lstm&show=after")
    expect(page).to_have_title("The lineage of LSTM")
    centre = page.get_by_role("button", name=re.compile("^LSTM, "))
    centre.focus()
    page.keyboard.press("ArrowRight")
    focused = page.locator("svg .node:focus")
    expect(focused).not_to_have_attribute("aria-label", centre.get_attribute("aria-label") or "")
    name = (focused.get_attribute("aria-label") or "").split(",")[0]
    page.keyboard.press("Enter")
    page.wait_for_url("**at=**")
    assert name


def test_a_milestone_leads_to_its_lineage(page: Page) -> None:
    page.goto("/milestone?id=resnet")
    page.get_by_text("The lineage of ResNet").click()
    expect(page.get_by_role("heading", name="The lineage of ResNet")).to_be_visible()


def test_the_address_follows_a_link_within_a_page(page: Page) -> None:
    page.goto("/milestone?id=alexnet")
    page.get_by_role("link", name="Dropout, 2012").first.click()
    page.wait_for_url("**/milestone?id=dropout")
    page.go_back()
    expect(page.get_by_role("heading", name="ImageNet Classification with Deep")).to_be_visible()


def test_the_small_picture_leads_to_the_neighbours(page: Page) -> None:
    page.goto("/milestone?id=dropout")
    picture = page.get_by_role("group", name="before Dropout: Back-propagation")
    picture.get_by_role("link", name="ImageNet Classification with Deep").click()
    page.wait_for_url("**/milestone?id=alexnet")
    expect(page.get_by_role("heading", name="ImageNet Classification with Deep")).to_be_visible()


def test_published_and_measured_are_drawn(page: Page) -> None:
    page.goto("/claims?paper=dropout")
    step = page.get_by_role("img", name="paper: from 1.6 to 1.35").first
    expect(step).to_be_visible()
    ends = step.locator("div").first.locator("i:not(.kb-line)")
    expect(ends).to_have_count(2)
    assert (ends.nth(0).bounding_box() or {})["x"] < (ends.nth(1).bounding_box() or {})["x"], (
        "fewer errors are better: to the right"
    )


def test_home_has_a_name_to_type(page: Page) -> None:
    page.goto("/timeline")
    expect(page.get_by_role("heading", name="The executable history")).to_be_visible()
    expect(page.get_by_text("Page not found")).to_have_count(0)
