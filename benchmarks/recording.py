"""What recording costs a small fast training loop, beside TensorBoard."""

import contextlib
import gc
import math
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlmodel import Session

from benchmarks.table import Line, timed
from kb import db
from kb.runs import store
from kb.runs.active import ActiveRun
from kb.runs.processes import Worker
from kb.runs.supervisor import Supervisor
from kb.tables import Run

# A loop is short, so that whatever else the machine does disturbs all ways of recording alike.
STEPS = 400
ROUNDS = 151  # in each, every way of recording has a turn
MAX_COST = 0.03  # of the time of the loop
RUN_ID = "benchmark"
Loop = Callable[[], None]


def recording(folder: Path) -> list[Line]:
    """The loop without recording, with TensorBoard, and in a worker whose rows are written."""
    import torch
    from torch.utils.tensorboard import SummaryWriter

    from kb.runs import event_stream, worker

    torch.set_num_threads(1)  # as implementations do

    def bare() -> None:
        for _ in training():
            pass

    with recording_process() as channel, SummaryWriter(str(folder / "tensorboard")) as writer:
        stream = event_stream.EventStream(channel)
        threading.Thread(target=stream.keep_flushing, daemon=True).start()  # as a worker does

        def ours() -> None:
            worker.send_items(training(), stream)
            stream.flush()

        def tensorboard() -> None:
            for row in training():
                writer.add_scalar("loss", row["loss"], row["step"])
            writer.flush()

        times = measure([bare, ours, tensorboard])
    check_rows()
    return [cost_line(times[bare], times[ours], times[tensorboard])]


def measure(loops: list[Loop]) -> dict[Loop, list[float]]:
    """The times of each loop; in every round each has a turn, in random order."""
    for loop in loops:
        loop()
    gc.collect()
    gc.freeze()  # as a worker does
    times: dict[Loop, list[float]] = {loop: [] for loop in loops}
    for _ in range(ROUNDS):
        for loop in random.sample(loops, len(loops)):
            times[loop].append(timed(loop))
    return times


def check_rows() -> None:
    engine = db.open_database()
    rows = len(store.rows(engine, RUN_ID))
    assert rows == STEPS * (ROUNDS + 1), f"{rows} rows were written"


def cost_line(bare: list[float], ours: list[float], tensorboard: list[float]) -> Line:
    shares = _shares(ours, bare)
    cost, their_cost = statistics.median(shares), statistics.median(_shares(tensorboard, bare))
    # The true median is between these ranks, 19 times out of 20.
    half = round(0.98 * math.sqrt(ROUNDS))
    low, high = (sorted(shares)[ROUNDS // 2 + rank] for rank in (-half, half))
    step = 1e6 * statistics.median(bare) / STEPS
    interval = f"{100 * low:.1f} to {100 * high:.1f}"
    share = f"{100 * cost:.1f} % of it, {interval}; TensorBoard {100 * their_cost:.0f} %"
    return Line(
        f"recording a row at each step of {step:.0f} µs ({share})",
        cost * step,
        "SummaryWriter.add_scalar",
        their_cost * step,
        "under 3 %",
        cost < MAX_COST,
        unit="µs",
    )


def _shares(times: list[float], bare: list[float]) -> list[float]:
    """How much longer than the bare loop, as a share of it, in each round."""
    return [time / bare_time - 1 for time, bare_time in zip(times, bare, strict=True)]


def training() -> Iterator[dict[str, float]]:
    """Trains a small net as fast as possible, and yields its loss at every step."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    x, y = torch.randn(64, 64), torch.randint(10, (64,))
    net = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for step in range(STEPS):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield dict(step=step, loss=loss.item())


@contextlib.contextmanager
def recording_process() -> Iterator[Any]:
    """A channel for events; at its other end a process writes them, as the supervisor does."""
    run = Run(
        id=RUN_ID,
        implementation="benchmark",
        preset="quick",
        device="cpu",
        submitted=0,
        source_hash="",
    )
    with Session(db.open_database()) as session:
        session.add(run)
        session.commit()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.recording"], stdin=subprocess.PIPE, text=True
    )
    yield process.stdin
    assert process.stdin
    process.stdin.close()
    assert process.wait() == 0


class PipedWorker(Worker):
    """A worker that is there already: its events come through standard input."""

    def __init__(self) -> None:
        self.stdout = sys.stdin.buffer
        self.buffer = b""
        self.at_eof = False
        os.set_blocking(self.stdout.fileno(), False)


def record_input() -> None:
    """Writes the events from standard input to the database, with the supervisor's code."""
    supervisor = Supervisor(db.open_database())
    active = ActiveRun(RUN_ID, PipedWorker(), "cpu", time.monotonic())
    supervisor.active[RUN_ID] = active
    while not active.worker.at_eof or active.pending:
        supervisor.monitor.drain_events(active, has_ended=False)
        supervisor.wait_for_events()


if __name__ == "__main__":
    record_input()
