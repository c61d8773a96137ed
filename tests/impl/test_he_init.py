"""He's initialization and PReLU: held against torch's own, the law of the variances, records of a training, the broken idea."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl import he_init as module
from impl.he_init import SMOKE, Nets, check, factors, gradient_ratio, prelu, run
from impl.kit import Row

CPU = torch.device("cpu")


def rows_of(cfg: module.Config) -> list[Row]:
    return [event for event in run(cfg, CPU) if isinstance(event, dict)]


@pytest.fixture(scope="module")
def smoke() -> list[Row]:
    return rows_of(SMOKE)


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_prelu_is_torchs_own(B: int, H: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randn(B, H, generator=generator).requires_grad_()
    theirs = nn.PReLU(H)
    a = torch.randn(H, generator=generator)
    theirs.weight.data.copy_(a)
    ours, other = prelu(y, a.requires_grad_()), theirs(y)
    assert torch.equal(ours, other)
    for p, q in zip(
        torch.autograd.grad(ours.square().sum(), [y, a]),
        torch.autograd.grad(other.square().sum(), [y, theirs.weight]),
        strict=True,
    ):
        assert torch.allclose(p, q, atol=1e-5)


@pytest.mark.parametrize("shape", [(1,), (4,), (3, 1, 4), (3, 1, 1)])
def test_the_backward_pass_is_the_gradient(shape: tuple[int, ...]) -> None:
    """A coefficient for each unit, for each layer, and for each of three nets side by side."""
    torch.manual_seed(0)
    y = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    a = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(prelu, (y, a))


@pytest.mark.parametrize("fan_in", [64, 784])
def test_the_variance_is_torchs_kaiming_normal(fan_in: int) -> None:
    ours = module.draw(fan_in, (fan_in, 300), [2.0], [0], key=1)[0]
    theirs = nn.init.kaiming_normal_(torch.empty(300, fan_in), nonlinearity="relu")
    assert ours.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.03)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(2, 40), st.integers(0, 99))
def test_xaviers_gradient_is_smaller_by_exactly_the_factor(L: int, H: int, seed: int) -> None:
    ratio = gradient_ratio(L, H, seed)
    assert math.isnan(ratio) or ratio == pytest.approx(1, abs=1e-9)  # NaN where no unit of a narrow net is active


@pytest.mark.parametrize("a", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_a_layer_multiplies_the_variance_as_the_law_says(a: float, gain: float) -> None:
    for factor in factors(a, gain, replace(SMOKE, nets=100)):
        assert factor == pytest.approx(0.5 * (1 + a * a) * gain, rel=0.06)


def test_nets_side_by_side_are_the_nets_alone() -> None:
    gains, seeds = [2.0, 1.0], [3, 4]
    x = torch.randn(5, 6)
    nets = Nets(4, 6, 7, gains, seeds, 0.25, "channel-wise", CPU)
    logits, _ = nets(x.expand(2, -1, -1))
    for at, (gain, seed) in enumerate(zip(gains, seeds, strict=True)):
        alone = Nets(4, 6, 7, [gain], [seed], 0.25, "channel-wise", CPU)
        assert torch.allclose(alone(x[None])[0][0], logits[at], atol=1e-6)
        y = x
        for W in (alone.first[0], *alone.W[:, 0]):
            y = F.prelu(y @ W, torch.tensor(0.25))
        assert torch.allclose(y @ alone.last[0], logits[at], atol=1e-5)


def test_weights_decay_and_coefficients_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sec. 2.1: with a loss that is flat, decay alone moves the weights, and leaves `a` alone."""
    monkeypatch.setattr(module, "losses", lambda logits, labels: 0 * logits.sum((1, 2)))
    nets = Nets(3, 4, 5, [2.0], [0], 0.25, "shared", CPU)
    before = nets.first.detach().clone()
    cfg = replace(SMOKE, decay=0.1, momentum=0.0)
    list(module.train(nets, torch.randn(9, 4), torch.zeros(9, dtype=torch.long), [0], [0.5], 2, cfg))
    assert torch.allclose(nets.first, before * 0.95**2)
    assert torch.equal(nets.a, torch.full_like(nets.a, 0.25))
    assert nets.a.numel() == 2  # one for each layer


def test_exact_claims_hold_in_smoke(smoke: list[Row]) -> None:
    found = verdicts(smoke)
    assert [found[claim] for claim in ("response-variance", "gradient-scale", "prelu-gradient")] == ["reproduced"] * 3


def test_the_same_weights_for_both_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: with Xavier's variance under He's name nothing is gained, and the exact claims fail."""
    monkeypatch.setitem(module.GAIN, "he", 1.0)
    found = verdicts(rows_of(replace(SMOKE, seeds=3)))
    assert found["thirty-layers"] == found["twenty-two-layers"] == found["gradient-scale"] == "not reproduced"


def test_a_wrong_gradient_is_noticed(monkeypatch: pytest.MonkeyPatch, smoke: list[Row]) -> None:
    monkeypatch.setattr(
        module.PReLU, "backward", staticmethod(lambda ctx, g: (g, torch.zeros_like(ctx.saved_tensors[1])))
    )
    gap = module.prelu_gap(torch.Generator().manual_seed(0))
    rows = [row for row in smoke if "gap" not in row] + [{"gap": gap, "seed": 0}]
    assert verdicts(rows)["prelu-gradient"] == "not reproduced"


def test_how_soon_is_between_two_records() -> None:
    rows: list[Row] = [
        {"net": "he", "layers": 22, "seed": seed, "step": step, "train_error": e}
        for seed, errors in enumerate([(90.0, 60.0, 30.0), (90.0, 90.0, 80.0)])
        for step, e in zip((0, 10, 20), errors, strict=True)
    ]
    assert module.sooner(rows, "he", 22) == {0: 15.0, 1: 21.0}


def test_no_rows_are_inconclusive() -> None:
    assert set(verdicts([]).values()) == {"inconclusive"}
