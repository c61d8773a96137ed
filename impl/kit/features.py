"""Features of images, some of them by k-means, and what a linear classifier makes of them."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit.data import Images, Split, photographs
from impl.kit.events import Row

CLASSES = 10


@functools.cache
def images(name: str) -> Images:
    """Photographs or handwriting in -1..1, of a side that can be halved thrice.

    So MNIST is at 16 x 16: with a border of two, then the mean of every 2 x 2.
    """
    data = photographs(name)
    x, x_test = data.x_train, data.x_test
    if data.name == "mnist":
        x, x_test = (F.avg_pool2d(F.pad(each, (2, 2, 2, 2)), 2) for each in (x, x_test))
    return replace(data, x_train=2 * x - 1, x_test=2 * x_test - 1)


def few_labels(split: Split, labels: int) -> Split:
    """As many training images of each class: the first ones, as the seed has shuffled them."""
    each = [(split.y_train == k).nonzero()[: labels // CLASSES, 0] for k in range(CLASSES)]
    at = torch.cat(each)
    return replace(split, x_train=split.x_train[at], y_train=split.y_train[at])


@torch.no_grad()
def embed(features: Callable[[Tensor], Tensor], split: Split) -> Split:
    """The split with features [N, F] in place of images."""
    x, x_val, x_test = (
        torch.cat([features(part) for part in x.split(500)])
        for x in (split.x_train, split.x_val, split.x_test)
    )
    return replace(split, x_train=x, x_val=x_val, x_test=x_test)


def svm(f: Tensor, y: Tensor, penalties: Tensor) -> tuple[Tensor, Tensor]:
    """M linear L2-SVMs on f [M, N, F], one class against the rest: [M, F, K] and [M, 1, K]."""
    W = f.new_zeros(len(f), f.shape[2], CLASSES, requires_grad=True)
    b = f.new_zeros(len(f), 1, CLASSES, requires_grad=True)
    optimizer = torch.optim.LBFGS([W, b], max_iter=40, line_search_fn="strong_wolfe")
    sign = 2 * F.one_hot(y, CLASSES) - 1  # [N, K]

    def closure() -> Tensor:
        optimizer.zero_grad()
        slack = (1 - sign * (f @ W + b)).relu().square().sum(2).mean(1)
        loss = (slack + penalties * W.square().sum((1, 2))).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return W.detach(), b.detach()


def svm_errors(features: Split, penalties: tuple[float, ...]) -> Row:
    """Errors in percent, where the images of the split are features [N, F].

    The validation images choose the penalty, and whether each feature has its own scale.
    """
    x, parts = features.x_train, (features.x_train, features.x_val, features.x_test)
    if not all(part.isfinite().all() for part in parts):
        return dict(val_error=math.nan, test_error=math.nan)
    mean, std = x.mean(0), (x - x.mean(0)).std()
    scales = []
    for own in (torch.ones_like(mean), x.std(0) + 0.1 * std):
        length = ((x - mean) / own).square().sum(1).mean().sqrt()
        scales += [own * length.clamp_min(1e-12)] * len(penalties)  # one penalty means the same
    stacked = torch.stack([(x - mean) / scale for scale in scales])  # [M, N, F]
    W, b = svm(stacked, features.y_train, torch.tensor(2 * penalties, device=x.device))

    def error(i: int, x: Tensor, y: Tensor) -> float:
        wrong = (((x - mean) / scales[i]) @ W[i] + b[i]).argmax(1) != y
        return 100 * wrong.float().mean().item()

    val = [error(i, features.x_val, features.y_val) for i in range(len(scales))]
    best = val.index(min(val))
    return dict(val_error=val[best], test_error=error(best, features.x_test, features.y_test))


class PatchKMeans:
    """Features of one layer of k-means. Coates, Ng & Lee (2011), Sec. 3.

    Patches are normalized and whitened; a feature is how much nearer than usual a patch is to one
    of the K centres, summed over each quadrant of the image. [B, C, H, W] -> [B, 4 * K]
    """

    def __init__(self, x: Tensor, width: int, K: int, seed: int, *, patches: int = 10_000):
        from sklearn.cluster import KMeans

        self.width = width
        p = self.normalized(x).flatten(0, 1)
        p = p[torch.linspace(0, len(p) - 1, min(patches, len(p))).long().to(p.device)]
        self.mean = p.mean(0)
        spectrum, axes = torch.linalg.eigh((p - self.mean).T.cov())
        self.whiten = axes * (spectrum + 0.1).rsqrt() @ axes.T  # ZCA, with their 0.1
        p = (p - self.mean) @ self.whiten
        fitted = KMeans(K, n_init=1, max_iter=50, random_state=seed).fit(p.cpu().numpy())
        self.centres = torch.from_numpy(fitted.cluster_centers_).to(p)

    def normalized(self, x: Tensor) -> Tensor:
        """Every patch less its mean, of about unit contrast: [B, places, C * width^2]"""
        p = F.unfold(x, self.width).transpose(1, 2)
        noise = 10 / 127.5**2  # their 10, of bytes, where the images are in -1..1
        return (p - p.mean(2, keepdim=True)) / (p.var(2, keepdim=True) + noise).sqrt()

    def __call__(self, x: Tensor) -> Tensor:
        p = (self.normalized(x) - self.mean) @ self.whiten
        distance = torch.cdist(p, self.centres)  # [B, places, K]
        near = (distance.mean(2, keepdim=True) - distance).relu().transpose(1, 2)
        maps = near.unflatten(2, (x.shape[-2] - self.width + 1, -1))  # [B, K, h, w]
        return F.adaptive_avg_pool2d(maps, 2).flatten(1)
