"""The app's server, a browser, and the processes of runs, for the benchmarks that need them."""

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from kb import paths

CHROMIUM = "/usr/bin/chromium"
VIEWPORT = {"width": 1280, "height": 900}
IDLE_SECONDS = 0.5


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@contextlib.contextmanager
def serve(program: Path | None = None) -> Iterator[str]:
    """Serves the app as `kb serve` does, or another Streamlit program; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["kb.cli", "serve", "--port", str(port)]
    if program:
        flags = [f"--server.port={port}", "--server.headless=true", "--server.fileWatcherType=none"]
        command = ["streamlit", "run", str(program), *flags]
    server = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=paths.ROOT, stdout=subprocess.DEVNULL
    )
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


def wait_for_spare(folder: Path) -> None:
    """Waits for a worker without a run; it and the supervisor are idle."""
    before = None
    while True:
        processes = processes_of(folder)
        cpu_seconds = {process.pid: process.cpu_times().user for process in processes}
        has_worker = any("kb.runs.worker" in process.cmdline() for process in processes)
        if has_worker and cpu_seconds == before:
            return
        before = cpu_seconds
        time.sleep(IDLE_SECONDS)


def processes_of(folder: Path) -> list[psutil.Process]:
    """The supervisor and the workers of the database in this folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            is_ours = process.environ().get("KB_HOME") == str(folder)
            if is_ours and "kb.runs." in " ".join(process.cmdline()):
                found.append(process)
    return found


def end_processes_of(folder: Path) -> None:
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()
