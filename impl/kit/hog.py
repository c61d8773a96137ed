"""Histograms of oriented gradients (Dalal & Triggs, 2005), summed as in deformable part models."""

import torch
from torch import Tensor
from torch.nn import functional as F


def hog(x: Tensor, cell: int = 4, colours: bool = False) -> Tensor:
    """Nine orientations a cell, the four normalizations added up: [B, 3, w, w] -> [B, D].

    With `colours` each cell's mean colour, too.
    """
    dy, dx = x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1], x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2]
    steepest = (dx.square() + dy.square()).argmax(1, keepdim=True)  # of the colours
    dx, dy = dx.gather(1, steepest), dy.gather(1, steepest)
    angle = torch.atan2(dy, dx) / torch.pi * 9  # unsigned: 9 bins in half a turn
    away = (angle - torch.arange(9, device=x.device)[:, None, None]).remainder(9)
    share = (1 - torch.minimum(away, 9 - away)).clamp_min(0)  # [B, 9, w - 2, w - 2]
    cells = F.avg_pool2d(F.pad(share * (dx.square() + dy.square()).sqrt(), (1, 1, 1, 1)), cell)
    energy = F.pad(cells.square().sum(1, keepdim=True), (1, 1, 1, 1))
    blocks, (H, W) = F.avg_pool2d(energy, 2, 1).sqrt(), cells.shape[2:]
    corners = [blocks[:, :, i : i + H, j : j + W] for i in (0, 1) for j in (0, 1)]
    normalized = [(cells / (2 * corner + 0.01)).clamp_max(0.2) for corner in corners]
    histograms = torch.stack(normalized).sum(0).flatten(1)
    if not colours:
        return histograms
    return torch.cat([histograms, F.avg_pool2d(x, cell).flatten(1)], 1)
