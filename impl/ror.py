"""Residual networks of residual networks: multilevel residual networks. Zhang et al., arXiv:1608.02908, 2016; IEEE TCSVT 2018.

Claims      fewer-errors    with three levels of shortcuts a ResNet makes fewer test errors than with one (Abstract)
            shortest-route  from the first maps to the last the shortest route passes one rectifier, without levels 3n
            routes          with residual branches at zero, and padding, signal and gradient pass nine times, not once
            parameters      level shortcuts by zero padding add no parameters, by projection as many as counted by hand
Deviations  1  the paper's training settings were not found: those of He et al. (2015) are used, without augmentation
            2  except in `paper` the nets are narrower and shallower, the images smaller and fewer, and the updates few
            3  except in `paper` each net takes of `rates` the one with the fewest errors on validation images
            4  the two claims on routes are ours: they say of the architecture what the paper says in words
Left out    stochastic depth, pre-activation and wide nets, four levels and more, ImageNet
Shapes      B images, C channels, H x W pixels, N nets side by side, n blocks for each of three map sizes: 6n + 2 layers
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.data import Images, photographs
from impl.kit.figures import INK, PALETTE, canvas, figure

COUNTS = {  # (layers, levels, shortcuts of the levels, shortcuts of the blocks): parameters at the full width
    (110, 1, "A", "A"): 1_727_962,  # He et al. (2015), 1.7 million
    (110, 3, "A", "A"): 1_727_962,
    (110, 2, "B", "A"): 1_727_962 + 1_152,  # the root: 16 x 64 weights, 2 x 64 for batch normalization
    (110, 3, "B", "A"): 1_727_962 + 1_152 + 576 + 2_176,  # and 16 x 32 + 2 x 32, 32 x 64 + 2 x 64
    (110, 3, "C", "A"): 1_727_962 + 1_152 + 576 + 2_176 + 288,  # and 16 x 16 + 2 x 16
    (50, 3, "C", "B"): 762_746,  # as counted by others (github.com/osmr/imgclsmob, RoR-3-56)
    (104, 3, "C", "B"): 1_637_690,  # same, RoR-3-110: their depths count projections, too
}


@dataclass(frozen=True)
class Config:
    data: str = "cifar10"  # Abstract; here 10,000 of its training images in KB_DATA; `auto` takes what can be had
    side: int = 32  # the data's own: pixels; smaller is averaged down
    width: int = 16  # ours, as He et al. (2015): filters of the first maps, then twice and four times as many
    layers: int = 110  # the paper's RoR-3-110: 6n + 2
    shortcut: str = "B"  # ours: of the levels; A pads with zeros, B projects where the shape changes, C always
    rates: tuple[float, ...] = (0.1,)  # ours, as He et al.: divided by 10 after half and after three quarters
    momentum: float = 0.9  # same
    weight_decay: float = 0.0001  # same
    batch: int = 128  # same
    updates: int = 64_000  # same
    validation: int = 1_000  # ours: training images that no net is trained on
    seeds: int = 5  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", side=16, width=8, layers=56, rates=(0.03, 0.1), batch=32, updates=700, seeds=10)
QUICK = replace(FULL, data="digits", side=8, layers=32, updates=220, validation=200, seeds=6)
SMOKE = replace(QUICK, width=4, layers=14, rates=(0.1,), batch=16, updates=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


class Shortcut(nn.Module):
    """From maps of one shape to another: A, every so many pixels, and zeros for the new channels; else a projection."""

    def __init__(self, N: int, C_in: int, C: int, stride: int, kind: str):
        super().__init__()
        self.N, self.stride, self.grow = N, stride, C - C_in
        project = kind == "C" or (kind == "B" and self.grow > 0)
        conv = nn.Conv2d(N * C_in, N * C, 1, stride, groups=N, bias=False)
        self.project = nn.Sequential(conv, nn.BatchNorm2d(N * C)) if project else None

    def forward(self, x: Tensor) -> Tensor:  # [B, N*C_in, H, W] -> [B, N*C, H/stride, W/stride]
        if self.project is not None:
            return self.project(x)  # type: ignore[no-any-return]
        x = x[:, :, :: self.stride, :: self.stride].unflatten(1, (self.N, -1))
        return F.pad(x, (0, 0, 0, 0, 0, self.grow)).flatten(1, 2)


class Block(nn.Module):
    """Shortcut of the last level and residual branch, h(x) + F(x): the rectifier comes after all additions."""

    def __init__(self, N: int, C_in: int, C: int, stride: int, kind: str):
        super().__init__()
        self.residual = nn.Sequential(*convolution(N, C_in, C, stride), nn.ReLU(), *convolution(N, C, C))
        self.shortcut = Shortcut(N, C_in, C, stride, kind)

    def forward(self, x: Tensor) -> Tensor:
        return self.residual(x) + self.shortcut(x)  # type: ignore[no-any-return]


def convolution(N: int, a: int, b: int, stride: int = 1) -> list[nn.Module]:
    """N nets stand side by side, their channels one after the other: a convolution in N groups keeps them apart."""
    return [nn.Conv2d(N * a, N * b, 3, stride, 1, groups=N, bias=False), nn.BatchNorm2d(N * b)]


class Net(nn.Module):
    """One level is a ResNet. Two: a root shortcut g_1 spans all blocks. Three: middle ones g_2 span those of one map size."""

    def __init__(
        self, layers: int, width: int = 16, channels: int = 3, *, levels: int, kind: str = "A", last: str = "A", N: int = 1
    ):  # fmt: skip
        super().__init__()
        self.N, self.n, C = N, (layers - 2) // 6, (width, width, 2 * width, 4 * width)
        self.stem = nn.Sequential(*convolution(N, channels, width), nn.ReLU())
        self.blocks = nn.ModuleList(
            Block(N, C[i] if not j else C[i + 1], C[i + 1], 2 if i and not j else 1, last)
            for i in range(3)
            for j in range(self.n)
        )
        self.middle = nn.ModuleList(Shortcut(N, C[i], C[i + 1], 2 if i else 1, kind) for i in range(3) if levels > 2)
        self.root = Shortcut(N, C[0], C[-1], 4, kind) if levels > 1 else None
        self.head = nn.Conv2d(N * C[-1], N * 10, 1, groups=N)  # fully connected, after global average pooling

    def maps(self, x: Tensor) -> list[Tensor]:
        """From the first maps x_1 to those after each block: x_{l+1} = ReLU(h(x_l) + F(x_l)), levels added where they end."""
        maps = [x]
        for k, block in enumerate(self.blocks, 1):
            y = block(maps[-1])
            if k % self.n == 0 and self.middle:
                y = y + self.middle[k // self.n - 1](maps[k - self.n])  # g_2
            if k == 3 * self.n and self.root is not None:
                y = y + self.root(maps[0])  # g_1
            maps.append(F.relu(y))
        return maps

    def read(self, x: Tensor) -> Tensor:  # the last maps -> logits [B, N, 10]
        return self.head(x.mean((2, 3), keepdim=True)).view(-1, self.N, 10)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:  # [B, N*channels, H, W] -> logits [B, N, 10]
        return self.read(self.maps(self.stem(x))[-1])


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def edges(n: int, levels: int) -> list[tuple[int, int]]:
    """Which maps a shortcut connects: 0 are the first maps, k those after block k."""
    last = [(k, k + 1) for k in range(3 * n)]
    middle = [(i * n, i * n + n) for i in range(3)]
    return last + (middle if levels > 2 else []) + ([(0, 3 * n)] if levels > 1 else [])


def shortest(n: int, levels: int) -> int:
    """Rectifiers on the shortest route along shortcuts from the first maps to the last."""
    length = {0: 0}
    for k in range(1, 3 * n + 1):
        length[k] = 1 + min(length[a] for a, b in edges(n, levels) if b == k)
    return length[3 * n]


def passed(n: int, levels: int) -> tuple[float, float]:
    """How often the first maps, and the gradient back to them, get through a net whose residual branches give zero."""
    net = Net(6 * n + 2, 4, levels=levels).eval()
    for block in net.blocks:
        nn.init.zeros_(block.residual[-1].weight)  # type: ignore[union-attr, index]
    x = torch.rand(2, 4, 8, 8, requires_grad=True)
    y = net.maps(x)[-1][:, :4]
    back = torch.autograd.grad(y.sum(), x)[0][:, :, ::4, ::4]
    return float((y / x[:, :, ::4, ::4]).detach().mean()), float(back.mean())


@torch.no_grad()
def fresh(cfg: Config, data: Images, levels: int, seeds: list[int]) -> Net:
    """He et al. (2015): variance 2 / fan-in. Each seed draws the weights of one net; a kind's extra weights come last."""
    net = Net(cfg.layers, cfg.width, data.x_train.shape[1], levels=levels, kind=cfg.shortcut, N=len(seeds))
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    shared = [m for part in (net.stem, net.blocks, net.head) for m in part.modules()]
    for m in dict.fromkeys([*shared, *net.modules()]):
        if isinstance(m, nn.Conv2d):
            each = (m.out_channels // len(seeds), *m.weight.shape[1:])
            spread = (2 / m.weight[0].numel()) ** 0.5
            m.weight.copy_(torch.cat([spread * torch.randn(each, generator=draw) for draw in draws]))
            if m.bias is not None:
                m.bias.zero_()
    return net.to(data.x_train.device)


# same as impl/resnet_as_rnn.py::load
def load(cfg: Config) -> tuple[Images, Images]:
    """The data, the mean of each pixel subtracted, and the same with validation images in place of the test images."""
    data = photographs(cfg.data)
    pool = max(1, data.x_train.shape[-1] // cfg.side)
    x, x_test = (F.avg_pool2d(images, pool) for images in (data.x_train[:10_000], data.x_test))
    x, x_test, y, v = x - x.mean(0), x_test - x.mean(0), data.y_train[:10_000], cfg.validation
    return Images(data.name, x[v:], y[v:], x_test, data.y_test), Images(data.name, x[v:], y[v:], x[:v], y[:v])


# same as impl/resnet_as_rnn.py::train
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
def errors(net: Net, data: Images) -> list[float]:
    """Of each net the test error in percent."""
    net.eval()
    wrong = [
        (net(x.repeat(1, net.N, 1, 1)).argmax(2) != y[:, None]).float().sum(0)
        for x, y in zip(data.x_test.split(500), data.y_test.split(500), strict=True)
    ]
    return (100 * torch.stack(wrong).sum(0) / len(data.x_test)).tolist()


def gradients(net: Net, data: Images) -> Tensor:
    """Of each net the norm of the loss's gradient by the maps after each block, [3n + 1, N]; first maps first."""
    x, y = data.x_train[:100].repeat(1, net.N, 1, 1), data.y_train[:100]
    maps = net.train().maps(net.stem(x))
    loss = F.cross_entropy(net.read(maps[-1]).flatten(0, 1), y.repeat_interleave(net.N)) * net.N
    back = torch.autograd.grad(loss, maps)
    return torch.stack([g.unflatten(1, (net.N, -1)).square().sum((0, 2, 3, 4)).sqrt() for g in back]).cpu()


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    torch.manual_seed(cfg.seed)
    for levels, routes in ((1, 1), (2, 2), (3, 9)):
        for n in (2, 9, 18):
            forward, backward = passed(n, levels)
            length, expected = shortest(n, levels), 3 * n if levels == 1 else 1
            yield dict(
                levels=levels, n=n, shortest_route=length, expected_route=expected,
                signal_routes=forward, gradient_routes=backward, expected_routes=routes,
            )  # fmt: skip
    with torch.device("meta"):  # shapes without numbers
        for (layers, levels, kind, last), count in COUNTS.items():
            found = parameters(Net(layers, levels=levels, kind=kind, last=last))
            yield dict(
                counted=f"{layers} layers, {levels} levels of {kind} on {last}", parameters=found, expected=count
            )

    yield scheme((cfg.layers - 2) // 6)
    data, validation = (part.to(device) for part in load(cfg))
    seeds = list(range(cfg.seed, cfg.seed + cfg.seeds))
    trials = [cfg.seed + 1_000_003] * len(cfg.rates) if len(cfg.rates) > 1 else []
    total, done = 2.0 * cfg.updates * (len(seeds) + len(trials)), 0.0
    history: dict[str, list[tuple[int, list[float]]]] = {}
    norms: dict[str, list[Tensor]] = {}
    for name, levels in {"RoR-3": 3, "ResNet": 1}.items():
        rate = cfg.rates[0]
        if trials:
            net = fresh(cfg, data, levels, trials)
            for _ in train(net, cfg, data, trials, list(cfg.rates)):
                done += len(trials)
                yield Progress(done, total, f"{name}: choosing the rate")
            rate = min(zip(errors(net, validation), cfg.rates, strict=True))[1]
        net, history[name] = fresh(cfg, data, levels, seeds), []
        norms[name] = [gradients(net, data)]
        for step, wrong in train(net, cfg, data, seeds, [rate] * len(seeds)):
            done += len(seeds)
            yield Progress(done, total, f"{name}, {len(seeds)} nets")
            if wrong:
                history[name].append((step, wrong))
            for seed, e in zip(seeds, wrong, strict=False):
                yield dict(net=name, seed=seed, step=step, running_error=e)
        norms[name].append(gradients(net, data))
        for at, (seed, e) in enumerate(zip(seeds, errors(net, data), strict=True)):
            start = norms[name][0][:, at]
            yield dict(
                net=name, seed=seed, levels=levels, rate=rate, test_error=e, data=data.name,
                first_over_last_gradient=float(start[0] / start[-1]),
            )  # fmt: skip
    yield by_depth(norms)
    yield learning(history)
    yield Progress(total, total, "done")


def scheme(n: int) -> Figure:
    from matplotlib.patches import Arc

    drawn, axes = canvas(2, 1, height=3.4)
    for ax, (title, levels) in zip(axes, {"ResNet": 1, "RoR-3": 3}.items(), strict=True):
        for a, b in edges(n, levels):
            colour, height = (PALETTE[2], 0.5) if b - a == 1 else (PALETTE[1], 1.2) if b - a == n else (PALETTE[0], 2.6)
            ax.add_patch(Arc(((a + b) / 2, 0), b - a, 2 * height, theta1=0, theta2=180, color=colour, linewidth=1.2))
        ax.plot(range(3 * n + 1), [0] * (3 * n + 1), color=INK, marker="s", markersize=3, linewidth=1)
        routes = {1: 1, 3: 9}[levels]
        ax.set_title(
            f"{title}: {routes} route{'s' * (routes > 1)} along shortcuts, rectifiers on the shortest: {shortest(n, levels)}"
        )
        ax.set(xlim=(-0.5, 3 * n + 0.5), ylim=(-0.3, 2.8))
        ax.set_axis_off()
    caption = f"Maps (squares), residual branches (line) and the shortcuts of each level (arcs) in {6 * n + 2} layers"
    return figure("scheme", drawn, caption)


def by_depth(norms: dict[str, list[Tensor]]) -> Figure:
    drawn, axes = canvas(1, 2)
    for ax, when in zip(axes, (0, 1), strict=True):
        for colour, (name, found) in zip(PALETTE, norms.items(), strict=False):
            for i, line in enumerate(found[when].T.numpy()):
                ax.plot(line, color=colour, alpha=0.6, linewidth=1, label=None if i else name)
        ax.set(title=("before training", "after training")[when], xlabel="block, 0 the first maps", yscale="log")
    axes[0].set_ylabel("norm of the gradient")
    axes[0].legend(fontsize=8)
    return figure("gradients", drawn, "How much of the gradient arrives at the maps after each block, each seed a line")


def learning(history: dict[str, list[tuple[int, list[float]]]]) -> Figure:
    drawn, ax = canvas()
    for colour, (name, points) in zip(PALETTE, history.items(), strict=False):
        for i, line in enumerate(zip(*(wrong for _, wrong in points), strict=True)):
            ax.plot([step for step, _ in points], line, color=colour, alpha=0.6, linewidth=1, label=None if i else name)
    ax.set(xlabel="update", ylabel="% training error", yscale="symlog")
    ax.legend(fontsize=8)
    return figure("training", drawn, "Training error with three levels of shortcuts and with one, each seed a line")


def check(rows: list[Row]) -> list[Verdict]:
    return [
        compare("fewer-errors", by_seed(rows, "test_error", levels=3), by_seed(rows, "test_error", levels=1),
                better="lower", margin=0.2,  # ours: one of the 500 test images of digits
                unit="% test error"),
        exact("shortest-route", differences(rows, "shortest_route", "expected_route"), 0.0, tolerance=0.0,
              unit="rectifiers more than expected"),
        exact("routes", differences(rows, "signal_routes", "expected_routes")
              + differences(rows, "gradient_routes", "expected_routes"), 0.0, tolerance=1e-4,
              unit="times that signal or gradient pass more often than expected"),
        exact("parameters", differences(rows, "parameters", "expected"), 0.0, tolerance=0.0,
              unit="parameters more than expected"),
    ]  # fmt: skip


def differences(rows: list[Row], measured: str, expected: str) -> list[float]:
    return [float(row[measured]) - float(row[expected]) for row in rows if measured in row]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
