"""Texts that would like to be markup are shown as text, in a real browser."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, TimeoutError, expect

from kb import db, paths
from tests.conftest import end_processes_of, free_port
from tests.e2e import hostile_texts
from tests.e2e.conftest import VIEWPORT, wait_for_server
from tests.e2e.hostile_texts import as_read, hostile

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# Returns what is dangerous on the page and inside its components, and the text that is seen.
INSPECT = r"""() => {
  const dangerous = [];
  let text = "";
  const LOADS = /^(img|iframe|object|embed|video|audio|source|link|script)$/i;
  const checkAttributes = (element) => {
    for (const { name, value } of element.attributes)
      if (name.startsWith("on") || /^\s*javascript/i.test(value))
        dangerous.push(`${element.tagName} ${name}=${value}`);
  };
  const checkAddress = (element) => {
    const { tagName } = element;
    const address = LOADS.test(tagName) && (element.src || element.href);
    const isOwn = () => new URL(address, location).host === location.host;
    if (address && !/^(data|blob):/.test(address) && !isOwn())
      dangerous.push(`${tagName} from ${address}`);
    const allowed = ["http:", "https:", location.protocol];
    if (tagName === "A" && element.href && !allowed.includes(element.protocol))
      dangerous.push(element.outerHTML);
  };
  const visit = (root) => {
    text += root.textContent;
    for (const element of root.querySelectorAll("*")) {
      checkAttributes(element);
      checkAddress(element);
      if (element.tagName === "SCRIPT" && /window.hit/.test(element.text))
        dangerous.push(element.outerHTML);
      if (element.shadowRoot) visit(element.shadowRoot);
    }
  };
  visit(document.documentElement);
  return { dangerous, text: text.replaceAll("\u2060", "").replace(/\s+/g, " ") };
}"""
SHOWS = f"""(wanted) => {{
  const {{ text }} = ({INSPECT})();
  return wanted.every((one) => text.includes(one));
}}"""


def kb(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "kb.cli", *words]
    environment = os.environ | {"KB_HOME": str(folder)}
    return subprocess.run(
        command, env=environment, cwd=paths.ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


@pytest.fixture(scope="module")
def hostile_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that was filled as a person fills it."""
    folder = tmp_path_factory.mktemp("hostile")
    file = folder / "timeline.yaml"
    file.write_text(json.dumps(hostile_texts.timeline(), ensure_ascii=False))
    kb(folder, "load", str(file))
    for path in hostile_texts.write_literature(folder):
        kb(folder, "import", str(path))
    hostile_texts.add_runs(db.open_database(folder / "kb.sqlite3"), folder)
    return folder


@pytest.fixture(scope="module")
def hostile_app(hostile_home: Path) -> Iterator[str]:
    """The app over that database; `kb serve` would load the project's timeline first.

    No supervisor can start there, because its lock is taken.
    """
    lock = (hostile_home / "supervisor.lock").open("a+")
    fcntl.flock(lock, fcntl.LOCK_EX)
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(paths.APP), f"--server.port={port}"]
    environment = os.environ | {"KB_HOME": str(hostile_home)}
    server = subprocess.Popen(command, env=environment, cwd=paths.SHARE)
    address = f"http://127.0.0.1:{port}"
    wait_for_server(address, server)
    yield address
    server.kill()
    server.wait()
    end_processes_of(hostile_home)
    lock.close()


@pytest.fixture(scope="module")
def events() -> list[str]:
    """What happened in the browser that must not happen; each test empties it."""
    return []


@pytest.fixture(scope="module")
def context(browser: Browser, hostile_app: str, events: list[str]) -> Iterator[BrowserContext]:
    """A browser that reports scripts of a text, and requests to other servers."""
    context = browser.new_context(viewport=VIEWPORT, base_url=hostile_app, reduced_motion="reduce")
    context.expose_function("wasHit", lambda: events.append("a script ran"))
    context.add_init_script("Object.defineProperty(window, 'hit', {set: () => wasHit()})")
    own_server = (f"{hostile_app}/", hostile_app.replace("http", "ws") + "/")
    allowed = (*own_server, "data:", f"blob:{hostile_app}/", "file:")
    context.on(
        "request",
        lambda request: None if request.url.startswith(allowed) else events.append(request.url),
    )
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, events: list[str]) -> Iterator[Page]:
    """A page; scripts, errors, dialogs, windows and requests to other servers fail the test."""
    events.clear()
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on(
        "dialog", lambda dialog: (events.append(f"a dialog: {dialog.message}"), dialog.dismiss())
    )
    page.on("popup", lambda popup: events.append(f"a window: {popup.url}"))
    page.on("pageerror", lambda error: events.append(str(error)))
    yield page
    page.close()
    assert events == []


def dangerous(page: Page) -> list[str]:
    return list(page.evaluate(INSPECT)["dangerous"])


def check_shows(page: Page, *texts: str) -> None:
    """Waits until the page shows the texts letter by letter; none may have become an element."""
    wanted = [as_read(text) for text in texts]
    try:
        page.wait_for_function(SHOWS, arg=wanted, timeout=20_000)
    except TimeoutError:
        text = page.evaluate(INSPECT)["text"]
        missing = [one for one in wanted if one not in text]
        raise AssertionError(f"{page.url} doesn't show as written: {missing}\nin: {text}") from None
    assert dangerous(page) == [], page.url


PAPER_FIELDS = ("title", "idea", "venue", "author", "short", "how", "date_note", "unconfirmed")
CLAIM_FIELDS = ("says", "where", "unit")
RESULT_FIELDS = ("rule", "claim", "caption", "file", "reason", "log")
SHOWN_FIELDS = {
    "/milestone?id=evil-paper": (*PAPER_FIELDS, *CLAIM_FIELDS, "note"),
    "/milestone?id=evil-chip": ("title", "short", "maker", "how"),
    "/milestone?id=evil-tool": ("title", "licence", "language"),
    "/lineage?id=evil-chip&to=evil-paper": ("title", "idea", "short", "how"),
    "/search": ("title", "idea"),
    "/search?q=onerror": ("title",),
    "/search?in=literature": ("title", "venue"),
    "/search?in=literature&q=onerror": ("title", "venue"),
    "/claims?paper=evil-paper": (*CLAIM_FIELDS, "short"),
    "/runs": ("preset", "device", "device_name"),
    "/run?id=evil-ended": (
        *("title", "name", "value", "device_name"),
        *(*CLAIM_FIELDS, *RESULT_FIELDS),
    ),
    "/run?id=evil-failed": ("reason", "traceback", "log"),
    "/run?id=evil-waiting": ("run note", "name"),
}
EXPORTED_FIELDS = (*CLAIM_FIELDS, "title", "idea", "author", "maker", "venue", "date_note",
                   "licence", "how", "unconfirmed")  # fmt: skip
ADDRESSES = (
    "/milestone?id={}",
    "/lineage?id={}",
    "/lineage?id=evil-paper&to={}&show={}&depth={}&open={}&at={}",
    "/search?q={}",
    "/search?q=%22{}%22",
    "/search?in=literature&q={}",
    "/search?in={}",
    "/claims?verdict={}&paper={}",
    "/run?id={}",
    "/compare?runs={}",
    "/?at={}",
)


@pytest.mark.parametrize("address", SHOWN_FIELDS)
def test_texts_are_shown_as_written(page: Page, address: str) -> None:
    page.goto(address)
    check_shows(page, *map(hostile, SHOWN_FIELDS[address]))


@pytest.mark.parametrize("address", ["/run?id=evil-ended", "/compare?runs=evil-ended,evil-failed"])
def test_the_name_of_a_measure_is_text(page: Page, address: str) -> None:
    page.goto(address)
    check_shows(page, hostile("measure").replace("_", " "))
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()


def test_the_timeline_shows_a_milestone_and_opens_it(page: Page) -> None:
    page.goto("/")
    check_shows(page, hostile("short"))
    page.locator('[data-id="evil-paper"]').focus()
    check_shows(page, hostile("title"), hostile("idea"))
    page.keyboard.press("Enter")
    page.wait_for_url("**at=evil-paper**")
    expect(page.get_by_text("Read it, see its code, run it")).to_be_visible()
    check_shows(page, hostile("title"), hostile("idea"))


def test_the_lineage_says_why_milestones_are_linked(page: Page) -> None:
    page.goto("/lineage?id=evil-paper&open=evil-chip")
    check_shows(page, hostile("title"), hostile("idea"))
    page.locator('svg .node[data-id="evil-paper"]').hover()
    short = hostile("short")
    check_shows(page, f"{short} was enabled by {short}: {hostile('how')}")


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_parameters_of_an_address_are_text(page: Page, address: str) -> None:
    page.goto(address.replace("{}", quote(hostile("asked"))))
    expect(page.locator("h1").first).to_be_visible()
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    assert dangerous(page) == []


def test_the_answer_to_a_query_in_sql_is_text(page: Page) -> None:
    column = hostile("column").replace('"', "'")
    page.goto("/search?in=sql&q=" + quote(f'select short, 1.0 as "{column}" from milestone'))
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()
    check_shows(page, hostile("short"))


def test_a_story_is_markdown_and_loads_nothing_from_other_servers(page: Page) -> None:
    page.goto("/milestone?id=evil-story")
    expect(page.get_by_text("The end.")).to_be_visible()
    expect(page.get_by_text("read 2026-01-01")).to_be_visible()
    assert dangerous(page) == []
    expect(page.locator("p .katex").last).to_be_visible()
    link = page.get_by_role("link", name="a link")
    expect(link).to_have_attribute("href", "https://example.com/page")


def test_the_exported_page_shows_texts_as_written(page: Page, hostile_home: Path) -> None:
    file = hostile_home / "history.html"
    file.write_text(kb(hostile_home, "export", "--format", "html"))
    page.goto(file.as_uri())
    check_shows(page, *map(hostile, EXPORTED_FIELDS))
    page.get_by_role("searchbox").fill("onerror")
    expect(page.get_by_text(" shown")).to_be_visible()
