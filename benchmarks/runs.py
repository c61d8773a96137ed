"""Runs: what recording costs a training loop, and how long it takes to the first value.

    make bench        # or: python -m benchmarks.runs [--recording] [--click]

It takes some minutes, in folders that are removed afterwards. A click is measured in a real
Chromium, with a spare worker and only the bundled data, as on the machine of a new user.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.recording import recording
from benchmarks.servers import VIEWPORT, chromium, end_processes_of, serve, wait_for_spare
from benchmarks.table import Line, show
from kb import db
from kb.runs import control, launcher, polling, store, submission

CLICKS = 7
# In the page: the times of the click, and of the first value or curve on the run's page, in ms.
OBSERVE_FIRST_VALUE = """() => {
    window.clicked = window.seen = 0;
    const noteClick = () => { window.clicked ||= performance.now() };
    window.addEventListener("click", noteClick, {capture: true});
    const values = '[data-testid="stMetricValue"], ' +
        '[data-testid="stVegaLiteChart"] :is(canvas, svg)';
    const isDrawn = element => element.getBoundingClientRect().height;
    const check = () => {
        const isRunPage = location.pathname === "/run";
        if (isRunPage && [...document.querySelectorAll(values)].some(isDrawn))
            window.seen = performance.now();
        else
            requestAnimationFrame(check);
    };
    check();
}"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--recording", action="store_true", help="only what recording costs")
    options.add_argument("--click", action="store_true", help="only how long to the first value")
    args = options.parse_args()
    os.environ.pop("KB_DATA", None)
    measures = {recording: args.recording, submitted: args.click, clicked: args.click}
    lines = []
    for measure, is_selected in measures.items():
        if is_selected or not any(measures.values()):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                os.environ["KB_HOME"] = folder
                lines += measure(Path(folder))
                end_processes_of(Path(folder))
            print(f"{measure.__name__}: done", file=sys.stderr, flush=True)
    print(show(lines))


def submitted(folder: Path) -> list[Line]:
    """From `submission.submit`, as the shell calls it, to the first row in the database."""
    engine = db.open_database()
    launcher.ensure_supervisor()
    times = []
    for _ in range(CLICKS):
        wait_for_spare(folder)
        start = time.perf_counter()
        run_id = submission.submit(engine, "dropout", "quick", device="cpu")
        while not store.rows(engine, run_id):
            time.sleep(0.002)
        times.append(time.perf_counter() - start)
        control.cancel(engine, run_id)
        list(polling.watch(engine, run_id))
    return [_line("submitted, to the first row in the database", times)]


def clicked(folder: Path) -> list[Line]:
    """From the click on Run to the first value or curve on the run's page, by the page's clock."""
    times = []
    with serve() as address, chromium() as browser:
        launcher.ensure_supervisor()
        page = browser.new_page(viewport=VIEWPORT, base_url=address)
        page.set_default_timeout(60_000)
        for _ in range(CLICKS):
            page.goto("/milestone?id=dropout")
            page.get_by_role("heading", name="Sources").wait_for()
            wait_for_spare(folder)
            page.evaluate(OBSERVE_FIRST_VALUE)
            page.get_by_role("button", name="Run", exact=True).click()
            page.wait_for_function("window.seen")
            times.append(page.evaluate("window.seen - window.clicked") / 1000)
            page.get_by_role("button", name="Stop").click()
            page.get_by_role("button", name="Run it again").wait_for()
    return [_line("click on Run, to the first value on the page", times)]


def _line(what: str, times: list[float]) -> Line:
    print(f"{what}: {', '.join(f'{time:.2f}' for time in times)} s", file=sys.stderr)
    median = statistics.median(times)
    what = f"{what} (the first time {times[0]:.1f} s)"
    return Line(what, median, "", None, "under 1 s", median < 1)


if __name__ == "__main__":
    main()
