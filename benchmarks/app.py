"""The app in a real Chromium: a cold start, the way from page to page, zooming the timeline.

    make bench        # or: python -m benchmarks.app

It takes some minutes. A cold start is compared with that of a Streamlit program that shows one
heading: no program made with Streamlit can be faster.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import generated
from benchmarks.servers import VIEWPORT, chromium, serve
from benchmarks.table import Line, percentile, show
from kb import paths

STARTS = 5
ROUNDS = 4  # through all pages
MANY_MILESTONES = 5_000
HEADINGS = {  # by the name of the page in the menu
    "Explore": "Explore",
    "Lineage": "Lineage",
    "Claims": "Claims",
    "Runs": "Runs",
    "Timeline": "The executable history of deep learning",
}
FRAME_SECONDS = 1 / 60
Times = list[tuple[float, float]]

# The timeline's canvas is in a shadow root.
CANVAS = """[...document.querySelectorAll("*")]
    .map(element => element.shadowRoot?.querySelector("canvas")).find(Boolean)"""
# Both times count from the request of the page, in ms: when something was painted, and now, if the
# page has its heading (and with `whole` its timeline).
FIRST_PAGE_TIMES = """whole => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    const heading = document.querySelector('[data-testid="stMain"] h1');
    const isComplete = heading && (!whole || (CANVAS)?.width > 300);
    return paint && isComplete ? [paint.startTime, performance.now()] : null;
}""".replace("CANVAS", CANVAS)
# From now to the frame that has the heading of another page and nothing of the page before, and to
# the frame that has the whole page.
OBSERVE_PAGE = """heading => {
    window.headed = window.complete = 0;
    const start = performance.now();
    const check = () => {
        const headings = [...document.querySelectorAll('[data-testid="stMain"] h1')];
        const stale = document.querySelector('[data-testid="stMain"] [data-stale="true"]');
        const app = document.querySelector('[data-testid="stApp"]');
        const isHeaded = headings.length === 1 && !stale &&
            headings[0].textContent.trim() === heading;
        if (isHeaded)
            window.headed ||= performance.now() - start;
        if (isHeaded && app.dataset.testScriptState === "notRunning")
            window.complete = performance.now() - start;
        else
            requestAnimationFrame(check);
    };
    check();
}"""
# How long each frame takes while the wheel zooms the timeline in and out, in ms.
ZOOM = """async () => {
    const canvas = CANVAS;
    const box = canvas.getBoundingClientRect();
    const frames = [];
    let last = await new Promise(requestAnimationFrame);
    for (let i = 0; i < 240; i++) {
        canvas.dispatchEvent(new WheelEvent("wheel", {
            deltaY: i % 120 < 60 ? -60 : 60,
            clientX: box.left + box.width * 0.7,
            clientY: box.top + box.height / 2,
            bubbles: true,
            cancelable: true,
        }));
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - last);
        last = now;
    }
    return frames;
}""".replace("CANVAS", CANVAS)
LOAD = """
import sys
from pathlib import Path
from kb import db, loader
db.load_timeline(db.open_database(), loader.read_timeline(Path(sys.argv[1])).milestones)
"""


def main() -> None:
    os.environ.pop("KB_DATA", None)
    with chromium() as browser:
        lines = [*cold_start(browser), *page_changes(browser), *zooming(browser)]
    print(show(lines))


def cold_start(browser: Any) -> list[Line]:
    """A server without earlier visitors, and a browser with an empty cache."""
    ours: Times = []
    bare: Times = []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ["KB_HOME"] = folder
            program = Path(folder) / "bare.py"
            program.write_text('import streamlit as st\n\nst.title("Here")\n', encoding="utf-8")
            bare.append(first_page_times(browser, program))
            ours.append(first_page_times(browser, None))
    print({"ours": ours, "bare": bare}, file=sys.stderr)
    painted, complete = (statistics.median(times) for times in zip(*ours, strict=True))
    bare_painted, bare_complete = (statistics.median(times) for times in zip(*bare, strict=True))
    return [
        Line(
            "a cold start, to the first paint",
            painted,
            "one heading in Streamlit",
            bare_painted,
            "under 2 s",
            painted < 2,
        ),
        Line(
            "a cold start, to the whole timeline",
            complete,
            "one heading in Streamlit",
            bare_complete,
            "-",
            True,
        ),
    ]


def first_page_times(browser: Any, program: Path | None) -> tuple[float, float]:
    with serve(program) as address:
        page = browser.new_page(viewport=VIEWPORT)
        page.goto(address, wait_until="commit")
        times = page.wait_for_function(FIRST_PAGE_TIMES, arg=program is None).json_value()
        page.close()
    painted, complete = times
    return painted / 1000, complete / 1000


def page_changes(browser: Any) -> list[Line]:
    """From page to page through the menu."""
    by_page: dict[str, Times] = {name: [] for name in HEADINGS}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["KB_HOME"] = folder
        with serve() as address:
            page = browser.new_page(viewport=VIEWPORT, base_url=address)
            page.goto("/")
            page.get_by_role("heading", name="The executable history").wait_for()
            for _ in range(ROUNDS):
                for name in HEADINGS:
                    by_page[name].append(page_change_times(page, name))
            page.close()
    for name, times in by_page.items():
        print(
            name, *(f"{headed:.2f}/{complete:.2f}" for headed, complete in times), file=sys.stderr
        )
    return page_change_lines(by_page)


def page_change_times(page: Any, name: str) -> tuple[float, float]:
    page.wait_for_timeout(300)  # a person reads first
    page.evaluate(OBSERVE_PAGE, HEADINGS[name])
    page.get_by_role("link", name=name, exact=True).click()
    page.wait_for_function("window.complete")
    headed, complete = page.evaluate("[window.headed, window.complete]")
    return headed / 1000, complete / 1000


def page_change_lines(by_page: dict[str, Times]) -> list[Line]:
    first = max(times[0][1] for times in by_page.values())
    later = [time for times in by_page.values() for time in times[1:]]
    headed, complete = zip(*later, strict=True)
    slow_headed, slow_complete = percentile(headed, 0.95), percentile(complete, 0.95)
    return [
        Line(
            f"from page to page, to its heading (95 %: {1000 * slow_headed:.0f} ms)",
            statistics.median(headed),
            "",
            None,
            "under 0.5 s",
            slow_headed < 0.5,
        ),
        Line(
            f"from page to page, all of it (95 %: {1000 * slow_complete:.0f} ms)",
            statistics.median(complete),
            "",
            None,
            "under 0.5 s",
            slow_complete < 0.5,
        ),
        Line("the slowest page, drawn for the first time", first, "", None, "-", True),
    ]


def zooming(browser: Any) -> list[Line]:
    """The project's timeline, and a generated one."""
    return [
        _zoom_line("our milestones", frame_times(browser, None)),
        _zoom_line(f"{MANY_MILESTONES} milestones", frame_times(browser, MANY_MILESTONES)),
    ]


def _zoom_line(what: str, frames: list[float]) -> Line:
    slow = percentile(frames, 0.95)
    what = f"a frame of zooming, {what} (95 %: {1000 * slow:.0f} ms)"
    median = statistics.median(frames)
    return Line(what, median, "60 a second", FRAME_SECONDS, "95 % under 50 ms", slow < 0.05)


def frame_times(browser: Any, milestones: int | None) -> list[float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["KB_HOME"] = folder
        if milestones:
            load_generated(Path(folder), milestones)
        # `kb serve` would load the project's timeline instead.
        with serve(paths.APP if milestones else None) as address:
            page = browser.new_page(viewport=VIEWPORT, base_url=address)
            page.goto("/")
            page.wait_for_function(f"({CANVAS})?.width > 300")
            page.wait_for_timeout(1000)
            frames = [milliseconds / 1000 for milliseconds in page.evaluate(ZOOM)]
            page.close()
    return frames


def load_generated(folder: Path, milestones: int) -> None:
    file = folder / "many.yaml"
    file.write_text(generated.timeline(milestones), encoding="utf-8")
    subprocess.run([sys.executable, "-c", LOAD, str(file)], check=True)


if __name__ == "__main__":
    main()
