"""What the ladders share: rungs, a budget counted in FLOPs, and what is made of the measurements.

All rungs of a ladder get the same task, the same data, the same budget of training FLOPs, the same
schedule and the same grid of learning rates,
of which each chooses by validation data, seed by seed; what is told is measured on test data.
"""

import argparse
import contextlib
import json
import math
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from impl.kit import Progress, Protocol, Row, pick_device, run_protocol
from impl.kit.cli import change
from impl.kit.trials import Trial
from impl.kit.verdicts import mean_interval


@dataclass(frozen=True)
class Ladder:
    """A task and its rungs. Of what is measured less is better."""

    name: str  # of the module
    title: str
    task: str  # for readers: what is to be done, and what was measured
    unit: str
    measure: str  # of the judged rows
    rungs: Mapping[str, str]  # the name of each rung, the oldest first, and its milestone's id
    protocol: Protocol  # its arms are the rungs; it has one condition at most
    condition: str = "{}"  # how a value of the condition is called


def count_flops(work: Callable[[], object]) -> int:
    """The FLOPs of what `work` does: of its matrix products and convolutions, forward and backward.

    Two for each multiplication with its addition. Elementwise work isn't counted, nor is the
    optimizer's.
    """
    counter = FlopCounterMode(display=False)
    with _without_fused_kernels(), torch.random.fork_rng([]), counter:
        work()
    return int(counter.get_total_flops())


@contextlib.contextmanager
def _without_fused_kernels() -> Iterator[None]:
    """The counter doesn't know them. Without them it sees the products that they are made of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the flags of backends that this machine doesn't have
        mkldnn = torch.backends.mkldnn.flags(enabled=False)
        with mkldnn, torch.backends.cudnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield


def count_updates(budget: float, flops: int) -> int:
    """How many updates of so many FLOPs the budget pays."""
    return max(1, int(budget // flops))


def count_parameters(*nets: nn.Module) -> int:
    return sum(parameter.numel() for net in nets for parameter in net.parameters())


def spent(flops: int, updates: int, *nets: nn.Module) -> Row:
    """What a training took: for the last row of each trial."""
    return dict(flops=flops, updates=updates, parameters=count_parameters(*nets))


def width_for(parameters: int, build: Callable[[int], nn.Module], widths: range) -> int:
    """The width at which the net comes nearest to so many parameters. Nothing is allocated."""
    with torch.device("meta"):
        return min(widths, key=lambda width: abs(count_parameters(build(width)) - parameters))


def set_lr(optimizer: torch.optim.Optimizer, lr: float, step: int, updates: int) -> None:
    """The rate of this step, from 1: it rises to `lr` over a tenth of the updates, then falls to 0.

    Both in straight lines. Transformers need the rise, and it harms nobody.
    """
    done = (step - 0.5) / updates
    for group in optimizer.param_groups:
        group["lr"] = lr * min(done / 0.1, (1 - done) / 0.9)


def train(
    loss: Callable[[], torch.Tensor],
    optimizer: torch.optim.Optimizer,
    lr: float,
    updates: int,
    clip: float = math.inf,
) -> Iterator[Row]:
    """Minimizes the loss; yields eight times the step and the loss of its mini-batch."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for step in range(1, updates + 1):
        set_lr(optimizer, lr, step, updates)
        optimizer.zero_grad()
        value = loss()
        value.backward()
        if clip < math.inf:
            nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        if step % -(-updates // 8) == 0:
            yield dict(step=step, loss=value.item())


# What is made of the rows


def summarize(ladder: Ladder, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each condition its name, and of each rung what was measured, with 95% intervals."""
    judged = [row for row in rows if row.get("judged")]
    key = next(iter(ladder.protocol.conditions), "")
    parts: dict[object, list[Row]] = {}
    for row in judged:
        parts.setdefault(row.get(key), []).append(row)
    return [
        {"name": ladder.condition.format(value) if key else "", "rungs": _rungs(ladder, part)}
        for value, part in parts.items()
    ]


def _rungs(ladder: Ladder, judged: Sequence[Row]) -> list[dict[str, Any]]:
    rungs: list[dict[str, Any]] = []
    before: list[float] = []
    for name, milestone in ladder.rungs.items():
        rows = [row for row in judged if row["arm"] == name]
        values = [float(row[ladder.measure]) for row in rows]
        gains = [old - new for old, new in zip(before, values, strict=False)]
        rungs.append(
            {
                "name": name,
                "milestone": milestone,
                **_interval(values),
                "gain": _interval(gains) if gains else None,  # over the rung before, seed by seed
                "values": values,
                "parameters": int(rows[0]["parameters"]),
                "flops": int(rows[0]["flops"]),
                "updates": int(rows[0]["updates"]),
                "lrs": [float(row["lr"]) for row in rows],
                "at_edge": sum("at_edge" in row for row in rows),
            }
        )
        before = values
    return rungs


def _interval(values: Sequence[float]) -> dict[str, float]:
    mean, low, high = mean_interval(values)
    return {"mean": mean, "low": low, "high": high}


def main(
    doc: str | None,
    ladder: Ladder,
    trial: Trial,
    presets: Mapping[str, Any],
    argv: Sequence[str] | None = None,
) -> int:
    """Climbs the ladder in this process and prints a table, or one JSON object."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=presets, default="quick")
    parser.add_argument("--device", default="cpu", help="cpu (the default), cuda, mps, xpu")
    parser.add_argument("--seed", type=int, help="the first seed; the others follow it")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    changes = dict(item.partition("=")[::2] for item in args.set)
    if args.seed is not None:
        changes["seed"] = str(args.seed)
    try:
        config = change(presets[args.preset], changes)
        device = pick_device(args.device)
    except ValueError as error:
        parser.error(str(error))
    conditions = summarize(ladder, climb(ladder, trial, config, device))
    print(
        json.dumps(record(ladder, config, device, conditions)) if args.json else table(conditions)
    )
    return 0


def climb(ladder: Ladder, trial: Trial, config: Any, device: torch.device) -> list[Row]:
    """All rows that the trials yield. The progress goes to standard error."""
    rows: list[Row] = []
    shown = time.monotonic()
    for event in run_protocol(trial, config, ladder.protocol, device):
        if isinstance(event, dict):
            rows.append(event)
        elif isinstance(event, Progress) and time.monotonic() - shown >= 5:
            shown = time.monotonic()
            print(f"{ladder.name}: {event.note}", file=sys.stderr, flush=True)
    return rows


def record(
    ladder: Ladder, config: Any, device: torch.device, conditions: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What `kb ladders --record` keeps, with the machine, the date and the hash of the source."""
    return {
        "title": ladder.title,
        "task": ladder.task,
        "unit": ladder.unit,
        "settings": asdict(config),
        "environment": {
            "device": device.type,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "conditions": list(conditions),
    }


def table(conditions: Sequence[Mapping[str, Any]]) -> str:
    """The rungs for a terminal; the gain is over the rung above it."""
    lines = []
    for condition in conditions:
        lines.append(
            f"{condition['name']:<24} {'measured':>26} {'gain':>26}  parameters  updates  lr"
        )
        for rung in condition["rungs"]:
            lrs = ", ".join(f"{lr:g}" for lr in sorted(set(rung["lrs"])))
            lines.append(
                f"{rung['name']:<24} {_words(rung):>26} {_words(rung['gain']):>26}"
                f"  {rung['parameters']:>10,}  {rung['updates']:>7,}  {lrs}"
            )
    return "\n".join(lines)


def _words(interval: Mapping[str, float] | None) -> str:
    if interval is None:
        return "-"
    return f"{interval['mean']:.4g} ({interval['low']:.3g} .. {interval['high']:.3g})"
