"""How random layers change variances, measured where the answer is known."""

import pytest
import torch
from torch import nn

from impl.kit import generator
from impl.kit.variances import growth, sizes


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_layers_that_scale_multiply_both_variances_alike(factor: float) -> None:
    class Scale(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return factor**3 * x

    grown = growth(Scale, 5, layers=3, nets=4, rng=generator(0, "test"))
    assert grown["activations"] == pytest.approx(factor**2)
    assert grown["gradients"] == pytest.approx(factor**2)


def test_the_two_ways_are_told_apart() -> None:
    """Weights that only the way up sees: the gradient does not pass through what is detached."""

    class Half(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 3 * x.detach()

    grown = growth(Half, 7, layers=1, nets=2, rng=generator(0, "test"))
    assert grown == pytest.approx({"activations": 16, "gradients": 1})


def test_sizes_are_of_what_goes_into_the_units() -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(6, 50), nn.Linear(50, 3)
    model, x, y = nn.Sequential(first, nn.ReLU(), last), torch.randn(40, 6), torch.arange(40) % 3
    found = sizes(model, x, y)
    s = first(x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(last(s.relu()), y), s)
    assert found["responses"].tolist() == pytest.approx([s.std().item()])
    assert found["gradients"].tolist() == pytest.approx([gradient.std().item()])
