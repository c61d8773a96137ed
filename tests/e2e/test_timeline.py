"""The timeline in a real browser: zoomed and moved by mouse, finger and keyboard."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def timeline(page: Page) -> Locator:
    return open_timeline(page)


@pytest.fixture
def phone_page(browser: Browser, app: str) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": 390, "height": 800}, has_touch=True, base_url=app
    )
    yield context.new_page()
    context.close()


def open_timeline(page: Page) -> Locator:
    page.emulate_media(reduced_motion="reduce")  # it moves at once
    page.goto("/")
    timeline = page.locator(".timeline")
    expect(timeline).to_have_attribute("data-from", re.compile(r"\d"))
    return timeline


def window(timeline: Locator) -> tuple[float, float]:
    """The first and the last year that are shown."""
    first, last = timeline.evaluate("({ dataset }) => [dataset.from, dataset.to]")
    return float(first), float(last)


def wait_until_moved(timeline: Locator, before: tuple[float, float]) -> tuple[float, float]:
    expect(timeline).not_to_have_attribute("data-from", f"{before[0]:.3f}")
    return window(timeline)


def test_the_wheel_zooms_and_buttons_too(page: Page, timeline: Locator) -> None:
    everything = window(timeline)
    before = page.locator("canvas").screenshot()
    page.locator("canvas").hover()
    page.mouse.wheel(0, -600)
    first, last = wait_until_moved(timeline, everything)
    assert everything[0] < first < last < everything[1]
    assert page.locator("canvas").screenshot() != before
    page.get_by_role("button", name="Zoom in").click()
    nearer = wait_until_moved(timeline, (first, last))
    assert nearer[1] - nearer[0] < last - first
    page.get_by_role("button", name="Zoom out").click()
    expect(timeline).to_have_attribute("data-from", f"{first:.3f}")
    page.get_by_role("button", name="Show everything").click()
    expect(timeline).to_have_attribute("data-to", f"{everything[1]:.3f}")


def test_dragging_moves_in_time(page: Page, timeline: Locator) -> None:
    page.get_by_role("button", name="Give every year the same width").click()
    everything = window(timeline)
    page.get_by_role("button", name="Zoom in").click()
    before = wait_until_moved(timeline, everything)
    box = page.locator("canvas").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + 20
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 100, y, steps=3)
    page.mouse.up()
    after = wait_until_moved(timeline, before)
    assert after[0] < before[0]
    assert after[1] - after[0] == pytest.approx(before[1] - before[0], abs=0.01)


def test_a_search_zooms_to_what_it_finds_and_back(page: Page, timeline: Locator) -> None:
    everything = window(timeline)
    field = page.get_by_role("textbox", name="Search the timeline")
    field.fill("track:data year:2012..2016")
    field.press("Enter")
    expect(page.get_by_role("link", name=re.compile("Flickr30k|COCO|SQuAD")).first).to_be_visible()
    expect(timeline).to_have_count(1)  # the one that had the whole width has gone
    first, last = wait_until_moved(timeline, everything)
    assert 2009 < first < 2012.5 and 2016 < last < 2019
    field.fill("")
    field.press("Enter")
    expect(page.get_by_role("link", name=re.compile("Flickr30k|COCO"))).to_have_count(0)
    expect(timeline).to_have_count(1)
    expect(timeline).to_have_attribute("data-from", f"{everything[0]:.3f}")


def test_years_are_as_wide_as_what_happened_or_even(page: Page, timeline: Locator) -> None:
    page.get_by_role("button", name="Zoom in").click()
    crowded = window(timeline)
    button = page.get_by_role("button", name="Give every year the same width")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Show everything").click()
    page.get_by_role("button", name="Zoom in").click()
    even = window(timeline)
    assert even[1] - even[0] > crowded[1] - crowded[0], "the middle of the scale is another year"


def test_keys_step_through_the_milestones_and_open_one(page: Page, timeline: Locator) -> None:
    page.locator("canvas").focus()
    page.keyboard.press("ArrowDown")
    live = timeline.locator("[aria-live]")
    expect(live).to_contain_text("Press Enter to open.")
    card = timeline.locator(".card")
    expect(card).to_be_visible()
    title = card.locator(".title").inner_text()
    page.keyboard.press("ArrowDown")
    expect(card.locator(".title")).not_to_have_text(title)
    page.keyboard.press("ArrowUp")
    expect(card.locator(".title")).to_have_text(title)
    page.keyboard.press("Enter")
    page.wait_for_url("**at=**")
    expect(page.get_by_role("heading", name=title)).to_be_visible()


def test_two_fingers_zoom_on_a_phone(phone_page: Page) -> None:
    timeline = open_timeline(phone_page)
    before = window(timeline)
    box = phone_page.locator("canvas").bounding_box()
    assert box
    y = box["y"] + 200
    session = phone_page.context.new_cdp_session(phone_page)
    for kind, xs in (("touchStart", (150, 250)), ("touchMove", (80, 320)), ("touchEnd", ())):
        points = [{"x": x, "y": y, "id": i} for i, x in enumerate(xs)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    after = wait_until_moved(timeline, before)
    assert after[1] - after[0] < before[1] - before[0]
