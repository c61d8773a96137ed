"""DCGAN: the sizes of the paper's nets, groups that never meet, the measures, the classifier."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from impl.dcgan import (
    PAPER,
    SMOKE,
    Discriminator,
    Generator,
    Pair,
    check,
    energy_distance,
    largest_step,
    run,
    settle,
    spread,
    svm,
    svm_error,
)
from impl.kit import Row, Verdict


def judged(rows: list[Row]) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in check(rows)}


def test_the_papers_generator_has_the_weights_counted_by_hand() -> None:
    with torch.device("meta"):
        G = Generator(1, PAPER.Z, PAPER.widths, 3, 4, PAPER.kernel)
        D = Discriminator(1, PAPER.widths[::-1], 3, 4, PAPER.kernel, PAPER.slope)
        assert G(torch.zeros(2, 100, 1, 1)).shape == (2, 3, 64, 64)
        assert D(torch.zeros(2, 3, 64, 64)).shape == (2, 1)
    project, convolutions = 100 * 1024 * 4 * 4, 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert (
        sum(p.numel() for p in G.parameters() if p.dim() > 1)
        == project + convolutions
        == 18_851_200
    )


def test_the_guidelines_are_kept() -> None:
    with torch.device("meta"):
        G = Generator(1, 100, PAPER.widths, 3, 4, 5)
        D = Discriminator(1, PAPER.widths[::-1], 3, 4, 5, 0.2)
    kinds = [type(module) for module in G.net]
    assert kinds[-2:] == [nn.ConvTranspose2d, nn.Tanh], "no batch normalization on G's output"
    assert kinds.count(nn.BatchNorm2d) == kinds.count(nn.ReLU) == 4
    norms = [
        [isinstance(module, nn.BatchNorm2d) for module in layer.modules()] for layer in D.layers
    ]
    assert [any(each) for each in norms] == [False, True, True, True], "nor on D's first layer"


def test_the_groups_never_meet() -> None:
    torch.manual_seed(0)
    pair = Pair(replace(SMOKE, seeds=3), 8, True, 0.02, 0.01)
    pair.D(torch.randn(6, 3, 8, 8))[:, 1].sum().backward()
    gradient = pair.D.out.weight.grad
    assert gradient is not None
    assert gradient[1].abs().sum() > 0 and gradient[[0, 2]].abs().sum() == 0
    z = pair.noise(6)
    settle(pair.G, z)
    other = z.clone()
    other[:, : SMOKE.Z] = 0
    assert torch.equal(pair.G(z)[:, 1:], pair.G(other)[:, 1:])
    assert not torch.equal(pair.G(z)[:, 0], pair.G(other)[:, 0])


def test_a_settled_net_does_not_mind_its_batch() -> None:
    torch.manual_seed(0)
    pair, x = Pair(SMOKE, 8, True, 0.02, 0.01), torch.randn(40, 2, 8, 8)
    settle(pair.D, x)
    assert torch.allclose(pair.D(x)[:3], pair.D(x[:3]), atol=1e-5)
    assert torch.allclose(pair.D.features(x)[:3], pair.D.features(x[:3]), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_the_energy_distance_tells_collapse_and_noise_from_data(seed: int) -> None:
    torch.manual_seed(seed)
    x, y = torch.randn(400, 8), torch.randn(400, 8)
    one, noise = x[:1].expand(400, -1), 3 * torch.randn(400, 8)
    assert abs(energy_distance(x, y)) < 3
    assert energy_distance(one, y) > 10 and energy_distance(noise, y) > 10
    assert spread(one, y) == pytest.approx(0, abs=0.1) and 90 < spread(x, y) < 110


def test_even_walks_and_jumps() -> None:
    even = torch.linspace(0, 1, 16)[None, :, None].expand(4, -1, 3)
    assert largest_step(even) == pytest.approx(100 / 15, rel=1e-4)
    assert largest_step((even > 0.5).float()) == 100


def test_the_svm_separates_and_reaches_a_minimum() -> None:
    torch.manual_seed(0)
    y = torch.arange(100) % 10
    f = torch.eye(10)[y] + 0.1 * torch.randn(100, 10)
    W, b = svm(f[None], y, torch.tensor([0.001]))
    assert ((f @ W[0] + b[0]).argmax(1) == y).all()
    assert svm_error(torch.cat([f, f, f]), torch.cat([y, y, y]), 100, 100, (0.001,)) == 0


def test_smoke_reproduces_only_what_needs_no_training() -> None:
    rows = [
        event
        for event in run(replace(SMOKE, seeds=3), torch.device("cpu"))
        if isinstance(event, dict)
    ]
    verdicts = judged(rows)
    assert verdicts["generator-size"].verdict == "reproduced"
    assert all(
        verdicts[claim].verdict != "reproduced"
        for claim in ("beats-pixels", "smooth-walk", "batch-norm")
    )


def made_up(idea: float, baseline: float) -> list[Row]:
    rows: list[Row] = []
    for seed in range(4):
        noise = 0.01 * seed
        rows += [{"features": "trained D", "seed": seed, "n": 100, "test_error": idea + noise}]
        rows += [
            {"features": other, "seed": seed, "n": 100, "test_error": baseline}
            for other in ("untrained D", "pixels")
        ]
        for net, value in {
            "batch norm": idea,
            "without": baseline,
            "without, own settings": baseline,
        }.items():
            rows += [
                {
                    "net": net,
                    "seed": seed,
                    "step": 9,
                    "distance": value + noise,
                    "spread": -value + noise,
                }
            ]
        rows += [{"walk": "generator", "seed": seed, "largest_step": idea + noise}]
        rows += [{"walk": "nearest training images", "seed": seed, "largest_step": baseline}]
    return rows


def test_ideas_that_make_no_difference_are_not_reproduced() -> None:
    claims = ("beats-untrained", "beats-pixels", "collapse", "batch-norm", "smooth-walk")
    assert all(judged(made_up(20, 20))[claim].verdict == "not reproduced" for claim in claims)
    assert all(judged(made_up(10, 40))[claim].verdict == "reproduced" for claim in claims)
