"""Are two sets of points drawn alike? The two-sample test by nearest neighbours."""

import math

import torch
from torch import Tensor


def told_apart(samples: Tensor, data: Tensor) -> float:
    """The percentage of both, [N, D] and [M, D], whose nearest other point is of their own kind.

    With N = M it is 50 if both are distributed alike, and 100 if they are apart or if the samples
    are huddled together (Schilling, 1986). NaN if a sample isn't finite.
    """
    if not samples.isfinite().all():
        return math.nan
    points = torch.cat([samples, data])
    distance = torch.cdist(points, points).fill_diagonal_(math.inf)
    real = torch.arange(len(points), device=points.device) >= len(samples)
    return 100 * float((real[distance.argmin(1)] == real).float().mean())
