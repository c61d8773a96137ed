"""How random layers change the size of what goes up through them, and of gradients coming down."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def growth(
    draw: Callable[[], nn.Module], width: int, layers: int, nets: int, rng: torch.Generator
) -> dict[str, float]:
    """The factor by which a layer multiplies the variance of activations, and of gradients.

    `draw` gives a new net of so many equal layers each time. Among nets drawn independently the
    means of squares multiply exactly as the laws say, however narrow the nets are.
    """
    squares = torch.zeros(4, dtype=torch.float64)
    for _ in range(nets):
        x = torch.randn(1, width, generator=rng).requires_grad_()
        y = draw()(x)
        top = torch.randn(1, width, generator=rng)
        (back,) = torch.autograd.grad(y, x, top)
        squares += torch.stack([z.detach().double().square().sum() for z in (x, y, top, back)])
    start, end, top_size, bottom = squares.tolist()
    up, down = end / start, bottom / top_size
    return {"activations": up ** (1 / layers), "gradients": down ** (1 / layers)}


def sizes(model: nn.Sequential, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The standard deviations of what each hidden layer of a classifier gives, and of the gradients
    that come back to it, [layers]. The model: linear layers, each but the last before a unit."""
    z = [x]
    for module in model:
        z.append(module(z[-1]))
    responses = z[1:-1:2]
    gradients = torch.autograd.grad(F.cross_entropy(z[-1], y), responses)
    sides = {"responses": responses, "gradients": gradients}
    return {side: torch.stack([each.std() for each in layers]) for side, layers in sides.items()}
