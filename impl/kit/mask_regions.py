"""Regions drawn about the objects of a picture, for what is trained without a proposal net."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit.boxes import iou
from impl.kit.scene import Scene


@dataclass(frozen=True)
class Regions:
    """Boxes, and for each the object that it overlaps most."""

    boxes: Tensor  # [R, 4]
    labels: Tensor  # [R], C for the background: where the overlap is below 0.5
    objects: Tensor  # [R, 4]
    masks: Tensor  # [R, S, S]

    def to(self, device: torch.device) -> "Regions":
        each = (self.boxes, self.labels, self.objects, self.masks)
        return Regions(*(tensor.to(device) for tensor in each))


def stack(some: Sequence[Regions]) -> Regions:
    """As many regions of each of B pictures: each tensor gets B in front."""
    fields = ("boxes", "labels", "objects", "masks")
    return Regions(*(torch.stack([getattr(each, name) for each in some]) for name in fields))


def draw_regions(
    scene: Scene, C: int, near: int, anywhere: int, jitter: float, draw: torch.Generator
) -> Regions:
    """`near` boxes of objects, whose edges are moved by up to half of `jitter` of their size, and
    boxes that lie anywhere, a fifth to a half as long as the picture.
    """
    assert scene.masks is not None, "data without masks"
    side, near = scene.image.shape[-1], near if len(scene.boxes) else 0
    i = torch.arange(near) % max(1, len(scene.boxes))
    size = (scene.boxes[i, 2:] - scene.boxes[i, :2]).repeat(1, 2)
    moved = scene.boxes[i] + jitter * size * (torch.rand(near, 4, generator=draw) - 0.5)
    size = side * (0.2 + 0.3 * torch.rand(anywhere, 2, generator=draw))
    low = torch.rand(anywhere, 2, generator=draw) * (side - size)
    boxes = torch.cat([moved, torch.cat([low, low + size], 1)])
    if not near:
        nothing = torch.zeros(anywhere, *scene.image.shape[1:], dtype=torch.bool)
        return Regions(boxes, torch.full((anywhere,), C), boxes, nothing)
    overlap, nearest = iou(boxes, scene.boxes).max(1)
    labels = torch.where(overlap >= 0.5, scene.labels[nearest], C)
    return Regions(boxes, labels, scene.boxes[nearest], scene.masks[nearest])


def label_pixels(scene: Scene, C: int) -> Tensor:
    """The class of the object at each pixel, C where there is none: [S, S]."""
    assert scene.masks is not None, "data without masks"
    if not len(scene.labels):
        return torch.full(scene.image.shape[1:], C)
    inside, which = scene.masks.float().max(0)
    return torch.where(inside > 0, scene.labels[which], C)


def crop_masks(masks: Tensor, boxes: Tensor, M: int) -> Tensor:
    """What of objects' masks [R, S, S] lies in boxes [R, 4], as M x M pixels of 0 and 1."""
    return _read(masks.float(), boxes, M) > 0.5


def paste_masks(masks: Tensor, boxes: Tensor, S: int) -> Tensor:
    """Masks [R, M, M] of probabilities in boxes [R, 4] -> masks [R, S, S] of the picture."""
    M, low = masks.shape[-1], boxes[:, :2]
    high = torch.maximum(boxes[:, 2:], low + 1)
    picture = M * torch.cat([-low, S - low], 1) / (high - low).repeat(1, 2)  # in a mask's pixels
    at = torch.arange(S, device=boxes.device) + 0.5
    x, y = ((at > low[:, i, None]) & (at < high[:, i, None]) for i in (0, 1))  # [R, S]
    return (_read(masks, picture, S) > 0.5) & y[:, :, None] & x[:, None]


def _read(masks: Tensor, boxes: Tensor, n: int) -> Tensor:
    """n x n regular values in boxes of masks [R, H, W], between pixels by their nearness."""
    H, W = masks.shape[1:]
    steps = (torch.arange(n, device=boxes.device) + 0.5) / n
    x, y = (boxes[:, i, None] + (boxes[:, i + 2] - boxes[:, i])[:, None] * steps for i in (0, 1))
    places = (2 * x / W - 1)[:, None].expand(-1, n, n), (2 * y / H - 1)[:, :, None].expand(-1, n, n)
    grid = torch.stack(places, -1)
    read = F.grid_sample(masks[:, None], grid, padding_mode="border", align_corners=False)
    return read[:, 0]
