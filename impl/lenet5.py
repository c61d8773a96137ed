"""Gradient-based learning applied to document recognition. LeCun, Bottou, Bengio & Haffner, 1998.

Claims      parameters             LeNet-5 has 60,000 trainable parameters (Sec. II-B, Table I)
            beats-fully-connected  fewer test errors than the best fully connected net (Fig. 9)
            shift-robust           of the digits it reads, it misreads fewer when they are shifted
Deviations  1  Adam, not stochastic diagonal Levenberg-Marquardt: both give each weight its own rate
            2  the rates of Sec. III-B times a factor that each net chooses on validation images
            3  the other net minimizes cross-entropy, Eq. 9 without its constant; both nets use f
            4  the ten bitmaps of 7 x 12 are drawn anew; the paper has codes for all printable ASCII
            5  `quick` and `full`: fewer training images and small batches; each seed draws the test
               images. Digits of 8 x 8 are enlarged to 20 x 20
            6  shift-robust is ours, and asks the nets that read digits in their place best
Left out    distorted training images, boosting, the other classifiers of Fig. 9, graph transformers
Shapes      B images, M maps of H x W units, U units of a layer that is not a map
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import lenet5 as drawing
from impl.kit import (
    Arrays,
    Comparison,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    generator,
    judge,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.data import draw_split, handwriting

TABLE_I = [  # which maps of S2 each of the 16 maps of C3 sees
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
]

BITMAPS = """
..###.. ...#... ..###.. .#####. ....##. ####### ..####. ####### ..###.. ..###..
.#...#. ..##... .#...#. #.....# ...#.#. #...... .#...#. ......# .#...#. .#...#.
#.....# .###... #.....# ......# ...#.#. #...... #...... ......# #.....# #.....#
#.....# ...#... ......# ......# ..#..#. #...... #...... .....#. #.....# #.....#
#.....# ...#... ......# .....#. ..#..#. #.###.. #...... .....#. .#...#. #.....#
#.....# ...#... .....#. ..###.. .#...#. ##...#. #.###.. ....#.. ..###.. .#...##
#.....# ...#... ....#.. .....#. .#...#. ......# ##...#. ....#.. .#...#. ..###.#
#.....# ...#... ...#... ......# ####### ......# #.....# ...#... #.....# ......#
#.....# ...#... ..#.... ......# .....#. ......# #.....# ...#... #.....# ......#
#.....# ...#... .#..... ......# .....#. #.....# #.....# ..#.... #.....# ......#
.#...#. ...#... #...... #.....# .....#. .#...#. .#...#. ..#.... .#...#. .#...#.
..###.. .#####. ####### .#####. .....#. ..###.. ..###.. ..#.... ..###.. .####..
"""


def f(a: Tensor) -> Tensor:
    """Eq. 6 with A and S of App. A: f(1) = 1 and f(-1) = -1, where the curvature is largest."""
    return 1.7159 * torch.tanh(2 / 3 * a)


def init_weight(*shape: int, inputs: int | Tensor) -> nn.Parameter:
    """App. A: uniform between -2.4 / F and 2.4 / F, F being the number of inputs of the unit."""
    return nn.Parameter((2 * torch.rand(shape) - 1) * 2.4 / inputs)


class Convolution(nn.Module):
    """C1, C3: a map has a 5 x 5 kernel for each map below that `table` lets it see, no others."""

    def __init__(self, maps_below: int, table: Sequence[tuple[int, ...]]):
        super().__init__()
        self.shape = (len(table), maps_below, 5, 5)
        pairs = torch.tensor([(to, of) for to, seen in enumerate(table) for of in seen]).T
        self.register_buffer("pairs", pairs)
        inputs = 25 * torch.tensor([len(seen) for seen in table])
        self.weight = init_weight(pairs.shape[1], 5, 5, inputs=inputs[pairs[0], None, None])
        self.bias = init_weight(len(table), inputs=inputs)

    def forward(self, x: Tensor) -> Tensor:  # [B, maps_below, H, W] -> [B, M, H - 4, W - 4]
        to, of = self.get_buffer("pairs")
        kernels = x.new_zeros(self.shape).index_put((to, of), self.weight)
        return f(F.conv2d(x, kernels, self.bias))


class Subsampling(nn.Module):
    """S2, S4: the *sum* of 2 x 2 units, times a trainable coefficient, plus a trainable bias."""

    def __init__(self, maps: int):
        super().__init__()
        self.coefficient = init_weight(maps, 1, 1, inputs=4)
        self.bias = init_weight(maps, 1, 1, inputs=4)

    def forward(self, x: Tensor) -> Tensor:  # [B, M, H, W] -> [B, M, H / 2, W / 2]
        return f(self.coefficient * 4 * F.avg_pool2d(x, 2) + self.bias)


class Full(nn.Module):
    """Eq. 5: weighted sums, squashed."""

    def __init__(self, below: int, units: int, squash: bool = True):
        super().__init__()
        self.weight = init_weight(units, below, inputs=below)
        self.bias = init_weight(units, inputs=below)
        self.squash = squash

    def forward(self, x: Tensor) -> Tensor:  # [B, below] -> [B, U]
        a = F.linear(x.flatten(1), self.weight, self.bias)
        return f(a) if self.squash else a


class RBF(nn.Module):
    """Eq. 7: the penalty of a class is the squared distance of F6 from its code, a picture of the
    digit in +1 and -1. The codes are fixed, so they are no parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        columns = zip(*(line.split() for line in BITMAPS.splitlines() if line), strict=True)
        codes = [[1.0 if dot == "#" else -1.0 for dot in "".join(rows)] for rows in columns]
        self.register_buffer("codes", torch.tensor(codes))  # [10, 84]

    def forward(self, x: Tensor) -> Tensor:  # [B, 84] -> [B, 10]
        return (x[:, None] - self.get_buffer("codes")).square().sum(2)


class LeNet5(nn.Sequential):
    """[B, 1, 32, 32] -> penalties [B, 10]"""

    def __init__(self) -> None:
        layers = OrderedDict[str, nn.Module](
            C1=Convolution(1, [(0,)] * 6),
            S2=Subsampling(6),
            C3=Convolution(6, TABLE_I),
            S4=Subsampling(16),
            C5=Full(16 * 5 * 5, 120),  # kernels of 5 x 5 on maps of 5 x 5: a convolution, too
            F6=Full(120, 84),
            output=RBF(),
        )
        super().__init__(layers)


class FullyConnected(nn.Sequential):
    """28 x 28-500-150-10. Its outputs, negated, serve as penalties: [B, 1, 32, 32] -> [B, 10]"""

    def __init__(self, hidden: Sequence[int]):
        widths = [28 * 28, *hidden]
        layers = [Full(below, units) for below, units in pairwise(widths)]
        super().__init__(*layers, Full(widths[-1], 10, squash=False))

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, 2:-2, 2:-2]  # without the border that only LeNet-5 needs
        outputs: Tensor = super().forward(x)
        return -outputs


def penalty_loss(y: Tensor, D: Tensor, j: float) -> Tensor:
    """Eq. 9: the right class's penalty y [B, 10] goes down; the others' go up, if less than j."""
    competing = F.pad(-y, (0, 1), value=-j).logsumexp(1)  # log(exp(-j) + sum_i exp(-y_i))
    return (y.gather(1, D[:, None]).squeeze(1) + competing).mean()


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. III-A; `auto`: MNIST where it can be had, else scikit-learn's digits
    n: int = 59_000  # Sec. III-A: 60,000, here without those for validation
    batch: int = 1  # Sec. III-B: the weights change after each image
    passes: tuple[int, ...] = (2, 3, 3, 4, 8)  # Sec. III-B: 20 passes, in spells of one rate each
    lrs: tuple[float, ...] = (5e-4, 2e-4, 1e-4, 5e-5, 1e-5)  # same: the rate of each spell
    factors: tuple[float, ...] = (0.3, 1.0, 3.0)  # ours, the grid: the rates are times one of these
    hidden: tuple[int, ...] = (500, 150)  # Sec. III-C, Fig. 9: the best fully connected net
    j: float = 1.0  # ours: the constant of Eq. 9
    shift: int = 3  # ours: pixels, each way, in x and in y
    test: int = 10_000  # Sec. III-A: test images; if fewer, drawn by the seed
    validation: int = 1_000  # ours: training images that no net is trained on
    log_every: int = 5_000  # ours: updates between two points of a curve
    seeds: int = 5  # ours: how many repetitions, each with its own training images
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, n=10_000, batch=20, factors=(2.0, 5.0, 12.0, 30.0), log_every=1_000)
QUICK = replace(
    FULL, data="auto", n=1_000, passes=(3, 2, 1, 1, 1), test=1_000, validation=500, log_every=100,
    seeds=7,
)  # fmt: skip
SMOKE = replace(
    QUICK, data="digits", n=40, factors=(4.0,), passes=(1, 1, 1, 1, 1), shift=1, test=20,
    validation=50, log_every=4, seeds=2,
)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(arms=("LeNet-5", "fully connected"), grid={"factor": "factors"})

CLAIMS = (
    Identity(
        claim="parameters",
        measure="parameters",
        where={"arm": "LeNet-5"},
        expected=60_000,
        tolerance=0,
        unit="trainable parameters",
    ),
    Comparison(
        claim="beats-fully-connected",
        idea="LeNet-5",
        rival="fully connected",
        measure="test_error",
        better="lower",
        margin=1.0,
        because="half of the gain of Fig. 9, 2.95 to 0.95",
        unit="% test error",
    ),
    Comparison(
        claim="shift-robust",
        idea="LeNet-5",
        rival="fully connected",
        measure="misread",
        better="lower",
        margin=5.0,
        because="the paper gives no figure; one shifted digit in twenty is plain to see",
        unit="% of the digits read right, misread when shifted by up to 3 pixels",
        ours=True,
    ),
)


def connect_all_maps() -> AbstractContextManager[object]:
    """Each map of C3 sees all of S2, without the paper's connection table."""
    return patch(f"{__name__}.TABLE_I", [tuple(range(6))] * 16)


def scramble_pixels() -> AbstractContextManager[object]:
    """LeNet-5 sees the pixels in a fixed random order: neighbours in a window are none in truth."""

    def forward(self: LeNet5, x: Tensor) -> Tensor:
        order = torch.randperm(32 * 32, generator=generator(0, "order")).to(x.device)
        penalties: Tensor = nn.Sequential.forward(self, x.flatten(2)[..., order].view_as(x))
        return penalties

    return patch.object(LeNet5, "forward", forward)


BROKEN: Broken = {
    "parameters": connect_all_maps,
    "beats-fully-connected": scramble_pixels,
    "shift-robust": scramble_pixels,
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, factor: float
) -> Iterator[TrialEvent]:  # fmt: skip
    data = handwriting(cfg.data).to(device)
    split = draw_split(data, cfg.n, cfg.validation, seed)
    x, D, x_val = frame(split.x_train), split.y_train, frame(split.x_val)
    net = (LeNet5() if arm == "LeNet-5" else FullyConnected(cfg.hidden)).to(device)
    for step, loss in train(net, x, D, factor, cfg, seed):
        yield dict(step=step, loss=loss, val_error=error(net, x_val, split.y_val))
    some = torch.randperm(len(split.x_test), generator=generator(seed, "test"))[: cfg.test]
    x_test, D_test = frame(split.x_test[some.to(device)]), split.y_test[some.to(device)]
    draws = torch.randint(2 * cfg.shift + 1, (2, len(some)), generator=generator(seed, "shifts"))
    right, down = (draws - cfg.shift).to(device)
    wrong = (predict(net, shift(x_test, right, down)) != D_test).float()
    known = (predict(net, x_test) == D_test) & ((right != 0) | (down != 0))
    yield Arrays({"right": right, "down": down, "wrong": wrong})
    if seed == cfg.seed and arm == "LeNet-5":
        yield Arrays(net.state_dict())
    yield dict(
        val_error=error(net, x_val, split.y_val),
        test_error=error(net, x_test, D_test),
        misread=100 * wrong[known].mean().item(),
        parameters=sum(p.numel() for p in net.parameters()),
        data=data.name,
    )


def train(
    net: nn.Module, x: Tensor, D: Tensor, factor: float, cfg: Config, seed: int
) -> Iterator[tuple[int, float]]:  # fmt: skip
    """Sec. III-B. Yields now and then the number of updates and the loss."""
    j = cfg.j if isinstance(net, LeNet5) else torch.inf
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    batches, step = generator(seed, "batches"), 0
    for passes, lr in zip(cfg.passes, cfg.lrs, strict=True):
        optimizer.param_groups[0]["lr"] = factor * lr
        for _ in range(passes):
            for at in torch.randperm(len(x), generator=batches).to(x.device).split(cfg.batch):
                loss = penalty_loss(net(x[at]), D[at], j)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
                if step % cfg.log_every == 0:
                    yield step, loss.item()


@torch.no_grad()
def predict(net: nn.Module, x: Tensor) -> Tensor:  # [B, 1, 32, 32] -> [B]
    return torch.cat([net(part).argmin(1) for part in x.split(250)])  # few, for a CPU's cache


def error(net: nn.Module, x: Tensor, D: Tensor) -> float:
    """Errors in percent."""
    return 100 * (predict(net, x) != D).float().mean().item()


BACKGROUND, INK = -0.1, 1.175  # Sec. II-B: inputs have mean 0 and variance 1, roughly


def frame(x: Tensor) -> Tensor:
    """[B, 1, H, W] in 0..1 -> [B, 1, 32, 32], the digit in the middle, 20 x 20 as in MNIST."""
    if x.shape[-1] == 8:
        x = F.interpolate(x, size=(20, 20), mode="bilinear")
    return BACKGROUND + (INK - BACKGROUND) * F.pad(x, [(32 - x.shape[-1]) // 2] * 4)


def shift(x: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Each image [B, 1, H, W] moved by its own number of pixels [B], with background behind it."""
    moves = zip(x, right.tolist(), down.tolist(), strict=True)
    return torch.stack([F.pad(one, (r, -r, d, -d), value=BACKGROUND) for one, r, d in moves])


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    by_arm = {arm: [trial.tensors for trial in chosen if trial.arm == arm] for arm in PROTOCOL.arms}
    yield drawing.shift_map(by_arm, cfg.shift)
    net = LeNet5()
    net.load_state_dict({name: by_arm["LeNet-5"][0][name] for name in net.state_dict()})
    test = handwriting(cfg.data)
    x, D = frame(test.x_test[:2_000]), test.y_test[:2_000]
    yield from drawing.pictures(net, x, D, predict(net, x))


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
