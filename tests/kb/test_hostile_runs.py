"""Runs that flood, lie, fill the memory or never end harm neither the supervisor nor other runs."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from tests.conftest import end_processes_of
from tests.kb.misbehaving import MAX_ROWS, Checkout
from tests.kb.run_processes import Until, is_alive


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Its one supervisor executes the runs of all tests, and after them another."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    checkout.create()
    yield checkout
    assert checkout.run("good")["status"] == "succeeded"
    end_processes_of(checkout.home)


@pytest.fixture(autouse=True)
def unharmed(checkout: Checkout) -> Iterator[None]:
    """After each test the supervisor has reported no error, and the database is intact."""
    log = checkout.home / "supervisor.log"
    before = log.read_text() if log.exists() else ""
    yield
    assert checkout.query("PRAGMA integrity_check") == "ok"
    written = log.read_text().removeprefix(before)
    assert "Traceback" not in written, written[-3000:]
    unfinished = "SELECT count(*) FROM run WHERE status IN ('running', 'queued')"
    assert checkout.query(unfinished) == 0


# What runs write


def test_a_log_keeps_its_start_and_end_but_stays_small(checkout: Checkout) -> None:
    run = checkout.run("floods_log", "--set", "n=200")
    assert run["status"] == "succeeded"
    log = checkout.home / "runs" / run["id"] / "log.txt"
    assert log.stat().st_size < 10 << 20
    assert b"bytes were removed here" in log.read_bytes()


def test_rows_that_are_not_finite_are_recorded(checkout: Checkout) -> None:
    run = checkout.run("not_finite", "--set", "n=50000")
    assert run["status"] == "succeeded"
    assert checkout.count_rows(run["id"]) == 50_000
    last = checkout.query("SELECT max(number) FROM run_row WHERE run = ?", run["id"])
    assert last == 49_999


def test_a_run_has_at_most_so_many_rows(checkout: Checkout) -> None:
    run = checkout.run("fast", "--set", f"n={2 * MAX_ROWS}")
    assert run["status"] == "failed"
    assert run["reason"] == f"it yielded more than {MAX_ROWS:,} rows"


def test_text_that_no_database_stores_is_replaced(checkout: Checkout) -> None:
    run = checkout.run("not_utf8")
    assert run["status"] == "succeeded"
    note = checkout.column("note", run["id"])
    assert "\0" not in note
    assert note.encode("utf-8")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("large_row", "more than 16 MB at once"),
        ("wide_row", "a row has 5,000 values"),
        ("exits", "status 3"),
        ("writes_to_channel", "where its events go"),
    ],
)
def test_a_run_that_cannot_be_recorded_fails_with_a_reason(
    checkout: Checkout, name: str, reason: str
) -> None:
    run = checkout.run(name)
    assert run["status"] == "failed"
    assert reason in run["reason"]


def test_a_run_that_closes_all_files_ends(checkout: Checkout) -> None:
    assert checkout.run("closes_files")["status"] == "failed"


def test_a_run_with_huge_numbers_ends(checkout: Checkout) -> None:
    assert checkout.run("huge_numbers")["status"] in ("succeeded", "failed")


def test_a_large_figure_is_scaled_down(checkout: Checkout) -> None:
    run = checkout.run("large_figure")
    assert run["status"] == "succeeded", (run["reason"], run["traceback"])
    with Image.open(run["artifacts"][0]["file"]) as image:
        assert image.size == (4096, 1365)


def test_a_row_is_recorded_as_it_was_when_it_was_yielded(checkout: Checkout) -> None:
    run = checkout.run("reuses_row")
    losses = """
        SELECT json_group_array("values" ->> '$.loss')
        FROM (SELECT * FROM run_row WHERE run = ? ORDER BY number)"""
    assert json.loads(checkout.query(losses, run["id"])) == list(range(9))


# Limits


@pytest.mark.parametrize(
    ("name", "setting", "limit", "resource"),
    [
        ("silent", "n=1", "time=1s", "time"),
        ("fills_memory", "n=300", "memory=1GB", "memory"),
        ("fills_disk", "n=30000000", "disk=20MB", "disk"),
    ],
)
def test_a_run_is_stopped_at_its_limit(
    checkout: Checkout, name: str, setting: str, limit: str, resource: str
) -> None:
    run = checkout.run(name, "--set", setting, "--limit", limit)
    assert run["status"] == "failed"
    assert run["reason"].startswith(f"it reached its limit of {resource}"), run["reason"]


def test_a_run_without_gpu_memory_says_what_to_do(checkout: Checkout) -> None:
    run = checkout.run("fills_gpu")
    assert run["status"] == "failed"
    assert "choose a smaller batch or preset, or device=cpu" in run["reason"]


# Processes


def test_a_run_that_ignores_sigterm_is_killed(checkout: Checkout, until: Until) -> None:
    run_id = checkout.submit("ignores_sigterm")["id"]
    until(lambda: checkout.count_rows(run_id))
    pid = checkout.first_row(run_id)["pid"]
    assert checkout.kb("stop", run_id) == [{"id": run_id, "status": "cancelled"}]
    assert not is_alive(pid)


def start_children(checkout: Checkout, until: Until) -> tuple[str, list[int]]:
    """A run and its child processes, which are in sessions of their own."""
    run_id = checkout.submit("forks")["id"]
    until(lambda: checkout.count_rows(run_id))
    children = list(checkout.first_row(run_id).values())
    assert all(map(is_alive, children))
    return run_id, children


def test_the_children_of_a_run_end_with_it(checkout: Checkout, until: Until) -> None:
    run_id, children = start_children(checkout, until)
    checkout.kb("stop", run_id)
    until(lambda: not any(map(is_alive, children)))


def test_a_worker_and_its_children_end_with_a_killed_supervisor(
    checkout: Checkout, until: Until
) -> None:
    run_id, children = start_children(checkout, until)
    supervisor = psutil.Process(checkout.column("process", run_id)).parent()
    assert supervisor
    supervisor.send_signal(signal.SIGKILL)
    assert checkout.run("good")["status"] == "succeeded"
    assert checkout.column("status", run_id) == "interrupted"
    until(lambda: not any(map(is_alive, children)))


# The database and the queue


def test_rows_are_recorded_when_a_locked_database_is_free_again(
    checkout: Checkout, until: Until
) -> None:
    run_id = checkout.submit("fast", "--set", "n=20000")["id"]
    file: Path = checkout.home / "kb.sqlite3"
    holder = sqlite3.connect(file, timeout=30, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")  # nobody else can write now
    recorded = checkout.count_rows(run_id)
    assert checkout.count_rows(run_id) == recorded
    holder.execute("ROLLBACK")
    holder.close()
    until(lambda: checkout.column("status", run_id) == "succeeded")
    assert checkout.count_rows(run_id) == 20_000


def test_a_paused_run_gives_its_device_to_others(checkout: Checkout, until: Until) -> None:
    run_id = checkout.submit("silent")["id"]
    until(lambda: checkout.column("status", run_id) == "running")
    assert checkout.kb("pause", run_id) == [{"id": run_id, "status": "paused"}]
    process = psutil.Process(checkout.column("process", run_id))
    assert process.status() == psutil.STATUS_STOPPED
    assert checkout.run("good")["status"] == "succeeded"
    checkout.kb("resume", run_id)
    until(lambda: checkout.column("status", run_id) == "running")
    assert process.status() != psutil.STATUS_STOPPED
    checkout.kb("pause", run_id)
    assert checkout.kb("stop", run_id) == [{"id": run_id, "status": "cancelled"}]


def test_the_queue_is_ordered_by_priority(checkout: Checkout, until: Until) -> None:
    first = checkout.submit("silent")["id"]
    until(lambda: checkout.column("status", first) == "running")
    paused, usual, urgent = checkout.submit("good", "--seed", "1", "2", "3")["ids"]
    checkout.kb("prioritize", "5", urgent)
    checkout.kb("pause", paused)
    checkout.kb("stop", first)
    until(lambda: checkout.column("status", usual) == "succeeded")
    assert checkout.column("started", paused) is None
    assert checkout.column("started", urgent) < checkout.column("started", usual)
    checkout.kb("stop", paused)


def test_a_batch_is_listed_and_stopped_as_one(checkout: Checkout, until: Until) -> None:
    first = checkout.submit("silent")["id"]
    until(lambda: checkout.column("status", first) == "running")
    ids = checkout.submit("good", "--seed", "1", "2")["ids"]
    batch = checkout.column("batch", ids[0])
    assert {run["id"] for run in checkout.kb("runs", "--batch", batch)} == set(ids)
    stopped: list[dict[str, Any]] = checkout.kb("stop", batch)
    assert stopped == [{"id": run_id, "status": "cancelled"} for run_id in ids]
    checkout.kb("stop", first)
