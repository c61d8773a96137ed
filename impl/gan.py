"""Generative Adversarial Nets. Goodfellow et al., NIPS 2014 (arXiv 1406.2661).

Claims      optimal-discriminator  for a given generator the best D(x) is p_data / (p_data + p_g) (Prop. 1)
            trained-discriminator  a net trained on samples of the two comes near that best D (Sec. 4.1, Fig. 1b)
            theorem-1              with it the game is worth -log 4 + 2 JSD(p_data || p_g), at best -log 4 (Thm. 1, Eq. 6)
            convergence            with the best D at every step, p_g becomes p_data (Prop. 2)
            stronger-gradient      early on, -log D(G(z)) has a much larger gradient than log(1 - D(G(z))) (Sec. 3)
            parzen-likelihood      G's samples make test images likelier than a simpler model's do (Sec. 5, Table 1)
Deviations  1  the simpler model is a Gaussian with the images' mean and covariance; the paper has DBN, CAE and GSN
            2  torch's range of initial weights; momentum and learning rate stay constant
            3  `quick` and `full`: smaller nets, less dropout, Adam (chosen on validation images); `quick`: 8 x 8 digits
            4  Prop. 1, Thm. 1 and Prop. 2 are checked on K outcomes, where p_g is a table and not a net
            5  G is trained to maximize log D(G(z)), the variant of Sec. 3
Left out    Toronto faces, CIFAR-10, convolutional nets
Shapes      S nets side by side (one a seed), B images, D pixels, Z noise, H units, K outcomes, P problems
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.data import Images, handwriting
from impl.kit.figures import PALETTE, canvas, figure, sheets


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. 5; `auto` is MNIST where it can be had, else scikit-learn's digits
    Z: int = 100  # the authors' mnist.yaml: Gaussian noise
    H: int = 1200  # same: each of G's two layers
    maxout: int = 240  # same: units in each of D's two layers
    pieces: int = 5  # same: linear pieces of a maxout unit
    keep_input: float = 0.8  # same: dropout in D keeps this share of its inputs
    keep_hidden: float = 0.5  # same: and this of its hidden units
    batch: int = 100  # same
    optimizer: str = "SGD"  # Algorithm 1: momentum
    lr: float = 0.1  # the authors' mnist.yaml
    momentum: float = 0.5  # same, where it grows to 0.7; Adam's beta1
    updates: int = 125_000  # ours: 250 epochs, over which the authors' momentum grows
    validation: int = 10_000  # the authors' mnist.yaml: the last training images
    samples: int = 10_000  # the authors' parzen_ll.py
    sigmas: int = 10  # same: widths tried, from 0.1 to 1, evenly in the logarithm
    density_updates: int = 4_000  # ours: for the picture after Fig. 1
    P: int = 10  # ours: random problems for the exact claims
    K: int = 8  # ours: their outcomes
    discrete_updates: int = 2_000  # ours: of the net that learns D, and of p_g
    seeds: int = 5  # ours: how many repetitions, each with its own images to train on
    seed: int = 0  # ours: the first of them


PAPER = Config()
SMALL = replace(PAPER, optimizer="Adam", keep_input=1.0, keep_hidden=0.8, validation=2_000, samples=2_000)
FULL = replace(SMALL, data="auto", Z=50, H=256, maxout=96, pieces=3, lr=0.001, updates=6_000)
QUICK = replace(SMALL, data="digits", Z=16, H=128, maxout=64, pieces=2, batch=50, lr=0.004, updates=3_000,
                density_updates=1_200, discrete_updates=1_000)  # fmt: skip
SMOKE = replace(QUICK, H=16, maxout=8, updates=12, samples=50, density_updates=10, discrete_updates=20, P=2, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

LOG4 = math.log(4)


class Linear(nn.Module):
    """S layers that never meet, [S, B, n] -> [S, B, m]: training one stack is training S nets."""

    def __init__(self, S: int, n: int, m: int):
        super().__init__()
        self.W = nn.Parameter(torch.empty(S, n, m).uniform_(-(n**-0.5), n**-0.5))
        self.b = nn.Parameter(torch.zeros(S, 1, m))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.baddbmm(self.b, x, self.W)
        return y


class Generator(nn.Module):
    """Noise [S, B, Z] -> samples [S, B, D], by rectifiers and sigmoids (Sec. 5); or onto a line, as in Fig. 1."""

    def __init__(self, S: int, Z: int, H: int, D: int, line: bool = False):
        super().__init__()
        self.S, self.Z, self.line = S, Z, line
        self.net = nn.Sequential(Linear(S, Z, H), nn.ReLU(), Linear(S, H, H), nn.ReLU(), Linear(S, H, D))

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.net(z)
        return x if self.line else torch.sigmoid(x)

    def sample(self, B: int) -> Tensor:
        """p_g: [S, B, D]."""
        z = next(self.parameters()).new_empty(self.S, B, self.Z)
        x: Tensor = self(z.uniform_(-1, 1) if self.line else z.normal_())
        return x


class Maxout(nn.Module):
    """The largest of `pieces` linear functions, [S, B, n] -> [S, B, m]."""

    def __init__(self, S: int, n: int, m: int, pieces: int):
        super().__init__()
        self.linear, self.pieces = Linear(S, n, m * pieces), pieces

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x).unflatten(-1, (-1, self.pieces)).amax(-1)
        return y


class Discriminator(nn.Module):
    """[S, B, D] -> log-odds [S, B] that it is data, so that D(x) is their sigmoid. Maxout and dropout, Sec. 5."""

    def __init__(self, S: int, D: int, units: int, pieces: int, keep_input: float = 1.0, keep_hidden: float = 1.0):
        super().__init__()
        self.net = nn.Sequential(
            nn.Dropout(1 - keep_input), Maxout(S, D, units, pieces),
            nn.Dropout(1 - keep_hidden), Maxout(S, units, units, pieces),
            nn.Dropout(1 - keep_hidden), Linear(S, units, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y.squeeze(-1)


def value(real: Tensor, fake: Tensor) -> Tensor:
    """Eq. 1 from log-odds [S, B] of data and of samples, [S]: E log D(x) + E log(1 - D(G(z)))."""
    return F.logsigmoid(real).mean(-1) + F.logsigmoid(-fake).mean(-1)


def generator_loss(fake: Tensor, saturating: bool) -> Tensor:
    """Sec. 3, [S]: what Algorithm 1 descends, log(1 - D(G(z))), or the variant -log D(G(z))."""
    return F.logsigmoid(-fake).mean(-1) if saturating else -F.logsigmoid(fake).mean(-1)


def play(G: Generator, D: Discriminator, draw: Callable[[], Tensor], cfg: Config, updates: int) -> Iterator[int]:
    """Algorithm 1 with k = 1, for all S pairs at once; yields the number of updates made, from 0."""
    optimizers: list[torch.optim.Optimizer] = []
    for net in (D, G):
        if cfg.optimizer == "Adam":
            optimizers.append(torch.optim.Adam(net.parameters(), cfg.lr, (cfg.momentum, 0.999), fused=True))
        else:
            optimizers.append(torch.optim.SGD(net.parameters(), cfg.lr, cfg.momentum, fused=True))
    yield 0
    for step in range(1, updates + 1):
        x = draw()
        D.requires_grad_(True)
        with torch.no_grad():
            fake = G.sample(x.shape[1])
        ascend(value(D(x), D(fake)), optimizers[0])
        D.requires_grad_(False)  # its gradient isn't needed while G moves
        ascend(-generator_loss(D(G.sample(x.shape[1])), saturating=False), optimizers[1])
        yield step


def ascend(objective: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    (-objective.sum()).backward()  # a sum over the S pairs: none is in another's gradient
    optimizer.step()


def gradient_norms(G: Generator, D: Discriminator, B: int) -> dict[str, Tensor]:
    """How long the generator's gradient is with each of the two losses, on the same samples: [S] each."""
    fake = D(G.sample(B))
    norms = {}
    for name, saturating in {"log D": False, "log(1 - D)": True}.items():
        loss = generator_loss(fake, saturating).sum()
        gradient = torch.autograd.grad(loss, list(G.parameters()), retain_graph=True)
        norms[name] = torch.stack([g.flatten(1).square().sum(1) for g in gradient]).sum(0).sqrt()
    return norms


def discrete_value(p_data: Tensor, p_g: Tensor, odds: Tensor) -> Tensor:
    """Eq. 3 with sums for integrals, on K outcomes: all arguments [P, K], the value [P]."""
    return (p_data * F.logsigmoid(odds) + p_g * F.logsigmoid(-odds)).sum(-1)


def best_discriminator(p_data: Tensor, p_g: Tensor) -> Tensor:
    """log-odds [P, K] of the D that maximizes Eq. 3, found by climbing it, not by Prop. 1."""
    odds = torch.zeros_like(p_data, requires_grad=True)
    optimizer = torch.optim.LBFGS([odds], max_iter=1_000, tolerance_grad=1e-12, tolerance_change=0.0,
                                  line_search_fn="strong_wolfe")  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -discrete_value(p_data, p_g, odds).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return odds.detach()


def jsd(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of distributions [..., K], in nats; 0 log 0 = 0."""
    m = (p + q) / 2
    return (
        torch.xlogy(p, p / m.clamp_min(torch.finfo(m.dtype).tiny))
        + torch.xlogy(q, q / m.clamp_min(torch.finfo(m.dtype).tiny))
    ).sum(-1) / 2


def theory(cfg: Config) -> Iterator[Event]:
    """Sec. 4 on P random pairs of distributions over K outcomes, in double precision on the processor."""
    torch.manual_seed(cfg.seed)
    dirichlet = torch.distributions.Dirichlet(torch.ones(cfg.K).double())
    p_data, p_g = (0.8 * dirichlet.sample((cfg.P,)) + 0.2 / cfg.K for _ in range(2))  # [P, K], nothing impossible
    best = p_data / (p_data + p_g)  # Eq. 2
    odds = best_discriminator(p_data, p_g)
    C = discrete_value(p_data, p_g, odds)  # Eq. 4
    C_equal = discrete_value(p_data, p_data, best_discriminator(p_data, p_data))
    for i in range(cfg.P):
        yield dict(measure="best D", problem=i, best_error=(odds[i].sigmoid() - best[i]).abs().max().item(),
                   value_gap=(C[i] - (-LOG4 + 2 * jsd(p_data[i], p_g[i]))).item(),  # Eq. 6
                   equal_gap=(C_equal[i] + LOG4).item())  # fmt: skip
    yield from learn_discriminator(cfg, p_data, p_g, best)

    theta = p_g.log().requires_grad_(True)
    for step in range(cfg.discrete_updates + 1):
        p_g = theta.softmax(-1)
        C = discrete_value(p_data, p_g, (p_data / p_g).log().detach())  # D*, held fixed while p_g moves
        if step % -(-cfg.discrete_updates // 20) == 0:
            for i in range(min(cfg.P, 4)):
                yield dict(measure=f"Prop. 2, problem {i}", step=step, C=C[i].item())
        (slope,) = torch.autograd.grad(C.sum(), theta)
        with torch.no_grad():
            theta -= 2.0 * slope
    for i, divergence in enumerate(jsd(p_data, p_g.detach()).tolist()):
        yield dict(measure="Prop. 2", problem=i, final_jsd=divergence)


def learn_discriminator(cfg: Config, p_data: Tensor, p_g: Tensor, best: Tensor) -> Iterator[Event]:
    """A net that only ever sees samples, each outcome as one unit of K."""
    outcomes = torch.eye(cfg.K).expand(cfg.P, -1, -1)  # [P, K, K]
    D = Discriminator(cfg.P, cfg.K, units=32, pieces=2)
    optimizer = torch.optim.Adam(D.parameters(), lr=0.01, fused=True)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, cfg.discrete_updates)
    for step in range(1, cfg.discrete_updates + 1):
        real, fake = (torch.multinomial(p, 500, replacement=True) for p in (p_data, p_g))  # [P, 500]
        odds = D(outcomes)  # [P, K]
        error = (odds.detach().sigmoid() - best).abs().amax(1)
        ascend(value(odds.gather(1, real), odds.gather(1, fake)), optimizer)
        decay.step()
        if step % 50 == 0:
            yield Progress(0.05 * step / cfg.discrete_updates, 1, "a net learns to tell two sorts of samples apart")
            yield dict(measure="trained D", step=step, largest_error=error.max().item())
    for i in range(cfg.P):
        yield dict(measure="trained D", problem=i, trained_error=error[i].item())


def density(cfg: Config, device: torch.device) -> Iterator[Event]:
    """As Fig. 1: a line, with data in two heaps; each seed has a pair of nets, and the first pair is drawn."""
    torch.manual_seed(cfg.seed)
    S, edges = cfg.seeds, torch.linspace(-3, 3, 61)
    G, D = Generator(S, 1, 32, 1, line=True).to(device), Discriminator(S, 1, 32, 2).to(device)

    def draw(B: int = 128) -> Tensor:
        heap = torch.where(torch.rand(S, B, 1, device=device) < 0.5, -1.0, 1.0)
        return heap + 0.35 * torch.randn(S, B, 1, device=device)

    def histogram(x: Tensor) -> Tensor:
        return torch.histogram(x.cpu().flatten().clamp(-2.99, 2.99), edges).hist / x.numel()

    shown = sorted({0, *(cfg.density_updates * k // 20 for k in (1, 4, 20))})
    drawn, axes = canvas(2, len(shown), width=8.0, height=3.2)
    middle, z = (edges[:-1] + edges[1:]) / 2, torch.linspace(-1, 1, 25)
    p_data = histogram(draw(40_000)[0])
    for step in play(G, D, draw, replace(cfg, optimizer="Adam", lr=0.002), cfg.density_updates):
        if step not in shown and step % 50:
            continue
        yield Progress(0.05 + 0.05 * step / cfg.density_updates, 1, "two heaps on a line, as in Fig. 1")
        with torch.no_grad():
            p_g = [histogram(x) for x in G.sample(5_000)]
            belief = D(middle[None, :, None].expand(S, -1, -1).to(device))[0].sigmoid().cpu()
            x = G(z[None, :, None].expand(S, -1, -1).to(device))[0, :, 0].cpu()
        for i, q in enumerate(p_g):
            yield dict(net="line", seed=cfg.seed + i, step=step, jsd=jsd(p_data, q).item())
        if step in shown:
            top, bottom = axes[:, shown.index(step)]
            for y, color, line, label in ((p_data * 10, "#808792", ":", "data"), (p_g[0] * 10, PALETTE[2], "-", "G"),
                                          (belief, PALETTE[0], "--", "D(x)")):  # fmt: skip
                top.plot(middle.numpy(), y.numpy(), color=color, linestyle=line, label=label)
            top.set(title=f"update {step}", xlim=(-3, 3), ylim=(0, 1.6))
            bottom.plot(torch.stack([x, 1.5 * z]).numpy(), [[1] * 25, [0] * 25], color="#808792", linewidth=0.6)
            bottom.set(xlim=(-3, 3), xticks=[], yticks=[0, 1], yticklabels=["z", "x"])
    axes[0, 0].legend(fontsize=7, loc="upper left")
    yield figure(
        "density", drawn, "As Fig. 1: data, generator and D(x) on a line; below, where G sends even steps of z"
    )


def parzen(samples: Tensor, x: Tensor, sigmas: Tensor) -> Tensor:
    """Sec. 5, [len(sigmas)]: mean log-likelihood of x [M, D] under a Gaussian of width sigma about every sample [N, D]."""
    total = torch.zeros(len(sigmas), device=x.device)
    for part in x.split(500):
        square = torch.cdist(part, samples).square()  # [500, N]
        for i, sigma in enumerate(sigmas):
            total[i] += (torch.logsumexp(-square / (2 * sigma**2), 1) - math.log(len(samples))).sum()
    return total / len(x) - x.shape[1] * torch.log(sigmas * math.sqrt(2 * math.pi))


def likelihood(samples: Tensor, x_valid: Tensor, x_test: Tensor, cfg: Config) -> dict[str, float]:
    """Table 1: the width is the one that suits the validation images best."""
    sigmas = torch.logspace(-1, 0, cfg.sigmas, device=x_test.device)
    best = parzen(samples, x_valid[:1_000], sigmas).argmax()
    return {"loglik": parzen(samples, x_test, sigmas[best : best + 1]).item(), "sigma": sigmas[best].item()}


def simpler_models(x: Tensor, N: int) -> dict[str, Tensor]:
    """N samples [N, D] of each, from training images x [n, D]; the last two are no models and show what is measured."""
    n, D = x.shape
    covariance, mean = torch.cov(x.T.cpu()), x.mean(0)
    spread, axes = (t.to(x.device) for t in torch.linalg.eigh(covariance))
    centres = x[torch.randperm(n, device=x.device)[:100]]
    for _ in range(10):  # k-means
        nearest = F.one_hot(torch.cdist(x[:5_000], centres).argmin(1), len(centres)).float()
        centres = nearest.T @ x[:5_000] / nearest.sum(0)[:, None].clamp_min(1)
    return {
        "independent pixels": x[torch.randint(n, (N, D), device=x.device), torch.arange(D, device=x.device)],
        "Gaussian": mean + (torch.randn(N, D, device=x.device) * spread.clamp_min(0).sqrt()) @ axes.T,
        "training images": x[torch.randperm(n, device=x.device)[:N]],
        "100 k-means centres": centres,
    }


def images(cfg: Config, data: Images) -> Iterator[Event]:
    """Sec. 5: all seeds' pairs of nets at once, each pair with its own choice of validation images."""
    torch.manual_seed(cfg.seed)
    x, x_test, side = data.x_train.flatten(1), data.x_test.flatten(1), data.x_train.shape[-1]
    S, D_in, names = cfg.seeds, x.shape[1], range(cfg.seed, cfg.seed + cfg.seeds)
    order = torch.stack([torch.randperm(len(x)) for _ in names]).to(x.device)  # [S, all]
    valid, own = order[:, : cfg.validation], order[:, cfg.validation :]
    G = Generator(S, cfg.Z, cfg.H, D_in).to(x.device)
    D = Discriminator(S, D_in, cfg.maxout, cfg.pieces, cfg.keep_input, cfg.keep_hidden).to(x.device)

    def draw() -> Tensor:
        return x[own.gather(1, torch.randint(own.shape[1], (S, cfg.batch), device=x.device))]  # [S, B, D]

    every, early = -(-cfg.updates // 6), cfg.updates // 10
    scores: dict[str, list[float]] = {}
    z = torch.randn(S, 32, cfg.Z, device=x.device)
    for step in play(G, D, draw, cfg, cfg.updates):
        if step % (5 if step < early else 50) == 0:
            yield Progress(0.1 + 0.9 * step / cfg.updates, 1, "G and D play on images")
            norms = gradient_norms(G, D, cfg.batch)
            with torch.no_grad():
                real, fake = D(draw()), D(G.sample(cfg.batch))
            for i, seed in enumerate(names):
                yield dict(net="GAN", seed=seed, step=step, D_data=real[i].sigmoid().mean().item(),
                           D_samples=fake[i].sigmoid().mean().item(), early=step <= early,
                           **{f"gradient of {name}": norm[i].item() for name, norm in norms.items()})  # fmt: skip
        if step % every == 0 or step == cfg.updates:
            with torch.no_grad():
                samples, pictures = G.sample(cfg.samples), G(z)[0].reshape(-1, side, side)
            for i, seed in enumerate(names):
                score = likelihood(samples[i], x[valid[i]], x_test, cfg)
                yield dict(model="untrained G" if step == 0 else "GAN", seed=seed, step=step, **score)
                if step in (0, cfg.updates):
                    scores.setdefault("untrained G" if step == 0 else "GAN", []).append(score["loglik"])
            yield sheets("samples", {f"after {step} updates": pictures}, "Samples of one generator, from the same 32 z",
                         columns=16, step=step)  # fmt: skip
    for i, seed in enumerate(names):
        for name, drawn in simpler_models(x[own[i]], cfg.samples).items():
            score = likelihood(drawn, x[valid[i]], x_test, cfg)
            yield dict(model=name, seed=seed, **score)
            scores.setdefault(name, []).append(score["loglik"])
            yield Progress(1, 1, name)
    yield bars(scores)
    nearest = x[own[0]][torch.cdist(samples[0, :32], x[own[0]]).argmin(1)].reshape(-1, side, side)
    panels = {"samples": samples[0, :32].reshape(-1, side, side), "the nearest training images": nearest}
    yield sheets(
        "neighbours", panels, "Fair draws, and what each is nearest to among the training images (as in Fig. 2)"
    )
    with torch.no_grad():
        t = torch.linspace(0, 1, 16, device=x.device)[:, None]
        path = torch.cat([a + t * (b - a) for a, b in z[0, :8].reshape(4, 2, -1)])  # [64, Z]
        walk = G(path.expand(S, -1, -1))[0].reshape(-1, side, side)
    yield sheets("walk", {"": walk}, "Four straight walks from one z to another (as in Fig. 3)", columns=16)


def bars(scores: dict[str, list[float]]) -> Figure:
    drawn, ax = canvas()
    ranked = sorted(scores, key=lambda name: sum(scores[name]))
    colors = [PALETTE[0] if name == "GAN" else "#808792" for name in ranked]
    ax.barh(ranked, [sum(scores[name]) / len(scores[name]) for name in ranked], color=colors)
    ax.set(xlabel="Parzen-window log-likelihood of test images, nats")
    return figure("measure", drawn, "What the measure is worth: real images and mere cluster centres beside the models")


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    data = handwriting(cfg.data).to(device)
    yield dict(measure="images", data=data.name, n=len(data.x_train))
    if data.name == "digits":  # 1,297 training images in all
        cfg = replace(cfg, validation=min(cfg.validation, 297))
    yield from theory(cfg)
    yield from density(cfg, device)
    yield from images(cfg, data)


def check(rows: list[Row]) -> list[Verdict]:
    early = [row for row in rows if row.get("early")]
    strength = {loss: mean_log2(early, f"gradient of {loss}") for loss in ("log D", "log(1 - D)")}
    return [
        exact("optimal-discriminator", values(rows, "best_error"), 0.0, tolerance=1e-5, unit="largest error of D(x)"),
        exact(
            "trained-discriminator", values(rows, "trained_error"), 0.0, tolerance=0.05, unit="largest error of D(x)"
        ),
        exact(
            "theorem-1",
            values(rows, "value_gap") + values(rows, "equal_gap"),
            0.0,
            tolerance=1e-9,
            unit="nats between the value found and Eq. 6",
        ),
        exact("convergence", values(rows, "final_jsd"), 0.0, tolerance=1e-4, unit="JSD of p_data and p_g, nats"),
        compare(
            "stronger-gradient",
            strength["log D"],
            strength["log(1 - D)"],
            better="higher",
            margin=1.0,  # ours: the paper says "much stronger"; at least twice as long
            unit="log2 of the gradient's length, first tenth of training",
        ),
        compare(
            "parzen-likelihood",
            by_seed(rows, "loglik", model="GAN"),
            by_seed(rows, "loglik", model="Gaussian"),
            better="higher",
            margin=2.0,  # Table 1: the standard error it gives for MNIST
            unit="nats a test image, Parzen window",
        ),
    ]


def values(rows: list[Row], key: str) -> list[float]:
    return [float(row[key]) for row in rows if key in row]


def mean_log2(rows: list[Row], key: str) -> dict[int, float]:
    """Seed by seed, the mean over the rows."""
    seeds = {int(row["seed"]) for row in rows}
    logs = {seed: [math.log2(float(r[key]) or math.nan) for r in rows if r["seed"] == seed] for seed in seeds}
    return {seed: math.fsum(each) / len(each) for seed, each in logs.items()}


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
