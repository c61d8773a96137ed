"""Noisy rectified units: the sum they stand for, intensity, how a machine learns, broken ideas."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Verdict
from impl.kit.broken import take_out
from impl.kit.data import digits, draw_split
from impl.relu import (
    BROKEN,
    RBM,
    SMOKE,
    UNITS,
    Binary,
    NoisyReLU,
    Unit,
    check,
    inputs,
    pretrain,
    random_layer,
    run,
    scaling_gap,
    stepped,
    trial,
)

CPU = torch.device("cpu")


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


@given(st.floats(-8, 60))
def test_many_binary_units_are_one_that_counts(x: float) -> None:
    """The sum is the midpoint rule for the integral of sigma: it errs by sigma'/24, at most 0.0104,
    and a little more."""
    at = torch.tensor([x], dtype=torch.float64)
    assert abs(float(stepped(at, 200) - F.softplus(at))) < 0.011


def mean(unit: Unit, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    return torch.stack([unit.sample(x) for _ in range(4_000)]).mean(0)


def test_the_noisy_rectifier_has_nearly_the_mean_of_the_sum() -> None:
    x = torch.linspace(-3, 6, 10)
    gap = (mean(NoisyReLU(), x) - F.softplus(x)).abs()
    assert gap.max() < 0.45 and gap[x.abs() >= 3].max() < 0.06  # it is rough at the corner
    assert (NoisyReLU().sample(x) >= 0).all()


def test_a_binary_unit_is_on_as_often_as_its_sigmoid_says() -> None:
    x = torch.tensor([-2.0, 0.0, 3.0])
    assert set(Binary().sample(x.repeat(99)).tolist()) == {0.0, 1.0}
    assert torch.allclose(mean(Binary(), x), Binary()(x), atol=0.03)
    assert torch.equal(NoisyReLU()(x), F.relu(x))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 50), st.integers(0, 999))
def test_without_biases_answers_do_not_depend_on_intensity(k: float, seed: int) -> None:
    torch.manual_seed(seed)
    layers = [nn.Linear(6, 8, bias=False), NoisyReLU(), nn.Linear(8, 3, bias=False)]
    x = torch.rand(20, 6)
    assert scaling_gap(nn.Sequential(*layers), x, k) < 1e-12
    layers[1] = Binary()
    assert k > 0.9 or scaling_gap(nn.Sequential(*layers), x, k) > 1e-3


@pytest.mark.parametrize("kind", UNITS)
def test_the_gradients_are_what_contrastive_divergence_says(kind: str) -> None:
    """Against the derivatives of the energy -v.W.h - v.a - h.b, of the data and of its echo."""
    torch.manual_seed(0)
    rbm, v = RBM(5, 3, UNITS[kind]()), torch.randn(4, 5)
    torch.manual_seed(1)
    rbm.contrast(v)
    found = [p.grad.clone() for p in rbm.parameters() if p.grad is not None]
    torch.manual_seed(1)
    h = rbm.unit.sample(v @ rbm.W + rbm.b).detach()
    echo = (h @ rbm.W.T + rbm.a).detach()
    h_echo = rbm.unit(echo @ rbm.W + rbm.b).detach()

    def energy(v: Tensor, h: Tensor) -> Tensor:
        return -((v @ rbm.W * h).sum(1) + v @ rbm.a + h @ rbm.b).mean()

    loss = energy(v, h) - energy(echo, h_echo)
    for ours, theirs in zip(found, torch.autograd.grad(loss, [rbm.W, rbm.a, rbm.b]), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("kind", UNITS)
def test_a_machine_learns_to_reconstruct(kind: str) -> None:
    torch.manual_seed(0)
    images = torch.randn(50, 3) @ torch.randn(3, 12)
    cfg = replace(SMOKE, pretraining=150, H=16, batch=20)
    rows = list(pretrain(images / images.std(), UNITS[kind](), cfg, 0, 0.03))
    wrong = [float(row["reconstruction_error"]) for row in rows if isinstance(row, dict)]
    assert wrong[-1] < 0.6, "of a variance of one"


def test_random_layers_suit_their_units() -> None:
    torch.manual_seed(0)
    for kind, gain in (("rectified", 2), ("binary", 1)):
        layer = random_layer(300, 400, UNITS[kind]())
        assert layer.weight.var().item() == pytest.approx(gain / 300, rel=0.02)
        assert random_layer(3, 4, UNITS[kind](), biased=False).bias is None


def test_raw_images_are_not_standardized() -> None:
    raw = inputs(draw_split(digits(), 50, 50, seed=0), "no biases")
    assert raw.x_train.min() == 0 and raw.x_train.max() == 1 and raw.x_train.shape == (50, 64)


def test_two_names_of_one_unit_differ_in_nothing() -> None:
    found = judged("better-features", seeds=3)
    for claim in ("intensity", "better-features", "without-rbm"):
        assert (found[claim].effect, found[claim].verdict) == (0, "not reproduced")
    assert found["equivariance"].verdict == "fails"


def test_a_machine_that_learns_nothing_is_no_beginning() -> None:
    found = judged("pretraining", seeds=3)["pretraining"]
    assert (found.effect, found.verdict) == (0, "not reproduced")


@pytest.mark.parametrize("unit", ["rectified", "binary"])
def test_a_machine_that_diverges_ends_as_a_bad_net_and_not_as_an_error(unit: str) -> None:
    cfg = replace(SMOKE, pretraining=60)
    job = dict(arm=f"{unit}, RBM", seed=0, lr=0.1, rbm_rate=1e6)
    *_, last = trial(cfg, torch.device("cpu"), **job)  # type: ignore[arg-type]
    assert isinstance(last, dict) and math.isnan(float(last["val_error"]))
