"""Ladder: three ways down. One autoencoder, trained by three optimizers.

A deep autoencoder squeezes digits through a layer of eight units. Its loss is steep in some
directions and flat in most, which is what momentum and Adam were made for.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Protocol, TrialEvent, generator
from impl.kit.tasks import handwritten
from impl.ladders.ladder import Ladder, count_flops, count_updates, main, spent, train


@dataclass(frozen=True)
class Config:
    n: int = 1_000  # training images
    validation: int = 250
    units: tuple[int, ...] = (64, 48, 24, 8, 24, 48, 64)  # of the layers, pixels first and last
    batch: int = 50
    budget: float = 1.2e9  # FLOPs of all updates of one training
    lrs: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # the grid
    momentum: float = 0.9
    seeds: int = 5  # how many repetitions, each with its own training images
    seed: int = 0  # the first of them


QUICK = Config()
SMOKE = replace(QUICK, n=100, budget=1e7, lrs=(0.01, 0.1), seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK}

LADDER = Ladder(
    name="optimizers",
    title="Three ways down",
    task="An autoencoder of six layers squeezes handwritten digits through 8 numbers and draws "
    "them again. Measured is how much of what tells the pixels of unseen digits apart is lost.",
    unit="% of the variance lost",
    measure="test_error",
    rungs={"SGD": "robbins-monro", "momentum": "polyak-momentum", "Adam": "adam"},
    protocol=Protocol(("SGD", "momentum", "Adam"), {"lr": "lrs"}),
)


def optimizers(cfg: Config) -> dict[str, Callable[..., torch.optim.Optimizer]]:
    return {
        "SGD": functools.partial(torch.optim.SGD, fused=True),
        "momentum": functools.partial(torch.optim.SGD, momentum=cfg.momentum, fused=True),
        "Adam": functools.partial(torch.optim.Adam, fused=True),
    }


def autoencoder(units: tuple[int, ...]) -> nn.Sequential:
    """[B, D] -> [B, D]; the last layer is linear."""
    layers = [layer for n, m in pairwise(units) for layer in (nn.Linear(n, m), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:
    split = handwritten(cfg.n, cfg.validation, seed)
    x, x_val, x_test = (part.to(device) for part in (split.x_train, split.x_val, split.x_test))
    net = autoencoder(cfg.units).to(device)
    batches = generator(seed, "batches")

    def loss() -> Tensor:
        batch = x[torch.randint(len(x), (cfg.batch,), generator=batches)]
        return F.mse_loss(net(batch), batch)

    flops = count_flops(lambda: loss().backward())
    updates = count_updates(cfg.budget, flops)
    yield from train(loss, optimizers(cfg)[arm](net.parameters(), lr=lr), lr, updates)
    errors = dict(val_error=variance_lost(net, x_val), test_error=variance_lost(net, x_test))
    yield dict(step=updates, **errors, **spent(flops, updates, net))


@torch.no_grad()
def variance_lost(net: nn.Module, x: Tensor) -> float:
    """In percent: 100 for a net that always draws the mean image."""
    return 100 * float((net(x) - x).square().sum() / (x - x.mean(0)).square().sum())


if __name__ == "__main__":
    raise SystemExit(main(__doc__, LADDER, trial, PRESETS))
