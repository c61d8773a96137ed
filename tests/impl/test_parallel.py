"""Several processes that share each batch learn what one process learns."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sqlalchemy import Engine
from torch import nn

from impl.kit import parallel
from kb import paths
from kb.runs import polling, store, submission
from kb.runs.submission import RunRequest

LEARNS = """
import json, os, torch
from impl.kit import parallel
from tests.impl.test_parallel import learnt
parallel.join(torch.device("cpu"))
line = json.dumps([one.tolist() for one in learnt()]) + "\\n"
os.write(1, line.encode())  # in one piece: both write to the same pipe
parallel.leave()
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def launch(*words: str) -> list[Any]:
    """What two processes write, each line of it as JSON."""
    done = subprocess.run(
        [*TORCHRUN, *words],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def learnt() -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of a small net after ten updates, and the mean kept by a batch normalization."""
    draw = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    norm = nn.BatchNorm1d(6, affine=False).double()
    for _ in range(10):
        x, y = torch.randn(12, 6, generator=draw).double(), torch.randint(3, (12,), generator=draw)
        x, y = parallel.part(x), parallel.part(y)
        norm(x)
        gradients = torch.autograd.grad(F.cross_entropy(net(x), y), [*net.parameters()])
        parallel.average(gradients)
        with torch.no_grad():
            for w, g in zip(net.parameters(), gradients, strict=True):
                w.sub_(0.5 * g)
    parallel.agree(norm)
    assert norm.running_mean is not None
    return torch.cat([w.detach().flatten() for w in net.parameters()]), norm.running_mean


@pytest.mark.timeout(120)
def test_two_processes_learn_what_one_does() -> None:
    one, other = launch("--no-python", sys.executable, "-c", LEARNS)
    assert one == other, "all processes have the same net, to the last bit"
    for here, there in zip(learnt(), one, strict=True):
        expected = torch.tensor(there, dtype=torch.float64)
        torch.testing.assert_close(expected, here, rtol=1e-12, atol=1e-12)


@pytest.mark.timeout(200)
def test_a_run_of_several_processes_is_recorded_once(loaded: Engine) -> None:
    alone, together = submission.submit_all(
        loaded,
        [RunRequest("alexnet", "smoke", device="cpu", options={"processes": n}) for n in (1, 2)],
    )
    one, two = (
        list(polling.watch(loaded, run_id, interval=0.05))[-1] for run_id in (alone, together)
    )
    assert (one.status, two.status) == ("succeeded", "succeeded"), (
        two.reason,
        store.log_tail(together),
    )
    assert (one.environment["processes"], two.environment["processes"]) == (1, 2)
    rows = [
        sorted(sorted(row.values) for row in store.rows(loaded, run_id))
        for run_id in (alone, together)
    ]
    assert rows[0] == rows[1]
    assert len(store.verdicts(loaded, together)) == len(store.verdicts(loaded, alone)) > 0
    assert len(store.artifacts(loaded, together)) == len(store.artifacts(loaded, alone)) > 0


@pytest.mark.slow
def test_a_failure_of_any_of_them_is_told(loaded: Engine) -> None:
    changes = {"data": "none"}
    run_id = submission.submit(
        loaded, "alexnet", "smoke", changes=changes, device="cpu", options={"processes": 2}
    )
    run = list(polling.watch(loaded, run_id, interval=0.05))[-1]
    assert run.status == "failed" and "no data set" in (run.reason or ""), run.reason


def test_what_is_not_written_for_it_says_so(loaded: Engine) -> None:
    with pytest.raises(ValueError, match="can't be split among several processes"):
        submission.submit(loaded, "two_rings", "smoke", options={"processes": 2})


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_in_the_shell_one_speaks() -> None:
    events = launch("-m", "impl.resnet", "--preset", "smoke", "--device", "cpu", "--json")
    claims = [event["claim"] for event in events if event["event"] == "verdict"]
    assert claims and len(claims) == len(set(claims))
