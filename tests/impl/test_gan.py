"""GAN: the best discriminator and Eq. 6 as laws, gradients of the two losses, the stack of nets, and broken games."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from impl import gan
from impl.gan import (
    QUICK,
    SMOKE,
    Discriminator,
    Generator,
    Linear,
    best_discriminator,
    check,
    discrete_value,
    generator_loss,
    jsd,
    parzen,
    run,
    theory,
    value,
)
from impl.kit import Row, Verdict


def rows_of(cfg: gan.Config) -> list[Row]:
    return [event for event in run(cfg, torch.device("cpu")) if isinstance(event, dict)]


def judged(rows: list[Row]) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in check(rows)}


def distributions(K: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    p, q = (torch.rand(1, K).double() + 0.05 for _ in range(2))
    return p / p.sum(), q / q.sum()


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 1000))
def test_the_best_discriminator_is_that_of_proposition_1(K: int, seed: int) -> None:
    p_data, p_g = distributions(K, seed)
    odds = best_discriminator(p_data, p_g)
    assert torch.allclose(odds.sigmoid(), p_data / (p_data + p_g), atol=1e-6)
    assert discrete_value(p_data, p_g, odds).item() == pytest.approx(-math.log(4) + 2 * jsd(p_data, p_g).item())


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 1000), st.floats(-2, 2))
def test_no_other_discriminator_does_better(K: int, seed: int, shift: float) -> None:
    p_data, p_g = distributions(K, seed)
    best = (p_data / p_g).log()
    other = best + shift * torch.randn(1, K).double()
    assert discrete_value(p_data, p_g, other).item() <= discrete_value(p_data, p_g, best).item() + 1e-12


def test_the_divergence_is_0_between_equals_and_log_2_between_strangers() -> None:
    p, q = torch.tensor([0.3, 0.7, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    assert jsd(p, p).item() == 0
    assert jsd(p, q).item() == pytest.approx(math.log(2))


def test_the_losses_are_torchs_cross_entropy() -> None:
    real, fake = torch.randn(3, 20), torch.randn(3, 20)
    one, zero = torch.ones(3, 20), torch.zeros(3, 20)
    entropy = F.binary_cross_entropy_with_logits
    assert torch.allclose(value(real, fake).mean(), -entropy(real, one) - entropy(fake, zero))
    assert torch.allclose(generator_loss(fake, saturating=True).mean(), -entropy(fake, zero))
    assert torch.allclose(generator_loss(fake, saturating=False).mean(), entropy(fake, one))


@given(st.floats(-8, 8))
def test_the_two_losses_push_the_same_way_one_of_them_harder_where_d_is_sure(odds: float) -> None:
    """d/da log(1 - D) = -D and d/da -log D = -(1 - D), so their ratio is (1 - D) / D."""
    a = torch.tensor([[odds]], dtype=torch.float64, requires_grad=True)
    slopes = [torch.autograd.grad(generator_loss(a, saturating).sum(), a)[0].item() for saturating in (True, False)]
    D = 1 / (1 + math.exp(-odds))
    assert slopes == [pytest.approx(-D), pytest.approx(D - 1)]


def test_a_stack_of_nets_is_the_nets_one_by_one() -> None:
    layer, x = Linear(3, 5, 4), torch.randn(3, 7, 5)
    alone = torch.stack([F.linear(x[s], layer.W[s].T, layer.b[s, 0]) for s in range(3)])
    assert torch.allclose(layer(x), alone, atol=1e-6)
    layer(x)[1].sum().backward()
    assert layer.W.grad is not None and layer.W.grad[0].abs().sum() == 0, "the pairs never meet"


def test_the_papers_nets_have_as_many_weights_as_the_authors_settings_say() -> None:
    G, D = Generator(1, 100, 1200, 784), Discriminator(1, 784, 240, 5)
    assert sum(p.numel() for p in G.parameters()) == 101 * 1200 + 1201 * 1200 + 1201 * 784
    assert sum(p.numel() for p in D.parameters()) == 785 * 1200 + 241 * 1200 + 241


def test_the_parzen_window_is_a_mixture_of_gaussians() -> None:
    samples, x = torch.randn(6, 3), torch.randn(4, 3)
    sigmas = torch.tensor([0.3, 1.0])
    for i, sigma in enumerate(sigmas):
        log_normal = -((x[:, None] - samples) / sigma).square() / 2 - torch.log(
            sigma * math.sqrt(2 * math.pi)
        )  # [4, 6, 3]
        expected = (log_normal.sum(2).logsumexp(1) - math.log(6)).mean()
        assert torch.allclose(parzen(samples, x, sigmas)[i], expected, atol=1e-4)


def test_the_theory_holds_on_quicks_problems() -> None:
    rows = [event for event in theory(replace(QUICK, P=3, discrete_updates=400)) if isinstance(event, dict)]
    verdicts = judged(rows)
    for claim in ("optimal-discriminator", "trained-discriminator", "theorem-1", "convergence"):
        assert verdicts[claim].verdict == "reproduced", claim
    assert verdicts["parzen-likelihood"].verdict == "inconclusive"


def test_an_undecided_discriminator_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: D(x) = 1/2 everywhere is no best D while p_g differs from p_data, nor is the value Eq. 6."""
    monkeypatch.setattr(gan, "best_discriminator", lambda p_data, p_g: torch.zeros_like(p_data))
    verdicts = judged(rows_of(SMOKE))
    assert verdicts["optimal-discriminator"].verdict == "not reproduced"
    assert verdicts["theorem-1"].verdict == "not reproduced"


def test_a_generator_that_hardly_learns_is_not_reproduced() -> None:
    assert judged(rows_of(replace(SMOKE, seeds=3)))["parzen-likelihood"].verdict == "not reproduced"


def test_equal_gradients_are_not_reproduced() -> None:
    rows: list[Row] = [
        {
            "net": "GAN",
            "seed": seed,
            "step": 0,
            "early": True,
            "gradient of log D": 1.0,
            "gradient of log(1 - D)": ratio,
        }
        for seed, ratio in enumerate((1.0, 0.9, 1.1))
    ]
    assert judged(rows)["stronger-gradient"].verdict == "not reproduced"
