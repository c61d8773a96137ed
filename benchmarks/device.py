"""Does everything run on this machine's accelerator, with the verdicts of the record? `make device`

Every smoke preset, five quick presets, several processes that share their batches, and bfloat16, in
less than eight minutes on a GPU. Needs torch and impl/, not the rest of the project.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
QUICK = ("dropout", "lenet5", "lstm", "gan", "elu")
SMOKE_SECONDS, QUICK_SECONDS = 60, 180


@dataclass(frozen=True)
class Outcome:
    what: str
    seconds: float
    verdicts: dict[str, str]  # by claim
    error: str = ""  # the last line that was printed, if it failed


def execute(name: str, *arguments: str, limit: float, processes: int = 1) -> Outcome:
    """Runs an implementation in a process of its own."""
    launcher = [sys.executable, "-m"]
    if processes > 1:
        launcher += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command = [*launcher, f"impl.{name}", "--json", *arguments]
    what = " ".join([name, *arguments, *([f"in {processes} processes"] if processes > 1 else [])])
    started = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return Outcome(what, limit, {}, "took too long")
    seconds = time.monotonic() - started
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return Outcome(what, seconds, {}, lines[-1][:120])
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    verdicts = {e["claim"]: e["verdict"] for e in events if e["event"] == "verdict"}
    return Outcome(what, seconds, verdicts)


def implementations() -> list[str]:
    return sorted(file.stem for file in (ROOT / "impl").glob("[a-z]*.py"))


def executions(device: str, names: Sequence[str]) -> Iterator[Outcome]:
    import torch

    on = ("--device", device)
    for name in names:
        yield execute(name, "--preset", "smoke", *on, limit=SMOKE_SECONDS)
    count = torch.accelerator.device_count() if torch.accelerator.is_available() else 1
    for settings in ("bf16=true", "seeds=1"):
        if "resnet" in names:
            processes = count if settings == "seeds=1" else 1
            arguments = ("--preset", "smoke", "--set", settings, *on)
            yield execute("resnet", *arguments, limit=SMOKE_SECONDS, processes=processes)
    for name in QUICK:
        if name in names:
            yield execute(name, "--preset", "quick", *on, limit=QUICK_SECONDS)


def recorded(name: str) -> dict[str, Any]:
    """The first block of the record; empty if there is none."""
    record = json.loads((ROOT / "results" / "quick.json").read_text())
    blocks = record.get(name, {"blocks": []})["blocks"]
    return dict(blocks[0]) if blocks else {}


def differences(outcome: Outcome) -> list[str]:
    block = recorded(outcome.what.split()[0])
    before = {verdict["claim"]: verdict["verdict"] for verdict in block.get("verdicts", [])}
    return [
        f"{claim}: {verdict} here, {before.get(claim, 'absent')} in the record"
        for claim, verdict in outcome.verdicts.items()
        if before.get(claim) != verdict
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, xpu")
    parser.add_argument("--only", nargs="+", default=implementations(), metavar="NAME")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    failed = 0
    for outcome in executions(args.device, args.only):
        line = f"{outcome.seconds:6.1f} s  {outcome.what}"
        if "quick" in outcome.what and not outcome.error:
            usage = recorded(outcome.what.split()[0]).get("usage") or {}
            line += f"  ({usage.get('wall_seconds', 0):.0f} s on the record's processor)"
        print(line if not outcome.error else f"{line}: FAILED: {outcome.error}", flush=True)
        failed += bool(outcome.error)
        if "quick" in outcome.what:
            print("".join(f"          {change}\n" for change in differences(outcome)), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
