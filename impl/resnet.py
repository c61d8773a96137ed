"""Deep residual learning for image recognition. He, Zhang, Ren & Sun, arXiv:1512.03385, 2015; CVPR 2016.

Claims      degradation      a plain net of 56 layers has a higher *training* error than one of 20 (Sec. 4.2, Fig. 6 left)
            cure             with identity shortcuts 36 more layers do not raise the training error as they do without (Fig. 6)
            small-responses  the layers of the residual net respond less strongly than those of the plain net (Sec. 4.2, Fig. 7)
            parameters       the nets for CIFAR-10 and ImageNet have as many parameters as Tables 1 and 6 make them have
Deviations  1  except in `paper` the nets are narrower, the images smaller and fewer, and the updates few; no augmentation
            2  except in `paper` each net takes of `rates` the one with the least training error, tried with another seed
            3  `parameters` compares with exact counts, which the paper gives to two digits for CIFAR and not for ImageNet
            4  after few updates `small-responses` measures the plain net's first layers growing, not residual ones shrinking
            5  `paper` is trained in bfloat16, compiled, and measured in float32
Left out    the 110- and 1202-layer nets' training, training on ImageNet, detection
Shapes      B images, C channels, H x W pixels, n blocks for each of three map sizes: 6n + 2 layers
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, faster, main, parallel
from impl.kit.data import Images, digits
from impl.kit.figures import PALETTE, canvas, figure, sheets

CIFAR_COUNTS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}
IMAGENET_COUNTS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}
IMAGENET_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}  # Table 1


@dataclass(frozen=True)
class Config:
    data: str = "cifar10"  # Sec. 4.2; here 10,000 of its training images in KB_DATA, else scikit-learn's digits
    side: int = 32  # same: pixels; smaller is averaged down
    width: int = 16  # same: filters of the first maps, then twice and four times as many
    shallow: int = 20  # Fig. 6: layers, 6n + 2
    deep: int = 56  # same
    rates: tuple[float, ...] = (0.1,)  # Sec. 4.2: divided by 10 after half and after three quarters of the updates
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
FULL = replace(PAPER, side=16, width=8, rates=(0.01, 0.1), updates=300, augment=False, bf16=False, compile=False)
QUICK = replace(FULL, data="digits", side=8, batch=16, updates=120)
SMOKE = replace(QUICK, width=4, shallow=8, deep=14, rates=(0.1,), batch=16, updates=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


class Block(nn.Module):
    """Eq. 1, y = F(x) + x, with two 3 x 3 layers, or three when it is a bottleneck (Fig. 5); plain without the x.

    N nets stand side by side, their channels one after the other: a convolution in N groups keeps them apart.
    """

    def __init__(self, N: int, C_in: int, C: int, stride: int, *, shortcut: str, bottleneck: bool = False):
        super().__init__()
        C_out = 4 * C if bottleneck else C
        shapes = [(C_in, C, 1), (C, C, 3), (C, C_out, 1)] if bottleneck else [(C_in, C, 3), (C, C, 3)]
        layers: list[nn.Module] = []
        for i, (a, b, k) in enumerate(shapes):
            layers += [*convolution(N, a, b, k, stride if i == int(bottleneck) else 1), nn.ReLU()]
        self.residual = nn.Sequential(*layers[:-1])  # the last ReLU comes after the addition
        self.N, self.shortcut, self.stride, self.grow = N, shortcut, stride, C_out - C_in
        project = shortcut == "B" and (stride > 1 or C_out != C_in)  # Eq. 2: W_s x
        self.project = nn.Sequential(*convolution(N, C_in, C_out, 1, stride)) if project else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:  # [B, N*C_in, H, W] -> [B, N*C_out, H/stride, W/stride]
        y: Tensor = self.residual(x)
        if self.shortcut == "A":  # every other pixel, and zeros for the new channels: no parameters
            x = x[:, :, :: self.stride, :: self.stride].unflatten(1, (self.N, -1))
            y = y + F.pad(x, (0, 0, 0, 0, 0, self.grow)).flatten(1, 2)
        elif self.shortcut == "B":
            y = y + self.project(x)
        return F.relu(y)


def convolution(N: int, a: int, b: int, k: int, stride: int = 1) -> list[nn.Module]:
    """Sec. 3.4: batch normalization right after each convolution."""
    return [nn.Conv2d(N * a, N * b, k, stride, k // 2, groups=N, bias=False), nn.BatchNorm2d(N * b)]


def head(N: int, C: int, classes: int) -> list[nn.Module]:
    """Global average pooling and a fully connected layer, [B, N*C, H, W] -> logits [B, N, classes]."""
    linear = nn.Conv2d(N * C, N * classes, 1, groups=N)
    return [nn.AdaptiveAvgPool2d(1), linear, nn.Flatten(), nn.Unflatten(1, (N, classes))]


def cifar_net(layers: int, width: int = 16, channels: int = 3, *, residual: bool = True, N: int = 1) -> nn.Sequential:
    """Sec. 4.2: 6n + 2 layers; the residual net has exactly the parameters of the plain one."""
    blocks, C_in = [], width
    for i, C in enumerate((width, 2 * width, 4 * width)):
        for j in range((layers - 2) // 6):
            blocks.append(Block(N, C_in, C, 2 if i and not j else 1, shortcut="A" if residual else "none"))
            C_in = C
    return nn.Sequential(*convolution(N, channels, width, 3), nn.ReLU(), *blocks, *head(N, C_in, 10))


def imagenet_net(layers: int) -> nn.Sequential:
    """Table 1, with projections where the size changes (option B)."""
    blocks, C_in = [], 64
    for i, count in enumerate(IMAGENET_BLOCKS[layers]):
        C = 64 * 2**i
        for j in range(count):
            blocks.append(Block(1, C_in, C, 2 if i and not j else 1, shortcut="B", bottleneck=layers >= 50))
            C_in = 4 * C if layers >= 50 else C
    return nn.Sequential(*convolution(1, 3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *blocks, *head(1, C_in, 1000))


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@torch.no_grad()
def start(net: nn.Sequential, seeds: list[int]) -> None:
    """He et al. (2015): variance 2 / fan-in. Each seed draws the weights of one net, the same with and without shortcuts."""
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            each = (m.out_channels // len(seeds), *m.weight.shape[1:])
            spread = (2 / m.weight[0].numel()) ** 0.5
            m.weight.copy_(torch.cat([spread * torch.randn(each, generator=draw) for draw in draws]))
            if m.bias is not None:
                m.bias.zero_()


def load(cfg: Config) -> Images:
    """[., C, H, W], the mean of each pixel subtracted."""
    path = Path(os.environ.get("KB_DATA", "")) / "cifar10-subset" / "cifar10_subset.npz"
    if cfg.data != "cifar10" or not path.exists():
        data = digits()
    else:
        with np.load(path) as file:
            x, x_test = (torch.from_numpy(file[k]).permute(0, 3, 1, 2).float() / 255 for k in ("x_train", "x_test"))
            y, y_test = (torch.from_numpy(file[k]).long() for k in ("y_train", "y_test"))
        data = Images(
            "cifar10-subset", F.avg_pool2d(x, 32 // cfg.side), y, F.avg_pool2d(x_test, 32 // cfg.side), y_test
        )
    mean = data.x_train.mean(0)
    return replace(data, x_train=data.x_train - mean, x_test=data.x_test - mean)


def batches(cfg: Config, data: Images, seeds: list[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """For each net its own images, [B, N*C, H, W], and labels [B, N]; each image once an epoch."""
    draws = [torch.Generator().manual_seed(seed + 500_000) for seed in seeds]
    B, orders = min(cfg.batch, len(data.x_train)), torch.empty(0, len(seeds), dtype=torch.long)
    while True:
        if len(orders) < B:
            orders = torch.stack([torch.randperm(len(data.x_train), generator=draw) for draw in draws], 1)
        at, orders = orders[:B], orders[B:]
        x, y = (
            data.x_train[at.to(data.x_train.device)],
            data.y_train[at.to(data.x_train.device)],
        )  # [B, N, C, H, W], [B, N]
        if cfg.augment:
            x = torch.stack([augmented(x[:, i], draw) for i, draw in enumerate(draws)], 1)
        yield x.flatten(1, 2), y


def augmented(x: Tensor, draw: torch.Generator) -> Tensor:
    """Sec. 4.2: padded by 4 pixels, cropped at random, mirrored half of the time, [B, C, H, W]."""
    B, _, H, W = x.shape
    down, across = torch.randint(9, (2, B), generator=draw).to(x.device)
    mirror = torch.randint(2, (B,), generator=draw).to(x.device).bool()
    h, w = torch.arange(H, device=x.device), torch.arange(W, device=x.device)
    w = torch.where(mirror[:, None], w.flip(0), w)  # [B, W]
    rows, columns = (down[:, None] + h)[:, :, None], (across[:, None] + w)[:, None]
    return (
        F.pad(x, (4, 4, 4, 4))
        .permute(0, 2, 3, 1)[torch.arange(B, device=x.device)[:, None, None], rows, columns]
        .permute(0, 3, 1, 2)
    )


def train(
    net: nn.Module, cfg: Config, data: Images, seeds: list[int], rates: list[float]
) -> Iterator[tuple[int, list[float]]]:
    """Sec. 4.2. One rate for each net; yields updates and, now and then, the training errors in percent since the last."""
    N, rate = len(seeds), torch.tensor(rates, device=data.x_train.device)[:, None]
    weights = list(net.parameters())
    momenta = [torch.zeros_like(w) for w in weights]
    answer = faster(net, data.x_train.device, bf16=cfg.bf16, compile=cfg.compile)
    wrong: list[Tensor] = []
    for step, (x, y) in enumerate(batches(cfg, data, seeds), 1):
        x, y = parallel.part(x), parallel.part(y)  # the paper has two GPUs, too, each with half of a batch
        logits = answer(x)
        net.zero_grad()
        (F.cross_entropy(logits.flatten(0, 1), y.flatten()) * N).backward()  # the sum of the nets' losses
        parallel.average([w.grad for w in weights if w.grad is not None])
        if step in (cfg.updates // 2 + 1, cfg.updates * 3 // 4 + 1):  # as 32k and 48k of 64k
            rate = rate / 10
        with torch.no_grad():
            for w, v in zip(weights, momenta, strict=True):
                v.mul_(cfg.momentum).add_(w.grad if w.grad is not None else 0).add_(w, alpha=cfg.weight_decay)
                w.view(N, -1).sub_(rate * v.view(N, -1))  # the first axis counts the nets' units, net by net
        wrong.append((logits.detach().argmax(2) != y).float().mean(0))
        report = step % -(-cfg.updates // 20) == 0
        yield step, (100 * torch.stack(wrong).mean(0)).tolist() if report else []
        if report:
            wrong.clear()
        if step == cfg.updates:
            parallel.agree(net)
            return


@torch.no_grad()
def errors(net: nn.Module, x: Tensor, y: Tensor, N: int) -> list[float]:
    """In percent, for each net."""
    wrong = [
        (net(a.repeat(1, N, 1, 1)).argmax(2) != b[:, None]).float().sum(0)
        for a, b in zip(x.split(500), y.split(500), strict=True)
    ]
    return (100 * torch.stack(wrong).sum(0) / len(x)).tolist()


@torch.no_grad()
def responses(net: nn.Sequential, x: Tensor, N: int) -> Tensor:
    """Fig. 7: standard deviation of what each 3 x 3 layer answers, after batch normalization, [layers, N]."""
    seen: list[Tensor] = []
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks = [
        m.register_forward_hook(lambda _, __, y: seen.append(y.unflatten(1, (N, -1)).std((0, 2, 3, 4)))) for m in norms
    ]
    net(x.repeat(1, N, 1, 1))
    for hook in hooks:
        hook.remove()
    return torch.stack(seen).cpu()


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    with torch.device("meta"):  # shapes without numbers
        for layers, count in CIFAR_COUNTS.items():
            yield dict(counted=f"CIFAR {layers}", parameters=parameters(cifar_net(layers)), expected=count)
            yield dict(
                counted=f"CIFAR {layers}, plain",
                parameters=parameters(cifar_net(layers, residual=False)),
                expected=count,
            )
        for layers, count in IMAGENET_COUNTS.items():
            yield dict(counted=f"ImageNet {layers}", parameters=parameters(imagenet_net(layers)), expected=count)

    data = load(cfg).to(device)
    seeds = list(range(cfg.seed, cfg.seed + cfg.seeds))
    trials = [cfg.seed + 1_000_003] * len(cfg.rates) if len(cfg.rates) > 1 else []
    total, done = 2.0 * (cfg.shallow + cfg.deep) * cfg.updates * (len(seeds) + len(trials)), 0.0
    history: dict[str, list[tuple[int, list[float]]]] = {}
    strength: dict[str, Tensor] = {}
    maps: dict[str, Tensor] = {}
    for residual in (False, True):
        for layers in (cfg.shallow, cfg.deep):
            name, rate = f"{'residual' if residual else 'plain'}-{layers}", cfg.rates[0]
            if trials:
                net = fresh(cfg, data, layers, residual, trials)
                for _ in train(net, cfg, data, trials, list(cfg.rates)):
                    done += layers * len(trials)
                    yield Progress(done, total, f"{name}: choosing the rate")
                rate = min(zip(errors(net, data.x_train, data.y_train, len(trials)), cfg.rates, strict=True))[1]

            net, history[name] = fresh(cfg, data, layers, residual, seeds), []
            for step, wrong in train(net, cfg, data, seeds, [rate] * len(seeds)):
                done += layers * len(seeds)
                yield Progress(done, total, f"{name}, {len(seeds)} nets")
                if wrong:
                    history[name].append((step, wrong))
                for seed, e in zip(seeds, wrong, strict=False):
                    yield dict(net=name, seed=seed, step=step, running_error=e)
            strength[name] = responses(net, data.x_train[:500], len(seeds))
            maps[name] = pictures(net, data.x_train[:1], len(seeds))
            trained = errors(net, data.x_train, data.y_train, len(seeds))
            tested = errors(net.eval(), data.x_test, data.y_test, len(seeds))
            for at, seed in enumerate(seeds):
                yield dict(
                    net=name, seed=seed, residual=residual, deep=layers == cfg.deep, rate=rate, data=data.name,
                    train_error=trained[at], test_error=tested[at], response=float(strength[name][:, at].mean()),
                )  # fmt: skip
    yield curves_by_depth(history)
    yield response_by_layer(strength)
    deepest = {name: maps[name] for name in (f"plain-{cfg.deep}", f"residual-{cfg.deep}")}
    caption = "One image on its way: four channels (rows) after each of the first blocks, without and with shortcuts"
    yield sheets("on-the-way", deepest, caption, columns=len(maps[f"plain-{cfg.deep}"]) // 4)
    yield Progress(total, total, "done")


def fresh(cfg: Config, data: Images, layers: int, residual: bool, seeds: list[int]) -> nn.Sequential:
    net = cifar_net(layers, cfg.width, data.x_train.shape[1], residual=residual, N=len(seeds))
    start(net, seeds)
    return net.to(data.x_train.device)


@torch.no_grad()
def pictures(net: nn.Sequential, x: Tensor, N: int) -> Tensor:
    """Four channels of the first net after each of its first blocks, as large as the image, [4 * blocks, H, W]."""
    y, seen = x.repeat(1, N, 1, 1), []
    for m in net:
        y = m(y)
        if isinstance(m, Block) and y.shape[-1] == x.shape[-1]:
            seen.append(y[0, :4])
    return torch.stack(seen[:9], 1).flatten(0, 1).cpu()


def curves_by_depth(history: dict[str, list[tuple[int, list[float]]]]) -> Figure:
    drawn, axes = canvas(1, 2)
    for ax, kind in zip(axes, ("plain", "residual"), strict=True):
        names = [name for name in history if name.startswith(kind)]
        for name, colour in zip(names, PALETTE, strict=False):
            steps = [step for step, _ in history[name]]
            for i, line in enumerate(zip(*(wrong for _, wrong in history[name]), strict=True)):
                ax.plot(
                    steps,
                    line,
                    color=colour,
                    alpha=0.7,
                    linewidth=1,
                    label=name.replace("-", ", ") + " layers" if not i else None,
                )
        ax.set(title=kind, xlabel="update", ylim=(0, 100))
        ax.legend(fontsize=8)
    axes[0].set_ylabel("% training error")
    return figure("training", drawn, "Training error of nets of two depths, each seed a line (as in Fig. 6)")


def response_by_layer(strength: dict[str, Tensor]) -> Figure:
    drawn, ax = canvas()
    for name, std in strength.items():
        ax.plot(range(1, len(std) + 1), std.mean(1), label=name, marker="o", markersize=2)
    ax.set(xlabel="layer", ylabel="standard deviation", yscale="log")
    ax.legend(fontsize=8)
    return figure("responses", drawn, "How strongly each layer responds, after batch normalization (as in Fig. 7)")


def check(rows: list[Row]) -> list[Verdict]:
    nets = [row for row in rows if "train_error" in row]
    deep, shallow = (
        {r: by_seed(nets, "train_error", residual=r, deep=d) for r in (False, True)} for d in (True, False)
    )
    added = {r: {seed: e - shallow[r][seed] for seed, e in deep[r].items()} for r in (False, True)}
    return [
        compare("degradation", shallow[False], deep[False], better="lower", margin=1.0,  # ours: one point
                unit="% training error, plain: the shallow net against the deep one"),
        compare("cure", added[True], added[False], better="lower", margin=1.0,  # ours: one point
                unit="points of training error that the deeper net has more"),
        compare("small-responses", by_seed(nets, "response", residual=True, deep=True),
                by_seed(nets, "response", residual=False, deep=True), better="lower",
                margin=0.1,  # ours: a tenth of 1, where batch normalization starts
                unit="standard deviation of a layer's response, mean of the layers"),
        exact("parameters", [float(row["parameters"]) - float(row["expected"]) for row in rows if "expected" in row], 0.0,
              tolerance=0.0, unit="parameters more than expected"),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
