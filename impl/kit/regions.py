"""Regions of pictures: windows all over them, and mini-batches in which a part shows objects."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from impl.kit.boxes import encode, iou
from impl.kit.scene import Scene
from impl.kit.trials import generator


class Settings(Protocol):
    """What a mini-batch depends on; an implementation's Config has them."""

    @property
    def side(self) -> int: ...
    @property
    def pictures(self) -> int: ...  # in a mini-batch
    @property
    def regions(self) -> int: ...  # of all of its pictures
    @property
    def fraction(self) -> float: ...  # of the regions that show an object
    @property
    def foreground(self) -> float: ...  # their least overlap with it
    @property
    def background(self) -> float: ...  # the least overlap of the others


def windows(objects: Tensor, side: int, dense: float) -> Tensor:
    """Boxes of three sizes in three shapes, as the objects have, all over a picture: [R, 4].

    Within the height or width of one `dense` of its kind begin.
    """
    sixths, size = objects.new_tensor([1, 3, 5]) / 6, objects[:, 2:] - objects[:, :2]
    shapes = (size[:, 1] / size[:, 0]).quantile(sixths)  # height over width
    boxes = []
    for root in size.prod(1).sqrt().quantile(sixths):
        for shape in shapes.sqrt():
            h, w = (float(s.clamp(max=side)) for s in (root * shape, root / shape))
            counts = [int(dense * (side - s) / s) + 1 for s in (w, h)]
            x, y = (torch.linspace(0, side - s, n) for s, n in zip((w, h), counts, strict=True))
            corner = torch.cartesian_prod(x, y)
            boxes.append(torch.cat([corner, corner + torch.tensor([w, h])], 1))
    return torch.cat(boxes)


class Sampler:
    """Mini-batches of regions, the objects' own boxes among them: Fast R-CNN, Sec. 2.3."""

    def __init__(self, scenes: Sequence[Scene], proposed: Tensor, cfg: Settings, seed: int):
        self.scenes, self.proposed, self.cfg = scenes, proposed, cfg
        self.draw = generator(seed, "batches")
        self.match = lru_cache(maxsize=1_000)(self._match)
        some = [self.match(i) for i in range(min(len(scenes), 200))]
        v = torch.cat([encode(boxes[u > 0], G[u > 0]) for boxes, G, u, _ in some])
        self.mean, self.std = v.mean(0), v.std(0)

    def _match(self, i: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of a picture's regions the boxes and those of the objects that they overlap most, [R, 4],
        their classes, 0 where they overlap it too little, and the overlap, [R]."""
        scene = self.scenes[i]
        boxes = torch.cat([scene.boxes, self.proposed])
        nothing = torch.zeros(len(boxes), 1)  # for a picture without objects
        overlap, nearest = torch.cat([iou(boxes, scene.boxes), nothing], 1).max(1)
        G = torch.cat([scene.boxes, torch.zeros(1, 4)])[nearest]
        u = torch.cat([scene.labels + 1, torch.zeros(1, dtype=torch.long)])[nearest]
        return boxes, G, torch.where(overlap >= self.cfg.foreground, u, 0), overlap

    def batch(self) -> tuple[Tensor, ...]:
        """Images, half of them mirrored, [N, 3, S, S], and what belongs to R regions of them.

        Of each region the picture [R], box [R, 4], class [R] and targets [R, 4], of mean 0 and
        variance 1.
        """
        cfg, parts = self.cfg, []
        chosen = torch.randint(len(self.scenes), (cfg.pictures,), generator=self.draw).tolist()
        for n, i in enumerate(chosen):
            image, (boxes, G, u, overlap) = self.scenes[i].image, self.match(i)
            order, each = torch.randperm(len(u), generator=self.draw), cfg.regions // cfg.pictures
            objects = order[u[order] > 0][: int(cfg.fraction * each)]
            rest = order[(u[order] == 0) & (overlap[order] >= cfg.background)]
            at = torch.cat([objects, rest[: each - len(objects)]])
            boxes, G = boxes[at], G[at]
            if torch.rand((), generator=self.draw) < 0.5:
                image = image.flip(2)
                across = boxes.new_tensor([cfg.side, 0, cfg.side, 0])
                sign = boxes.new_tensor([-1, 1, -1, 1])
                boxes, G = ((across + sign * b)[:, [2, 1, 0, 3]] for b in (boxes, G))
            v = torch.where(u[at, None] > 0, (encode(boxes, G) - self.mean) / self.std, 0)
            parts.append((image[None], torch.full((len(at),), n), boxes, u[at], v))
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))
