"""Delving Deep into Rectifiers: Surpassing Human-Level Performance. He et al., ICCV, 2015.

Claims      response-variance  a layer multiplies the variance of responses and of gradients by
                               (1 + a^2)/2 n Var[w] (Eqs. 8, 12, 15)
            thirty-layers      30 layers of ReLUs train from Var[w] = 2/n, not from 1/n (Fig. 3)
            xavier-stalls      from Xavier's 1/n they do no better than guessing, at any rate
            twenty-two-layers  with 22 layers the error starts falling sooner from 2/n (Fig. 2)
            both-train         with 22 layers Xavier's reduces it in the end, too (Fig. 2)
            prelu-gradient     the gradients of the PReLU are those of Eqs. 2 and 3
            prelu-fits         learning the slope below zero lowers the training loss (Sec. 2.1)
            prelu-error        and saves test errors (Table 2)
            coefficients       the first layer's slopes end greater than the later ones (Table 1)
Deviations  1  fully connected nets on handwriting instead of convolutional ones on ImageNet; widths
               and numbers of updates are ours; a channel is a unit
            2  each seed's net takes the rate that suits it best on validation images: by its error,
               with 22 layers by how soon that falls; the rate is never lowered
            3  the error counts as fallen, and the net as trained, 30 points below a guess
Left out    models A to C, multi-scale training, the 4.94 % on ImageNet; that Xavier's L layers send
            back exactly 2^(-L/2) of the gradient of He's is in the tests
Shapes      B images, D pixels, H units in each of L - 1 hidden layers, C classes
"""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import he_init as drawing
from impl.kit import (
    Alike,
    Arrays,
    AtMost,
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
    keep_rows,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.claims import Side
from impl.kit.data import Split, draw_split, handwriting
from impl.kit.supervised import descend, error, gradient_gap, standardize
from impl.kit.variances import growth, sizes


class Parametric(torch.autograd.Function):
    """Eq. 1: f(y) = y above zero, a y below, and both gradients."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, a: Tensor) -> Tensor:
        ctx.save_for_backward(y, a)
        return torch.where(y > 0, y, a * y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        y, a = ctx.saved_tensors
        df_da = y.clamp(max=0)  # Eq. 3: zero above, y below
        return gradient * torch.where(y > 0, 1.0, a), (gradient * df_da).sum(0)  # Eq. 2


class PReLU(nn.Module):
    """Sec. 2.1: a slope below zero for each unit, learnt. [B, H] -> [B, H]"""

    def __init__(self, H: int, a: float = 0.25):
        super().__init__()
        self.a = nn.Parameter(torch.full((H,), a))

    def forward(self, y: Tensor) -> Tensor:
        f: Tensor = Parametric.apply(y, self.a)
        return f


GAIN = {"he": 2.0, "xavier": 1.0}  # n Var[w]: Eq. 10; Xavier's, Sec. 2.2


def net(sizes: Sequence[int], gain: float, unit: Callable[[int], nn.Module]) -> nn.Sequential:
    """Layers with n Var[w] = gain (Eq. 10) and b = 0 (Sec. 2.2), units between. [B, D] -> [B, C]"""
    modules: list[nn.Module] = []
    for n, n_next in pairwise(sizes):
        layer = nn.Linear(n, n_next)
        nn.init.normal_(layer.weight, std=(gain / n) ** 0.5)
        nn.init.zeros_(layer.bias)
        modules += [layer, unit(n_next)]
    return nn.Sequential(*modules[:-1])


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # ours, for ImageNet; `auto` is MNIST where it can be had, else digits
    n: int = 50_000  # ours: training images
    deep: int = 30  # Fig. 3: layers
    less_deep: int = 22  # Fig. 2
    small: int = 14  # Table 1: of the model that compares PReLU with ReLU
    H: int = 256  # ours
    a: float = 0.25  # Sec. 2.1: where the coefficients start
    deep_rates: tuple[float, ...] = (0.0005, 0.002, 0.01)  # ours: the grid for 30 layers
    less_deep_rates: tuple[float, ...] = (0.003, 0.01, 0.03)  # ours: for 22
    lrs: tuple[float, ...] = (0.0015, 0.005, 0.015)  # ours: for 14
    momentum: float = 0.9  # Sec. 3
    decay: float = 0.0005  # Sec. 3: of the weights, never of a (Sec. 2.1)
    batch: int = 128  # Sec. 3
    updates: int = 31_250  # ours: 80 epochs of the images here
    longer: int = 31_250  # ours: for `both-train`: Xavier's must have time to leave the plateau
    nets: int = 400  # ours: nets drawn to measure the variances
    validation: int = 10_000  # ours: to choose the rate
    seeds: int = 5  # ours: how many repetitions
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, n=10_000, H=128, batch=32, updates=3_000, longer=6_000, validation=1_000)
SMALL = replace(FULL, data="auto", n=1_000, H=64, nets=64, validation=300)
QUICK = replace(SMALL, updates=400, longer=1_500)
TINY = replace(QUICK, data="digits", n=200, deep=6, less_deep=4, small=3, H=16, batch=16, nets=16)
FEW = replace(TINY, deep_rates=(0.01,), less_deep_rates=(0.01,), lrs=(0.01,))
SMOKE = replace(FEW, updates=8, longer=10, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

LAWS = Protocol(arms=("laws",))
DEEP = Protocol(arms=("he, deep", "xavier, deep"), grid={"lr": "deep_rates"})
LESS_DEEP = Protocol(("he", "xavier"), grid={"lr": "less_deep_rates"}, select="val_fallen")
LONGER = Protocol(arms=("xavier, longer",), grid={"lr": "less_deep_rates"})
SMALLER = Protocol(arms=("relu", "prelu"), grid={"lr": "lrs"})
FALLEN = 60.0  # % errors: 30 points below a guess
LAW = {("he", 0.0): 1.0, ("xavier", 0.0): 0.5, ("xavier", 1.0): 1.0}  # Eq. 15, by a


def of(arm: str, measure: str) -> Side:
    return lambda rows: by_seed(rows, measure, arm=arm)


def guess(rows: Sequence[Row]) -> dict[int, float]:
    """The loss of a guess."""
    return dict.fromkeys(by_seed(rows, "loss"), math.log(10))


CLAIMS = (
    Identity(
        claim="response-variance",
        measure="over_law",
        expected=1.0,
        tolerance=0.1,
        unit="factor of a layer over the law's 1/2 or 1, mean of many nets",
    ),
    Comparison(
        claim="thirty-layers",
        idea="he, deep",
        rival="xavier, deep",
        measure="test_error",
        better="lower",
        margin=30.0,
        because="half of what Fig. 3 gains over a guess: 38.56 % against 99.9 %",
        unit="% test error, 30 layers",
    ),
    Alike(
        claim="xavier-stalls",
        idea=of("xavier, deep", "loss"),
        rival=guess,
        control=(of("he, deep", "loss"), guess),
        better="lower",
        margin=0.05,
        because="a fiftieth of a guess's loss; that of He's net must be further away",
        unit="training cross-entropy, 30 layers, against a guess",
    ),
    Comparison(
        claim="twenty-two-layers",
        idea="he",
        rival="xavier",
        measure="fallen",
        better="lower",
        scale="ratio",
        margin=1.5,
        because="half as many updates again",
        unit="updates until the test error is 30 points below a guess's",
    ),
    AtMost(
        claim="both-train",
        idea=of("xavier, longer", "test_error"),
        limit=FALLEN,
        because="30 points below a guess, as for thirty-layers",
        unit="% test error, 22 layers",
    ),
    Identity(
        claim="prelu-gradient",
        measure="prelu_gap",
        where={"judged": True},
        tolerance=1e-9,
        unit="largest relative difference of a trained net's gradient from that through nn.PReLU",
    ),
    Comparison(
        claim="prelu-fits",
        idea="prelu",
        rival="relu",
        measure="loss",
        better="lower",
        margin=0.01,
        because="a hundredth of a nat; the paper gives no training loss",
        unit="training cross-entropy, 14 layers",
    ),
    Comparison(
        claim="prelu-error",
        idea="prelu",
        rival="relu",
        measure="test_error",
        better="lower",
        scale="ratio",
        margin=1.018,
        because="half of the share of errors saved in Table 2, 33.82 to 32.64 %",
        unit="% test error, 14 layers",
    ),
    Comparison(
        claim="coefficients",
        idea=of("prelu", "a_first"),
        rival=of("prelu", "a_later"),
        better="higher",
        margin=0.07,
        because="half of what lies between 0.596 and the greatest of the later ones, 0.46",
        unit="mean slope of the first layer against the later ones",
    ),
)


def forward(f: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], AbstractContextManager[object]]:
    return lambda: patch.object(PReLU, "forward", lambda self, y: f(y, self.a))


def no_gradient() -> AbstractContextManager[object]:
    wrong = staticmethod(lambda ctx, gradient: (gradient, torch.zeros_like(ctx.saved_tensors[1])))
    return patch.object(Parametric, "backward", wrong)


BROKEN: Broken = {
    "response-variance": lambda: patch.dict(GAIN, he=1.0),
    "thirty-layers": lambda: patch.dict(GAIN, he=1.0),
    "xavier-stalls": lambda: patch.dict(GAIN, xavier=2.0),
    "twenty-two-layers": lambda: patch.dict(GAIN, he=1.0),
    "both-train": lambda: patch.dict(GAIN, xavier=0.3),
    "prelu-gradient": no_gradient,
    "prelu-fits": forward(lambda y, a: y.clamp(min=0)),
    "prelu-error": forward(lambda y, a: y.clamp(min=0)),
    "coefficients": forward(lambda y, a: Parametric.apply(y, a.detach())),
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float = 0.0
) -> Iterator[TrialEvent]:
    if arm == "laws":
        yield from laws(cfg, seed)
        return
    kind, _, how = arm.partition(", ")
    layers = cfg.deep if how == "deep" else cfg.less_deep if kind in GAIN else cfg.small
    updates = cfg.longer if how == "longer" else cfg.updates
    data = handwriting(cfg.data).to(device)
    split = standardize(draw_split(data, cfg.n, cfg.validation, seed))
    x, y = split.x_train[:200], split.y_train[:200]
    gain = GAIN.get(kind, 2 / (1 + cfg.a**2) if kind == "prelu" else 2.0)  # Eqs. 10 and 15
    unit = (lambda H: PReLU(H, cfg.a)) if kind == "prelu" else (lambda H: nn.ReLU())
    model = net([x.shape[1], *[cfg.H] * (layers - 1), 10], gain, unit).to(device)
    if how == "deep" and seed == cfg.seed:
        yield Arrays(sizes(model, x, y))
    result: Row = dict(data=data.name)
    result |= yield from learn(model, split, cfg, seed, lr, updates)
    if kind == "prelu":
        slopes = torch.stack([unit.a.detach() for unit in model if isinstance(unit, PReLU)])
        yield Arrays({"slopes": slopes})  # [L - 1, H]
        result |= dict(a_first=slopes[0].mean().item(), a_later=slopes[1:].mean().item())
        result["prelu_gap"] = gradient_gap(model, nn.Sequential(*map(torchs_own, model)), x, y)
    yield result


def learn(
    model: nn.Sequential, split: Split, cfg: Config, seed: int, lr: float, updates: int
) -> Generator[TrialEvent, None, Row]:
    """Sec. 3: momentum, and weight decay for everything but a."""
    x, y = split.x_train, split.y_train
    slopes = [p for name, p in model.named_parameters() if name.endswith(".a")]
    weights = [p for name, p in model.named_parameters() if not name.endswith(".a")]
    groups: list[dict[str, Any]] = [
        dict(params=weights, weight_decay=cfg.decay),
        {"params": slopes},
    ]
    optimizer = torch.optim.SGD(groups, lr, cfg.momentum, fused=True)
    every, n = -(-updates // 25), len(split.x_val)
    at = torch.randperm(len(split.x_test), generator=generator(seed, "test"))[:n]
    fallen = {"val_fallen": updates + every, "fallen": updates + every}
    budget = dict(batch=cfg.batch, updates=updates, seed=seed)
    for step, loss in descend(lambda x, y: F.cross_entropy(model(x), y), optimizer, x, y, **budget):
        if step % every == 0 or step == updates:
            val = error(model, split.x_val, split.y_val)
            test = error(model, split.x_test[at], split.y_test[at])
            for name, now in (("val_fallen", val), ("fallen", test)):
                fallen[name] = min(fallen[name], step) if now <= FALLEN else fallen[name]
            yield dict(step=step, loss=loss.item(), error=test)
    test = error(model, split.x_test, split.y_test)
    train_loss = F.cross_entropy(model(x[:500]), y[:500]).item()
    return dict(loss=train_loss, val_error=val, test_error=test, **fallen)


def laws(cfg: Config, seed: int, H: int = 128) -> Iterator[Row]:
    """Both sides of Eq. 15, as four layers measure them."""

    def layers(name: str, a: float) -> nn.Module:
        return nn.Sequential(net([H] * 5, GAIN[name], lambda H: PReLU(H, a)), PReLU(H, a))

    for (name, a), law in LAW.items():
        factors = growth(partial(layers, name, a), H, 4, cfg.nets, generator(seed, "laws"))
        for side, factor in factors.items():
            yield dict(net=name, slope=a, side=side, over_law=factor / law)


def torchs_own(module: nn.Module) -> nn.Module:
    if isinstance(module, PReLU):
        twin = nn.PReLU(len(module.a))
        twin.weight = module.a
    return twin if isinstance(module, PReLU) else module


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    handwriting(cfg.data)  # read once, for the processes of all trials
    rows: list[Row] = []
    events = run_protocol(trial, cfg, (LAWS, DEEP, LESS_DEEP, LONGER, SMALLER), device)
    chosen = yield from keep_rows(events, rows)
    yield drawing.scale({one.arm: one.tensors for one in chosen if "responses" in one.tensors})
    yield drawing.learning(rows)
    yield drawing.coefficients([one.tensors["slopes"] for one in chosen if one.arm == "prelu"])


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
