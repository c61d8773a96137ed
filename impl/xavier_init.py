"""Understanding the difficulty of training deep feedforward neural networks. Glorot & Bengio, AISTATS, 2010.

Claims      variance-law       a layer of linear units multiplies variances by n Var[W], both ways: 1/3 or 1 (Eqs. 5, 6, 15)
            gradient-ratio     at the start, gradients shrink less on their way down with the normalized weights (Fig. 7)
            jacobian           the layers' Jacobians have the larger mean singular value, 0.8 against 0.5 (Sec. 4.2.2)
            weight-gradients   with the standard weights, those of the weights do not shrink, all the same (Eq. 14, Fig. 8)
            tanh-faster        nets of tanh units learn faster from the normalized weights (Fig. 12, Sec. 5)
            softsign-faster    and so do those of softsign units (Fig. 12)
            sigmoid-saturates  the top hidden layer of sigmoid units is soon pushed towards 0, the others are not (Fig. 2)
Deviations  1  the handwriting of Sec. 2.2 only
            2  speed is the mean training loss over a training much shorter than the paper's, which judges final test errors;
               these are recorded, not judged
            3  sigmoid units have a fixed rate; there the layers of one net are compared
            4  `quick` and `full` have fewer units, updates and images
Left out    Shapeset-3 x 2, CIFAR-10, Small-ImageNet, the quadratic cost (Fig. 5), pre-training, second-order methods
Shapes      N nets side by side, B images, D pixels, H units in each of L hidden layers, C classes, K images watched
"""

import itertools
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, alike, by_seed, compare, exact, main
from impl.kit.data import handwriting
from impl.kit.figures import INK, PALETTE, canvas, figure


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. 2.2; `auto` is MNIST where it can be had, else scikit-learn's digits
    n: int = 50_000  # same: training images
    validation: int = 10_000  # same: to choose the rate
    L: int = 5  # Sec. 2.3: hidden layers, of tanh and softsign units
    L_sigmoid: int = 4  # Fig. 2: the depth at which sigmoid units get away in the end
    H: int = 1_000  # Sec. 2.3
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)  # ours; Sec. 2.3: chosen on validation images
    batch: int = 10  # Sec. 2.3
    updates: int = 5_000_000  # Sec. 2.3
    rate_sigmoid: float = 0.3  # ours: here layers of one net are compared, not nets
    updates_sigmoid: int = 5_000_000  # Sec. 2.3
    K: int = 300  # Fig. 2
    nets: int = 400  # ours: nets drawn for the variances
    seeds: int = 5  # ours: how many repetitions
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, n=10_000, validation=1_000, H=256, updates=6_000, updates_sigmoid=10_000, nets=200)
QUICK = replace(FULL, data="auto", n=3_000, H=128, rates=(0.01, 0.03, 0.1), updates=900, updates_sigmoid=3_000, nets=64)
SMOKE = replace(
    QUICK,
    data="digits",
    n=200,
    validation=100,
    L=3,
    L_sigmoid=2,
    H=16,
    rates=(0.03, 0.1),
    updates=10,
    updates_sigmoid=20,
    K=50,
    seeds=2,
)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

LIMIT = {
    "normalized": lambda n, n_next: (6 / (n + n_next)) ** 0.5,  # Eq. 16
    "standard": lambda n, n_next: n**-0.5,  # Eq. 1
}
UNITS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "softsign": lambda x: x / (1 + x.abs()),  # Sec. 2.3
    "sigmoid": torch.sigmoid,
}


Lines = dict[str, list[tuple[int, list[float]]]]  # a value for each seed, over the updates, for each title


def draw(names: Sequence[str], seeds: Sequence[int], n: int, n_next: int, key: int) -> Tensor:
    """Weights [N, n, n_next] from U[-limit, limit]; nets of one seed get the same draw, scaled."""
    each = []
    for name, seed in zip(names, seeds, strict=True):
        generator = torch.Generator().manual_seed(1_000 * seed + key)
        each.append((2 * torch.rand(n, n_next, generator=generator) - 1) * LIMIT[name](n, n_next))
    return torch.stack(each)


class Nets:
    """N nets side by side, one for each name of an initialization and seed."""

    def __init__(self, names: Sequence[str], seeds: Sequence[int], D: int, L: int, H: int, device: torch.device):
        sizes = list(itertools.pairwise([D, *[H] * L, 10]))
        self.W = [draw(names, seeds, *size, key).to(device).requires_grad_() for key, size in enumerate(sizes)]
        self.b = [torch.zeros(len(seeds), 1, m, device=device, requires_grad=True) for _, m in sizes]  # Sec. 2.3

    def __call__(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """[N, B, D] -> logits [N, B, C]; and of the hidden layers the arguments s and the activations z [N, B, H]."""
        arguments, z = [], [x]
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            arguments.append(torch.baddbmm(b, z[-1], W))  # Sec. 4.2.1: s = z W + b
            z.append(f(arguments[-1]))  # z = f(s)
        return torch.baddbmm(self.b[-1], z[-1], self.W[-1]), arguments, z[1:]


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """-log P(y|x) of each net, [N, B, C] and [N, B] -> [N]."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape).mean(1)


@dataclass(frozen=True)
class Task:
    x: Tensor  # [n, D]
    y: Tensor
    x_valid: Tensor
    y_valid: Tensor
    x_test: Tensor
    y_test: Tensor
    name: str


def task(cfg: Config, device: torch.device) -> Task:
    """Images less their mean, of variance one; the first ones are for validation."""
    data = handwriting(cfg.data).to(device)
    x, x_test = data.x_train.flatten(1), data.x_test.flatten(1)
    mean = x.mean(0)
    std = (x - mean).std()
    x, x_test = (x - mean) / std, (x_test - mean) / std
    first = min(cfg.validation, len(x) // 5)
    end = first + cfg.n
    return Task(x[first:end], data.y_train[first:end], x[:first], data.y_train[:first], x_test, data.y_test, data.name)


def train(
    nets: Nets,
    f: Callable[[Tensor], Tensor],
    given: Task,
    seeds: Sequence[int],
    rates: Sequence[float],
    updates: int,
    B: int,
) -> Iterator[int]:
    """Sec. 2.3: plain stochastic gradient descent; nets of one seed see the same mini-batches."""
    generators = {seed: torch.Generator().manual_seed(seed + 500_000) for seed in seeds}
    rate = torch.tensor(rates, device=given.x.device)[:, None, None]
    parameters = [*nets.W, *nets.b]
    for step in range(1, updates + 1):
        batches = {seed: torch.randint(len(given.x), (B,), generator=g) for seed, g in generators.items()}
        at = torch.stack([batches[seed] for seed in seeds]).to(given.x.device)
        loss = losses(nets(given.x[at], f)[0], given.y[at]).sum()  # of nets that share nothing
        with torch.no_grad():
            for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                p.sub_(gradient.mul_(rate))
        yield step


@torch.no_grad()
def score(nets: Nets, f: Callable[[Tensor], Tensor], x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and % errors of each net, [N], on the same images."""
    N = len(nets.W[0])
    logits = torch.cat([nets(part.expand(N, -1, -1), f)[0] for part in x.split(500)], 1)
    return losses(logits, labels.expand(N, -1)), 100 * (logits.argmax(2) != labels).float().mean(1)


class Work:
    """How far a run has come, in layers of nets times updates."""

    def __init__(self, total: int):
        self.done, self.total = 0, total

    def more(self, work: int, note: str) -> Progress:
        self.done += work
        return Progress(self.done, self.total, note)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    seeds = list(range(cfg.seed, cfg.seed + cfg.seeds))
    given = task(cfg, device)
    for name in LIMIT:
        for side, factor in zip(("activations", "gradients"), factors(name, cfg), strict=True):
            law = cfg.H * LIMIT[name](cfg.H, cfg.H) ** 2 / 3  # n Var[W] of a uniform distribution; Eq. 15
            yield dict(measure="factor", net=name, side=side, factor=factor, law=law)
    yield from at_the_start(cfg, given, seeds, device)

    tried = cfg.L * len(LIMIT) * (len(cfg.rates) + len(seeds))
    work = Work(2 * cfg.updates * tried + cfg.L_sigmoid * cfg.updates_sigmoid * len(seeds))
    panels: dict[str, Lines] = {}
    ends: dict[str, list[Tensor]] = {}
    for unit in ("tanh", "softsign"):
        panels[unit] = {}
        rates = yield from best_rates(cfg, given, device, unit, work)
        ends[unit] = yield from trained(cfg, given, seeds, device, unit, cfg.L, cfg.updates, rates, panels[unit], work)
    yield learning(panels)
    yield at_the_end(ends)
    means: Lines = {}
    rates, updates = {"standard": cfg.rate_sigmoid}, cfg.updates_sigmoid
    yield from trained(cfg, given, seeds, device, "sigmoid", cfg.L_sigmoid, updates, rates, means, work)
    yield saturation(means)
    yield Progress(work.total, work.total, "done")


def best_rates(
    cfg: Config, given: Task, device: torch.device, unit: str, work: Work
) -> Generator[Event, None, dict[str, float]]:
    """The rate at which a net of a seed used for nothing else ends at the lowest validation loss, for each initialization."""
    trials = [(name, rate) for name in LIMIT for rate in cfg.rates]
    seeds = [cfg.seed + 700_001] * len(trials)
    nets = Nets([name for name, _ in trials], seeds, given.x.shape[1], cfg.L, cfg.H, device)
    for step in train(nets, UNITS[unit], given, seeds, [rate for _, rate in trials], cfg.updates, cfg.batch):
        if step % 10 == 0:
            yield work.more(10 * cfg.L * len(trials), f"{unit}: trying the rates")
    ends = score(nets, UNITS[unit], given.x_valid, given.y_valid)[0].nan_to_num(99, 99).clamp_max(99).tolist()
    best: dict[str, tuple[float, float]] = {}
    for (name, rate), end in zip(trials, ends, strict=True):
        best[name] = min(best.get(name, (end, rate)), (end, rate))
        yield dict(measure="trial", unit=unit, net=name, rate=rate, validation_loss=end)
    return {name: rate for name, (_, rate) in best.items()}


def trained(
    cfg: Config,
    given: Task,
    seeds: list[int],
    device: torch.device,
    unit: str,
    L: int,
    updates: int,
    rates: dict[str, float],
    lines: Lines,
    work: Work,
) -> Generator[Event, None, list[Tensor]]:
    """Trains a net for each initialization in `rates` and each seed.

    Adds the losses of each initialization to `lines`, or, of sigmoid units, the mean activations of each layer; returns
    the activations [K, H] of the hidden layers at the end, of a net with standard weights.
    """
    f, each = UNITS[unit], [(name, seed) for name in rates for seed in seeds]
    N_seeds = [seed for _, seed in each]
    nets = Nets([name for name, _ in each], N_seeds, given.x.shape[1], L, cfg.H, device)
    watched = given.x[: cfg.K].expand(len(each), -1, -1)
    lines |= {f"layer {i + 1}": [] for i in range(L)} if unit == "sigmoid" else {name: [] for name in rates}
    steps = train(nets, f, given, N_seeds, [rates[name] for name, _ in each], updates, cfg.batch)
    for step in itertools.chain([0], steps):
        if step % 10 == 0:
            yield work.more(10 * L * len(each) * (step > 0), f"{unit}: {len(each)} nets")
        if step % -(-updates // 30) == 0 or step == updates:
            with torch.no_grad():
                logits, _, z = nets(watched, f)
            loss = losses(logits, given.y[: cfg.K].expand(len(each), -1))
            means = torch.stack([layer.mean((1, 2)) for layer in z])  # [L, N]
            for at, (name, seed) in enumerate(each):
                row: Row = dict(unit=unit, net=name, seed=seed, step=step, loss=float(loss[at]))
                if unit == "sigmoid":
                    row |= dict(top=float(means[-1, at]), others=float(means[:-1, at].mean()))
                yield row
            shown = means if unit == "sigmoid" else loss.reshape(len(rates), -1)
            for line, values in zip(lines.values(), shown.tolist(), strict=True):
                line.append((step, values))
    for (name, seed), e in zip(each, score(nets, f, given.x_test, given.y_test)[1].tolist(), strict=True):
        yield dict(measure="end", unit=unit, net=name, seed=seed, test_error=e, rate=rates[name], data=given.name)
    return [layer[[name for name, _ in each].index("standard")].cpu() for layer in z]


def factors(name: str, cfg: Config, layers: int = 4) -> tuple[float, float]:
    """By how much a layer of linear units multiplies the variance of activations, and of gradients: `cfg.nets` nets."""
    H, generator = 64, torch.Generator().manual_seed(cfg.seed)
    limit = LIMIT[name](H, H)
    z = start = torch.randn(cfg.nets, 1, H, generator=generator).requires_grad_()
    for _ in range(layers):
        z = torch.bmm(z, (2 * torch.rand(cfg.nets, H, H, generator=generator) - 1) * limit)
    top = torch.randn(cfg.nets, 1, H, generator=generator)
    back = torch.autograd.grad(z, start, top)[0]
    grown = [float(p.detach().square().mean() / q.detach().square().mean()) for p, q in ((z, start), (back, top))]
    return grown[0] ** (1 / layers), grown[1] ** (1 / layers)


def at_the_start(cfg: Config, given: Task, seeds: list[int], device: torch.device) -> Iterator[Event]:
    """Sec. 4.2.2: activations, gradients and Jacobians of tanh nets before any update."""
    each = [(name, seed) for name in LIMIT for seed in seeds]
    nets = Nets([name for name, _ in each], [seed for _, seed in each], given.x.shape[1], cfg.L, cfg.H, device)
    logits, s, z = nets(given.x[: cfg.K].expand(len(each), -1, -1), torch.tanh)
    loss = losses(logits, given.y[: cfg.K].expand(len(each), -1)).sum()
    gradients = torch.autograd.grad(loss, [*s, *nets.W])
    back, weight = gradients[: cfg.L], gradients[cfg.L : -1]
    values = jacobians(nets, z, images=4)  # [N, ...]
    for at, (name, seed) in enumerate(each):
        ratio = [float(g[0][at].std() / g[1][at].std()) for g in ((back[0], back[-1]), (weight[1], weight[-1]))]
        yield dict(measure="start", net=name, seed=seed, back_ratio=ratio[0], weight_ratio=math.log2(ratio[1]),
                   singular=float(values[at].mean()))  # fmt: skip
        yield Progress(0, 1, "before any update")
    firsts = dict(zip(LIMIT, (0, len(seeds)), strict=True))
    yield histograms({name: [layer[at].detach().cpu() for layer in z] for name, at in firsts.items()},
                     {name: [cfg.K * layer[at].cpu() for layer in back] for name, at in firsts.items()})  # fmt: skip
    yield spectrum({name: values[at : at + len(seeds)].flatten() for name, at in firsts.items()}, cfg)


@torch.no_grad()
def jacobians(nets: Nets, z: list[Tensor], images: int) -> Tensor:
    """Singular values of J = dz'/dz between hidden layers of tanh units (Eq. 17), [N, ...]."""
    found = []
    for W, after in zip(nets.W[1:-1], z[1:], strict=True):
        slope = 1 - after[:, :images].square()  # tanh', [N, images, H]
        found.append(torch.linalg.svdvals((W[:, None] * slope[:, :, None]).cpu()))  # [N, images, H]
    return torch.stack(found, 1)


def histograms(activations: dict[str, list[Tensor]], gradients: dict[str, list[Tensor]]) -> Figure:
    drawn, axes = canvas(2, 2, height=4.2)
    for row, name in enumerate(activations):
        sides = (activations[name], 1.0, "activation"), (gradients[name], 0.1, "back-propagated gradient")
        for ax, (layers, reach, title) in zip(axes[row], sides, strict=True):
            for i, (values, colour) in enumerate(zip(layers, itertools.cycle(PALETTE)), 1):
                counts, edges = torch.histogram(values.flatten(), 60, range=(-reach, reach), density=True)
                ax.plot(edges[1:].numpy(), counts.numpy(), color=colour, linewidth=1, label=f"layer {i}")
            ax.set(title=f"{name}: {title}", yticks=[])
    axes[0][0].legend(fontsize=6)
    return figure("histograms", drawn, "A tanh net before any update, by layer (as Figs. 6 and 7): with standard weights the "
                  "activations pile up at zero towards the top, the gradients towards the bottom")  # fmt: skip


def spectrum(values: dict[str, Tensor], cfg: Config) -> Figure:
    """With the law for large random matrices, a quarter of an ellipse of radius 2 sqrt(n Var[W])."""
    drawn, ax = canvas(height=2.7)
    for (name, each), colour in zip(values.items(), PALETTE, strict=False):
        ax.hist(
            each.numpy(),
            60,
            range=(0, 2),
            density=True,
            color=colour,
            alpha=0.5,
            label=f"{name}: mean {each.mean():.2f}",
        )
        radius = 2 * (cfg.H * LIMIT[name](cfg.H, cfg.H) ** 2 / 3) ** 0.5
        x = torch.linspace(0, radius, 200)
        ax.plot(x.numpy(), ((radius**2 - x**2).clamp_min(0).sqrt() * 4 / (math.pi * radius**2)).numpy(), color=colour)
    ax.set(xlabel="singular value of a layer's Jacobian", ylabel="density")
    ax.legend(fontsize=7)
    return figure("spectrum", drawn, "Singular values of the Jacobians of tanh layers before any update; lines: the "
                  "quarter-circle law for linear layers, whose means are 0.85 and 0.49")  # fmt: skip


def learning(panels: dict[str, Lines]) -> Figure:
    drawn, axes = canvas(1, len(panels), height=2.9)
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for (label, points), colour in zip(lines.items(), PALETTE, strict=False):
            steps = [step for step, _ in points]
            for at, line in enumerate(zip(*(loss for _, loss in points), strict=True)):
                ax.plot(steps, line, color=colour, linewidth=0.9, label=label if at == 0 else None)
        ax.set(title=title, xlabel="update", ylabel="training cross-entropy", ylim=(0, 2.6))
        ax.legend(fontsize=7)
    return figure("learning", drawn, "Training loss, each initialization at its own best rate, a line for each seed")


def at_the_end(ends: dict[str, list[Tensor]]) -> Figure:
    drawn, axes = canvas(1, len(ends), height=2.7)
    for ax, (title, layers) in zip(axes, ends.items(), strict=True):
        for i, (values, colour) in enumerate(zip(layers, itertools.cycle(PALETTE)), 1):
            counts, edges = torch.histogram(values.flatten(), 60, range=(-1, 1), density=True)
            ax.plot(edges[1:].numpy(), counts.numpy(), color=colour, linewidth=1, label=f"layer {i}")
        ax.set(title=title, xlabel="activation", yticks=[])
    axes[0].legend(fontsize=6)
    return figure(
        "activations",
        drawn,
        "Activations after training from standard weights (as Fig. 4): with tanh some where the slope "
        "is small, with softsign on the knees",
    )


def saturation(means: Lines) -> Figure:
    drawn, ax = canvas(height=2.8)
    for (label, points), colour in zip(means.items(), itertools.cycle(PALETTE)):
        steps = [step for step, _ in points]
        for at, line in enumerate(zip(*(mean for _, mean in points), strict=True)):
            ax.plot(steps, line, color=colour, linewidth=0.9, label=label if at == 0 else None)
    ax.axhline(0.5, color=INK, linewidth=0.6, linestyle="--")
    ax.set(xlabel="update", ylabel="mean activation", ylim=(0, 1))
    ax.legend(fontsize=7)
    return figure(
        "saturation", drawn, "Mean activation of each hidden layer of sigmoid units, a line for each seed (as Fig. 2)"
    )


def check(rows: list[Row]) -> list[Verdict]:
    factor = [row for row in rows if row.get("measure") == "factor"]
    shrunk = by_seed(rows, "weight_ratio", net="standard")
    speed = {(unit, net): mean_loss(rows, unit, net) for unit in UNITS for net in LIMIT}
    top, others = lowest(rows)
    return [
        exact("variance-law", [float(row["factor"]) / float(row["law"]) for row in factor], 1.0,
              tolerance=0.1,  # ours: the two laws differ by a factor of three
              unit="factor of a layer over the law's"),
        compare("gradient-ratio", by_seed(rows, "back_ratio", net="normalized"), by_seed(rows, "back_ratio", net="standard"),
                better="higher",
                margin=0.25,  # ours: a quarter of the way from nothing to a gradient that doesn't shrink
                unit="gradient's std at the first hidden layer over the last"),
        compare("jacobian", by_seed(rows, "singular", net="normalized"), by_seed(rows, "singular", net="standard"),
                better="higher",
                margin=0.15,  # Sec. 4.2.2: half of what lies between 0.5 and 0.8
                unit="mean singular value"),
        alike("weight-gradients", shrunk, dict.fromkeys(shrunk, 0.0), tolerance=1.0,  # ours: a factor of two
              unit="log2 of the weight gradient's std at the second layer over the last hidden one"),
        compare("tanh-faster", speed["tanh", "normalized"], speed["tanh", "standard"], better="lower",
                margin=0.05,  # ours: a fiftieth of a guess's loss
                unit="training cross-entropy, mean over training"),
        compare("softsign-faster", speed["softsign", "normalized"], speed["softsign", "standard"], better="lower",
                margin=0.05,  # as above
                unit="training cross-entropy, mean over training"),
        compare("sigmoid-saturates", top, others, better="lower",
                margin=0.25,  # ours: half of the way from where sigmoid units start to saturation
                unit="mean activation of the top hidden layer at its lowest, against the others then"),
    ]  # fmt: skip


def mean_loss(rows: list[Row], unit: str, net: str) -> dict[int, float]:
    """Mean over the records of a training, seed by seed."""
    each: dict[int, list[float]] = {}
    for row in rows:
        if "loss" in row and row["unit"] == unit and row["net"] == net:
            each.setdefault(int(row["seed"]), []).append(float(row["loss"]))
    return {seed: math.fsum(values) / len(values) for seed, values in each.items()}


def lowest(rows: list[Row]) -> tuple[dict[int, float], dict[int, float]]:
    """Mean activations of the top hidden layer and of the others, when the top's is at its lowest, seed by seed."""
    found: dict[int, tuple[float, float]] = {}
    for row in rows:
        if "top" in row:
            seed, now = int(row["seed"]), (float(row["top"]), float(row["others"]))
            found[seed] = min(found.get(seed, now), now)
    return {seed: top for seed, (top, _) in found.items()}, {seed: others for seed, (_, others) in found.items()}


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
