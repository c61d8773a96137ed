"""How good are samples? Measures that need no density of the model that drew them."""

import math

import torch
from torch import Tensor


def parzen(samples: Tensor, x: Tensor, sigmas: Tensor) -> Tensor:
    """Mean log-likelihood of x [B, D] under a Gaussian of width sigma about every one of samples
    [N, D]: one for each sigma, in nats."""
    total = torch.zeros(len(sigmas), device=x.device)
    for part in x.split(500):
        square = torch.cdist(part, samples).square()  # [500, N]
        for i, sigma in enumerate(sigmas):
            log_sum = torch.logsumexp(-square / (2 * sigma**2), 1)
            total[i] += (log_sum - math.log(len(samples))).sum()
    return total / len(x) - x.shape[1] * torch.log(sigmas * math.sqrt(2 * math.pi))


def mean_distance(x: Tensor) -> Tensor:
    """Between two different ones of x [N, D]."""
    return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))


def spread(samples: Tensor, images: Tensor) -> float:
    """How far apart samples are, in percent of how far apart images are: 0 if all are the same."""
    return 100 * float(mean_distance(samples) / mean_distance(images))


def energy_distance(samples: Tensor, images: Tensor) -> float:
    """In percent of the images' mean distance: 0 if both [N, D], [M, D] are distributed alike."""
    apart = 2 * torch.cdist(samples, images).mean() - mean_distance(samples)
    return 100 * float(apart / mean_distance(images) - 1)
