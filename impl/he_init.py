"""Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet Classification. He et al., ICCV, 2015.

Claims      response-variance  a layer multiplies the variance of responses and gradients by (1 + a^2)/2 n Var[w] (Eqs. 8, 12)
            gradient-scale     L layers of Xavier's weights scale a gradient by exactly 2^(-L/2) of what He's do (Sec. 2.2)
            thirty-layers      30 layers of ReLUs train with Var[w] = 2/n, and not with Xavier's 1/n (Fig. 3)
            xavier-stalls      with Xavier's they do no better than guessing, at any rate tried (Fig. 3)
            twenty-two-layers  with 22 layers He's starts reducing the error sooner (Fig. 2)
            both-train         with 22 layers Xavier's reduces it in the end, too (Fig. 2)
            prelu-gradient     the gradients of PReLU in Eqs. 2 and 3 are autograd's and nn.PReLU's
            prelu-fits         learning the slope below zero lowers the training loss (Abstract, Sec. 2.1)
            prelu-error        and saves test errors (Table 2)
            coefficients       the first layer's slopes end greater than those of the later ones (Table 1)
Deviations  1  fully connected nets on handwriting instead of convolutional ones on ImageNet
            2  each initialization takes the rate of `rates` that suits it best on validation images, and it is never lowered;
               ReLU and PReLU share the rate that suits ReLU best
            3  the widths and numbers of updates are ours; a channel is a unit; every layer is initialized by the same rule
Left out    the 19- and 22-layer models A, B and C, multi-scale training, spatial pyramid pooling, the 4.94 % on ImageNet
Shapes      N nets side by side, B images, D pixels, H units in each of L - 1 hidden layers, C classes
"""

import itertools
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, alike, by_seed, compare, exact, main
from impl.kit.data import handwriting
from impl.kit.figures import INK, PALETTE, canvas, figure


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # ours; `auto` is MNIST where it can be had, else scikit-learn's digits
    n: int = 50_000  # ours: training images
    deep: int = 30  # Fig. 3: layers
    less_deep: int = 22  # Fig. 2
    small: int = 14  # Table 1: of the model that compares PReLU with ReLU
    H: int = 256  # ours
    a: float = 0.25  # Sec. 2.1: where the coefficients start
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)  # ours; Sec. 3 starts at 0.01
    momentum: float = 0.9  # Sec. 3
    decay: float = 0.0005  # Sec. 3: of the weights, never of a (Sec. 2.1)
    batch: int = 128  # Sec. 3
    updates: int = 31_250  # ours: 80 epochs of the images here
    longer: int = 31_250  # same: for the nets of Fig. 2, whose Xavier's must have time to leave the plateau
    nets: int = 400  # ours: nets drawn to measure the variances
    watched: int = 10_000  # ours: test images; a tenth as many validation images
    seeds: int = 5  # ours: how many repetitions
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(
    PAPER, n=10_000, H=128, rates=(0.001, 0.003, 0.01), batch=32, updates=3_000, longer=6_000, nets=200, watched=5_000
)
QUICK = replace(
    FULL, data="auto", n=2_000, H=64, rates=(0.003, 0.01), updates=500, longer=1_250, nets=64, watched=2_000
)
SMOKE = replace(
    QUICK,
    data="digits",
    n=200,
    deep=6,
    less_deep=4,
    small=3,
    H=16,
    batch=16,
    updates=8,
    longer=10,
    nets=16,
    watched=200,
    seeds=2,
)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

GAIN = {"he": 2.0, "xavier": 1.0}  # n Var[w]: Eq. 10; Xavier's, Sec. 2.2 "Comparisons with Xavier"
SIDES = ("responses", "gradients")
KINDS = ("relu", "shared", "channel-wise")
Curves = dict[str, list[tuple[int, list[float]]]]  # a line for each seed, for each title


class PReLU(torch.autograd.Function):
    """Sec. 2.1: f(y) = y above zero, a y below, and both gradients by hand."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, a: Tensor) -> Tensor:
        ctx.save_for_backward(y, a)
        return torch.where(y > 0, y, a * y)  # Eq. 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        y, a = ctx.saved_tensors
        df_da = y.clamp(max=0)  # Eq. 3: zero above, y below
        return gradient * torch.where(y > 0, 1.0, a), (gradient * df_da).sum_to_size(a.shape)  # Eq. 2


def prelu(y: Tensor, a: Tensor) -> Tensor:
    f: Tensor = PReLU.apply(y, a)
    return f


def draw(fan_in: int, shape: Sequence[int], gains: Sequence[float], seeds: Sequence[int], key: int) -> Tensor:
    """Weights [N, *shape] with n Var[w] = gain (Eq. 10); nets of one seed get the same draw, scaled."""
    each = []
    for gain, seed in zip(gains, seeds, strict=True):
        generator = torch.Generator().manual_seed(1_000 * seed + key)
        each.append(torch.randn(*shape, generator=generator) * (gain / fan_in) ** 0.5)
    return torch.stack(each)


class Nets:
    """N nets of L layers, side by side. The hidden matrices are one tensor, which only saves time."""

    def __init__(
        self,
        L: int,
        D: int,
        H: int,
        gains: Sequence[float],
        seeds: Sequence[int],
        a: float,
        kind: str,
        device: torch.device,
    ):
        N, self.kind = len(seeds), kind
        self.first = draw(D, (D, H), gains, seeds, 0)
        self.W = torch.stack([draw(H, (H, H), gains, seeds, layer) for layer in range(1, L - 1)])  # [L - 2, N, H, H]
        self.last = draw(H, (H, 10), gains, seeds, 999)
        self.b, self.c = torch.zeros(L - 1, N, 1, H), torch.zeros(N, 1, 10)  # Sec. 2.2: b = 0
        self.a = torch.full((L - 1, N, 1, 1 if kind == "shared" else H), a)
        for name in ("first", "W", "last", "b", "c", "a"):
            setattr(self, name, getattr(self, name).to(device).requires_grad_(name != "a" or kind != "relu"))

    def weights(self) -> list[Tensor]:
        return [self.first, self.W, self.last, self.b, self.c]

    def parameters(self) -> list[Tensor]:
        return [*self.weights(), *([self.a] if self.a.requires_grad else [])]

    def __call__(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[N, B, D] -> logits [N, B, C], and the responses y [N, B, H] of the hidden layers."""
        responses = []
        for W, b, a in zip([self.first, *self.W.unbind()], self.b.unbind(), self.a.unbind(), strict=True):
            y = torch.baddbmm(b, x, W)  # Eq. 5
            responses.append(y)
            x = F.relu(y) if self.kind == "relu" else prelu(y, a)
        return torch.baddbmm(self.c, x, self.last), responses


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each net: [N, B, C] and [N, B] -> [N]."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(labels.shape).mean(1)


@torch.no_grad()
def score(nets: Nets, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and % errors of each net, [N], on the same images."""
    N = nets.c.shape[0]
    logits = torch.cat([nets(part.expand(N, -1, -1))[0] for part in x.split(500)], 1)
    wrong = logits.argmax(2) != labels
    return losses(logits, labels.expand(N, -1)), 100 * wrong.float().mean(1)


def train(
    nets: Nets, x: Tensor, labels: Tensor, seeds: Sequence[int], rates: Sequence[float], updates: int, cfg: Config
) -> Iterator[int]:
    """Momentum, with weight decay for everything but a (Sec. 2.1); nets of one seed see the same mini-batches."""
    generators = {seed: torch.Generator().manual_seed(seed + 500_000) for seed in seeds}
    rate = torch.tensor(rates, device=x.device)[:, None, None]  # [N, 1, 1]
    parameters = nets.parameters()
    speed = [torch.zeros_like(p) for p in parameters]
    for step in range(1, updates + 1):
        batches = {seed: torch.randint(len(x), (cfg.batch,), generator=g) for seed, g in generators.items()}
        at = torch.stack([batches[seed] for seed in seeds]).to(x.device)
        loss = losses(nets(x[at])[0], labels[at]).sum()  # of nets that share nothing
        with torch.no_grad():
            for p, v, gradient in zip(parameters, speed, torch.autograd.grad(loss, parameters), strict=True):
                if p is not nets.a:
                    gradient.add_(p, alpha=cfg.decay)
                p.sub_(v.mul_(cfg.momentum).addcmul_(rate, gradient))  # Sec. 2.1, Eq. 4
        yield step


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
    """Images less their mean, of variance one."""
    data = handwriting(cfg.data).to(device)
    spare = min(cfg.watched // 10, len(data.x_train) // 5)
    x, x_test = data.x_train.flatten(1), data.x_test.flatten(1)
    mean, std = x.mean(0), x.sub(x.mean(0)).std()
    x, x_test = (x - mean) / std, (x_test - mean) / std
    end = spare + cfg.n
    return Task(x[spare:end], data.y_train[spare:end], x[:spare], data.y_train[:spare],
                x_test[: cfg.watched], data.y_test[: cfg.watched], data.name)  # fmt: skip


class Work:
    """How far a run has come, in layers of nets times updates."""

    def __init__(self, total: int):
        self.done, self.total = 0, total

    def more(self, work: int, note: str) -> Progress:
        self.done += work
        return Progress(self.done, self.total, note)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    seeds = list(range(cfg.seed, cfg.seed + cfg.seeds))
    yield from laws(cfg, seeds)
    given = task(cfg, device)
    yield from at_the_start(cfg, given, device)

    tried, R, S = len(GAIN), len(cfg.rates), len(seeds)
    depths = {cfg.deep: cfg.updates, cfg.less_deep: cfg.longer}
    work = Work(
        tried * (R + S) * sum(L * updates for L, updates in depths.items()) + cfg.small * cfg.updates * (R + 3 * S)
    )
    panels: dict[str, Curves] = {}
    for L, updates in depths.items():
        rates = yield from best_rates(cfg, given, device, L, updates, GAIN, work)
        lines: Curves = {}
        panels[f"{L} layers"] = lines
        yield from trained(cfg, given, device, L, updates, "relu", GAIN, rates, lines, work)
    yield learning(
        "depth", panels, "Training loss with He's and with Xavier's weights, a line for each seed (as Figs. 2 and 3)"
    )

    # ReLU's own rate for all: Sec. 4.1 trains both alike
    rate = (yield from best_rates(cfg, given, device, cfg.small, cfg.updates, {"relu": 2.0}, work))["relu"]
    lines, slopes = {}, {}
    for kind in KINDS:
        gain = 2.0 if kind == "relu" else 2 / (1 + cfg.a**2)  # Eqs. 10 and 15
        nets = yield from trained(
            cfg, given, device, cfg.small, cfg.updates, kind, {kind: gain}, {kind: rate}, lines, work
        )
        slopes[kind] = nets.a.detach().squeeze(2).cpu()  # [L - 1, N, H], or [L - 1, N, 1]
        for layer, each in enumerate(slopes[kind].mean(2).tolist() if kind != "relu" else [], 1):
            for seed, a in zip(seeds, each, strict=True):
                yield dict(measure="coefficient", net=kind, seed=seed, layer=layer, a=a)
    yield learning(
        "prelu", {f"{cfg.small} layers": lines}, "Training loss with ReLU and with learnt slopes, a line for each seed"
    )
    yield coefficients(slopes, cfg.a)
    yield Progress(work.total, work.total, "done")


def best_rates(
    cfg: Config, given: Task, device: torch.device, L: int, updates: int, gains: dict[str, float], work: Work
) -> Generator[Event, None, dict[str, float]]:
    """The rate at which a net of a seed used for nothing else ends at the lowest validation loss, for each initialization."""
    trials = [(name, rate) for name in gains for rate in cfg.rates]
    seeds = [cfg.seed + 700_001] * len(trials)
    nets = Nets(L, given.x.shape[1], cfg.H, [gains[name] for name, _ in trials], seeds, cfg.a, "relu", device)
    for step in train(nets, given.x, given.y, seeds, [rate for _, rate in trials], updates, cfg):
        if step % 10 == 0:
            yield work.more(10 * L * len(trials), f"{L} layers: trying the rates")
    ends = score(nets, given.x_valid, given.y_valid)[0].nan_to_num(99, 99).clamp_max(99).tolist()
    best: dict[str, tuple[float, float]] = {}
    for (name, rate), end in zip(trials, ends, strict=True):
        best[name] = min(best.get(name, (end, rate)), (end, rate))
        yield dict(measure="trial", net=name, layers=L, rate=rate, validation_loss=end)
    return {name: rate for name, (_, rate) in best.items()}


def trained(
    cfg: Config,
    given: Task,
    device: torch.device,
    L: int,
    updates: int,
    kind: str,
    gains: dict[str, float],
    rates: dict[str, float],
    lines: Curves,
    work: Work,
) -> Generator[Event, None, Nets]:
    """Trains a net for each initialization and seed; adds to `lines` and returns the nets."""
    each = [(name, seed) for name in gains for seed in range(cfg.seed, cfg.seed + cfg.seeds)]
    seeds = [seed for _, seed in each]
    nets = Nets(L, given.x.shape[1], cfg.H, [gains[name] for name, _ in each], seeds, cfg.a, kind, device)
    lines |= {name: [] for name in gains}
    steps = train(nets, given.x, given.y, seeds, [rates[name] for name, _ in each], updates, cfg)
    for step in itertools.chain([0], steps):
        if step % 10 == 0:
            yield work.more(10 * L * len(each) * (step > 0), f"{L} layers, {kind}: {len(each)} nets")
        if step % -(-updates // 16) == 0 or step == updates:
            loss, wrong = score(nets, given.x[:500], given.y[:500])
            for (name, seed), a, e in zip(each, loss.tolist(), wrong.tolist(), strict=True):
                yield dict(net=name, layers=L, seed=seed, step=step, loss=a, train_error=e)
            for name, losses_of in zip(gains, loss.reshape(len(gains), -1).tolist(), strict=True):
                lines[name].append((step, losses_of))
    for (name, seed), e in zip(each, score(nets, given.x_test, given.y_test)[1].tolist(), strict=True):
        yield dict(measure="end", net=name, layers=L, seed=seed, test_error=e, rate=rates[name], data=given.name)
    return nets


def laws(cfg: Config, seeds: Sequence[int]) -> Iterator[Event]:
    """What needs no training, in double precision on the CPU."""
    for seed in seeds:
        yield dict(measure="prelu", seed=seed, gap=prelu_gap(torch.Generator().manual_seed(seed)))
        yield dict(measure="scale", seed=seed, ratio=gradient_ratio(cfg.deep, cfg.H, seed))
    for a, gain in itertools.product((0.0, cfg.a, 1.0), GAIN.values()):
        responses, gradients = factors(a, gain, cfg)
        law = 0.5 * (1 + a**2) * gain  # Eqs. 8, 12 and 15
        yield dict(measure="factor", a=a, gain=gain, law=law, responses=responses, gradients=gradients)
        yield Progress(0, 1, "variance through a layer")


def prelu_gap(generator: torch.Generator) -> float:
    """The largest difference of f and its two gradients from autograd through the formula and from nn.PReLU."""
    B, H = 200, 12
    y, top = (torch.randn(B, H, generator=generator).double() for _ in range(2))
    a = torch.rand(H, generator=generator).double()
    theirs = nn.PReLU(H, dtype=torch.float64)
    theirs.weight.data.copy_(a)
    y, a = y.requires_grad_(), a.requires_grad_()
    ours = [f := prelu(y, a), *torch.autograd.grad(f, [y, a], top)]
    formula = [f := y.clamp(min=0) + a * y.clamp(max=0), *torch.autograd.grad(f, [y, a], top)]
    module = [f := theirs(y), *torch.autograd.grad(f, [y, theirs.weight], top)]
    return max(
        float((p - q).detach().abs().max()) for other in (formula, module) for p, q in zip(ours, other, strict=True)
    )


def gradient_ratio(L: int, H: int, seed: int) -> float:
    """std of the gradient that L layers of Xavier's weights send back over that of He's, times 2^(L/2): exactly 1.

    The same draws, scaled: a positive factor changes no sign, hence no ReLU, and comes out of every layer.
    """
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(L, H, H, generator=generator).double()
    x, top = (torch.randn(32, H, generator=generator).double() for _ in range(2))
    std = {}
    for name, gain in GAIN.items():
        y = start = x.clone().requires_grad_()
        for W in normal * (gain / H) ** 0.5:
            y = F.relu(y @ W)
        std[name] = torch.autograd.grad(y, start, top)[0].std()
    return float(std["xavier"] / std["he"] * 2 ** (L / 2))


def factors(a: float, gain: float, cfg: Config, layers: int = 4) -> tuple[float, float]:
    """By how much a layer multiplies the variance of responses, and of gradients; mean over `cfg.nets` random nets.

    Among nets drawn independently the squares' means multiply exactly as in Eqs. 9 and 13, however narrow they are.
    """
    H, generator = 128, torch.Generator().manual_seed(cfg.seed)
    y = torch.randn(cfg.nets, 1, H, generator=generator).requires_grad_()
    start, slope = y, torch.tensor(a)
    for _ in range(layers):
        W = torch.randn(cfg.nets, H, H, generator=generator) * (gain / H) ** 0.5
        y = torch.bmm(prelu(y, slope), W)
    top = torch.randn(cfg.nets, 1, H, generator=generator)
    back = torch.autograd.grad(y, start, top)[0]
    grown = [float(p.detach().square().mean() / q.detach().square().mean()) for p, q in ((y, start), (back, top))]
    return grown[0] ** (1 / layers), grown[1] ** (1 / layers)


def at_the_start(cfg: Config, given: Task, device: torch.device) -> Iterator[Event]:
    """How large responses and gradients are in each layer of the deep net before any update."""
    seeds = [cfg.seed] * len(GAIN)
    nets = Nets(cfg.deep, given.x.shape[1], cfg.H, list(GAIN.values()), seeds, cfg.a, "relu", device)
    K = min(200, len(given.x))
    logits, responses = nets(given.x[:K].expand(len(GAIN), -1, -1))
    loss = losses(logits, given.y[:K].expand(len(GAIN), -1)).sum()
    gradients = torch.autograd.grad(loss, responses)
    y, dy = torch.stack(responses).detach().cpu(), K * torch.stack(gradients).cpu()  # [L - 1, 2, K, H]
    spread = dict(zip(SIDES, (y.std((2, 3)), dy.std((2, 3))), strict=True))
    for layer, at in itertools.product(range(len(y)), range(len(GAIN))):
        yield dict(measure="start", net=list(GAIN)[at], layer=layer + 1,
                   **{side: float(std[layer, at]) for side, std in spread.items()})  # fmt: skip

    drawn, axes = canvas(1, 2, height=2.8)
    for ax, (title, std) in zip(axes, spread.items(), strict=True):
        for at, name in enumerate(GAIN):
            ax.plot(
                range(1, len(std) + 1),
                std[:, at].numpy(),
                "o-",
                markersize=3,
                color=PALETTE[at],
                label=f"{name}: n Var[w] = {GAIN[name]:g}",
            )
        ax.set(xlabel="layer", title=f"std of the {title}", yscale="log")
    axes[0].legend(fontsize=7)
    yield figure("scale", drawn, f"Before any update, in a net of {cfg.deep} layers: with Xavier's weights "
                 "the responses lose a factor of 1.41 a layer on their way up, the gradients on their way down")  # fmt: skip

    drawn, axes = canvas(1, 2, height=2.8)
    for ax, (at, name) in zip(axes, enumerate(GAIN), strict=True):
        size = dy[:, at].square().mean(1).sqrt().clamp_min(1e-12).log10()  # [L - 1, H]
        shown = ax.imshow(size.numpy(), cmap="magma", aspect="auto", vmin=-7, vmax=0, interpolation="nearest")
        ax.set(title=name, xlabel="unit", ylabel="layer", yticks=[0, len(size) - 1], yticklabels=["1", str(len(size))])
    bar = drawn.colorbar(shown, ax=list(axes), label="log10 of the gradient")
    bar.ax.yaxis.label.set_color(INK)
    bar.ax.tick_params(colors=INK)
    yield figure("gradients", drawn, "The gradient of the loss at every unit before any update; black: never active")


def learning(name: str, panels: dict[str, Curves], caption: str) -> Figure:
    drawn, axes = canvas(1, len(panels), height=2.9)
    for ax, (title, lines) in zip(axes if len(panels) > 1 else [axes], panels.items(), strict=True):
        for (label, points), colour in zip(lines.items(), PALETTE, strict=False):
            steps, values = [step for step, _ in points], list(zip(*(loss for _, loss in points), strict=True))
            for at, line in enumerate(values):
                ax.plot(steps, line, color=colour, linewidth=1, label=label if at == 0 else None)
        ax.axhline(math.log(10), color=INK, linewidth=0.6, linestyle="--")
        ax.set(title=title, xlabel="update", ylabel="training cross-entropy", ylim=(0, 2.8))
        ax.legend(fontsize=7)
    return figure(name, drawn, f"{caption}; dashed: a guess")


def coefficients(slopes: dict[str, Tensor], start: float) -> Figure:
    """Table 1 as a picture: every unit of the first seed's net, the mean, and the shared coefficient."""
    drawn, ax = canvas(height=2.9)
    every, shared = slopes["channel-wise"], slopes["shared"][:, :, 0]
    layers = torch.arange(1, len(every) + 1)
    jitter = torch.linspace(-0.3, 0.3, every.shape[2])
    ax.plot(
        (layers[:, None] + jitter).flatten().numpy(),
        every[:, 0].flatten().numpy(),
        ".",
        color=PALETTE[0],
        markersize=2,
        alpha=0.5,
    )
    ax.plot(
        layers.numpy(), every.mean((1, 2)).numpy(), "o-", color=PALETTE[0], label="a coefficient for each unit: mean"
    )
    ax.plot(layers.numpy(), shared.mean(1).numpy(), "s-", color=PALETTE[1], label="one for each layer: mean")
    ax.axhline(start, color=INK, linewidth=0.6, linestyle="--")
    ax.set(xlabel="layer", ylabel="a, slope below zero", xticks=layers.tolist())
    ax.legend(fontsize=7)
    return figure(
        "coefficients",
        drawn,
        "The slopes learnt (as Table 1): lines over all seeds, dots the units of one net; dashed: the start",
    )


def check(rows: list[Row]) -> list[Verdict]:
    curves = [row for row in rows if "step" in row]
    depths = sorted({int(row["layers"]) for row in curves}, reverse=True)
    deep, less_deep, small = [*depths, 0, 0, 0][:3]
    ends = [row for row in rows if row.get("measure") == "end"]
    error = {(net, L): by_seed(ends, "test_error", net=net, layers=L) for net in (*GAIN, *KINDS) for L in depths}
    loss = {(net, L): by_seed(curves, "loss", net=net, layers=L) for net in (*GAIN, *KINDS) for L in depths}
    factor = [row for row in rows if row.get("measure") == "factor"]
    stalled = loss.get(("xavier", deep), {})
    fewer = {
        seed: 100 * e / error["relu", small][seed]
        for seed, e in error.get(("channel-wise", small), {}).items()
        if error["relu", small][seed] > 0
    }
    first, later = slopes_of(rows)
    return [
        exact("response-variance", [float(row[side]) / float(row["law"]) for row in factor for side in SIDES], 1.0,
              tolerance=0.1,  # ours: a missing 1/2 is off by 1
              unit="factor of a layer over the law's"),
        exact("gradient-scale", [float(row["ratio"]) for row in rows if "ratio" in row], 1.0, tolerance=1e-9,
              unit="times 2^(-L/2)"),
        compare("thirty-layers", error.get(("he", deep), {}), error.get(("xavier", deep), {}), better="lower",
                margin=45.0,  # ours: half of what a guess gets wrong
                unit=f"% test error, {deep} layers"),
        alike("xavier-stalls", stalled, dict.fromkeys(stalled, math.log(10)), tolerance=0.05,  # ours: 2 % of a guess's loss
              unit=f"training cross-entropy, {deep} layers, against a guess"),
        compare("twenty-two-layers", sooner(curves, "he", less_deep), sooner(curves, "xavier", less_deep), better="lower",
                margin=1.0,  # ours: an update
                unit="updates until the training error is half a guess's"),
        compare("both-train", error.get(("xavier", less_deep), {}), dict.fromkeys(error.get(("xavier", less_deep), {}), 90.0),
                better="lower", margin=45.0,  # as above
                unit=f"% test error, {less_deep} layers, against a guess"),
        exact("prelu-gradient", [float(row["gap"]) for row in rows if "gap" in row], 0.0, tolerance=1e-12,
              unit="largest difference from autograd and from nn.PReLU"),
        compare("prelu-fits", loss.get(("channel-wise", small), {}), loss.get(("relu", small), {}), better="lower",
                margin=0.01,  # ours
                unit=f"training cross-entropy, {small} layers"),
        compare("prelu-error", fewer, dict.fromkeys(fewer, 100.0), better="lower",
                margin=3.5,  # Table 2: 33.82 to 32.64 % is 3.5 % fewer
                unit="test errors, % of those with ReLU"),
        compare("coefficients", first, later, better="higher",
                margin=0.1,  # ours; Table 1: 0.596 against 0.03 to 0.46
                unit="mean slope of the first layer against the later ones"),
    ]  # fmt: skip


def sooner(rows: list[Row], net: str, L: int) -> dict[int, float]:
    """Seed by seed, the update at which the training error falls to 45 %, between two records; else one past the end."""
    found: dict[int, float] = {}
    last: dict[int, tuple[float, float]] = {}
    for row in rows:
        if row["net"] == net and row["layers"] == L:
            seed, step, e = int(row["seed"]), float(row["step"]), float(row["train_error"])
            if seed in last and e <= 45 and seed not in found:
                before, above = last[seed]
                found[seed] = before + (step - before) * (above - 45) / max(above - e, 1e-9)
            last[seed] = (step, e)
    return {seed: found.get(seed, step + 1) for seed, (step, _) in last.items()}


def slopes_of(rows: list[Row]) -> tuple[dict[int, float], dict[int, float]]:
    """Mean coefficient of the first layer, and of all later ones, seed by seed, of the nets with one for each unit."""
    each: dict[int, dict[int, float]] = {}
    for row in rows:
        if row.get("measure") == "coefficient" and row["net"] == "channel-wise":
            each.setdefault(int(row["seed"]), {})[int(row["layer"])] = float(row["a"])
    first = {seed: a.pop(1) for seed, a in each.items()}
    return first, {seed: math.fsum(a.values()) / len(a) for seed, a in each.items() if a}


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
