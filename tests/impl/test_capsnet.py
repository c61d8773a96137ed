"""CapsNet: squashing, routing and scenes against sums written out; sizes; the broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl.capsnet import (
    BROKEN,
    PAPER,
    SMOKE,
    CapsNet,
    SingleCNN,
    check,
    count_parameters,
    margin_loss,
    measure,
    route,
    run,
    squash,
)
from impl.kit import Row, Verdict
from impl.kit.broken import take_out
from impl.kit.multimnist import Scenes

CPU = torch.device("cpu")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.floats(-3, 3), st.integers(0, 999))
def test_squashing_keeps_the_direction_and_makes_the_length_less_than_one(
    D: int, size: float, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    s = 10**size * torch.randn(5, D, generator=draw, dtype=torch.float64)
    v, square = squash(s, dim=1), s.square().sum(1)
    torch.testing.assert_close(v.norm(dim=1), square / (1 + square), atol=1e-9, rtol=1e-6)
    cosine = F.cosine_similarity(v, s, eps=1e-300)  # v may be very short
    torch.testing.assert_close(cosine, torch.ones(5).double())
    assert (v.norm(dim=1) < 1).all()


def test_nothing_squashed_is_nothing_and_has_a_gradient() -> None:
    s = torch.zeros(1, 4, requires_grad=True)
    squash(s, dim=1).sum().backward()
    assert s.grad is not None and s.grad.isfinite().all()


def test_routing_against_procedure_1_written_out() -> None:
    torch.manual_seed(0)
    below, K, D, B = 6, 3, 4, 2
    u_hat = torch.randn(below, K, D, B).double()
    v, coefficients = route(u_hat, 3)
    for image in range(B):
        b = torch.zeros(below, K).double()
        for iteration in range(3):
            c = torch.stack([row.exp() / row.exp().sum() for row in b])
            torch.testing.assert_close(coefficients[iteration][..., image], c)
            s = [sum(c[i, j] * u_hat[i, j, :, image] for i in range(below)) for j in range(K)]
            out = torch.stack([squash(one, dim=0) for one in s])
            for i in range(below):
                for j in range(K):
                    b[i, j] += u_hat[i, j, :, image] @ out[j]
        torch.testing.assert_close(v[..., image], out)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_what_a_capsule_sends_sums_to_one(below: int, K: int, iterations: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    _, coefficients = route(torch.randn(below, K, 4, 3, generator=draw), iterations)
    assert len(coefficients) == iterations
    for c in coefficients:
        torch.testing.assert_close(c.sum(1), torch.ones(below, 3))


def test_margin_loss_by_hand() -> None:
    length = torch.tensor([[0.95, 0.5, 0.3]])
    present = torch.tensor([[1, 1, 0]])
    expected = 0.0 + (0.9 - 0.5) ** 2 + 0.5 * (0.3 - 0.1) ** 2
    assert margin_loss(length, present).item() == pytest.approx(expected)


def test_each_digit_is_drawn_from_its_own_capsule() -> None:
    torch.manual_seed(0)
    net, v = CapsNet(SMOKE, 12, 1), torch.randn(2, 5, 4)
    pictures = net.draw(v, torch.tensor([[1, 3], [0, 4]]))
    masked = torch.zeros(2, 5, 4)
    masked[:, 3] = v[:, 3]
    torch.testing.assert_close(pictures[0, 1], net.decoder(masked.flatten(1))[0])


def test_capsules_below_are_squashed_and_predict_by_their_own_matrices() -> None:
    torch.manual_seed(0)
    net, x = CapsNet(SMOKE, 12, 1), torch.rand(3, 1, 12, 12)
    u, u_hat = net.predictions(x)
    features = net.primary(F.relu(net.conv(x)))  # [3, types * d, grid, grid]
    grid = features.shape[-1]
    assert u.shape == (2 * grid**2, 4, 3) and u_hat.shape == (2 * grid**2, 5, 4, 3)
    one = squash(features[2, 4:8, 1, 0], dim=0)  # the second sort, row 1, column 0
    i = grid**2 + grid
    torch.testing.assert_close(u[i, :, 2], one)
    torch.testing.assert_close(u_hat[i, 3, :, 2], one @ net.W[i, 3])


def test_parameters_are_those_that_the_paper_prints() -> None:
    rows = list(count_parameters())
    counts = [row["parameters"] for row in rows]
    assert counts == [8_215_568, 11_361_808, 24_563_978, 35_445_522, 6_804_224]
    assert all(abs(float(row["rounding"])) <= 1 for row in rows)


def test_the_net_for_single_digits_has_the_layers_of_sec_5() -> None:
    with torch.device("meta"):
        net = SingleCNN(PAPER, 28)
        assert net(torch.empty(2, 1, 28, 28), torch.empty(2, 1))[0].shape == (2, 10)
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [layer.weight.shape[0] for layer in layers] == [256, 256, 128, 328, 192, 10]


def digits(n: int = 60) -> tuple[Tensor, Tensor]:
    """Images of 4 x 4 that are their label everywhere."""
    y = torch.arange(n) % 6
    return (y[:, None, None] + 1).float().expand(n, 4, 4) / 10, y


def test_scenes_have_digits_of_different_classes_at_random_places() -> None:
    x, y = digits()
    scenes = Scenes(x, y, K=5, P=2, shift=2)
    image, parts, labels = scenes.draw(200, torch.Generator().manual_seed(0))
    assert image.shape == (200, 1, 8, 8) and parts.shape == (200, 2, 64)
    assert labels.max() == 4 and (labels[:, 0] != labels[:, 1]).all()
    for part, label in zip(parts.flatten(0, 1), labels.flatten(), strict=True):
        values = part.unique().tolist()
        assert values == pytest.approx([0.0, (int(label) + 1) / 10])
    torch.testing.assert_close(image[:, 0].flatten(1), parts.sum(1).clamp(max=1))
    corners = {tuple(part.view(8, 8).nonzero()[0].tolist()) for part in parts.flatten(0, 1)}
    assert corners == {(r, c) for r in range(5) for c in range(5)}


class Oracle(nn.Module):
    """Finds the digits, and redraws them, or each in the place of the other."""

    def __init__(self, parts: Tensor, exchanged: bool):
        super().__init__()
        self.parts = parts.flip(1) if exchanged else parts

    def forward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return F.one_hot(labels, 5).sum(1).float(), self.parts


@pytest.mark.parametrize("exchanged", [False, True])
def test_what_is_measured_of_a_scene(exchanged: bool) -> None:
    scene = Scenes(*digits(), K=5, P=2, shift=2)
    scene.x = (scene.x > 0).float()
    image, parts, labels = scene.draw(30, torch.Generator().manual_seed(0))
    row = measure(Oracle(parts, exchanged), "test", image, parts, labels)  # type: ignore[arg-type]
    assert row == {"test_error": 0.0, "test_assigned": 0.0 if exchanged else 100.0}


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows: list[Row] = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_one_iteration_is_no_better_than_one_iteration() -> None:
    verdicts = judged("overlap-routing", digits=(2,), seeds=3)
    for claim in ("overlap-routing", "segmentation"):
        assert (verdicts[claim].effect, verdicts[claim].verdict) == (0, "not reproduced")
    assert verdicts["single-digit"].verdict == "not measured"


def test_smaller_capsules_have_other_parameters() -> None:
    assert judged("parameters", digits=(2,))["parameters"].verdict == "fails"
