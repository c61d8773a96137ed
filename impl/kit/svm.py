"""Linear support vector machines with a squared hinge, hard negatives for them; ridges."""

from collections.abc import Sequence

import torch
from torch import Tensor


def newton(x: Tensor, sign: Tensor, cost: float, w: Tensor) -> Tensor:
    """min |w|^2 / 2 + cost * sum max(0, 1 - sign * x.w)^2 by Newton steps from w.

    [R, D], [R] and [D] -> [D]. Examples of sign 0 are left out.
    """
    active = (sign * (x @ w) < 1) & (sign != 0)  # only these cost something
    for _ in range(20):
        X, y = x[active], sign[active]
        w = torch.linalg.solve(X.T @ X + torch.eye(len(w), device=x.device) / (2 * cost), X.T @ y)
        before, active = active, (sign * (x @ w) < 1) & (sign != 0)
        if torch.equal(before, active):
            break
    return w


def mine_svms(
    features: Sequence[Tensor], signs: Sequence[Tensor], cost: float, draw: torch.Generator
) -> Tensor:
    """An SVM for each class, of pictures' features [R, D] and signs [R, C] -> [D, C].

    First on four negatives for each positive, drawn at random; then once more with all those added
    that it didn't put beyond the margin. Only what an SVM is trained on stays in memory.
    """
    both = torch.stack([torch.stack([(s == v).sum(0) for v in (1, -1)]) for s in signs]).sum(0)
    share = (4 * both[0] / both[1].clamp_min(1)).clamp(max=1).cpu()  # [C]
    x, y, random = _gather(features, signs, share, draw)
    C = y.shape[1]
    w = torch.stack([newton(x, y[:, c] * random[:, c], cost, x.new_zeros(x.shape[1]))
                     for c in range(C)], 1)  # fmt: skip
    hard = [
        (f[keep], s[keep])
        for f, s in zip(features, signs, strict=True)
        if (keep := ((s > 0) | ((s < 0) & (f @ w > -1))).any(1)).any()
    ]
    if not hard:
        return w
    x_hard, y_hard = (torch.cat(each) for each in zip(*hard, strict=True))
    beyond = (y_hard < 0) & (x_hard @ w <= -1)  # hard for another class only
    y_hard = torch.where(beyond, 0.0, y_hard)
    return torch.stack([newton(x_hard, y_hard[:, c], cost, w[:, c]) for c in range(C)], 1)


def _gather(
    features: Sequence[Tensor], signs: Sequence[Tensor], share: Tensor, draw: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Positives, and of the negatives of each class a random share: x, signs, and which count."""
    parts = []
    for f, s in zip(features, signs, strict=True):
        chosen = (torch.rand(s.shape, generator=draw) < share).to(s.device)
        counts = (s > 0) | ((s < 0) & chosen)
        at = counts.any(1)
        parts.append((f[at], s[at], counts[at]))
    x, y, counts = (torch.cat(each) for each in zip(*parts, strict=True))
    return x, y, counts


class RidgePerClass:
    """Linear regressions with a ridge, one for each class, whose examples come piece by piece."""

    def __init__(self, classes: int):
        self.classes, self.sums = classes, list[tuple[Tensor, Tensor]]()

    def add(self, x: Tensor, t: Tensor, labels: Tensor) -> None:
        """Features [N, D], targets [N, K] and classes [N]."""
        each = [labels == c for c in range(self.classes)]
        new = [(x[c].T @ x[c], x[c].T @ t[c]) for c in each]
        old = self.sums or [(torch.zeros_like(A), torch.zeros_like(b)) for A, b in new]
        self.sums = [(A + B, a + b) for (A, a), (B, b) in zip(old, new, strict=True)]

    def solve(self, ridge: float) -> Tensor:
        """[C, D, K]"""
        eye = torch.eye(len(self.sums[0][0]), device=self.sums[0][0].device)
        return torch.stack([torch.linalg.solve(A + ridge * eye, b) for A, b in self.sums])
