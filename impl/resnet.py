"""Deep residual learning for image recognition. He, Zhang, Ren & Sun, arXiv:1512.03385, 2015.

Claims      degradation      a plain net of 56 layers has a higher *training* error than one of 20
            cure             with identity shortcuts 36 more layers do not raise the training error
                             as they do without (Sec. 4.2, Fig. 6)
            depth-helps      a residual net of 56 layers has fewer test errors than one of 20 layers
            small-responses  a residual net's layers respond less than a plain net's (Fig. 7)
            parameters       the nets for CIFAR-10 have as many parameters as Table 6 says
Deviations  1  `quick` and `full`: narrower nets, smaller and fewer images, few updates, no
               augmentation; the plain net of 56 layers hardly trains there, other than in Fig. 6.
               `quick` has so few images that residual nets learn them all (chosen after a look)
            2  the rate is chosen anew for what is judged: by training or by validation errors
            3  small-responses compares the shallow nets, which train both; after few updates the
               gains of batch normalization are still near 1, where they start
            4  `paper` is trained in bfloat16, compiled, and measured in float32
Left out    training of 110 and 1202 layers, training on ImageNet, detection
Shapes      B images, C channels, H x W pixels, n blocks for each of three map sizes: 6n + 2 layers
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import resnet as drawing
from impl.kit import (
    Arrays,
    Comparison,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    by_seed,
    cifar,
    faster,
    judge,
    keep_rows,
    main,
    parallel,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.claims import Side
from impl.kit.data import Split, photographs
from impl.kit.supervised import error

IMAGENET_BLOCKS = {  # Table 1
    18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
}  # fmt: skip
PUBLISHED = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}  # Table 6: millions of parameters


class Block(nn.Module):
    """Eq. 1, y = F(x) + x, with two 3 x 3 layers, or three where it is a bottleneck (Fig. 5).

    `shortcut` is A (zeros for new channels), B (a projection, Eq. 2), or none: a plain net.
    [B, C_in, H, W] -> [B, C_out, H / stride, W / stride]
    """

    def __init__(
        self, C_in: int, C: int, stride: int, *, shortcut: str, bottleneck: bool = False
    ):  # fmt: skip
        super().__init__()
        C_out = 4 * C if bottleneck else C
        if bottleneck:
            layers = [*convolution(C_in, C, 1, stride), nn.ReLU()]
            layers += [*convolution(C, C, 3), nn.ReLU(), *convolution(C, C_out, 1)]
        else:
            layers = [*convolution(C_in, C, 3, stride), nn.ReLU(), *convolution(C, C, 3)]
        self.residual = nn.Sequential(*layers)  # F; the last ReLU comes after the addition
        self.shortcut, self.stride, self.new_channels = shortcut, stride, C_out - C_in
        self.project = nn.Sequential()
        if shortcut == "B" and (stride > 1 or C_out != C_in):
            self.project = nn.Sequential(*convolution(C_in, C_out, 1, stride))  # W_s of Eq. 2

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.residual(x)
        if self.shortcut == "A":  # every other pixel, and zeros: no parameters
            x = x[:, :, :: self.stride, :: self.stride]
            y = y + F.pad(x, (0, 0, 0, 0, 0, self.new_channels))
        elif self.shortcut == "B":
            y = y + self.project(x)
        return F.relu(y)


def convolution(a: int, b: int, k: int, stride: int = 1) -> list[nn.Module]:
    """Sec. 3.4: batch normalization right after each convolution."""
    return [nn.Conv2d(a, b, k, stride, k // 2, bias=False), nn.BatchNorm2d(b)]


def head(C: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(C, classes)]


def cifar_net(
    layers: int, width: int = 16, channels: int = 3, *, shortcut: str = "A"
) -> nn.Sequential:  # fmt: skip
    """Sec. 4.2: 6n + 2 layers; the residual net has exactly the parameters of the plain one."""
    blocks, C_in = [], width
    for i, C in enumerate((width, 2 * width, 4 * width)):
        for j in range((layers - 2) // 6):
            blocks.append(Block(C_in, C, 2 if i and not j else 1, shortcut=shortcut))
            C_in = C
    return nn.Sequential(*convolution(channels, width, 3), nn.ReLU(), *blocks, *head(C_in, 10))


def imagenet_net(layers: int) -> nn.Sequential:
    """Table 1, with projections where the size changes (option B)."""
    blocks, C_in, bottleneck = [], 64, layers >= 50
    for i, count in enumerate(IMAGENET_BLOCKS[layers]):
        C = 64 * 2**i
        for j in range(count):
            stride = 2 if i and not j else 1
            blocks.append(Block(C_in, C, stride, shortcut="B", bottleneck=bottleneck))
            C_in = 4 * C if bottleneck else C
    stem = [*convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, *head(C_in, 1000))


@dataclass(frozen=True)
class Config:
    data: str = "cifar10"  # Sec. 4.2
    n: int = 45_000  # same: training images
    validation: int = 5_000  # same
    side: int = 32  # same: pixels; smaller is averaged down
    width: int = 16  # same: filters of the first maps, then twice and four times as many
    shallow: int = 20  # Fig. 6: layers, 6n + 2
    deep: int = 56  # same
    lrs: tuple[float, ...] = (0.1,)  # Sec. 4.2: a tenth after half and three quarters of updates
    momentum: float = 0.9  # same
    weight_decay: float = 0.0001  # same
    batch: int = 128  # same
    updates: int = 64_000  # same
    augment: bool = True  # same: shifts by up to 4 pixels, mirror images
    bf16: bool = True  # ours: convolutions in bfloat16 while training
    compile: bool = True  # ours: by torch.compile, which takes a minute before the first update
    seeds: int = 5  # Table 6, for its 110-layer net
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(
    PAPER, data="cifar10-subset", n=8_000, validation=2_000, side=16, width=8,
    lrs=(0.03, 0.1, 0.3), updates=2_500, augment=False, bf16=False, compile=False,
)  # fmt: skip
QUICK = replace(
    FULL, data="digits", n=400, validation=250, side=8, batch=32, lrs=(0.005, 0.02, 0.08),
    updates=96,
)  # fmt: skip
SMOKE = replace(QUICK, n=200, width=4, shallow=8, deep=14, lrs=(0.1,), updates=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

ARMS = ("plain-shallow", "residual-shallow", "plain-deep", "residual-deep")
BY_TRAINING = Protocol(arms=ARMS, grid={"lr": "lrs"}, select="train_error")
BY_VALIDATION = Protocol(arms=(ARMS[1], ARMS[3]), grid={"lr": "lrs"})


def added(kind: str) -> Side:
    """Points of training error that the deep net has more than the shallow one."""

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        deep = by_seed(rows, "train_error", arm=f"{kind}-deep")
        shallow = by_seed(rows, "train_error", arm=f"{kind}-shallow")
        return {seed: error - shallow[seed] for seed, error in deep.items()}

    return by_seeds


CLAIMS = (
    Comparison(
        claim="degradation",
        idea="plain-shallow",
        rival="plain-deep",
        where={"selected_by": "train_error"},
        measure="train_error",
        better="lower",
        margin=1.0,
        because="Fig. 6 has no table; one point can be seen in it",
        unit="% training error, the shallow plain net against the deep one",
    ),
    Comparison(
        claim="cure",
        idea=added("residual"),
        rival=added("plain"),
        where={"selected_by": "train_error"},
        better="lower",
        margin=1.0,
        because="as for degradation",
        unit="points of training error that the deeper net has more",
    ),
    Comparison(
        claim="depth-helps",
        idea="residual-deep",
        rival="residual-shallow",
        where={"selected_by": "val_error"},
        measure="test_error",
        better="lower",
        margin=0.89,
        because="half of the gain of Table 6, 8.75 to 6.97",
        unit="% test error",
    ),
    Comparison(
        claim="small-responses",
        idea="residual-shallow",
        rival="plain-shallow",
        where={"selected_by": "train_error"},
        measure="response",
        better="lower",
        margin=0.1,
        because="Fig. 7 has no table; a tenth of 1, where batch normalization starts",
        unit="standard deviation of a layer's response, mean of the layers",
    ),
    Identity(
        claim="parameters",
        measure="rounding",
        tolerance=1.0,
        unit="halves of the last digit that Table 6 prints",
    ),
)


def keep_shortcuts() -> AbstractContextManager[object]:
    """The plain nets have identity shortcuts, too."""
    return patch(f"{__name__}.PLAIN", "A")


def cut_shortcuts() -> AbstractContextManager[object]:
    """The x of F(x) + x is lost: all nets are plain."""
    return patch.object(Block, "forward", lambda self, x: F.relu(self.residual(x)))


def project_shortcuts() -> AbstractContextManager[object]:
    """Where the size changes the shortcut is a projection, which has parameters."""
    return patch(f"{__name__}.IDENTITY", "B")


PLAIN, IDENTITY = "none", "A"  # the shortcuts of the two kinds of net
BROKEN: Broken = {
    "degradation": keep_shortcuts,
    "cure": cut_shortcuts,
    "depth-helps": cut_shortcuts,
    "small-responses": cut_shortcuts,
    "parameters": project_shortcuts,
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:  # fmt: skip
    numbers = dict(side=cfg.side, n=cfg.n, validation=cfg.validation, seed=seed)
    split = cifar.load(cfg.data, device, **numbers)
    kind, size = arm.split("-")
    layers = cfg.deep if size == "deep" else cfg.shallow
    shortcut = IDENTITY if kind == "residual" else PLAIN
    net = cifar_net(layers, cfg.width, split.x_train.shape[1], shortcut=shortcut)
    cifar.init_weights(net)  # the same with and without shortcuts
    net.to(device)
    yield from train(net, split, lr, seed, cfg)
    std = responses(net.eval(), split.x_train[:500])
    yield Arrays({"responses": std})
    if seed == cfg.seed:
        yield Arrays({"maps": first_maps(net, split.x_train[:1])})
    yield dict(
        train_error=error(net, split.x_train, split.y_train),
        val_error=error(net, split.x_val, split.y_val),
        test_error=error(net, split.x_test, split.y_test),
        response=std.mean().item(),
        data=photographs(cfg.data).name,
    )


def train(net: nn.Module, split: Split, lr: float, seed: int, cfg: Config) -> Iterator[Row]:
    """Sec. 4.2. Yields now and then the training error in percent since the last time."""
    optimizer = torch.optim.SGD(net.parameters(), lr, cfg.momentum, weight_decay=cfg.weight_decay)
    milestones = [cfg.updates // 2, cfg.updates * 3 // 4]  # as 32k and 48k of 64k
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones)
    forward = faster(net, split.x_train.device, bf16=cfg.bf16, compile=cfg.compile)
    wrong: list[Tensor] = []
    batches = cifar.batches(split, cfg.batch, seed, augmented=cfg.augment)
    for step, (x, y) in zip(range(1, cfg.updates + 1), batches, strict=False):
        x, y = parallel.part(x), parallel.part(y)  # the paper has two GPUs, too
        logits = forward(x)
        optimizer.zero_grad()
        F.cross_entropy(logits, y).backward()
        parallel.average([w.grad for w in net.parameters() if w.grad is not None])
        optimizer.step()
        schedule.step()
        wrong.append((logits.detach().argmax(1) != y).float().mean())
        if step % -(-cfg.updates // 20) == 0:
            yield dict(step=step, running_error=100 * torch.stack(wrong).mean().item())
            wrong.clear()
    parallel.agree(net)


@torch.no_grad()
def responses(net: nn.Sequential, x: Tensor) -> Tensor:
    """Fig. 7: standard deviation of what each 3 x 3 layer gives after batch normalization."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, y: Tensor) -> None:
        seen.append(y.std((0, 2, 3)).mean())

    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_hook(keep) for norm in norms]
    net(x)
    for hook in hooks:
        hook.remove()
    return torch.stack(seen)


@torch.no_grad()
def first_maps(net: nn.Sequential, x: Tensor) -> Tensor:
    """Four channels after each of the first blocks, which keep the image's size."""
    seen, side = [], x.shape[-1]
    for module in net:
        x = module(x)
        if isinstance(module, Block) and x.shape[-1] == side:
            seen.append(x[0, :4])
    return torch.stack(seen[:9], 1).flatten(0, 1)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    for layers, millions in PUBLISHED.items():
        half_digit = 0.05 if millions >= 1 else 0.005
        for shortcut in (PLAIN, IDENTITY):
            count = sum(p.numel() for p in cifar_net(layers, shortcut=shortcut).parameters())
            rounding = (count / 1e6 - millions) / half_digit
            yield dict(counted=f"{layers}, {shortcut}", parameters=count, rounding=rounding)
    photographs(cfg.data)  # read once, before there are several processes
    rows: list[Row] = []
    experiments = run_protocol(trial, cfg, (BY_TRAINING, BY_VALIDATION), device)
    chosen = yield from keep_rows(experiments, rows)
    by_arm = {arm: [one.tensors for one in chosen if one.arm == arm] for arm in ARMS}
    yield drawing.curves_by_depth(rows, ARMS)
    yield drawing.responses_by_layer(by_arm)
    yield drawing.on_the_way(by_arm)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
