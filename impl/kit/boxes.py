"""Boxes [N, 4] as x0, y0, x1, y1: how much they overlap, how one becomes another, which stay."""

import torch
from torch import Tensor


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Area in common over area together: boxes [N, 4] and [M, 4] -> [N, M]."""
    low = torch.maximum(a[:, None, :2], b[:, :2])
    high = torch.minimum(a[:, None, 2:], b[:, 2:])
    common = (high - low).clamp_min(0).prod(2)
    areas = [(box[:, 2:] - box[:, :2]).clamp_min(0).prod(1) for box in (a, b)]
    return common / (areas[0][:, None] + areas[1] - common).clamp_min(1e-9)


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """The same for masks [N, H, W] and [M, H, W]."""
    a, b = a.flatten(1).float(), b.flatten(1).float()
    common = a @ b.T
    return common / (a.sum(1)[:, None] + b.sum(1) - common).clamp_min(1e-9)


def encode(P: Tensor, G: Tensor) -> Tensor:
    """What moves boxes P to G, [N, 4]; R-CNN, Eqs. 6 to 9; x and y are of the centres."""
    P_size, G_size = P[:, 2:] - P[:, :2], G[:, 2:] - G[:, :2]
    t_xy = ((G[:, :2] + G[:, 2:]) / 2 - (P[:, :2] + P[:, 2:]) / 2) / P_size  # Eqs. 6, 7
    return torch.cat([t_xy, (G_size / P_size).log()], 1)  # Eqs. 8, 9


def decode(P: Tensor, d: Tensor, limit: float = 4.0) -> Tensor:
    """Its inverse, R-CNN, Eqs. 1 to 4, [..., 4]; no size grows by more than exp(limit)."""
    P_size = P[..., 2:] - P[..., :2]
    centre = P_size * d[..., :2] + (P[..., :2] + P[..., 2:]) / 2  # Eqs. 1, 2
    size = P_size * d[..., 2:].clamp(max=limit).exp()  # Eqs. 3, 4
    return torch.cat([centre - size / 2, centre + size / 2], -1)


def nms(boxes: Tensor, scores: Tensor, threshold: float, limit: int) -> Tensor:
    """Non-maximum suppression: from the surest down, the boxes that overlap no surer one that
    stays by more than the threshold; their indices, at most `limit`."""
    order = scores.argsort(descending=True, stable=True)
    overlap = (iou(boxes[order], boxes[order]) > threshold).cpu().numpy()
    stays: list[int] = []
    for i in range(len(order)):
        if len(stays) == limit:
            break
        if not overlap[i, stays].any():
            stays.append(i)
    return order[stays]
