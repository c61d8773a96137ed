"""Walks from one image to another, [N, T, D]: how even they are, and what others there would be."""

import torch
from torch import Tensor


def largest_step(path: Tensor) -> float:
    """In percent of a walk's length, on average over those that move; NaN if none does."""
    steps = path.diff(dim=1).norm(dim=2)
    steps = steps[steps.sum(1) > 0]
    return 100 * float((steps.amax(1) / steps.sum(1)).mean())


def cross_fade(path: Tensor) -> Tensor:
    """From the same start to the same end, by mixing the two."""
    t = torch.linspace(0, 1, path.shape[1], device=path.device)[:, None]
    return torch.lerp(path[:, :1], path[:, -1:], t)


def nearest(path: Tensor, x: Tensor) -> Tensor:
    """The same walk through the nearest of the images x [M, D], as a memory of them would go."""
    at = torch.cdist(path.flatten(0, 1), x).argmin(1)
    return x[at].reshape_as(path)
