"""A picture and what is to be found in it.

Boxes are [N, 4] as x0, y0, x1, y1 in pixels, the last two exclusive, so that a width is x1 - x0.
Labels are 0 to C - 1.
"""

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

MAX_CACHED_BYTES = 300e6  # of decoded pictures

Place = Path | zipfile.Path


@dataclass(frozen=True)
class Scene:
    """One square picture and its objects."""

    image: Tensor  # [3, S, S] in 0..1
    boxes: Tensor  # [N, 4]
    labels: Tensor  # [N]
    masks: Tensor | None = None  # [N, S, S] of 0 and 1, where the data have them
    ignored: Tensor | None = None  # [M, 4]: objects that are nobody's error, found or not
    ignored_labels: Tensor | None = None  # [M]


@dataclass(frozen=True)
class Scenes:
    name: str
    classes: tuple[str, ...]
    train: Sequence[Scene]
    test: Sequence[Scene]


class LazyScenes(Sequence[Scene]):
    """Scenes that are read from disk in the moment of use: a whole COCO doesn't fit into memory."""

    def __init__(self, items: Sequence[Any], read: Callable[[Any], Scene]):
        self.items, self.read = items, read

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return LazyScenes(self.items[i], self.read)
        return self.read(self.items[i])


def cached(scenes: LazyScenes, side: int) -> Sequence[Scene]:
    """Read once, if memory has room for all: decoding a picture costs more than a training step."""
    return [*scenes] if 12 * side * side * len(scenes) < MAX_CACHED_BYTES else scenes


def read_picture(path: Place, side: int) -> tuple[Tensor, float, int, int]:
    """A picture [3, side, side], its longer side scaled to `side`, padded below or at the right.

    Also the scale, and the height and width of what isn't padding.
    """
    with path.open("rb") as file:
        picture = Image.open(file).convert("RGB")
    scale = side / max(picture.size)
    width, height = (max(1, round(scale * length)) for length in picture.size)
    image = torch.zeros(3, side, side)
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    image[:, :height, :width] = torch.from_numpy(pixels / 255).permute(2, 0, 1)
    return image, scale, height, width


def without_padding(image: Tensor) -> Tensor:
    """[3, S, S] -> [3, H, W]: without the black below a picture that isn't square, or beside it."""
    bright = image.amax(0) > 0
    H, W = (int(bright.any(dim).nonzero().amax()) + 1 for dim in (1, 0))
    return image[:, :H, :W]


def scale_masks(masks: Tensor, side: int, height: int, width: int) -> Tensor:
    """Masks of the picture on disk [N, H, W] as those of the scene, [N, side, side]."""
    scaled = torch.zeros(len(masks), side, side, dtype=torch.bool)
    if len(masks):
        scaled[:, :height, :width] = resize(masks.float(), height, width) > 0.5
    return scaled


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """[C, H, W] to [C, height, width], smoothed where it shrinks."""
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]
