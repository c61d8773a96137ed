"""The site without a server: its files, and how it opens from a folder without a network."""

import html
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine
from sqlmodel import Session

from kb import cli, db, loader, paths, results
from kb.tables import Artifact, Run, RunRow
from tests.e2e import hostile_texts
from ui.lineage import picture_data
from ui.site import __main__ as program
from ui.site import folder, runs
from ui.site.content import read_content
from ui.site.pages import all_files

MEGABYTE = 1_000_000
ADDRESS = re.compile(r'<[^<>]+ (?:href|src|action)="([^"]*)"')
ANCHOR = re.compile(r'<[^<>]+ id="([^"]*)"')
AXE_PAGES = {
    "light": ("index.html", "tours.html"),
    "dark": ("milestone/dropout.html",),
}
FIRST_PAGE = re.compile(r'(?:src|href)="((?:assets|data)/[^"]+)"')  # what index.html loads


def write_timeline(file: Path, entries: list[dict[str, object]]) -> Engine:
    """A database with these entries."""
    source = file.with_suffix(".yaml")
    source.write_text(json.dumps(entries, ensure_ascii=False))
    timeline = loader.read_timeline(source)
    assert not timeline.errors, timeline.errors
    engine = db.open_database(file)
    db.load_timeline(engine, timeline.milestones)
    return engine


@pytest.fixture(scope="module")
def site(timeline: loader.Timeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site."""
    place = tmp_path_factory.mktemp("site")
    engine = db.open_database(place / "kb.sqlite3")
    db.load_timeline(engine, timeline.milestones)
    folder.write(place / "public", all_files(read_content(engine)))
    return place / "public"


@pytest.fixture
def small(tmp_path: Path) -> Engine:
    return write_timeline(tmp_path / "small.sqlite3", hostile_texts.timeline())


def test_every_link_leads_somewhere(site: Path) -> None:
    texts = {file: file.read_text(encoding="utf-8") for file in site.rglob("*.html")}
    anchors = {file: ANCHOR.findall(text) for file, text in texts.items()}
    milestones = {file.stem for file in (site / "milestone").iterdir()}
    wrong = []
    for file, text in texts.items():
        assert len(anchors[file]) == len(set(anchors[file])), file
        for address in set(ADDRESS.findall(text)):
            url = urlsplit(html.unescape(address))
            if url.scheme in ("http", "https"):
                continue
            target = (file.parent / unquote(url.path)).resolve() if url.path else file
            focus = parse_qs(url.query).get("focus", ["alexnet"])[0]
            is_there = target.is_file() and target.is_relative_to(site) and focus in milestones
            if not is_there or (url.fragment and url.fragment not in anchors[target]):
                wrong.append(f"{file.name}: {address}")
    assert not wrong
    assert len(milestones) == len(loader.read_timeline().milestones)
    assert {file.stem for file in (site / "data/lineage").iterdir()} == milestones


def test_the_site_is_small_and_its_first_page_smaller(site: Path) -> None:
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 30 * MEGABYTE
    first = site / "index.html"
    loaded = [site / name for name in FIRST_PAGE.findall(first.read_text())]
    assert len(loaded) > 4
    assert sum(file.stat().st_size for file in (first, *loaded)) < 0.3 * MEGABYTE


def test_the_colours_are_the_apps() -> None:
    theme = tomllib.loads((paths.ROOT / ".streamlit/config.toml").read_text())["theme"]
    style = (paths.ROOT / "ui/site/assets/site.css").read_text()
    assert not [
        color
        for scheme in ("light", "dark")
        for color in theme[scheme].values()
        if color not in style
    ]


def test_a_milestone_says_what_was_claimed_and_measured(site: Path) -> None:
    text = (site / "milestone/dropout.html").read_text()
    assert "<math" in text and 'class="kb-intervals"' in text and "In the record" in text
    assert "From the repository" in text and "Not measured here" not in text
    assert "python -m impl.dropout" in text and "<summary>The whole file" in text


class Markup(HTMLParser):
    """What a page is made of: tags, the names of attributes, addresses."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src")}


def test_hostile_text_stays_text(small: Engine, tmp_path: Path) -> None:
    written = folder.write(tmp_path / "public", all_files(read_content(small)))
    assert written.pages == 6 + 5  # milestones, and the pages of all
    for file in (tmp_path / "public").rglob("*.html"):
        page = Markup(file)
        assert not page.tags & {"iframe", "img", "object", "embed", "base"}, file
        assert not [name for name in page.attributes if name.startswith("on")], file
        schemes = {urlsplit(address).scheme for address in page.addresses}
        assert schemes <= {"", "http", "https"}, file
    for file in (tmp_path / "public/data").rglob("*.js"):
        assert file.read_text().count("\n") == 1, "one statement"


def test_the_same_timeline_gives_the_same_bytes(small: Engine) -> None:
    first, second = (dict(all_files(read_content(small))) for _ in range(2))
    assert first == second
    lineage = read_content(small).lineage
    links = picture_data(lineage, dict.fromkeys(lineage, "before"), (), {})["links"]
    order = [(link["later"], link["earlier"], link["type"]) for link in links]
    assert order == sorted(order), "and not as a set's hashes have it"


def test_only_an_earlier_site_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a" / "public"
    folder.write(target, [("old.html", b"1")])
    assert folder.write(target, [("new.html", b"22")]).pages == 1
    assert sorted(file.name for file in target.iterdir()) == [folder.MARKER, "new.html"]
    (target / folder.MARKER).unlink()
    with pytest.raises(folder.NotASite, match="not made by"):
        folder.write(target, [("newer.html", b"3")])
    assert [file.name for file in target.iterdir()] == ["new.html"]
    assert [file.name for file in target.parent.iterdir()] == ["public"], "nothing is left beside"


def test_a_failed_export_changes_nothing(tmp_path: Path) -> None:
    def files() -> Iterator[tuple[str, bytes]]:
        yield "new.html", b"2"
        raise OSError("disk full")

    target = tmp_path / "public"
    folder.write(target, [("old.html", b"1")])
    with pytest.raises(OSError, match="full"):
        folder.write(target, files())
    assert (target / "old.html").exists()
    assert [file.name for file in tmp_path.iterdir() if "public" in file.name] == ["public"]


def test_the_verb_starts_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, words: started.append(words[1:]))
    monkeypatch.setattr(cli.shell, "database", lambda: None)
    monkeypatch.chdir(tmp_path)
    cli.main(["export", "site", "public", "--json"])
    assert started == [["-m", "ui.site", "--json", "--", str(tmp_path / "public")]]
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "site"]) == 1
    assert "name one folder" in capsys.readouterr().err


def test_the_program_says_why_it_wrote_nothing(
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["site", str(tmp_path / "public")])
    assert program.main() == 1
    assert "kb load" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["site", str(tmp_path)])
    assert program.main() == 1
    assert "not made by" in capsys.readouterr().err


def test_a_recorded_run_brings_its_curves_and_pictures(engine: Engine, home: Path) -> None:
    block = results.read_record()["perceptron"]["blocks"][0]
    with Session(engine) as session:
        for id, source in (("recorded", block["source_hash"]), ("other", "0" * 64)):
            session.add(
                Run(
                    id=id,
                    implementation="perceptron",
                    preset="quick",
                    device="cpu",
                    status="succeeded",
                    submitted=0.0,
                    finished=0.0,
                    source_hash=source,
                    settings=block["settings"],
                )
            )
            for step in range(3):
                values = {"net": f"<b>{id}", "seed": 0, "step": step, "error": 1 / (step + 1)}
                session.add(RunRow(run=id, number=step, at=0.0, values=values))
        for number, file in enumerate(("picture.png", "text.png", "../../secret.png")):
            texts = dict(name=file, caption="<i>caption", file=file, sha256="0")
            session.add(Artifact(run="recorded", number=number, size=1, **texts))
        session.commit()
    place = paths.run_folder("recorded")
    place.mkdir(parents=True)
    for file in (place / "picture.png", home / "secret.png"):
        file.write_bytes(runs.PNG)
    (place / "text.png").write_text("<svg onload=alert(1)>")
    found = runs.recorded_runs(engine, {"perceptron"})["perceptron"]
    assert found.pictures == [("<i>caption", runs.PNG)]
    assert {row["net"] for row in found.rows} == {"<b>recorded"}
    from ui.site.drawings import curves_html

    drawn = curves_html(found.rows)
    assert "<polyline" in drawn and "<b>" not in drawn


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page without a network; an error in it, or a request for anything but a file, fails."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_offline(True)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.on(
        "request",
        lambda request: request.url.startswith(("file:", "data:")) or errors.append(request.url),
    )
    yield page
    context.close()
    assert errors == []


@pytest.mark.browser
def test_it_opens_from_a_folder(site: Path, page: Page) -> None:
    page.goto((site / "index.html").as_uri())
    page.get_by_role("searchbox").fill("dropout")
    expect(page.locator("#results a").first).to_have_text("Dropout, 2012")
    dots = page.locator(".timeline ul button")
    expect(dots.first).to_be_attached()
    assert dots.count() < 30, "the timeline shows what was found"
    click_dot(page, "dropout")
    expect(page).to_have_url(re.compile("milestone/dropout.html$"))
    expect(page.locator("math").first).to_be_visible()
    page.get_by_role("link", name="AlexNet, 2012").last.click()  # among its neighbours, drawn
    expect(page.get_by_role("heading", level=1)).to_contain_text("ImageNet Classification")
    page.get_by_role("link", name="The lineage of AlexNet").click()
    page.locator(".node[data-id=cuda]").click()
    page.get_by_role("link", name="The lineage of CUDA").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The lineage of CUDA")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("The lineage of AlexNet")
    page.get_by_role("navigation").get_by_role("link", name="Claims").click()
    page.get_by_label("Verdict").select_option("weaker")
    expect(page.locator("details.paper#mcculloch-pitts")).to_be_hidden()
    page.get_by_role("searchbox").fill("hinton")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_contain_text("milestones")


def click_dot(page: Page, id: str) -> None:
    """Clicks a milestone in the list for the keyboard, which is as good as its dot."""
    page.locator(f'.timeline ul button[data-id="{id}"]').dispatch_event("click")


@pytest.mark.browser
def test_a_guess_comes_before_the_evidence_and_is_kept(site: Path, page: Page) -> None:
    address = (site / "tour/essay.html").as_uri()
    page.goto(f"{address}#step-6")
    evidence = page.locator("#step-6 .evidence")
    expect(evidence).to_be_hidden()
    page.locator("#step-6").get_by_label("yes, clearly").check()
    expect(evidence).to_be_visible()
    page.reload()
    expect(evidence).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Idea 5")
    page.goto(f"{address}#end")
    expect(page.locator("#guesses")).to_contain_text("1 of 1 came out as you guessed")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(site: Path, page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    wrong = []
    for name in AXE_PAGES[scheme]:
        page.goto(f"{site.as_uri()}/{name}")
        found = Axe().run(page, options={"preload": False}).response["violations"]
        wrong += [f"{name}: {one['help']} {one['nodes'][0]['html'][:200]}" for one in found]
    assert wrong == []


@pytest.mark.browser
def test_a_milestone_prints_on_two_pages(site: Path, page: Page) -> None:
    page.goto((site / "milestone/backprop.html").as_uri())
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation")).to_be_hidden()
    assert page.locator(".sources").inner_text().count("https://") >= 2
    assert len(re.findall(rb"/Type /Page\b", page.pdf(format="A4"))) <= 2
