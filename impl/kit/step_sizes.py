"""What steps an optimizer takes for gradients that are given."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def step_sizes(make_optimizer: MakeOptimizer, gradients: Tensor) -> Tensor:
    """The largest change of a weight in each step, [T], for gradients [T, weights]."""
    theta = nn.Parameter(torch.zeros_like(gradients[0]))
    optimizer, sizes = make_optimizer([theta]), []
    for gradient in gradients:
        before, theta.grad = theta.detach().clone(), gradient
        optimizer.step()
        sizes.append((theta.detach() - before).abs().max())
    return torch.stack(sizes)


def bursts(silence: int, length: int, weights: int, draw: torch.Generator) -> Tensor:
    """Gradients [silence + length, weights] that are zero at first, and then grow or fade.

    Each has a rate of its own, from 1/2 to 3/2 a step; half of them are multiplied by noise.
    """
    rate = 0.5 + torch.rand(weights, generator=draw, dtype=torch.float64)
    noise = torch.randn(length, weights, generator=draw, dtype=torch.float64)
    noise[:, ::2] = 1.0
    burst = noise * rate ** torch.arange(length)[:, None]
    return torch.cat([burst.new_zeros(silence, weights), burst])
