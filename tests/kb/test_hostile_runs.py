"""Runs that do what they shouldn't: flood, lie, hoard memory, never end. None hurts the supervisor, the database or others.

They live in a copy of the packages, so that the project itself has no such implementations.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kb import places
from tests.conftest import end_processes_of

HEAD = '''"""A run that misbehaves.

Claims      none  nothing
"""
import os, signal, sys, time
from dataclasses import dataclass
from impl.kit import Figure, Progress, exact

@dataclass(frozen=True)
class Config:
    n: int = 1  # how much
    seeds: int = 1  # ours
    seed: int = 0  # ours

SMOKE = Config()
PRESETS = {"smoke": SMOKE, "quick": SMOKE, "full": SMOKE, "paper": SMOKE}

def check(rows):
    return [exact("none", [0.0], 0.0, tolerance=1.0, unit="nothing")]
'''
RUNS = {
    "good": "yield dict(step=0, loss=1.0)",
    "logs": "for _ in range(cfg.n): print('x' * 1_000_000)\n    yield dict(step=0)",
    "many": "for i in range(cfg.n): yield dict(step=i, loss=float('nan') if i % 2 else float('inf'))",
    "fast": "for i in range(cfg.n): yield dict(step=i, loss=1.0)",
    "words": r"yield dict(word='\ud800 \x00 \u202e <b>', bytes='\udcff'); yield Progress(1, 2, '\ud800 \x00')",
    "reuses": (
        "import torch\n    x, row = torch.zeros(()), {}\n"
        "    for i in range(5): x.fill_(i); row.update(step=i, loss=x); yield row\n"
        "    for i in range(5, 9): row.update(step=i, loss=float(i)); yield row"
    ),
    "card": "import torch\n    raise torch.OutOfMemoryError('CUDA out of memory.')\n    yield dict(step=0)",
    "large": "yield dict(word=['x' * 1000] * 40_000)",
    "wide": "yield {f'k{i}': i for i in range(5_000)}",
    "picture": (
        "import io\n    from PIL import Image\n    out = io.BytesIO(); Image.new('L', (9000, 3000)).save(out, 'PNG')\n"
        "    yield Figure('wide', 'a caption', out.getvalue(), 0)"
    ),
    "silent": "time.sleep(600); yield dict(step=0)",
    "stubborn": (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    yield dict(pid=os.getpid())\n    while True: time.sleep(0.1)"
    ),
    "forks": (
        "import subprocess\n    one = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "    two = os.fork()\n    if not two: os.setsid(); time.sleep(600)\n"
        "    yield dict(one=one.pid, two=two)\n    time.sleep(600)"
    ),
    "hoards": "a = [bytearray(b'1') * 10_000_000 for _ in range(cfg.n)]\n    yield dict(step=len(a))\n    time.sleep(600)",
    "fills": "open(os.readlink('/proc/self/fd/1').replace('log.txt', 'big'), 'wb').write(b'1' * cfg.n)\n"
    "    yield dict(step=0)\n    time.sleep(600)",
    "exits": "os._exit(3)\n    yield {}",
    "closes": "os.closerange(0, 1000)\n    time.sleep(1)\n    yield dict(step=0)",
    "noise": "import glob\n    [os.write(int(fd), b'noise\\n') for fd in os.listdir('/proc/self/fd') if 'pipe' in "
    "(os.readlink(f'/proc/self/fd/{fd}') if os.path.lexists(f'/proc/self/fd/{fd}') else '') and int(fd) > 2]\n"
    "    yield dict(step=0)",
    "numbers": "yield dict(step=10**30, loss=10**400); yield Figure('f', 'c', b'\\x89PNG' + b'0' * 30, 10**25)",
}


def dressed(body: str) -> str:
    return f"{HEAD}\ndef run(cfg, device):\n    {body}\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout with other implementations."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(places.ROOT / "kb", root / "kb")
    shutil.copytree(places.ROOT / "impl" / "kit", root / "impl" / "kit")
    shutil.copy(places.ROOT / "impl" / "__init__.py", root / "impl")
    for name, body in RUNS.items():
        (root / "impl" / f"{name}.py").write_text(dressed(body), encoding="utf-8")
    (root / "pyproject.toml").touch()
    (root / "data").mkdir()
    (root / "data" / "timeline.yaml").write_text("[]\n")
    yield root
    end_processes_of(root / "home")


def kb(copy: Path, *arguments: str, **environment: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-c", CLI, *arguments],
        cwd=copy, capture_output=True, text=True, timeout=200, env=os.environ | {"KB_HOME": str(copy / "home")} | environment,
    )  # fmt: skip
    try:
        return done.returncode, json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"{arguments}: {done.stdout[-2000:]}{done.stderr[-2000:]}") from None


# The shell without its look at the timeline, which the copy hasn't got.
CLI = """
import sys
from kb import cli, cli_runs, db
cli_runs.database = db.open_database
sys.exit(cli.main(sys.argv[1:]))
"""


def run(copy: Path, name: str, *options: str) -> dict[str, Any]:
    return dict(kb(copy, "run", name, "--preset", "smoke", "--device", "cpu", "--json", *options)[1])


def detached(copy: Path, name: str, *options: str) -> str:
    return str(kb(copy, "run", name, "--preset", "smoke", "--device", "cpu", "--detach", "--json", *options)[1]["id"])


def one(copy: Path, query: str, *values: Any) -> Any:
    with sqlite3.connect(copy / "home" / "kb.sqlite3", timeout=30) as connection:
        return connection.execute(query, values).fetchone()[0]


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(autouse=True)
def unhurt(copy: Path) -> Iterator[None]:
    """After each of them the same supervisor runs an ordinary run, and the database is whole."""
    file = copy / "home" / "supervisor.log"
    before = file.read_text() if file.exists() else ""
    yield
    assert run(copy, "good")["status"] == "succeeded"
    assert one(copy, "PRAGMA integrity_check") == "ok"
    log = file.read_text().removeprefix(before)
    assert "Traceback" not in log, log[-3000:]
    assert one(copy, "SELECT count(*) FROM run WHERE status IN ('running', 'queued')") == 0


def test_a_flooded_log_stays_small_and_keeps_its_ends(copy: Path) -> None:
    found = run(copy, "logs", "--set", "n=200")
    assert found["status"] == "succeeded"
    log = copy / "home" / "runs" / found["id"] / "log.txt"
    assert log.stat().st_size < 10 << 20
    assert b"bytes were removed here" in log.read_bytes()


def test_many_rows_that_are_no_numbers(copy: Path) -> None:
    found = run(copy, "many", "--set", "n=50000")
    assert found["status"] == "succeeded"
    assert one(copy, "SELECT count(*) FROM run_row WHERE run = ?", found["id"]) == 50_000
    assert one(copy, "SELECT max(number) FROM run_row WHERE run = ?", found["id"]) == 49_999


def test_more_than_a_million_rows_is_too_many(copy: Path) -> None:
    found = run(copy, "fast", "--set", "n=1200000")
    assert (found["status"], found["reason"]) == ("failed", "it yielded more than 1,000,000 rows")


def test_words_that_are_no_text(copy: Path) -> None:
    found = run(copy, "words")
    assert found["status"] == "succeeded"
    note = one(copy, "SELECT note FROM run WHERE id = ?", found["id"])
    assert "\0" not in note and note.encode("utf-8")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("large", "more than 16 MB at once"),
        ("wide", "a row has 5,000 values"),
        ("exits", "status 3"),
        ("noise", "where its events go"),
    ],
)
def test_what_cannot_be_recorded_fails_with_a_reason(copy: Path, name: str, reason: str) -> None:
    found = run(copy, name)
    assert found["status"] == "failed" and reason in found["reason"]


def test_a_run_that_closes_everything_ends_all_the_same(copy: Path) -> None:
    assert run(copy, "closes")["status"] == "failed"


def test_numbers_beyond_all_measure(copy: Path) -> None:
    assert run(copy, "numbers")["status"] in ("succeeded", "failed")


def test_a_huge_picture_is_made_smaller(copy: Path) -> None:
    from PIL import Image

    found = run(copy, "picture")
    assert found["status"] == "succeeded", (found["reason"], found["traceback"])
    with Image.open(found["artifacts"][0]["file"]) as image:
        assert image.size == (4096, 1365)


@pytest.mark.parametrize(
    ("name", "setting", "limit", "word"),
    [
        ("silent", "n=1", "time=1s", "time"),
        ("hoards", "n=300", "memory=1GB", "memory"),
        ("fills", "n=30000000", "disk=20MB", "disk"),
    ],
)
def test_limits_hold(copy: Path, name: str, setting: str, limit: str, word: str) -> None:
    found = run(copy, name, "--set", setting, "--limit", limit)
    assert found["status"] == "failed"
    assert found["reason"].startswith(f"it reached its limit of {word}"), found["reason"]


def test_a_run_that_ignores_being_asked_is_ended(copy: Path, until: Callable[..., Any]) -> None:
    run_id = detached(copy, "stubborn")
    until(lambda: one(copy, "SELECT count(*) FROM run_row WHERE run = ?", run_id))
    pid = json.loads(one(copy, 'SELECT "values" FROM run_row WHERE run = ?', run_id))["pid"]
    assert kb(copy, "stop", run_id, "--json")[1][0]["status"] == "cancelled"
    assert gone(pid)


def test_children_end_with_their_run_wherever_they_hide(copy: Path, until: Callable[..., Any]) -> None:
    run_id = detached(copy, "forks")
    until(lambda: one(copy, "SELECT count(*) FROM run_row WHERE run = ?", run_id))
    children = json.loads(one(copy, 'SELECT "values" FROM run_row WHERE run = ?', run_id))
    assert not any(map(gone, children.values()))
    kb(copy, "stop", run_id, "--json")
    until(lambda: all(map(gone, children.values())))


def test_a_held_database_is_waited_for(copy: Path, until: Callable[..., Any]) -> None:
    run_id = detached(copy, "fast", "--set", "n=20000")
    holder = sqlite3.connect(copy / "home" / "kb.sqlite3", timeout=30, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")  # nobody can write now
    held_at = holder.execute("SELECT count(*) FROM run_row WHERE run = ?", (run_id,)).fetchone()[0]
    with sqlite3.connect(copy / "home" / "kb.sqlite3") as reader:
        assert reader.execute("SELECT count(*) FROM run_row WHERE run = ?", (run_id,)).fetchone()[0] == held_at
    holder.execute("ROLLBACK")
    holder.close()
    until(lambda: one(copy, "SELECT status FROM run WHERE id = ?", run_id) == "succeeded")
    assert one(copy, "SELECT count(*) FROM run_row WHERE run = ?", run_id) == 20_000


def test_a_paused_run_stands_still_and_others_go_on(copy: Path, until: Callable[..., Any]) -> None:
    run_id = detached(copy, "silent")
    until(lambda: one(copy, "SELECT status FROM run WHERE id = ?", run_id) == "running")
    assert kb(copy, "pause", run_id, "--json")[1] == [{"id": run_id, "status": "paused"}]
    pid = one(copy, "SELECT process FROM run WHERE id = ?", run_id)
    assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
    assert run(copy, "good")["status"] == "succeeded", "its device is free meanwhile"
    kb(copy, "resume", run_id, "--json")
    until(lambda: one(copy, "SELECT status FROM run WHERE id = ?", run_id) == "running")
    assert psutil.Process(pid).status() != psutil.STATUS_STOPPED
    kb(copy, "pause", run_id, "--json")
    assert kb(copy, "stop", run_id, "--json")[1][0]["status"] == "cancelled", "a paused run can be stopped, too"


def test_a_row_is_what_it_was_when_it_was_yielded(copy: Path) -> None:
    done = run(copy, "reuses")
    losses = (
        "SELECT json_group_array(\"values\" ->> '$.loss') FROM (SELECT * FROM run_row WHERE run = ? ORDER BY number)"
    )
    assert json.loads(one(copy, losses, done["id"])) == list(range(9))


def test_a_device_without_memory_says_what_to_do(copy: Path) -> None:
    done = run(copy, "card")
    assert done["status"] == "failed" and "choose a smaller batch or preset, or device=cpu" in done["reason"]


def test_priority_and_batches(copy: Path, until: Callable[..., Any]) -> None:
    first = detached(copy, "silent")
    until(lambda: one(copy, "SELECT status FROM run WHERE id = ?", first) == "running")
    ids = kb(copy, "run", "good", "--preset", "smoke", "--device", "cpu", "--seed", "1", "2", "3", "--detach", "--json")
    low, middle, high = ids[1]["ids"]
    kb(copy, "prioritize", "5", high, "--json")
    kb(copy, "pause", low, "--json")
    kb(copy, "stop", first, "--json")
    until(lambda: one(copy, "SELECT status FROM run WHERE id = ?", middle) == "succeeded")
    begun = {id: one(copy, "SELECT started FROM run WHERE id = ?", id) for id in (low, middle, high)}
    assert begun[low] is None and begun[high] < begun[middle]
    batch = one(copy, "SELECT batch FROM run WHERE id = ?", low)
    assert {run["id"] for run in kb(copy, "runs", "--batch", batch, "--json")[1]} == {low, middle, high}
    assert kb(copy, "stop", batch, "--json")[1][0] == {"id": low, "status": "cancelled"}


def test_the_worker_dies_with_a_killed_supervisor_and_so_do_its_children(copy: Path, until: Callable[..., Any]) -> None:
    run_id = detached(copy, "forks")
    until(lambda: one(copy, "SELECT count(*) FROM run_row WHERE run = ?", run_id))
    children = json.loads(one(copy, 'SELECT "values" FROM run_row WHERE run = ?', run_id))
    parent = psutil.Process(one(copy, "SELECT process FROM run WHERE id = ?", run_id)).parent()
    assert parent
    parent.send_signal(signal.SIGKILL)
    assert run(copy, "good")["status"] == "succeeded"
    assert one(copy, "SELECT status FROM run WHERE id = ?", run_id) == "interrupted"
    until(lambda: all(map(gone, children.values())))
