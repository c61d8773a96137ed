"""Text from a timeline, a run, a library or an address that would like to be markup, in a real browser.

Each text begins with the name of its field, so that a page can be asked whether it shows it, letter by letter.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, TimeoutError, expect
from sqlalchemy import Engine
from sqlmodel import Session

from kb import db, implementations, places
from kb.tables import Artifact, Run, RunRow, RunVerdict
from tests.conftest import end_processes_of, free_port
from tests.e2e.conftest import answers

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SCRIPT = '<script>window.hit=1</script> <img src=x onerror="window.hit=1"> <img/src=x/onerror=window.hit=1>'
MARKUP = (
    f"{SCRIPT} [x](javascript:window.hit=1) ![x](https://example.com/x.png) <https://example.com/y> "
    r"$\href{javascript:window.hit=1}{x}$ $$\includegraphics{https://example.com/x.png}$$ "
    ":material/home: :material_home: :streamlit: :rocket: :red[r] `code` ``` **b** _i_ ~~s~~ &lt;b&gt; &#x41; a -> b a <= b"
    "\n\n# head\n\n1. one\n\n- dot\n\n    indented\n\n| a | b |\n|---|---|\n| c | d |\n\n===\n\n> said"
)
STORY = rf"""It changed much. {SCRIPT} [script](javascript:window.hit=1) [data](data:text/html,<script>window.hit=1</script>)
![x](https://example.com/x.png) ![x][picture] [![x](https://example.com/x.png)](https://example.com/inside)
[a link](https://example.com/page) [entity](&#100;ata:text/html,x) [file](file:///etc/passwd) <data:text/html,y> [r][ref]
$\href{{javascript:window.hit=1}}{{x}}$ $\includegraphics{{https://example.com/x.png}}$
$\htmlData{{a=b}}{{x}}$ $\url{{javascript:window.hit=1}}$ $\text{{<img/src=x/onerror=window.hit=1>}}$ $\frac{{$ $E = mc^2$

<img/src=x/onerror=window.hit=1>

<iframe src="https://example.com/frame"></iframe>

[picture]: https://example.com/x.png

[ref]: blob:x

```mermaid
flowchart LR
  a@{{ img: "https://example.com/x.png", label: "x" }} --> b["<img src=x onerror=window.hit=1>"]
  click a "javascript:window.hit=1"
```

> ~~~&#109;ermaid
> flowchart LR
>   a@{{ img: "https://example.com/x.png", label: "x" }}
> ~~~

The end.
"""
# What is on the page, and inside its components: what could act, and the text as it is seen.
LOOK = r"""() => {
  const wrong = [];
  let text = "";
  const walk = root => {
    text += root.textContent;
    for (const one of root.querySelectorAll("*")) {
      for (const {name, value} of one.attributes)
        if (name.startsWith("on") || /^\s*javascript/i.test(value)) wrong.push(`${one.tagName} ${name}=${value}`);
      const from = /^(img|iframe|object|embed|video|audio|source|link|script)$/i.test(one.tagName) && (one.src || one.href);
      if (from && !/^(data|blob):/.test(from) && new URL(from, location).host !== location.host)
        wrong.push(`${one.tagName} from ${from}`);
      const odd = one.tagName === "A" && one.href && !["http:", "https:", location.protocol].includes(one.protocol);
      if (odd) wrong.push(one.outerHTML);
      if (one.tagName === "SCRIPT" && /window.hit/.test(one.text)) wrong.push(one.outerHTML);
      if (one.shadowRoot) walk(one.shadowRoot);
    }
  };
  walk(document.documentElement);
  return {wrong, text: text.replaceAll("\u2060", "").replace(/\s+/g, " ")};
}"""
SHOWS = f"wanted => {{ const {{text}} = ({LOOK})(); return wanted.every(one => text.includes(one)) }}"


def evil(field: str) -> str:
    """A text of that field."""
    return f"1. {field} {MARKUP}"


def as_read(text: str) -> str:
    return " ".join(text.split())


def timeline() -> list[dict[str, Any]]:
    """A timeline in which every text that may be anything is evil, and the rest as evil as the form admits."""
    address = "https://example.com/x)![x](https://example.com/x.png)'onerror='window.hit=1"
    common = {
        "short": evil("short"),
        "title": evil("title"),
        "idea": evil("idea"),
        "venue": evil("venue"),
        "date_note": evil("date_note"),
        "unconfirmed": [evil("unconfirmed")],
        "story": "Told elsewhere.",
        "tags": ["script", "onerror"],
        "url": address,
        "sources": [{"url": address, "read": "2026-01-01", "note": evil("note")}],
    }
    names = implementations.read("dropout").claims
    published = {"unit": evil("unit"), "baseline": 2.0, "idea": 1.0, "note": evil("published")}
    claims = [{"id": id, "says": evil("says"), "where": evil("where"), "published": published} for id in names]
    figure = {"value": 1, "unit": evil("unit"), "format": evil("format"), "where": evil("where"), "note": evil("note")}
    before = [
        {"to": "evil-chip", "as": "enabled_by", "how": as_read(evil("how"))},
        {"to": "evil-data", "as": "evaluated_on", "how": as_read(evil("how"))},
    ]
    return [
        common | {"id": "evil-chip", "track": "hardware", "kind": "chip", "date": "2010", "makers": [evil("maker")],
                  "spec": {"peak": figure}},
        common | {"id": "evil-data", "track": "data", "kind": "dataset", "date": "2011", "authors": [evil("author")],
                  "licence": evil("licence"), "spec": {"size": figure}},
        common | {"id": "evil-tool", "track": "software", "kind": "tool", "date": "2012", "licence": evil("licence"),
                  "languages": [evil("language")], "repository": address, "links": before[:1]},
        common | {"id": "evil-paper", "track": "theory", "kind": "paper", "date": "2014", "impl": "dropout",
                  "authors": [evil("author")], "makers": [evil("maker")], "claims": claims, "links": before},
        common | {"id": "evil-story", "track": "theory", "kind": "event", "date": "2015", "story": STORY,
                  "doi": "10.1000/(a)1<2:x>![x](https://example.com/x.png)<img/src=x/onerror=window.hit=1>",
                  "links": [{"to": "evil-paper", "as": "builds_on"}]},
        long_named(common),
    ]  # fmt: skip


def long_named(common: dict[str, Any]) -> dict[str, Any]:
    """Names that a layout was not made for: a word without an end, right to left, marks on marks, nothing to see."""
    word, hebrew, marks = "Überlang" * 40, "\u202eנייר\u202d על רשתות", "Z̴̡͓a̶̼͝l̷̰̈g̴͍̈o̵̜͝" * 3
    name = f"{word} {hebrew} {marks} 👩‍👩‍👧‍👦🏳️‍🌈 ze\u200bro\u200dwidth\ufeff 深度學習的歷史" * 2
    return common | {
        "id": "long-named",
        "track": "theory",
        "kind": "event",
        "date": "2016",
        "title": name,
        "short": name,
        "idea": name,
        "venue": name,
        "authors": [name],
        "links": [{"to": "evil-paper", "as": "builds_on", "how": name}],
    }


def add_runs(engine: Engine, folder: Path) -> None:
    """A run of each outcome, whose every text is evil, as no implementation of ours would write it."""
    now = time.time()
    environment = {name: evil(name) for name in ("device", "device_name", "torch", "python")}
    named = {evil("name"): evil("value"), "seed": 0}
    common = dict(implementation="dropout", preset=evil("preset"), device=evil("device"), submitted=now, started=now,
                  source_hash="0" * 64, git_commit=evil("commit"), changes=named, environment=environment,
                  note=evil("run note"))  # fmt: skip
    ended = dict(finished=now, reason=evil("reason"), traceback=evil("traceback"))
    rows = [
        {"net": evil("net"), evil("measure"): float(step), "loss": 1.0, "seed": 0, "step": step} for step in range(4)
    ]
    verdict = dict(verdict="reproduced", measured=1.0, baseline=2.0, effect=1.0, low=0.5, high=1.5, n=5,
                   unit=evil("unit"), rule=evil("rule"))  # fmt: skip
    with Session(engine) as session:
        for id, status in (("evil-ended", "succeeded"), ("evil-failed", "failed"), ("evil-waiting", "queued")):
            settings = {"seed": 0, evil("setting"): evil(id)}
            session.add(Run(id=id, status=status, settings=settings, **common, **({} if status == "queued" else ended)))
            session.add_all(RunRow(run=id, number=n, at=now, values=values) for n, values in enumerate(rows))
            session.add(RunVerdict(run=id, claim="lower-test-error", number=0, **verdict))
            session.add(RunVerdict(run=id, claim=evil("claim"), number=1, **verdict))
            for n, name in enumerate((evil("artifact"), "missing")):
                session.add(Artifact(run=id, number=n, name=name, caption=evil("caption"), size=1, sha256="0" * 64,
                                     file="picture.png" if not n else evil("file")))  # fmt: skip
            (folder / "runs" / id).mkdir(parents=True)
            (folder / "runs" / id / "log.txt").write_text(evil("log"))
            Image.new("RGB", (4, 4)).save(folder / "runs" / id / "picture.png")
        session.commit()


def add_literature(folder: Path) -> None:
    texts = {name: evil(name) for name in ("title", "venue", "abstract")}
    addresses = {
        "url": "https://example.com/'onerror='hit)",
        "code": "https://example.com/)![x](https://example.com/x.png)",
    }
    work = texts | addresses | {"authors": [evil("author")], "year": 2014}
    (folder / "library.jsonl").write_text(json.dumps(work))
    (folder / "library.bib").write_text(f"@article{{x, title = {{From BibTeX {SCRIPT} ![x](y)}}, year = 2015}}\n")
    (folder / "library.csv").write_text("title,year\nFrom CSV <img/src=x/onerror=window.hit=1> ![x](y),2016\n")


def kb(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "kb.cli", *words]
    environment = os.environ | {"KB_HOME": str(folder)}
    return subprocess.run(
        command, env=environment, cwd=places.ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


@pytest.fixture(scope="module")
def evil_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of its own, filled by the same doors as a person's."""
    folder = tmp_path_factory.mktemp("evil")
    (folder / "timeline.yaml").write_text(json.dumps(timeline(), ensure_ascii=False))
    kb(folder, "load", str(folder / "timeline.yaml"))
    add_literature(folder)
    for name in ("library.jsonl", "library.bib", "library.csv"):
        kb(folder, "import", str(folder / name))
    add_runs(db.open_database(folder / "kb.sqlite3"), folder)
    return folder


@pytest.fixture(scope="module")
def evil_app(evil_home: Path) -> Iterator[str]:
    """The app over that database; `kb serve` would load the project's timeline first. No supervisor can start there."""
    held = (evil_home / "supervisor.lock").open("a+")
    fcntl.flock(held, fcntl.LOCK_EX)
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(places.APP), f"--server.port={port}"]
    server = subprocess.Popen(command, env=os.environ | {"KB_HOME": str(evil_home)}, cwd=places.SHARE)
    address = f"http://127.0.0.1:{port}"
    answers(address, server)
    yield address
    server.kill()
    server.wait()
    end_processes_of(evil_home)
    held.close()


@pytest.fixture
def page(browser: Browser, evil_app: str) -> Iterator[Page]:
    """A page on which nothing may happen: no script of a text, no dialog, no window, nothing asked of another server."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=evil_app)
    wrong: list[str] = []
    context.expose_function("was_hit", lambda: wrong.append("a script ran"))
    context.add_init_script("Object.defineProperty(window, 'hit', {set: () => was_hit()})")
    page = context.new_page()
    page.set_default_timeout(60_000)
    at_home = (f"{evil_app}/", evil_app.replace("http", "ws") + "/", "data:", f"blob:{evil_app}/", "file:")
    context.on("request", lambda one: None if one.url.startswith(at_home) else wrong.append(one.url))
    page.on("dialog", lambda dialog: (wrong.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    page.on("popup", lambda popup: wrong.append(f"a window: {popup.url}"))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert wrong == []


def shows(page: Page, *texts: str) -> None:
    """Waits until the page shows these texts, letter by letter; then nothing on it may be an element of theirs."""
    wanted = [as_read(text) for text in texts]
    try:
        page.wait_for_function(SHOWS, arg=wanted, timeout=20_000)
    except TimeoutError:
        seen = page.evaluate(LOOK)
        assert seen["wrong"] == []
        missing = [text for text in wanted if text not in seen["text"]]
        raise AssertionError(f"not shown as written: {missing}\nin: {seen['text']}") from None
    assert page.evaluate(LOOK)["wrong"] == []


PAGES = {
    "/milestone?id=evil-paper": ("title", "idea", "venue", "author", "short", "how", "date_note", "unconfirmed", "says",
                                 "where", "unit", "note"),
    "/milestone?id=evil-chip": ("title", "short", "maker", "how"),
    "/milestone?id=evil-tool": ("title", "licence", "language"),
    "/lineage?id=evil-chip&to=evil-paper": ("title", "idea", "short", "how"),
    "/search": ("title", "idea"),
    "/search?q=onerror": ("title",),
    "/search?in=literature": ("title", "venue"),
    "/search?in=literature&q=onerror": ("title", "venue"),
    "/claims": ("says", "where", "unit", "short"),
    "/runs": ("preset", "device", "device_name"),
    "/run?id=evil-ended": ("title", "name", "value", "device_name", "says", "where", "unit", "rule", "claim",
                           "caption", "file", "reason", "log"),
    "/run?id=evil-failed": ("reason", "traceback", "log"),
    "/run?id=evil-waiting": ("run note", "name"),
}  # fmt: skip
ASKED = (
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


@pytest.mark.parametrize("address", PAGES)
def test_text_is_shown_as_it_was_written(page: Page, address: str) -> None:
    page.goto(address)
    shows(page, *map(evil, PAGES[address]))


@pytest.mark.parametrize("address", ["/run?id=evil-ended", "/compare?runs=evil-ended,evil-failed"])
def test_the_name_of_a_measure_is_text(page: Page, address: str) -> None:
    page.goto(address)
    shows(page, evil("measure").replace("_", " "))
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()


def test_the_timeline_points_at_it_and_opens_it(page: Page) -> None:
    page.goto("/")
    shows(page, evil("short"))
    page.locator('[data-id="evil-paper"]').focus()
    shows(page, evil("title"), evil("idea"))
    page.keyboard.press("Enter")
    page.wait_for_url("**at=evil-paper**")
    expect(page.get_by_text("Read it, see its code, run it")).to_be_visible()
    shows(page, evil("title"), evil("idea"))


def test_the_lineage_says_why(page: Page) -> None:
    page.goto("/lineage?id=evil-paper&open=evil-chip")
    shows(page, evil("title"), evil("idea"))
    page.locator('svg .node[data-id="evil-paper"]').hover()
    shows(page, f"{evil('short')} was enabled by {evil('short')}: {evil('how')}")


@pytest.mark.parametrize("address", ASKED)
def test_what_an_address_asks_for_is_text(page: Page, address: str) -> None:
    page.goto(address.replace("{}", quote(evil("asked"))))
    expect(page.locator("h1").first).to_be_visible()
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    assert page.evaluate(LOOK)["wrong"] == []


def test_an_answer_in_sql_is_text(page: Page) -> None:
    column = evil("column").replace('"', "'")
    page.goto("/search?in=sql&q=" + quote(f'select short, 1.0 as "{column}" from milestone'))
    expect(page.get_by_test_id("stVegaLiteChart")).to_be_visible()
    shows(page, evil("short"))


def test_a_story_is_markdown_with_nothing_from_outside(page: Page) -> None:
    page.goto("/milestone?id=evil-story")
    expect(page.get_by_text("The end.")).to_be_visible()
    expect(page.get_by_text("read 2026-01-01")).to_be_visible()
    assert page.evaluate(LOOK)["wrong"] == []
    expect(page.locator("p .katex").last).to_be_visible()
    expect(page.get_by_role("link", name="a link")).to_have_attribute("href", "https://example.com/page")


def test_the_page_that_is_taken_away(page: Page, evil_home: Path) -> None:
    file = evil_home / "history.html"
    file.write_text(kb(evil_home, "export", "--format", "html"))
    page.goto(file.as_uri())
    shows(page, *map(evil, ("title", "idea", "author", "maker", "venue", "date_note", "licence", "unit", "how", "says",
                            "where", "unconfirmed")))  # fmt: skip
    page.get_by_role("searchbox").fill("onerror")
    expect(page.get_by_text(" shown")).to_be_visible()
