"""Learning long-term dependencies with gradient descent is difficult. Bengio et al., 1994.

Claims      latch        a tanh unit of w > 1 holds its bit against noise below h*, loses it above
            contraction  while it holds, every factor da_t/da_{t-1} of the gradient is below 1
            vanishing    in a tanh net that latches, the norm of dh_T/dh_t falls exponentially
            exploding    in a tanh net that does not, it can grow exponentially instead
            latch-task   gradient descent learns to latch a bit over few steps, not many (Sec. II)
            gated-cell   a cell whose forget gate is near one learns it over many
Deviations  1  batches, number of updates and rate are ours: a seed's unit takes, for each length,
               the best of several. What counts is how many new sequences end right
            2  nets of many units that latch or do not are ours; the paper argues in general. What
               falls (grows) exponentially ends below (above) the power law that fits short lags
            3  the gated cell is ours: an LSTM's, three years early; its gates see only the input
Left out    simulated annealing, pseudo-Newton, discrete errors, the parity problem
Shapes      B sequences of each of 2 classes, T steps, L of them informative, H units in a net
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from impl.drawing import vanishing_gradient as drawing
from impl.kit import (
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
    keep_rows,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.claims import Side


class TanhUnit(nn.Module):
    """Sec. II: a_t = w tanh(a_{t-1}) + h_t, and x_t = tanh(a_t). With a vector w, many units."""

    def __init__(self, w: Tensor):
        super().__init__()
        self.w = nn.Parameter(w)

    def step(self, a: Tensor, h: Tensor) -> Tensor:
        return self.w * a.tanh() + h

    def forward(self, h: Tensor) -> Tensor:
        """Inputs [T, B] to x_T [B]"""
        a = torch.zeros_like(h[0])
        for h_t in h:
            a = self.step(a, h_t)
        return a.tanh()


class GatedCell(nn.Module):
    """c_t = f_t c_{t-1} + i_t tanh(w h_t), and x_t = tanh(c_t). The derivative of c_T by c_t is the
    product of the forget gates f between."""

    def __init__(self, w: Tensor):
        super().__init__()
        self.w = nn.Parameter(w)
        self.forget = nn.Parameter(torch.tensor([5.0, 0.0]))  # bias and weight: f starts at 0.993
        self.write = nn.Parameter(torch.zeros(2))

    def forward(self, h: Tensor) -> Tensor:
        """Inputs [T, B] to x_T [B]"""
        f = torch.sigmoid(self.forget[0] + self.forget[1] * h)
        new = torch.sigmoid(self.write[0] + self.write[1] * h) * torch.tanh(self.w * h)
        c = torch.zeros_like(h[0])
        for f_t, new_t in zip(f, new, strict=True):
            c = f_t * c + new_t
        return c.tanh()


class Latch(nn.Module):
    """A unit, and what it gets in the first L steps: learnt inputs u [L, 2], one for each class."""

    def __init__(self, unit: nn.Module, u: Tensor):
        super().__init__()
        self.unit, self.u = unit, nn.Parameter(u)

    def forward(self, noise: Tensor) -> Tensor:
        """Noise [T - L, 2B] of the further steps to x_T [2B]; the first B are of class 0."""
        informative = self.u.repeat_interleave(noise.shape[1] // 2, dim=1)
        return self.unit(torch.cat([informative, noise]))  # type: ignore[no-any-return]


def threshold(w: Tensor) -> tuple[Tensor, Tensor]:
    """a at which the slope w tanh'(a) is 1, and h*: the largest steady input against which
    a -> w tanh(a) + h has a fixed point with the sign of the bit. Nothing returns from beyond."""
    edge = torch.atanh((1 - 1 / w).sqrt())
    return edge, w * edge.tanh() - edge


UNITS: dict[str, type[nn.Module]] = {"tanh unit": TanhUnit, "gated cell": GatedCell}
Step = Callable[[Tensor, Tensor], Tensor]


def nets(H: int, rng: torch.Generator) -> dict[str, Step]:
    """State [H] and noise [H] to the next state. The weights decide which of the three it is."""

    def randn() -> Tensor:
        return torch.randn(H, H, generator=rng).double() / math.sqrt(H)

    latching, chaotic = 2 * torch.eye(H).double() + 0.2 * randn(), 2 * randn()
    A, B, C = randn(), randn(), randn()

    def cell(c: Tensor, noise: Tensor) -> Tensor:
        h = c.tanh()
        forget, write = torch.sigmoid(A @ h + 5), torch.sigmoid(B @ h - 5)
        return forget * c + write * torch.tanh(C @ h + noise)

    return {
        "latching": lambda h, noise: torch.tanh(latching @ h + noise),
        "chaotic": lambda h, noise: torch.tanh(chaotic @ h + noise),
        "gated": cell,
    }


@dataclass(frozen=True)
class Config:
    lengths: tuple[int, ...] = (5, 10, 20, 50, 100)  # ours: T of the latch task
    L: int = 3  # ours, after Sec. II: steps whose inputs are learnt; the rest is noise
    s: float = 0.2  # ours, after Sec. II: standard deviation of the noise
    w0: float = 1.25  # ours, after Sec. II: the recurrent weight at first
    init: float = 0.1  # ours: learnt inputs start between -init and init
    lrs: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)  # ours: the grid
    batch: int = 8  # ours: sequences of each class in an update
    updates: int = 1_000  # ours
    test: int = 200  # ours: new sequences of each class, for the choice and for the test
    H: int = 50  # ours: units in the nets whose gradients are measured
    lag: int = 100  # ours: T there
    seeds: int = 20  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, lengths=(5, 10, 20, 35, 50, 75, 100))
QUICK = replace(PAPER, lengths=(10, 100), updates=300, seeds=8)
TINY = replace(QUICK, lengths=(5, 15), lrs=(0.3,), updates=8, batch=2, test=10)
SMOKE = replace(TINY, H=8, lag=20, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

UNTRAINED = Protocol(arms=("bit", "latching", "chaotic", "gated"))
TASK = Protocol(tuple(UNITS), {"lr": "lrs"}, {"T": "lengths"}, select="val_wrong")
BY_HAND = Protocol(arms=("set by hand",), conditions=TASK.conditions)


def exponential(claim: str, arm: str, better: Literal["lower", "higher"]) -> Comparison:
    return Comparison(
        claim=claim,
        idea=lambda rows: by_seed(rows, "log10_norm", arm=arm),
        rival=lambda rows: by_seed(rows, "power_law", arm=arm),
        better=better,
        margin=0.5,
        because="half a decade, a factor of three, beyond what is no exponential",
        unit="log10 of the norm at the longest lag, against a power law through shorter ones",
    )


def wrong(arm: str, length: Callable[[Sequence[int]], int]) -> Side:
    """% of the test sequences that end on the wrong side, for the shortest or longest of them."""

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        lengths = [int(row["T"]) for row in rows if "T" in row]
        return by_seed(rows, "test_wrong", arm=arm, T=length(lengths)) if lengths else {}

    return by_seeds


CLAIMS = (
    Identity(
        claim="latch",
        measure="wrong_bits",
        tolerance=0.0,
        unit="units of 200 that lose a bit below h* or keep it above",
    ),
    Identity(
        claim="contraction",
        measure="expanding",
        tolerance=0.0,
        unit="factors of 1 or more, of 200 units times 300 steps",
    ),
    exponential("vanishing", "latching", "lower"),
    exponential("exploding", "chaotic", "higher"),
    Comparison(
        claim="latch-task",
        idea=wrong("tanh unit", min),
        rival=wrong("tanh unit", max),
        better="lower",
        margin=25.0,
        because="half of what a guess gets wrong",
        unit="% of sequences that end wrong, few steps against many",
    ),
    Comparison(
        claim="gated-cell",
        idea=wrong("gated cell", max),
        rival=wrong("tanh unit", max),
        better="lower",
        margin=25.0,
        because="half of what a guess gets wrong",
        unit="% of sequences that end wrong, many steps",
        ours=True,
    ),
)


def too_much_noise() -> AbstractContextManager[object]:
    """The threshold is said to be three times as high."""
    true = threshold
    return patch(f"{__name__}.threshold", lambda w: (true(w)[0], 3 * true(w)[1]))


def net_for(arm: str, other: str) -> Callable[[], AbstractContextManager[object]]:
    true = nets

    def swapped(H: int, rng: torch.Generator) -> dict[str, Step]:
        return (steps := true(H, rng)) | {arm: steps[other]}

    return lambda: patch(f"{__name__}.nets", swapped)


BROKEN: Broken = {
    "latch": too_much_noise,
    "contraction": too_much_noise,
    "vanishing": net_for("latching", "gated"),
    "exploding": net_for("chaotic", "latching"),
    "latch-task": lambda: patch.dict(UNITS, {"tanh unit": GatedCell}),
    "gated-cell": lambda: patch.dict(UNITS, {"gated cell": TanhUnit}),
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, T: int = 0, lr: float = 0.0
) -> Iterator[TrialEvent]:
    if arm == "bit":
        yield hold(200, 300, generator(seed, "threshold"))
    elif arm in UNTRAINED.arms:
        yield from gradients(arm, cfg, seed)
    elif arm == "set by hand":
        u = torch.tensor([[-1.0, 1.0]] * cfg.L)
        model = Latch(TanhUnit(torch.tensor(2.0)), u).to(device)
        yield dict(test_wrong=wrong_share(model, cfg, T, seed, "test"))
    else:
        u = cfg.init * (2 * torch.rand(cfg.L, 2, generator=generator(seed, "u")) - 1)
        model = Latch(UNITS[arm](torch.tensor(cfg.w0)), u).to(device)
        yield from learn(model, cfg, T, seed, lr)


def learn(model: Latch, cfg: Config, T: int, seed: int, lr: float) -> Iterator[Row]:
    """Sec. II: gradient descent on (x_T - d)^2 / 2, with d = -0.8 or 0.8 by class."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    rng = generator(seed, "batches")
    target = torch.tensor([-0.8, 0.8], device=model.u.device).repeat_interleave(cfg.batch)
    for step in range(1, cfg.updates + 1):
        noise = cfg.s * torch.randn(T - cfg.L, 2 * cfg.batch, generator=rng)
        loss = 0.5 * (model(noise.to(target.device)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % -(-cfg.updates // 8) == 0:
            yield dict(step=step, loss=loss.item())
    val, test = (wrong_share(model, cfg, T, seed, purpose) for purpose in ("val", "test"))
    yield dict(step=cfg.updates, loss=loss.item(), val_wrong=val, test_wrong=test)


@torch.no_grad()
def wrong_share(model: Latch, cfg: Config, T: int, seed: int, purpose: str) -> float:
    """% of new sequences that do not end with the sign of their class."""
    noise = cfg.s * torch.randn(T - cfg.L, 2 * cfg.test, generator=generator(seed, purpose))
    x = model(noise.to(model.u.device))
    right = torch.cat([x[: cfg.test] < 0, x[cfg.test :] > 0])
    return 100 - 100 * right.float().mean().item()


def hold(units: int, steps: int, rng: torch.Generator) -> Row:
    """How many units lose a bit below h* or keep it above; how often a factor is 1 or more."""
    w = 1.2 + 3 * torch.rand(units, generator=rng).double()
    (edge, h_star), unit = threshold(w), TanhUnit(w)
    noisy, pushed, expanding = edge + 2, edge + 2, 0
    for step in range(-steps, steps):  # before 0 nothing comes in: each goes to its attractor
        noise = (step >= 0) * (2 * torch.rand(units, generator=rng).double() - 1)
        before = noisy.requires_grad_()
        after = unit.step(before, 0.99 * h_star * noise)
        (factor,) = torch.autograd.grad(after.sum(), before)  # da_t/da_{t-1}
        expanding += int((factor >= 1).sum())
        noisy = after.detach()
        pushed = unit.step(pushed, (step >= 0) * -1.05 * h_star).detach()
    return dict(wrong_bits=int((noisy <= 0).sum() + (pushed > 0).sum()), expanding=expanding)


def gradients(arm: str, cfg: Config, seed: int) -> Iterator[TrialEvent]:
    """The norm of dh_T/dh_t over T - t, and what a power law through half the lags foretells."""
    rng = generator(seed, "nets")
    step = nets(cfg.H, rng)[arm]
    h = torch.randn(cfg.H, generator=rng).double().sign()
    norms, kept = gradient_norms(step, h, 0.1 * torch.randn(cfg.lag, cfg.H, generator=rng).double())
    for lag in range(0, cfg.lag + 1, cfg.lag // 10):
        yield dict(step=lag, log10_norm=norms[lag])
    lags = range(cfg.lag // 10, cfg.lag // 2 + 1)
    fit = np.polyfit(np.log10(lags), norms[lags.start : lags.stop], 1)
    yield Arrays({"norms": torch.tensor(norms)})
    power_law = float(np.polyval(fit, math.log10(cfg.lag)))
    yield dict(log10_norm=norms[-1], power_law=power_law, kept=kept)


def gradient_norms(step: Step, h: Tensor, noise: Tensor) -> tuple[list[float], float]:
    """log10 of the norm of dh_T/dh_t for T - t = 0, 1, ..., and the share of signs that h_T has of
    h_0. h: [H], noise: [T, H]"""
    states = [h]
    for n in noise:
        states.append(step(states[-1], n))
    jacobians = vmap(jacrev(step))(torch.stack(states[:-1]), noise)  # [T, H, H]
    product, norms = torch.eye(len(h)).double(), [0.0]
    for J in jacobians.flip(0):
        product = product @ J  # from the last step backwards
        norms.append(math.log10(float(torch.linalg.matrix_norm(product, 2)) + 1e-300))
    return norms, (states[-1].sign() == h.sign()).double().mean().item()


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield drawing.two_attractors(TanhUnit(torch.tensor(2.0).double()), threshold, cfg.seed)
    rows: list[Row] = []
    events = run_protocol(trial, cfg, (UNTRAINED, TASK, BY_HAND), device)
    chosen = yield from keep_rows(events, rows)
    yield drawing.norms([one for one in chosen if one.tensors])
    yield drawing.lengths(rows)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
