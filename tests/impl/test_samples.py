"""Measures of samples, and the deep belief net that draws some."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impl.kit.rbm import RBM, DeepBeliefNet
from impl.kit.samples import energy_distance, parzen, spread


def test_the_parzen_window_is_a_mixture_of_gaussians() -> None:
    samples, x, sigmas = torch.randn(6, 3), torch.randn(4, 3), torch.tensor([0.3, 1.0])
    for i, sigma in enumerate(sigmas.tolist()):
        normals = torch.distributions.Normal(samples, sigma)
        log = normals.log_prob(x[:, None]).sum(2)  # [4, 6]
        expected = (log.logsumexp(1) - math.log(6)).mean()
        assert torch.allclose(parzen(samples, x, sigmas)[i], expected, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_the_energy_distance_tells_collapse_and_noise_from_data(seed: int) -> None:
    torch.manual_seed(seed)
    x, y = torch.randn(400, 8), torch.randn(400, 8)
    one, noise = x[:1].expand(400, -1), 3 * torch.randn(400, 8)
    assert abs(energy_distance(x, y)) < 3
    assert energy_distance(one, y) > 10 and energy_distance(noise, y) > 10
    assert spread(one, y) == pytest.approx(0, abs=0.1) and 90 < spread(x, y) < 110


def every(n: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)))


def test_the_free_energy_sums_over_the_hidden_units() -> None:
    torch.manual_seed(0)
    rbm, v, h = RBM(4, 3), every(4), every(3)
    for parameter in rbm.parameters():
        torch.nn.init.normal_(parameter)
    negative_energy = (v @ rbm.b)[:, None] + (h @ rbm.c) + v @ rbm.W @ h.T  # [16, 8]
    assert torch.allclose(-rbm.free_energy(v), negative_energy.logsumexp(1), atol=1e-5)
    given_h = torch.softmax(negative_energy, 0).T @ v  # E(v | h) over all v
    assert torch.allclose(rbm.down(h), given_h, atol=1e-5)


def test_a_deep_belief_net_learns_two_patterns() -> None:
    torch.manual_seed(0)
    patterns = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])
    dbn = DeepBeliefNet(6, 8)
    dbn.fit(
        lambda: patterns[torch.randint(2, (20,))],
        600,
        lambda net: torch.optim.Adam(net.parameters(), 0.02),
    )
    samples = dbn.sample(torch.rand(400, 6), 50)
    nearest = torch.cdist(samples, patterns).min(1)
    assert float((nearest.values < 0.6).float().mean()) > 0.9
    assert 0.2 < float(nearest.indices.float().mean()) < 0.8, "both of them"
