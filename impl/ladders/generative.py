"""Ladder: new examples. Three generative models draw points of the plane, and digits.

Each model is its paper's, with nets of the same kind: two hidden layers. All are trained by Adam,
and their samples are compared with examples that they have not seen, by one measure.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from impl.ddpm import Denoiser, Diffusion, Objective, denoising_loss, sample
from impl.gan import generator_loss, value
from impl.kit import Protocol, TrialEvent, generator
from impl.kit.samples import energy_distance
from impl.kit.tasks import eight_gaussians, handwritten
from impl.ladders.ladder import (
    Ladder,
    count_flops,
    count_updates,
    main,
    set_lr,
    spent,
    train,
    width_for,
)
from impl.vae import kl, log_normal, reparameterize


@dataclass(frozen=True)
class Config:
    sets: tuple[str, ...] = ("eight Gaussians", "digits")
    n: int = 1_000  # training examples
    validation: int = 250
    test: int = 500
    parameters: int = 20_000  # of both nets together, or of the one net of diffusion
    Z: int = 8  # numbers that the VAE and the GAN begin with
    T: int = 50  # steps of diffusion
    batch: int = 100
    budget: float = 5e9  # FLOPs of all updates of one training
    lrs: tuple[float, ...] = (0.004, 0.016, 0.064, 0.256)  # the grid, of Adam
    seeds: int = 5  # how many repetitions, each with its own examples
    seed: int = 0  # the first of them


QUICK = Config()
SMOKE = replace(QUICK, n=100, parameters=2_000, T=5, budget=1e7, lrs=(0.003,), seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK}

LADDER = Ladder(
    name="generative",
    title="New examples",
    task="A model learns from a thousand examples, of eight heaps of points in the plane or of "
    "handwritten digits, and draws new ones. Measured is their energy distance from unseen "
    "examples, 0 if both are distributed alike: it tells where samples lie, hardly how sharp they "
    "are.",
    unit="% of the distance between two examples",
    measure="test_distance",
    rungs={"VAE": "vae", "GAN": "gan", "diffusion": "ddpm"},
    protocol=Protocol(
        ("VAE", "GAN", "diffusion"), {"lr": "lrs"}, {"set": "sets"}, select="val_distance"
    ),
)


def mlp(n: int, H: int, m: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n, H), nn.SiLU(), nn.Linear(H, H), nn.SiLU(), nn.Linear(H, m))


class VAE(nn.Module):
    """Its decoder gives the mean of a Gaussian; its variance is learned, too (App. C.2)."""

    def __init__(self, D: int, H: int, Z: int):
        super().__init__()
        self.Z, self.encoder, self.decoder = Z, mlp(D, H, 2 * Z), mlp(Z, H, D)
        self.log_var = nn.Parameter(torch.zeros(D))

    def loss(self, x: Tensor) -> Tensor:
        mean, log_var = self.encoder(x).chunk(2, 1)
        z = reparameterize(mean, log_var, torch.randn_like(mean))
        bound = log_normal(x, self.decoder(z), self.log_var) - kl(mean, log_var)
        return -bound.mean()

    def sample(self, N: int, noise: torch.Generator) -> Tensor:
        means: Tensor = self.decoder(torch.randn(N, self.Z, generator=noise))
        return means + (0.5 * self.log_var).exp() * torch.randn(means.shape, generator=noise)


class GAN(nn.Module):
    def __init__(self, D: int, H: int, Z: int):
        super().__init__()
        self.Z, self.G, self.D = Z, mlp(Z, H, D), mlp(D, H, 1)

    def losses(self, x: Tensor) -> Iterator[tuple[nn.Sequential, Tensor]]:
        """First of the discriminator, then of the generator."""
        fake = self.G(torch.randn(len(x), self.Z, device=x.device))
        yield self.D, -value(self.D(x), self.D(fake.detach()))
        yield self.G, generator_loss(self.D(fake), saturating=False)

    def sample(self, N: int, noise: torch.Generator) -> Tensor:
        samples: Tensor = self.G(torch.randn(N, self.Z, generator=noise))
        return samples


class Diffuser(nn.Module):
    """Guesses the noise, by the simple loss: Algorithms 1 and 2."""

    objective = Objective(noise=True, bound=False)

    def __init__(self, D: int, H: int, T: int):
        super().__init__()
        self.D, self.net, self.q = D, Denoiser(D, H, 2, T), Diffusion(T, 1e-4, 0.02)

    def loss(self, x: Tensor) -> Tensor:
        t = torch.randint(1, self.q.T + 1, (len(x),), device=x.device)
        return denoising_loss(self.net, self.q, x, t, torch.randn_like(x), self.objective)

    def sample(self, N: int, noise: torch.Generator) -> Tensor:
        *_, samples = sample(self.net, self.q, (N, self.D), self.objective, noise)
        return samples


Model = VAE | GAN | Diffuser


def build(cfg: Config, arm: str, D: int, H: int) -> Model:
    if arm == "diffusion":
        return Diffuser(D, H, cfg.T)
    return (VAE if arm == "VAE" else GAN)(D, H, cfg.Z)


@functools.cache
def width(cfg: Config, arm: str, D: int) -> int:
    return width_for(cfg.parameters, lambda H: build(cfg, arm, D, H), range(4, 300, 2))


def examples(cfg: Config, name: str, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """To train on, to choose by and to judge by. [n, D] each"""
    if name == "digits":
        split = handwritten(cfg.n, cfg.validation, seed)
        return split.x_train, split.x_val, split.x_test[: cfg.test]
    sizes = {"data": cfg.n, "val": cfg.validation, "test": cfg.test}
    x, val, test = (eight_gaussians(n, generator(seed, part)) for part, n in sizes.items())
    return x, val, test


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, set: str, lr: float
) -> Iterator[TrialEvent]:
    x, val, test = (part.to(device) for part in examples(cfg, set, seed))
    model = build(cfg, arm, x.shape[1], width(cfg, arm, x.shape[1])).to(device)
    batches = generator(seed, "batches")

    def batch() -> Tensor:
        return x[torch.randint(len(x), (cfg.batch,), generator=batches)]

    if isinstance(model, GAN):
        flops = count_flops(lambda: [*gradients(model, batch())])
        updates = count_updates(cfg.budget, flops)
        play(model, batch, lr, updates)
    else:
        flops = count_flops(lambda: model.loss(batch()).backward())
        updates = count_updates(cfg.budget, flops)
        optimizer = torch.optim.Adam(model.parameters(), lr, fused=True)
        yield from train(lambda: model.loss(batch()), optimizer, lr, updates)
    with torch.no_grad():
        samples = model.sample(len(val) + len(test), generator(seed, "samples"))
    # For all models: one number that runs away would be all of the distance. Not at the range of
    # the examples, where most pixels lie: noise about them would be cut on one side only.
    samples = samples.nan_to_num(0).clamp(-10, 10)
    of_val, of_test = samples.split([len(val), len(test)])
    distances = dict(
        val_distance=energy_distance(of_val, val), test_distance=energy_distance(of_test, test)
    )
    yield dict(step=updates, **distances, **spent(flops, updates, model))


def gradients(gan: GAN, x: Tensor) -> Iterator[nn.Sequential]:
    """Each net in turn, when it has the gradient of its loss."""
    for net, loss in gan.losses(x):
        net.zero_grad()
        loss.backward(inputs=list(net.parameters()))
        yield net


def play(gan: GAN, batch: Callable[[], Tensor], lr: float, updates: int) -> None:
    """Discriminator and generator take turns. Their momentum is shorter than usual: with 0.9 such
    games go in circles."""
    adam = functools.partial(torch.optim.Adam, lr=lr, betas=(0.5, 0.999), fused=True)
    optimizers = {net: adam(net.parameters()) for net in (gan.D, gan.G)}
    for step in range(1, updates + 1):
        for net in gradients(gan, batch()):
            set_lr(optimizers[net], lr, step, updates)
            optimizers[net].step()


if __name__ == "__main__":
    raise SystemExit(main(__doc__, LADDER, trial, PRESETS))
