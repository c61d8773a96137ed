"""Persistence diagrams of dimension 0 of silhouettes, and the distance of two diagrams."""

import numpy as np
import torch
from torch import Tensor

Diagram = list[tuple[float, float]]  # (birth, death)


def components(height: np.ndarray, edges: np.ndarray) -> list[tuple[float, float, int]]:
    """(birth, death, pixel of birth) of every component of what is below a level that rises.

    A pixel comes in at its height, an edge at that of its upper end. Where an edge joins two
    components, the one that was born later dies. Roots are always the lowest pixel of their
    component, so a root's height is its birth. What never dies ends with the shape.
    """
    level = height[edges].max(1)
    parent, h, pairs = list(range(len(height))), height.tolist(), []
    order = level.argsort(kind="stable")
    for (a, b), now in zip(edges[order].tolist(), level[order].tolist(), strict=True):
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if a != b:
            young, old = (a, b) if h[a] > h[b] else (b, a)
            parent[young] = old
            if now > h[young]:
                pairs.append((h[young], now, young))
    top = max(h)
    return pairs + [(h[v], top, v) for v in range(len(h)) if parent[v] == v and top > h[v]]


def pixels(shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places [V, 2] of a shape's pixels, its centre at 0 and its farthest pixel at distance 1, and
    the edges [E, 2] between those that share a side or a corner.
    """
    number = np.pad(np.full(shape.shape, -1), 1, constant_values=-1)
    number[1:-1, 1:-1][shape] = np.arange(shape.sum())
    here = number[1:-1, 1:-1]
    rest = (number[1:-1, 2:], number[2:, :-2], number[2:, 1:-1], number[2:, 2:])
    edges = np.concatenate([np.stack([here, there], -1).reshape(-1, 2) for there in rest])
    y, x = np.nonzero(shape)
    places = np.stack([x, -y], 1) - np.stack([x, -y], 1).mean(0)
    return places / max(np.linalg.norm(places, axis=1).max(), 1e-9), edges[(edges >= 0).all(1)]


def directions(K: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(K) / K
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def heights(places: np.ndarray, v: np.ndarray) -> np.ndarray:
    """<x, v>, rounded: no component is to be born of a difference in the sixteenth digit."""
    height: np.ndarray = (places @ v).round(9)
    return height


def diagrams(shape: np.ndarray, K: int) -> list[Diagram]:
    """One for each direction v: the components of {pixels x with <x, v> <= level}."""
    places, edges = pixels(shape)
    return [[pair[:2] for pair in components(heights(places, v), edges)] for v in directions(K)]


def pad(dgms: list[list[Diagram]]) -> Tensor:
    """[N, K, P, 2]; what fills up is (0, 0), a point on the diagonal."""
    P = max(len(d) for each in dgms for d in each)
    x = torch.zeros(len(dgms), len(dgms[0]), P, 2)
    for n, each in enumerate(dgms):
        for k, d in enumerate(each):
            if d:
                x[n, k, : len(d)] = torch.tensor(d)
    return x


def rotate(x: Tensor) -> Tensor:
    """(birth, death) to coordinates along the diagonal and away from it, [..., 2].

    The second is the persistence / sqrt 2.
    """
    return torch.stack([x[..., 0] + x[..., 1], x[..., 1] - x[..., 0]], -1) / 2**0.5


def wasserstein(D: np.ndarray, E: np.ndarray) -> float:
    """Wasserstein-1 distance of two diagrams [n, 2] and [m, 2], rotated: the cheapest way of moving
    the points of one to those of the other, or to the diagonal, which is `x[1]` away.
    """
    from scipy.optimize import linear_sum_assignment

    cost = np.zeros((len(D) + len(E), len(D) + len(E)))
    cost[: len(D), : len(E)] = np.linalg.norm(D[:, None] - E[None], axis=2)
    cost[: len(D), len(E) :] = D[:, 1:]
    cost[len(D) :, : len(E)] = E[:, 1]
    return float(cost[linear_sum_assignment(cost)].sum())
