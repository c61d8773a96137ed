"""Gradient-based learning applied to document recognition. LeCun, Bottou, Bengio & Haffner, Proc. IEEE 86(11), 1998.

Claims      parameters             LeNet-5 has 60,000 trainable parameters (Sec. II-B, Table I)
            beats-fully-connected  fewer test errors than a fully connected net after the same training (Sec. III-C)
            shift-robust           shifting the test digits by up to 3 pixels costs it fewer errors than that net (ours)
Deviations  1  Adam, not the stochastic diagonal Levenberg-Marquardt method; both give each weight a rate of its own
            2  each net takes the best of a few rates on validation images; how they fall over the passes is the paper's
            3  the fully connected net minimizes Eq. 9 without its constant, which is cross-entropy; both nets use f
            4  the ten bitmaps of 7 x 12 are drawn anew; the paper has codes for all of printable ASCII
            5  `quick` and `full` have fewer training images and small batches; digits of 8 x 8 are enlarged to 20 x 20
Left out    distorted training images, boosting, the other classifiers of Fig. 9, graph transformer networks
Shapes      B images, M maps of H x W units, U units of a layer that is not a map
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.data import handwriting
from impl.kit.figures import PALETTE, canvas, figure, sheets, tiles


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. III-A; `auto` is MNIST where it can be had, else scikit-learn's digits
    n: int = 60_000  # Sec. III-A: all training images, here less those for validation
    batch: int = 1  # Sec. III-B: the weights change after each image
    passes: tuple[int, ...] = (2, 3, 3, 4, 8)  # Sec. III-B: 20 passes, in spells of one rate each
    rates: tuple[float, ...] = (5e-4, 2e-4, 1e-4, 5e-5, 1e-5)  # same: the rate of each spell
    times: tuple[float, ...] = (1.0, 3.0)  # ours: those rates times one of these, which each net chooses
    hidden: int = 300  # Sec. III-C: 28 x 28-300-10
    j: float = 1.0  # ours: the constant of Eq. 9
    shift: int = 3  # ours: pixels, each way, in x and in y
    shifted: int = 10_000  # ours: how many test images are shifted, drawn by the seed
    validation: int = 1_000  # ours: training images that no net is trained on
    log_every: int = 500  # ours: updates between two points of a curve
    seeds: int = 5  # ours: how many repetitions, each with its own training images
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, n=10_000, batch=20, times=(4.0, 12.0), shifted=1_000)
QUICK = replace(FULL, data="auto", n=1_000, passes=(3, 2, 2, 2, 2), shifted=100, validation=500, log_every=50)
SMOKE = replace(
    QUICK, data="digits", n=40, passes=(1, 1, 1, 1, 1), shift=1, shifted=20, validation=50, log_every=4, seeds=2
)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

TABLE_I = [(0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5), (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5),
           (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5), (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)]  # fmt: skip

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


def f(a: Tensor) -> Tensor:  # Eq. 6 with A and S of App. A: f(1) = 1, f(-1) = -1, and there the curvature is largest
    return 1.7159 * torch.tanh(2 / 3 * a)


def start(weight: Tensor, inputs: int) -> nn.Parameter:
    """App. A: a weight starts between -2.4 / F and 2.4 / F, F being the number of inputs of its unit."""
    return nn.Parameter(nn.init.uniform_(weight, -2.4 / inputs, 2.4 / inputs))


class Convolution(nn.Module):
    """C1, C3: a map has a 5 x 5 kernel for each map below that `table` lets it see, and no weight for the others."""

    def __init__(self, maps_below: int, table: list[tuple[int, ...]]):
        super().__init__()
        self.shape = (len(table), maps_below, 5, 5)
        self.register_buffer("pairs", torch.tensor([(to, of) for to, seen in enumerate(table) for of in seen]).T)
        self.weight = nn.Parameter(torch.cat([start(torch.empty(len(s), 5, 5), 25 * len(s)).data for s in table]))
        self.bias = nn.Parameter(torch.cat([start(torch.empty(1), 25 * len(s)).data for s in table]))

    def forward(self, x: Tensor) -> Tensor:  # [B, maps_below, H, W] -> [B, M, H - 4, W - 4]
        to, of = self.get_buffer("pairs")
        kernels = x.new_zeros(self.shape).index_put((to, of), self.weight)
        return f(F.conv2d(x, kernels, self.bias))


class Subsampling(nn.Module):
    """S2, S4: the *sum* of 2 x 2 units, times a trainable coefficient, plus a trainable bias: two parameters a map."""

    def __init__(self, maps: int):
        super().__init__()
        self.coefficient, self.bias = start(torch.empty(maps, 1, 1), 4), start(torch.empty(maps, 1, 1), 4)

    def forward(self, x: Tensor) -> Tensor:  # [B, M, H, W] -> [B, M, H / 2, W / 2]
        return f(self.coefficient * 4 * F.avg_pool2d(x, 2) + self.bias)


class Full(nn.Module):
    """Eq. 5: weighted sums, squashed."""

    def __init__(self, below: int, units: int, squash: bool = True):
        super().__init__()
        self.weight, self.bias = start(torch.empty(units, below), below), start(torch.empty(units), below)
        self.squash = squash

    def forward(self, x: Tensor) -> Tensor:  # [B, below] -> [B, U]
        a = x.flatten(1) @ self.weight.T + self.bias
        return f(a) if self.squash else a


class RBF(nn.Module):
    """Eq. 7: the penalty of a class is the squared distance of F6 from its code, a picture of the digit in +1 and -1."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", codes())  # fixed, so no parameter

    def forward(self, x: Tensor) -> Tensor:  # [B, 84] -> [B, 10]
        return (x[:, None] - self.get_buffer("codes")).square().sum(2)


def codes() -> Tensor:  # [10, 84]
    cells = [line.split() for line in BITMAPS.split("\n") if line]
    return torch.tensor([[1.0 if dot == "#" else -1.0 for row in cells for dot in row[D]] for D in range(10)])


class LeNet5(nn.Sequential):
    def __init__(self) -> None:
        c5 = Full(16 * 5 * 5, 120)  # 5 x 5 kernels on maps of 5 x 5: a convolution too, with one place to be
        layers = dict(C1=Convolution(1, [(0,)] * 6), S2=Subsampling(6), C3=Convolution(6, TABLE_I), S4=Subsampling(16))
        super().__init__(OrderedDict(**layers, C5=c5, F6=Full(120, 84), output=RBF()))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """What each layer makes of x [B, 1, 32, 32], by the paper's names."""
        made = {}
        for name, layer in self.named_children():
            made[name] = x = layer(x)
        return made


class FullyConnected(nn.Sequential):
    """28 x 28-300-10. Its outputs, negated, serve as penalties, so that both nets answer with the smallest."""

    def __init__(self, hidden: int):
        super().__init__(Full(28 * 28, hidden), Full(hidden, 10, squash=False))

    def forward(self, x: Tensor) -> Tensor:  # [B, 1, 32, 32] -> [B, 10]
        hidden, output = self
        a: Tensor = output(hidden(x[:, :, 2:-2, 2:-2]))  # without the border that only LeNet-5 needs
        return -a


def anatomy(net: LeNet5) -> Iterator[Row]:
    """Of each layer the trainable parameters, and the connections: each parameter as often as it is used."""
    for name, y in net.maps(torch.zeros(1, 1, 32, 32)).items():
        parameters = sum(p.numel() for p in net.get_submodule(name).parameters())
        inputs = {"S2": 5, "S4": 5, "output": 84}.get(name, 0)  # of a unit: 2 x 2 and a bias; F6
        connections = y.numel() * inputs if inputs else parameters * y[0, 0].numel()
        yield dict(layer=name, parameters=parameters, connections=connections)


def penalty(y: Tensor, D: Tensor, j: float) -> Tensor:
    """Eq. 9: the right class's penalty y [B, 10] down, the others' up; a class that is further than j is left alone."""
    rubbish = torch.full_like(y[:, :1], -j)
    competing = torch.cat([rubbish, -y], dim=1).logsumexp(1)  # log(exp(-j) + sum_i exp(-y_i))
    return (y.gather(1, D[:, None]).squeeze(1) + competing).mean()


def fit(net: nn.Module, x: Tensor, D: Tensor, times: float, cfg: Config) -> Iterator[tuple[int, float]]:
    """Trains, and after each `log_every` updates tells how many there were and the loss averaged since last time."""
    j = cfg.j if isinstance(net, LeNet5) else torch.inf
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    update, losses = 0, []
    for passes, rate in zip(cfg.passes, cfg.rates, strict=True):
        optimizer.param_groups[0]["lr"] = times * rate
        for _ in range(passes):
            for at in torch.randperm(len(x)).split(cfg.batch):
                at = at.to(x.device)
                loss = penalty(net(x[at]), D[at], j)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                update += 1
                losses.append(loss.detach())
                if update % cfg.log_every == 0:
                    yield update, torch.stack(losses).mean().item()
                    losses.clear()


@torch.no_grad()
def answers(net: nn.Module, x: Tensor) -> Tensor:  # [B, 1, 32, 32] -> [B]
    return torch.cat([net(some).argmin(1) for some in x.split(250)])  # so few that the maps stay in a CPU's cache


def error(net: nn.Module, x: Tensor, D: Tensor) -> float:
    """Errors in percent."""
    return 100 * (answers(net, x) != D).float().mean().item()


BACKGROUND, INK = -0.1, 1.175  # Sec. II-B: so that inputs have mean 0 and variance 1, roughly


def framed(x: Tensor) -> Tensor:
    """[B, 1, H, W] in 0..1 -> [B, 1, 32, 32], the digit in the middle, in a box of 20 x 20 as in MNIST."""
    if x.shape[-1] == 8:
        x = F.interpolate(x, size=(20, 20), mode="bilinear")
    x = F.pad(x, [(32 - x.shape[-1]) // 2] * 4)
    return BACKGROUND + (INK - BACKGROUND) * x


def shifted(x: Tensor, dx: int, dy: int) -> Tensor:
    """The images moved right by dx and down by dy pixels, with background where they were."""
    return F.pad(x, (dx, -dx, dy, -dy), value=BACKGROUND)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield from anatomy(LeNet5())
    data = handwriting(cfg.data).to(device)
    if data.name == "digits":  # 1,297 training images in all
        cfg = replace(cfg, validation=min(cfg.validation, 297), n=min(cfg.n, 1_000))
    v, n = cfg.validation, min(cfg.n, len(data.x_train) - cfg.validation)
    x, D, x_test, D_test = framed(data.x_train), data.y_train, framed(data.x_test), data.y_test
    updates = sum(cfg.passes) * -(-n // cfg.batch)
    total, done = 2 * (len(cfg.times) + cfg.seeds) * updates, 0
    heat: dict[str, Tensor] = {}  # errors by shift in y and x, averaged over the seeds

    for name in ("LeNet-5", "fully connected"):
        scores: dict[float, float] = {}
        for trial in range(-len(cfg.times), cfg.seeds):
            choosing = trial < 0
            seed = cfg.seed + (1_000_003 if choosing else trial)  # the rate is chosen on a seed used for nothing else
            times = cfg.times[trial] if choosing else min(scores, key=lambda t: scores[t])
            note = f"{name}, rates times {times:g}, " + ("choosing" if choosing else f"seed {seed}")
            torch.manual_seed(seed)
            at = (v + torch.randperm(len(x) - v)[:n]).to(device)  # the same for both nets, as are those shifted
            some = torch.randperm(len(x_test))[: cfg.shifted].to(device)
            net = (LeNet5() if name == "LeNet-5" else FullyConnected(cfg.hidden)).to(device)
            for update, loss in fit(net, x[at], D[at], times, cfg):
                yield Progress(done + update, total, note)
                if not choosing:
                    row: Row = dict(net=name, seed=seed, step=update, loss=loss)
                    yield row | dict(validation_error=error(net, x[:v], D[:v]))
            done += updates
            if choosing:
                scores[times] = error(net, x[:v], D[:v])
                continue
            moved = torch.tensor([[error(net, shifted(x_test[some], dx, dy), D_test[some]) for dx in reach(cfg)]
                                  for dy in reach(cfg)])  # fmt: skip
            heat[name] = heat.get(name, torch.zeros_like(moved)) + moved / cfg.seeds
            still = moved[cfg.shift, cfg.shift].item()
            rise = (moved.sum().item() - still) / (moved.numel() - 1) - still  # over all shifts but the one by nothing
            row = dict(net=name, seed=seed, n=n, times=times, data=data.name, shift_rise=rise)
            yield row | dict(test_error=error(net, x_test, D_test), train_error=error(net, x[at], D[at]))
            if trial == 0 and isinstance(net, LeNet5):
                yield from pictures(net, x_test, D_test)
    yield heat_maps(heat, cfg)
    yield Progress(total, total, "done")


def reach(cfg: Config) -> range:
    return range(-cfg.shift, cfg.shift + 1)


@torch.no_grad()
def pictures(net: LeNet5, x: Tensor, D: Tensor) -> Iterator[Figure]:
    kernels = net.get_submodule("C1").get_parameter("weight")  # [6, 5, 5]
    yield sheets("filters", {"C1": kernels}, "The six 5 x 5 kernels of C1 (red adds, blue takes away)", columns=6,
                 symmetric=True)  # fmt: skip

    made = net.maps(x[:1])
    panels = {"input": (x[0], 1), "F6 as 7 x 12": (made["F6"].reshape(1, 12, 7), 1)}
    panels |= {name: (made[name][0], columns) for name, columns in (("C1", 2), ("S2", 2), ("C3", 4), ("S4", 4))}
    drawn, axes = canvas(1, 7, width=10, height=2.1)
    for ax, title in zip(axes, ("input", "C1", "S2", "C3", "S4", "F6 as 7 x 12"), strict=False):
        ax.imshow(tiles(*panels[title]).numpy(), cmap="gray")
        ax.set_title(title)
        ax.set_axis_off()
    axes[6].barh(range(10), made["output"][0].tolist(), color=PALETTE[0])
    axes[6].set(title="penalties", yticks=range(10))
    axes[6].invert_yaxis()
    yield figure("layers", drawn, f"A {int(D[0])} on its way through LeNet-5 (as in Fig. 2); the smallest penalty wins")

    features = net.maps(x[:2_000])["F6"]
    mean = torch.stack([features[D[:2_000] == digit].mean(0) for digit in range(10)])
    pair = {"the ten codes": codes().reshape(10, 12, 7), "what F6 draws on average": mean.reshape(10, 12, 7)}
    yield sheets("codes", pair, "The bitmap that F6 should draw for each digit, and what it draws for test digits",
                 columns=5)  # fmt: skip

    given = answers(net, x)
    wrong = (given != D).nonzero().flatten()[:24].tolist()
    drawn, axes = canvas(3, 8, height=3.4)
    for ax, i in zip(axes.flat, wrong, strict=False):
        ax.imshow(x[i, 0].cpu().numpy(), cmap="gray")
        ax.set_title(f"{int(D[i])} as {int(given[i])}")
    for ax in axes.flat:
        ax.set_axis_off()
    yield figure("mistakes", drawn, "Test digits that LeNet-5 misreads (as in Fig. 8)")


def heat_maps(heat: dict[str, Tensor], cfg: Config) -> Figure:
    drawn, axes = canvas(1, 2, height=4.0)
    for ax, (name, errors) in zip(axes, heat.items(), strict=True):
        ax.imshow(errors.numpy(), cmap="magma_r", vmin=0, vmax=100)
        for (row, column), e in zip(
            torch.cartesian_prod(*[torch.arange(len(errors))] * 2), errors.flatten(), strict=True
        ):
            ax.text(column, row, f"{e:.0f}", ha="center", va="center", fontsize=7, color="black" if e < 50 else "white")
        ax.set(title=name, xlabel="pixels to the right", ylabel="pixels down")
        ax.set(xticks=range(len(errors)), yticks=range(len(errors)))
        ax.set(xticklabels=list(reach(cfg)), yticklabels=list(reach(cfg)))
    return figure("shifts", drawn, "% errors on test digits shifted by so many pixels, averaged over the seeds")


def check(rows: list[Row]) -> list[Verdict]:
    parameters = [float(row["parameters"]) for row in rows if "parameters" in row]
    images = next((f"{row['n']} training images of {row['data']}" for row in rows if "n" in row), "")
    verdicts = [
        exact("parameters", [sum(parameters)] if parameters else [], 60_000, tolerance=0, unit="trainable parameters")
    ]
    for claim, measure, unit in (
        ("beats-fully-connected", "test_error", "% test error"),
        ("shift-robust", "shift_rise", "points of test error lost by shifts"),
    ):
        idea, baseline = (by_seed(rows, measure, net=net) for net in ("LeNet-5", "fully connected"))
        margin = 1.25  # Fig. 9: LeNet-1, the weakest convolutional net, 1.7; the best fully connected one, 2.95
        verdicts.append(compare(claim, idea, baseline, better="lower", margin=margin, unit=f"{unit}, {images}"))
    return verdicts


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
