"""Pictures with boxes and masks that are always there: handwritten digits on photographs."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from impl.kit.data import handwriting
from impl.kit.scene import Scene, Scenes, resize


def composed(
    train: int,
    test: int,
    side: int,
    seed: int = 0,
    classes: Sequence[int] = (0, 1, 2, 3, 4),
    plain: bool = False,
) -> Scenes:
    """Digits, scaled, coloured and partly hidden by each other, amid unlabelled scraps of digits.

    What is in the test scenes is cut from test digits, and their backgrounds from another
    photograph. If `plain`, they are on black, and there are no scraps.
    """
    from sklearn.datasets import load_sample_images

    china, flower = (np.asarray(image, np.float32) / 255 for image in load_sample_images().images)
    if plain:
        china = flower = np.zeros((side, side, 3), np.float32)
    data = handwriting("auto")
    digits = torch.tensor(list(classes))
    sources = [
        (data.x_train, data.y_train, china, train),
        (data.x_test, data.y_test, flower, test),
    ]
    parts = []
    for part, (x, y, photograph, count) in enumerate(sources):
        keep = torch.isin(y, digits)
        ink, labels = x[keep, 0], torch.searchsorted(digits, y[keep])
        rng = np.random.default_rng([seed, part])
        scraps = 0 if plain else 2
        parts.append([compose(rng, ink, labels, photograph, side, scraps) for _ in range(count)])
    name = f"{data.name} on black" if plain else f"composed of {data.name}"
    return Scenes(name, tuple(map(str, classes)), *parts)


def compose(
    rng: np.random.Generator,
    x: Tensor,
    y: Tensor,
    photograph: np.ndarray,
    side: int,
    scraps: int = 2,
) -> Scene:
    """Up to five digits of a fifth to a half of the side; later ones hide parts of earlier ones.

    A box is that of the whole digit, a mask that of what is seen of it, at least 60 percent.
    """
    image = _crop(rng, photograph, side)
    for _ in range(int(rng.integers(scraps, 2 * scraps + 1))):  # halves, which nobody is to find
        ink = _ink(x[int(rng.integers(len(x)))])
        image, *_ = _paste(rng, image, ink[: -(-len(ink) // 2)], side)
    boxes: list[Tensor] = []
    labels: list[Tensor] = []
    masks: list[Tensor] = []  # of what is still seen
    areas: list[Tensor] = []  # of the whole
    for _ in range(int(rng.integers(2, 6))):
        i = int(rng.integers(len(x)))
        pasted, mask, box = _paste(rng, image, _ink(x[i]), side)
        seen = [earlier & ~mask for earlier in masks]
        if any(part.sum() < 0.6 * area for part, area in zip(seen, areas, strict=True)):
            continue  # too little of an earlier one would be left
        image, masks = pasted, [*seen, mask]
        boxes.append(box)
        labels.append(y[i])
        areas.append(mask.sum())
    return Scene(image, torch.stack(boxes), torch.stack(labels), torch.stack(masks))


def _crop(rng: np.random.Generator, photograph: np.ndarray, side: int) -> Tensor:
    """A random square of the photograph, [3, side, side]."""
    length = int(rng.integers(side, min(photograph.shape[:2]) // 2 + side))
    length = min(length, *photograph.shape[:2])
    top, left = (int(rng.integers(0, size - length + 1)) for size in photograph.shape[:2])
    square = photograph[top : top + length, left : left + length]
    return resize(torch.from_numpy(square).permute(2, 0, 1), side, side)


def _ink(digit: Tensor) -> Tensor:
    """The digit without its margins."""
    rows, columns = torch.where(digit > 0.3)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _paste(
    rng: np.random.Generator, image: Tensor, ink: Tensor, side: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The image with the ink in a colour that stands out; where the ink is; its box."""
    size = int(side * rng.uniform(0.2, 0.5))
    height, width = size, max(2, round(size * ink.shape[1] / ink.shape[0]))
    width = min(width, side)
    ink = resize(ink[None], height, width)[0]
    top, left = (int(rng.integers(0, side - length + 1)) for length in (height, width))
    behind = image[:, top : top + height, left : left + width]
    low, high = (0.65, 1.0) if behind.mean() < 0.5 else (0.0, 0.35)
    colour = torch.tensor(rng.uniform(low, high, 3), dtype=torch.float32)
    image = image.clone()
    image[:, top : top + height, left : left + width] += ink * (colour[:, None, None] - behind)
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[top : top + height, left : left + width] = ink > 0.3
    box = torch.tensor([left, top, left + width, top + height], dtype=torch.float32)
    return image, mask, box
