"""MultiMNIST: overlapping digits, made as Sabour et al. (2017) make them, in Sec. 6.1."""

import torch
from torch import Tensor
from torch.nn import functional as F

Scene = tuple[Tensor, Tensor, Tensor]  # images, their digits alone, labels


class Scenes:
    """Images of P digits of different classes, each shifted at random, from images [N, h, h].

    They are added and clipped, and drawn when they are needed.
    """

    def __init__(self, x: Tensor, y: Tensor, K: int, P: int, shift: int):
        x, y = x[y < K], y[y < K].cpu()
        self.K, self.P, self.shift, self.side = K, P, shift, x.shape[-1] + 2 * shift
        self.x = F.pad(x, [2 * shift] * 4)
        self.y, self.order, self.count = y, y.argsort(), torch.bincount(y, minlength=K)
        self.start = self.count.cumsum(0) - self.count

    def draw(self, B: int, random: torch.Generator) -> Scene:
        """Images [B, 1, side, side], their digits alone [B, P, side * side], labels [B, P]."""
        first = self.y[torch.randint(len(self.y), (B, 1), generator=random)]
        others = torch.rand(B, self.K - 1, generator=random).argsort(1)[:, : self.P - 1] + 1
        labels = torch.cat([first, (first + others) % self.K], 1)  # never the same class twice
        which = (torch.rand(B, self.P, generator=random) * self.count[labels]).long()
        corner = torch.randint(2 * self.shift + 1, (2, B, self.P, 1), generator=random)
        at = self.order[which + self.start[labels]].to(self.x.device)
        rows, columns = (corner + torch.arange(self.side)).to(self.x.device)
        parts = self.x[at[..., None, None], rows[..., :, None], columns[..., None, :]]
        image = parts.sum(1, keepdim=True).clamp(max=1)
        return image, parts.flatten(2), labels.to(self.x.device)
