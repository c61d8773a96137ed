"""Ladder: sixteen layers. Four nets of the same depth learn to read digits.

Each rung is built as its paper builds it: rectifiers with He's initial weights; batch
normalization in between; highway layers, whose gates begin nearly shut; residual blocks.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.highway import Highway, Plain, affine
from impl.kit import Protocol, TrialEvent, generator
from impl.kit.data import Split
from impl.kit.supervised import error
from impl.kit.tasks import handwritten
from impl.ladders.ladder import (
    Ladder,
    count_flops,
    count_updates,
    main,
    spent,
    train,
    width_for,
)


@dataclass(frozen=True)
class Config:
    n: int = 1_000  # training images
    validation: int = 250
    depths: tuple[int, ...] = (4, 16)  # layers, that of the softmax too; even
    parameters: int = 25_000  # of each net, as nearly as a whole number of units allows
    bias: float = -2.0  # of the highway's gates at first
    batch: int = 50
    budget: float = 7e8  # FLOPs of all updates of one training
    lrs: tuple[float, ...] = (0.01, 0.05, 0.25, 1.25)  # the grid, of SGD with momentum
    momentum: float = 0.9
    seeds: int = 5  # how many repetitions, each with its own training images
    seed: int = 0  # the first of them


QUICK = Config()
SMOKE = replace(QUICK, n=100, depths=(4,), parameters=2_000, budget=5e6, lrs=(0.1,), seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK}

LADDER = Ladder(
    name="depth",
    title="Sixteen layers",
    task="Nets learn to read a thousand handwritten digits, with as many parameters in 4 layers as "
    "in 16. Measured is how many unseen digits they misread; a guess is wrong in 90 %.",
    unit="% of unseen digits misread",
    measure="test_error",
    rungs={
        "plain": "he-init",
        "batch norm": "batch-norm",
        "highway": "highway-networks",
        "residual": "resnet",
    },
    condition="{} layers",
    protocol=Protocol(
        ("plain", "batch norm", "highway", "residual"), {"lr": "lrs"}, {"depth": "depths"}
    ),
)


class Normalized(nn.Sequential):
    """[B, n] -> [B, m]"""

    def __init__(self, n: int, m: int):
        super().__init__(affine(n, m, 2.0), nn.BatchNorm1d(m), nn.ReLU())


class Residual(nn.Module):
    """Two layers and the identity beside them. [B, H] -> [B, H]"""

    def __init__(self, H: int):
        super().__init__()
        self.layers = nn.Sequential(Normalized(H, H), affine(H, H, 2.0), nn.BatchNorm1d(H))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


def build(cfg: Config, arm: str, depth: int, H: int, D: int = 64, C: int = 10) -> nn.Module:
    """[B, D] -> logits [B, C], by `depth` layers"""
    hidden = depth - 2
    layers: list[nn.Module]
    if arm == "plain":
        layers = [Plain(D, H, "relu"), *(Plain(H, H, "relu") for _ in range(hidden))]
    elif arm == "highway":
        layers = [Plain(D, H, "relu"), *(Highway(H, "relu", cfg.bias) for _ in range(hidden))]
    elif arm == "batch norm":
        layers = [Normalized(D, H), *(Normalized(H, H) for _ in range(hidden))]
    else:
        layers = [Normalized(D, H), *(Residual(H) for _ in range(hidden // 2))]
    return nn.Sequential(*layers, affine(H, C, 1.0))


@functools.cache
def width(cfg: Config, arm: str, depth: int) -> int:
    return width_for(cfg.parameters, lambda H: build(cfg, arm, depth, H), range(4, 200))


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, depth: int, lr: float
) -> Iterator[TrialEvent]:
    split = handwritten(cfg.n, cfg.validation, seed)
    x, y = split.x_train.to(device), split.y_train.to(device)
    net = build(cfg, arm, depth, width(cfg, arm, depth)).to(device)
    batches = generator(seed, "batches")

    def loss() -> Tensor:
        at = torch.randint(len(x), (cfg.batch,), generator=batches)
        return F.cross_entropy(net(x[at]), y[at])

    flops = count_flops(lambda: loss().backward())
    updates = count_updates(cfg.budget, flops)
    optimizer = torch.optim.SGD(net.parameters(), lr, cfg.momentum, fused=True)
    yield from train(loss, optimizer, lr, updates)
    net.eval()
    val, test = ((part.to(device) for part in pair) for pair in held_out(split))
    errors = dict(val_error=error(net, *val), test_error=error(net, *test))
    yield dict(step=updates, **errors, **spent(flops, updates, net))


def held_out(split: Split) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (split.x_val, split.y_val), (split.x_test, split.y_test)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, LADDER, trial, PRESETS))
