"""Highway Networks. Srivastava, Greff and Schmidhuber, ICML workshop and arXiv 1505.00387, 2015.

Claims      deep-trains      deep highway nets end with far less training loss than plain (Fig. 1)
            depth-hurts      plain nets train worse as they get deeper (Fig. 1)
            no-depth-cost    highway nets don't (Fig. 1)
            carry-or-change  with T = 0 a layer is the identity and its Jacobian is I, with T = 1 it
                             is the plain layer and has its Jacobian (Eqs. 4 and 5)
            starts-carrying  a negative bias lets gates start near carrying (Sec. 2.2)
            same-size        50 blocks have as many weights as 71 plain units (Sec. 3.1)
Deviations  1  fewer images and updates than in the paper, except in `paper`; `quick` has no 20 and
               no 100 layers, and tries tanh alone, with which plain nets did better in trials.
               After so few updates a plain net of 10 layers fits even better than a highway net;
               one of 50 is some 5 times behind, not 100 times like the paper's of 100 layers
            2  a grid of rates instead of 100 random searches; momentum, decay and the gates' bias,
               which the paper searches for, too, are fixed
            3  settings are chosen by the loss on validation images; what is judged is the loss on
               the training images
Left out    Sec. 3.2 and 3.3 of the longer paper (convolutional nets), its study of layers removed
Shapes      B images, D pixels, H units a layer, L layers before the softmax, C classes
"""

import copy
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian
from torch.nn import functional as F

from impl.drawing import highway as drawing
from impl.kit import (
    Arrays,
    Bound,
    Comparison,
    Event,
    Identity,
    NoWorse,
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
from impl.kit.data import draw_split, handwriting
from impl.kit.descent import update
from impl.kit.supervised import standardize

GAIN = {"tanh": 1.0, "relu": 2.0}  # n Var[w]: normalized initialization, by activation
ACTIVATION = {"tanh": torch.tanh, "relu": torch.relu}


def affine(n: int, m: int, gain: float, bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(n, m)
    nn.init.normal_(layer.weight, std=(gain / n) ** 0.5)
    nn.init.constant_(layer.bias, bias)
    return layer


class Plain(nn.Module):
    """Eq. 1: y = H(x). [B, n] -> [B, m]"""

    def __init__(self, n: int, m: int, activation: str):
        super().__init__()
        self.affine = affine(n, m, GAIN[activation])
        self.activation = ACTIVATION[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.affine(x))


class Highway(nn.Module):
    """Eq. 3: y = H(x) T(x) + x (1 - T(x)), with T(x) = sigmoid(W_T x + b_T). [B, H] -> [B, H]"""

    def __init__(self, H: int, activation: str, bias: float):
        super().__init__()
        self.H = Plain(H, H, activation)
        self.T = affine(H, H, 1.0, bias)  # Sec. 2.2: negative, to carry at first

    def gate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.T(x))

    def forward(self, x: Tensor) -> Tensor:
        return torch.lerp(x, self.H(x), self.gate(x))  # x + T (H - x)


def plain_net(D: int, H: int, L: int, activation: str, C: int = 10) -> nn.Sequential:
    """[B, D] -> logits [B, C]"""
    layers = [Plain(D, H, activation), *(Plain(H, H, activation) for _ in range(L - 1))]
    return nn.Sequential(*layers, affine(H, C, 1.0))


def highway_net(D: int, H: int, L: int, activation: str, bias: float, C: int = 10) -> nn.Sequential:
    """Sec. 3.1: the first layer is plain, since it changes the width. [B, D] -> logits [B, C]"""
    layers = (Highway(H, activation, bias) for _ in range(L - 1))
    return nn.Sequential(Plain(D, H, activation), *layers, affine(H, C, 1.0))


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. 3.1; `auto` is MNIST where it can be had, else digits
    n: int = 50_000  # ours: training images
    depths: tuple[int, ...] = (10, 20, 50, 100)  # Sec. 3.1: layers, the first of them plain
    H: int = 50  # Sec. 3.1: blocks in a highway layer
    H_plain: int = 71  # Sec. 3.1: units in a plain layer, for as many weights
    bias: float = -5.5  # ours: of the gates; the middle of -1 to -10, searched in Sec. 3.1
    activations: tuple[str, ...] = ("tanh", "relu")  # Sec. 3.1: the grid
    lrs: tuple[float, ...] = (0.0004, 0.002, 0.01, 0.05, 0.25)  # ours: the grid
    momentum: float = 0.9  # ours: the paper searches for it
    decay: float = 0.1  # ours: the rate ends at this share, exponentially; the paper searches
    batch: int = 100  # ours
    updates: int = 200_000  # ours: 400 epochs
    validation: int = 10_000  # ours: to choose from the grid
    seeds: int = 5  # ours: how many repetitions, each with its own training images
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(
    PAPER, n=5_000, lrs=(0.002, 0.01, 0.05, 0.25), batch=50, updates=750, validation=1_000
)
QUICK = replace(
    FULL, data="auto", n=2_000, depths=(10, 50), activations=("tanh",), updates=170, validation=500
)
TINY = replace(QUICK, data="digits", n=200, depths=(3, 6), lrs=(0.01,), batch=20)
SMOKE = replace(TINY, updates=8, validation=100, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(
    arms=("highway", "plain"),
    grid={"lr": "lrs", "activation": "activations"},
    conditions={"L": "depths"},
    select="val_loss",
)


def loss_at(arm: str, depth: str) -> Side:
    """Training loss of the `deepest` or the `shallowest` nets."""
    return lambda rows: by_seed(rows, "loss", arm=arm, **{depth: True})


CLAIMS = (
    Comparison(
        claim="deep-trains",
        idea="highway",
        rival="plain",
        where={"deepest": True},
        measure="loss",
        better="lower",
        scale="ratio",
        margin=10.0,
        because="half, on a scale of logarithms, of the two orders of magnitude at 100 layers",
        unit="training cross-entropy, the deepest nets",
        worst=math.log(10),
        rival_may_diverge=True,
    ),
    Comparison(
        claim="depth-hurts",
        idea=loss_at("plain", "shallowest"),
        rival=loss_at("plain", "deepest"),
        better="lower",
        scale="ratio",
        margin=10.0,
        because="as for deep-trains",
        unit="training cross-entropy, the shallowest plain nets against the deepest",
        worst=math.log(10),
        rival_may_diverge=True,
    ),
    NoWorse(
        claim="no-depth-cost",
        idea=loss_at("highway", "deepest"),
        rival=loss_at("highway", "shallowest"),
        better="lower",
        scale="ratio",
        margin=2.0,
        because="'similar' in the paper, on an axis of several orders of magnitude",
        unit="training cross-entropy, the deepest highway nets against the shallowest",
        worst=math.log(10),
    ),
    Identity(
        claim="carry-or-change",
        measure="extreme_gap",
        tolerance=1e-12,
        unit="largest difference of a trained layer and its Jacobian, gates forced, from Eqs. 4, 5",
    ),
    Bound(
        claim="starts-carrying",
        measure="gate_at_start",
        expected=0.1,
        unit="mean transform gate before training, every depth; at 1 nothing is carried",
    ),
    Identity(
        claim="same-size",
        measure="size_ratio",
        expected=1.0,
        tolerance=0.005,
        unit="weights of a highway layer over those of a plain layer",
    ),
)  # fmt: skip


def always_changing() -> AbstractContextManager[object]:
    """T = 1 in every layer: plain nets of the highway's width."""
    return patch.object(Highway, "forward", lambda self, x: self.H(x))


def ungated_carry() -> AbstractContextManager[object]:
    """The input is added whole, whatever the gate says."""
    return patch.object(Highway, "forward", lambda self, x: x + self.gate(x) * self.H(x))


BROKEN: Broken = {
    "deep-trains": always_changing,
    "depth-hurts": {"depths": (10, 12)},
    "no-depth-cost": {"bias": 2.0},
    "carry-or-change": ungated_carry,
    "starts-carrying": {"bias": 2.0},
    "same-size": {"H_plain": 50},
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, L: int, lr: float, activation: str
) -> Iterator[TrialEvent]:
    """Sec. 3.1: gradient descent with momentum and a rate that decays exponentially."""
    data = handwriting(cfg.data).to(device)
    split = standardize(draw_split(data, cfg.n, cfg.validation, seed))
    x, y, D = split.x_train, split.y_train, split.x_train.shape[1]
    if arm == "highway":
        model = highway_net(D, cfg.H, L, activation, cfg.bias).to(device)
    else:
        model = plain_net(D, cfg.H_plain, L, activation).to(device)
    result: Row = dict(
        step=cfg.updates,
        data=data.name,
        deepest=max(cfg.depths) == L,
        shallowest=min(cfg.depths) == L,
    )
    if arm == "highway":
        result["gate_at_start"] = mean_gates(model, x[:500]).mean().item()
        result["size_ratio"] = weights(model[1]) / weights(Plain(cfg.H_plain, cfg.H_plain, "tanh"))
    optimizer = torch.optim.SGD(model.parameters(), lr, cfg.momentum, fused=True)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, cfg.decay ** (1 / cfg.updates))
    batches = generator(seed, "batches")
    for step in range(1, cfg.updates + 1):
        at = torch.randint(len(x), (cfg.batch,), generator=batches)
        update(F.cross_entropy(model(x[at]), y[at]), optimizer)
        decay.step()
        if step % -(-cfg.updates // 8) == 0:
            yield dict(step=step, loss=mean_loss(model, x[:500], y[:500]))
    result["val_loss"] = mean_loss(model, split.x_val, split.y_val)
    result["loss"] = mean_loss(model, x, y)
    if arm == "highway":
        result["extreme_gap"] = extreme_gap(model, x[:1])
        if seed == cfg.seed and result["deepest"]:
            yield Arrays({"gates": mean_gates(model, x), "biases": gate_biases(model)})
    yield result


@torch.no_grad()
def mean_loss(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return float(F.cross_entropy(model(x), y))


def weights(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


@torch.no_grad()
def mean_gates(model: nn.Sequential, x: Tensor) -> Tensor:
    """Fig. 2: each transform gate's mean over the images. [L - 1, H]"""
    means = []
    for layer in model:
        if isinstance(layer, Highway):
            means.append(layer.gate(x).mean(0))
        x = layer(x)
    return torch.stack(means)


def gate_biases(model: nn.Sequential) -> Tensor:
    """[L - 1, H]"""
    return torch.stack([each.T.bias.detach() for each in model if isinstance(each, Highway)])


def extreme_gap(model: nn.Sequential, x: Tensor, far: float = 1_000.0) -> float:
    """How far each trained layer, once its gates are all shut or all open, is from Eqs. 4 and 5.

    A bias of +-1,000 drives every sigmoid to exactly 0 or 1. In double precision, for one image.
    """
    model, x = copy.deepcopy(model).cpu().double(), x.cpu().double()
    eye, gaps = torch.eye(model[0](x).shape[1], dtype=x.dtype), []
    for layer in model:
        if isinstance(layer, Highway):
            bias = layer.T.bias.detach().clone()
            transformed = jacobian(layer.H, x, vectorize=True).squeeze()
            for extreme, y, dy_dx in ((-far, x, eye), (far, layer.H(x), transformed)):
                nn.init.constant_(layer.T.bias, extreme)
                gaps.append(layer(x) - y)
                gaps.append(jacobian(layer, x, vectorize=True).squeeze() - dy_dx)
            with torch.no_grad():
                layer.T.bias.copy_(bias)
        x = layer(x).detach()
    return float(torch.stack([gap.abs().max() for gap in gaps]).max())


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    handwriting(cfg.data)  # read once, for the processes of all trials
    rows: list[Row] = []
    chosen = yield from keep_rows(run_protocol(trial, cfg, PROTOCOL, device), rows)
    yield drawing.learning(rows)
    gated = next(one for one in chosen if "gates" in one.tensors)
    yield drawing.gates(gated.tensors["gates"], gated.tensors["biases"], cfg.bias)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
