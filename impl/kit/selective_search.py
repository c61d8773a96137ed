"""Region proposals of Uijlings et al. (2013) in small: segments, joined step by step.

The segments are those of Felzenszwalb & Huttenlocher (2004). Left out: texture, and other colour
spaces than RGB.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

MIN_SIDE = 4  # pixels of a proposal


def selective_search(
    image: Tensor, scales: Sequence[float], limit: int, draw: torch.Generator
) -> Tensor:
    """[3, H, W] in 0..1 -> [R, 4]: the boxes of segments, and of all that come about when the two
    most alike are joined, and again; at most `limit`.

    In their order: the place in the hierarchy, 1 for the whole picture, times a random number.
    """
    pixels = image.permute(1, 2, 0).cpu().numpy()
    boxes: list[tuple[int, ...]] = []
    places: list[int] = []
    for scale in scales:
        found = Grouping(pixels, segments(pixels, scale)).boxes
        boxes += reversed(found)
        places += range(1, len(found) + 1)
    order = (torch.tensor(places) * torch.rand(len(places), generator=draw)).argsort().tolist()
    ranked = [boxes[i] for i in order]
    large = [box for box in ranked if min(box[2] - box[0], box[3] - box[1]) >= MIN_SIDE]
    distinct = list(dict.fromkeys(large))[:limit]
    return torch.tensor(distinct, dtype=torch.float32).reshape(-1, 4)


def segments(image: np.ndarray, scale: float, min_size: int = 8) -> np.ndarray:
    """Joins neighbours whose edge is no stronger than what either side varies by: [H, W, 3] ->
    labels [H, W]."""
    H, W, _ = image.shape
    forest = _Forest(H * W, scale)
    edges = _edges(255 * image)
    for i, j, weight in edges:
        a, b = forest.root(i), forest.root(j)
        if a != b and weight <= min(forest.bound[a], forest.bound[b]):
            forest.join(a, b, weight)
    for i, j, weight in edges:  # what is too small joins its neighbour
        a, b = forest.root(i), forest.root(j)
        if a != b and min(forest.size[a], forest.size[b]) < min_size:
            forest.join(a, b, weight)
    roots = [forest.root(i) for i in range(H * W)]
    return np.unique(roots, return_inverse=True)[1].reshape(H, W)


def _edges(image: np.ndarray) -> list[tuple[int, int, float]]:
    """Pairs of neighbouring pixels and how far apart their colours are, the weakest first."""
    H, W, _ = image.shape
    index = np.arange(H * W).reshape(H, W)
    pairs = [(index[:, 1:], index[:, :-1]), (index[1:], index[:-1])]
    a, b = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    flat = image.reshape(-1, 3)
    weight = np.linalg.norm(flat[a] - flat[b], axis=1)
    order = np.argsort(weight, kind="stable")
    return list(zip(a[order].tolist(), b[order].tolist(), weight[order].tolist(), strict=True))


class _Forest:
    """Disjoint sets; `bound` is how strong an edge may be that joins one to another."""

    def __init__(self, n: int, scale: float):
        self.scale, self.parent, self.size = scale, list(range(n)), [1] * n
        self.bound = [scale] * n

    def root(self, i: int) -> int:
        parent = self.parent
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(self, a: int, b: int, weight: float) -> None:
        self.parent[b] = a
        self.size[a] += self.size[b]
        self.bound[a] = weight + self.scale / self.size[a]


class Grouping:
    """Of all neighbours joins the two most alike, until one region is left; `boxes` of all."""

    def __init__(self, image: np.ndarray, label: np.ndarray):
        self.area = label.size
        self.boxes: list[tuple[int, ...]] = []
        self.sizes: list[int] = []
        self.colours: list[np.ndarray] = []  # histograms of 25 bins a channel
        bins = np.minimum((25 * image).astype(int), 24) + 25 * np.arange(3)
        for i in range(label.max() + 1):
            y, x = np.nonzero(label == i)
            box = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
            histogram = np.bincount(bins[y, x].ravel(), minlength=75) / (3 * len(y))
            self._add(box, len(y), histogram)
        pairs = {(i, j): self._likeness(i, j) for i, j in _neighbours(label)}
        while pairs:
            i, j = max(pairs, key=pairs.__getitem__)
            beside = {k for pair in pairs if i in pair or j in pair for k in pair} - {i, j}
            pairs = {pair: s for pair, s in pairs.items() if i not in pair and j not in pair}
            new = self._join(i, j)
            pairs |= {(k, new): self._likeness(k, new) for k in beside}

    def _add(self, box: tuple[int, ...], size: int, colour: np.ndarray) -> int:
        self.boxes.append(box)
        self.sizes.append(size)
        self.colours.append(colour)
        return len(self.boxes) - 1

    def _join(self, i: int, j: int) -> int:
        size = self.sizes[i] + self.sizes[j]
        colour = self.colours[i] * self.sizes[i] + self.colours[j] * self.sizes[j]
        return self._add(self._union(i, j), size, colour / size)

    def _union(self, i: int, j: int) -> tuple[int, ...]:
        a, b = self.boxes[i], self.boxes[j]
        return (*map(min, a[:2], b[:2]), *map(max, a[2:], b[2:]))

    def _likeness(self, i: int, j: int) -> float:
        """Colour, size (small ones first) and fill (what fits into each other)."""
        x0, y0, x1, y1 = self._union(i, j)
        size = self.sizes[i] + self.sizes[j]
        colour = float(np.minimum(self.colours[i], self.colours[j]).sum())
        fill = 1 - ((x1 - x0) * (y1 - y0) - size) / self.area
        return colour + (1 - size / self.area) + fill


def _neighbours(label: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of regions that touch, the lower number first."""
    across = np.stack([label[:, 1:], label[:, :-1]], -1).reshape(-1, 2)
    down = np.stack([label[1:], label[:-1]], -1).reshape(-1, 2)
    for i, j in np.unique(np.sort(np.concatenate([across, down]), 1), axis=0).tolist():
        if i != j:
            yield i, j
