"""Capsules: Eqs. 1-4, routing by agreement, the paper's sizes, overlapping digits, and the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from impl import capsnet
from impl.capsnet import CNN, PAPER, SMOKE, CapsNet, Scenes, Stack, assigned, check, margin_loss, route, run, squash
from impl.kit import Row

TINY = replace(SMOKE, data="digits", updates=2)
coordinates = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=12)


@settings(deadline=None)
@given(coordinates)
def test_squash_keeps_the_direction_and_a_length_below_one(s: list[float]) -> None:
    x = torch.tensor(s).double()
    v, square = squash(x, dim=0), x.square().sum()
    assert v.norm() < 1
    assert v.norm().item() == pytest.approx((square / (1 + square)).item(), abs=1e-6)
    if x.norm() > 1e-3:
        assert F.cosine_similarity(x, v, dim=0).item() == pytest.approx(1, abs=1e-9)


def test_squash_of_nothing_is_nothing_and_has_a_gradient() -> None:
    s = torch.zeros(3, 4, requires_grad=True)
    squash(s, dim=1).sum().backward()  # type: ignore[no-untyped-call]
    assert s.grad is not None and s.grad.isfinite().all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(2, 5), st.integers(0, 99))
def test_coefficients_sum_to_one_over_the_capsules_above(iterations: int, I: int, K: int, seed: int) -> None:  # noqa: E741
    u_hat = 5 * torch.randn(I, K, 3, 2, generator=torch.Generator().manual_seed(seed)).double()
    v, coefficients = route(u_hat, iterations)
    assert len(coefficients) == iterations
    for c in coefficients:
        assert torch.allclose(c.sum(1), torch.ones(I, 2).double(), atol=1e-12)
    assert v.norm(dim=1).max() < 1


def test_routing_is_procedure_1_capsule_by_capsule() -> None:
    I, K, B = 4, 3, 2  # noqa: E741
    u_hat = torch.randn(I, K, 5, B).double()
    found, _ = route(u_hat, 3)
    for image in range(B):
        b = torch.zeros(I, K).double()
        for _ in range(3):
            c = torch.stack([F.softmax(b[i], dim=0) for i in range(I)])
            s = [sum((c[i, j] * u_hat[i, j, :, image] for i in range(I)), torch.zeros(5).double()) for j in range(K)]
            v = [(t @ t) / (1 + t @ t) * t / t.norm() for t in s]
            b = b + torch.tensor([[u_hat[i, j, :, image] @ v[j] for j in range(K)] for i in range(I)])
        assert torch.allclose(found[:, :, image], torch.stack(v))


def test_a_capsule_sends_to_where_its_prediction_agrees() -> None:
    """All predict the same of the first capsule above; of the second, half predict the opposite of the others."""
    u_hat = torch.ones(6, 2, 4, 1)
    u_hat[::2, 1] = -1
    _, coefficients = route(u_hat, 4)
    shares = [c[0, 0, 0].item() for c in coefficients]
    assert shares[0] == 0.5 and shares == sorted(shares) and shares[-1] > 0.9


def test_predictions_are_equation_2_for_every_pair_of_capsules() -> None:
    net, x = CapsNet(TINY, side=12, iterations=3), torch.rand(2, 1, 12, 12)
    u, u_hat = net.predictions(x)
    features = net.primary(F.relu(net.conv(x)))
    grid = features.shape[-1]
    group = features[1, net.d : 2 * net.d, 1, 0]  # the second sort, at row 1 and column 0
    i = grid**2 + grid
    assert torch.allclose(u[i, :, 1], squash(group, dim=0))
    for j in range(net.K):
        assert torch.allclose(u_hat[i, j, :, 1], net.W[i, j].T @ u[i, :, 1], atol=1e-6)


def test_the_margin_loss_by_hand() -> None:
    length, present = torch.tensor([[0.95, 0.05, 0.5, 0.5]]), torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    assert margin_loss(length, present).item() == pytest.approx(0.4**2 + 0.5 * 0.4**2)
    assert margin_loss(torch.tensor([[0.9, 0.1]]), torch.tensor([[1.0, 0.0]])).item() == 0


def test_the_papers_net_has_its_parameters() -> None:
    net, baseline = CapsNet(PAPER, side=28, iterations=3), CNN(PAPER, side=36)
    assert sum(p.numel() for p in net.parameters()) == 8_215_568
    assert sum(p.numel() for p in net.parameters()) - sum(p.numel() for p in net.decoder.parameters()) == 6_804_224
    assert net.W.shape == (32 * 6 * 6, 10, 8, 16)
    assert sum(p.numel() for p in baseline.parameters()) == 24_563_978


def test_a_picture_is_drawn_from_one_capsule_alone() -> None:
    net, v = CapsNet(TINY, side=12, iterations=3), torch.randn(2, 5, TINY.D)
    others = v.clone()
    others[:, 1:] = torch.randn(2, 4, TINY.D)
    zero = torch.zeros(2, 1, dtype=torch.long)
    assert torch.equal(net.draw(v, zero), net.draw(others, zero))
    assert not torch.equal(net.draw(v, zero), net.draw(v, zero + 1))


def test_overlapping_digits_are_whole_and_different() -> None:
    x, y = torch.rand(40, 8, 8), torch.arange(40) % 8
    scenes = Scenes(x, y, K=6, P=2, shift=2)
    image, parts, labels = scenes.draw(200, torch.Generator().manual_seed(0))
    assert image.shape == (200, 1, 12, 12) and scenes.side == 12
    assert labels.max() == 5 and (labels[:, 0] != labels[:, 1]).all()
    assert torch.equal(image.flatten(1), parts.sum(1).clamp(max=1))
    ink = {round(total, 3): label for total, label in zip(x.sum((1, 2)).tolist(), y.tolist(), strict=True)}
    for total, label in zip(parts.sum(2).flatten().tolist(), labels.flatten().tolist(), strict=True):
        assert min(ink, key=lambda t: abs(t - total)) == pytest.approx(total, abs=2e-3)  # nothing is cut off
        assert ink[min(ink, key=lambda t: abs(t - total))] == label


def test_nets_side_by_side_are_nets_by_themselves() -> None:
    x, y = torch.rand(60, 8, 8), torch.arange(60) % 10
    scenes = Scenes(x, y, K=TINY.K, P=2, shift=2)

    def trained(cfg: capsnet.Config) -> dict[str, Tensor]:
        stack = Stack(cfg, scenes.side, "CapsNet", torch.device("cpu"))
        for _ in stack.train(scenes, 0.01, cfg):
            pass
        return stack.weights

    both, alone = trained(replace(TINY, seed=3, seeds=2)), trained(replace(TINY, seed=4, seeds=1))
    for key, weight in alone.items():
        assert torch.allclose(both[key][1], weight[0], atol=1e-5)


def test_pixels_are_given_to_the_brighter_picture() -> None:
    parts = torch.tensor([[[1.0, 0.0, 1.0, 0.2], [0.0, 1.0, 1.0, 0.0]]])  # two pixels are clearly of one digit
    assert assigned(parts, parts) == 100
    assert assigned(parts.flip(1), parts) == 0


def rows_of(cfg: capsnet.Config) -> list[Row]:
    return [event for event in run(cfg, torch.device("cpu")) if isinstance(event, dict)]


def test_routing_once_is_not_reproduced() -> None:
    """The broken idea: with one iteration there is no agreement, and the two nets are the same net."""
    verdicts = {v.claim: v for v in check(rows_of(replace(TINY, P=(2,), routing=1, seeds=3)))}
    assert verdicts["overlap-routing"].effect == 0
    assert verdicts["overlap-routing"].verdict == "not reproduced"
    assert verdicts["single-digit"].verdict == "inconclusive"


def test_a_squash_that_does_not_squash_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capsnet, "squash", lambda s, dim: s)
    rows = [event for event in capsnet.theory(TINY) if isinstance(event, dict)]
    verdicts = {v.claim: v.verdict for v in check(rows)}
    assert verdicts["squash"] == "not reproduced"
    assert verdicts["coefficients"] == "reproduced"


@pytest.mark.parametrize(("assigned_share", "verdict"), [(80.0, "reproduced"), (62.0, "not reproduced")])
def test_pictures_that_only_know_the_class_do_not_segment(assigned_share: float, verdict: str) -> None:
    rows: list[Row] = [
        dict(redrawn=name, seed=seed, assigned=share + 0.1 * seed * (name == "CapsNet"))
        for seed in range(5)
        for name, share in {"CapsNet": assigned_share, "class means": 61.0}.items()
    ]
    assert {v.claim: v.verdict for v in check(rows)}["segmentation"] == verdict
