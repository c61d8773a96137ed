"""Batch normalization: torch's operator, the paper's equations, and what is left without it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from impl.batch_norm import (
    BROKEN,
    CLAIMS,
    QUICK,
    SMOKE,
    BatchNorm,
    Detached,
    Normalize,
    average_statistics,
    check,
    first,
    net,
    run,
    steps_to_match,
)
from impl.kit import Chosen, Verdict, generator
from impl.kit.broken import take_out

LAYERS = {(7, 5): nn.BatchNorm1d, (4, 5, 3, 2): nn.BatchNorm2d}


def pair(shape: tuple[int, ...], momentum: float | None) -> tuple[BatchNorm, nn.Module]:
    """Ours and torch's, with the same parameters."""
    H = shape[1]
    ours = BatchNorm(H, momentum=momentum).double()
    theirs = LAYERS[shape](H, momentum=momentum).double()
    with torch.no_grad():
        for a, b in ((ours.gamma, theirs.weight), (ours.beta, theirs.bias)):
            a.copy_(torch.randn(H))
            b.copy_(a)
    return ours, theirs


@pytest.mark.parametrize("shape", LAYERS)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_it_is_torchs_own_forward_backward_and_in_inference(
    shape: tuple[int, ...], momentum: float | None
) -> None:
    torch.manual_seed(0)
    ours, theirs = pair(shape, momentum)
    for _ in range(3):
        x = (3 + 2 * torch.randn(shape).double()).requires_grad_()
        dy = torch.randn(shape).double()
        sides = []
        for layer in (ours, theirs):
            y = layer(x)
            sides.append([y, *torch.autograd.grad(y, [x, *layer.parameters()], dy)])
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*sides, strict=True))
    assert torch.allclose(ours.mean, theirs.running_mean)
    assert torch.allclose(ours.variance, theirs.running_var)
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-12)


def chain_rule(x: Tensor, gamma: Tensor, dy: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The six equations of Sec. 3 as they stand there, for a single unit."""
    m, mu = len(x), x.mean()
    centred = x - mu
    spread = centred.square().mean() + eps
    d_hat = dy * gamma
    d_variance = (d_hat * centred).sum() * -0.5 * spread**-1.5
    d_mean = (d_hat * -(spread**-0.5)).sum() + d_variance * (-2 * centred).sum() / m
    dx = d_hat * spread**-0.5 + d_variance * 2 * centred / m + d_mean / m
    return dx, (dy * centred * spread**-0.5).sum(), dy.sum()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 20))
def test_the_gradient_is_that_of_the_six_equations(seed: int, m: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    x, dy = torch.randn(2, m, 1, generator=draw).double()
    gamma, beta = torch.randn(2, 1, generator=draw).double()
    leaves = [each.clone().requires_grad_() for each in (x, gamma, beta)]
    y, *_ = Normalize.apply(*leaves, 1e-3)
    gradients = torch.autograd.grad(y, leaves, dy)
    expected = chain_rule(x[:, 0], gamma, dy[:, 0], 1e-3)
    for ours, papers in zip(gradients, expected, strict=True):
        assert torch.allclose(ours.flatten(), papers.flatten(), atol=1e-10)


def test_autograd_agrees_at_second_hand() -> None:
    torch.manual_seed(0)
    x, gamma, beta = torch.randn(6, 3).double(), torch.randn(3).double(), torch.randn(3).double()
    leaves = tuple(each.requires_grad_() for each in (x, gamma, beta))
    assert torch.autograd.gradcheck(lambda *args: Normalize.apply(*args, 1e-5)[0], leaves)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_the_size_of_the_weights_does_not_matter(seed: int, a: float) -> None:
    """Sec. 3.3."""
    draw = torch.Generator().manual_seed(seed)
    u, W = torch.randn(8, 4, generator=draw).double(), torch.randn(3, 4, generator=draw).double()
    layer, dy = BatchNorm(3, eps=0.0).double(), torch.randn(8, 3, generator=draw).double()
    sides = []
    for factor in (1.0, a):
        leaves = [u.clone().requires_grad_(), (factor * W).requires_grad_()]
        y = layer(leaves[0] @ leaves[1].T)
        du, dW = torch.autograd.grad(y, leaves, dy)
        sides.append((y, du, factor * dW))
    assert all(torch.allclose(p, q, rtol=1e-7, atol=1e-9) for p, q in zip(*sides, strict=True))


def test_a_bias_before_it_gets_no_gradient_unless_the_statistics_are_constants() -> None:
    """Sec. 2 and 3.2: the update of b would be undone."""
    torch.manual_seed(0)
    x, target = torch.randn(9, 4).double(), torch.randn(9, 4).double()
    sizes = {}
    for kind in (BatchNorm, Detached):
        b = torch.zeros(4).double().requires_grad_()
        loss = (kind(4).double()(x + b) - target).square().sum()
        sizes[kind] = torch.autograd.grad(loss, b)[0].abs().max()
    assert sizes[BatchNorm] < 1e-12 < 1e-3 < sizes[Detached]
    assert torch.allclose(BatchNorm(4).double()(x), Detached(4).double()(x))


def test_a_trained_net_has_the_means_of_many_batches_and_needs_no_company() -> None:
    """Alg. 2."""
    model = net("batch norm", 6, 5, 2, 0.4, generator(0, "weights")).double()
    x = torch.randn(60, 6).double()
    average_statistics(model, x, batch=20)
    values = [model[0](part) for part in x.split(20)]
    assert torch.allclose(model[1].mean, torch.stack([v.mean(0) for v in values]).mean(0))
    assert torch.allclose(model[1].variance, torch.stack([v.var(0) for v in values]).mean(0))
    assert torch.allclose(model.eval()(x[:1]), model(x)[:1])


def test_it_adds_two_parameters_for_each_unit() -> None:
    """Sec. 5; the biases before it go."""
    sizes = {
        arm: sum(
            p.numel() for p in net(arm, 784, 100, 3, 0.1, generator(0, "weights")).parameters()
        )
        for arm in ("standard", "batch norm")
    }
    assert sizes["batch norm"] - sizes["standard"] == 300 * 2 - 300
    assert sizes["standard"] == 784 * 100 + 2 * 100 * 100 + 100 * 10 + 310


def test_all_arms_begin_with_the_same_weights() -> None:
    nets = [net(arm, 6, 5, 2, 0.4, generator(0, "weights")) for arm in ("standard", "batch norm")]
    ours, theirs = ([p for p in model.parameters() if p.ndim == 2] for model in nets)
    assert all(torch.equal(p, q) for p, q in zip(ours, theirs, strict=True))


def test_steps_are_counted_to_the_best_of_the_standard_net() -> None:
    """The rate is chosen by validation images (1), the step is that of the test images (2)."""
    curves = {
        ("standard", 1.0): [[1, 2, 3], [90, 50, 20], [90, 60, 30]],
        ("standard", 3.0): [[1, 2, 3], [90, 90, 90], [10, 10, 10]],
        ("batch norm", 1.0): [[1, 2, 3], [90, 20, 10], [90, 40, 30]],
        ("batch norm", 3.0): [[1, 2, 3], [90, 90, 10], [30, 30, 30]],
    }
    chosen = [
        Chosen(arm, 0, {"lr": lr}, {}, {"curve": torch.tensor(curve)})
        for (arm, lr), curve in curves.items()
    ]
    rows = {row["arm"]: (row["lr"], row["steps"]) for row in steps_to_match(chosen)}
    assert rows == {"standard": (1.0, 3), "batch norm": (1.0, 3)}
    assert first(torch.tensor(curves["batch norm", 1.0]), 2, torch.tensor(5)) == 3


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, torch.device("cpu")) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_every_claim_is_judged_and_the_small_weights_are_the_first() -> None:
    assert {claim.claim for claim in CLAIMS} == set(BROKEN)
    assert min(QUICK.stds) == QUICK.stds[0] and set(QUICK.outside) <= set(QUICK.lrs)


TINY = dict(lrs=(3.0,), deep_lrs=(0.3,), H=32, updates=150, batch=30)


def test_deep_sigmoids_learn_with_it_only() -> None:
    whole, broken = judged(None, **TINY), judged("deep-sigmoid", **TINY)
    assert (whole["deep-sigmoid"].effect or 0) > 35 > (broken["deep-sigmoid"].effect or 0)
    assert whole["scale"].verdict == "holds" and broken["scale"].verdict == "fails"


def test_without_the_gradient_through_the_statistics_nothing_is_left() -> None:
    broken = judged("inside-gradient", **TINY)["inside-gradient"]
    assert (broken.effect, broken.verdict) == (0, "not reproduced")
