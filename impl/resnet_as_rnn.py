"""Bridging the gaps between residual learning, recurrent neural networks and visual cortex.

Liao & Poggio, CBMM Memo 47, arXiv:1604.03640, 2016.

Claims      same-outputs         a residual net whose blocks share their weights *is* a recurrent
                                 net: the trained net and its unrolled copy give the same
            same-gradient        the recurrent net's gradient, back-propagated through time, is the
                                 sum of the gradients of the unrolled copies
            parameters           with shared weights the kernels do not grow with depth (Abstract)
            similar-performance  the shared net makes about as many test errors as the one with
                                 weights of its own in each block (Abstract)
Deviations  1  the paper's training settings were not found: those of He et al. (2015) are used
            2  `quick` and `full`: smaller nets, fewer and smaller images, few updates, no
               augmentation; each net takes its rate by validation errors
            3  each step has its own batch normalization; only the convolutions are shared
            4  three stages for three map sizes; the block that enters a smaller map is run once
            5  similar-performance must fail for a net of 14 layers with as many parameters as the
               shared one; if that is alike, too, the experiment cannot tell
Left out    feedback from later to earlier stages, inputs that change with time, ImageNet, cortex
Shapes      B images, C channels, H x W pixels, T steps; n blocks a stage, 6n + 2 layers
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import resnet_as_rnn as drawing
from impl.kit import (
    Alike,
    Arrays,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    cifar,
    judge,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.data import photographs
from impl.kit.supervised import error

convolution = partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)


def increment(h: Tensor, norms: Sequence[nn.Module], kernels: Sequence[nn.Module]) -> Tensor:
    """K, what a step adds to the state: twice normalize, rectify, convolve."""
    for norm, kernel in zip(norms, kernels, strict=True):
        h = kernel(F.relu(norm(h)))
    return h


class Block(nn.Module):
    """One block of a residual net: h + K(h). [B, C_in, H, W] -> [B, C, H / stride, W / stride]"""

    def __init__(self, C_in: int, C: int, stride: int = 1):
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(C_in), nn.BatchNorm2d(C)])
        self.kernels = nn.ModuleList([convolution(C_in, C, stride=stride), convolution(C, C)])
        self.stride, self.new_channels = stride, C - C_in

    def forward(self, h: Tensor) -> Tensor:
        kept = h[..., :: self.stride, :: self.stride]  # where maps shrink: every other pixel,
        shortcut = F.pad(kept, (0, 0, 0, 0, 0, self.new_channels))  # and zeros for new channels
        return shortcut + increment(h, [*self.norms], [*self.kernels])


class Recurrent(nn.Module):
    """h_0 = x, h_t = h_{t-1} + K(h_{t-1}), and K has the same kernels at every step.

    Each step has its own normalization. More `copies` of the kernels take the idea out.
    """

    def __init__(self, C: int, T: int, copies: int = 1):
        super().__init__()
        self.C, self.T = C, T
        pairs = [nn.ModuleList([nn.BatchNorm2d(C), nn.BatchNorm2d(C)]) for _ in range(T)]
        self.norms = nn.ModuleList(pairs)
        kernels = [nn.ModuleList([convolution(C, C), convolution(C, C)]) for _ in range(copies)]
        self.kernels = nn.ModuleList(kernels)

    def increment(self, h: Tensor, t: int) -> Tensor:
        norms, kernels = self.norms[min(t, self.T - 1)], self.kernels[t % len(self.kernels)]
        return increment(h, [*norms], [*kernels])  # type: ignore[misc]

    def forward(self, h: Tensor, more: int = 0) -> Tensor:
        """Runs `more` steps than in training, or fewer."""
        for t in range(self.T + more):
            h = h + self.increment(h, t)
        return h


class Net(nn.Module):
    """Three stages, two of which begin with smaller maps: [B, channels, H, W] -> [B, 10]"""

    def __init__(self, layers: int, width: int = 16, channels: int = 3, *, shared: bool):
        super().__init__()
        n, C = (layers - 2) // 6, (width, 2 * width, 4 * width)
        self.stem = convolution(channels, width)
        self.enter = nn.ModuleList([nn.Identity(), Block(C[0], C[1], 2), Block(C[1], C[2], 2)])
        self.stages = nn.ModuleList(
            Recurrent(c, T) if shared else nn.Sequential(*(Block(c, c) for _ in range(T)))
            for c, T in zip(C, (n, n - 1, n - 1), strict=True)
        )
        self.norm, self.head = nn.BatchNorm2d(C[-1]), nn.Linear(C[-1], 10)

    def classify(self, h: Tensor) -> Tensor:
        logits: Tensor = self.head(F.relu(self.norm(h)).mean((2, 3)))
        return logits

    def forward(self, x: Tensor, more: int = 0) -> Tensor:
        h = self.stem(x)
        for enter, stage in zip(self.enter, self.stages, strict=True):
            h = stage(enter(h), more) if more else stage(enter(h))
        return self.classify(h)


def unroll(net: Net) -> Net:
    """The recurrent net as a residual net: each step a block, with a copy of the shared kernels."""
    residual = deepcopy(net)
    for i, stage in enumerate(net.stages):
        blocks = [Block(stage.C, stage.C) for _ in stage.norms]  # type: ignore
        for t, block in enumerate(blocks):
            block.norms = deepcopy(stage.norms[t])  # type: ignore
            block.kernels = deepcopy(stage.kernels[t % len(stage.kernels)])  # type: ignore
        residual.stages[i] = nn.Sequential(*blocks)
    return residual


def through_time(stage: Recurrent, x: Tensor, d: Tensor) -> list[Tensor]:
    """dE/dW by hand: back-propagation through the T steps, from d_T = dE/dh_T.

    dE/dW is the sum over t of (dK(h_{t-1})/dW)' d_t, and d_{t-1} = d_t + (dK/dh_{t-1})' d_t: the
    identity carries the error back undiminished.
    """
    weights, states = list(stage.kernels.parameters()), [x]
    with torch.no_grad():
        for t in range(stage.T):
            states.append(states[t] + stage.increment(states[t], t))
    gradient = [torch.zeros_like(w) for w in weights]
    for t in reversed(range(stage.T)):
        before = states[t].detach().requires_grad_()
        k, of = stage.increment(before, t), [before, *weights]
        back, *parts = torch.autograd.grad(k, of, d, materialize_grads=True)
        gradient = [g + part for g, part in zip(gradient, parts, strict=True)]
        d = d + back
    return gradient


def equivalence(net: Net, x: Tensor, y: Tensor) -> dict[str, float]:
    """The largest relative differences between the trained net and its unrolled copy."""
    net = deepcopy(net).eval().double()
    residual = unroll(net)
    logits = residual(x)
    F.cross_entropy(logits, y).backward()
    h, inputs, states, gaps = net.stem(x), [], [], []
    for enter, stage in zip(net.enter, net.stages, strict=True):
        inputs.append(enter(h))
        h = stage(inputs[-1])
        states.append(h)
    errors = torch.autograd.grad(F.cross_entropy(net.classify(h), y), states)
    for stage, blocks, start, d in zip(net.stages, residual.stages, inputs, errors, strict=True):
        gradient = through_time(stage, start, d)  # type: ignore[arg-type]
        copies = [[p.grad for p in block.kernels.parameters()] for block in blocks]  # type: ignore
        summed = [torch.stack(same).sum(0) for same in zip(*copies, strict=True)]
        gaps += [gap(a, b) for a, b in zip(gradient, summed, strict=False)]
    return dict(output_gap=gap(net.classify(h), logits), gradient_gap=max(gaps))


def gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max() / b.detach().abs().max())


@dataclass(frozen=True)
class Config:
    data: str = "cifar10"  # Abstract
    n: int = 45_000  # ours, as He et al. (2015): training images
    validation: int = 5_000  # same
    side: int = 32  # the data's own: pixels; smaller is averaged down
    width: int = 16  # ours, as He et al.: filters of the first maps, then twice and four times
    layers: int = 56  # same: 6n + 2
    shallow: int = 14  # ours: has about as many parameters as the shared net
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
    PAPER, data="cifar10-subset", n=8_000, validation=2_000, side=16, width=8,
    lrs=(0.03, 0.1, 0.3), batch=64, updates=2_000, augment=False,
)  # fmt: skip
QUICK = replace(
    FULL, data="digits", n=1_000, validation=250, side=8, layers=32, batch=32, updates=80, seeds=8
)  # fmt: skip
SMOKE = replace(QUICK, n=200, width=4, layers=14, shallow=8, lrs=(0.04,), updates=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(arms=("shared", "own", "own-shallow"), grid={"lr": "lrs"})

CLAIMS = (
    Identity(
        claim="same-outputs",
        measure="output_gap",
        tolerance=1e-10,
        unit="largest relative difference of an output",
    ),
    Identity(
        claim="same-gradient",
        measure="gradient_gap",
        tolerance=1e-10,
        unit="largest relative difference of a gradient",
    ),
    Identity(
        claim="parameters",
        measure="growth",
        tolerance=0,
        unit="weights of kernels more than with 20 layers",
    ),
    Alike(
        claim="similar-performance",
        idea="shared",
        rival="own",
        control=("own-shallow", "own"),
        measure="test_error",
        better="lower",
        margin=0.89,
        because="half of what 36 of 56 layers are worth in He et al. (2015), 8.75 to 6.97",
        unit="% test error",
    ),
)


def redraw_kernels() -> AbstractContextManager[object]:
    """The unrolled net's blocks do not share: each draws its kernels anew."""

    def unroll_anew(net: Net, original: Callable[[Net], Net] = unroll) -> Net:
        residual = original(net)
        cifar.init_weights(residual.stages)
        return residual

    return patch(f"{__name__}.unroll", unroll_anew)


def truncate_gradient() -> AbstractContextManager[object]:
    """The error is not carried back: only the last step's part of the gradient is left."""

    def last_step(stage: Recurrent, x: Tensor, d: Tensor) -> list[Tensor]:
        last = stage.increment(stage(x, -1).detach(), stage.T - 1)
        return list(torch.autograd.grad(last, list(stage.kernels.parameters()), d))

    return patch(f"{__name__}.through_time", last_step)


def share_nothing() -> AbstractContextManager[object]:
    """Each step of the recurrent net has kernels of its own."""
    shared = Recurrent
    return patch(f"{__name__}.Recurrent", lambda C, T: shared(C, T, copies=T))


def cut_identity() -> AbstractContextManager[object]:
    """h_t = K(h_{t-1}): an ordinary recurrent net, without the shortcut from step to step."""
    K = Recurrent.increment
    return patch.object(Recurrent, "increment", lambda self, h, t: K(self, h, t) - h)


BROKEN: Broken = {
    "same-outputs": redraw_kernels,
    "same-gradient": truncate_gradient,
    "parameters": share_nothing,
    "similar-performance": cut_identity,
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:  # fmt: skip
    numbers = dict(side=cfg.side, n=cfg.n, validation=cfg.validation, seed=seed)
    split = cifar.load(cfg.data, device, **numbers)
    layers = cfg.shallow if arm == "own-shallow" else cfg.layers
    net = Net(layers, cfg.width, split.x_train.shape[1], shared=arm == "shared")
    cifar.init_weights(net)
    net.to(device)
    yield from cifar.train(
        net, split, lr, seed, updates=cfg.updates, batch=cfg.batch, momentum=cfg.momentum,
        weight_decay=cfg.weight_decay, augmented=cfg.augment,
    )  # fmt: skip
    net.eval()
    x, y = split.x_test, split.y_test
    result: Row = dict(
        val_error=error(net, split.x_val, split.y_val),
        test_error=error(net, x, y),
        parameters=sum(p.numel() for p in net.parameters()),
        data=photographs(cfg.data).name,
    )
    if arm == "shared":
        result |= equivalence(net, split.x_val[:20].double(), split.y_val[:20])
        read = [error(partial(net, more=more), x, y) for more in range(-3, 4)]
        yield Arrays({"read_error": torch.tensor(read)})
        net = unroll(net)
    if seed == cfg.seed and arm != "own-shallow":
        yield Arrays(drawing.states(net, x[:50]))
    yield result


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    with torch.device("meta"):  # shapes without numbers
        nets = {layers: Net(layers, shared=True) for layers in (20, 56, 110, 1202)}
    kernels = {n: sum(p.numel() for p in nets[n].parameters() if p.dim() == 4) for n in nets}
    for layers, count in kernels.items():
        yield dict(counted=layers, kernels=count, growth=count - kernels[20])
    photographs(cfg.data)  # read once, before there are several processes
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    yield from drawing.figures(chosen, range(-3, 4))


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
