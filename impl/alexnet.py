"""ImageNet classification with deep convolutional neural networks. Krizhevsky, Sutskever & Hinton, NIPS, 2012.

Claims      parameters                    the published net, cut in two for two cards, has 60 million (abstract)
            relu-faster                   ReLUs reach 25% training error several times sooner than tanh units (Fig. 1)
            no-input-normalization        ReLUs learn from raw intensities, which saturate tanh units (Sec. 3.3)
            overlapping-pooling           pooling 3 x 3 with stride 2 makes fewer test errors than 2 x 2 (Sec. 3.4)
            local-response-normalization  dividing by what neighbouring kernels answer makes fewer (Sec. 3.3)
            dropout                       silencing hidden units at random makes fewer (Sec. 4.2)
            augmentation                  crops, reflections and changed colours make fewer (Sec. 4.1)
Deviations  1  except in `paper` a narrow net of four layers for crops of 28 from 32 pixels, few images and updates
            2  `relu-faster` has intensities of variance 1 and first weights of variance 2 / fan-in, which saturate
               neither unit; `no-input-normalization` has those of Secs. 2 and 5. Fig. 1's own net isn't described
            3  the ablations in `quick` and `full` have scaled intensities too, and so 64^2 times alpha: the same division
            4  each net takes of its rates the best for another seed, the ablated ones by validation images
            5  the rate falls at fixed times, and not when the validation error stops improving
            6  eigenvalues of the colours are those of intensities in 0..1 (Sec. 4.1 gives no unit); grey has one
            7  handwriting isn't mirrored, a reflection doesn't preserve its labels
            8  test errors are of the central patch alone, not of ten patches averaged (Sec. 4.1)
            9  `paper` is trained in bfloat16, compiled, and measured in float32; the race is not
Left out    training on two cards, the one-GPU rival (Sec. 3.2), pre-training on the ImageNet of 2011, averaging nets
Shapes      N nets side by side, B images, C channels, S x S pixels, H hidden units, K classes, n images to train on
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, faster, main, parallel
from impl.kit.data import DataUnavailable, Images, photographs
from impl.kit.figures import PALETTE, canvas, figure


@dataclass(frozen=True)
class Config:
    data: str = "ilsvrc2010"  # Table 1, for the ablations; `auto` is CIFAR-10 where it is, else handwriting
    data_of_race: str = "cifar10"  # Fig. 1; here 10,000 of its 50,000 training images
    n: int = 1_200_000  # Sec. 2: images to train on
    n_of_race: int = 9_000  # ours; Fig. 1 doesn't say
    C: tuple[int, ...] = (96, 256, 384, 384, 256)  # Sec. 3.5: kernels of each convolutional layer
    kernel: tuple[int, ...] = (11, 5, 3, 3, 3)  # same: their sides
    groups: tuple[int, ...] = (1, 2, 1, 2, 2)  # same: 2 for layers that see only the maps on their own card
    stride: int = 4  # same: of the first layer
    padding: int = 2  # ours: of the first layer, makes 55 x 55 of 224 x 224; the others keep the size
    H: tuple[int, ...] = (4096, 4096)  # Sec. 3.5: fully connected layers
    alpha: float = 1e-4  # Sec. 3.3
    scaled: bool = False  # Sec. 2: raw intensities in the ablations; true is Deviation 3
    spread: float = 0.01  # Sec. 5: standard deviation of the first weights; 0 makes it (2 / fan-in)^0.5
    ablate: tuple[str, ...] = ("pooling", "normalization", "dropout", "augmentation")  # Secs. 3.3 to 4.2
    rates: tuple[float, ...] = (0.01,)  # Sec. 5
    rates_scaled: tuple[float, ...] = (0.002, 0.004, 0.008, 0.016, 0.032)  # ours; Fig. 1: chosen for each net
    rates_raw: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # ours
    momentum: float = 0.9  # Sec. 5
    decay: float = 0.0005  # Sec. 5; none in Fig. 1
    batch: int = 128  # Sec. 5
    updates: int = 843_750  # Sec. 5: roughly 90 cycles through 1.2 million images
    target: float = 25.0  # Fig. 1: % training error
    epochs_scaled: int = 40  # ours: who hasn't reached the target by then counts as reaching it then
    epochs_raw: int = 10  # ours
    validation: int = 1_000  # ours: training images that no net is trained on; the paper has 50,000
    bf16: bool = True  # ours: products and convolutions in bfloat16 while training, see Deviation 9
    compile: bool = True  # ours: by torch.compile, which takes a minute before the first update
    seeds: int = 5  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(
    PAPER, data="auto", data_of_race="auto", n=4_000, n_of_race=6_000, C=(16, 32), kernel=(7, 5), groups=(1, 1), stride=2,
    padding=0, H=(64,), alpha=0.4, scaled=True, spread=0.0, rates=(0.01, 0.03), batch=64, updates=1_200,
    bf16=False, compile=False,
)  # fmt: skip
QUICK = replace(FULL, n=1_000, n_of_race=500, ablate=(), rates=(0.03,), batch=32, updates=200, epochs_raw=20)
SMOKE = replace(
    QUICK, data="digits", data_of_race="digits", n=100, n_of_race=100, C=(4, 4), H=(8,), ablate=("augmentation",),
    rates=(0.01,), rates_scaled=(0.01,), rates_raw=(0.001,), updates=4, epochs_scaled=2, epochs_raw=1, validation=100,
    seeds=2,
)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}
ONE_TOWER = replace(PAPER, C=(64, 192, 384, 256, 256), groups=(1, 1, 1, 1, 1))  # the version in common use today
TRIAL = 1_000_003  # the seed that chooses the rates, and nothing else


@dataclass(frozen=True)
class Kind:
    """Which of the paper's ingredients a net has."""

    unit: str = "relu"
    pooling: bool = True
    normalization: bool = True
    dropout: bool = True
    augmentation: bool = True


BARE = Kind(normalization=False, dropout=False, augmentation=False)  # Fig. 1: no regularization of any kind


def normalized(a: Tensor, N: int = 1, alpha: float = 1e-4, n: int = 5, k: float = 2.0, beta: float = 0.75) -> Tensor:
    """Sec. 3.3: each kernel's answer, divided by what n neighbouring kernels answer at the same place. [B, N*C, S, S]"""
    a = a.movedim(1, -1).unflatten(-1, (N, -1))  # [B, S, S, N, C]
    i = torch.arange(a.shape[-1], device=a.device)
    near = ((i[:, None] - i).abs() <= n // 2).to(a)  # [C, C], the sum's limits: there is nothing beyond the last kernel
    divisor: Tensor = (k + alpha * (a.square() @ near)) ** beta
    return (a / divisor).flatten(-2).movedim(-1, 1)


class Nets(nn.Module):
    """N nets side by side: a convolution in N groups keeps them apart, and in 2N groups the halves of each as well."""

    def __init__(self, cfg: Config, kind: Kind, channels: int, K: int, side: int, N: int = 1):
        super().__init__()
        self.cfg, self.kind, self.N = cfg, kind, N
        self.strides = (cfg.stride, *[1] * (len(cfg.C) - 1))
        self.paddings = (cfg.padding, *(k // 2 for k in cfg.kernel[1:]))
        self.W, self.b = nn.ParameterList(), nn.ParameterList()
        S, C_in = side, channels
        for i, (C, k) in enumerate(zip(cfg.C, cfg.kernel, strict=True)):
            self.W.append(torch.empty(N * C, C_in // cfg.groups[i], k, k))
            self.b.append(torch.empty(N * C))
            S, C_in = (S + 2 * self.paddings[i] - k) // self.strides[i] + 1, C
            if self.pools(i):
                S = (S - (3 if kind.pooling else 2)) // 2 + 1
        for m, h in zip((C_in * S * S, *cfg.H), (*cfg.H, K), strict=True):
            self.W.append(torch.empty(N, m, h))
            self.b.append(torch.empty(N, 1, h))

    def pools(self, i: int) -> bool:  # Sec. 3.5: after the first two convolutional layers and the last
        return i < 2 or i == len(self.cfg.C) - 1

    def hidden(self, x: Tensor) -> Tensor:
        """[B, N*C, S, S] -> what the last hidden layer answers, [N, B, H]."""
        unit = torch.relu if self.kind.unit == "relu" else torch.tanh
        layers = len(self.cfg.C)
        for i in range(layers):
            groups = self.N * self.cfg.groups[i]
            x = unit(F.conv2d(x, self.W[i], self.b[i], self.strides[i], self.paddings[i], groups=groups))
            if self.kind.normalization and i < 2:
                x = normalized(x, self.N, self.cfg.alpha)
            if self.pools(i):
                x = F.max_pool2d(x, 3 if self.kind.pooling else 2, stride=2)  # Sec. 3.4
        y: Tensor = x.unflatten(1, (self.N, -1)).flatten(2).transpose(0, 1)  # [N, B, C*S*S]
        for W, b in list(zip(self.W, self.b, strict=True))[layers:-1]:
            y = unit(torch.baddbmm(b, y, W))
            if self.kind.dropout:  # Sec. 4.2
                y = y * (torch.rand_like(y) < 0.5) if self.training else 0.5 * y
        return y

    def forward(self, x: Tensor) -> Tensor:  # logits, [N, B, K]
        return torch.baddbmm(self.b[-1], self.hidden(x), self.W[-1])

    @torch.no_grad()
    def start(self, seeds: list[int]) -> "Nets":
        """Sec. 5. Each seed draws the weights of one net, the same whatever its ingredients."""
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        for i, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            each = W.shape[1:] if W.dim() == 3 else (len(W) // self.N, *W.shape[1:])
            fan_in = each[0] if W.dim() == 3 else W[0].numel()
            drawn = torch.stack([torch.randn(each, generator=draw) for draw in draws]).view(W.shape)
            W.copy_((self.cfg.spread or (2 / fan_in) ** 0.5) * drawn)
            positive = i in (1, 3, 4) or len(self.cfg.C) <= i < len(self.W) - 1  # so that ReLUs get positive inputs
            b.fill_(1.0 if self.cfg.spread and positive and self.kind.unit == "relu" else 0.0)
        return self


class Pictures:
    """Images less the mean of each pixel (Sec. 2); nets see crops of 7/8 of their side, 224 of 256."""

    def __init__(self, data: Images, cfg: Config, n: int, device: torch.device, scaled: bool):
        self.name, self.images, self.device = data.name, data, device
        self.K, self.channels = int(data.y_train.max()) + 1, data.x_train.shape[1]
        self.side, self.margin = data.x_train.shape[-1] * 7 // 8, data.x_train.shape[-1] // 8
        self.mirrored = data.name in ("cifar10", "ilsvrc2010")
        self.validation = min(cfg.validation, len(data.x_train) // 4)
        self.n = min(n, len(data.x_train) - self.validation)
        sample = raw(data.x_train[:10_000])
        self.mean = sample.mean(0).to(device)
        self.scale = 1 / float((sample - sample.mean(0)).std()) if scaled else 1.0
        colours = (sample / 255).transpose(0, 1).flatten(1)  # [C, pixels]
        values, vectors = torch.linalg.eigh(torch.cov(colours).reshape(self.channels, self.channels))
        self.colours = (vectors * values).to(device)  # Sec. 4.1: p_i lambda_i, the columns

    def centred(self, x: Tensor) -> Tensor:
        return (raw(x.to(self.device)) - self.mean) * self.scale

    def middle(self, x: Tensor) -> Tensor:
        m = self.margin // 2
        return x[..., m : m + self.side, m : m + self.side]

    def mine(self, seed: int) -> Tensor:
        """The n images that a seed trains on, [n]."""
        draw = torch.Generator().manual_seed(seed)
        return self.validation + torch.randperm(len(self.images.x_train) - self.validation, generator=draw)[: self.n]

    def augmented(self, x: Tensor, draw: torch.Generator) -> Tensor:
        """Sec. 4.1: a crop at random, its reflection half of the time, other colours; [B, C, S, S] and then smaller."""
        B, S = len(x), x.shape[-1]
        down, across = torch.randint(self.margin + 1, (2, B), generator=draw).to(x.device)
        mirror = torch.randint(2, (B,), generator=draw).bool().to(x.device) & self.mirrored
        alpha = 0.1 * torch.randn(B, self.channels, generator=draw).to(x.device)  # one for all pixels of an image
        at = torch.arange(self.side, device=x.device)
        rows, columns = down[:, None] + at, across[:, None] + torch.where(mirror[:, None], at.flip(0), at)  # [B, side]
        pixels = (rows[:, :, None] * S + columns[:, None, :]).flatten(1)  # [B, side*side]
        crops = x.flatten(2).gather(2, pixels[:, None].expand(-1, self.channels, -1))
        tint = (alpha @ self.colours.T) * 255 * self.scale  # [B, C]
        tinted: Tensor = (crops + tint[:, :, None]).unflatten(2, (self.side, self.side))
        return tinted

    def batches(self, seeds: list[int], B: int, augment: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """For each net its own images, [B, N*C, S, S], and labels [N, B]; each image once an epoch."""
        draws = [torch.Generator().manual_seed(seed + 500_000) for seed in seeds]
        mine = [self.mine(seed) for seed in seeds]
        while True:
            orders = [m[torch.randperm(self.n, generator=draw)] for m, draw in zip(mine, draws, strict=True)]
            for i in range(0, self.n - B + 1, B):
                at = [order[i : i + B].to(self.images.x_train.device) for order in orders]
                x = [self.centred(self.images.x_train[a]) for a in at]
                x = [self.augmented(a, d) for a, d in zip(x, draws, strict=True)] if augment else [*map(self.middle, x)]
                yield side_by_side(x), torch.stack([self.images.y_train[a] for a in at]).to(self.device)


def side_by_side(x: list[Tensor]) -> Tensor:
    return torch.cat(x, 1).contiguous(memory_format=torch.channels_last)  # grouped convolutions on a CPU want it so


def raw(x: Tensor) -> Tensor:
    return x.float() if x.dtype == torch.uint8 else 255 * x


def load(name: str, device: torch.device) -> Images:
    """Photographs or handwriting of 32 x 32 pixels, or ILSVRC-2010 of 256 x 256, which stays on the disk.

    Raises DataUnavailable for ILSVRC-2010 if KB_DATA hasn't got it.
    """
    if name == "ilsvrc2010":
        folder = Path(os.environ.get("KB_DATA", "")) / "ilsvrc2010"
        files = [folder / f"{part}.npy" for part in ("x_train", "y_train", "x_test", "y_test")]
        if not all(file.exists() for file in files):
            raise DataUnavailable(
                f"the 1.2 million images of ILSVRC-2010 are not in {folder}; put them there as x_train.npy and "
                "x_test.npy, bytes [N, 3, 256, 256], with y_train.npy and y_test.npy, or choose data=auto"
            )
        return Images(name, *(torch.from_numpy(np.load(file, mmap_mode="c")) for file in files))
    data = photographs(name)
    x_train, x_test = (
        F.pad(x, (2,) * 4) if x.shape[-1] == 28 else F.interpolate(x, 32) for x in (data.x_train, data.x_test)
    )
    return replace(data, x_train=x_train, x_test=x_test).to(device)


def train(nets: Nets, data: Pictures, seeds: list[int], rates: list[float], decay: float) -> Iterator[int]:
    """Sec. 5, one rate for each net; after every update yields how many there were."""
    torch.manual_seed(seeds[0])  # for the units that are dropped
    cfg, parameters = nets.cfg, [*nets.parameters()]
    velocity = [torch.zeros_like(w) for w in parameters]
    rate = torch.tensor(rates, device=data.device)[:, None]
    answer = faster(nets, data.device, bf16=cfg.bf16, compile=cfg.compile)
    for step, (x, y) in enumerate(data.batches(seeds, min(cfg.batch, data.n), nets.kind.augmentation), 1):
        nets.train()
        x, y = parallel.part(x), parallel.part(y, dim=1)
        loss = F.cross_entropy(answer(x).flatten(0, 1), y.flatten()) * nets.N  # the sum of the nets' losses
        gradients = torch.autograd.grad(loss, parameters)
        parallel.average(gradients)
        with torch.no_grad():
            for w, v, g in zip(parameters, velocity, gradients, strict=True):
                v.mul_(cfg.momentum).view(nets.N, -1).sub_(rate * (g + decay * w).reshape(nets.N, -1))
                w.add_(v)
        yield step
        if decay and step in (cfg.updates * 2 // 3, cfg.updates * 5 // 6):
            rate = rate / 10


@torch.no_grad()
def guesses(nets: Nets, x: Tensor) -> Tensor:
    """Probabilities [N, B, K]; x has the images of each net, [B, N*C, S, S], or those of all, [B, C, S, S]."""
    nets.eval()
    copies = nets.N if x.shape[1] < nets.N * nets.W[0].shape[1] else 1
    return torch.cat([nets(side_by_side([part] * copies)).softmax(2) for part in x.split(250)], 1)


def errors(nets: Nets, x: Tensor, y: Tensor) -> Tensor:
    """In percent, [N]; labels are [N, B] or [B]."""
    return 100 * (guesses(nets, x).argmax(2) != y).float().mean(1).cpu()


def race(
    nets: Nets, data: Pictures, seeds: list[int], rates: list[float], limit: int, enough: int
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Fig. 1: now and then the epoch, the training errors [N], and the epochs to the target [N], if not the limit.

    Ends when `enough` nets are there, or at the limit.
    """
    mine = [data.mine(seed)[:300].to(data.images.x_train.device) for seed in seeds]
    x = side_by_side([data.middle(data.centred(data.images.x_train[m])) for m in mine])
    y = torch.stack([data.images.y_train[m] for m in mine]).to(data.device)
    per_epoch, target = data.n // min(nets.cfg.batch, data.n), nets.cfg.target
    reached = torch.full((len(seeds),), float(limit))
    before, then, following = errors(nets, x, y), 0.0, 1
    yield 0.0, before, reached
    for step in train(nets, data, seeds, rates, decay=0.0):
        if step < following and step < limit * per_epoch:
            continue
        following = step + max(1, min(step // 6, 25))  # often at the start: handwriting takes less than one epoch
        now, epoch = errors(nets, x, y), step / per_epoch
        share = ((before - target) / (before - now).clamp_min(1e-9)).clamp(0, 1)
        between = (then + share * (epoch - then)).clamp_min(1 / per_epoch)
        reached = torch.where((now <= target) & (reached == limit), between, reached)
        before, then = now, epoch
        yield epoch, now, reached
        if (reached < limit).sum() >= enough or epoch >= limit:
            return


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    with torch.device("meta"):  # shapes without numbers
        for name, shape in {"two cards": PAPER, "one tower": ONE_TOWER}.items():
            net = Nets(shape, Kind(), channels=3, K=1000, side=224)
            yield dict(counted=name, parameters=sum(p.numel() for p in net.parameters()))
    racing = load(cfg.data_of_race, device)
    seen = racing if cfg.data == cfg.data_of_race else load(cfg.data, device)
    seeds = list(range(cfg.seed, cfg.seed + cfg.seeds))
    yield from races(cfg, racing, seeds, device)
    yield from ablations(cfg, Pictures(seen, cfg, cfg.n, device, cfg.scaled), seeds)
    yield Progress(1, 1, "done")


def races(cfg: Config, images: Images, seeds: list[int], device: torch.device) -> Iterator[Event]:
    """Fig. 1, with intensities that saturate no unit and with raw ones; the first half of a run."""
    lines: dict[str, list[tuple[float, Tensor]]] = {}
    for inputs, rates, limit in (
        ("scaled", cfg.rates_scaled, cfg.epochs_scaled),
        ("raw", cfg.rates_raw, cfg.epochs_raw),
    ):
        data = Pictures(images, cfg, cfg.n_of_race, device, inputs == "scaled")
        small = replace(cfg if len(cfg.C) == 2 else FULL, spread=0.0 if inputs == "scaled" else 0.01)  # Sec. 5
        for unit in ("relu", "tanh"):
            name, rate = f"{unit}, {inputs}", rates[0]
            for trial in (True, False):
                mine, each = ([TRIAL] * len(rates), list(rates)) if trial else (seeds, [rate] * len(seeds))
                nets = start(small, replace(BARE, unit=unit), data, mine)
                points = []
                enough = len(mine) + 1 if inputs == "raw" else 1 if trial else len(mine)  # the first there is the best
                for epoch, now, reached in race(nets, data, mine, each, limit, enough):
                    points.append((epoch, now, reached))
                    part = (epoch / limit + len(lines) * 2 + (not trial)) / 16
                    yield Progress(min(part, 0.5), 1, f"{name}: {'trying the rates' if trial else f'{len(mine)} nets'}")
                    for seed, e in zip(mine, [] if trial else now.tolist(), strict=False):
                        yield dict(net=name, seed=seed, step=epoch, train_error=e)
                _, now, reached = points[-1]
                ends = reached if inputs == "scaled" else torch.zeros_like(reached)  # by epochs, or by the last error
                rate = min(zip(ends.tolist(), now.nan_to_num(100).tolist(), each, strict=True))[2]
            lines[name] = [(epoch, now) for epoch, now, _ in points]
            for seed, e, after in zip(seeds, now.tolist(), reached.tolist(), strict=True):
                yield dict(
                    net=unit, inputs=inputs, seed=seed, rate=rate, data=data.name, n=data.n, epochs=after,
                    reached=after < limit, last_error=e,
                )  # fmt: skip
    yield draw_race(lines, cfg.target)


def ablations(cfg: Config, data: Pictures, seeds: list[int]) -> Iterator[Event]:
    """The whole net, and without one ingredient at a time; the second half of a run."""
    yield draw_augmentation(data)
    y_test, y_valid = (y.to(data.device) for y in (data.images.y_test, data.images.y_train[: data.validation]))
    x_test = data.middle(data.centred(data.images.x_test))
    x_valid = data.middle(data.centred(data.images.x_train[: data.validation]))
    filters: dict[str, Tensor] = {}
    for part in ("", *cfg.ablate):
        kind, name, rate = Kind(), f"no {part}" if part else "whole", cfg.rates[0]
        if part:
            kind = replace(kind, **{part: False})  # type: ignore[arg-type]
        for trial in (True, False) if len(cfg.rates) > 1 else (False,):
            mine, each = ([TRIAL] * len(cfg.rates), list(cfg.rates)) if trial else (seeds, [rate] * len(seeds))
            nets = start(cfg, kind, data, mine)
            for step in train(nets, data, mine, each, cfg.decay):
                if step % 10 == 0:
                    share = (2 * len(filters) + (not trial) + step / cfg.updates) / (2 * len(cfg.ablate) + 2)
                    yield Progress(
                        0.5 + share / 2, 1, f"{name}: {'trying the rates' if trial else f'{len(mine)} nets'}"
                    )
                if not trial and step % -(-cfg.updates // 12) == 0:
                    for seed, e in zip(mine, errors(nets, x_valid[:250], y_valid[:250]).tolist(), strict=True):
                        yield dict(net=name, seed=seed, step=step, valid_error=e)
                if step == cfg.updates:
                    break
            rate = min(zip(errors(nets, x_valid, y_valid).nan_to_num(100).tolist(), each, strict=True))[1]
        for seed, e in zip(seeds, errors(nets, x_test, y_test).tolist(), strict=True):
            yield dict(net=name, seed=seed, rate=rate, data=data.name, n=data.n, test_error=e)
        learnt = nets.W[0] - start(cfg, kind, data, seeds).W[0]
        filters[name] = learnt.detach().cpu().unflatten(0, (len(seeds), -1))[0]  # [C, channels, k, k]
        if not part:
            yield draw_neighbours(nets, data)
    yield draw_filters({name: f for name, f in filters.items() if name in ("whole", "no normalization")})


def start(cfg: Config, kind: Kind, data: Pictures, seeds: list[int]) -> Nets:
    return Nets(cfg, kind, data.channels, data.K, data.side, len(seeds)).to(data.device).start(seeds)


def draw_race(lines: dict[str, list[tuple[float, Tensor]]], target: float) -> Figure:
    drawn, axes = canvas(1, 2)
    for ax, inputs in zip(axes, ("scaled", "raw"), strict=True):
        for unit, colour in zip(("relu", "tanh"), PALETTE, strict=False):
            points = lines[f"{unit}, {inputs}"]
            for i, line in enumerate(torch.stack([now for _, now in points], 1).tolist()):
                ax.plot([epoch for epoch, _ in points], line, color=colour, linewidth=1, label=None if i else unit)
        ax.axhline(target, color="#808792", linestyle=":", linewidth=1)
        ax.set(title=f"{inputs} intensities", xlabel="epoch", ylim=(0, 100))
        ax.legend(fontsize=8)
    axes[0].set_ylabel("% training error")
    caption = "Training error of ReLUs and of tanh units, each seed a line, each at its best rate (as in Fig. 1)"
    return figure("race", drawn, caption)


def show(ax: Any, images: Tensor, columns: int) -> None:
    """Small images in 0..1, [M, C, S, S], in rows; between them nothing."""
    M, _, S, _ = images.shape
    sheet = torch.ones(-(-M // columns) * columns, 4, S + 1, S + 1)
    sheet[:, 3] = 0.0  # transparent
    sheet[:M, :3, :S, :S] = images.detach().cpu().clamp(0, 1).expand(-1, 3, -1, -1)
    sheet[:M, 3, :S, :S] = 1.0
    grid = sheet.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    ax.imshow(grid.numpy())
    ax.set_axis_off()


def draw_filters(filters: dict[str, Tensor]) -> Figure:
    drawn, axes = canvas(
        1, len(filters), width=3.5 * len(filters), height=0.4 + 0.055 * len(next(iter(filters.values())))
    )
    for ax, (name, f) in zip(axes if len(filters) > 1 else [axes], filters.items(), strict=True):
        show(ax, 0.5 + 0.5 * f / f.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12), columns=8)
        ax.set_title("with response normalization" if name == "whole" else "without")
    return figure("filters", drawn, "What training has added to the first layer's kernels (after Fig. 3)")


def draw_augmentation(data: Pictures) -> Figure:
    draw = torch.Generator().manual_seed(0)
    x = data.images.x_train[data.validation : data.validation + 1]
    seen = data.augmented(data.centred(x).expand(7, -1, -1, -1), draw) / data.scale
    seen = (seen + data.middle(data.mean)) / 255
    tint = torch.randn(7, data.channels, generator=draw).to(data.device) @ data.colours.T  # ten times Sec. 4.1's
    coloured = data.middle(raw(x.to(data.device)) / 255) + tint[:, :, None, None]
    drawn, axes = canvas(2, 1, height=2.6)
    for ax, title, images in zip(axes, ("crops, reflections and colours", "colours alone, ten times as strong"),
                                 (seen, coloured), strict=True):  # fmt: skip
        show(ax, images, columns=7)
        ax.set_title(title)
    return figure("augmentation", drawn, "One picture as the net sees it in seven epochs (Sec. 4.1)")


@torch.no_grad()
def draw_neighbours(nets: Nets, data: Pictures) -> Figure:
    nets.eval()
    pool, asked = data.images.x_train[data.validation :][:2_000], data.images.x_test[:6]
    known, wanted = (
        torch.cat([nets.hidden(side_by_side([data.middle(data.centred(part))] * nets.N))[0] for part in x.split(250)])
        for x in (pool, asked)
    )
    nearest = torch.cdist(wanted, known).argsort(1)[:, :6]  # [6, 6]
    images = torch.cat([asked[:, None], pool[nearest]], 1).flatten(0, 1)
    drawn, axes = canvas(1, 2, height=2.0)
    for ax, part in zip(axes, (images[:21], images[21:]), strict=True):
        show(ax, raw(part) / 255, columns=7)
    caption = "Left of each row a test image, then the six images whose last hidden layer is nearest to its own (as in Fig. 4)"
    return figure("neighbours", drawn, caption)


def check(rows: list[Row]) -> list[Verdict]:
    def epochs(unit: str) -> dict[int, float]:  # of the seeds where one of the two got there
        there = {row["seed"] for row in rows if row.get("inputs") == "scaled" and row["reached"]}
        return {seed: e for seed, e in by_seed(rows, "epochs", net=unit, inputs="scaled").items() if seed in there}

    def last(unit: str) -> dict[int, float]:
        return by_seed(rows, "last_error", net=unit, inputs="raw")

    def gain(claim: str, part: str, margin: float) -> Verdict:
        idea, baseline = (by_seed(rows, "test_error", net=name) for name in ("whole", f"no {part}"))
        return compare(claim, idea, baseline, better="lower", margin=margin, unit="% test error")

    counted = [float(row["parameters"]) for row in rows if row.get("counted") == "two cards"]
    relu, tanh = epochs("relu"), epochs("tanh")
    return [
        exact("parameters", counted, 60_965_224, tolerance=0, unit="parameters"),
        compare("relu-faster", {seed: tanh[seed] / relu[seed] for seed in relu.keys() & tanh.keys()},
                dict.fromkeys(relu, 1.0), better="higher",
                margin=2.0,  # Sec. 3.1 says several times faster: at least three times, half of Fig. 1's six
                unit="times the epochs of ReLUs, to 25% training error"),
        compare("no-input-normalization", last("relu"), last("tanh"), better="lower",
                margin=10.0,  # ours: the paper gives no figure; a ninth of the way from chance to none
                unit="% training error, raw intensities"),
        gain("overlapping-pooling", "pooling", 0.4),  # Sec. 3.4, top 1
        gain("local-response-normalization", "normalization", 1.4),  # Sec. 3.3, top 1; on CIFAR-10 2 points
        gain("dropout", "dropout", 1.0),  # ours: the paper says substantial overfitting, and no figure
        gain("augmentation", "augmentation", 1.0),  # Sec. 4.1: over 1 point, for the colours alone
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
