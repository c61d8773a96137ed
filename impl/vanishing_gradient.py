"""Learning long-term dependencies with gradient descent is difficult. Bengio, Simard & Frasconi, IEEE TNN 5(2), 1994.

Claims      latch        a tanh unit with w > 1 holds its bit against any noise below h*; a steady push above h* takes it away
            contraction  while it holds, every factor da_t/da_{t-1} of the gradient is below 1
            bound        the norm of dh_T/dh_t never exceeds the product of the largest singular values in between
            vanishing    in a tanh net that latches, the norm of dh_T/dh_t falls exponentially with T - t
            exploding    in a tanh net that doesn't, it can grow exponentially instead
            latch-task   gradient descent learns to latch one bit over few steps, and fails over many (Sec. II)
            gated-cell   a cell whose forget gate is near one learns it over many with the same budget
Deviations  1  batches and the number of updates are ours, and the rate: each net takes, for each length, the best of several
            2  the criterion of success is ours: 95% of new sequences end on the right side of zero
            3  nets of many units, started and wired so that they latch or don't, are ours; the paper argues in general
            4  the gated cell is ours: an LSTM's, three years early, with gates that see only the input
Left out    the alternatives to gradient descent (simulated annealing, pseudo-Newton, discrete errors), the parity problem
Shapes      N units side by side, B sequences of each of 2 classes, T steps, L of them informative, H units in a net
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.figures import INK, PALETTE, canvas, figure


@dataclass(frozen=True)
class Config:
    lengths: tuple[int, ...] = (5, 10, 20, 50, 100)  # ours: T of the latch task
    L: int = 3  # ours, after Sec. II: steps whose inputs are learnt; the rest is noise
    s: float = 0.2  # ours, after Sec. II: standard deviation of the noise
    w0: float = 1.25  # ours, after Sec. II: the recurrent weight at first
    init: float = 0.1  # ours: learnt inputs start between -init and init
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)  # ours: the best of them on validation sequences
    batch: int = 8  # ours: sequences of each class in an update
    updates: int = 1_000  # ours
    starts: int = 20  # ours: units that a seed draws; the share that succeeds is what is compared
    test: int = 100  # ours: new sequences of each class
    grid: int = 12  # ours: values of w0, and of s, on the map of successes
    map_length: int = 20  # ours, after Sec. II: T of that map
    H: int = 50  # ours: units in the nets whose gradients are measured
    lag: int = 100  # ours: T there
    seeds: int = 10  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, lengths=(5, 10, 20, 35, 50, 75, 100))
QUICK = replace(PAPER, rates=(0.1, 0.3, 1.0), updates=300, starts=10, grid=8, seeds=5)
SMOKE = replace(
    QUICK, lengths=(5, 15), rates=(0.3,), updates=8, batch=2, starts=3, test=10, grid=3, H=8, lag=20, seeds=2
)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


def threshold(w: Tensor) -> tuple[Tensor, Tensor]:
    """a at which the slope w tanh'(a) is 1, and h*: the largest steady input against which a -> w tanh(a) + h has a fixed
    point with the sign of the bit. Beyond that a, against noise below h*, nothing returns."""
    edge = torch.atanh((1 - 1 / w).sqrt())
    return edge, w * edge.tanh() - edge


def hold(w: Tensor, steps: int, draw: torch.Generator) -> tuple[int, int]:
    """Units [N] with a bit at their attractor: how many lose it to noise just below h* or keep it against a steady push just
    above, and how often, under the noise, a factor of the gradient is 1 or more."""
    edge, h_star = threshold(w)
    a = edge + 2
    for _ in range(steps):
        a = w * a.tanh()  # to the attractor
    noisy, pushed, expanding = a.clone(), a.clone(), 0
    for _ in range(steps):
        expanding += int((w * (1 - noisy.tanh().square()) >= 1).sum())  # da_t/da_{t-1}
        noisy = w * noisy.tanh() + 0.99 * h_star * (2 * torch.rand(w.shape, generator=draw, dtype=w.dtype) - 1)
        pushed = w * pushed.tanh() - 1.05 * h_star
    return int((noisy <= 0).sum()) + int((pushed > 0).sum()), expanding


Step = Callable[[Tensor, Tensor], Tensor]


def nets(H: int, draw: torch.Generator) -> dict[str, Step]:
    """State [H] and noise [H] to the next state. The weights decide which of the four it is."""

    def randn() -> Tensor:
        return torch.randn(H, H, generator=draw).double() / math.sqrt(H)

    latching, forgetting = 2 * torch.eye(H).double() + 0.2 * randn(), 0.9 * torch.linalg.qr(randn())[0]
    chaotic, A, B, C = 2 * randn(), randn(), randn(), randn()

    def cell(c: Tensor, noise: Tensor) -> Tensor:
        h = c.tanh()
        forget, write = torch.sigmoid(A @ h + 5), torch.sigmoid(B @ h - 5)
        return forget * c + write * torch.tanh(C @ h + noise)

    return {
        "tanh, latching": lambda h, noise: torch.tanh(latching @ h + noise),
        "tanh, forgetting": lambda h, noise: torch.tanh(forgetting @ h + noise),
        "tanh, chaotic": lambda h, noise: torch.tanh(chaotic @ h + noise),
        "gated cell": cell,
    }


def gradient_norms(step: Step, h: Tensor, noise: Tensor) -> tuple[list[float], list[float], float]:
    """log10 of the norm of dh_T/dh_t for T - t = 0, 1, ..., of its bound, and the share of signs of h_0 that h_T has."""
    states = [h]
    for n in noise:
        states.append(step(states[-1], n))
    jacobians = vmap(jacrev(step))(torch.stack(states[:-1]), noise)  # [T, H, H]
    largest = torch.linalg.svdvals(jacobians)[:, 0].flip(0).log10().cumsum(0)
    product, norms = torch.eye(len(h)).double(), []
    for J in jacobians.flip(0):
        product = product @ J  # from the last step backwards
        norms.append(math.log10(float(torch.linalg.matrix_norm(product, 2)) + 1e-300))
    kept = (states[-1].sign() == h.sign()).double().mean()
    return [0.0, *norms], [0.0, *largest.tolist()], float(kept)


class Unit:
    """Sec. II: a_t = w tanh(a_{t-1}) + h_t, and x_t = tanh(a_t)."""

    def __init__(self, w0: Tensor):
        self.weights = [w0.clone()]  # [N]

    def answer(self, h: Tensor) -> Tensor:
        """Inputs [T, N, 2B] to x_T, [N, 2B]."""
        w, x = self.weights[0][:, None], torch.zeros_like(h[0])
        for h_t in h.unbind(0):
            x = torch.tanh(torch.addcmul(h_t, w, x))
        return x


class Cell:
    """c_t = f c_{t-1} + i tanh(w h_t) and x_t = tanh(c_t): the derivative of c_T by c_t is the product of the f between."""

    def __init__(self, w0: Tensor):
        zero = torch.zeros_like(w0)
        self.weights = [w0.clone(), zero + 5, zero.clone(), zero.clone(), zero.clone()]  # w; bias, weight of f; of i

    def answer(self, h: Tensor) -> Tensor:
        w, f0, f1, i0, i1 = (weight[:, None] for weight in self.weights)
        forget, write = torch.sigmoid(f0 + f1 * h), torch.sigmoid(i0 + i1 * h) * torch.tanh(w * h)
        c = torch.zeros_like(h[0])
        for f_t, new in zip(forget.unbind(0), write.unbind(0), strict=True):
            c = torch.addcmul(new, f_t, c)
        return c.tanh()


Kind = type[Unit] | type[Cell]


def inputs(u: Tensor, s: Tensor, noise: Tensor) -> Tensor:
    """Learnt inputs u [L, N, 2], then noise [T - L, N, 2B]: [T, N, 2B]; the first B sequences are of class 0."""
    return torch.cat([u.repeat_interleave(noise.shape[2] // 2, 2), s[:, None] * noise])


class Training:
    """N units of one kind, with their own first weights, noise and rates, learning side by side."""

    def __init__(self, kind: Kind, w0: Tensor, s: Tensor, rates: Tensor, T: int, u: Tensor, starts: int):
        self.net, self.s, self.rates, self.T, self.starts = kind(w0), s, rates, T, starts
        self.u = u.clone().requires_grad_()  # [L, N, 2]
        self.net.weights = [w.requires_grad_() for w in self.net.weights]

    def x(self, B: int, draws: list[torch.Generator]) -> Tensor:
        """What N units answer to 2B new sequences. Each generator is for a seed's units, and for them at every rate."""
        shape = (self.T - len(self.u), self.starts, 2 * B)
        noise = torch.cat([torch.randn(shape, generator=draw) for draw in draws], 1).to(self.u.device)
        return self.net.answer(inputs(self.u, self.s, noise.repeat(1, len(self.s) // noise.shape[1], 1)))

    def update(self, B: int, draw: list[torch.Generator]) -> Tensor:
        """Gradient descent on (x_T - d)^2 / 2, with d = -0.8 or 0.8 by class; the mean error of each unit, [N]."""
        x = self.x(B, draw)
        target = torch.tensor([-0.8, 0.8], device=x.device).repeat_interleave(B)
        loss = 0.5 * (x - target).square().mean(1)
        slopes = torch.autograd.grad(loss.sum(), [self.u, *self.net.weights])
        with torch.no_grad():
            self.u -= self.rates[:, None] * slopes[0]
            for w, slope in zip(self.net.weights, slopes[1:], strict=True):
                w -= self.rates * slope
        return loss.detach()

    @torch.no_grad()
    def right(self, B: int, draw: list[torch.Generator]) -> Tensor:
        """Share of new sequences that end with the sign of their class, [N]."""
        x = self.x(B, draw)
        return torch.cat([x[:, :B] < 0, x[:, B:] > 0], 1).float().mean(1)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    total, done = 2.0 * sum(cfg.lengths) + cfg.map_length, 0.0
    lags: dict[str, list[tuple[list[float], float]]] = {}
    for seed in seeds:
        yield Progress(done, total, f"gradients of nets, seed {seed}")
        draw = generator(seed, 1)
        failures, expanding = hold(1.2 + 3 * torch.rand(200, generator=draw).double(), 1_000, draw)
        yield dict(seed=seed, latch_failures=failures, expanding=expanding)
        noise = 0.1 * torch.randn(cfg.lag, cfg.H, generator=draw).double()
        start = torch.randn(cfg.H, generator=draw).double().sign()
        for name, forward in nets(cfg.H, draw).items():
            norms, bounds, kept = gradient_norms(forward, start, noise)
            lags.setdefault(name, []).append((norms, kept))
            yield dict(
                net=name, seed=seed, excess=max(n - b for n, b in zip(norms[1:], bounds[1:], strict=True)), kept=kept
            )
            for q in range(0, cfg.lag + 1, cfg.lag // 10):
                yield dict(net=name, seed=seed, step=q, log10_norm=norms[q])
    yield two_attractors(cfg)
    yield norms_figure(lags)

    per_seed = [2 * torch.rand(cfg.L, cfg.starts, 2, generator=generator(seed, 2)) - 1 for seed in seeds]
    u = cfg.init * torch.cat(per_seed, 1).repeat(1, len(cfg.rates), 1).to(device)  # [L, rates * seeds * starts, 2]
    rates = torch.tensor(cfg.rates, device=device).repeat_interleave(cfg.seeds * cfg.starts)
    s, w0 = torch.full_like(rates, cfg.s), torch.full_like(rates, cfg.w0)
    kinds: dict[str, Kind] = {"tanh unit": Unit, "gated cell": Cell}
    by_length: dict[str, list[tuple[float, Tensor]]] = {name: [] for name in kinds}
    best = {}
    every = -(-cfg.updates // 10)
    for T in cfg.lengths:
        for name, kind in kinds.items():
            training, draws = Training(kind, w0, s, rates, T, u, cfg.starts), generators(seeds, 3)
            for step in range(1, cfg.updates + 1):
                loss = training.update(cfg.batch, draws)
                yield Progress(done + T * step / cfg.updates, total, f"{name}, T = {T}")
                if step % every == 0 or step == cfg.updates:
                    shape = (len(cfg.rates), cfg.seeds, cfg.starts)
                    losses, right = (
                        v.view(shape).mean(2).tolist() for v in (loss, training.right(20, generators(seeds, 4)))
                    )
                    for r, rate in enumerate(cfg.rates):
                        for i, seed in enumerate(seeds):
                            yield dict(net=f"{name}, T = {T}, rate {rate:g}", seed=seed, step=step, loss=losses[r][i],
                                       right=right[r][i])  # fmt: skip
            done += T
            valid = training.right(cfg.test, generators(seeds, 5)).view(shape)
            chosen = int((valid >= 0.95).float().mean((1, 2)).argmax())
            best[name, T] = cfg.rates[chosen]
            solved = (training.right(cfg.test, generators(seeds, 6)).view(shape)[chosen] >= 0.95).float().mean(1)
            by_length[name].append((float(T), solved.cpu()))
            for seed, share in zip(seeds, solved.tolist(), strict=True):
                yield dict(net=name, n=T, rate=best[name, T], seed=seed, solved=share)

        by_hand = Training(Unit, 0 * w0 + 2, s, rates, T, set_by_hand(u), cfg.starts)
        share = (by_hand.right(cfg.test, generators(seeds, 6)) >= 0.95).float().mean(0, keepdim=True)
        yield dict(net="tanh unit set by hand", n=T, solved_by_hand=float(share))
        by_length.setdefault("tanh unit set by hand: w = 2, inputs of 1 and -1", []).append((float(T), share.cpu()))

    yield lengths_figure(by_length)
    T = min(cfg.lengths, key=lambda length: abs(length - cfg.map_length))
    yield from success_map(cfg, best["tanh unit", T], done, total, device)
    yield Progress(total, total, "done")


def set_by_hand(u: Tensor) -> Tensor:
    return torch.tensor([-1.0, 1.0], device=u.device).expand_as(u)


def generator(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1_000 * seed + purpose)


def generators(seeds: Iterable[int], purpose: int) -> list[torch.Generator]:
    return [generator(seed, purpose) for seed in seeds]


def success_map(cfg: Config, rate: float, done: float, total: float, device: torch.device) -> Iterator[Event]:
    """Which first weights and which noise gradient descent gets along with."""
    weights, sizes = torch.linspace(0.5, 3.0, cfg.grid), torch.linspace(0.05, 0.6, cfg.grid)
    w0, s = (
        grid.flatten().repeat_interleave(cfg.starts).to(device)
        for grid in torch.meshgrid(weights, sizes, indexing="ij")
    )
    u = cfg.init * (2 * torch.rand(cfg.L, len(w0), 2, generator=generator(cfg.seed, 7)) - 1).to(device)
    training = Training(Unit, w0, s, torch.full_like(s, rate), cfg.map_length, u, len(w0))
    draw = [generator(cfg.seed, 8)]
    for step in range(1, cfg.updates + 1):
        training.update(cfg.batch, draw)
        yield Progress(done + cfg.map_length * step / cfg.updates, total, "map of first weights and noise")
    solved = (training.right(cfg.test, draw) >= 0.95).float().view(cfg.grid, cfg.grid, cfg.starts).mean(2).cpu()
    drawn, ax = canvas(width=4.6, height=3.4)
    image = ax.pcolormesh(sizes.numpy(), weights.numpy(), solved.numpy(), cmap="viridis", vmin=0, vmax=1)
    ax.plot(sizes, 1 + 0 * sizes, "--", color="#d1495b", label="w = 1: below, no two attractors")
    ax.set(xlabel="s, noise", ylabel="w at first")
    ax.legend(loc="lower right", fontsize=7, labelcolor="#d1495b")
    bar = drawn.colorbar(image, ax=ax, label="share of starts that learn")
    bar.ax.yaxis.label.set_color(INK)
    bar.ax.tick_params(colors=INK)
    yield figure("first-weights", drawn, f"Latching a bit over {cfg.map_length} steps: where gradient descent succeeds")


def two_attractors(cfg: Config) -> Figure:
    """The map of the unit for three inputs, and what noise below and above h* does to a bit."""
    w = torch.tensor(2.0).double()
    edge, h_star = (float(v) for v in threshold(w))
    drawn, (left, right) = canvas(1, 2, height=3.0)
    a = torch.linspace(-3, 3, 200).double()
    for k, title in ((0.0, "h = 0"), (-1.0, "h = -h*"), (-1.6, "h = -1.6 h*")):
        left.plot(a, w * a.tanh() + k * h_star, label=title)
    left.plot(a, a, "--", color="#808792")
    left.plot([edge], [w * math.tanh(edge) - h_star], "o", color="#d1495b", markersize=5)
    left.set(xlabel="a before", ylabel="a after", title=f"w = 2: the upper attractor is gone beyond h* = {h_star:.2f}")
    left.legend(fontsize=8)
    draw, steps = generator(cfg.seed, 9), 60
    for (scale, title), colour in zip(((0.99, "noise within h*"), (3.0, "within 3 h*")), PALETTE, strict=False):
        for i in range(4):
            x, path = torch.tensor(2.0).double(), []
            for n in 2 * torch.rand(steps, generator=draw).double() - 1:
                path.append(float(x.tanh()))
                x = w * x.tanh() + scale * h_star * n
            right.plot(range(steps), path, color=colour, alpha=0.7, label=title if i == 0 else None)
    right.set(xlabel="step", ylabel="x", title="a bit held, and lost", ylim=(-1.08, 1.08))
    right.legend(fontsize=8)
    return figure("latch", drawn, "One tanh unit as a memory: two attractors, and how much noise each withstands")


def band(ax: Any, x: list[float], y: Tensor, label: str, style: str = "-") -> None:
    """Mean and range over the seeds of y [seeds, len(x)]."""
    (line,) = ax.plot(x, y.mean(0), style, label=label, markersize=4)
    ax.fill_between(x, y.amin(0), y.amax(0), color=line.get_color(), alpha=0.15, linewidth=0)


def norms_figure(lags: dict[str, list[tuple[list[float], float]]]) -> Figure:
    drawn, ax = canvas()
    for name, runs in lags.items():
        kept = sum(kept for _, kept in runs) / len(runs)
        norms = torch.tensor([norms for norms, _ in runs])
        band(ax, list(range(norms.shape[1])), norms, f"{name}: keeps {100 * kept:.0f}% of its signs")
    ax.set(xlabel="T - t, steps back", ylabel=r"$\log_{10}$ of the norm of $dh_T/dh_t$")
    ax.legend(fontsize=8)
    return figure("norms", drawn, "How much of h_T depends on h_t, T - t steps before: mean and range of the seeds")


def lengths_figure(by_length: dict[str, list[tuple[float, Tensor]]]) -> Figure:
    drawn, ax = canvas()
    for name, points in by_length.items():
        style = ":" if "hand" in name else "-o"
        band(ax, [T for T, _ in points], torch.stack([share for _, share in points], 1), name, style)
    ax.set(xlabel="T, length of the sequences", ylabel="share of starts that learn", ylim=(-0.03, 1.03))
    ax.legend()
    return figure("lengths", drawn, "Learning to latch one bit by gradient descent: mean and range of the seeds")


def check(rows: list[Row]) -> list[Verdict]:
    lag = max(int(row["step"]) for row in rows if "log10_norm" in row)
    lengths = [int(row["n"]) for row in rows if "solved" in row]
    half = lag // 10 * 5  # a lag of which there is a row
    shortest, longest = min(lengths), max(lengths)

    def decades(net: str, step: int) -> dict[int, float]:
        return by_seed(rows, "log10_norm", net=net, step=step)

    def solved(net: str, n: int) -> dict[int, float]:
        return by_seed(rows, "solved", net=net, n=n)

    def none(claim: str, measure: str, tolerance: float, unit: str) -> Verdict:
        values = [max(0.0, float(row[measure])) for row in rows if measure in row]
        return exact(claim, values, 0, tolerance=tolerance, unit=unit)

    back = f"log10 of the norm, {lag} steps back against half as many"
    margin = 0.25  # ours: a quarter of the starts
    return [
        none("latch", "latch_failures", 0, "units, of 200, that lose a bit below h* or keep it above"),
        none("contraction", "expanding", 0, "factors of 1 or more, of 200 units times 1,000 steps"),
        none("bound", "excess", 1e-9, "decades by which the norm exceeds the bound"),
        compare(
            "vanishing",
            decades("tanh, latching", lag),
            decades("tanh, latching", half),
            better="lower",
            margin=1.0,  # ours: a factor of ten lost again in the second half
            unit=back,
        ),
        compare(
            "exploding",
            decades("tanh, chaotic", lag),
            decades("tanh, chaotic", half),
            better="higher",
            margin=1.0,  # ours, the same
            unit=back,
        ),
        compare(
            "latch-task",
            solved("tanh unit", shortest),
            solved("tanh unit", longest),
            better="higher",
            margin=margin,
            unit=f"share of starts that learn, T = {shortest} against {longest}",
        ),
        compare(
            "gated-cell",
            solved("gated cell", longest),
            solved("tanh unit", longest),
            better="higher",
            margin=margin,
            unit=f"share of starts that learn, T = {longest}",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
