"""Understanding the difficulty of training deep feedforward neural networks. Glorot & Bengio, 2010.

Claims      variance-law       a layer of linear units multiplies variances by n Var[W], both ways:
                               1/3 with standard weights, 1 with normalized ones (Eqs. 5, 6, 15)
            gradient-ratio     at the start, gradients shrink less with the normalized ones (Fig. 7)
            jacobian           the layers' Jacobians have larger mean singular values (Sec. 4.2.2)
            weight-gradients   with the standard weights, gradients of weights keep their size, all
                               the same (Eq. 14, Fig. 8)
            tanh-faster        tanh nets learn faster from the normalized weights (Fig. 12)
            softsign-robust    softsign nets depend less on the initialization (Sec. 5)
            sigmoid-saturates  the top hidden layer of sigmoid units is soon pushed towards 0, the
                               others are not (Fig. 2)
Deviations  1  of the paper's data only the handwriting of Sec. 2.2
            2  speed is the mean test error over a training; Table 1's final errors are not judged
            3  sigmoid nets, whose layers are compared, have one rate; fewer units, updates and
               images, except in `paper`
Left out    Shapeset-3 x 2, CIFAR-10, Small-ImageNet, the quadratic cost (Fig. 5), pre-training
Shapes      B images, D pixels, H units in each of L hidden layers, C classes, K images watched
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import xavier_init as drawing
from impl.kit import (
    Alike,
    Arrays,
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
from impl.kit.supervised import descend, error, standardize
from impl.kit.variances import growth


def standard_(W: Tensor) -> None:
    """Eq. 1: U[-1/sqrt(n), 1/sqrt(n)] for n inputs, whose n Var[W] is 1/3. W: [outputs, n]"""
    limit = W.shape[1] ** -0.5
    nn.init.uniform_(W, -limit, limit)


def normalized_(W: Tensor) -> None:
    """Eq. 16: the variance 2 / (inputs + outputs) nearly lets both ways keep their size."""
    limit = (6 / (W.shape[0] + W.shape[1])) ** 0.5
    nn.init.uniform_(W, -limit, limit)


INITIALIZE = {"normalized": normalized_, "standard": standard_}
UNITS = dict(tanh=nn.Tanh, softsign=nn.Softsign, sigmoid=nn.Sigmoid)  # Sec. 2.3


class Net(nn.Module):
    """L hidden layers of H units and a softmax, with biases of zero at first (Sec. 2.3)."""

    def __init__(self, sizes: Sequence[int], unit: str, initialization: str):
        super().__init__()
        self.unit = UNITS[unit]()
        self.layers = nn.ModuleList(nn.Linear(n, n_next) for n, n_next in pairwise(sizes))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        for W in self.weights():
            INITIALIZE[initialization](W)

    def weights(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.parameters() if parameter.ndim == 2]

    def forward(self, x: Tensor) -> Tensor:
        """[B, D] -> logits [B, C]"""
        return self.watched(x)[0]

    def watched(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Logits, and of the hidden layers the arguments s and the activations z, [B, H] each."""
        s, z = [], [x]
        for layer in self.layers[:-1]:
            s.append(layer(z[-1]))  # Sec. 4.2.1: s = z W + b
            z.append(self.unit(s[-1]))  # z = f(s)
        return self.layers[-1](z[-1]), s, z[1:]


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. 2.2; `auto` is MNIST where it can be had, else scikit-learn's digits
    n: int = 50_000  # same: training images
    validation: int = 10_000  # same: to choose the rate
    L: int = 5  # Sec. 2.3: hidden layers, of tanh and softsign units
    L_sigmoid: int = 4  # Fig. 2: the depth at which sigmoid units get away in the end
    H: int = 1_000  # Sec. 2.3
    units: tuple[str, ...] = ("tanh", "softsign")  # Fig. 12
    lrs: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)  # ours: the grid
    batch: int = 10  # Sec. 2.3
    updates: int = 5_000_000  # Sec. 2.3
    rate_sigmoid: float = 0.3  # ours: here layers of one net are compared, not nets
    updates_sigmoid: int = 5_000_000  # Sec. 2.3
    records: int = 100  # ours: points of a curve, over which the test error is averaged
    tested: int = 10_000  # ours: test images for a point, drawn by the seed
    K: int = 300  # Fig. 2
    nets: int = 400  # ours: nets drawn for the variances
    seeds: int = 5  # ours: how many repetitions
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, n=10_000, validation=1_000, H=256, updates=6_000, updates_sigmoid=10_000)
SMALL = replace(FULL, data="auto", n=1_000, validation=400, H=128, nets=64, seeds=6)
WIDE = replace(SMALL, lrs=(0.01, 0.03, 0.1, 0.3, 1.0))
QUICK = replace(WIDE, updates=400, updates_sigmoid=600, records=10, tested=500)
TINY = replace(QUICK, data="digits", n=200, validation=100, L=3, L_sigmoid=2, H=16, K=50)
SMOKE = replace(TINY, lrs=(0.03, 0.1), updates=10, updates_sigmoid=20, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

START = Protocol(arms=("normalized", "standard"))  # before any update
LEARNING = Protocol(
    arms=START.arms, conditions={"unit": "units"}, grid={"lr": "lrs"}, select="val_error"
)
SATURATION = Protocol(arms=("sigmoid",))


def gain(unit: str) -> Side:
    """Points of test error that the normalized weights save."""

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        error = {arm: by_seed(rows, "test_error", arm=arm, unit=unit) for arm in START.arms}
        return {seed: e - error["normalized"][seed] for seed, e in error["standard"].items()}

    return by_seeds


def nothing(rows: Sequence[Row]) -> dict[int, float]:
    return dict.fromkeys(by_seed(rows, "weight_change"), 0.0)


CLAIMS = (
    Identity(
        claim="variance-law",
        measure="over_law",
        expected=1.0,
        tolerance=0.1,
        unit="factor of a layer over the law's 1/3 or 1, mean of many nets",
    ),
    Comparison(
        claim="gradient-ratio",
        idea=lambda rows: by_seed(rows, "back_ratio", arm="normalized"),
        rival=lambda rows: by_seed(rows, "back_ratio", arm="standard"),
        better="higher",
        margin=0.25,
        because="a quarter of the way from nothing to a gradient that does not shrink",
        unit="gradient's std at the first hidden layer over the last",
    ),
    Comparison(
        claim="jacobian",
        idea=lambda rows: by_seed(rows, "singular", arm="normalized"),
        rival=lambda rows: by_seed(rows, "singular", arm="standard"),
        better="higher",
        margin=0.15,
        because="half of what lies between the 0.5 and 0.8 of Sec. 4.2.2",
        unit="mean singular value",
    ),
    Alike(
        claim="weight-gradients",
        idea=lambda rows: by_seed(rows, "weight_change", arm="standard"),
        rival=nothing,
        control=(lambda rows: by_seed(rows, "back_change", arm="standard"), nothing),
        better="higher",
        margin=1.0,
        because="a factor of two; the control are the gradients of the units",
        unit="log2 of the weight gradient's std at the second layer over the last hidden one",
    ),
    Comparison(
        claim="tanh-faster",
        idea="normalized",
        rival="standard",
        where={"unit": "tanh"},
        measure="test_error",
        better="lower",
        margin=1.0,
        because="a point of error; at the end Table 1 has 0.12 on MNIST and 11.55 on Shapeset",
        unit="% test error, mean over training",
    ),
    Comparison(
        claim="softsign-robust",
        idea=gain("softsign"),
        rival=gain("tanh"),
        better="lower",
        margin=0.5,
        because="half of the margin of tanh-faster",
        unit="points of test error between the initializations, mean over training",
    ),
    Comparison(
        claim="sigmoid-saturates",
        idea=lambda rows: by_seed(rows, "top", arm="sigmoid"),
        rival=lambda rows: by_seed(rows, "others", arm="sigmoid"),
        better="lower",
        margin=0.25,
        because="half of the way from where sigmoid units start to saturation",
        unit="mean activation of the top hidden layer at its lowest, against the others then",
    ),
)


def always_standard() -> AbstractContextManager[object]:
    return patch.dict(INITIALIZE, normalized=standard_)


BROKEN: Broken = {
    "variance-law": always_standard,
    "gradient-ratio": always_standard,
    "jacobian": always_standard,
    # sigmoid units do not become smaller from layer to layer, so that nothing makes up for it
    "weight-gradients": lambda: patch.dict(UNITS, tanh=nn.Sigmoid),
    "tanh-faster": always_standard,
    "softsign-robust": lambda: patch.dict(UNITS, softsign=nn.Tanh),
    "sigmoid-saturates": lambda: patch.dict(UNITS, sigmoid=nn.Tanh),  # zero is their middle
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, unit: str = "", lr: float = 0.0
) -> Iterator[TrialEvent]:
    data = handwriting(cfg.data).to(device)
    split = standardize(draw_split(data, cfg.n, cfg.validation, seed))
    depth = cfg.L_sigmoid if arm == "sigmoid" else cfg.L
    sizes = [split.x_train.shape[1], *[cfg.H] * depth, 10]
    if arm == "sigmoid":
        yield from saturate(Net(sizes, "sigmoid", "standard").to(device), split, cfg, seed)
    elif unit:
        yield from learn(Net(sizes, unit, arm).to(device), split, cfg, seed, lr)
    else:
        yield dict(data=data.name)
        yield from variances(arm, cfg, seed)
        yield from at_the_start(Net(sizes, "tanh", arm).to(device), split, cfg, seed)


def train(
    model: Net, x: Tensor, y: Tensor, cfg: Config, seed: int, lr: float, updates: int
) -> Iterator[int]:
    """Sec. 2.3: plain stochastic gradient descent; yields the steps to be recorded."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    budget = dict(batch=cfg.batch, updates=updates, seed=seed)
    for step, _ in descend(lambda x, y: F.cross_entropy(model(x), y), optimizer, x, y, **budget):
        if step % -(-updates // cfg.records) == 0 or step == updates:
            yield step


def learn(model: Net, split: Split, cfg: Config, seed: int, lr: float) -> Iterator[TrialEvent]:
    """Ends with the mean errors over the training: how soon they fall is what is judged."""
    order = torch.randperm(len(split.x_test), generator=generator(seed, "test"))[: cfg.tested]
    x_test, y_test = split.x_test[order], split.y_test[order]
    val, test = [], []
    for step in train(model, split.x_train, split.y_train, cfg, seed, lr, cfg.updates):
        val.append(error(model, split.x_val, split.y_val))
        test.append(error(model, x_test, y_test))
        yield dict(step=step, error=test[-1])
    mean: Row = dict(val_error=sum(val) / len(val), test_error=sum(test) / len(test))
    yield mean | dict(final_error=test[-1])


def saturate(model: Net, split: Split, cfg: Config, seed: int) -> Iterator[TrialEvent]:
    """Fig. 2: the mean activation of each hidden layer; the last row is of the top's lowest."""
    x, y, lowest = split.x_train, split.y_train, {"top": 1.0}
    for step in train(model, x, y, cfg, seed, cfg.rate_sigmoid, cfg.updates_sigmoid):
        with torch.no_grad():
            _, _, z = model.watched(x[: cfg.K])
        means = [layer.mean().item() for layer in z]
        yield dict(step=step, **{f"layer_{i}": mean for i, mean in enumerate(means, 1)})
        top, others = means[-1], sum(means[:-1]) / (len(means) - 1)
        if top < lowest["top"]:
            lowest = dict(top=top, others=others, lowest_at=step)
    yield {**lowest}


def variances(arm: str, cfg: Config, seed: int) -> Iterator[Row]:
    """Both sides of the law, as four linear layers of 64 units measure it."""

    def layers() -> nn.Module:
        return nn.Sequential(*Net([64] * 5, "tanh", arm).layers)  # of the net, no units

    law = {"normalized": 1.0, "standard": 1 / 3}[arm]
    factors = growth(layers, 64, 4, cfg.nets, generator(seed, "variances"))
    for side, factor in factors.items():
        yield dict(side=side, over_law=factor / law)


def at_the_start(model: Net, split: Split, cfg: Config, seed: int) -> Iterator[TrialEvent]:
    """Sec. 4.2.2: activations, gradients and Jacobians of a tanh net before any update."""
    logits, s, z = model.watched(split.x_train[: cfg.K])
    loss = F.cross_entropy(logits, split.y_train[: cfg.K])
    gradients = torch.autograd.grad(loss, [*s, *model.weights()])
    back, weight = gradients[: len(s)], gradients[len(s) : -1]
    singular = jacobians(model, z, images=4)
    ratio = float(back[0].std() / back[-1].std())
    of_weights = float(weight[1].std() / weight[-1].std())  # the first layer has other inputs
    if seed == cfg.seed:
        sides = {"activations": torch.stack(z), "gradients": cfg.K * torch.stack(back)}
        yield Arrays(sides | {"singular": singular})
    size: Row = dict(back_ratio=ratio, singular=float(singular.mean()))
    yield size | dict(back_change=math.log2(ratio), weight_change=math.log2(of_weights))


@torch.no_grad()
def jacobians(model: Net, z: list[Tensor], images: int) -> Tensor:
    """Singular values of J = dz'/dz between hidden layers (Eq. 17), of tanh units, [.., H]."""
    values = []
    for W, after in zip(model.weights()[1:-1], z[1:], strict=True):
        slope = 1 - after[:images].square()  # tanh', [images, H]
        values.append(torch.linalg.svdvals((slope[:, :, None] * W).cpu()))
    return torch.stack(values)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    handwriting(cfg.data)  # read once, for the processes of all trials
    rows: list[Row] = []
    events = run_protocol(trial, cfg, [START, LEARNING, SATURATION], device)
    chosen = yield from keep_rows(events, rows)
    pictured = {one.arm: one.tensors for one in chosen if one.tensors}
    yield drawing.histograms(pictured)
    yield drawing.spectrum(pictured)
    yield drawing.learning(rows)
    yield drawing.saturation(rows)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
