"""Counted operations: as torch counts them, without changing a bit, and on few trials."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import impl.kit.trials
from impl import dropout, lecun_theory
from kb.runs.counted_trials import CountingExecutor, OnlyCounted
from kb.runs.flop_counter import FlopCounter

CPU = torch.device("cpu")


def mlp() -> Tensor:
    net = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5))
    return net(torch.rand(7, 20)).square().sum()


def convolutions() -> Tensor:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 2, 4),
        nn.Conv2d(2, 4, 3, groups=2),
    )
    return net(torch.rand(2, 3, 12, 12)).square().sum()


def attention() -> Tensor:
    layer = nn.MultiheadAttention(16, 4, batch_first=True)
    x = torch.rand(2, 9, 16, requires_grad=True)
    return layer(x, x, x, need_weights=True)[0].square().sum()


@pytest.mark.parametrize("loss", [mlp, convolutions, attention])
def test_counts_as_torch_does(loss: Callable[[], Tensor]) -> None:
    with FlopCounterMode(display=False) as torchs:
        loss().backward()
    with FlopCounter() as ours:
        loss().backward()
    assert ours.flops == torchs.get_total_flops() > 0
    assert ours.bytes > 0


def count(function: Callable[[], Any]) -> int:
    with FlopCounter() as counter:
        function()
    return int(counter.flops)


def test_counts_by_hand_what_torch_has_no_formula_for() -> None:
    A, x = torch.rand(3, 4), torch.rand(4)
    assert count(lambda: A @ x) == 2 * 3 * 4
    assert count(lambda: x @ x) == 2 * 4
    B = torch.eye(50).to_sparse_csr()
    assert count(lambda: B @ torch.rand(50, 6)) == 2 * 50 * 6, "only what is in the matrix"
    q = torch.rand(2, 4, 9, 8, requires_grad=True)
    fused = count(lambda: F.scaled_dot_product_attention(q, q, q).sum().backward())
    assert fused == (2 + 5) * 2 * (2 * 4) * 9 * 9 * 8, "two products, and five backwards"
    lstm = nn.LSTM(6, 5)
    assert count(lambda: lstm(torch.rand(11, 3, 6))) == 2 * 11 * 3 * 4 * 5 * (6 + 5)


def test_every_result_stays_the_same_to_the_last_bit() -> None:
    def results(mode: Any) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        A = torch.randn(8, 8, generator=generator, dtype=torch.float64)
        with mode:
            return [
                torch.linalg.matrix_norm(A, 2),
                torch.linalg.svdvals(A),
                torch.linalg.eigvalsh(A @ A.T),
                torch.linalg.solve(A, A.T),
            ]

    for plain, counted in zip(
        results(contextlib.nullcontext()), results(FlopCounter()), strict=True
    ):
        assert torch.equal(plain, counted)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KB_CORES", "1")
    impl.kit.pick_device("cpu")  # one thread, as in a run
    yield
    impl.kit.trials.execute_with(None)


def rows(module: ModuleType, executor: CountingExecutor | None, **settings: Any) -> list[str]:
    impl.kit.trials.execute_with(executor)
    config = replace(module.PRESETS["smoke"], **settings)
    return [repr(row) for row in module.run(config, CPU) if isinstance(row, dict)]


@pytest.mark.parametrize("module", [dropout, lecun_theory])
def test_a_run_yields_the_same_rows_when_it_is_counted(module: ModuleType, tmp_path: Path) -> None:
    executor = CountingExecutor(module, CPU, tmp_path / "counts.json", which="all")
    fewer = {"averaged": 2} if module is dropout else {}
    assert rows(module, executor, **fewer) == rows(module, None, **fewer)
    usage = executor.usage()
    assert usage["flops_counted_trials"] == usage["flops_trials"] == usage["flops_executed_trials"]
    assert usage["flops"] > 0 and usage["dense_flops_per_second"] > 1e6


def test_one_trial_of_each_arm_stands_for_the_others(tmp_path: Path) -> None:
    some = CountingExecutor(dropout, CPU, tmp_path / "some.json")
    every = CountingExecutor(dropout, CPU, tmp_path / "every.json", which="all")
    for executor in (some, every):
        rows(dropout, executor, seeds=10, sizes=(50,), updates=2, averaged=2, validation=20)
    counted, exact = some.usage(), every.usage()
    assert (counted["flops_counted_trials"], counted["flops_trials"]) == (2, 20)
    assert exact["flops_counted_trials"] == 20
    assert counted["flops"] == exact["flops"]


def test_a_run_that_only_counts_executes_nothing_else(tmp_path: Path) -> None:
    executor = CountingExecutor(dropout, CPU, tmp_path / "counts.json", which="only")
    with pytest.raises(OnlyCounted):
        rows(dropout, executor, averaged=2)
    usage = executor.usage()
    assert (usage["flops_counted_trials"], usage["flops_trials"]) == (4, 8)
    again = CountingExecutor(dropout, CPU, tmp_path / "counts.json")
    assert rows(dropout, again, averaged=2)
    assert again.usage()["flops"] == usage["flops"], "kept for a run that goes on"
