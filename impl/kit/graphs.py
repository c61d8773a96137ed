"""Graphs whose nodes have words and a class: Cora, or one that a block model draws."""

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit.data import DataUnavailable, cache, fetch
from impl.kit.sparse import Sparse
from impl.kit.trials import generator

CORA_FILES = {  # name: SHA-256, as LINQS published them
    "cora.content": "b8ebed0fd45e53995abafd1b70cf6a9fcc8f86abc5826d69b97fe6ca46e9c8ee",
    "cora.cites": "ec1a372391b7f0f60a6aff0084e8abd8f19f0faa7e1f2441a41c492042d5945e",
}
CORA_MIRROR = "https://raw.githubusercontent.com/tkipf/pygcn/master/data/cora/"
CORA_CLASSES = (351, 217, 418, 818, 426, 298, 180)  # papers in each
CORA_LINKS = 5278
CORA_WORDS = 1433
WORDS_IN_PAPER = 18  # on average, in Cora


@dataclass(frozen=True)
class Nodes:
    """Three disjoint sets of nodes: with labels to learn, to choose by, to judge by."""

    train: Tensor
    val: Tensor
    test: Tensor


@dataclass(frozen=True)
class Graph:
    name: str
    edges: Tensor  # [2, E], each link once
    words: Tensor  # [2, n]: a node and a word in it
    y: Tensor  # [N], the classes
    published: Nodes | None = None  # the split that comes with it

    def features(self) -> Sparse:
        """For each node its words, with numbers that sum to 1. [N, words]"""
        sums = torch.bincount(self.words[0], minlength=len(self.y)).float()
        shape = (len(self.y), int(self.words[1].max()) + 1)
        return Sparse(self.words, 1 / sums[self.words[0]], shape)

    def renumbered(self, number: Tensor) -> "Graph":
        """The same graph, in which node i is number[i]."""
        words = torch.stack([number[self.words[0]], self.words[1]])
        y = self.y.new_empty(len(self.y)).index_copy(0, number, self.y)
        return replace(self, edges=number[self.edges], words=words, y=y, published=None)

    def distances(self, node: int) -> Tensor:
        """How many links away each node is; -1 where there is no path. [N]"""
        at, step = torch.full([len(self.y)], -1), 0
        ring = torch.tensor([node])
        while len(ring):
            at[ring] = step
            ends = torch.cat([b[torch.isin(a, ring)] for a, b in (self.edges, self.edges.flip(0))])
            ring, step = ends[at[ends] < 0].unique(), step + 1
        return at

    def farthest(self, node: int, among: Tensor) -> int:
        """Links to the farthest node of a mask [N]; N where there is no path to one."""
        away = self.distances(node)[among]
        if (away < 0).any():
            return len(self.y)
        return max(away.tolist(), default=0)


def draw_nodes(y: Tensor, labels: int, validation: int, test: int, seed: int) -> Nodes:
    """`labels` nodes of each class to train on; those for validation and test are from all others.

    With one seed, the latter are the same for any number of labels. Raises ValueError where a
    class is too small.
    """
    order = torch.randperm(len(y), generator=generator(seed, "nodes"))
    val, test_nodes, rest = order.split([validation, test, len(y) - validation - test])
    of_class = [rest[y[rest] == c][:labels] for c in range(int(y.max()) + 1)]
    if (fewest := min(map(len, of_class))) < labels:
        raise ValueError(f"a class has {fewest} nodes left to train on; {labels} are too many")
    return Nodes(torch.cat(of_class), val, test_nodes)


def citations(name: str, seed: int) -> Graph:
    """`cora`, `generated` by the seed, or `auto`: Cora if it can be had.

    Raises DataUnavailable for `cora` if it can't.
    """
    if name == "generated":
        return generated(seed)
    if name not in ("cora", "auto"):
        raise ValueError(f"no graph {name!r}; use cora, generated or auto")
    if name == "cora":
        return cora()
    return _cora_if_there() or generated(seed)


@functools.cache
def _cora_if_there() -> Graph | None:
    """Asks the network once, not for every trial."""
    try:
        return cora()
    except DataUnavailable:
        return None


@functools.cache
def cora() -> Graph:
    """2,708 papers, 5,278 links between them, 1,433 words, 7 classes.

    Where there is `cora/cora.npz`, with the split of Yang et al. (2016); else as LINQS published
    it: the same graph in another order. Raises DataUnavailable if neither can be had.
    """
    file = Path(os.environ.get("KB_DATA", cache())) / "cora" / "cora.npz"
    if not file.exists():
        return _linqs()
    with np.load(file) as arrays:
        parts = {name: torch.from_numpy(arrays[name].astype(np.int64)) for name in arrays.files}
    words = torch.stack([parts["feature_row"], parts["feature_col"]])
    published = Nodes(parts["train"], parts["val"], parts["test"])
    return Graph("cora", parts["edges"].T.contiguous(), words, parts["label"], published)


def _linqs() -> Graph:
    content, cites = (
        [line.split() for line in _fetch(name, sha).read_text().splitlines()]
        for name, sha in CORA_FILES.items()
    )
    number = {paper: i for i, (paper, *_) in enumerate(content)}
    classes = sorted({paper[-1] for paper in content})
    words = torch.from_numpy(np.array([paper[1:-1] for paper in content], np.uint8))
    pairs = {(number[cited], number[citing]) for cited, citing in cites}
    edges = torch.tensor(sorted({(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}))
    y = torch.tensor([classes.index(paper[-1]) for paper in content])
    return Graph("cora-linqs", edges.T.contiguous(), words.nonzero().T.contiguous(), y)


def _fetch(name: str, sha256: str) -> Path:
    try:
        return fetch("cora", name, CORA_MIRROR, sha256)
    except DataUnavailable as error:
        raise DataUnavailable(str(error).replace("data=digits", "data=generated")) from None


@functools.lru_cache(maxsize=16)
def generated(seed: int, homophily: float = 0.81, tilt: float = 0.7) -> Graph:
    """A graph of Cora's size, by a degree-corrected stochastic block model with words.

    As in Cora, `homophily` of the links stay within a class and few nodes have many links. How
    frequent a word is follows Zipf's law, times exp(tilt * normal) drawn for each class; with this
    tilt words alone tell the class about as badly as in Cora.
    """
    draw = generator(seed, "graph")
    y = torch.arange(len(CORA_CLASSES)).repeat_interleave(torch.tensor(CORA_CLASSES))
    popularity = (1 - torch.rand(len(y), generator=draw)).pow(-1 / 2)  # a Pareto distribution
    starts = torch.multinomial(popularity, CORA_LINKS, replacement=True, generator=draw)
    inside = torch.rand(CORA_LINKS, generator=draw) < homophily
    ends = torch.empty_like(starts)
    for c in range(len(CORA_CLASSES)):
        for within in (True, False):
            at = ((y[starts] == c) & (inside == within)).nonzero()[:, 0]
            chances = popularity * ((y == c) == within)
            ends[at] = torch.multinomial(chances, len(at), replacement=True, generator=draw)
    pairs = torch.stack([torch.minimum(starts, ends), torch.maximum(starts, ends)])
    edges = pairs[:, pairs[0] != pairs[1]].unique(dim=1)
    zipf = 1 / (torch.arange(CORA_WORDS) + 10.0)
    tilts = tilt * torch.randn(len(CORA_CLASSES), CORA_WORDS, generator=draw)
    words = torch.multinomial((zipf * tilts.exp())[y], WORDS_IN_PAPER, generator=draw)
    nodes = torch.arange(len(y)).repeat_interleave(WORDS_IN_PAPER)
    return Graph("generated", edges, torch.stack([nodes, words.flatten()]), y)


@torch.no_grad()
def propagate_labels(graph: Graph, train: Tensor, alpha: float, steps: int = 100) -> Tensor:
    """Zhu et al. (2003): each node takes the mean of its neighbours, those of `train` keep their
    labels; then the classes are made equally common. With alpha < 1 a label fades with each link.
    [N, classes]"""
    N = len(graph.y)
    at = torch.cat([graph.edges, graph.edges.flip(0)], 1)
    means = Sparse(at, 1 / torch.bincount(at[0], minlength=N)[at[0]], (N, N))
    right = F.one_hot(graph.y[train]).float()
    labels = torch.zeros(N, right.shape[1]).index_copy(0, train, right)
    for _ in range(steps):
        labels = (alpha * (means @ labels)).index_copy(0, train, right)
    return labels / labels.sum(0)
