"""How much faster trials run on several cores: the same trials on one core and on two, in turns.

make bench        # or: python -m benchmarks.trials
"""

import os
import statistics
from dataclasses import replace

import torch

from benchmarks.table import Line, show, timed
from impl import dropout
from impl.kit.trials import WORKERS_VARIABLE

ROUNDS = 5
CONFIG = replace(dropout.QUICK, data="digits", seeds=4, lrs=(0.03, 0.1))  # 16 trials


def main() -> None:
    cores = min(2, os.cpu_count() or 1)
    times: dict[int, list[float]] = {1: [], cores: []}
    for _ in range(ROUNDS):
        for number, measured in times.items():
            os.environ[WORKERS_VARIABLE] = str(number)
            measured.append(timed(run_trials))
    alone, together = (statistics.median(times[number]) for number in (1, cores))
    factor = alone / together
    print(
        show(
            [
                Line(
                    f"16 trials on {cores} cores",
                    together,
                    "the same on one core",
                    alone,
                    "at most 1 / 1.8 of the time",
                    factor >= 1.8,
                    note=f"{factor:.2f} times as fast, on a machine with {os.cpu_count()} cores",
                )
            ]
        )
    )


def run_trials() -> None:
    for _ in dropout.run(CONFIG, torch.device("cpu")):
        pass


if __name__ == "__main__":
    main()
