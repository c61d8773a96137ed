"""Rectifier Nonlinearities Improve Neural Network Acoustic Models. Maas, Hannun & Ng, ICML workshop WDLASL, 2013.

Claims      beats-tanh      a deep net of rectifiers makes fewer test errors than one of tanh units (abstract)
            leaky-alike     a net of leaky rectifiers makes nearly as many as one of plain rectifiers
            sparser         a unit of the last hidden layer is active for a smaller share of inputs than a tanh unit
            more-dispersed  the units share the work more evenly: these shares differ less from unit to unit than tanh's
            no-zero         no unit of a leaky net has a gradient of exactly zero
Deviations  1  handwritten digits instead of 300 hours of telephone speech (Switchboard), which are not to be had freely:
               test errors in percent instead of word error rates
            2  `quick` and `full` have narrow nets and few updates, `quick` only the deepest net
            3  each net takes of `rates` the one with the fewest errors on validation images, in the mean of `trials`
               nets, of seeds used for nothing else
            4  the first weights have variance 1 / fan-in for tanh, 2 / fan-in for rectifiers; momentum, the fall of
               the rate and the batches are ours
            5  the tolerance of `leaky-alike` is a quarter of the 2 points that the abstract says rectifiers gain
            6  the paper's text was not at hand: which outputs of a tanh unit count as off is from memory
Left out    the hidden Markov model and its decoder, filter bank features, context windows
Shapes      N nets side by side, B images, D pixels, H units in each hidden layer, C classes, K images watched
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, alike, by_seed, compare, exact, main
from impl.kit.data import handwriting
from impl.kit.figures import INK, PALETTE, canvas, figure


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # ours; the paper has the Switchboard speech corpus
    layers: tuple[int, ...] = (2, 3, 4)  # the paper's numbers of hidden layers; the deepest nets are judged
    H: int = 2048  # units in each; from memory, the tables of the paper were not at hand
    leak: float = 0.01  # the leaky rectifier's slope below zero, the paper's
    off: float = 0.95  # a tanh unit below -0.95 is off; from memory as well
    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)  # ours: each net takes the best of them on validation images
    trials: int = 3  # ours: nets whose mean error on them decides, for each rate
    momentum: float = 0.9  # ours
    batch: int = 50  # ours
    updates: int = 20_000  # ours
    validation: int = 1_000  # ours: training images that no net is trained on
    K: int = 10_000  # the paper's number of inputs over which a unit's activation is counted
    seeds: int = 8  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, H=256, updates=1_200, K=2_000)
QUICK = replace(FULL, data="auto", layers=(4,), H=128, updates=360, K=1_000, seeds=6)
TINY = replace(QUICK, data="digits", layers=(2,), H=16, updates=10, batch=16, validation=100)
SMOKE = replace(TINY, rates=(0.01, 0.03), trials=1, K=100, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

Unit = Callable[[Tensor], Tensor]


def rectifier(a: Tensor) -> Tensor:  # max(a, 0)
    return torch.where(a > 0, a, torch.zeros_like(a))


def leaky_rectifier(a: Tensor, leak: float) -> Tensor:  # a above zero, 0.01 a otherwise
    return torch.where(a > 0, a, leak * a)


def units(cfg: Config) -> dict[str, Unit]:
    return {"leaky": lambda a: leaky_rectifier(a, cfg.leak), "rectifier": rectifier, "tanh": torch.tanh}


def active(h: Tensor, name: str, off: float) -> Tensor:
    """Whether a unit with output h is on: a rectifier above zero, a tanh unit away from its lower end."""
    return h > -off if name == "tanh" else h > 0


class Nets:
    """N nets side by side, one for each seed, which draws the same first weights, up to their size, whatever the units."""

    def __init__(self, sizes: list[int], seeds: list[int], gain: float, device: torch.device):
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.W, self.b = [], []
        for m, n in itertools.pairwise(sizes):
            each = [torch.randn(m, n, generator=draw) * (gain / m) ** 0.5 for draw in draws]
            self.W.append(torch.stack(each).to(device).requires_grad_())
            self.b.append(torch.zeros(len(seeds), 1, n, device=device, requires_grad=True))

    def __call__(self, x: Tensor, f: Unit) -> tuple[Tensor, list[Tensor]]:
        """[N, B, D] -> logits [N, B, C], and what goes into the units of each hidden layer, [N, B, H]."""
        into: list[Tensor] = []
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            into.append(torch.baddbmm(b, x, W))
            x = f(into[-1])
        return torch.baddbmm(self.b[-1], x, self.W[-1]), into


def losses(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each net, without regularization, [N, B, C] and [N, B] -> [N]."""
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(y.shape).mean(1)


def train(
    nets: Nets, f: Unit, x: Tensor, y: Tensor, seeds: list[int], rates: list[float], cfg: Config
) -> Iterator[tuple[int, Tensor]]:
    """Gradient descent with momentum, at a rate that falls evenly to zero; yields the update and each net's loss in it.

    A seed draws the same batches whatever the units. Without the fall the last few updates' noise would be what is compared.
    """
    draws = [torch.Generator().manual_seed(seed + 500_000) for seed in seeds]
    rate, parameters = torch.tensor(rates, device=x.device)[:, None, None], [*nets.W, *nets.b]
    velocity = [torch.zeros_like(p) for p in parameters]
    for step in range(1, cfg.updates + 1):
        at = torch.stack([torch.randint(len(x), (cfg.batch,), generator=draw) for draw in draws]).to(x.device)
        each = losses(nets(x[at], f)[0], y[at])
        gradients = torch.autograd.grad(each.sum(), parameters)  # of nets that share nothing
        with torch.no_grad():
            for p, v, gradient in zip(parameters, velocity, gradients, strict=True):
                p.sub_((1 - (step - 1) / cfg.updates) * rate * v.mul_(cfg.momentum).add_(gradient))
        yield step, each.detach()


@torch.no_grad()
def errors(nets: Nets, f: Unit, x: Tensor, y: Tensor) -> Tensor:
    """In percent, [N]."""
    N = len(nets.W[0])
    guesses = [nets(a.expand(N, -1, -1), f)[0].argmax(2) for a in x.split(1_000)]
    return 100 * (torch.cat(guesses, 1) != y).float().mean(1)


@torch.no_grad()
def silent(nets: Nets, f: Unit, x: Tensor) -> Tensor:
    """The share of hidden units that no image in x brings above zero, in percent, [N]."""
    into = nets(x.expand(len(nets.W[0]), -1, -1), f)[1]
    return 100 * torch.cat([(a <= 0).all(1) for a in into], 1).float().mean(1)


def zero_gradients(nets: Nets, f: Unit, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Units to which no image in x sends a gradient, [N]; and, layer by layer, the share of zeros among all gradients, [L].

    In double precision, which is why it happens on the CPU: there an error too small for single precision isn't zero.
    """
    exactly = copy.copy(nets)
    exactly.W, exactly.b = ([p.detach().cpu().double().requires_grad_() for p in ps] for ps in (nets.W, nets.b))
    N = len(nets.W[0])
    logits, into = exactly(x.cpu().double().expand(N, -1, -1), f)
    zero = [g == 0 for g in torch.autograd.grad(losses(logits, y.cpu().expand(N, -1)).sum(), into)]  # [N, K, H]
    return torch.cat([z.all(1) for z in zero], 1).sum(1), torch.stack([z.double().mean() for z in zero])


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    data = handwriting(cfg.data).to(device)
    v = min(cfg.validation, len(data.x_train) // 4)
    x, y = data.x_train.flatten(1), data.y_train
    x_valid, y_valid, x, y = x[:v], y[:v], x[v:], y[v:]
    watched, labels = data.x_test.flatten(1)[: cfg.K], data.y_test[: cfg.K]
    seeds = list(range(cfg.seed, cfg.seed + cfg.seeds))
    trials = [cfg.seed + 1_000_003 + i for _ in cfg.rates for i in range(cfg.trials)]  # seeds used for nothing else
    trial_rates = [rate for rate in cfg.rates for _ in range(cfg.trials)]
    total = 3.0 * sum(cfg.layers) * cfg.updates * (len(trials) + len(seeds))
    done, every = 0.0, -(-cfg.updates // 16)

    history: dict[str, list[tuple[int, Tensor, Tensor]]] = {}
    outputs: dict[str, Tensor] = {}
    zeros: dict[str, Tensor] = {}
    for layers in cfg.layers:
        sizes = [x.shape[1], *[cfg.H] * layers, 10]
        for name, f in units(cfg).items():
            gain = 1.0 if name == "tanh" else 2.0
            nets, history[name] = Nets(sizes, seeds, gain, device), []
            for seed, before in zip(seeds, errors(nets, f, x_valid, y_valid).tolist(), strict=True):
                yield dict(net=name, layers=layers, seed=seed, step=0, valid_error=before)

            tuned = Nets(sizes, trials, gain, device)
            for step, _ in train(tuned, f, x, y, trials, trial_rates, cfg):
                done += layers * len(trials)
                if step % 10 == 0:
                    yield Progress(done, total, f"{name}, {layers} layers: trying the rates")
            wrong = errors(tuned, f, x_valid, y_valid).view(len(cfg.rates), cfg.trials).mean(1)
            rate = min(zip(wrong.tolist(), cfg.rates, strict=True))[1]

            for step, loss in train(nets, f, x, y, seeds, [rate] * len(seeds), cfg):
                done += layers * len(seeds)
                if step % 10 == 0:
                    yield Progress(done, total, f"{name}, {layers} layers, {len(seeds)} nets")
                if step % every == 0 or step == cfg.updates:
                    wrong, quiet = errors(nets, f, x_valid, y_valid).cpu(), silent(nets, f, x_valid).cpu()
                    history[name].append((step, wrong, quiet))
                    for seed, a, b, c in zip(seeds, loss.tolist(), wrong.tolist(), quiet.tolist(), strict=True):
                        yield dict(net=name, layers=layers, seed=seed, step=step, loss=a, valid_error=b, silent=c)

            with torch.no_grad():
                h = f(nets(watched.expand(len(seeds), -1, -1), f)[1][-1]).cpu()  # [N, K, H] of the last hidden layer
            probability = active(h, name, cfg.off).float().mean(1)  # [N, H]
            count, zeros[name] = zero_gradients(nets, f, watched[:500], labels[:500])
            tested = errors(nets, f, data.x_test.flatten(1), data.y_test)
            outputs[name] = h
            for i, seed in enumerate(seeds):
                yield dict(
                    net=name, layers=layers, seed=seed, rate=rate, data=data.name, test_error=float(tested[i]),
                    activation=float(probability[i].mean()), spread=float(probability[i].std()),
                    zero_gradient_units=int(count[i]), judged=layers == max(cfg.layers),
                )  # fmt: skip
    both = (outputs["tanh"].abs() < cfg.off).float().mean(1)  # the upper end, too, counts as off: told, not judged
    for i, seed in enumerate(seeds):
        yield dict(net="tanh, both ends off", seed=seed, activation=float(both[i].mean()), spread=float(both[i].std()))
    yield probabilities(outputs, cfg.off)
    yield codes(outputs, labels.cpu())
    yield learning(history)
    yield where_zero(zeros)
    yield Progress(total, total, "done")


def probabilities(outputs: dict[str, Tensor], off: float) -> Figure:
    drawn, ax = canvas()
    lines = {name: active(h, name, off) for name, h in outputs.items()}
    lines["tanh, both ends off"] = outputs["tanh"].abs() < off
    for (name, on), colour in zip(lines.items(), PALETTE, strict=False):
        for i, p in enumerate(on.float().mean(1).sort(1, descending=True).values):
            ax.plot(p.numpy(), color=colour, alpha=0.6, linewidth=1, label=name if i == 0 else None)
    ax.set(xlabel="unit of the last hidden layer, sorted", ylabel="activation probability", ylim=(-0.02, 1.02))
    ax.legend()
    return figure("activation-probability", drawn, "The share of images for which each unit is active, by seed")


def codes(outputs: dict[str, Tensor], y: Tensor) -> Figure:
    """What one net's last hidden layer says about eight images of each class: units across, images down."""
    at = torch.cat([(y == c).nonzero().flatten()[:8] for c in range(10)])
    drawn, axes = canvas(1, len(outputs), height=3.4)
    for ax, (name, h) in zip(axes, outputs.items(), strict=True):
        shown = h[0][at][:, h[0].mean(0).argsort(descending=True)]
        limit = float(shown.abs().quantile(0.98))
        ax.imshow(shown.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        ax.set(title=name, xlabel="unit", xticks=[], yticks=[])
    axes[0].set_ylabel("image, by class")
    return figure(
        "codes", drawn, "The codes of 80 test images, units sorted by their mean; red is above zero, blue below"
    )


def learning(history: dict[str, list[tuple[int, Tensor, Tensor]]]) -> Figure:
    drawn, axes = canvas(1, 2)
    for (name, records), colour in zip(history.items(), PALETTE, strict=False):
        steps = [step for step, _, _ in records]
        for ax, lines in zip(axes, (torch.stack([r[i] for r in records], 1) for i in (1, 2)), strict=True):  # type: ignore[misc]
            ax.plot(steps, lines.mean(0).numpy(), color=colour, label=name)
            ax.fill_between(steps, lines.amin(0).numpy(), lines.amax(0).numpy(), color=colour, alpha=0.15, linewidth=0)
    axes[0].set(xlabel="update", ylabel="% validation error", ylim=(0, 40))
    axes[1].set(xlabel="update", ylabel="% units silent")
    axes[0].legend()
    return figure("learning", drawn, "Validation error, and units that no image brings above zero, with all seeds")


def where_zero(zeros: dict[str, Tensor]) -> Figure:
    drawn, ax = canvas(height=2.6)
    for i, (name, share) in enumerate(zeros.items()):
        at = [layer + 0.25 * (i - 1) for layer in range(1, len(share) + 1)]
        bars = ax.bar(at, (100 * share).tolist(), 0.23, color=PALETTE[i], label=name)
        ax.bar_label(bars, fmt="%.0f", color=INK, fontsize=7)
    ax.set(xlabel="hidden layer", ylabel="% of gradients", xticks=range(1, len(share) + 1), ylim=(0, 100))
    ax.legend()
    return figure("zero-gradients", drawn, "The gradients that reach the units, image by image, that are exactly zero")


def check(rows: list[Row]) -> list[Verdict]:
    ends = [row for row in rows if row.get("judged")]
    error, activation, spread = (
        {name: by_seed(ends, measure, net=name) for name in ("leaky", "rectifier", "tanh")}
        for measure in ("test_error", "activation", "spread")
    )
    return [
        compare("beats-tanh", error["rectifier"], error["tanh"], better="lower",
                margin=0.25,  # ours: a quarter of a point; the abstract's 2 points are of far higher error rates
                unit="% test error"),
        alike("leaky-alike", error["leaky"], error["rectifier"],
              tolerance=0.5,  # Deviation 5
              unit="% test error"),
        compare("sparser", activation["rectifier"], activation["tanh"], better="lower",
                margin=0.1,  # ours: a tenth of the inputs
                unit="share of inputs for which a unit is active, mean of the units"),
        compare("more-dispersed", spread["rectifier"], spread["tanh"], better="lower",
                margin=0.05,  # ours: half of the margin for the mean
                unit="standard deviation of that share over the units"),
        exact("no-zero", list(by_seed(ends, "zero_gradient_units", net="leaky").values()), 0.0, tolerance=0.0,
              unit="units without any gradient"),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
