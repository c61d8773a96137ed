"""Generative Adversarial Nets. Goodfellow et al., NIPS 2014 (arXiv 1406.2661).

Claims      optimal-discriminator  D trained on Eq. 1 comes to p_data / (p_data + p_g) (Prop. 1)
            theorem-1              the value is then -log 4 + 2 JSD(p_data || p_g) (Thm. 1, Eq. 6)
            convergence            with D at its best in every step, p_g becomes p_data (Prop. 2)
            stronger-gradient      early on, the gradient of -log D(G(z)) is much larger than that
                                   of log(1 - D(G(z))) (Sec. 3)
            parzen-likelihood      G's samples make test images likelier than a deep belief net's
                                   do (Sec. 5, Table 1)
            beats-centres          and likelier than the centres of k-means do, which is no model
Deviations  1  the deep belief net is ours, by CD-1; stacked CAE and deep GSN are left out
            2  torch's range of initial weights; momentum and learning rate stay constant
            3  `quick` and `full`: smaller nets, less dropout, Adam; `quick`: 8 x 8 digits
            4  Prop. 1, Thm. 1, Prop. 2: D is a net, p_g a table of K outcomes that moves freely
            5  G is trained to maximize log D(G(z)), the variant of Sec. 3
Left out    Toronto faces, CIFAR-10, convolutional nets
Shapes      B images, D pixels, Z noise, H units, K outcomes, N samples
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing.gan import figures
from impl.kit import (  # fmt: skip
    Arrays,
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
from impl.kit.data import Split, draw_split, handwriting
from impl.kit.rbm import DeepBeliefNet
from impl.kit.samples import parzen


class Generator(nn.Sequential):
    """Sec. 5: noise [B, Z] -> samples [B, D], by rectifiers and sigmoids."""

    def __init__(self, Z: int, H: int, D: int):
        hidden = nn.Linear(Z, H), nn.ReLU(), nn.Linear(H, H), nn.ReLU()
        super().__init__(*hidden, nn.Linear(H, D), nn.Sigmoid())
        self.Z = Z

    def sample(self, B: int) -> Tensor:
        """p_g: [B, D]"""
        x: Tensor = self(torch.randn(B, self.Z, device=next(self.parameters()).device))
        return x


class Maxout(nn.Module):
    """The largest of `pieces` linear functions, [B, n] -> [B, m]."""

    def __init__(self, n: int, m: int, pieces: int):
        super().__init__()
        self.linear, self.pieces = nn.Linear(n, m * pieces), pieces

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x).unflatten(-1, (-1, self.pieces))
        return y.max(-1).values


class Discriminator(nn.Sequential):
    """Sec. 5: [B, D] -> log-odds [B] that x is data, whose sigmoid is D(x)."""

    def __init__(self, D: int, units: int, pieces: int, keep_input: float, keep_hidden: float):
        super().__init__(
            nn.Dropout(1 - keep_input), Maxout(D, units, pieces),
            nn.Dropout(1 - keep_hidden), Maxout(units, units, pieces),
            nn.Dropout(1 - keep_hidden), nn.Linear(units, 1), nn.Flatten(0),
        )  # fmt: skip


def mean(x: Tensor, p: Tensor | None) -> Tensor:
    """Over samples; or over outcomes, whose probabilities are given."""
    return x.mean() if p is None else (p * x).sum()


def value(
    real: Tensor, fake: Tensor, p_data: Tensor | None = None, p_g: Tensor | None = None
) -> Tensor:
    """Eq. 1 from log-odds of data and of samples: E log D(x) + E log(1 - D(G(z)))."""
    return mean(F.logsigmoid(real), p_data) + mean(F.logsigmoid(-fake), p_g)


def generator_loss(fake: Tensor, saturating: bool, p_g: Tensor | None = None) -> Tensor:
    """Sec. 3: what Algorithm 1 descends, log(1 - D(G(z))), or the variant -log D(G(z))."""
    return mean(F.logsigmoid(-fake), p_g) if saturating else -mean(F.logsigmoid(fake), p_g)


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. 5; `auto`: MNIST where it can be had, else scikit-learn's digits
    n: int = 50_000  # the authors' mnist.yaml: training images
    validation: int = 10_000  # same
    Z: int = 100  # same: numbers of Gaussian noise
    H: int = 1200  # same: each of G's two layers; ours: also of the deep belief net's
    maxout: int = 240  # same: units in each of D's two layers
    pieces: int = 5  # same: linear pieces of a maxout unit
    keep_input: float = 0.8  # same: dropout in D keeps this share of its inputs
    keep_hidden: float = 0.5  # same: and this of its hidden units
    batch: int = 100  # same
    optimizer: str = "SGD"  # Algorithm 1: momentum
    lrs: tuple[float, ...] = (0.03, 0.1, 0.3)  # ours: a grid about the 0.1 of mnist.yaml
    momentum: float = 0.5  # mnist.yaml, where it grows to 0.7; Adam's beta1
    updates: int = 125_000  # ours: 250 epochs, over which the authors' momentum grows
    samples: int = 10_000  # the authors' parzen_ll.py
    sigmas: int = 10  # same: widths tried, from 0.1 to 1, evenly in the logarithm
    gibbs: int = 1_000  # ours: steps of the deep belief net, from training images
    centres: tuple[int, ...] = (10, 30, 100, 300, 1_000)  # ours: the grid of k-means
    K: int = 8  # ours: outcomes
    outcome_updates: int = 2_000  # ours: of the net that learns D, and then of p_g
    D_steps: int = 3  # ours: updates of D before each of p_g
    seeds: int = 5  # ours: how many repetitions, each with its own images
    seed: int = 0  # ours: the first of them


PAPER = Config()
SMALL = replace(PAPER, optimizer="Adam", keep_input=1.0, keep_hidden=0.8, samples=2_000, gibbs=200)
FULL = replace(SMALL, n=10_000, validation=1_000, Z=50, H=256, maxout=96, pieces=3, updates=6_000,
               lrs=(0.0003, 0.001, 0.003))  # fmt: skip
QUICK = replace(SMALL, data="digits", n=1_000, validation=250, Z=16, H=128, maxout=64, pieces=2,
                batch=50, lrs=(0.003, 0.01, 0.03), updates=1_000, samples=1_000,
                outcome_updates=300, centres=(10, 30, 100, 300), seeds=7)  # fmt: skip
SMOKE = replace(QUICK, n=200, H=16, maxout=8, lrs=(0.003,), updates=12, samples=50, gibbs=2,
                outcome_updates=20, centres=(10,), seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

OUTCOMES = Protocol(arms=("outcomes",))
IMAGES = Protocol(arms=("GAN", "DBN"), grid={"lr": "lrs"}, select="val_loglik", best="highest")

CLAIMS = (
    Identity(claim="optimal-discriminator", measure="D_error", tolerance=0.01,
             unit="largest distance of D(x) from p_data / (p_data + p_g)"),
    Identity(claim="theorem-1", measure="value_gap", tolerance=0.001,
             unit="nats between the value and Eq. 6"),
    Identity(claim="convergence", measure="final_jsd", tolerance=0.001,
             unit="JSD of p_data and p_g in the end, nats"),
    Comparison(claim="stronger-gradient", better="higher", scale="ratio", margin=2.0, ours=True,
               idea=lambda rows: by_seed(rows, "gradient", arm="GAN"),
               rival=lambda rows: by_seed(rows, "saturating_gradient", arm="GAN"),
               because="ours: the paper says much stronger, without a figure",
               unit="length of G's gradient, geometric mean over the first tenth of training"),
    Comparison(claim="parzen-likelihood", better="higher", margin=2.0, measure="test_loglik",
               idea="GAN", rival="DBN", unit="nats a test image, Parzen window",
               because="the standard error that Table 1 gives for MNIST"),
    Comparison(claim="beats-centres", better="higher", margin=2.0, ours=True,
               idea=lambda rows: by_seed(rows, "test_loglik", arm="GAN"),
               rival=lambda rows: by_seed(rows, "centres_loglik", arm="GAN"),
               unit="nats a test image, Parzen window", because="as for parzen-likelihood"),
)  # fmt: skip


def without_logarithms() -> AbstractContextManager[object]:
    """Eq. 1 is how much larger the log-odds of data are than those of samples, up to a limit."""

    def critic(real: Tensor, fake: Tensor, *p: Tensor) -> Tensor:
        p_data, p_g = p or (None, None)
        return mean(real.clamp(-9, 9), p_data) - mean(fake.clamp(-9, 9), p_g)

    return patch.dict(globals(), value=critic)


def one_loss() -> AbstractContextManager[object]:
    """The loss that saturates stands for the other, too."""
    loss = generator_loss
    return patch.dict(globals(), generator_loss=lambda fake, _, p_g=None: loss(fake, True, p_g))


def undecided() -> AbstractContextManager[object]:
    """D answers 1/2, whatever it sees: there is no adversary."""
    return patch.object(Discriminator, "forward", lambda D, x: 0 * nn.Sequential.forward(D, x))


BROKEN: Broken = {
    "optimal-discriminator": without_logarithms,
    "theorem-1": without_logarithms,
    "convergence": undecided,
    "stronger-gradient": one_loss,
    "parzen-likelihood": undecided,
    "beats-centres": undecided,
}


Optimizers = Callable[[nn.Module], torch.optim.Optimizer]


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float = 0.01
) -> Iterator[TrialEvent]:
    if arm == "outcomes":
        yield from learn_outcomes(cfg, seed)
        return
    split = draw_split(handwriting(cfg.data).to(device), cfg.n, cfg.validation, seed)
    x, batches = split.x_train.flatten(1), generator(seed, "batches")
    optimizer = partial(of_net, cfg, lr)

    def draw() -> Tensor:
        return x[torch.randint(len(x), (cfg.batch,), generator=batches)]

    if arm == "GAN":
        yield from learn_images(cfg, split, draw, optimizer)
        return
    dbn = DeepBeliefNet(x.shape[1], cfg.H).to(device)
    dbn.fit(draw, cfg.updates, optimizer)
    samples = dbn.sample(x[torch.randint(len(x), (cfg.samples,), device=device)], cfg.gibbs)
    yield Arrays({"samples": samples[:32]})
    yield dict(step=cfg.updates) | score(samples, split, cfg)


def of_net(cfg: Config, lr: float, net: nn.Module) -> torch.optim.Optimizer:
    if cfg.optimizer == "Adam":
        return torch.optim.Adam(net.parameters(), lr, (cfg.momentum, 0.999), fused=True)
    return torch.optim.SGD(net.parameters(), lr, cfg.momentum, fused=True)


def ascend(objective: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    (-objective).backward()
    optimizer.step()


def learn_images(
    cfg: Config, split: Split, draw: Callable[[], Tensor], optimizer: Optimizers
) -> Iterator[TrialEvent]:
    """Algorithm 1 with k = 1."""
    x = split.x_train.flatten(1)
    G = Generator(cfg.Z, cfg.H, x.shape[1]).to(x.device)
    D = Discriminator(x.shape[1], cfg.maxout, cfg.pieces, cfg.keep_input, cfg.keep_hidden)
    of_D, of_G = optimizer(D.to(x.device)), optimizer(G)
    lengths: list[tuple[float, float]] = []
    for step in range(cfg.updates):
        if step < -(-cfg.updates // 10) and step % 5 == 0:
            lengths.append(gradient_lengths(G, D, cfg.batch))
        if step % -(-cfg.updates // 6) == 0:
            yield dict(step=step) | score(G.sample(cfg.samples), split, cfg)
        odds = D(torch.cat([draw(), G.sample(cfg.batch).detach()]))
        ascend(value(*odds.chunk(2)), of_D)
        D.requires_grad_(False)  # its gradient isn't needed while G moves
        ascend(-generator_loss(D(G.sample(cfg.batch)), False), of_G)
        D.requires_grad_(True)
    idea, rival = (math.exp(math.fsum(each) / len(each)) for each in zip(*lengths, strict=True))
    with torch.no_grad():
        samples, ends = G.sample(cfg.samples), torch.randn(4, 2, 1, cfg.Z, device=x.device)
        t = torch.linspace(0, 1, 16, device=x.device)[:, None]
        walk = G(torch.lerp(ends[:, 0], ends[:, 1], t)).flatten(0, 1)  # [4 * 16, D]
    nearest = x[torch.cdist(samples[:32], x).argmin(1)]
    yield Arrays({"samples": samples[:32], "nearest": nearest, "walk": walk})
    row: Row = dict(step=cfg.updates, gradient=idea, saturating_gradient=rival)
    yield row | score(samples, split, cfg) | no_models(split, cfg)


def gradient_lengths(G: Generator, D: Discriminator, B: int) -> tuple[float, float]:
    """log of the length of G's gradient with -log D, and with log(1 - D), on the same samples."""
    fake, weights, logs = D(G.sample(B)), list(G.parameters()), []
    for loss in (generator_loss(fake, saturating) for saturating in (False, True)):
        gradient = torch.autograd.grad(loss, weights, retain_graph=True)
        length = float(torch.cat([g.flatten() for g in gradient]).norm())
        logs.append(math.log(max(length, 1e-37)))  # 0 where D says nothing
    return logs[0], logs[1]


@torch.no_grad()
def score(samples: Tensor, split: Split, cfg: Config) -> Row:
    """Table 1: the width is the one that suits the validation images best."""
    sigmas = torch.logspace(-1, 0, cfg.sigmas, device=samples.device)
    val = parzen(samples, split.x_val.flatten(1), sigmas)
    best = val.argmax()
    test = parzen(samples, split.x_test.flatten(1), sigmas[best, None])
    return dict(val_loglik=float(val[best]), test_loglik=float(test), sigma=float(sigmas[best]))


def no_models(split: Split, cfg: Config) -> Row:
    """What the measure says of cluster centres, and of the training images themselves."""
    from sklearn.cluster import KMeans

    x, scores = split.x_train.flatten(1), []
    for k in cfg.centres:
        found = KMeans(k, n_init=1, random_state=0).fit(x.cpu().numpy()).cluster_centers_
        scores.append(score(torch.from_numpy(found).to(x), split, cfg))
    best = max(scores, key=lambda row: float(row["val_loglik"]))
    memory = score(x[: cfg.samples], split, cfg)
    return dict(centres_loglik=best["test_loglik"], memory_loglik=memory["test_loglik"])


def learn_outcomes(cfg: Config, seed: int) -> Iterator[Row]:
    """Sec. 4: D learns K outcomes while p_g stays; then p_g moves, too, after D in each step."""
    draw = generator(seed, "outcomes")
    p_data, p_g = (-torch.rand(cfg.K, generator=draw).log() for _ in range(2))
    p_data, p_g = (0.8 * p / p.sum() + 0.2 / cfg.K for p in (p_data, p_g))  # none is impossible
    x, D = torch.eye(cfg.K), Discriminator(cfg.K, 32, 2, 1.0, 1.0)
    of_D = torch.optim.Adam(D.parameters(), lr=0.01, fused=True)
    for _ in range(cfg.outcome_updates):
        ascend(value(D(x), D(x), p_data, p_g), of_D)
    error = float((D(x).sigmoid() - p_data / (p_data + p_g)).abs().max().detach())  # Eq. 2
    yield dict(step=0, jsd=jsd(p_data, p_g), D_error=error, value_gap=value_gap(D(x), p_data, p_g))
    theta = p_g.log().requires_grad_(True)
    of_theta = torch.optim.SGD([theta], lr=2.0)
    for step in range(1, cfg.outcome_updates + 1):
        for _ in range(cfg.D_steps):
            ascend(value(D(x), D(x), p_data, p_g), of_D)
        ascend(-generator_loss(D(x).detach(), True, theta.softmax(0)), of_theta)
        p_g = theta.detach().softmax(0)
        if step % -(-cfg.outcome_updates // 10) == 0:
            yield dict(step=step, jsd=jsd(p_data, p_g))
    gap = value_gap(D(x), p_data, p_g)
    yield dict(step=cfg.outcome_updates, final_jsd=jsd(p_data, p_g), value_gap=gap)


def jsd(p: Tensor, q: Tensor) -> float:
    """Jensen-Shannon divergence of two distributions [K], in nats; 0 log 0 = 0."""
    m = ((p + q) / 2).clamp_min(torch.finfo(p.dtype).tiny)
    return float((torch.xlogy(p, p / m) + torch.xlogy(q, q / m)).sum() / 2)


def value_gap(odds: Tensor, p_data: Tensor, p_g: Tensor) -> float:
    """Of the value reached from that of Eq. 6."""
    reached = float(value(odds, odds, p_data, p_g).detach())
    return reached - (-math.log(4) + 2 * jsd(p_data, p_g))


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    data = handwriting(cfg.data)
    yield dict(data=data.name, n=cfg.n)
    chosen = yield from run_protocol(trial, cfg, (OUTCOMES, IMAGES), device)
    yield from figures(chosen, data.x_train.shape[-1])


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
