"""Adam: A Method for Stochastic Optimization. Kingma & Ba, ICLR 2015 (arXiv 1412.6980).

Claims      scale-invariance    rescaling each gradient by a factor of its own changes no step
            printed-bound       no step is longer than the bound of Sec. 2.1, sqrt(10) times lr
            largest-step        nor than the one that follows from Cauchy and Schwarz, which is ours
            without-correction  with beta2 near 1 and the same lr, the correction helps (Fig. 4)
            best-setting        it helps, too, if each has its own lr and beta2 (Sec. 6.4)
            regardless          with it the loss is as good or better at every lr and beta2
            sparse-features     of rare words Adam learns faster than Nesterov's momentum (Fig. 1)
            like-adagrad        and as fast as AdaGrad
            dropout-net         on a net with dropout faster than all three rivals (Fig. 2)
Deviations  1  documents are drawn by Zipf's law, in place of IMDB, with an L2 penalty of 1 / their
               number in place of dropout; the net with dropout has no L2 penalty
            2  lr is chosen by the cost of one half of the training set, and that of the other half
               is judged, after a fixed number of updates
            3  for a VAE, -ELBO counts at most as D log 2, as if it says 1/2 of each pixel
            4  `quick` and `full`: smaller nets, fewer updates; `quick`: digits, beta1 = 0.9 only
Left out    AdaMax, averages of the weights, the regret bound, convolutional nets, AdaDelta, SFO
Shapes      B examples, D pixels or words, H hidden units, Z latent variables, T steps
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import adam as drawing
from impl.kit import (  # fmt: skip
    Arrays,
    Bound,
    Comparison,
    Event,
    Identity,
    NoWorse,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    by_seed,
    generator,
    judge,
    keep_rows,
    main,
    run_protocol,
)
from impl.kit.bag_of_words import documents
from impl.kit.broken import Broken
from impl.kit.claims import Side
from impl.kit.data import draw_split, handwriting
from impl.kit.descent import update
from impl.kit.gaussian_vae import VAE
from impl.kit.selection import Losses, Setting, at_setting, best
from impl.kit.step_sizes import bursts, step_sizes

Events = Iterator[TrialEvent]
Betas = tuple[float, float]


def correct_bias(m: Tensor, v: Tensor, t: int, betas: Betas) -> tuple[Tensor, Tensor]:
    """Sec. 3: running means that began at zero hold only 1 - beta^t of the weight of a mean."""
    return m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)


class Adam(torch.optim.Optimizer):
    """Algorithm 1. Without `bias_correction` it is the rival of Sec. 6.4, a kind of RMSProp."""

    def __init__(self, params: Iterable[Tensor], lr: float = 0.001, betas: Betas = (0.9, 0.999),
                 eps: float = 1e-8, bias_correction: bool = True):  # fmt: skip
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, corrects=bias_correction))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for theta in group["params"]:
                if theta.grad is not None:
                    m, v = self.moments(theta, group)
                    theta -= group["lr"] * m / (v.sqrt() + group["eps"])

    def moments(self, theta: Tensor, group: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Running means of the gradient and of its square."""
        state, g, betas = self.state[theta], theta.grad, group["betas"]
        assert g is not None
        if not state:
            state.update(t=0, m=torch.zeros_like(theta), v=torch.zeros_like(theta))
        state["t"] += 1
        m: Tensor = state["m"].mul_(betas[0]).add_(g, alpha=1 - betas[0])
        v: Tensor = state["v"].mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
        return correct_bias(m, v, state["t"], betas) if group["corrects"] else (m, v)


def step_bound(t: int, beta1: float, beta2: float) -> float:
    """The longest step t over lr that any gradients can cause. By Cauchy and Schwarz the sum m_t of
    beta1^k g, k steps back, is at most sqrt(v_t) times the root of the sum of (beta1^2 / beta2)^k.
    """
    q = beta1**2 / beta2
    uncorrected = (1 - beta1) / math.sqrt(1 - beta2) * math.sqrt((1 - q**t) / (1 - q))
    return uncorrected * math.sqrt(1 - beta2**t) / (1 - beta1**t)


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Secs. 6.2, 6.4; `auto` is MNIST where it can be had, else digits
    n: int = 50_000  # ours: training images
    H: int = 1000  # Sec. 6.2: units in each of two hidden layers
    batch: int = 128  # Secs. 6.1 and 6.2; for the VAE ours
    vocabulary: int = 10_000  # Sec. 6.1: of the bag of words
    documents: int = 25_000  # as many as IMDB has for training
    words: int = 200  # ours: in a document
    tilt: float = 0.15  # ours: std of the log-odds for a class that a word stands for
    tasks: tuple[str, ...] = ("sparse", "dropout net")  # Figs. 1 and 2
    scales: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)  # ours: the grid, times CENTRES
    updates: int = 10_000  # ours: 51 epochs of the documents; Fig. 1 has 45
    H_vae: int = 500  # Sec. 6.4
    Z: int = 50  # Sec. 6.4
    beta1s: tuple[float, ...] = (0.0, 0.9)  # Sec. 6.4
    beta2s: tuple[float, ...] = (0.99, 0.999, 0.9999)  # Sec. 6.4
    lrs: tuple[float, ...] = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # Sec. 6.4: from 1e-5 to 1e-1
    vae_updates: int = 4_000  # Fig. 4: 10 epochs
    validation: int = 10_000  # ours
    silence: int = 5_000  # ours: steps without a gradient, for the longest step
    seeds: int = 5  # ours: how many repetitions, each with its own data
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", n=5_000, H=256, vocabulary=5_000, documents=10_000,
               updates=1_500, H_vae=128, Z=20, vae_updates=1_000, validation=1_000)  # fmt: skip
QUICK = replace(FULL, data="digits", n=1_000, H=64, vocabulary=1_000, documents=1_000, words=50,
                updates=200, H_vae=64, Z=10, beta1s=(0.9,), beta2s=(0.99, 0.9999),
                lrs=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), vae_updates=200, validation=250,
                silence=3_000)  # fmt: skip
SMOKE = replace(QUICK, n=200, H=16, vocabulary=100, documents=100, scales=(1.0,), updates=8, Z=2,
                H_vae=16, lrs=(1e-3, 3e-2), vae_updates=8, silence=50, seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

CENTRES = {  # ours: lr in the middle of each optimizer's grid
    "sparse": {"adam": 0.1, "nesterov": 3.0, "adagrad": 0.3, "rmsprop": 0.03},
    "dropout net": {"adam": 0.01, "nesterov": 0.1, "adagrad": 0.03, "rmsprop": 0.003},
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": Adam,
    "nesterov": functools.partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
}
STEPS = Protocol(arms=("steps",))
RACE = Protocol([*OPTIMIZERS], {"scale": "scales"}, {"task": "tasks"}, select="other_cost")
VAES = Protocol(arms=("corrected", "uncorrected"), select="val_loss",
                conditions={"beta1": "beta1s", "beta2": "beta2s", "lr": "lrs"})  # fmt: skip


def best_of_corrected(val: Losses, arm: str) -> Setting:
    """Of those with the beta2 nearest to 1 the best with the correction, for both arms."""
    return min(val[arm], key=lambda setting: (-setting[1], val["corrected"][setting]))


def worst_of_corrected(val: Losses, arm: str) -> Setting:
    """The one at which the correction does most harm, or least good."""
    return max(val[arm], key=lambda s: val["corrected"][s] / val["uncorrected"][s])


def vae(arm: str, choose: Callable[[Losses, str], Setting]) -> Side:
    return at_setting(arm, choose, [*VAES.conditions], val="val_loss", test="test_loss")


def best_rival(rows: Sequence[Row]) -> dict[int, float]:
    """On the net with dropout: of three, that with the lowest cost of the other half."""
    rivals = [row for row in rows if row.get("task") == "dropout net" and row["arm"] != "adam"]
    rivals.sort(key=lambda row: -RACE.badness(row))
    return by_seed(rivals, "cost")  # the last of each seed


VISIBLE = "a tenth of it, which shows in a figure; there is no table"
RATIO: Any = {"better": "lower", "scale": "ratio", "margin": 1.1, "because": VISIBLE}
HUNDREDTH: Any = RATIO | {"margin": 1.01, "because": "a hundredth, about a nat on MNIST"}
NATS = "-ELBO of a test image in nats"
SPARSE: Any = RATIO | {"measure": "cost", "where": {"task": "sparse"}}
CLAIMS = (
    Identity(claim="scale-invariance", measure="scale_gap", tolerance=0.0,
             unit="largest difference of a weight after training with rescaled gradients"),
    Bound(claim="printed-bound", measure="longest_step", expected=10**0.5, tolerance=1e-9,
          unit="longest step over lr, with gradients that come after a silence"),
    Bound(claim="largest-step", measure="over_bound", expected=1.0, tolerance=1e-9,
          unit="longest step over its bound, with the same gradients"),
    Comparison(claim="without-correction", idea=vae("corrected", best_of_corrected),
               rival=vae("uncorrected", best_of_corrected), **RATIO,
               unit=f"{NATS}, at the lr that suits the corrected"),
    Comparison(claim="best-setting", idea=vae("corrected", best), rival=vae("uncorrected", best),
               unit=f"{NATS}, each at its best lr and beta2", **HUNDREDTH),
    NoWorse(claim="regardless", idea=vae("corrected", worst_of_corrected),
            rival=vae("uncorrected", worst_of_corrected),
            unit=f"{NATS}, at the setting that suits the corrected least", **HUNDREDTH),
    Comparison(claim="sparse-features", idea="adam", rival="nesterov",
               unit="training cost, bags of words", **SPARSE),
    NoWorse(claim="like-adagrad", idea="adam", rival="adagrad",
            unit="training cost, bags of words", **SPARSE),
    Comparison(claim="dropout-net", rival=best_rival,
               idea=lambda rows: by_seed(rows, "cost", arm="adam", task="dropout net"),
               unit="training cost, against the best of three rivals", **RATIO),
)  # fmt: skip


def without_correction() -> AbstractContextManager[object]:
    return patch(f"{__name__}.correct_bias", lambda m, v, t, betas: (m, v))


def without_scale() -> AbstractContextManager[object]:
    """No second moment: momentum alone."""
    ones = torch.ones_like
    return patch(f"{__name__}.correct_bias", lambda m, v, t, b: (m / (1 - b[0] ** t), ones(v)))


BROKEN: Broken = {
    "scale-invariance": without_scale,
    "printed-bound": without_correction,
    "largest-step": without_correction,
    "without-correction": without_correction,
    "best-setting": without_correction,
    "regardless": without_scale,
    "sparse-features": without_scale,
    "like-adagrad": without_scale,
    "dropout-net": without_scale,
}


def trial(cfg: Config, device: torch.device, *, arm: str, seed: int, **job: Any) -> Events:
    if arm == "steps":
        return measure_steps(cfg, seed)
    return (train_vae if arm in VAES.arms else race)(cfg, device, arm, seed, **job)


def classifier(cfg: Config, task: str, seed: int) -> tuple[nn.Sequential, Tensor, Tensor]:
    """A net, logistic regression or with dropout, and what it is trained on: [B, D], [B]."""
    if task == "sparse":
        x, y = documents(cfg.documents, cfg.vocabulary, cfg.words, cfg.tilt, seed)
        return nn.Sequential(nn.Linear(x.shape[1], 2)), x, y
    split = draw_split(handwriting(cfg.data), cfg.n, cfg.validation, seed)
    x = split.x_train.flatten(1)
    modules: list[nn.Module] = []
    for width in (x.shape[1], cfg.H):
        modules += [nn.Linear(width, cfg.H), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*modules, nn.Linear(cfg.H, 10)), x, split.y_train


def race(cfg: Config, device: torch.device, arm: str, seed: int, task: str, scale: float) -> Events:
    """Secs. 6.1 and 6.2: trains a classifier with one of the optimizers."""
    net, x, y = classifier(cfg, task, seed)
    net, x, y = net.to(device), x.to(device), y.to(device)
    penalty = 1 / len(x) if task == "sparse" else 0.0
    optimizer = OPTIMIZERS[arm](net.parameters(), lr=(lr := scale * CENTRES[task][arm]))
    batches, half, costs = generator(seed, "batches"), len(x) // 2, []
    for step in range(1, cfg.updates + 1):
        if task == "sparse" and arm != "adagrad":  # Sec. 6.1; AdaGrad does so by itself
            optimizer.param_groups[0]["lr"] = lr / step**0.5
        at = torch.randint(len(x), (cfg.batch,), generator=batches)
        update(objective(net, x[at], y[at], penalty), optimizer)
        if step % -(-cfg.updates // 8) == 0:
            costs.append((step, mean_cost(net, x[half:], y[half:], penalty, passes=1)))
            yield dict(step=step, cost=costs[-1][1])
    yield Arrays({"costs": torch.tensor(costs)})
    other = mean_cost(net, x[:half], y[:half], penalty, passes=4)
    cost = mean_cost(net, x[half:], y[half:], penalty, passes=4)
    yield dict(step=cfg.updates, cost=cost, other_cost=other)


def objective(net: nn.Module, x: Tensor, y: Tensor, penalty: float) -> Tensor:
    """Cross-entropy, of a net with dropout or with an L2 penalty."""
    squares = nn.utils.parameters_to_vector(net.parameters()).square().sum()
    return F.cross_entropy(net(x), y) + penalty / 2 * squares


@torch.no_grad()
def mean_cost(net: nn.Module, x: Tensor, y: Tensor, penalty: float, passes: int) -> float:
    return sum(objective(net, x, y, penalty).item() for _ in range(passes)) / passes


def train_vae(
    cfg: Config, device: torch.device, arm: str, seed: int, beta1: float, beta2: float, lr: float
) -> Events:
    """Sec. 6.4."""
    split = draw_split(data := handwriting(cfg.data).to(device), cfg.n, cfg.validation, seed)
    x, x_val, x_test = (x.flatten(1) for x in (split.x_train, split.x_val, split.x_test))
    net = VAE(x.shape[1], cfg.H_vae, cfg.Z).to(device)
    optimizer = Adam(net.parameters(), lr, (beta1, beta2), bias_correction=arm == "corrected")
    batches = generator(seed, "batches")
    for step in range(1, cfg.vae_updates + 1):
        at = torch.randint(len(x), (cfg.batch,), generator=batches)
        update(loss := net.loss(x[at]), optimizer)
        if step % -(-cfg.vae_updates // 8) == 0:
            yield dict(step=step, loss=loss.item())
    worst = x.shape[1] * math.log(2)
    with torch.no_grad():
        val, test = (min(worst, float(net.loss(x).nan_to_num(worst))) for x in (x_val, x_test))
    yield dict(step=cfg.vae_updates, val_loss=val, test_loss=test, data=data.name)


TINY = 1e-150  # in place of eps = 0 in double precision: 0 / 0 is 0 then


def measure_steps(cfg: Config, seed: int) -> Events:
    """Sec. 2.1: the steps for gradients that begin at once, or after a silence, with lr = 1."""
    draw = generator(seed, "gradients")
    for silence in (0, cfg.silence):
        gradients = bursts(silence, 60, 64, draw)
        sizes = step_sizes(lambda theta: Adam(theta, 1.0, eps=TINY), gradients)
        over = max(size / step_bound(t, 0.9, 0.999) for t, size in enumerate(sizes.tolist(), 1))
        yield dict(step=len(sizes), longest_step=sizes.max().item(), over_bound=over)
    same, bare = torch.ones(300, 1).double(), functools.partial(Adam, lr=1.0, bias_correction=False)
    betas = {f"{beta2:g}": (0.9, beta2) for beta2 in cfg.beta2s}
    yield Arrays({k: step_sizes(functools.partial(bare, betas=b), same) for k, b in betas.items()})
    plain, rescaled = (trained_weights(cfg, seed, each) for each in (False, True))
    yield dict(scale_gap=float((plain - rescaled).abs().max()))


def trained_weights(cfg: Config, seed: int, rescale: bool) -> Tensor:
    """Of the net with dropout after 20 updates, in which each gradient may have a factor."""
    torch.manual_seed(seed)
    net, x, y = classifier(cfg, "dropout net", seed)
    x, y, draw = x[: cfg.batch].double(), y[: cfg.batch], generator(seed, "factors")
    for theta in net.double().parameters():
        power = torch.randint(-20, 21, theta.shape, generator=draw)  # of two: nothing is rounded
        if rescale:
            theta.register_hook(functools.partial(torch.mul, 2.0**power))
    optimizer = Adam(net.parameters(), eps=TINY)
    for _ in range(20):
        update(F.cross_entropy(net(x), y), optimizer)
    return nn.utils.parameters_to_vector(net.parameters()).detach()


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    rows: list[Row] = []
    chosen = yield from keep_rows(run_protocol(trial, cfg, [STEPS, RACE, VAES], device), rows)
    yield drawing.first_steps(chosen[0].tensors)
    yield drawing.bias_correction([row for row in rows if "test_loss" in row and "judged" in row])
    yield drawing.training_cost([one for one in chosen if "costs" in one.tensors])


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
