"""Fast and Accurate Deep Network Learning by Exponential Linear Units (ELUs). Clevert et al., arXiv:1511.07289, 2015.

Claims      nearer-zero  the units' mean activations stay nearer zero than those of ReLUs and leaky ReLUs (Sec. 4.1, Fig. 2a)
            faster       after as many updates at the same rate, the training loss is lower than theirs (Sec. 4.1, Fig. 2b)
            own-rate     it is lower, too, when each of the three takes the rate that suits it best (ours)
            slope        f' is 1 above zero and f + alpha below, so that the backward pass needs nothing but the output (Sec. 3)
Deviations  1  `quick` and `full` end in the first epochs, the paper's 300 are `paper`; its curves fall most in the beginning
            2  the paper has one rate; for `own-rate` each kind of unit takes that of `rates` with which a net of another
               seed ends at the lowest training loss
            3  of ReLU and leaky ReLU the better one, seed by seed, is what ELU must beat
            4  tanh and sigmoid are ours, drawn and not judged; they start with the rectifiers' initialization
Left out    the natural gradient (Sec. 2), autoencoders, CIFAR, ImageNet, batch normalization, shifted ReLU
Shapes      N nets side by side, B images, D pixels, H units in each of L hidden layers, C classes, K images watched
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.data import Images, handwriting
from impl.kit.figures import INK, PALETTE, canvas, figure


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. 4.1; `auto` is MNIST where it can be had, else scikit-learn's digits
    alpha: float = 1.0  # same: of the ELU
    leak: float = 0.1  # same: of the leaky ReLU
    L: int = 8  # same: hidden layers
    H: int = 128  # same: units in each
    rate: float = 0.01  # same
    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)  # ours: for the claim `own-rate`
    batch: int = 64  # Sec. 4.1
    updates: int = 281_400  # same: 300 epochs
    K: int = 1_000  # ours; Sec. 4.1 has "a fixed subset" of the training images
    seeds: int = 5  # Fig. 2: five runs
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, updates=4_690)
QUICK = replace(PAPER, data="auto", updates=240, K=250)
SMOKE = replace(QUICK, data="digits", L=3, H=16, rates=(0.01, 0.1), batch=16, updates=10, K=50, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

JUDGED = ("elu", "relu", "leaky relu")
PAST = ("tanh", "sigmoid")


class ELU(torch.autograd.Function):
    """Sec. 3: f(x) = x above zero, alpha (exp(x) - 1) below: it saturates at -alpha."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        f = torch.where(x > 0, x, alpha * torch.expm1(x.clamp(max=0)))  # the clamp: no infinity on the other branch
        ctx.save_for_backward(f)
        ctx.alpha = alpha
        return f

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (f,) = ctx.saved_tensors
        return gradient * torch.where(f > 0, torch.ones_like(f), f + ctx.alpha), None


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    y: Tensor = ELU.apply(x, alpha)
    return y


def units(cfg: Config) -> dict[str, Callable[[Tensor], Tensor]]:
    return {
        "elu": lambda x: elu(x, cfg.alpha),
        "relu": lambda x: x.clamp(min=0),
        "leaky relu": lambda x: torch.maximum(cfg.leak * x, x),
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
    }


def slope_gap(alpha: float, draw: torch.Generator) -> float:
    """The largest difference of f and f' from what torch's own operator and autograd through the formula give."""
    x = (8 * torch.randn(1_000, generator=draw).double()).requires_grad_()
    gradient = torch.randn(1_000, generator=draw).double()
    formula = torch.where(x > 0, x, alpha * (torch.exp(x.clamp(max=0)) - 1))
    ours, *others = ((f, torch.autograd.grad(f, x, gradient)[0]) for f in (elu(x, alpha), formula, F.elu(x, alpha)))
    return max(float((a - b).detach().abs().max()) for other in others for a, b in zip(ours, other, strict=True))


class Nets:
    """N nets side by side, one for each seed; the same seed draws the same first weights whatever the units."""

    def __init__(self, cfg: Config, D: int, seeds: list[int], device: torch.device):
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        sizes = [D, *[cfg.H] * cfg.L, 10]
        self.W, self.b = [], []
        for a, b in itertools.pairwise(sizes):
            each = [torch.randn(a, b, generator=draw) * (2 / a) ** 0.5 for draw in draws]  # He et al. (2015)
            self.W.append(torch.stack(each).to(device).requires_grad_())
            self.b.append(torch.zeros(len(seeds), 1, b, device=device, requires_grad=True))

    def __call__(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> tuple[Tensor, list[Tensor]]:
        """[N, B, D] -> logits [N, B, C], and the activations [N, B, H] of each hidden layer."""
        hidden: list[Tensor] = []
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            x = f(torch.baddbmm(b, x, W))
            hidden.append(x)
        return torch.baddbmm(self.b[-1], x, self.W[-1]), hidden


def losses(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each net, [N, B, C] and [N, B] -> [N]."""
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(1)


@torch.no_grad()
def watch(nets: Nets, f: Callable[[Tensor], Tensor], data: Images, K: int) -> tuple[Tensor, Tensor]:
    """Training loss [N] on K fixed training images, and the mean activation of every hidden unit, [N, L, H]."""
    N = len(nets.W[0])
    x, y = data.x_train[:K].flatten(1), data.y_train[:K]
    logits, hidden = nets(x.expand(N, -1, -1), f)
    return losses(logits, y.expand(N, -1)), torch.stack([h.mean(1) for h in hidden], 1)


@torch.no_grad()
def test_errors(nets: Nets, f: Callable[[Tensor], Tensor], data: Images) -> Tensor:
    """In percent, [N]."""
    N = len(nets.W[0])
    guesses = [nets(x.flatten(1).expand(N, -1, -1), f)[0].argmax(2) for x in data.x_test.split(1_000)]
    return 100 * (torch.cat(guesses, 1) != data.y_test).float().mean(1)


def train(
    nets: Nets, f: Callable[[Tensor], Tensor], data: Images, seeds: list[int], rates: list[float], cfg: Config
) -> Iterator[int]:
    """Plain stochastic gradient descent, Sec. 4.1; each seed draws its own mini-batches, the same for all units."""
    draws = [torch.Generator().manual_seed(seed + 500_000) for seed in seeds]
    device = data.x_train.device
    step_size = torch.tensor(rates, device=device)[:, None, None]
    x_train, parameters = data.x_train.flatten(1), [*nets.W, *nets.b]
    for step in range(1, cfg.updates + 1):
        at = torch.stack([torch.randint(len(x_train), (cfg.batch,), generator=draw) for draw in draws]).to(device)
        loss = losses(nets(x_train[at], f)[0], data.y_train[at]).sum()  # of nets that share nothing
        with torch.no_grad():
            for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                p.sub_(step_size * gradient)
        yield step


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    data = handwriting(cfg.data).to(device)
    D = data.x_train[0].numel()
    seeds = list(range(cfg.seed, cfg.seed + cfg.seeds))
    trials = [cfg.seed + 1_000_003] * len(cfg.rates)  # a seed used for nothing else
    total = float(cfg.updates * (len(JUDGED) * (len(trials) + 2 * len(seeds)) + len(PAST) * len(seeds)))
    done, every = 0.0, -(-cfg.updates // 16)

    for seed in seeds:
        yield dict(seed=seed, gap=slope_gap(cfg.alpha, torch.Generator().manual_seed(seed)))
    yield shapes(cfg)

    history: dict[str, list[tuple[int, Tensor, Tensor]]] = {}  # update, loss and median of each seed's net
    maps: dict[str, Tensor] = {}
    by_rate: dict[str, list[tuple[float, float]]] = {}
    for name, f in units(cfg).items():
        settings = {"the paper's rate": cfg.rate}
        if name in JUDGED:
            nets = Nets(cfg, D, trials, device)
            for step in train(nets, f, data, trials, list(cfg.rates), cfg):
                done += len(trials)
                if step % 10 == 0:
                    yield Progress(done, total, f"{name}: trying the rates")
            ends = watch(nets, f, data, cfg.K)[0].nan_to_num(torch.inf, torch.inf).tolist()
            by_rate[name] = list(zip(cfg.rates, ends, strict=True))
            settings["own rate"] = min(zip(ends, cfg.rates, strict=True))[1]
        labels = [(seed, setting, rate) for setting, rate in settings.items() for seed in seeds]  # of the N nets
        N_seeds, N_rates = [seed for seed, _, _ in labels], [rate for _, _, rate in labels]

        nets, history[name] = Nets(cfg, D, N_seeds, device), []
        for step in itertools.chain([0], train(nets, f, data, N_seeds, N_rates, cfg)):
            done += len(labels) * (step > 0)
            if step % 10 == 0:
                yield Progress(done, total, f"{name}, {len(labels)} nets")
            if step % every == 0 or step == cfg.updates:
                loss, activation = watch(nets, f, data, cfg.K)
                median = activation.flatten(1).median(1).values
                history[name].append((step, loss[: len(seeds)].cpu(), median[: len(seeds)].cpu()))
                for (seed, setting, rate), a, b in zip(labels, loss.tolist(), median.tolist(), strict=True):
                    yield dict(net=name, setting=setting, seed=seed, step=step, loss=a, median=b, rate=rate)
        maps[name] = activation[0].cpu()
        for (seed, setting, _), wrong in zip(labels, test_errors(nets, f, data).tolist(), strict=True):
            yield dict(net=name, setting=setting, seed=seed, test_error=wrong, data=data.name)

    yield learning(history)
    yield mean_activations(maps)
    yield losses_by_rate(by_rate)
    yield Progress(total, total, "done")


def shapes(cfg: Config) -> Figure:
    """Fig. 1, and the slopes."""
    drawn, axes = canvas(1, 2, height=2.6)
    x = torch.linspace(-4, 3, 701, requires_grad=True)
    for name, f in units(cfg).items():
        y = f(x)
        style = "-" if name in JUDGED else ":"
        axes[0].plot(x.detach().numpy(), y.detach().numpy(), style, label=name)
        axes[1].plot(x.detach().numpy(), torch.autograd.grad(y.sum(), x)[0].numpy(), style)
    axes[0].axhline(-cfg.alpha, color=INK, linewidth=0.6, linestyle="--")
    axes[0].set(title="f", xlabel="x", ylim=(-1.3, 3))
    axes[1].set(title="f'", xlabel="x")
    axes[0].legend(fontsize=7)
    return figure("shapes", drawn, "The units and their slopes (as in Fig. 1): below zero the ELU saturates, softly")


def learning(history: dict[str, list[tuple[int, Tensor, Tensor]]]) -> Figure:
    drawn, axes = canvas(1, 2, height=3.0)
    for (name, records), colour in zip(history.items(), PALETTE, strict=False):
        steps = [step for step, _, _ in records]
        for ax, at in ((axes[0], 2), (axes[1], 1)):
            lines = torch.stack([record[at] for record in records], 1)  # type: ignore[misc]
            ax.plot(steps, lines.mean(0).numpy(), "-" if name in JUDGED else ":", color=colour, label=name)
            ax.fill_between(steps, lines.amin(0).numpy(), lines.amax(0).numpy(), color=colour, alpha=0.15, linewidth=0)
    axes[0].axhline(0, color=INK, linewidth=0.6)
    axes[0].set(xlabel="update", ylabel="median of the units' mean activations")
    axes[1].set(xlabel="update", ylabel="training cross-entropy", ylim=(0, 2.6))
    axes[0].legend(fontsize=7)
    return figure("learning", drawn, "At the paper's rate, as in Fig. 2; bands over the seeds")


def mean_activations(maps: dict[str, Tensor]) -> Figure:
    drawn, axes = canvas(len(maps), 1, height=0.4 + 1.05 * len(maps))
    for ax, (name, activation) in zip(axes, maps.items(), strict=True):
        shown = ax.imshow(activation.sort(1).values.numpy(), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        ax.set(title=name, yticks=[0, len(activation) - 1], yticklabels=["1", str(len(activation))], xticks=[])
    axes[len(axes) // 2].set_ylabel("hidden layer")
    bar = drawn.colorbar(shown, ax=list(axes), label="mean activation")
    bar.ax.yaxis.label.set_color(INK)
    bar.ax.tick_params(colors=INK)
    caption = "Every hidden unit's mean activation at the end, sorted within its layer; white is zero"
    return figure("mean-activations", drawn, caption)


def losses_by_rate(by_rate: dict[str, list[tuple[float, float]]]) -> Figure:
    drawn, ax = canvas(height=2.6)
    for (name, points), colour in zip(by_rate.items(), PALETTE, strict=False):
        rates, ends = zip(*points, strict=True)
        ax.plot(rates, [end if end < 10 else float("nan") for end in ends], "o-", color=colour, label=name)
        diverged = [rate for rate, end in points if end >= 10]
        ax.plot(diverged, [2.3] * len(diverged), "x", color=colour)
    ax.set(xlabel="learning rate", ylabel="training cross-entropy", xscale="log", ylim=(0, 2.5))
    ax.legend()
    caption = "Training loss at the end by rate, one net each, of a seed used for nothing else; a cross is a net that diverged"
    return figure("rates", drawn, caption)


def check(rows: list[Row]) -> list[Verdict]:
    nets = [row for row in rows if "net" in row]
    same, own = "the paper's rate", "own rate"
    distance = {name: throughout(nets, name, same) for name in JUDGED}
    loss = {s: {name: by_seed(nets, "loss", net=name, setting=s) for name in JUDGED} for s in (same, own)}
    return [
        compare("nearer-zero", distance["elu"], best(distance["relu"], distance["leaky relu"]), better="lower",
                margin=0.05,  # ours: a twentieth of the ELU's range below zero
                unit="distance from zero of the median unit's mean activation, mean over training"),
        compare("faster", loss[same]["elu"], best(loss[same]["relu"], loss[same]["leaky relu"]), better="lower",
                margin=0.023,  # ours: a hundredth of ln 10, the loss of a guess
                unit="training cross-entropy at the paper's rate"),
        compare("own-rate", loss[own]["elu"], best(loss[own]["relu"], loss[own]["leaky relu"]), better="lower",
                margin=0.023,  # as above
                unit="training cross-entropy, each at its own rate"),
        exact("slope", [float(row["gap"]) for row in rows if "gap" in row], 0.0, tolerance=1e-12,
              unit="largest difference from autograd and from torch's own"),
    ]  # fmt: skip


def throughout(rows: list[Row], name: str, setting: str) -> dict[int, float]:
    """Mean over the records of a training of how far from zero the median unit is, seed by seed."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if "median" in row and row["net"] == name and row["setting"] == setting:
            found.setdefault(int(row["seed"]), []).append(abs(float(row["median"])))
    return {seed: sum(values) / len(values) for seed, values in found.items()}


def best(a: dict[int, float], b: dict[int, float]) -> dict[int, float]:
    return {seed: min(a[seed], b[seed]) for seed in a}


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
