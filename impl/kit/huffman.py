"""Huffman's code, 1952: the binary tree in which frequent symbols have short paths."""

import heapq

Path = list[tuple[int, int]]  # from the root: an inner node, and +1 or -1 for the branch taken


def huffman(counts: list[int]) -> list[Path]:
    """The path to each of V symbols, through V - 1 inner nodes."""
    V, trees = len(counts), [(count, symbol) for symbol, count in enumerate(counts)]
    heapq.heapify(trees)
    children: list[tuple[int, int]] = []
    while len(trees) > 1:
        (rare, left), (less_rare, right) = heapq.heappop(trees), heapq.heappop(trees)
        heapq.heappush(trees, (rare + less_rare, V + len(children)))
        children.append((left, right))
    paths: list[Path] = [[] for _ in range(2 * V - 1)]
    for node in reversed(range(V - 1)):  # parents come before their children
        for child, branch in zip(children[node], (1, -1), strict=True):
            paths[child] = [*paths[V + node], (node, branch)]
    return paths[:V]
