"""The VAE: densities against torch's own, a model whose log p(x) is known, and ideas taken out."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal, kl_divergence

from impl import vae as implementation
from impl.kit import Row
from impl.kit.broken import take_out
from impl.vae import (
    BROKEN,
    SMOKE,
    VAE,
    check,
    encoder_gradient,
    kl,
    log_bernoulli,
    log_evidence,
    log_normal,
    log_prior,
    reparameterize,
    score_function,
    sgvb,
    take_integrals,
    variances,
    wake_sleep_loss,
)

CPU = torch.device("cpu")


def doubles(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(1, 5))
def test_densities_and_the_divergence_are_torchs(seed: int, B: int, J: int) -> None:
    mean, log_var, z = doubles(seed, 3, B, J)
    q, prior = Normal(mean, (0.5 * log_var).exp()), Normal(torch.zeros(J), torch.ones(J))
    assert torch.allclose(kl(mean, log_var), kl_divergence(q, prior).sum(-1))
    assert (kl(mean, log_var) >= 0).all()
    assert torch.allclose(log_normal(z, mean, log_var), q.log_prob(z).sum(-1))
    assert torch.allclose(log_prior(z), prior.log_prob(z).sum(-1))
    x = (mean > 0).double()
    assert torch.allclose(log_bernoulli(x, z), Bernoulli(logits=z).log_prob(x).sum(-1))


def test_a_draw_has_the_mean_and_spread_that_it_was_given() -> None:
    mean, log_var = torch.tensor([1.0, -2.0]), torch.tensor([0.0, math.log(4)])
    torch.manual_seed(0)
    z = reparameterize(mean, log_var, torch.randn(100_000, 2))
    assert torch.allclose(z.mean(0), mean, atol=0.03)
    assert torch.allclose(z.std(0), torch.tensor([1.0, 2.0]), atol=0.03)


def test_both_estimates_are_the_same_and_only_their_gradients_differ() -> None:
    vae, x, eps = VAE(9, 5, 2), (torch.randn(4, 9) > 0).float(), torch.randn(3, 4, 2)
    usual, ours = score_function(vae, x, eps), sgvb(vae, x, eps)
    assert torch.allclose(usual, ours)
    usual_gradient = encoder_gradient(vae, usual.mean())
    assert not torch.allclose(usual_gradient, encoder_gradient(vae, ours.mean()))


def test_both_gradients_have_the_same_mean() -> None:
    torch.manual_seed(0)
    vae, x, eps = VAE(9, 5, 2, std=0.5), (torch.randn(4, 9) > 0).float(), torch.randn(40_000, 4, 2)
    f = log_bernoulli(x, vae.decoder(reparameterize(*vae.encoder(x), eps))).detach().mean(0)
    usual = encoder_gradient(vae, score_function(vae, x, eps, f).mean())
    exact = encoder_gradient(vae, sgvb(vae, x, eps).mean())
    assert (usual - exact).norm() < 0.05 * exact.norm()


class Linear(nn.Module):
    """An encoder that knows the posterior of x = W z + noise: N(A x, S), S on the diagonal."""

    def __init__(self, A: Tensor, S: Tensor):
        super().__init__()
        self.A, self.S = A, S

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x @ self.A.T, self.S.diagonal().log().expand(len(x), -1)


def test_on_a_linear_gaussian_model_the_bound_is_log_p_of_x_if_q_is_the_posterior(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """p(x|z) = N(W z, s^2 I); as W's columns are orthogonal, the posterior's S is diagonal."""
    D, J, s = 6, 2, 0.5
    W = torch.linalg.qr(doubles(0, D, J)).Q * torch.tensor([2.0, 0.7], dtype=torch.float64)
    S = torch.linalg.inv(torch.eye(J) + W.T @ W / s**2)
    x, eps = doubles(1, 5, D), doubles(2, 50, 5, J)
    log_p = MultivariateNormal(torch.zeros(D).double(), W @ W.T + s**2 * torch.eye(D)).log_prob(x)
    gaussian = torch.full((D,), 2 * math.log(s), dtype=torch.float64)
    monkeypatch.setattr(implementation, "log_bernoulli", lambda x, m: log_normal(x, m, gaussian))
    vae = VAE(D, 3, J)
    vae.decoder = nn.Sequential(nn.Linear(J, D, bias=False))
    vae.decoder[0].weight = nn.Parameter(W)
    vae.encoder = Linear(S @ W.T / s**2, S)  # type: ignore[assignment]
    # log p(x|z) + log p(z) - log q(z|x) is log p(x), whatever was drawn
    z = reparameterize(*vae.encoder(x), eps)
    exact = log_normal(x, vae.decoder(z), gaussian) + log_prior(z)
    assert torch.allclose(exact - log_normal(z, *vae.encoder(x)), log_p.expand(50, -1))
    assert sgvb(vae, x, eps).mean(0).sub(log_p).abs().max() < 1.0  # a mean of 50 draws
    vae.encoder = Linear(S @ W.T / s**2, 4 * S)  # type: ignore[assignment]
    loose = sgvb(vae, x, doubles(3, 2000, 5, J)).mean(0)
    gap = kl_divergence(Normal(0, 2), Normal(0, 1)) * J  # of N(m, 4 S) from the posterior
    assert torch.allclose(log_p - loose, gap.double().expand(5), atol=0.3)


def test_the_integral_of_a_decoder_that_ignores_z_is_a_product_of_pixels() -> None:
    vae, x = VAE(9, 5, 2).double(), (doubles(0, 4, 9) > 0).double()
    with torch.no_grad():
        vae.decoder[2].weight.zero_()
    expected = log_bernoulli(x, vae.decoder[2].bias)
    assert torch.allclose(log_evidence(vae, x), expected, atol=1e-9)


def test_wake_sleep_teaches_the_decoder_from_images_and_the_encoder_from_dreams() -> None:
    vae, x = VAE(9, 5, 2), (torch.randn(100, 9) > 0).float()
    torch.manual_seed(0)
    wake_sleep_loss(vae, x).backward()
    dreams = [weight.grad for weight in vae.encoder.parameters()]
    torch.manual_seed(0)
    z = reparameterize(*vae.encoder(x), torch.randn(100, 2)).detach()
    expected = torch.autograd.grad(
        -log_bernoulli(x, vae.decoder(z)).mean(), list(vae.decoder.parameters())
    )
    for weight, gradient in zip(vae.decoder.parameters(), expected, strict=True):
        assert weight.grad is not None and torch.allclose(weight.grad, gradient, atol=1e-6)
    dreamt = torch.randn(100, 2)
    dream = torch.bernoulli(vae.decoder(dreamt).sigmoid())
    loss = -log_normal(dreamt, *vae.encoder(dream)).mean()
    for found, gradient in zip(
        dreams, torch.autograd.grad(loss, list(vae.encoder.parameters())), strict=True
    ):
        assert found is not None and torch.allclose(found, gradient, atol=1e-6)


def test_the_papers_nets_have_as_many_weights_as_appendix_c_says() -> None:
    count = sum(weight.numel() for weight in VAE(784, 500, 20).parameters())
    assert count == (784 + 1) * 500 + 2 * (500 + 1) * 20 + (20 + 1) * 500 + (500 + 1) * 784


THEORY = ("unbiased-gradient", "closed-form-kl", "lower-bound")


@pytest.mark.parametrize("claim", [None, *THEORY])
def test_an_identity_holds_until_its_idea_is_taken_out(claim: str | None) -> None:
    torch.manual_seed(0)
    with take_out(BROKEN, claim, replace(SMOKE, integral_updates=150)) as cfg:
        rows: list[Row] = [dict(judged=True, seed=0, **row) for row in take_integrals(cfg, 0)]
    verdicts = {verdict.claim: verdict.verdict for verdict in check(rows)}
    if claim:
        assert verdicts[claim] == "fails"
    else:
        assert {verdicts[name] for name in THEORY} == {"holds"}


def test_the_score_function_varies_more_and_a_baseline_helps_it() -> None:
    torch.manual_seed(0)
    vae, x, eps = VAE(64, 20, 2), (torch.randn(50, 64) > 0).float(), torch.randn(30, 50, 2)
    found = variances(vae, x, eps)
    assert found["score_function"] > 10 * found["with_baseline"]
    assert found["with_baseline"] > found["reparameterized"]
    with take_out(BROKEN, "lower-variance", SMOKE):
        found = variances(vae, x, eps)
    assert found["score_function"] == pytest.approx(found["reparameterized"])


def test_without_the_reparameterized_gradient_aevb_learns_less() -> None:
    reached = []
    for claim in (None, "few-latents"):
        with take_out(BROKEN, claim, replace(SMOKE, n=1000, H=32, updates=120)) as cfg:
            torch.manual_seed(0)
            events = implementation.trial(cfg, CPU, arm="AEVB", seed=0, J=20, lr=0.05)
            *_, row = (event for event in events if isinstance(event, dict))
        reached.append(float(row["test_bound"]))
    learned, broken = reached
    assert learned > broken + 1
