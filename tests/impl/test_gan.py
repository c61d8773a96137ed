"""GAN: Prop. 1 and Eq. 6 as laws, the losses against torch's own, and games that are broken."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from impl.gan import (
    BROKEN,
    QUICK,
    SMOKE,
    Discriminator,
    Generator,
    Maxout,
    check,
    generator_loss,
    gradient_lengths,
    jsd,
    learn_outcomes,
    run,
    trial,
    value,
)
from impl.kit import Row, Verdict
from impl.kit.broken import take_out

CPU = torch.device("cpu")


def distributions(K: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    p, q = (torch.rand(K).double() + 0.05 for _ in range(2))
    return p / p.sum(), q / q.sum()


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 1000), st.floats(-2, 2))
def test_no_discriminator_does_better_than_that_of_proposition_1(
    K: int, seed: int, shift: float
) -> None:
    p_data, p_g = distributions(K, seed)
    best = (p_data / p_g).log()  # D = p_data / (p_data + p_g)
    other = best + shift * torch.randn(K).double()
    reached = value(best, best, p_data, p_g).item()
    assert value(other, other, p_data, p_g).item() <= reached + 1e-12
    assert reached == pytest.approx(-math.log(4) + 2 * jsd(p_data, p_g))


def test_the_divergence_is_0_between_equals_and_log_2_between_strangers() -> None:
    p, q = torch.tensor([0.3, 0.7, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    assert jsd(p, p) == 0
    assert jsd(p, q) == pytest.approx(math.log(2))


def test_the_losses_are_torchs_cross_entropy() -> None:
    real, fake = torch.randn(20), torch.randn(20)
    one, zero = torch.ones(20), torch.zeros(20)
    entropy = F.binary_cross_entropy_with_logits
    assert torch.allclose(value(real, fake), -entropy(real, one) - entropy(fake, zero))
    assert torch.allclose(generator_loss(fake, True), -entropy(fake, zero))
    assert torch.allclose(generator_loss(fake, False), entropy(fake, one))


@given(st.floats(-8, 8))
def test_the_two_losses_push_the_same_way_one_of_them_harder_where_d_is_sure(odds: float) -> None:
    """d/da log(1 - D) = -D and d/da -log D = -(1 - D), so their ratio is (1 - D) / D."""
    a = torch.tensor([odds], dtype=torch.float64, requires_grad=True)
    gradients = [
        torch.autograd.grad(generator_loss(a, saturating), a)[0].item()
        for saturating in (True, False)
    ]
    D = 1 / (1 + math.exp(-odds))
    assert gradients == [pytest.approx(-D), pytest.approx(D - 1)]


def test_a_maxout_unit_is_the_largest_of_its_pieces() -> None:
    maxout, x = Maxout(3, 2, 4), torch.randn(5, 3)
    pieces = F.linear(x, maxout.linear.weight, maxout.linear.bias).reshape(5, 2, 4)
    assert torch.equal(maxout(x), pieces.amax(2))


def test_the_papers_nets_have_as_many_weights_as_the_authors_settings_say() -> None:
    G, D = Generator(100, 1200, 784), Discriminator(784, 240, 5, 0.8, 0.5)
    assert sum(p.numel() for p in G.parameters()) == 101 * 1200 + 1201 * 1200 + 1201 * 784
    assert sum(p.numel() for p in D.parameters()) == 785 * 1200 + 241 * 1200 + 241


def theory(claim: str | None) -> dict[str, Verdict]:
    cfg = replace(QUICK, outcome_updates=200)
    torch.manual_seed(0)
    with take_out(BROKEN, claim, cfg):
        rows: list[Row] = [dict(judged=True, **row) for row in learn_outcomes(cfg, 0)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_a_trained_discriminator_is_the_best_one() -> None:
    verdicts = theory(None)
    for claim in ("optimal-discriminator", "theorem-1", "convergence"):
        assert verdicts[claim].verdict == "holds", claim
    assert verdicts["parzen-likelihood"].verdict == "not measured"


@pytest.mark.parametrize("claim", ["optimal-discriminator", "theorem-1", "convergence"])
def test_without_its_idea_no_law_holds(claim: str) -> None:
    assert theory(claim)[claim].verdict == "fails"


def last(claim: str | None, **changes: Any) -> Row:
    torch.manual_seed(0)
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:
        *_, row = trial(cfg, CPU, arm="GAN", seed=0, lr=0.01)
    assert isinstance(row, dict)
    return row


def test_against_an_undecided_discriminator_nothing_is_learned() -> None:
    changes = dict(n=500, H=64, maxout=32, updates=150, samples=200)
    learned = last(None, **changes)["test_loglik"]
    assert float(learned) > float(last("parzen-likelihood", **changes)["test_loglik"]) + 5


def test_where_both_losses_are_the_same_so_are_their_gradients() -> None:
    row = last("stronger-gradient")
    assert row["gradient"] == row["saturating_gradient"]
    assert last(None)["gradient"] != last(None)["saturating_gradient"]


def test_a_discriminator_that_is_sure_leaves_the_saturating_loss_no_gradient() -> None:
    torch.manual_seed(0)
    G, D = Generator(4, 8, 16), Discriminator(16, 8, 2, 1.0, 1.0)
    with torch.no_grad():
        D[-2].bias.fill_(-5.0)  # D(G(z)) is about 1 / 150
    strong, weak = gradient_lengths(G, D, 50)
    assert strong - weak == pytest.approx(5, abs=1)


def test_a_generator_that_hardly_learns_is_not_reproduced() -> None:
    rows = [event for event in run(replace(SMOKE, seeds=3), CPU) if isinstance(event, dict)]
    verdicts = {verdict.claim: verdict for verdict in check(rows)}
    assert verdicts["beats-centres"].verdict == "not reproduced"
