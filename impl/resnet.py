"""Deep residual learning for image recognition. He, Zhang, Ren & Sun, arXiv:1512.03385, 2015; CVPR 2016.

Claims      degradation      a plain net of 56 layers has a higher *training* error than one of 20 (Sec. 4.2, Fig. 6 left)
            cure             with identity shortcuts, 36 more layers do not raise the training error as they do without (Fig. 6 middle)
            small-responses  the layers of the residual net respond less strongly than those of the plain net (Sec. 4.2, Fig. 7)
            parameters       the nets for CIFAR-10 and ImageNet have as many parameters as Tables 1 and 6 make them have
Deviations  1  except in `paper` the nets are narrower, the images smaller and fewer, and the updates few; no augmentation
            2  except in `paper` each net takes the rate of `rates` with the least training error, tried with another seed
            3  `parameters` compares with exact counts, which the paper gives to two digits for CIFAR and not for ImageNet
Left out    the 110- and 1202-layer nets' training, training on ImageNet, detection
Shapes      B images, C channels, H x W pixels, n blocks for each of three map sizes: 6n + 2 layers
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.data import digits
from impl.kit.figures import PALETTE, canvas, figure

CIFAR_COUNTS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}
IMAGENET_COUNTS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # Table 1


@dataclass(frozen=True)
class Config:
    data: str = "cifar10"  # Sec. 4.2; here 10,000 of its training images in KB_DATA, else scikit-learn's digits
    side: int = 32  # same: pixels; smaller is averaged down
    width: int = 16  # same: filters of the first maps, then twice and four times as many
    shallow: int = 20  # Fig. 6: layers, 6n + 2
    deep: int = 56  # same
    rates: tuple[float, ...] = (0.1,)  # Sec. 4.2: divided by 10 after half and after three quarters of the updates
    momentum: float = 0.9  # same
    weight_decay: float = 0.0001  # same
    batch: int = 128  # same
    updates: int = 64_000  # same
    augment: bool = True  # same: shifts by up to 4 pixels, mirror images
    seeds: int = 5  # Table 6, for its 110-layer net
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, side=16, width=8, rates=(0.03, 0.1), updates=300, augment=False)
QUICK = replace(FULL, data="digits", side=8, batch=64, updates=80)
SMOKE = replace(QUICK, width=4, shallow=8, deep=14, rates=(0.1,), batch=16, updates=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


class Block(nn.Module):
    """Eq. 1, y = F(x) + x, with two 3 x 3 layers, or three when it is a bottleneck (Fig. 5); plain without the x."""

    def __init__(self, C_in: int, C: int, stride: int, *, shortcut: str, bottleneck: bool = False):
        super().__init__()
        C_out = 4 * C if bottleneck else C
        shapes = [(C_in, C, 1), (C, C, 3), (C, C_out, 1)] if bottleneck else [(C_in, C, 3), (C, C, 3)]
        where = 1 if bottleneck else 0  # the stride goes to the first 3 x 3
        layers: list[nn.Module] = []
        for i, (a, b, k) in enumerate(shapes):
            conv = nn.Conv2d(a, b, k, stride if i == where else 1, padding=k // 2, bias=False)
            layers += [conv, nn.BatchNorm2d(b), nn.ReLU()]
        self.residual = nn.Sequential(*layers[:-1])  # the last ReLU comes after the addition
        self.shortcut, self.stride, self.grow = shortcut, stride, C_out - C_in
        changes = stride > 1 or C_out != C_in
        self.project: nn.Module = nn.Identity()
        if shortcut == "B" and changes:  # Eq. 2: W_s x
            self.project = nn.Sequential(nn.Conv2d(C_in, C_out, 1, stride, bias=False), nn.BatchNorm2d(C_out))

    def forward(self, x: Tensor) -> Tensor:  # [B, C_in, H, W] -> [B, C_out, H / stride, W / stride]
        y = self.residual(x)
        if self.shortcut == "A":  # every other pixel, and zeros for the new channels: no parameters
            y = y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.grow))
        elif self.shortcut == "B":
            y = y + self.project(x)
        return F.relu(y)


def cifar_net(layers: int, width: int = 16, channels: int = 3, *, residual: bool = True) -> nn.Sequential:
    """Sec. 4.2: 6n + 2 layers; the residual net has exactly the parameters of the plain one."""
    n, blocks, C_in = (layers - 2) // 6, [], width
    for i, C in enumerate((width, 2 * width, 4 * width)):
        for j in range(n):
            blocks.append(Block(C_in, C, 2 if i and not j else 1, shortcut="A" if residual else "none"))
            C_in = C
    stem = [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return he(nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(C_in, 10)))


def imagenet_net(layers: int) -> nn.Sequential:
    """Table 1, with projections where the size changes (option B)."""
    bottleneck, C_in = layers >= 50, 64
    blocks: list[nn.Module] = []
    for i, count in enumerate(IMAGENET_BLOCKS[layers]):
        C = 64 * 2**i
        for j in range(count):
            blocks.append(Block(C_in, C, 2 if i and not j else 1, shortcut="B", bottleneck=bottleneck))
            C_in = 4 * C if bottleneck else C
    stem = [nn.Conv2d(3, 64, 7, 2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(C_in, 1000))


def he(net: nn.Sequential) -> nn.Sequential:
    """Sec. 4.2 and He et al. (2015): variance 2 / fan-in."""
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight)
    return net


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())
