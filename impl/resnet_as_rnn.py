"""Bridging the gaps between residual learning, recurrent neural networks and visual cortex. Liao & Poggio, CBMM Memo 47, 2016.

Claims      same-outputs         a residual net whose blocks share their weights *is* a recurrent net: the same outputs
            same-gradient        the recurrent net's gradient is the sum of the gradients of the unrolled copies
            parameters           sharing leaves as few parameters as counted by hand, at any depth (Abstract)
            similar-performance  the shared net makes about as many test errors as the one with its own weights (Abstract)
Deviations  1  the paper's training settings were not found: those of He et al. (2015) are used, without augmentation
            2  except in `paper` the nets are narrower and shallower, the images smaller and fewer, and the updates few
            3  in `full` each net takes of `rates` the one with the fewest errors on validation images; in `quick` both kinds
               get the one that both took whenever they were given the choice
            4  each step has its own batch normalization; only the convolutions are shared
            5  three stages for three map sizes; the block that enters a smaller map is run once, so it is not shared
Left out    feedback from later to earlier stages, inputs that change with time, ImageNet, the comparison with cortex
Shapes      B images, C channels, H x W pixels, N nets side by side, n blocks for each of three map sizes: 6n + 2 layers
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, exact, main, no_worse
from impl.kit.data import Images, photographs
from impl.kit.figures import PALETTE, canvas, figure, sheets

COUNTS = {  # layers: parameters with shared weights and without, at the full width
    20: (168_346, 269_722),
    56: (171_034, 853_018),
    110: (175_066, 1_727_962),
    1202: (256_602, 19_421_274),
}


@dataclass(frozen=True)
class Config:
    data: str = "cifar10"  # Abstract; here 10,000 of its training images in KB_DATA; `auto` takes what can be had
    side: int = 32  # the data's own: pixels; smaller is averaged down
    width: int = 16  # ours, as He et al. (2015): filters of the first maps, then twice and four times as many
    layers: int = 56  # same: 6n + 2
    shallow: int = 14  # ours: an ordinary net with about as many weights as the shared one, drawn beside it, not judged
    rates: tuple[float, ...] = (0.1,)  # ours, as He et al.: divided by 10 after half and after three quarters
    momentum: float = 0.9  # same
    weight_decay: float = 0.0001  # same
    batch: int = 128  # same
    updates: int = 64_000  # same
    validation: int = 1_000  # ours: training images that no net is trained on
    seeds: int = 5  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", side=16, width=8, rates=(0.015, 0.05), batch=32, updates=1_000)
QUICK = replace(FULL, data="digits", side=8, layers=32, rates=(0.05,), updates=200, validation=200, seeds=7)
SMOKE = replace(QUICK, width=4, layers=14, shallow=8, batch=16, updates=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


def convolution(N: int, a: int, b: int, stride: int = 1) -> nn.Conv2d:
    """N nets stand side by side, their channels one after the other: a convolution in N groups keeps them apart."""
    return nn.Conv2d(N * a, N * b, 3, stride, 1, groups=N, bias=False)


class K(nn.Module):
    """What a step adds: twice normalize, rectify, convolve. Step t has its own weights, or shares the only ones there are."""

    def __init__(self, N: int, C_in: int, C: int, stride: int = 1, *, norms: int = 1, convs: int = 1):
        super().__init__()
        self.norms = nn.ModuleList(
            nn.ModuleList([nn.BatchNorm2d(N * C_in), nn.BatchNorm2d(N * C)]) for _ in range(norms)
        )
        self.convs = nn.ModuleList(
            nn.ModuleList([convolution(N, C_in, C, stride), convolution(N, C, C)]) for _ in range(convs)
        )

    def forward(self, h: Tensor, t: int = 0) -> Tensor:  # beyond the last step of training, the last one's again
        norms, convs = self.norms[min(t, len(self.norms) - 1)], self.convs[min(t, len(self.convs) - 1)]
        for i in range(2):
            h = convs[i](F.relu(norms[i](h)))  # type: ignore[index]
        return h


class Stage(nn.Module):
    """A recurrent net on maps of one size: h_0 = x, h_t = h_{t-1} + K(h_{t-1}). Without sharing, an ordinary ResNet's."""

    def __init__(self, N: int, C_in: int, C: int, n: int, *, shared: bool):
        super().__init__()
        self.N, self.grow = N, C - C_in
        self.enter = K(N, C_in, C, stride=2) if self.grow else None
        self.steps = n - 1 if self.grow else n
        self.K = K(N, C, C, norms=self.steps, convs=1 if shared else self.steps)

    def forward(self, x: Tensor, steps: int) -> list[Tensor]:
        """[B, N*C_in, H, W] -> the states h_0 ... h_steps, [B, N*C, H', W'] each."""
        if self.enter is not None:  # every other pixel, and zeros for the new channels
            kept = F.pad(x[:, :, ::2, ::2].unflatten(1, (self.N, -1)), (0, 0, 0, 0, 0, self.grow)).flatten(1, 2)
            x = kept + self.enter(x)
        states = [x]
        for t in range(steps):
            states.append(states[-1] + self.K(states[-1], t))
        return states


class Net(nn.Module):
    def __init__(self, layers: int, width: int = 16, channels: int = 3, *, shared: bool, N: int = 1):
        super().__init__()
        n, C = (layers - 2) // 6, (width, width, 2 * width, 4 * width)
        self.stem = convolution(N, channels, width)
        self.stages = nn.ModuleList(Stage(N, C[i], C[i + 1], n, shared=shared) for i in range(3))
        self.norm = nn.BatchNorm2d(N * C[-1])
        self.head = nn.Conv2d(N * C[-1], N * 10, 1, groups=N)  # fully connected, after global average pooling
        self.N = N

    def states(self, x: Tensor, more: int = 0) -> list[list[Tensor]]:
        """Of each stage the states, run for `more` steps than in training, or fewer."""
        seen, h = [], self.stem(x)
        for stage in self.stages:
            seen.append(stage(h, max(0, stage.steps + more)))  # type: ignore[operator]
            h = seen[-1][-1]
        return seen

    def forward(self, x: Tensor, more: int = 0) -> Tensor:  # [B, N*channels, H, W] -> logits [B, N, 10]
        h = F.relu(self.norm(self.states(x, more)[-1][-1]))
        return self.head(h.mean((2, 3), keepdim=True)).view(-1, self.N, 10)  # type: ignore[no-any-return]


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def through_time(
    step: Callable[[Tensor, int], Tensor], weights: list[Tensor], x: Tensor, slope: Tensor, T: int
) -> tuple[Tensor, list[Tensor]]:
    """The recurrent view, by hand: run h_t = h_{t-1} + K(h_{t-1}) for T steps, then back-propagate through time.

    With d_T = dE/dh_T = slope: dE/dW is the sum over t of (dK(h_{t-1})/dW)' d_t, and d_{t-1} = d_t + (dK/dh_{t-1})' d_t:
    the identity carries the error back undiminished.
    """
    h, states = x.detach(), []
    with torch.no_grad():
        for t in range(T):
            states.append(h)
            h = h + step(h, t)
    d, gradient = slope, [torch.zeros_like(w) for w in weights]
    for t in reversed(range(T)):
        before = states[t].requires_grad_()
        back, *parts = torch.autograd.grad(step(before, t), [before, *weights], d)
        gradient = [g + part for g, part in zip(gradient, parts, strict=True)]
        d = d + back
    return h, gradient


def unrolled(cell: K, x: Tensor, slope: Tensor, T: int) -> tuple[Tensor, list[Tensor]]:
    """The residual view: T separate blocks, copies of one; of each shared weight the sum of its copies' gradients."""
    blocks = [deepcopy(cell) for _ in range(T)]
    h = x
    for block in blocks:
        h = h + block(h)
    h.backward(slope)
    copies = [[p.grad for p in block.parameters()] for block in blocks]
    return h.detach(), [torch.stack([g for g in same if g is not None]).sum(0) for same in zip(*copies, strict=True)]


def gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def equivalence(seed: int, T: int) -> tuple[float, float]:
    """The largest differences between the two views, relative: of the outputs, and of the gradients by the weights."""
    draw = torch.Generator().manual_seed(seed)
    cell = K(1, 4, 4).double()
    for p in cell.parameters():
        p.data = torch.randn(p.shape, generator=draw, dtype=torch.float64) / 6
    x, slope = torch.randn(2, 8, 4, 6, 6, generator=draw, dtype=torch.float64)
    h, gradient = through_time(cell, list(cell.parameters()), x, slope, T)
    y, summed = unrolled(cell, x, slope, T)
    return gap(h, y), max(gap(a, b) for a, b in zip(gradient, summed, strict=True))


@torch.no_grad()
def fresh(cfg: Config, data: Images, layers: int, shared: bool, seeds: list[int]) -> Net:
    """He et al. (2015): variance 2 / fan-in. Each seed draws the weights of one net."""
    net = Net(layers, cfg.width, data.x_train.shape[1], shared=shared, N=len(seeds))
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            each = (m.out_channels // len(seeds), *m.weight.shape[1:])
            spread = (2 / m.weight[0].numel()) ** 0.5
            m.weight.copy_(torch.cat([spread * torch.randn(each, generator=draw) for draw in draws]))
            if m.bias is not None:
                m.bias.zero_()
    return net.to(data.x_train.device)


def load(cfg: Config) -> tuple[Images, Images]:
    """The data, the mean of each pixel subtracted, and the same with validation images in place of the test images."""
    data = photographs(cfg.data)
    pool = max(1, data.x_train.shape[-1] // cfg.side)
    x, x_test = (F.avg_pool2d(images, pool) for images in (data.x_train[:10_000], data.x_test))
    x, x_test, y, v = x - x.mean(0), x_test - x.mean(0), data.y_train[:10_000], cfg.validation
    return Images(data.name, x[v:], y[v:], x_test, data.y_test), Images(data.name, x[v:], y[v:], x[:v], y[:v])


def train(
    net: Net, cfg: Config, data: Images, seeds: list[int], rates: list[float]
) -> Iterator[tuple[int, list[float]]]:
    """One rate for each net; yields updates and, now and then, the training errors in percent since the last."""
    device, rate = data.x_train.device, torch.tensor(rates, device=data.x_train.device)[:, None]
    draws = [torch.Generator().manual_seed(seed + 500_000) for seed in seeds]
    B, orders = min(cfg.batch, len(data.x_train)), torch.empty(0, len(seeds), dtype=torch.long)
    weights = list(net.parameters())
    speeds = [torch.zeros_like(w) for w in weights]
    wrong: list[Tensor] = []
    for step in range(1, cfg.updates + 1):
        if len(orders) < B:  # each image once an epoch, for each net in its own order
            orders = torch.stack([torch.randperm(len(data.x_train), generator=draw) for draw in draws], 1)
        at, orders = orders[:B].to(device), orders[B:]
        logits, y = net(data.x_train[at].flatten(1, 2)), data.y_train[at]
        gradient = torch.autograd.grad(F.cross_entropy(logits.flatten(0, 1), y.flatten()) * len(seeds), weights)
        if step in (cfg.updates // 2 + 1, cfg.updates * 3 // 4 + 1):
            rate = rate / 10
        with torch.no_grad():
            for w, v, g in zip(weights, speeds, gradient, strict=True):
                v.mul_(cfg.momentum).add_(g).add_(w, alpha=cfg.weight_decay)
                w.view(len(seeds), -1).sub_(rate * v.view(len(seeds), -1))  # the first axis counts units, net by net
        wrong.append((logits.detach().argmax(2) != y).float().mean(0))
        report = step % -(-cfg.updates // 20) == 0
        yield step, (100 * torch.stack(wrong).mean(0)).tolist() if report else []
        if report:
            wrong.clear()


@torch.no_grad()
def errors(net: Net, data: Images, more: int = 0) -> list[float]:
    """Of each net the test error in percent."""
    net.eval()
    wrong = [
        (net(x.repeat(1, net.N, 1, 1), more).argmax(2) != y[:, None]).float().sum(0)
        for x, y in zip(data.x_test.split(500), data.y_test.split(500), strict=True)
    ]
    return (100 * torch.stack(wrong).sum(0) / len(data.x_test)).tolist()


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    seeds = list(range(cfg.seed, cfg.seed + cfg.seeds))
    for seed in seeds:
        for T in (1, 5, 25):
            outputs, gradients = equivalence(seed, T)
            yield dict(seed=seed, unrolled=T, output_gap=outputs, gradient_gap=gradients)
    with torch.device("meta"):  # shapes without numbers
        for layers, expected in COUNTS.items():
            for shared, count in zip((True, False), expected, strict=True):
                yield dict(
                    counted=layers, shared=shared, parameters=parameters(Net(layers, shared=shared)), expected=count
                )

    data, validation = (part.to(device) for part in load(cfg))
    trials = [cfg.seed + 1_000_003] * len(cfg.rates) if len(cfg.rates) > 1 else []
    total = cfg.updates * (2.0 * cfg.layers * (len(seeds) + len(trials)) + cfg.shallow * len(seeds))
    done, rate, nets = 0.0, cfg.rates[0], {}
    for name, layers, shared in (
        (f"shared-{cfg.layers}", cfg.layers, True),
        (f"own-{cfg.layers}", cfg.layers, False),
        (f"own-{cfg.shallow}", cfg.shallow, False),
    ):
        if trials and layers == cfg.layers:  # the shallow net takes the rate of the deep one
            net = fresh(cfg, data, layers, shared, trials)
            for _ in train(net, cfg, data, trials, list(cfg.rates)):
                done += layers * len(trials)
                yield Progress(done, total, f"{name}: choosing the rate")
            rate = min(zip(errors(net, validation), cfg.rates, strict=True))[1]
        net = nets[name] = fresh(cfg, data, layers, shared, seeds)
        for step, wrong in train(net, cfg, data, seeds, [rate] * len(seeds)):
            done += layers * len(seeds)
            yield Progress(done, total, f"{name}, {len(seeds)} nets")
            for seed, e in zip(seeds, wrong, strict=False):
                yield dict(net=name, seed=seed, step=step, running_error=e)
        tested = errors(net, data)
        for seed, e in zip(seeds, tested, strict=True):
            yield dict(
                net=name, seed=seed, shared=shared, deep=layers == cfg.layers, rate=rate, test_error=e,
                weights=parameters(net) // len(seeds), data=data.name,
            )  # fmt: skip

    judged = {name: net for name, net in nets.items() if name != f"own-{cfg.shallow}"}
    n = (cfg.layers - 2) // 6
    reading: dict[str, dict[int, list[float]]] = {name: {} for name in judged}
    for name, net in judged.items():
        for more in range(-min(n, 3), 4):
            reading[name][more] = errors(net, data, more)
            for seed, e in zip(seeds, reading[name][more], strict=True):
                yield dict(net=name, seed=seed, steps_more=more, read_error=e)
    yield readout(reading)
    yield trade({name: (parameters(net) // len(seeds), errors(net, data)) for name, net in nets.items()})
    yield changes(judged, data)
    yield first_stage(judged, data)
    yield Progress(total, total, "done")


def readout(reading: dict[str, dict[int, list[float]]]) -> Figure:
    drawn, ax = canvas()
    for colour, (name, found) in zip(PALETTE, reading.items(), strict=False):
        for i, line in enumerate(zip(*found.values(), strict=True)):
            ax.plot(list(found), line, color=colour, alpha=0.7, linewidth=1, label=None if i else name)
    ax.axvline(0, color="#808792", linestyle=":", linewidth=1)
    ax.set(xlabel="steps in each stage, more or fewer than in training", ylabel="% test error", ylim=(0, 100))
    ax.legend(fontsize=8)
    caption = (
        "Reading trained nets out early or late, each seed a line: too many steps repeat the last one's normalization"
    )
    return figure("readout", drawn, caption)


def trade(found: dict[str, tuple[int, list[float]]]) -> Figure:
    drawn, ax = canvas()
    for colour, (name, (weights, wrong)) in zip(PALETTE, found.items(), strict=False):
        ax.scatter([weights] * len(wrong), wrong, color=colour, alpha=0.8, label=f"{name}: {weights:,} parameters")
    ax.set(xlabel="parameters", ylabel="% test error")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=8)
    return figure(
        "trade", drawn, "What parameters buy: a deep net with shared weights, a deep and a shallow one with their own"
    )


@torch.no_grad()
def changes(nets: dict[str, Net], data: Images) -> Figure:
    drawn, axes = canvas(1, 3)
    for colour, (name, net) in zip(PALETTE, nets.items(), strict=False):
        net.eval()
        for i, states in enumerate(net.states(data.x_test[:200].repeat(1, net.N, 1, 1))):
            sizes = [float((b - a).norm() / a.norm()) for a, b in pairwise(states)]
            axes[i].plot(range(1, len(sizes) + 1), sizes, color=colour, marker="o", markersize=3, label=name)
            axes[i].set(title=f"maps of {states[0].shape[-1]} x {states[0].shape[-1]}", xlabel="step")
    for ax in axes:
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("|K(h)| / |h|")
    axes[0].legend(fontsize=8)
    return figure(
        "changes", drawn, "How much each step changes the state, relative to it, over 200 test images and all seeds"
    )


@torch.no_grad()
def first_stage(nets: dict[str, Net], data: Images) -> Figure:
    panels = {}
    for name, net in nets.items():
        states = net.eval().states(data.x_test[:1].repeat(1, net.N, 1, 1))[0]
        panels[name] = torch.stack([h[0, :4] for h in states], 1).flatten(0, 1).cpu()  # channel by channel, over time
    caption = (
        "The state of one picture, step by step (left to right): four channels of the first stage of the first net"
    )
    return sheets("state", panels, caption, columns=len(states), symmetric=True)


def check(rows: list[Row]) -> list[Verdict]:
    own, shared = (by_seed(rows, "test_error", deep=True, shared=kind) for kind in (False, True))
    if any(e > 60 for e in own.values()):  # ours: where little is learnt, at chance 90, all nets are alike
        own = {}
    return [
        exact("same-outputs", [float(row["output_gap"]) for row in rows if "output_gap" in row], 0.0, tolerance=1e-10,
              unit="largest relative difference of an output"),
        exact("same-gradient", [float(row["gradient_gap"]) for row in rows if "gradient_gap" in row], 0.0,
              tolerance=1e-10, unit="largest relative difference of a gradient"),
        exact("parameters", [float(row["parameters"]) - float(row["expected"]) for row in rows if "expected" in row], 0.0,
              tolerance=0.0, unit="parameters more than expected"),
        no_worse("similar-performance", shared, own, better="lower",
                 tolerance=1.8,  # ours: what 36 of 56 layers are worth on CIFAR-10 (He et al. 2015, Table 6: 8.75 - 6.97)
                 unit="% test error"),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
