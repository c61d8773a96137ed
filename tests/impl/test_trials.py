"""Trials: the same rows in any number of processes, errors that arrive, and runs that go on."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from impl.kit import (
    Arrays,
    Figure,
    Progress,
    Protocol,
    Row,
    generator,
    keep_rows,
    run_protocol,
    trials,
)

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Config:
    lrs: tuple[float, ...] = (0.1, 0.2, 0.3)
    sizes: tuple[int, ...] = (5, 10)
    seeds: int = 2
    seed: int = 7


PROTOCOL = Protocol(arms=("idea", "rival"), grid={"lr": "lrs"}, conditions={"n": "sizes"})


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float, n: int
) -> Iterator[Row | Arrays | Figure | Progress]:
    weight = torch.randn(3).sum().item()
    batch = torch.rand(n, generator=generator(seed, "batches")).sum().item()
    yield dict(step=1, loss=weight)
    yield Progress(1, 2)
    if arm == "idea":
        torch.rand(17)  # draws that the other arm doesn't make
    yield Arrays({"weight": torch.full((2,), lr)})
    yield Figure("picture", "a picture", b"png")
    yield dict(step=2, weight=weight, batch=batch, val_error=abs(lr - 0.2), test_error=lr + seed)


def collect(config: Config = Config(), work: Any = trial) -> tuple[list[Any], list[Any]]:
    events = []
    protocol = run_protocol(work, config, PROTOCOL, CPU)
    while True:
        try:
            events.append(next(protocol))
        except StopIteration as stop:
            return events, stop.value


def rows(events: list[Any]) -> list[Row]:
    return [event for event in events if isinstance(event, dict)]


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda number: monkeypatch.setenv(trials.WORKERS_VARIABLE, str(number))


def test_the_number_of_processes_changes_no_row(workers: Any) -> None:
    found = []
    for number in (1, 2, 5):
        workers(number)
        events, chosen = collect()
        found.append((sorted(map(repr, rows(events))), [repr(trial) for trial in chosen]))
    assert found[0] == found[1] == found[2]


def test_all_arms_draw_the_same_for_the_same_purpose(workers: Any) -> None:
    workers(1)
    judged = [row for row in rows(collect()[0]) if row.get("judged")]
    for seed in (7, 8):
        assert len({row["weight"] for row in judged if row["seed"] == seed}) == 1
        for n in (5, 10):
            of_size = [row for row in judged if row["seed"] == seed and row["n"] == n]
            assert len({row["batch"] for row in of_size}) == 1
    assert len({row["weight"] for row in judged}) == 2, "each seed draws its own"
    assert not torch.equal(
        torch.rand(3, generator=generator(1, "data")),
        torch.rand(3, generator=generator(1, "noise")),
    )


def test_the_point_with_the_best_validation_is_judged(workers: Any) -> None:
    workers(2)
    events, chosen = collect()
    judged = [row for row in rows(events) if row.get("judged")]
    assert len(judged) == 2 * 2 * 2 and {row["lr"] for row in judged} == {0.2}
    assert [(t.seed, t.job["n"], t.arm) for t in chosen] == [
        (seed, n, arm) for seed in (7, 8) for n in (5, 10) for arm in ("idea", "rival")
    ]
    assert all(torch.equal(t.tensors["weight"], torch.full((2,), 0.2)) for t in chosen)
    assert not any("at_edge" in row for row in judged)
    events, _ = collect(Config(lrs=(0.2, 0.3, 0.4)))
    assert {row["at_edge"] for row in rows(events) if row.get("judged")} == {"lr"}


def test_experiments_of_one_run_are_chosen_from_by_themselves(workers: Any) -> None:
    """They go seed by seed together, and one has no grid."""
    workers(2)

    def either(cfg: Config, device: torch.device, *, arm: str, seed: int, **job: Any) -> Any:
        yield dict(step=1, val_error=job.get("lr", 9.0), others=len(job))

    second = Protocol(arms=("alone",))
    parts = [Protocol(arms=PROTOCOL.arms, grid=PROTOCOL.grid), second]
    events: list[Any] = list(run_protocol(either, Config(), parts, CPU))
    judged = [row for row in rows(events) if row.get("judged")]
    assert [(row["seed"], row["arm"], row.get("lr"), row["others"]) for row in judged] == [
        (seed, *each)
        for seed in (7, 8)
        for each in (("idea", 0.1, 1), ("rival", 0.1, 1), ("alone", None, 0))
    ]
    assert events[-len(judged) - 1].done == 2 * (2 * 3 + 1)


def test_a_trial_of_two_experiments_runs_once_and_is_chosen_from_twice(workers: Any) -> None:
    workers(1)
    executed = []

    def counted(cfg: Config, device: torch.device, **job: Any) -> Iterator[Any]:
        executed.append(job)
        yield from trial(cfg, device, **job)

    by_test = replace(PROTOCOL, arms=("idea",), select="test_error")
    found = rows(list(run_protocol(counted, Config(), (PROTOCOL, by_test), CPU)))
    assert len(executed) == 24
    chosen = {
        measure: {(row["arm"], row["lr"]) for row in found if row.get("selected_by") == measure}
        for measure in ("val_error", "test_error")
    }
    assert chosen["val_error"] == {("idea", 0.2), ("rival", 0.2)}
    assert chosen["test_error"] == {("idea", 0.1)}


def test_rows_can_be_kept_for_the_figures(workers: Any) -> None:
    workers(1)
    kept: list[Row] = []
    passing = keep_rows(run_protocol(trial, Config(), PROTOCOL, CPU), kept)
    assert kept == rows(list(passing)) == rows(collect()[0])


def test_a_diverged_point_is_never_chosen(workers: Any) -> None:
    workers(1)

    def diverges(cfg: Config, device: torch.device, *, lr: float, **job: Any) -> Iterator[Row]:
        yield dict(val_error=float("nan") if lr < 0.3 else 5.0)

    judged = [row for row in rows(collect(work=diverges)[0]) if row.get("judged")]
    assert {row["lr"] for row in judged} == {0.3}


def test_progress_counts_trials_and_tells_the_time_left(workers: Any) -> None:
    workers(2)
    progress = [event for event in collect()[0] if isinstance(event, Progress)]
    assert progress[-1] == Progress(24, 24, "24 of 24 trials")
    assert "left" in progress[len(progress) // 2].note
    assert all(event.done <= event.total for event in progress)


class Refused(Exception):
    pass


def refuses(cfg: Config, device: torch.device, **job: Any) -> Iterator[Row]:
    yield dict(val_error=0.0)
    raise Refused("not with these settings")


def dies(cfg: Config, device: torch.device, *, arm: str, **job: Any) -> Iterator[Row]:
    yield dict(val_error=0.0)
    if arm == "rival":
        os._exit(3)


@pytest.mark.parametrize("number", [1, 2])
def test_an_error_of_a_trial_arrives_as_it_is(workers: Any, number: int) -> None:
    workers(number)
    with pytest.raises(Refused, match="not with these settings"):
        collect(work=refuses)
    assert not multiprocessing.active_children()


def test_a_process_that_dies_is_reported_with_its_trial(workers: Any) -> None:
    workers(2)
    with pytest.raises(trials.TrialFailed, match=r"arm rival, seed 7.*status 3"):
        collect(work=dies)
    assert not multiprocessing.active_children()


# Runs that are killed


SCRIPT = """
import sys, pathlib, torch
from impl.kit import trials, run_protocol
from tests.impl import test_trials as t
trials.keep_in(pathlib.Path(sys.argv[1]), "source")
for event in run_protocol(t.slow, t.Config(), t.PROTOCOL, t.CPU):
    t.write(event if isinstance(event, dict) else "-")
"""


def write(*words: object) -> None:
    """A line in one piece: several processes write to the same pipe."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def slow(cfg: Config, device: torch.device, **job: Any) -> Iterator[Any]:
    """The trials of the second seed never end, unless the folder says so."""
    write("executed", job["arm"], job["seed"], job["n"], job["lr"])
    yield from trial(cfg, device, **job)
    if job["seed"] == 8 and "KB_TEST_GO_ON" not in os.environ:
        signal.pause()


def start(folder: Path, go_on: bool) -> "subprocess.Popen[str]":
    more = {"KB_TEST_GO_ON": "1"} if go_on else {}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {trials.WORKERS_VARIABLE: "2"} | more,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="kills processes as Linux does")
def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    process = start(tmp_path, go_on=False)
    assert process.stdout
    running = 0
    for line in process.stdout:
        running += line.startswith("executed") and " 8 " in line
        if running == 2:  # both processes are at a trial that doesn't end
            break
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    psutil.wait_procs(children, timeout=20)
    assert not any(child.is_running() for child in children), "they end with their parent"

    process = start(tmp_path, go_on=True)
    output, _ = process.communicate()
    executed = [line for line in output.splitlines() if line.startswith("executed")]
    assert len(executed) == 12 and all(" 8 " in line for line in executed)
    trials.keep_in(None)
    expected = sorted(map(repr, rows(collect()[0])))
    assert sorted(line for line in output.splitlines() if line.startswith("{")) == expected


def test_trials_of_other_settings_or_another_source_are_not_used(
    tmp_path: Path, workers: Any
) -> None:
    workers(1)
    executed = []

    def counted(cfg: Config, device: torch.device, **job: Any) -> Iterator[Any]:
        executed.append(job)
        yield from trial(cfg, device, **job)

    try:
        for source, config in [
            ("a", Config()),
            ("a", Config()),
            ("b", Config()),
            ("b", Config(lrs=(0.1, 0.2, 0.4))),
        ]:
            trials.keep_in(tmp_path, source)
            collect(config, counted)
    finally:
        trials.keep_in(None)
    assert len(executed) == 24 + 0 + 24 + 24


def test_a_damaged_file_is_a_trial_that_has_not_ended(tmp_path: Path, workers: Any) -> None:
    workers(1)
    try:
        trials.keep_in(tmp_path, "a")
        first = collect()[0]
        (tmp_path / "00003.pt").write_bytes(b"PK\x03\x04 torn")
        assert sorted(map(repr, rows(collect()[0]))) == sorted(map(repr, rows(first)))
    finally:
        trials.keep_in(None)
