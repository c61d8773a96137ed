"""Noisy rectified units: the sum they stand for, what they do to intensity, how an RBM learns, and the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from impl.kit import Row
from impl.relu import (
    MEAN,
    SMOKE,
    Nets,
    binary,
    check,
    fine_tune,
    noisy_rectifier,
    pretrain,
    random_weights,
    run,
    stepped,
)

CPU = torch.device("cpu")


@given(st.floats(-8, 60))
def test_many_binary_units_are_one_that_counts(x: float) -> None:
    at = torch.tensor([x], dtype=torch.float64)
    assert abs(float(stepped(at, 200) - F.softplus(at))) < 0.011


def test_the_noisy_rectifier_has_nearly_the_mean_of_the_sum() -> None:
    x = torch.linspace(-3, 6, 10)
    draw = torch.Generator().manual_seed(0)
    mean = torch.stack([noisy_rectifier(x, draw) for _ in range(4_000)]).mean(0)
    apart = (mean - F.softplus(x)).abs()
    assert apart.max() < 0.45 and apart[x.abs() >= 3].max() < 0.06  # the corner is where it's rough
    assert (noisy_rectifier(x, draw) >= 0).all()


def test_a_binary_unit_is_on_as_often_as_its_sigmoid_says() -> None:
    x, draw = torch.tensor([-2.0, 0.0, 3.0]), torch.Generator().manual_seed(0)
    on = torch.stack([binary(x, draw) for _ in range(4_000)])
    assert set(on.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(on.mean(0), x.sigmoid(), atol=0.03)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 50), st.integers(0, 999))
def test_without_biases_answers_do_not_depend_on_intensity(k: float, seed: int) -> None:
    torch.manual_seed(seed)
    nets = Nets(torch.randn(1, 6, 8), torch.zeros(1, 8), MEAN["rectified"], 3, biased=False)
    with torch.no_grad():
        nets.weights[2].normal_()
    x = torch.rand(1, 20, 6)
    assert torch.allclose(nets(k * x), k * nets(x), rtol=1e-4, atol=1e-4 * k)


@pytest.mark.parametrize("kind", MEAN)
def test_an_rbm_learns_to_reconstruct(kind: str) -> None:
    images = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) @ torch.randn(3, 12)
    cfg = replace(SMOKE, pretraining=400, H=16, batch=20, rbm_rate=0.01)
    wrong = [error for _, error, *_ in pretrain(kind, images / images.std(), cfg, [0, 1])]
    assert wrong[-1] < 0.6 * wrong[0]


def test_nets_side_by_side_are_nets_alone() -> None:
    cfg = replace(SMOKE, H=8, updates=5, batch=10)
    x, y = torch.rand(2, 30, 6), torch.randint(10, (2, 30))

    def trained(seeds: list[int]) -> torch.Tensor:
        nets = Nets(*random_weights(6, cfg, seeds, "rectified", CPU), MEAN["rectified"], 10)
        for _ in fine_tune(nets, x[: len(seeds)], y[: len(seeds)], 0.1, cfg, seeds):
            pass
        return nets.weights[0].detach()[0]

    assert torch.allclose(trained([0, 1]), trained([0]), atol=1e-6)


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


def test_a_unit_with_an_upper_end_does_not_pass_intensity_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEAN, "rectified", torch.tanh)
    rows = [row for row in run(SMOKE, CPU) if isinstance(row, dict)]
    assert verdicts(rows)["equivariance"] == "not reproduced"


def test_no_gain_is_not_reproduced() -> None:
    def rows(kind: str, begin: str, error: float) -> list[Row]:
        return [dict(net=f"{kind}, {begin}", seed=s, test_error=error + s / 100, dimmed_error=error) for s in range(5)]

    nets = [(kind, begin) for kind in MEAN for begin in ("RBM", "random", "no biases")]
    same = verdicts([row for kind, begin in nets for row in rows(kind, begin, 10.0)])
    assert set(same.values()) == {"not reproduced", "inconclusive"}, "exact claims are inconclusive without rows"
    better = verdicts([row for k, b in nets for row in rows(k, b, 20.0 - 5 * (k == "rectified") - 2 * (b == "RBM"))])
    names = ("intensity", "better-features", "without-rbm", "pretraining")
    assert [better[name] for name in names] == ["reproduced"] * 4
