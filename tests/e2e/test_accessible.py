"""axe-core's automatic rules on every page, in light and dark."""

import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine
from sqlmodel import Session

from kb import db
from kb.tables import Run, RunRow, RunVerdict
from tests.e2e.conftest import VIEWPORT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
DARK = "rgb(20, 23, 27)"  # the dark background in .streamlit/config.toml
ADDRESSES = {
    "/": "The executable history",
    "/?at=dropout": "Dropout: A Simple Way",
    "/search?q=track:hardware": "Explore",
    "/tour": "Tours",
    "/tour?id=essay&step=6": "Idea 4",
    "/tour?id=essay&step=8": "All of it at once",
    "/lineage": "Lineage",
    "/lineage?id=resnet&show=before": "The lineage of ResNet",
    "/lineage?id=backprop&to=dropout": "Step by step",
    "/claims": "Claims",
    "/claims?paper=dropout": "Claims by paper",
    "/runs": "Runs",
    "/compare?runs=seen-1,seen-2": "What differs",
    "/milestone?id=dropout": "Sources",
    "/milestone?id=mnist": "Sources",
    "/run?id=seen-1": "Summary to copy",
    "/run?id=no": "No such run",
}


@pytest.fixture
def two_runs(app: str, app_home: object, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("KB_HOME", str(app_home))
    engine = db.open_database()
    with Session(engine) as session:
        for seed, id in enumerate(("seen-1", "seen-2")):
            if session.get(Run, id):
                continue
            add_run(session, id, seed)
        session.commit()
    return engine


def add_run(session: Session, id: str, seed: int) -> None:
    now = time.time()
    session.add(
        Run(
            id=id,
            implementation="dropout",
            preset="quick",
            device="cpu",
            status="succeeded",
            submitted=now,
            started=now,
            finished=now,
            source_hash="0" * 64,
            settings={"seed": seed, "updates": 9},
            environment={"device": "cpu", "device_name": "a processor", "torch": "2"},
        )
    )
    for step in range(4):
        values = {"net": "dropout", "seed": seed, "step": step, "loss": 1.0 / (step + 1)}
        session.add(RunRow(run=id, number=step, at=now, values=values))
    measured = dict(measured=1.0, baseline=2.0, effect=1.0, low=0.5, high=1.5, n=5)
    texts = dict(claim="lower-test-error", verdict="reproduced", unit="%", rule="a rule")
    session.add(RunVerdict(run=id, number=0, **texts, **measured))


def lasting_violations(page: Page) -> set[str]:
    """What axe finds each time: while something fades in, its colours are others."""
    wrong: set[str] | None = None
    for _ in range(4):
        found = Axe().run(page).response["violations"]
        now = {f"{one['help']}: {node['html'][:200]}" for one in found for node in one["nodes"]}
        wrong = now if wrong is None else wrong & now
        if not wrong:
            break
    return wrong or set()


def test_axe_finds_no_violation(browser: Browser, app: str, two_runs: Engine) -> None:
    context = browser.new_context(
        color_scheme="light",
        reduced_motion="reduce",
        viewport=VIEWPORT,
        base_url=app,
    )
    page = context.new_page()
    wrong = []
    for address, heading in ADDRESSES.items():
        page.emulate_media(color_scheme="light")
        page.goto(address)
        expect(page.get_by_role("heading", name=heading).first).to_be_visible()
        expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
        wrong += [f"light, {address}: {one}" for one in lasting_violations(page)]
        page.emulate_media(color_scheme="dark")
        expect(page.locator(".stApp")).to_have_css("background-color", DARK)
        wrong += [f"dark, {address}: {one}" for one in lasting_violations(page)]
    context.close()
    assert wrong == []
