"""A small convolutional net that is trained to name what each cell of its map shows.

It stands in for a net pre-trained on ImageNet where only small data are at hand.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit.mask_regions import label_pixels
from impl.kit.scene import Scene
from impl.kit.trials import generator


class StridedBackbone(nn.Sequential):
    """Pictures [B, 3, S, S] -> maps [B, F, H, W], a cell for each 2^len(channels) pixels."""

    def __init__(self, channels: Sequence[int]):
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 5, 2, 2), nn.ReLU()]
        for a, b in pairwise(channels):
            layers += [nn.Conv2d(a, b, 3, 2, 1), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(channels[-1], channels[-1], 3, 1, 1), nn.ReLU())
        self.stride = 2 ** len(channels)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = super().forward(4 * (x - 0.5))  # of about unit variance
        return maps


def train_backbone(
    scenes: Sequence[Scene], C: int, channels: Sequence[int], *, updates: int, batch: int,
    lr: float, seed: int, device: torch.device,
) -> StridedBackbone:  # fmt: skip
    """By Adam, with a rate that falls to zero. The same for a seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, name = StridedBackbone(channels), nn.Conv2d(channels[-1], C + 1, 1)
    parameters = [*net.to(device).parameters(), *name.to(device).parameters()]
    optimizer = torch.optim.Adam(parameters, lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    rare = torch.tensor([1.0] * C + [0.2], device=device)  # objects are a small part of a picture
    draw, half = generator(seed, "backbone"), net.stride // 2
    for _ in range(updates):
        some = [scenes[i] for i in torch.randint(len(scenes), (batch,), generator=draw).tolist()]
        shown = [label_pixels(scene, C)[half :: net.stride, half :: net.stride] for scene in some]
        logits = name(net(torch.stack([scene.image for scene in some]).to(device)))
        loss = F.cross_entropy(logits, torch.stack(shown).to(device), rare)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net
