"""Terms of an equation and their code in a real browser: each lights the other."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
LIT = re.compile(r"\blit\b")


def test_a_term_lights_its_line_and_the_line_its_term(page: Page) -> None:
    page.goto("/milestone?id=dropout")
    terms = page.locator(".terms")
    term = terms.locator("math .mark").filter(has_text="⊙")
    line = terms.locator(".line", has_text="return r * y")
    meaning = terms.get_by_role("button", name="the units that are kept")
    expect(line).not_to_have_class(LIT)
    term.hover()
    expect(line).to_have_class(LIT)
    expect(meaning).to_have_class(LIT)
    page.mouse.move(0, 0)
    expect(line).not_to_have_class(LIT)
    line.hover()
    expect(term).to_have_class(LIT)
    meaning.focus()
    page.keyboard.press("Enter")
    page.mouse.move(0, 0)
    terms.get_by_role("button", name="r = torch.rand_like(y)").focus()
    expect(line).not_to_have_class(LIT)
    page.keyboard.press("Tab")
    expect(line).to_be_focused()
    expect(line).to_have_attribute("aria-pressed", "true")
    expect(line).to_have_class(LIT)
    found = Axe().run(page, context=".stMain").response["violations"]
    assert not [node for one in found for node in one["nodes"] if ".terms" in str(node["target"])]
