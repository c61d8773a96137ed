"""Residual networks of residual networks: multilevel residual networks.

Zhang, Sun, Han, Yuan, Guo & Liu, arXiv:1608.02908, 2016; IEEE TCSVT 2018.

Claims      fewer-errors    with three levels of shortcuts a ResNet makes fewer test errors than
                            with one (Abstract)
            shortest-route  from the first maps to the last the shortest route passes one rectifier,
                            without levels 3n
            routes          with residual branches at zero, and padding, signal and gradient pass
                            nine times, without levels once
            parameters      level shortcuts that pad with zeros add no parameters; nets with
                            projections have as many as others counted
Deviations  1  the paper's training settings were not found: those of He et al. (2015) are used
            2  `quick` and `full`: narrower and shallower nets, smaller and fewer images, few
               updates, no augmentation; each net takes its rate by validation errors
            3  the two claims on routes are ours: they say of the architecture what the paper says
               in words; they are asked of nets with padding, whose branches give zero
Left out    stochastic depth, pre-activation and wide nets, four levels and more, ImageNet
Shapes      B images, C channels, H x W pixels; n blocks for each of three map sizes, 6n + 2 layers
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import ror as drawing
from impl.kit import (
    Arrays,
    Comparison,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    cifar,
    judge,
    keep_rows,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.data import Split, photographs
from impl.kit.supervised import error

COUNTS = {  # (layers, levels, shortcuts of the levels, shortcuts of the blocks): parameters
    (110, 1, "A", "A"): 1_727_962,  # He et al. (2015), Table 6: 1.7 million
    (110, 2, "A", "A"): 1_727_962,
    (110, 3, "A", "A"): 1_727_962,
    (50, 3, "C", "B"): 762_746,  # as counted by others (github.com/osmr/imgclsmob, RoR-3-56)
    (104, 3, "C", "B"): 1_637_690,  # same, RoR-3-110: their depths count projections, too
}


class Shortcut(nn.Module):
    """From maps of one shape to another. A: every so many pixels, and zeros for the new channels;
    B: a projection where the shape changes; C: always. [B, C_in, H, W] -> [B, C, H/s, W/s]
    """

    def __init__(self, C_in: int, C: int, stride: int, kind: str):
        super().__init__()
        self.stride, self.new_channels = stride, C - C_in
        project = kind == "C" or (kind == "B" and self.new_channels > 0)
        self.project = nn.Sequential(*convolution(C_in, C, stride, 1)) if project else None

    def forward(self, x: Tensor) -> Tensor:
        if self.project is not None:
            return self.project(x)  # type: ignore[no-any-return]
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))


class Block(nn.Module):
    """The last level's shortcut and residual branch: h(x) + F(x), before the rectifier."""

    def __init__(self, C_in: int, C: int, stride: int, kind: str):
        super().__init__()
        layers = [*convolution(C_in, C, stride), nn.ReLU(), *convolution(C, C)]
        self.residual = nn.Sequential(*layers)
        self.shortcut = Shortcut(C_in, C, stride, kind)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.residual(x) + self.shortcut(x)
        return y


def convolution(a: int, b: int, stride: int = 1, k: int = 3) -> list[nn.Module]:
    return [nn.Conv2d(a, b, k, stride, k // 2, bias=False), nn.BatchNorm2d(b)]


class Net(nn.Module):
    """One level is a ResNet. With two, a root shortcut g_1 spans all blocks; with three, middle
    ones g_2 span those of one map size. [B, channels, H, W] -> [B, 10]
    """

    def __init__(
        self,
        layers: int,
        width: int = 16,
        channels: int = 3,
        *,
        levels: int,
        kind: str,
        last: str = "A",
    ):
        super().__init__()
        n, C = (layers - 2) // 6, (width, width, 2 * width, 4 * width)
        self.n = n
        self.stem = nn.Sequential(*convolution(channels, width), nn.ReLU())
        strides, blocks = (1, 2, 2), []
        for i in range(3):
            blocks.append(Block(C[i], C[i + 1], strides[i], last))
            blocks += [Block(C[i + 1], C[i + 1], 1, last) for _ in range(n - 1)]
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(C[-1], 10)
        middle = [Shortcut(C[i], C[i + 1], strides[i], kind) for i in range(3)]
        self.middle = nn.ModuleList(middle if levels > 2 else [])
        self.root = Shortcut(C[0], C[-1], 4, kind) if levels > 1 else None

    def maps(self, x: Tensor) -> list[Tensor]:
        """From the first maps x_1 to those after each block: x_{l+1} = ReLU(h(x_l) + F(x_l)), with
        the higher levels' shortcuts added where they end.
        """
        maps = [x]
        for k, block in enumerate(self.blocks, 1):
            y = block(maps[-1])
            if k % self.n == 0 and self.middle:
                y = y + self.middle[k // self.n - 1](maps[k - self.n])  # g_2
            if k == 3 * self.n and self.root is not None:
                y = y + self.root(maps[0])  # g_1
            maps.append(F.relu(y))
        return maps

    def classify(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.maps(self.stem(x))[-1])


def trace_routes(n: int, levels: int) -> tuple[float, float, float]:
    """How often the first maps, and the gradient back to them, get through a net whose residual
    branches give zero; and how many rectifiers the shortest of these routes passes.

    For the latter, rectifiers multiply by e: a route that passes k of them brings e^k, and for a
    small e the output grows with e as its least power.
    """
    net = Net(6 * n + 2, 4, levels=levels, kind="A").eval().double()
    for block in net.blocks:
        nn.init.zeros_(block.residual[-1].weight)  # type: ignore[union-attr, index]
    x = torch.rand(2, 4, 8, 8, dtype=torch.double, requires_grad=True)
    y = net.maps(x)[-1][:, :4]
    back = torch.autograd.grad(y.sum(), x)[0][:, :, ::4, ::4]
    signal = (y / x[:, :, ::4, ::4]).mean()
    logs = []
    for e in (1e-4, 1e-3):
        with patch.object(F, "relu", lambda y, e=e, inplace=False: e * y):
            logs.append(net.maps(x)[-1].sum().log10())
    return signal.item(), back.mean().item(), (logs[1] - logs[0]).item()


@dataclass(frozen=True)
class Config:
    data: str = "cifar10"  # Abstract
    n: int = 45_000  # ours, as He et al. (2015): training images
    validation: int = 5_000  # same
    side: int = 32  # the data's own: pixels; smaller is averaged down
    width: int = 16  # ours, as He et al.: filters of the first maps, then twice and four times
    layers: int = 110  # the paper's RoR-3-110: 6n + 2
    levels: int = 3  # same
    shortcut: str = "B"  # ours: of the levels, see Shortcut
    lrs: tuple[float, ...] = (0.1,)  # ours, as He et al.: a tenth after half and three quarters
    momentum: float = 0.9  # same
    weight_decay: float = 0.0001  # same
    batch: int = 128  # same
    updates: int = 64_000  # same
    augment: bool = True  # same
    seeds: int = 5  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(
    PAPER, data="cifar10-subset", n=8_000, validation=2_000, side=16, width=8, layers=56,
    lrs=(0.01, 0.04, 0.16), batch=64, updates=2_000, augment=False, seeds=10,
)  # fmt: skip
QUICK = replace(
    FULL, data="digits", n=1_000, validation=250, side=8, layers=32, batch=32, updates=100, seeds=9
)  # fmt: skip
SMOKE = replace(QUICK, n=200, width=4, layers=14, lrs=(0.04,), updates=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(arms=("RoR", "ResNet"), grid={"lr": "lrs"})

CLAIMS = (
    Comparison(
        claim="fewer-errors",
        idea="RoR",
        rival="ResNet",
        measure="test_error",
        better="lower",
        margin=0.27,
        because="the paper's figure was not found; half of what 54 more layers gain a ResNet in "
        "He et al. (2015), 6.97 to 6.43",
        unit="% test error",
    ),
    Identity(
        claim="shortest-route",
        measure="route_longer",
        tolerance=0.01,
        unit="rectifiers more than expected",
    ),
    Identity(
        claim="routes",
        measure="more_routes",
        tolerance=1e-6,
        unit="times that signal or gradient pass more often than expected",
    ),
    Identity(
        claim="parameters",
        measure="more_parameters",
        tolerance=0,
        unit="parameters more than expected",
    ),
)


def project_all() -> AbstractContextManager[object]:
    """Every shortcut is a projection, which has parameters."""
    init = Shortcut.__init__
    always = lambda self, C_in, C, stride, kind: init(self, C_in, C, stride, "C")  # noqa: E731
    return patch.object(Shortcut, "__init__", always)


BROKEN: Broken = {
    "fewer-errors": {"levels": 1},
    "shortest-route": {"levels": 1},
    "routes": {"levels": 1},
    "parameters": project_all,
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:  # fmt: skip
    numbers = dict(side=cfg.side, n=cfg.n, validation=cfg.validation, seed=seed)
    split = cifar.load(cfg.data, device, **numbers)
    levels, channels = cfg.levels if arm == "RoR" else 1, split.x_train.shape[1]
    net = Net(cfg.layers, cfg.width, channels, levels=levels, kind=cfg.shortcut)
    torch.manual_seed(seed)  # anew: both nets draw the same for what both have
    cifar.init_weights(net)
    net.to(device)
    norms = [gradients(net, split)]
    yield from cifar.train(
        net, split, lr, seed, updates=cfg.updates, batch=cfg.batch, momentum=cfg.momentum,
        weight_decay=cfg.weight_decay, augmented=cfg.augment,
    )  # fmt: skip
    norms.append(gradients(net, split))
    yield Arrays({"gradients": torch.stack(norms)})
    net.eval()
    yield dict(
        val_error=error(net, split.x_val, split.y_val),
        test_error=error(net, split.x_test, split.y_test),
        data=photographs(cfg.data).name,
    )


def gradients(net: Net, split: Split) -> Tensor:
    """The norm of the loss's gradient by the maps after each block, first maps first, [3n + 1]."""
    net.eval()
    maps = net.maps(net.stem(split.x_train[:100]))
    loss = F.cross_entropy(net.classify(maps[-1]), split.y_train[:100])
    norms = torch.stack([back.norm() for back in torch.autograd.grad(loss, maps)])
    net.train()
    return norms


def measure_architecture(cfg: Config) -> Iterator[Row]:
    torch.manual_seed(cfg.seed)
    for levels, routes in ((cfg.levels, 9), (1, 1)):
        for n in (2, 9, 18):
            signal, gradient, shortest = trace_routes(n, levels)
            expected = 3 * n if routes == 1 else 1
            row: Row = dict(levels=levels, blocks=3 * n, route_longer=shortest - expected)
            yield row | dict(more_routes=signal - routes)
            yield row | dict(more_routes=gradient - routes)
    with torch.device("meta"):  # shapes without numbers
        for (layers, levels, kind, last), expected in COUNTS.items():
            net = Net(layers, levels=levels, kind=kind, last=last)
            count = sum(p.numel() for p in net.parameters())
            counted = f"{layers} layers, {levels} levels of {kind} on {last}"
            yield dict(counted=counted, parameters=count, more_parameters=count - expected)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield from measure_architecture(cfg)
    yield drawing.scheme((cfg.layers - 2) // 6)
    photographs(cfg.data)  # read once, before there are several processes
    rows: list[Row] = []
    chosen = yield from keep_rows(run_protocol(trial, cfg, PROTOCOL, device), rows)
    yield drawing.gradients_by_depth(chosen)
    yield drawing.learning(rows, PROTOCOL.arms)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
