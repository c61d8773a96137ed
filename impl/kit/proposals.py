"""Proposed regions of pictures: which objects they show, mini-batches of them, their features.

Also how well proposals cover what is to be found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit.boxes import iou
from impl.kit.composed import composed
from impl.kit.scene import Scene
from impl.kit.scenes import SceneSplit, draw_scenes

MAX_KEPT_BYTES = 1e9  # of features


@dataclass(frozen=True)
class Regions:
    """Of one picture: its objects' own boxes, then the proposals."""

    boxes: Tensor  # [R, 4]
    own: Tensor  # [R] whether it is an object's own box
    overlap: Tensor  # [R] with the object that it overlaps most
    target: Tensor  # [R, 4] the box of that object
    labels: Tensor  # [R] its class, C where there is none
    sign: Tensor  # [R, C] 1 an object's own box, -1 a negative of the class, 0 neither


def match(scene: Scene, proposed: Tensor, C: int, negative: float) -> Regions:
    """A region is a class's negative if it overlaps none of its objects by `negative`."""
    boxes = torch.cat([scene.boxes, proposed])
    nothing = torch.zeros(len(boxes), 1)  # for a picture without objects
    overlaps = torch.cat([iou(boxes, scene.boxes), nothing], 1)
    overlap, nearest = overlaps.max(1)
    classes = torch.cat([scene.labels, torch.tensor([C])])
    of_class = [torch.where(classes == c, overlaps, 0).amax(1) for c in range(C)]
    own = torch.arange(len(boxes)) < len(scene.boxes)
    positive = own[:, None] & (classes[nearest][:, None] == torch.arange(C))
    sign = torch.where(positive, 1.0, 0.0)
    sign = torch.where((torch.stack(of_class, 1) < negative) & ~positive, -1.0, sign)
    target = torch.cat([scene.boxes, torch.zeros(1, 4)])[nearest]
    return Regions(boxes, own, overlap, target, classes[nearest], sign)


@dataclass(frozen=True)
class Part:
    """Pictures for training, choice or test, and the regions of each."""

    scenes: Sequence[Scene]
    regions: Sequence[Regions]

    def proposals(self, i: int) -> Tensor:
        return self.regions[i].boxes[~self.regions[i].own]


@dataclass(frozen=True)
class ProposedSplit:
    name: str
    classes: tuple[str, ...]
    train: Part
    val: Part
    test: Part


def propose(
    split: SceneSplit, search: Callable[[Tensor], Tensor], negative: float
) -> ProposedSplit:
    """Of each picture the regions that the search finds."""
    parts, C = [], len(split.classes)
    for scenes in (split.train, split.val, split.test):
        regions = [match(scene, search(scene.image), C, negative) for scene in scenes]
        parts.append(Part(scenes, regions))
    return ProposedSplit(split.name, split.classes, *parts)


def crops(name: str, pictures: int, side: int, seed: int) -> tuple[Part, int]:
    """The objects of other pictures, and how many classes they are of; `composed` shows the digits
    5 to 9 then, where the scenes show 0 to 4."""
    if name == "composed":
        digits = (5, 6, 7, 8, 9)
        scenes, C = composed(pictures, 0, side, seed, classes=digits).train, len(digits)
    else:
        split = draw_scenes(name, pictures, 0, 1, side, seed)
        scenes, C = split.train, len(split.classes)
    return Part(scenes, [match(scene, torch.zeros(0, 4), C, 0.0) for scene in scenes]), C


def random_boxes(n: int, sizes: Tensor, side: int, draw: torch.Generator) -> Tensor:
    """n boxes of these sizes [N, 2], anywhere in a picture: [n, 4]"""
    size = sizes[torch.randint(len(sizes), (n,), generator=draw)]
    corner = torch.rand(n, 2, generator=draw) * (side - size).clamp_min(0)
    return torch.cat([corner, corner + size], 1)


def search_at_random(
    image: Tensor, scales: Sequence[float], limit: int, draw: torch.Generator
) -> Tensor:
    """In place of selective search: boxes a fifth to a half as long as the picture, anywhere."""
    side = image.shape[-1]
    return random_boxes(limit, side * (0.2 + 0.3 * torch.rand(99, 2, generator=draw)), side, draw)


def recall_of(data: ProposedSplit, draw: torch.Generator | None) -> float:
    """Percent of the test objects that a proposal overlaps by half. With `draw`, of as many random
    boxes, which are as large as objects of training scenes."""
    scenes = data.test.scenes
    boxes = [data.test.proposals(i) for i in range(len(scenes))]
    if draw:
        sizes = torch.cat([scene.boxes[:, 2:] - scene.boxes[:, :2] for scene in data.train.scenes])
        side = scenes[0].image.shape[-1]
        boxes = [random_boxes(len(each), sizes, side, draw) for each in boxes]
    return recall(best_overlaps(boxes, scenes, max(map(len, boxes))))


def draw_batch(
    part: Part, C: int, foreground: float, draw: torch.Generator, *, pictures: int, positives: int,
    negatives: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Images [B, 3, S, S], boxes [B, 4] and classes [B] of regions of a few pictures.

    Positives overlap an object by `foreground`; the others are of class C, the background.
    """
    some = torch.randint(len(part.scenes), (pictures,), generator=draw).tolist()
    each = [part.regions[i] for i in some]
    boxes, overlap, labels = (
        torch.cat([getattr(one, name) for one in each]) for name in ("boxes", "overlap", "labels")
    )
    of = torch.repeat_interleave(torch.tensor([len(one.boxes) for one in each]))
    parts = []
    for which, count in ((overlap >= foreground, positives), (overlap < foreground, negatives)):
        at = which.nonzero()[:, 0]
        if len(at):
            parts.append(at[torch.randint(len(at), (count,), generator=draw)])
    at = torch.cat(parts) if parts else torch.zeros(0, dtype=torch.long)
    images = torch.stack([part.scenes[i].image for i in some])[of[at]]
    return images, boxes[at], torch.where(overlap >= foreground, labels, C)[at]


def shake(boxes: Tensor, draw: torch.Generator) -> Tensor:
    """Each side moved by up to a tenth of the box's length."""
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + size * (0.2 * torch.rand(boxes.shape, generator=draw) - 0.1)


def recolour(x: Tensor, draw: torch.Generator) -> Tensor:
    """Each colour of each image stronger or weaker and shifted, half of the images negatives."""
    sign = 1 - 2 * torch.randint(2, (len(x), 1, 1, 1), generator=draw)
    random = torch.rand(2, len(x), 3, 1, 1, generator=draw)
    gain, shift = sign * (0.5 + random[0]), 0.4 * random[1] - 0.2
    return gain.to(x.device) * x + shift.to(x.device)


class Features(Sequence[Tensor]):
    """[R, D] of each picture, extracted in the moment of use: of VOC they don't fit into memory."""

    def __init__(self, pictures: int, extract: Callable[[int], Tensor], scale: float = 1.0):
        self.pictures, self.extract, self.scale = pictures, extract, scale

    def __len__(self) -> int:
        return self.pictures

    def __getitem__(self, i: int) -> Tensor:  # type: ignore[override]
        if i >= self.pictures:
            raise IndexError(i)
        x: Tensor = self.scale * self.extract(i)
        return x


def extract_all(pictures: int, extract: Callable[[int], Tensor], length: float) -> Features:
    """Scaled so that they are about so long. Kept, if memory has room for all."""
    some = [extract(i) for i in range(min(pictures, 200))]
    scale = length / float(torch.stack([each.norm(dim=1).mean() for each in some]).mean())
    if pictures * some[0].nbytes < MAX_KEPT_BYTES:
        some += [extract(i) for i in range(len(some), pictures)]
        return Features(pictures, some.__getitem__, scale)
    return Features(pictures, extract, scale)


def best_overlaps(found: Sequence[Tensor], scenes: Sequence[Scene], n: int) -> Tensor:
    """How much the best of the first n boxes of its picture overlaps each object, [objects]."""
    pairs = zip(found, scenes, strict=True)
    overlaps = [iou(boxes[:n], scene.boxes) for boxes, scene in pairs]  # [R, N] each
    return torch.cat([F.pad(overlap, (0, 0, 0, 1)).amax(0) for overlap in overlaps])


def recall(overlaps: Tensor) -> float:
    """Percent of the objects that are covered by half or more."""
    return 100 * float((overlaps >= 0.5).float().mean())
