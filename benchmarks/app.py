"""The app in a real Chromium: the first page after a cold start, from page to page, and the timeline when it is zoomed.

    make bench        # or: python -m benchmarks.app

Beside it a Streamlit app that shows one heading: what no page made with Streamlit can beat. Some minutes.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.knowledge import big_timeline
from benchmarks.runs import chromium, served
from benchmarks.table import Line, percentile, show
from kb import places

TIMES = 5  # a cold start
ROUNDS = 4  # through all pages
MANY = 5_000
# From one page to another: what is pressed, and the heading by which one knows that the other is there.
WAYS = {
    "Explore": "Explore",
    "Lineage": "Lineage",
    "Claims": "Claims",
    "Runs": "Runs",
    "Timeline": "The executable history of deep learning",
}
FRAME_SECONDS = 1 / 60

# The timeline's canvas stands in a shadow root.
CANVAS = """[...document.querySelectorAll("*")].map(one => one.shadowRoot?.querySelector("canvas")).find(Boolean)"""
# When the page was asked for is 0 on the browser's clock; when its heading was there, and when anything was painted.
FIRST = """whole => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const heading = document.querySelector('[data-testid="stMain"] h1');
    const there = heading && (!whole || (CANVAS)?.width > 300);
    return paint && there ? [paint.startTime, performance.now()] : null;
}""".replace("CANVAS", CANVAS)
# From a click in the menu to the frame in which the heading of the other page stands and nothing of the page before, and
# to the frame in which all of it stands.
WATCH = """heading => {
    window.headed = window.took = 0;
    const begun = performance.now();
    const look = () => {
        const found = [...document.querySelectorAll('[data-testid="stMain"] h1')].map(one => one.textContent.trim());
        const stale = document.querySelector('[data-testid="stMain"] [data-stale="true"]');
        const app = document.querySelector('[data-testid="stApp"]');
        const headed = found.length === 1 && found[0] === heading && !stale;
        if (headed) window.headed ||= performance.now() - begun;
        if (headed && app.dataset.testScriptState === "notRunning") window.took = performance.now() - begun;
        else requestAnimationFrame(look);
    };
    look();
}"""
# How long each frame takes while the timeline is zoomed in and out by the wheel, in milliseconds.
ZOOM = """async () => {
    const canvas = CANVAS;
    const box = canvas.getBoundingClientRect();
    const frames = [];
    let last = await new Promise(requestAnimationFrame);
    for (let i = 0; i < 240; i++) {
        const deltaY = i % 120 < 60 ? -60 : 60;
        const where = {clientX: box.left + box.width * 0.7, clientY: box.top + box.height / 2};
        canvas.dispatchEvent(new WheelEvent("wheel", {deltaY, ...where, bubbles: true, cancelable: true}));
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - last);
        last = now;
    }
    return frames;
}""".replace("CANVAS", CANVAS)


def main() -> None:
    os.environ.pop("KB_DATA", None)
    with chromium() as opened:
        lines = [line for measure in (first_page, between, zoomed) for line in measure(opened)]
    print(show(lines))


def first_page(browser: Any) -> list[Line]:
    """A server that nobody has visited, and a browser that has nothing in its cache."""
    taken: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    for _ in range(TIMES):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ["KB_HOME"] = folder
            bare = Path(folder) / "bare.py"
            bare.write_text('import streamlit as st\n\nst.title("Here")\n', encoding="utf-8")
            for name, app in (("bare", bare), ("ours", None)):
                with served(app) as address:
                    page = browser.new_page(viewport={"width": 1280, "height": 900})
                    page.goto(address, wait_until="commit")
                    painted, there = page.wait_for_function(FIRST, arg=app is None).json_value()
                    taken[name].append((painted / 1000, there / 1000))
                    page.close()
    print(taken, file=sys.stderr)
    (painted, there), (bare_painted, bare_there) = (
        [statistics.median(some) for some in zip(*taken[name], strict=True)] for name in ("ours", "bare")
    )
    against = "one heading in Streamlit"
    return [
        Line("a cold start, to the first paint", painted, against, bare_painted, "under 2 s", painted < 2),
        Line("a cold start, to the whole timeline", there, against, bare_there, "-", True),
    ]


def between(browser: Any) -> list[Line]:
    """Through the menu."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["KB_HOME"] = folder
        with served() as address:
            page = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=address)
            page.goto("/")
            page.get_by_role("heading", name="The executable history").wait_for()
            taken: dict[str, list[tuple[float, float]]] = {}
            for _ in range(ROUNDS):
                for name, heading in WAYS.items():
                    page.wait_for_timeout(300)  # as a person would, who reads
                    page.evaluate(WATCH, heading)
                    page.get_by_role("link", name=name, exact=True).click()
                    page.wait_for_function("window.took")
                    headed, took = page.evaluate("[window.headed, window.took]")
                    taken.setdefault(name, []).append((headed / 1000, took / 1000))
            page.close()
    print({name: [f"{a:.2f}/{b:.2f}" for a, b in some] for name, some in taken.items()}, file=sys.stderr)
    headed, whole = zip(*(one for some in taken.values() for one in some[1:]), strict=True)
    first = max(some[0][1] for some in taken.values())
    often, slow = percentile(headed, 0.95), percentile(whole, 0.95)
    return [
        Line(f"from page to page, to its heading (95 %: {1000 * often:.0f} ms)", statistics.median(headed), "", None,
             "under 0.5 s", often < 0.5),
        Line(f"from page to page, all of it (95 %: {1000 * slow:.0f} ms)", statistics.median(whole), "", None,
             "under 0.5 s", slow < 0.5),
        Line("the slowest page, all of it, drawn for the first time since the start", first, "", None, "-", True),
    ]  # fmt: skip


def zoomed(browser: Any) -> list[Line]:
    """The timeline as it is, and a made-up one of 5,000 milestones."""
    lines = []
    for many in (None, MANY):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ["KB_HOME"] = folder
            if many:
                load_many(Path(folder), many)
            with served(places.APP if many else None) as address:  # `kb serve` would load our own
                page = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=address)
                page.goto("/")
                page.wait_for_function(f"({CANVAS})?.width > 300")
                page.wait_for_timeout(1000)
                frames = [one / 1000 for one in page.evaluate(ZOOM)]
                page.close()
        slow = percentile(frames, 0.95)
        what = f"a frame of zooming, {many or 'our'} milestones (95 %: {1000 * slow:.0f} ms)"
        lines.append(
            Line(what, statistics.median(frames), "60 a second", FRAME_SECONDS, "95 % under 50 ms", slow < 0.05)
        )
    return lines


def load_many(folder: Path, count: int) -> None:
    file = folder / "many.yaml"
    file.write_text(big_timeline(count), encoding="utf-8")
    program = (
        "import sys; from pathlib import Path; from kb import db, loader\n"
        "db.load(db.open_database(), loader.load(Path(sys.argv[1])).milestones)"
    )
    subprocess.run([sys.executable, "-c", program, str(file)], check=True)


if __name__ == "__main__":
    main()
