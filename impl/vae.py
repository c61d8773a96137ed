"""Auto-Encoding Variational Bayes. Kingma & Welling, ICLR 2014 (arXiv 1312.6114).

Claims      lower-variance          the reparameterized gradient varies far less than the usual
                                    one, by the score function (Sec. 2.2)
            variance-with-baseline  also if that one gets the mean of each image as baseline
            unbiased-gradient       in the mean it is the gradient of the bound (Sec. 2.4)
            closed-form-kl          the divergence of Gaussians needs no sampling (App. B)
            lower-bound             the bound is never above log p(x) (Eqs. 1 and 2)
            few-latents             AEVB's bound is better than wake-sleep's, with 2 latent
                                    variables (Fig. 2)
            many-latents            and with 20
Deviations  1  pixels are black or white, cut at 1/2: wake-sleep dreams in black and white, too
            2  the learning rate is chosen on validation images after training, for both arms
            3  `quick`, `full`: fewer hidden units, updates and images, and a wider grid
            4  variances are compared with the 2 latent variables of Fig. 4: this suits the rival
            5  the integrals are over a grid, for small nets with 2 latent variables on 8 x 8 digits
Left out    Frey faces, Gaussian outputs, Monte Carlo EM (Fig. 3), superfluous variables, App. F
Shapes      B images, D pixels, H hidden units, J latent variables, K draws
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from statistics import geometric_mean
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing.vae import figures, plane
from impl.kit import (  # fmt: skip
    Arrays,
    Bound,
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
    keep_rows,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.data import Split, draw_split, handwriting
from impl.kit.descent import update


class Encoder(nn.Module):
    """Eq. 12: [B, D] -> mean and log variance of q(z|x), [B, J] each."""

    def __init__(self, D: int, H: int, J: int):
        super().__init__()
        self.hidden, self.mean, self.log_var = nn.Linear(D, H), nn.Linear(H, J), nn.Linear(H, J)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.hidden(x))
        return self.mean(h), self.log_var(h)


class VAE(nn.Module):
    def __init__(self, D: int, H: int, J: int, std: float = 0.1):
        super().__init__()
        self.encoder, self.J = Encoder(D, H, J), J
        # Eq. 11: z [..., J] -> logits [..., D], whose sigmoid is the probability of a white pixel
        self.decoder = nn.Sequential(nn.Linear(J, H), nn.Tanh(), nn.Linear(H, D))
        for weight in self.parameters():
            nn.init.normal_(weight, std=std)  # Sec. 5


def reparameterize(mean: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """Eqs. 4 and 10: z = mu + sigma * eps, a draw that lets the gradient through."""
    return mean + (0.5 * log_var).exp() * eps


def kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """App. B: the divergence of N(mu, sigma^2) from N(0, I). [..., J] -> [...]"""
    return -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(-1)


def log_normal(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Eq. 9: log N(z; mu, sigma^2 I). [..., J] -> [...]"""
    square = (z - mean).square() / log_var.exp()
    return -0.5 * (math.log(2 * math.pi) + log_var + square).sum(-1)


def log_prior(z: Tensor) -> Tensor:
    """Sec. 3: log N(z; 0, I). [..., J] -> [...]"""
    return log_normal(z, torch.zeros_like(z), torch.zeros_like(z))


def log_bernoulli(x: Tensor, logits: Tensor) -> Tensor:
    """Eq. 11: log p(x|z), x [B, D] and logits [..., B, D] -> [..., B]"""
    return (x * logits - F.softplus(logits)).sum(-1)


def sgvb(vae: VAE, x: Tensor, eps: Tensor) -> Tensor:
    """Eqs. 7 and 10 with L = 1: estimates of each image's bound. [..., B, J] -> [..., B]"""
    mean, log_var = vae.encoder(x)
    z = reparameterize(mean, log_var, eps)
    return log_bernoulli(x, vae.decoder(z)) - kl(mean, log_var)


def score_function(vae: VAE, x: Tensor, eps: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    """Sec. 2.2: the same estimate; its gradient in phi is f(z) times that of log q(z|x)."""
    mean, log_var = vae.encoder(x)
    z = reparameterize(mean, log_var, eps).detach()
    f = log_bernoulli(x, vae.decoder(z))
    score = (f.detach() - baseline) * log_normal(z, mean, log_var)
    return f - kl(mean, log_var) + score - score.detach()


def aevb_loss(vae: VAE, x: Tensor) -> Tensor:
    """Algorithm 1: one draw for each of a minibatch's images."""
    return -sgvb(vae, x, torch.randn(len(x), vae.J, device=x.device)).mean()


def wake_sleep_loss(vae: VAE, x: Tensor) -> Tensor:
    """Hinton et al. 1995: awake the decoder learns images, asleep the encoder learns dreams."""
    with torch.no_grad():
        mean, log_var = vae.encoder(x)
        z = reparameterize(mean, log_var, torch.randn_like(mean))
        dreamt = torch.randn_like(z)
        dream = torch.bernoulli(vae.decoder(dreamt).sigmoid())
    return -(log_bernoulli(x, vae.decoder(z)) + log_normal(dreamt, *vae.encoder(dream))).mean()


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. 5; `auto`: MNIST where it can be had, else scikit-learn's digits
    n: int = 50_000  # Fig. 3: training images
    validation: int = 10_000  # ours
    latents: tuple[int, ...] = (2, 3, 5, 10, 20, 200)  # Figs. 2 and 5: latent variables, J
    H: int = 500  # Sec. 5: hidden units of each net
    std: float = 0.1  # Sec. 5: of initial weights, N(0, 0.01) read as a variance
    batch: int = 100  # Sec. 5
    lrs: tuple[float, ...] = (0.01, 0.02, 0.1)  # Sec. 5: Adagrad's
    updates: int = 1_000_000  # Fig. 2: 10^8 images seen
    test: int = 10_000  # ours: images of each set on which bounds are taken
    draws: int = 5  # ours: of each image, for the bound that is judged
    gradient_draws: int = 50  # ours: of a minibatch, for variances
    integral_updates: int = 1_000  # ours: of the nets whose integrals are taken
    seeds: int = 5  # ours: how many repetitions, each with its own images
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", latents=(2, 5, 20), H=200, lrs=(0.01, 0.02, 0.05, 0.1),
               updates=2_000, test=2_000)  # fmt: skip
QUICK = replace(FULL, n=10_000, validation=500, latents=(2, 20), H=50, updates=250, test=1_000,
                gradient_draws=20, integral_updates=500)  # fmt: skip
SMOKE = replace(QUICK, data="digits", n=200, H=8, lrs=(0.05, 0.1), updates=20,
                gradient_draws=5, integral_updates=5, seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

GRADIENTS = Protocol(arms=("gradients",), conditions={"J": "latents"})
LEARNING = Protocol(arms=("AEVB", "wake-sleep"), grid={"lr": "lrs"}, conditions={"J": "latents"},
                    select="val_bound", best="highest")  # fmt: skip

TENFOLD = "ours: ten times as many draws for the same precision; the paper gives no figure"
ONE_NAT = "Fig. 2: its estimates vary by less than 1"
CLAIMS = (
    Comparison(claim="lower-variance", better="lower", scale="ratio", margin=10.0, ours=True,
               where={"J": 2}, idea=lambda rows: by_seed(rows, "reparameterized"),
               rival=lambda rows: by_seed(rows, "score_function"),
               because=TENFOLD, unit="variance of the encoder's gradient, mean over training"),
    Comparison(claim="variance-with-baseline", better="lower", scale="ratio", margin=10.0,
               where={"J": 2}, idea=lambda rows: by_seed(rows, "reparameterized"), ours=True,
               rival=lambda rows: by_seed(rows, "with_baseline"),
               because=TENFOLD, unit="variance of the encoder's gradient, mean over training"),
    Identity(claim="unbiased-gradient", measure="gradient_error", tolerance=1e-6,
             unit="distance of the mean gradient from that of the bound, as a share of its length"),
    Identity(claim="closed-form-kl", measure="kl_error", tolerance=1e-6,
             unit="nats between the closed form and the integral"),
    Bound(claim="lower-bound", measure="excess", unit="largest bound less log p(x), nats"),
    Comparison(claim="few-latents", idea="AEVB", rival="wake-sleep", measure="test_bound",
               where={"J": 2}, better="higher", margin=1.0, because=ONE_NAT,
               unit="nats, lower bound of a test image"),
    Comparison(claim="many-latents", idea="AEVB", rival="wake-sleep", measure="test_bound",
               where={"J": 20}, better="higher", margin=1.0, because=ONE_NAT,
               unit="nats, lower bound of a test image"),
)  # fmt: skip


put = partial(patch.dict, globals())  # in place of functions of this file
BROKEN: Broken = {
    "lower-variance": partial(put, sgvb=score_function),
    "variance-with-baseline": partial(put, sgvb=score_function),
    "unbiased-gradient": partial(put, reparameterize=lambda m, s, e: (m + s.exp() ** 0.5 * e).data),
    "closed-form-kl": partial(put, kl=lambda mean, _: 0.5 * mean.square().sum(-1)),  # small codes
    "lower-bound": partial(put, kl=lambda mean, _: 0 * mean.sum(-1)),  # an auto-encoder
    "few-latents": partial(put, sgvb=score_function),
    "many-latents": partial(put, sgvb=score_function),
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, J: int = 2, lr: float = 0.1
) -> Iterator[TrialEvent]:
    if arm == "integrals":
        yield from take_integrals(cfg, seed)
        return
    split = black_and_white(cfg, cfg.data, seed, device)
    vae = VAE(split.x_train.shape[1], cfg.H, J, cfg.std).to(device)
    if arm == "gradients":
        yield from compare_gradients(cfg, vae, split.x_train, seed)
        return
    loss = aevb_loss if arm == "AEVB" else wake_sleep_loss
    prior = torch.randn(48, J, generator=generator(seed, "prior")).to(device)
    for step in train(cfg, vae, loss, split.x_train, seed, lr, cfg.updates):
        yield Arrays({f"samples {step}": vae.decoder(prior).sigmoid()})
        draws = cfg.draws if step == cfg.updates else 1
        yield dict(step=step) | bounds(cfg, vae, split, draws, seed)
    if J == 2:
        decoded, codes = vae.decoder(plane().to(device)).sigmoid(), vae.encoder(split.x_test)[0]
        yield Arrays({"manifold": decoded, "codes": codes, "labels": split.y_test})


def black_and_white(cfg: Config, data: str, seed: int, device: torch.device) -> Split:
    """Pixels [N, D] of 0 and 1: n images, or all that there are; the first test images."""
    source = handwriting(data).to(device)
    n = min(cfg.n, (N := len(source.x_train)) - min(cfg.validation, N // 5))
    split = draw_split(source, n, cfg.validation, seed)
    x_test, y_test = split.x_test[: cfg.test], split.y_test[: cfg.test]
    train, val, test = (x.flatten(1).round() for x in (split.x_train, split.x_val, x_test))
    return Split(train, split.y_train, val, split.y_val, test, y_test)


def train(
    cfg: Config, vae: VAE, loss: Callable[[VAE, Tensor], Tensor], x: Tensor, seed: int, lr: float,
    updates: int,
) -> Iterator[int]:  # fmt: skip
    """Algorithm 1 with Adagrad, Sec. 5; yields the number of updates when it has doubled."""
    batches = generator(seed, "batches")
    optimizer = torch.optim.Adagrad(vae.parameters(), lr, weight_decay=1 / len(x), fused=True)
    stops = {-(-updates // 2**k) for k in range(5)}
    for step in range(1, updates + 1):
        at = torch.randint(len(x), (cfg.batch,), generator=batches).to(x.device)
        update(loss(vae, x[at]), optimizer)
        if step in stops:
            yield step


@torch.no_grad()
def bounds(cfg: Config, vae: VAE, split: Split, draws: int, seed: int) -> Row:
    """Eq. 10, the mean over images and draws: nats."""
    row, noise = Row(), generator(seed, "bounds")
    sets = {"train": split.x_train[: cfg.test], "val": split.x_val, "test": split.x_test}
    for name, x in sets.items():
        eps = torch.randn(draws, len(x), vae.J, generator=noise).to(x.device)
        row[f"{name}_bound"] = float(sgvb(vae, x, eps).mean())
    return row


def compare_gradients(cfg: Config, vae: VAE, x: Tensor, seed: int) -> Iterator[Row]:
    """Variances on one minibatch, as AEVB learns; in the end their geometric means."""
    rows = []
    lr, noise = cfg.lrs[len(cfg.lrs) // 2], generator(seed, "gradients")
    for step in train(cfg, vae, aevb_loss, x, seed, lr, cfg.updates):
        eps = torch.randn(cfg.gradient_draws, cfg.batch, vae.J, generator=noise).to(x.device)
        rows.append(variances(vae, x[: cfg.batch], eps))
        yield Row(step=step, **rows[-1])
    yield Row({name: geometric_mean(row[name] for row in rows) for name in rows[0]})


def encoder_gradient(vae: VAE, bound: Tensor) -> Tensor:
    """With respect to phi, as one long vector."""
    gradients = torch.autograd.grad(bound, list(vae.encoder.parameters()), retain_graph=True)
    return torch.cat([gradient.flatten() for gradient in gradients])


def variances(vae: VAE, x: Tensor, eps: Tensor) -> dict[str, float]:
    """Of three estimates of the encoder's gradient, summed over weights; eps [K, B, J]."""
    with torch.no_grad():
        f = torch.stack([sgvb(vae, x, each) for each in eps]) + kl(*vae.encoder(x))  # log p(x|z)
    with_baseline = partial(score_function, baseline=f.mean(0))
    estimates: dict[str, Callable[..., Tensor]] = dict(
        reparameterized=sgvb, score_function=score_function, with_baseline=with_baseline
    )
    found = {}
    for name, estimate in estimates.items():
        gradients = [encoder_gradient(vae, estimate(vae, x, each).mean()) for each in eps]
        found[name] = max(float(torch.stack(gradients).var(0).sum()), 1e-37)  # it has a logarithm
    return found


def take_integrals(cfg: Config, seed: int) -> Iterator[Row]:
    """A small net's bound, gradient and log p(x), not by sampling but over a grid of z."""
    x = black_and_white(replace(QUICK, n=500), "digits", seed, torch.device("cpu")).x_train
    vae = VAE(x.shape[1], 50, 2, cfg.std)
    for step in train(cfg, vae, aevb_loss, x, seed, 0.1, cfg.integral_updates):
        yield dict(step=step)
    vae, x = vae.double(), x[:20].double()
    eps, cell = grid(8.0, 0.25)
    mean, log_var = vae.encoder(x)
    std = (0.5 * log_var).exp().detach()
    z, dz = mean.detach() + std * eps[:, None], cell * std.prod(-1)  # [K, B, J], [B]: they stay
    log_q = log_normal(z, mean, log_var)
    divergence = (log_q.exp() * (log_q - log_prior(z)) * dz).sum(0)
    bound = (log_q.exp() * log_bernoulli(x, vae.decoder(z)) * dz).sum(0) - divergence
    estimates = sgvb(vae, x, eps[:, None].expand(-1, len(x), -1))
    mean_estimate = (log_prior(eps).exp()[:, None] * estimates * cell).sum(0)
    exact, found = encoder_gradient(vae, bound.sum()), encoder_gradient(vae, mean_estimate.sum())
    yield dict(
        step=cfg.integral_updates,
        gradient_error=float((found - exact).norm() / exact.norm()),
        kl_error=float((kl(mean, log_var) - divergence).abs().max().detach()),
        excess=float((mean_estimate - log_evidence(vae, x)).max().detach()),
    )


def grid(end: float, space: float) -> tuple[Tensor, float]:
    """Points [K, 2] of a square from -end to end, and the area of a cell."""
    at = torch.arange(-end, end + space / 2, space, dtype=torch.float64)
    return torch.cartesian_prod(at, at), space**2


@torch.no_grad()
def log_evidence(vae: VAE, x: Tensor) -> Tensor:
    """log p(x), the integral of p(x|z) p(z) over the plane: [B]"""
    z, cell = grid(7.0, 0.04)
    parts = [  # x * logits - softplus(logits), for all pairs of z and x at once
        logits @ x.T - F.softplus(logits).sum(-1, keepdim=True) + log_prior(part)[:, None]
        for part in z.split(20_000)
        for logits in [vae.decoder(part)]
    ]
    return torch.logsumexp(torch.cat(parts), 0) + math.log(cell)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    rows: list[Row] = []
    data = handwriting(cfg.data)
    yield dict(data=data.name)
    protocols = (Protocol(arms=("integrals",)), GRADIENTS, LEARNING)
    chosen = yield from keep_rows(run_protocol(trial, cfg, protocols, device), rows)
    yield from figures(chosen, rows, data.x_train.shape[-1], cfg.batch)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
