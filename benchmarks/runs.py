"""Runs: what recording costs a small fast training loop, beside TensorBoard; how long from a click to the first value.

    make bench        # or: python -m benchmarks.runs [--recording] [--click]

In folders that are removed afterwards; some minutes. A click is measured in a real Chromium, with a spare worker waiting,
and no data but what is bundled: the machine that somebody tries it on first.
"""

import argparse
import contextlib
import gc
import math
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import types
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.table import Line, show, timed
from kb import db, places
from kb.runs import launcher, store
from kb.runs.processes import Worker
from kb.runs.supervisor import Active, Supervisor
from kb.tables import Run

STEPS = 400  # of the loop that is recorded: short turns, so that what else the machine does meets all ways alike
ROUNDS = 151  # of each way of recording, in turns and in any order
CLICKS = 7
CHROMIUM = "/usr/bin/chromium"
TARGET = 0.03  # of the loop's time that recording may cost


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--recording", action="store_true", help="only what recording costs")
    options.add_argument("--click", action="store_true", help="only how long to the first metric")
    options.add_argument("--record", metavar="RUN", help=argparse.SUPPRESS)  # the process that records, see `recorder`
    args = options.parse_args()
    if args.record:
        record(args.record)
        return
    os.environ.pop("KB_DATA", None)
    measures = {recording: args.recording, shell: args.click, browser: args.click}
    lines = []
    for measure, wanted in measures.items():
        if wanted or not any(measures.values()):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                os.environ["KB_HOME"] = folder
                lines += measure(Path(folder))
                end_processes_of(folder)
            print(f"{measure.__name__}: done", file=sys.stderr, flush=True)
    print(show(lines))


def recording(folder: Path) -> list[Line]:
    """One training loop iterated, recorded by TensorBoard, and executed by the worker while a supervisor writes its rows."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    from kb.runs import worker

    torch.set_num_threads(1)  # as the kit does
    sys.modules["impl.benchmark"] = implementation()

    def bare() -> None:
        for _ in training():
            pass

    def tensorboard() -> None:
        for row in training():
            writer.add_scalar("loss", row["loss"], row["step"])
        writer.flush()

    with recorder() as channel, SummaryWriter(str(folder / "tensorboard")) as writer:
        stream = worker.Events(channel)
        threading.Thread(target=stream.keep_flushing, daemon=True).start()  # as a worker does
        job = {"implementation": "benchmark", "preset": "quick", "changes": {}, "device": "cpu"}

        def ours() -> None:
            worker.execute(job, stream)
            stream.flush()

        ways = [bare, ours, tensorboard]
        for way in ways:
            way()
        gc.collect()
        gc.freeze()  # as a worker does
        taken: dict[Callable[[], None], list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            random.shuffle(ways)
            for way in ways:
                taken[way].append(timed(way))
    engine = db.open_database()
    rows = sum(len(store.rows(engine, run.id)) for run in store.latest(engine))
    assert rows == STEPS * (ROUNDS + 1), f"{rows} rows were written"
    more = {way: _more(taken[way], taken[bare]) for way in (ours, tensorboard)}
    cost = {way: statistics.median(shares) for way, shares in more.items()}
    half = round(0.98 * math.sqrt(ROUNDS))  # the ranks between which the true median lies, 19 times out of 20
    low, high = (sorted(more[ours])[ROUNDS // 2 + rank] for rank in (-half, half))
    step = statistics.median(taken[bare]) / STEPS
    share = f"{100 * cost[ours]:.1f} % of it, {100 * low:.1f} to {100 * high:.1f}; TensorBoard {100 * cost[tensorboard]:.0f} %"
    return [
        Line(f"recording a row at each step of {1e6 * step:.0f} µs ({share})", 1e6 * cost[ours] * step,
             "SummaryWriter.add_scalar", 1e6 * cost[tensorboard] * step, "under 3 %", cost[ours] < TARGET, unit="µs")
    ]  # fmt: skip


def _more(times: list[float], than: list[float]) -> list[float]:
    """How much more, as a share, turn by turn."""
    return [one / other - 1 for one, other in zip(times, than, strict=True)]


def training() -> Iterator[dict[str, float]]:
    """A small net at work, as fast as they get, that tells its loss at every step."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    x, y = torch.randn(64, 64), torch.randint(10, (64,))
    net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for step in range(STEPS):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield dict(step=step, loss=loss.item())


def implementation() -> types.ModuleType:
    """The loop in the form that the worker executes."""

    @dataclass(frozen=True)
    class Config:
        seed: int = 0

    module = types.ModuleType("impl.benchmark")
    module.__dict__.update(
        __file__=__file__,
        PRESETS={"quick": Config()},
        run=lambda cfg, device: training(),
        check=lambda rows: [],
    )
    return module


@contextlib.contextmanager
def recorder() -> Iterator[Any]:
    """A stream of events, and at its other end a process in which the supervisor's own code writes them."""
    engine = db.open_database()
    run = Run(id="benchmark", implementation="benchmark", preset="quick", device="cpu", submitted=0, source_hash="")
    with db.Session(engine) as session:
        session.add(run)
        session.commit()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.runs", "--record", "benchmark"], stdin=subprocess.PIPE, text=True
    )
    yield process.stdin
    assert process.stdin
    process.stdin.close()
    assert process.wait() == 0


def record(run_id: str) -> None:
    supervisor = Supervisor(db.open_database())
    active = Active(run_id, Piped(), "cpu", time.monotonic(), looked=float("inf"))
    supervisor.active[run_id] = active
    while not active.worker.silent or active.pending:
        supervisor.attend(active)
        supervisor.wait()


class Piped(Worker):
    """A worker that is there already: its events come through standard input."""

    def __init__(self) -> None:
        self.stdout, self.buffer, self.silent = sys.stdin.buffer, b"", False
        os.set_blocking(self.stdout.fileno(), False)

    def ended(self) -> bool:
        return False


def shell(folder: Path) -> list[Line]:
    """From `store.submit`, as the shell calls it, to the first row in the database."""
    engine = db.open_database()
    launcher.ensure_supervisor()
    taken = []
    for _ in range(CLICKS):
        spare_waits(folder)
        begun = time.perf_counter()
        run_id = store.submit(engine, "dropout", "quick", device="cpu")
        while not store.rows(engine, run_id):
            time.sleep(0.002)
        taken.append(time.perf_counter() - begun)
        store.cancel(engine, run_id)
        list(store.watch(engine, run_id))
    return [click("submitted, to the first row in the database", taken)]


# In the page: when the click came, and when the page of the run had drawn its first value or curve, in milliseconds.
LOOK = """() => {
    window.clicked = window.seen = 0;
    window.addEventListener("click", () => { window.clicked ||= performance.now() }, {capture: true});
    const value = '[data-testid="stMetricValue"], [data-testid="stVegaLiteChart"] :is(canvas, svg)';
    const look = () => {
        const shown = location.pathname === "/run" &&
            [...document.querySelectorAll(value)].some(one => one.getBoundingClientRect().height);
        if (shown) window.seen = performance.now(); else requestAnimationFrame(look);
    };
    look();
}"""


def browser(folder: Path) -> list[Line]:
    """From the click on "Run" to the first value or curve on the run's page, by the browser's own clock."""
    taken = []
    with served() as address, chromium() as opened:
        launcher.ensure_supervisor()
        page = opened.new_page(viewport={"width": 1280, "height": 900}, base_url=address)
        page.set_default_timeout(60_000)
        for _ in range(CLICKS):
            page.goto("/milestone?id=dropout")
            page.get_by_role("heading", name="Sources").wait_for()
            spare_waits(folder)
            page.evaluate(LOOK)
            page.get_by_role("button", name="Run", exact=True).click()
            page.wait_for_function("window.seen")
            taken.append(page.evaluate("window.seen - window.clicked") / 1000)
            page.get_by_role("button", name="Stop").click()
            page.get_by_role("button", name="Run it again").wait_for()
    return [click("click on Run, to the first value on the page", taken)]


def click(what: str, taken: list[float]) -> Line:
    print(f"{what}: {', '.join(f'{one:.2f}' for one in taken)} s", file=sys.stderr)
    middle = statistics.median(taken)
    return Line(f"{what} (the first time {taken[0]:.1f} s)", middle, "", None, "under 1 s", middle < 1)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextlib.contextmanager
def served(program: Path | None = None) -> Iterator[str]:
    """The address of the app as `kb serve` starts it, or of a program of Streamlit's started likewise."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = ["kb.cli", "serve", "--port", str(port)]
    flags = [f"--server.port={port}", "--server.headless=true", "--server.fileWatcherType=none"]
    command = ["streamlit", "run", str(program), *flags] if program else ours
    server = subprocess.Popen([sys.executable, "-m", *command], cwd=places.ROOT, stdout=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        while not answers(f"{address}/_stcore/health"):
            assert server.poll() is None, "the app ended"
            time.sleep(0.05)
        yield address
    finally:
        server.kill()
        server.wait()


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5)
    except OSError:
        return False
    return True


def spare_waits(folder: Path) -> None:
    """Until a worker of this folder waits, and it and the supervisor have had nothing to do for half a second."""
    before = None
    while True:
        mine = processes_of(folder)
        now = {one.pid: one.cpu_times().user for one in mine}
        if now == before and any("kb.runs.worker" in one.cmdline() for one in mine):
            return
        before = now
        time.sleep(0.5)


def processes_of(folder: Path | str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("KB_HOME") == str(folder) and "kb.runs." in " ".join(process.cmdline()):
                found.append(process)
    return found


def end_processes_of(folder: str) -> None:
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()


if __name__ == "__main__":
    main()
