"""Dropout: a simple way to prevent neural networks from overfitting.
Srivastava et al., JMLR 15:1929-1958, 2014.

Claims      lower-test-error  fewer test errors than the same net without dropout (Tables 2 and 9)
            weight-scaling    one net with scaled weights stands for all thinned nets (Secs. 4, 7.5)
            data-size         dropout helps, but not where there is very little data (Sec. 7.4)
Deviations  1  fewer updates and training images than in the paper, except in `paper`
            2  torch's initialization, for both
            3  data-size compares the smallest of `sizes` with the largest, fixed beforehand
Left out    max-norm, pre-training, Gaussian multiplicative noise (Sec. 10), dropout in
            convolutional nets and RBMs
Shapes      B images, D pixels, H hidden units, C classes
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import (
    Arrays,
    Comparison,
    Event,
    NoWorse,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    by_seed,
    generator,
    judge,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.claims import Side
from impl.kit.data import draw_split, handwriting
from impl.kit.figures import sheets


class Dropout(nn.Module):
    """Sec. 4: r ~ Bernoulli(p), y~ = r * y while training; afterwards the weights out of a unit are
    multiplied by p. [B, H] -> [B, H]

    Scaling the outgoing weights by p is scaling the unit's output by p. (torch's own nn.Dropout
    divides by p while training instead, Sec. 10; its argument is the probability of *dropping*.)
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, y: Tensor) -> Tensor:
        if not self.training:
            return self.p * y
        r = torch.rand_like(y) < self.p  # one mask for each case in the mini-batch, Sec. 5.1
        return r * y


def net(D: int, H: int, layers: int, p_input: float, p_hidden: float, C: int = 10) -> nn.Sequential:
    """[B, D] -> logits [B, C]"""
    modules: list[nn.Module] = [Dropout(p_input)]
    for width in [D, *[H] * (layers - 1)]:
        modules += [nn.Linear(width, H), nn.ReLU(), Dropout(p_hidden)]
    return nn.Sequential(*modules, nn.Linear(H, C))


@dataclass(frozen=True)
class Config:
    data: str = (
        "mnist"  # Sec. 6.1.1; `auto` is MNIST where it can be had, else scikit-learn's digits
    )
    sizes: tuple[int, ...] = (
        100,
        50_000,
    )  # Sec. 7.4 and App. B.1: training images, without those for validation
    layers: int = 3  # Table 2, the row "Dropout NN, ReLU"
    H: int = 1024  # same
    p_hidden: float = 0.5  # Sec. 6.1.1: probability of *keeping* a hidden unit
    p_input: float = 0.8  # Sec. 6.1.1: of keeping an input
    momentum: float = 0.95  # App. A.2: 0.95 to 0.99
    lrs: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)  # ours: the grid
    batch: int = 100  # ours
    updates: int = 1_000_000  # App. B.1
    validation: int = 10_000  # App. B.1
    averaged: int = 10_000  # Sec. 7.5: test images on which thinned nets are averaged
    seeds: int = 5  # ours: how many repetitions, each with its own training images
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, sizes=(100, 1_000, 5_000), layers=2, H=800, updates=1_500, validation=1_000)
QUICK = replace(
    FULL,
    data="auto",
    sizes=(1_000,),
    H=256,
    lrs=(0.03, 0.1, 0.3),
    updates=400,
    averaged=1_000,
    seeds=10,
)
SMOKE = replace(
    QUICK, data="digits", sizes=(50, 200), H=16, lrs=(0.1,), updates=5, validation=100, seeds=2
)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(arms=("dropout", "standard"), grid={"lr": "lrs"}, conditions={"n": "sizes"})


def gain(size: Callable[[Iterable[int]], int]) -> Side:
    """Points of test error that dropout saves, with the smallest or largest training set."""

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        sizes = {int(row["n"]) for row in rows}
        if len(sizes) < 2:
            return {}  # `quick` has one size: nothing to compare
        n = size(sizes)
        dropout = by_seed(rows, "test_error", arm="dropout", n=n)
        standard = by_seed(rows, "test_error", arm="standard", n=n)
        return {seed: standard[seed] - dropout[seed] for seed in dropout}

    return by_seeds


CLAIMS = (
    Comparison(
        claim="lower-test-error",
        idea="dropout",
        rival="standard",
        where={"largest": True},
        measure="test_error",
        better="lower",
        margin=0.125,
        because="half of the smallest gain of Table 2, 1.60 to 1.35",
        unit="% test error",
    ),
    NoWorse(
        claim="weight-scaling",
        idea=lambda rows: by_seed(rows, "scaled_error", arm="dropout", largest=True),
        rival=lambda rows: by_seed(rows, "sampled_error", arm="dropout", largest=True),
        better="lower",
        scale="ratio",
        margin=1.05,
        because="a twentieth of the errors; in Fig. 11 the two are within the error bars",
        unit="% test error, weights scaled against 50 thinned nets averaged",
    ),
    Comparison(
        claim="data-size",
        idea=gain(max),
        rival=gain(min),
        better="higher",
        margin=0.125,
        because="as for lower-test-error",
        unit="points of test error saved, with the largest training set against the smallest",
    ),
)


def always_dropping() -> AbstractContextManager[object]:
    """Tests one thinned net instead of the net with scaled weights."""
    return patch.object(Dropout, "forward", lambda self, y: y * (torch.rand_like(y) < self.p))


BROKEN: Broken = {
    "lower-test-error": {"p_input": 1.0, "p_hidden": 1.0},
    "weight-scaling": always_dropping,
    "data-size": {"p_input": 1.0, "p_hidden": 1.0},
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, n: int, lr: float
) -> Iterator[TrialEvent]:
    """Sec. 5.1: trains one net by gradient descent with momentum."""
    data = handwriting(cfg.data).to(device)
    split = draw_split(data, n, cfg.validation, seed)
    x, y, x_val = split.x_train.flatten(1), split.y_train, split.x_val.flatten(1)
    p_input, p_hidden = (cfg.p_input, cfg.p_hidden) if arm == "dropout" else (1.0, 1.0)
    model = net(x.shape[1], cfg.H, cfg.layers, p_input, p_hidden).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=cfg.momentum)
    batches = generator(seed, "batches")
    for step in range(1, cfg.updates + 1):
        at = torch.randint(n, (min(cfg.batch, n),), generator=batches)
        loss = F.cross_entropy(model.train()(x[at]), y[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % -(-cfg.updates // 8) == 0:
            yield dict(step=step, loss=loss.item(), val_error=error(model, x_val, split.y_val))
    x_test, y_test = split.x_test.flatten(1), split.y_test
    result: Row = dict(
        step=cfg.updates,
        loss=loss.item(),
        val_error=error(model, x_val, split.y_val),
        test_error=error(model, x_test, y_test),
        largest=n == max(cfg.sizes),
        data=data.name,
    )
    if result["largest"] and arm == "dropout":
        some = x_test[: cfg.averaged], y_test[: cfg.averaged]
        result["scaled_error"] = error(model, *some)
        result["sampled_error"] = sampled_error(model, *some, k=50)
    if result["largest"] and seed == cfg.seed:
        weight: Tensor = next(m.weight for m in model if isinstance(m, nn.Linear))
        yield Arrays({"features": weight[:64].reshape(-1, *data.x_train.shape[-2:])})
    yield result


@torch.no_grad()
def error(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Errors in percent, with the weights scaled."""
    wrong: Tensor = model.eval()(x).argmax(1) != y
    return 100 * wrong.float().mean().item()


@torch.no_grad()
def sampled_error(model: nn.Module, x: Tensor, y: Tensor, k: int) -> float:
    """Sec. 7.5: the same of the average prediction of k thinned nets."""
    model.train()
    mean = torch.stack([model(x).softmax(1) for _ in range(k)]).mean(0)
    return 100 * (mean.argmax(1) != y).float().mean().item()


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    pictured = {trial.arm: trial.tensors["features"] for trial in chosen if trial.tensors}
    caption = "What 64 first-layer units respond to, with and without dropout (as in Fig. 7)"
    yield sheets("features", pictured, caption, symmetric=True)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
