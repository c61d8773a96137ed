"""Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift.
Ioffe & Szegedy, ICML 2015.

Claims      fewer-steps      reaches in far fewer steps what is the standard net's best (Fig. 3)
            higher-rates     learns at ten times the standard net's best rate (Sec. 4.2.2)
            steadier         at the same rate the inputs of sigmoids change less (Fig. 1b, c)
            deep-sigmoid     a deep net of sigmoids learns, the standard one doesn't (Sec. 4.2.2)
            own-weights      also if the standard net chooses the size of its first weights
            inside-gradient  a gradient for which the statistics are constants fails (Sec. 2)
            scale            the size of W changes no output; gradients of W are inverse to it (3.3)
Deviations  1  the claims of Sec. 4.2 on Inception and ImageNet are measured on the nets of Sec. 4.1
            2  the paper doesn't say how small its weights are; `std` suits the standard net best
            3  smaller images, fewer of them and fewer updates than in the paper, except in `paper`
Left out    training convolutional nets (their maps are normalized as in Sec. 3.2), regularization
Shapes      B images, D pixels, H units in each hidden layer, C classes or maps, m values of a unit
"""

import copy
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import batch_norm as drawing
from impl.kit import (
    Arrays,
    Chosen,
    Comparison,
    Event,
    Identity,
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
from impl.kit.data import Images, draw_split, handwriting
from impl.kit.supervised import descend, error, shrink


class Normalize(torch.autograd.Function):
    """Alg. 1 for m values of each of H units, [m, H], and its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, ...]:
        variance, mean = torch.var_mean(x, dim=0, correction=0)  # of the mini-batch, [H]
        scale = torch.rsqrt(variance + eps)
        x_hat = (x - mean) * scale  # normalize
        ctx.save_for_backward(x_hat, gamma, scale)
        ctx.mark_non_differentiable(mean, variance)
        return gamma * x_hat + beta, mean, variance  # scale and shift

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The six equations of Sec. 3, simplified; a test holds it against all six."""
        x_hat, gamma, scale = ctx.saved_tensors
        d_gamma, d_beta = (dy * x_hat).sum(0), dy.sum(0)
        dx = gamma * scale * (dy - (d_beta + x_hat * d_gamma) / len(dy))
        return dx, d_gamma, d_beta, None


class BatchNorm(nn.Module):
    """Normalizes each unit of [B, H], or each map of [B, C, height, width] (Sec. 3.2)."""

    def __init__(self, H: int, eps: float = 1e-5, momentum: float | None = 0.1):
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(H)), nn.Parameter(torch.zeros(H))
        self.mean, self.variance = nn.Buffer(torch.zeros(H)), nn.Buffer(torch.ones(H))
        self.eps, self.momentum, self.batches = eps, momentum, 0

    def forward(self, x: Tensor) -> Tensor:
        values = x.movedim(1, -1)  # [B, height, width, C] to [m, C], m = B height width
        transform = self.normalize if self.training else self.infer
        return transform(values.flatten(0, -2)).view(values.shape).movedim(-1, 1)

    def normalize(self, x: Tensor) -> Tensor:
        """Alg. 1, by the statistics of the mini-batch. [m, H] -> [m, H]"""
        y: tuple[Tensor, ...] = Normalize.apply(x, self.gamma, self.beta, self.eps)
        self.track(y[1], y[2], len(x))
        return y[0]

    def track(self, mean: Tensor, variance: Tensor, m: int) -> None:
        """Sec. 3.1: a moving average, or for momentum None the mean of all mini-batches."""
        self.batches += 1
        weight = 1 / self.batches if self.momentum is None else self.momentum
        self.mean.lerp_(mean, weight)
        self.variance.lerp_(variance * m / (m - 1), weight)  # unbiased

    def infer(self, x: Tensor) -> Tensor:
        """Alg. 2, line 11: a linear transform of each unit. [m, H] -> [m, H]"""
        scale = self.gamma / torch.sqrt(self.variance + self.eps)
        return scale * x + (self.beta - scale * self.mean)


class Detached(BatchNorm):
    """Sec. 2: the same values, with mean and variance computed outside of the gradient step."""

    def normalize(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x.detach(), dim=0, correction=0)
        self.track(mean, variance, len(x))
        return self.gamma * (x - mean) * torch.rsqrt(variance + self.eps) + self.beta


NORMALIZE: dict[str, type[BatchNorm]] = {"batch norm": BatchNorm, "detached": Detached}


def net(arm: str, D: int, H: int, L: int, std: float, draw: torch.Generator) -> nn.Sequential:
    """[B, D] -> logits [B, 10]. Sec. 4.1: z = g(W u + b), or z = g(BN(W u)) without b, Sec. 3.2."""
    modules: list[nn.Module] = []
    for inputs in [D, *[H] * (L - 1)]:
        modules.append(nn.Linear(inputs, H, bias=arm not in NORMALIZE))
        modules += [NORMALIZE[arm](H), nn.Sigmoid()] if arm in NORMALIZE else [nn.Sigmoid()]
    modules.append(nn.Linear(H, 10))
    for layer in modules:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std, generator=draw)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return nn.Sequential(*modules)


@torch.no_grad()
def average_statistics(model: nn.Module, x: Tensor, batch: int) -> None:
    """Alg. 2, lines 7 to 10: from here on means over many mini-batches, in place of moving ones."""
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.momentum, module.batches = None, 0
    for part in x.split(batch)[:50]:
        model.train()(part)


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. 4.1; `auto` is MNIST where it can be had, else scikit-learn's digits
    k: int = 1  # ours: pixels are means of k x k, and 0 or 1 (Sec. 4.1)
    n: int = 50_000  # ours: training images
    validation: int = 10_000  # ours: to choose the rate
    tested: int = 10_000  # ours: test images, drawn by the seed
    L: int = 3  # Sec. 4.1: hidden layers
    H: int = 100  # same: units in each
    std: float = 0.4  # ours: of the first weights; of 0.03, 0.1 and 0.4 tried on other seeds
    lrs: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # ours: the grid
    outside: tuple[float, ...] = (3.0,)  # ours: the rate of inside-gradient; one of `lrs`
    deep: int = 8  # ours: hidden layers of the deep nets
    stds: tuple[float, ...] = (0.1, 0.4)  # ours: of their first weights; the first is small
    deep_lrs: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)  # ours: their grid
    batch: int = 60  # Sec. 4.1
    updates: int = 50_000  # same
    seeds: int = 5  # ours: how many repetitions, each with its own images
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, k=2, n=20_000, validation=2_000, tested=5_000, updates=3_000)
SHORT = replace(FULL, data="auto", n=10_000, validation=1_000, tested=1_000, updates=400)
QUICK = replace(SHORT, lrs=(0.3, 1.0, 3.0, 10.0, 30.0), deep=5, deep_lrs=(0.3, 1.0, 3.0))
SMOKE = replace(QUICK, data="digits", n=400, deep=4, deep_lrs=(1.0, 3.0), updates=20, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

ARMS = ("batch norm", "standard")
EACH = Protocol(arms=ARMS, conditions={"lr": "lrs"})  # of all rates, see steps_to_match
OUTSIDE = Protocol(arms=("detached",), conditions={"lr": "outside"})
DEEP = Protocol(arms=ARMS, conditions={"std": "stds"}, grid={"lr": "deep_lrs"}, select="deep_val")
OWN = Protocol(arms=ARMS, grid={"std": "stds", "lr": "deep_lrs"}, select="own_val")


def at_standards_rate(arm: str, measure: str, times: float = 1.0) -> Side:
    """At the rate which suits the standard net of the same seed best, or some times that rate."""

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        lrs = {float(row["lr"]) for row in rows if row["net"] == "shallow"}
        values = {}
        for seed, lr in by_seed(rows, "lr", net="tuned", arm="standard").items():
            nearest = min(lrs, key=lambda other: abs(math.log(other / (times * lr))))
            values[seed] = by_seed(rows, measure, net="shallow", arm=arm, lr=nearest)[seed]
        return values

    return by_seeds


CLAIMS = (
    Comparison(
        claim="fewer-steps", idea="batch norm", rival="standard", where={"net": "tuned"},
        measure="steps", better="lower", margin=3.84, scale="ratio",
        because="the root of Fig. 3's 31.0 / 2.1", unit="steps to the standard net's best accuracy",
    ),
    Comparison(
        claim="higher-rates", idea=at_standards_rate("batch norm", "test_error", times=10),
        rival=at_standards_rate("standard", "test_error", times=10), better="lower", margin=45.0,
        because="half of what lies between chance and no errors", worst=90.0,
        rival_may_diverge=True, unit="% test error, both at ten times the standard net's rate",
    ),
    Comparison(
        claim="steadier", idea=at_standards_rate("batch norm", "drift"), better="lower",
        rival=at_standards_rate("standard", "drift"), margin=2.0, scale="ratio",
        because="ours, half as much: Fig. 1 has no numbers",
        unit="std over training of the percentiles of a sigmoid's inputs, at the same rate",
    ),
    Comparison(
        claim="deep-sigmoid", idea="batch norm", rival="standard", measure="test_error",
        where={"selected_by": DEEP.select, "small": True}, better="lower", margin=34.9,
        because="half of 69.8 less 0.1, Sec. 4.2.2", unit="% test error, deep, small weights",
    ),
    Comparison(
        claim="own-weights", idea="batch norm", rival="standard", measure="test_error",
        where={"selected_by": OWN.select}, better="lower", margin=1.3, ours=True,
        because="half of what lies between the best accuracies of Fig. 3, 74.8 and 72.2 %",
        unit="% test error, deep, the size of the first weights chosen, too",
    ),
    Comparison(
        claim="inside-gradient", idea="batch norm", rival="detached", measure="test_error",
        where={"net": "shallow", "outside": True}, better="lower", margin=45.0,
        because="half of what lies between chance and no errors: the model blows up",
        rival_may_diverge=True, worst=90.0, unit="% test error, both at the same rate",
    ),
    Identity(claim="scale", measure="scale_gap", tolerance=1e-8, unit="largest relative gap"),
)  # fmt: skip


affine_only = functools.partial(  # scales and shifts, and normalizes nothing
    patch.object, BatchNorm, "forward", lambda self, x: self.gamma * x + self.beta
)
BROKEN: Broken = {
    "fewer-steps": affine_only,
    "higher-rates": affine_only,
    "steadier": affine_only,
    "deep-sigmoid": affine_only,
    "own-weights": affine_only,
    "inside-gradient": lambda: patch.dict(NORMALIZE, {"batch norm": Detached}),
    "scale": affine_only,
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float, std: float | None = None
) -> Iterator[TrialEvent]:
    """Trains one net by plain gradient descent; a deep one where `std` is given."""
    data = images(cfg.data, cfg.k).to(device)
    split = draw_split(data, cfg.n, cfg.validation, seed)
    tested = torch.randperm(len(split.x_test), generator=generator(seed, "test"))[: cfg.tested]
    x, y, x_val = split.x_train, split.y_train, split.x_val
    test = split.x_test[tested], split.y_test[tested]
    L, first = (cfg.L, cfg.std) if std is None else (cfg.deep, std)
    model = net(arm, x.shape[1], cfg.H, L, first, generator(seed, "weights")).to(device)
    kind: Row = dict(net="deep" if std else "shallow", small=std == cfg.stds[0])
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    budget = dict(batch=cfg.batch, updates=cfg.updates, seed=seed)
    inputs, curve, due = [sigmoid_inputs(model, x_val)], [], 5.0
    for step, loss in descend(
        lambda x, y: F.cross_entropy(model.train()(x), y), optimizer, x, y, **budget
    ):
        if step % -(-cfg.updates // 10) == 0 and not std:
            inputs.append(sigmoid_inputs(model, x_val))
        if step >= due or step == cfg.updates:
            due = (2 if std else 1.25) * step
            curve.append([step, error(model.eval(), x_val, split.y_val), error(model, *test)])
            yield kind | dict(step=step, loss=loss.item(), error=curve[-1][2])
    average_statistics(model, x, cfg.batch)
    percentiles = torch.stack(inputs)  # [records, 3, H]
    yield Arrays({"curve": torch.tensor(curve).nan_to_num(90).T, "percentiles": percentiles})
    result = kind | dict(step=cfg.updates, outside=not std and lr in cfg.outside, data=data.name)
    val = error(model.eval(), x_val, split.y_val)
    result |= dict(val_error=val, deep_val=val, own_val=val, test_error=error(model, *test))
    if not std:
        result["drift"] = percentiles.std(0).mean().item()
    if not std and arm == "batch norm":
        result["scale_gap"] = scale_gap(model, x[: cfg.batch], y[: cfg.batch])
    yield result


@functools.cache
def images(name: str, k: int) -> Images:
    """Sec. 4.1: pixels are 0 or 1. [B, D]"""
    data = shrink(handwriting(name), k)
    x_train, x_test = ((x.flatten(1) > 0.5).float() for x in (data.x_train, data.x_test))
    return replace(data, x_train=x_train, x_test=x_test)


@torch.no_grad()
def sigmoid_inputs(model: nn.Sequential, x: Tensor) -> Tensor:
    """Fig. 1: percentiles 15, 50 and 85 of what the last hidden sigmoids get, [3, H]."""
    twin = copy.deepcopy(model).train()  # Sec. 4.1: by the statistics of these images
    return torch.quantile(twin[:-2](x), torch.tensor([0.15, 0.5, 0.85], device=x.device), dim=0)


def scale_gap(model: nn.Sequential, x: Tensor, y: Tensor) -> float:
    """Sec. 3.3, for all hidden layers at once: BN((a W) u) against BN(W u), neglecting epsilon."""
    sides: list[list[Tensor]] = []
    for a in (1.0, 10.0):
        exact = copy.deepcopy(model).double().train()
        for normalization in (module for module in exact if isinstance(module, BatchNorm)):
            normalization.eps = 0.0
        weights = [layer.weight for layer in [*exact][:-1] if isinstance(layer, nn.Linear)]
        for weight in weights:
            weight.data *= a
        u = x.double().requires_grad_()
        logits = exact(u)
        du, *dW = torch.autograd.grad(F.cross_entropy(logits, y), [u, *weights])
        sides.append([logits, du, *(a * d for d in dW)])
    return max(float((p - q).abs().max() / p.abs().max()) for p, q in zip(*sides, strict=True))


def first(curve: Tensor, column: int, target: Tensor) -> float:
    """The first step at which the errors of a column are down to the target, or the last one."""
    reached = [*curve[0, curve[column] <= target], curve[0, -1]]
    return float(reached[0])


def steps_to_match(chosen: Sequence[Chosen]) -> Iterator[Row]:
    """Fig. 3: to the standard net's best test accuracy; rates are chosen by validation images."""
    for seed in dict.fromkeys(one.seed for one in chosen):
        shallow = [one for one in chosen if one.seed == seed and "std" not in one.job]
        bests = [one.tensors["curve"].amin(1) for one in shallow if one.arm == "standard"]
        _, val, test = min(bests, key=lambda best: float(best[1]))
        for arm in ARMS:
            tried = {one.job["lr"]: one.tensors["curve"] for one in shallow if one.arm == arm}
            lr = min(tried, key=lambda lr: first(tried[lr], 1, val))
            steps = first(tried[lr], 2, test)
            edge: Row = {"at_edge": "lr"} if lr in (min(tried), max(tried)) else {}
            yield dict(judged=True, net="tuned", arm=arm, seed=seed, lr=lr, steps=steps) | edge


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    images(cfg.data, cfg.k)  # read once, for the processes of all trials
    chosen = yield from run_protocol(trial, cfg, [EACH, OUTSIDE, DEEP, OWN], device)
    yield from steps_to_match(chosen)
    yield drawing.learning(chosen)
    yield drawing.rates(chosen)
    yield drawing.sigmoid_inputs(chosen)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
