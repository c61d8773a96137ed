"""The same images, less or more unlike those that a net was trained on."""

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit.trials import generator


def rotate(x: Tensor, degrees: float) -> Tensor:
    """Images [B, 1, T, w] turned about their middle."""
    angle = torch.deg2rad(torch.tensor(degrees))
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, cos * 0, sin, cos, cos * 0]).view(1, 2, 3).to(x.device)
    grid = F.affine_grid(turn.expand(len(x), -1, -1), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def permute(x: Tensor, seed: int) -> Tensor:
    """The pixels of all images [B, 1, T, w] in one random order."""
    order = torch.randperm(x[0].numel(), generator=generator(seed, "pixels")).to(x.device)
    return x.flatten(1)[:, order].view_as(x)
