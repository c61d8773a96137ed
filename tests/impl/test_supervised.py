"""Training a classifier: inputs, mini-batches that arms share, and errors."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit.data import digits, draw_split
from impl.kit.supervised import descend, error, gradient_gap, shrink, standardize


def test_inputs_are_standardized_by_the_training_images_alone() -> None:
    split = draw_split(digits(), 100, 50, seed=3)
    flat = standardize(split)
    assert flat.x_train.shape == (100, 64) and flat.x_val.shape == (50, 64)
    assert flat.x_train.mean(0).abs().max() < 1e-6
    assert flat.x_train.std().item() == pytest.approx(1)
    mean, std = split.x_train.mean(0), (split.x_train - split.x_train.mean(0)).std()
    assert torch.allclose(flat.x_test, ((split.x_test - mean) / std).flatten(1), atol=1e-5)


def test_large_images_are_shrunk() -> None:
    small = digits()
    assert shrink(small, 2) is small
    large = replace(small, name="mnist", x_train=torch.arange(32.0).reshape(2, 1, 4, 4))
    assert shrink(large, 2).x_train[1].tolist() == [[[18.5, 20.5], [26.5, 28.5]]]


def train(seed: int, draws: int = 0) -> tuple[list[Tensor], list[float], nn.Module]:
    torch.manual_seed(0)
    model = nn.Linear(3, 4)
    x, y, seen = torch.randn(30, 3), torch.arange(30) % 4, []

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        torch.rand(draws)
        seen.append(x)
        return F.cross_entropy(model(x), y)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = list(descend(loss_of, optimizer, x, y, batch=5, updates=4, seed=seed))
    assert [step for step, _ in steps] == [1, 2, 3, 4]
    return seen, [loss.item() for _, loss in steps], model


def test_arms_of_one_seed_see_the_same_batches_whatever_else_they_draw() -> None:
    seen, losses, _ = train(seed=1)
    again, same, _ = train(seed=1, draws=9)
    other, _, _ = train(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(seen, again, strict=True)) and losses == same
    assert not torch.equal(seen[0], other[0])


def test_the_loss_yielded_is_that_before_the_step() -> None:
    seen, losses, _ = train(seed=1)
    torch.manual_seed(0)
    model = nn.Linear(3, 4)
    x, y = torch.randn(30, 3), torch.arange(30) % 4
    at = [int((x == row).all(1).nonzero()) for row in seen[0]]
    assert losses[0] == pytest.approx(F.cross_entropy(model(x[at]), y[at]).item())


def test_errors_are_in_percent_and_a_net_that_diverged_has_none() -> None:
    model = nn.Identity()
    logits = F.one_hot(torch.arange(4), 4).float()
    assert error(model, logits, torch.tensor([0, 1, 0, 0])) == 50
    assert error(model, logits.repeat(600, 1), torch.arange(4).repeat(600)) == 0
    logits[3, 2] = math.nan
    assert math.isnan(error(model, logits, torch.arange(4)))


def test_gradients_of_nets_that_compute_alike_are_alike() -> None:
    torch.manual_seed(0)
    first, last, x, y = nn.Linear(4, 5), nn.Linear(5, 3), torch.randn(6, 4), torch.arange(6) % 3
    model = nn.Sequential(first, nn.ReLU(), last)
    assert gradient_gap(model, nn.Sequential(first, nn.LeakyReLU(0.0), last), x, y) == 0
    assert gradient_gap(model, nn.Sequential(first, nn.LeakyReLU(0.1), last), x, y) > 1e-3
    assert first.weight.dtype == torch.float32, "the nets themselves are left alone"
