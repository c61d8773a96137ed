"""Tables of binary operations on residues, whose elements are symbols without a structure."""

import torch
from torch import Tensor

from impl.kit.trials import generator

Equations = tuple[Tensor, Tensor, Tensor]  # x, y and z of x o y = z, as numbers of symbols


def table(operation: str, p: int) -> Equations:
    """All equations modulo a prime p, [pairs] each. Raises ValueError for an unknown operation."""
    x, y = (each.flatten() for each in torch.meshgrid(*[torch.arange(p)] * 2, indexing="ij"))
    if operation == "x+y":
        return x, y, (x + y) % p
    if operation == "x*y":  # of those that aren't 0, so that residue r is symbol r - 1
        x, y = x[x * y > 0], y[x * y > 0]
        return x - 1, y - 1, x * y % p - 1
    if operation == "x/y":
        x, y = x[y > 0], y[y > 0]
        inverse = torch.tensor([0, *(pow(r, -1, p) for r in range(1, p))])
        return x, y, x * inverse[y] % p
    raise ValueError(f"no operation {operation!r}; use x+y, x*y or x/y")


def without_rule(operation: str, p: int) -> Equations:
    """The same table with its answers shuffled: they can only be learnt by heart."""
    x, y, z = table(operation, p)
    return x, y, z[torch.randperm(len(z), generator=generator(p, "without rule"))]


def split(pairs: int, share: float, seed: int) -> list[Tensor]:
    """Pairs to train on, to choose by and to judge by: the last two are halves of the rest."""
    n = round(share * pairs)
    order = torch.randperm(pairs, generator=generator(seed, "data"))
    return list(order.split([n, (pairs - n) // 2, pairs - n - (pairs - n) // 2]))
