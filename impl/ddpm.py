"""Denoising Diffusion Probabilistic Models. Ho, Jain & Abbeel, NeurIPS 2020 (arXiv 2006.11239).

Claims      noise-beats-mean    to guess noise by the simple loss beats means by the bound (Table 2)
            simple-beats-bound  the noise is better guessed without the bound's weights (Table 2)
            mean-needs-bound    the mean is better guessed with them (Table 2)
            small-steps         many small steps make better samples than a few large ones (Sec. 2)
            noise-beats-mean-distance    the same by the energy distance
            simple-beats-bound-distance  the same by the energy distance
            mean-needs-bound-distance    same
            small-steps-distance         the same by the energy distance
            marginal            t steps of noise at once are t steps in turn (Eqs. 2 and 4)
            posterior           a step back whose end is known is what Bayes says (Eqs. 6 and 7)
            parameterization    the mean of a step from the noise is that from x_0 (Eq. 11)
            bound               both guesses have the same bound (Eqs. 8 and 12)
Deviations  1  a multi-layer perceptron for the U-Net; what it reads is also handed to its last
               layer, as there, so that a mean near x_t is easy to guess
            2  samples are judged by how often a nearest neighbour tells them from test data (50 %
               is the best) and by the energy distance, not by FID and Inception score
            3  no dropout, flips, warm-up, clipping; L_0 is the density of Eq. 13, not an integral
            4  fewer steps than 1000 have as many of the paper's a-bar, evenly spaced
            5  digits of 8 x 8 (`quick`: 100 steps) or MNIST, for CIFAR-10 and LSUN
Left out    learned variances, progressive coding, interpolation, log-likelihoods
Shapes      B examples, D dimensions, T steps, H units, E numbers that encode t, N samples
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from impl.drawing.ddpm import figures
from impl.kit import (  # fmt: skip
    Arrays,
    Claim,
    Comparison,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    by_seed,
    generator,
    judge,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.data import draw_split, handwriting
from impl.kit.descent import update
from impl.kit.gaussian_chain import marginal_gap, posterior_gap
from impl.kit.samples import energy_distance
from impl.kit.two_sample import told_apart

Guess = Callable[[Tensor, Tensor], Tensor]  # of x_t [B, D] and t [B]


class Diffusion(nn.Module):
    """q: how data become noise in T steps, and how one step is undone. x [B, D], t [B] in 1..T."""

    def __init__(self, T: int, beta_start: float, beta_end: float, of: int = 1000):
        super().__init__()
        beta = torch.linspace(beta_start, beta_end, of, dtype=torch.float64)  # Sec. 4
        a_bar = torch.cat([torch.ones(1), (1 - beta).cumprod(0)])
        a_bar = a_bar[torch.linspace(0, of, T + 1).round().long()]
        alpha = torch.cat([torch.ones(1), a_bar[1:] / a_bar[:-1]])
        self.T, self.a_bar, self.alpha = T, nn.Buffer(a_bar), nn.Buffer(alpha)

    def at(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha, beta, a-bar and the a-bar of the step before, at t. [B, 1] each"""
        values = self.alpha[t], 1 - self.alpha[t], self.a_bar[t], self.a_bar[t - 1]
        alpha, beta, a_bar, before = (value.to(x.dtype)[:, None] for value in values)
        return alpha, beta, a_bar, before

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Eq. 2: x_{t-1} and noise z -> x_t."""
        _, beta, _, _ = self.at(t, x)
        return (1 - beta).sqrt() * x + beta.sqrt() * z

    def diffuse(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Eq. 4: x_0 and noise -> x_t, t steps at once."""
        _, _, a_bar, _ = self.at(t, x0)
        return a_bar.sqrt() * x0 + (1 - a_bar).sqrt() * eps

    def posterior(self, x0: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. 7: mean and variance of x_{t-1}, given x_t and x_0."""
        alpha, beta, a_bar, before = self.at(t, x)
        mean = before.sqrt() * beta * x0 + alpha.sqrt() * (1 - before) * x
        return mean / (1 - a_bar), (1 - before) / (1 - a_bar) * beta

    def clean(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Eq. 4 solved for x_0."""
        _, _, a_bar, _ = self.at(t, x)
        return (x - (1 - a_bar).sqrt() * eps) / a_bar.sqrt()

    def mean(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Eq. 11: the mean of x_{t-1}, given x_t and a guess of the noise in it."""
        alpha, beta, a_bar, _ = self.at(t, x)
        return (x - beta / (1 - a_bar).sqrt() * eps) / alpha.sqrt()

    def weight(self, t: Tensor, x: Tensor, noise: bool) -> Tensor:
        """Eq. 12 for a guess of the noise, Eq. 8 for one of the mean; sigma_t^2 = beta_t. [B, 1]"""
        alpha, beta, a_bar, _ = self.at(t, x)
        return beta / (2 * alpha * (1 - a_bar)) if noise else 1 / (2 * beta)


class Denoiser(nn.Module):
    """x_t [B, D] and t [B] -> a guess [B, D] of the noise in it, or of the mean of x_{t-1}."""

    def __init__(self, D: int, H: int, layers: int, T: int, E: int = 32):
        super().__init__()
        rates = torch.exp(-math.log(10_000) * torch.arange(E // 2) / (E // 2))
        angles = torch.arange(T + 1)[:, None] * (1000 / T) * rates
        self.times = nn.Buffer(torch.cat([angles.sin(), angles.cos()], 1))  # [T + 1, E]
        sizes = [D + E] + [H] * layers
        hidden = [(nn.Linear(n, m), nn.SiLU()) for n, m in pairwise(sizes)]
        self.hidden = nn.Sequential(*(part for pair in hidden for part in pair))
        self.out = nn.Linear(H + D, D)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        y: Tensor = self.out(torch.cat([self.hidden(torch.cat([x, self.times[t]], 1)), x], 1))
        return y


@dataclass(frozen=True)
class Objective:
    """A row of Table 2."""

    noise: bool  # the net guesses the noise, or else the mean of the step back
    bound: bool  # trained by the variational bound, or else without its weights


def denoising_loss(
    net: Guess, q: Diffusion, x0: Tensor, t: Tensor, eps: Tensor, objective: Objective
) -> Tensor:
    """Eq. 14, or with the bound's weights Eq. 12; for a net that guesses means Eq. 8."""
    x = q.diffuse(x0, t, eps)
    target = eps if objective.noise else q.posterior(x0, x, t)[0]
    error = (target - net(x, t)).square()
    if objective.bound:
        error = q.weight(t, x, objective.noise) * error
    return error.sum(1).mean()


@torch.no_grad()
def sample(
    net: Guess, q: Diffusion, size: tuple[int, int], objective: Objective, noise: torch.Generator
) -> Iterator[Tensor]:
    """Algorithm 2: x_T, x_{T-1}, ..., x_0, each [N, D]."""
    x = torch.randn(size, generator=noise).to(q.alpha.device)
    yield x
    for step in range(q.T, 0, -1):
        t = torch.full((len(x),), step, device=x.device)
        x = q.mean(x, t, net(x, t)) if objective.noise else net(x, t)
        if step > 1:
            sigma = (1 - q.alpha[step]).sqrt().to(x.dtype)  # sigma_t^2 = beta_t
            x = x + sigma * torch.randn(x.shape, generator=noise).to(x)
        yield x


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # ours: or `digits` of 8 x 8
    n: int = 50_000  # ours: training examples
    val: int = 1_000  # ours: examples for validation, and as many samples
    test: int = 5_000  # ours: examples for testing, and as many samples
    T: int = 1_000  # Sec. 4
    few: int = 10  # ours: steps where there are few
    beta_start: float = 1e-4  # Sec. 4
    beta_end: float = 0.02  # Sec. 4
    H: int = 1_024  # ours: units of each hidden layer
    layers: int = 4  # ours: hidden layers
    batch: int = 128  # App. B, CIFAR-10
    lrs: tuple[float, ...] = (6e-5, 2e-4, 6e-4)  # ours: a grid about App. B's 2e-4, of Adam
    ema: float = 0.9999  # App. B: decay of the average of weights that samples are made with
    updates: int = 800_000  # App. B, CIFAR-10
    seeds: int = 5  # ours: how many repetitions, each with its own data
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="digits", n=1_000, val=250, test=500, H=256, layers=3, updates=8_000,
               lrs=(3e-4, 1e-3, 3e-3), ema=0.999)  # fmt: skip
QUICK = replace(FULL, val=200, test=400, T=100, H=128, layers=2, updates=500, ema=0.99,
                lrs=(1e-3, 3e-3, 1e-2, 3e-2))  # fmt: skip
SMOKE = replace(QUICK, n=100, val=50, test=50, T=20, H=8, layers=1, updates=12, lrs=(3e-3,),
                seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

OBJECTIVES = {
    "noise": Objective(noise=True, bound=False),
    "noise, bound": Objective(noise=True, bound=True),
    "mean, bound": Objective(noise=False, bound=True),
    "mean": Objective(noise=False, bound=False),
}
MEASURES = {"told_apart": told_apart, "distance": energy_distance}
PROTOCOLS = [Protocol(tuple(OBJECTIVES), {"lr": "lrs"}, select=f"val_{name}") for name in MEASURES]
PROTOCOLS += [Protocol(("noise",), {"lr": "lrs"}, select=f"val_few_{name}") for name in MEASURES]


def better_samples(measure: str, suffix: str, **settings: Any) -> tuple[Comparison, ...]:
    compare = partial(Comparison, measure=measure, better="lower", ours=True, **settings,
                      where={"selected_by": f"val_{measure}"})  # fmt: skip
    many = partial(by_seed, measure=measure, selected_by=f"val_{measure}", arm="noise")
    few = partial(by_seed, measure=f"few_{measure}", selected_by=f"val_few_{measure}")
    return (
        compare(claim="noise-beats-mean" + suffix, idea="noise", rival="mean, bound"),
        compare(claim="simple-beats-bound" + suffix, idea="noise", rival="noise, bound"),
        compare(claim="mean-needs-bound" + suffix, idea="mean, bound", rival="mean"),
        compare(claim="small-steps" + suffix, idea=many, rival=few, where={}),
    )


CLAIMS: tuple[Claim, ...] = (
    *better_samples("told_apart", "", margin=5.0,
                    unit="% of samples and test data told apart by their nearest neighbour",
                    because="ours: a tenth of the way from guessing, 50 %, to always"),
    *better_samples("distance", "-distance", margin=1.0,
                    unit="% of the distance between images, energy distance of samples and images",
                    because="ours: a hundredth of the distance between images"),
    Identity(claim="marginal", measure="marginal_gap", tolerance=1e-9,
             unit="largest difference of mean or variance"),
    Identity(claim="posterior", measure="posterior_gap", tolerance=1e-6,
             unit="largest difference of mean or standard deviation"),
    Identity(claim="parameterization", measure="mean_gap", tolerance=1e-9,
             unit="largest difference of the two means"),
    Identity(claim="bound", measure="bound_ratio", expected=1.0, tolerance=1e-9,
             unit="bound by the noise over bound by the mean"),
)  # fmt: skip


def guess_means() -> AbstractContextManager[object]:
    return patch.dict(OBJECTIVES, noise=OBJECTIVES["mean, bound"])


def without_weights() -> AbstractContextManager[object]:
    return patch.object(Diffusion, "weight", lambda q, t, x, noise: torch.ones_like(x[:, :1]))


def without_roots(q: Diffusion, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    _, _, a_bar, _ = q.at(t, x0)
    return a_bar * x0 + (1 - a_bar) * eps


def evenly(q: Diffusion, x0: Tensor, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    return x + (x0 - x) / t.to(x)[:, None], q.at(t, x)[1]


def unscaled(q: Diffusion, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    return (x - eps) / q.at(t, x)[0].sqrt()


BROKEN: Broken = {
    "noise-beats-mean": guess_means,
    "simple-beats-bound": without_weights,
    "mean-needs-bound": without_weights,
    "small-steps": dict(T=10),
    "noise-beats-mean-distance": guess_means,
    "simple-beats-bound-distance": without_weights,
    "mean-needs-bound-distance": without_weights,
    "small-steps-distance": dict(T=10),
    "marginal": lambda: patch.object(Diffusion, "diffuse", without_roots),
    "posterior": lambda: patch.object(Diffusion, "posterior", evenly),
    "parameterization": lambda: patch.object(Diffusion, "mean", unscaled),
    "bound": without_weights,
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:
    one = draw_split(handwriting(cfg.data).to(device), cfg.n, cfg.val, seed)
    images = one.x_train, one.x_val, one.x_test[: cfg.test]
    (x, val, test), objective = (2 * x.flatten(1) - 1 for x in images), OBJECTIVES[arm]
    q, few = (Diffusion(T, cfg.beta_start, cfg.beta_end).to(device) for T in (cfg.T, cfg.few))
    net = Denoiser(x.shape[1], cfg.H, cfg.layers, q.T).to(device)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(cfg.ema))
    optimizer, draw = torch.optim.Adam(net.parameters(), lr, fused=True), generator(seed, "batches")

    def batch(B: int) -> tuple[Tensor, Tensor, Tensor]:  # Algorithm 1
        at, t = (torch.randint(n, (B,), generator=draw) for n in (len(x), q.T))
        return x[at], (1 + t).to(device), torch.randn(B, x.shape[1], generator=draw).to(device)

    for step in range(1, cfg.updates + 1):
        loss = denoising_loss(net, q, *batch(cfg.batch), objective)
        update(loss, optimizer)
        average.update_parameters(net)
        if step % -(-cfg.updates // 5) == 0:
            yield dict(step=step, loss=loss.item())
    ema, size = average.module, (len(val) + len(test), x.shape[1])
    path = list(sample(ema, q, size, objective, generator(seed, "samples")))
    shown = torch.stack([path[round(q.T * share)] for share in (0, 0.4, 0.6, 0.75, 0.9, 1)])
    bound = q.weight(torch.arange(1, q.T + 1, device=device), x, noise=True)
    yield Arrays({"path": shown[:, :500], "data": test[:500], "weights": bound[:, 0]})
    row: Row = dict(step=cfg.updates) | score(path[-1], val, test)
    if arm == "noise":
        stride = q.T // few.T
        noise = generator(seed, "samples")
        *_, samples = sample(lambda x, t: ema(x, stride * t), few, size, objective, noise)
        row |= score(samples, val, test, "few_") | laws(ema, q, *batch(500))
    yield row


def score(samples: Tensor, val: Tensor, test: Tensor, prefix: str = "") -> Row:
    images = samples.nan_to_num(0).clamp(-1, 1)  # as pictures of 8 bits, of which FID is taken
    of_val, of_test = images.split([len(val), len(test)])
    row: Row = {}
    for name, measure in MEASURES.items():
        row[f"val_{prefix}{name}"] = measure(of_val, val)
        row[prefix + name] = measure(of_test, test)
    return row


@torch.no_grad()
def laws(net: nn.Module, q: Diffusion, x0: Tensor, t: Tensor, eps: Tensor) -> Row:
    """What the identities measure, of the net and the steps that were trained, in float64."""
    net, x0, eps = copy.deepcopy(net).double(), x0.double(), eps.double()
    x = q.diffuse(x0, t, eps)
    by_noise = q.mean(x, t, net(x, t))
    by_clean, _ = q.posterior(q.clean(x, t, net(x, t)), x, t)
    bound = denoising_loss(net, q, x0, t, eps, Objective(noise=True, bound=True))
    of_mean = Objective(noise=False, bound=True)
    bound /= denoising_loss(lambda x, t: q.mean(x, t, net(x, t)), q, x0, t, eps, of_mean)
    return dict(marginal_gap=marginal_gap(q, q.diffuse, q.T, q.alpha),
                posterior_gap=posterior_gap(q, q.diffuse, q.posterior, q.T, q.alpha),
                mean_gap=float((by_noise - by_clean).abs().max()),
                bound_ratio=float(bound))  # fmt: skip


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield dict(data=cfg.data, n=cfg.n)
    chosen = yield from run_protocol(trial, cfg, PROTOCOLS, device)
    yield from figures(chosen, cfg.seed)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
