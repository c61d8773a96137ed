"""Bidirectional recurrent neural networks. Schuster & Paliwal, IEEE Transactions on Signal Processing 45(11), 1997.

Claims      past-only      it errs less than a net that reads forwards only
            future-only    it errs less than a net that reads backwards only
            merged         it errs less than the mean of two such nets, trained apart
            best-delay     it errs less than a forward net that answers some steps late, at the best delay
            too-late       a forward net that answers very late is worse again than at the best delay
            same-as-torch  its hidden layer is torch.nn.RNN with bidirectional=True, exactly
Deviations  1  the sequences are ours, after the paper's artificial data: targets are weighted sums over both sides
            2  Adam on new sequences, not RPROP on a fixed set; each net takes the best of several rates, at each delay
            3  sizes are ours; nets that read in one direction get more units, so that all have about as many weights
Left out    phonemes of TIMIT, classification, the second part: probabilities of whole symbol sequences
Shapes      N nets, B sequences, T steps, H hidden units in each direction
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.figures import INK, canvas, figure


@dataclass(frozen=True)
class Config:
    past: int = 10  # ours, after the artificial data: the target sums over so many steps before
    future: int = 20  # ours, after the same: and over so many from now on
    T: int = 60  # ours: length of a sequence
    H: int = 12  # ours: hidden units in each direction
    delays: tuple[int, ...] = (0, 5, 10, 15, 20, 30, 40)  # ours: steps that the forward net may wait
    rates: tuple[float, ...] = (0.001, 0.003, 0.01)  # ours: each net takes the best on validation sequences
    batch: int = 16  # ours: sequences in an update
    updates: int = 10_000  # ours
    test: int = 200  # ours: sequences, and as many for validation
    seeds: int = 10  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, updates=3_000)
QUICK = replace(PAPER, delays=(0, 10, 15, 20, 40), rates=(0.003, 0.01), updates=500, seeds=5)
SMOKE = replace(QUICK, T=40, H=3, delays=(0, 5), rates=(0.01,), updates=5, batch=4, test=10, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


def kernel(cfg: Config) -> Tensor:
    """Weights of x(t - past) ... x(t + future - 1) in the target: they fall linearly on both sides, [past + future]."""
    before = (1 - torch.arange(cfg.past, 0, -1) / cfg.past) / cfg.past
    after = (1 - torch.arange(cfg.future) / cfg.future) / cfg.future
    weights = torch.cat([before, after])
    return weights / (weights.square().sum() / 12).sqrt()  # x has variance 1/12, the target 1


def floor(cfg: Config, delay: int) -> float:
    """The share of the target's variance, in %, that no net can explain which knows x up to t + delay only."""
    parts = kernel(cfg).square()
    return float(100 * parts[cfg.past + delay + 1 :].sum() / parts.sum())


def sequences(B: int, cfg: Config, draws: list[torch.Generator], copies: int, device: torch.device) -> list[Tensor]:
    """x and y, [copies * seeds, B, T] each: every seed has its own. What lies outside a sequence counts as 0, the mean."""
    x = torch.stack([torch.rand(B, cfg.T, generator=draw) - 0.5 for draw in draws])
    padded = F.pad(x.flatten(0, 1)[:, None], (cfg.past, cfg.future - 1))
    y = F.conv1d(padded, kernel(cfg)[None, None]).view_as(x)
    return [part.repeat(copies, 1, 1).to(device) for part in (x, y)]


def hidden(x: Tensor, W: Tensor, U: Tensor, b: Tensor) -> Tensor:
    """[N, B, T] to [N, B, T, H]: h_t = tanh(W x_t + U h_{t-1} + b)."""
    h, seen = x.new_zeros(*x.shape[:2], U.shape[1]), []
    for x_t in (x[..., None] * W[:, None] + b[:, None]).unbind(2):
        h = torch.tanh(torch.baddbmm(x_t, h, U))
        seen.append(h)
    return torch.stack(seen, 2)


class Nets:
    """N nets side by side that read forwards (1), backwards (-1), or both, each direction with its own hidden units.

    Only the output sees both. A forward net may answer late: its output at t + delay is for t.
    """

    def __init__(self, directions: tuple[int, ...], H: int, draws: list[torch.Generator], delays: Tensor):
        self.directions, self.delays, device = directions, delays, delays.device
        self.weights = []
        for _ in directions:
            for shape in ((1, H), (H, H), (1, H), (H, 1)):  # W, U, b, V
                drawn = [(2 * torch.rand(shape, generator=draw) - 1) * H**-0.5 for draw in draws]
                self.weights.append(torch.stack(drawn).to(device).requires_grad_())
        self.weights.append(torch.zeros(len(draws), 1, 1, device=device).requires_grad_())

    def answer(self, x: Tensor) -> Tensor:
        """[N, B, T] to [N, B, T]."""
        y = self.weights[-1]
        for direction, i in zip(self.directions, range(0, len(self.weights) - 1, 4), strict=True):
            W, U, b, V = self.weights[i : i + 4]
            if direction == 1:
                late = F.pad(x, (0, int(self.delays.max())))  # while it waits, nothing comes
                out = (hidden(late, W, U, b) @ V[:, None])[..., 0]
                at = torch.arange(x.shape[2], device=x.device) + self.delays[:, None]  # [N, T]
                y = y + out.gather(2, at[:, None].expand_as(x))
            else:
                y = y + (hidden(x.flip(2), W, U, b) @ V[:, None])[..., 0].flip(2)
        return y


def size(directions: int, H: int) -> int:
    return directions * (H * H + 3 * H) + 1


def errors(y: Tensor, target: Tensor, cfg: Config) -> Tensor:
    """Mean squared error in % of the variance, where the whole window lies within the sequence, [N]."""
    inside = slice(cfg.past, cfg.T - cfg.future + 1)
    return 100 * (y - target)[..., inside].square().mean((1, 2))


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    seeds, R = range(cfg.seed, cfg.seed + cfg.seeds), len(cfg.rates)
    for seed in seeds:
        yield dict(seed=seed, gap=torch_gap(seed))
    more = min(range(cfg.H, 2 * cfg.H), key=lambda H: abs(size(1, H) - size(2, cfg.H)))  # units of the one-way nets
    kinds = {
        "forward": ((1,), more, cfg.delays),
        "backward": ((-1,), more, (0,)),
        "bidirectional": ((1, -1), cfg.H, (0,)),
    }
    cost = {"forward": cfg.T + max(cfg.delays), "backward": cfg.T, "bidirectional": 2 * cfg.T}
    total, done = float(cfg.updates * sum(cost.values())), 0.0
    answers: dict[str, Tensor] = {}  # on test sequences, [seeds, B, T]
    listens: dict[str, Tensor] = {}
    by_delay: list[tuple[int, Tensor, Tensor]] = []
    for name, (directions, H, delays) in kinds.items():
        copies = R * len(delays)
        waits = torch.tensor(delays, device=device).repeat_interleave(cfg.seeds).repeat(R)  # rate, delay, seed
        rates = torch.tensor(cfg.rates, device=device).repeat_interleave(len(delays) * cfg.seeds)
        nets = Nets(directions, H, generators(seeds, 1) * copies, waits)
        shape = (R, len(delays), cfg.seeds)
        valid = sequences(cfg.test, cfg, generators(seeds, 2), copies, device)
        titles = [name if delay == 0 else f"{name}, {delay} steps late" for delay in delays]
        for step, loss in train(nets, rates, generators(seeds, 3), copies, cfg, device):
            yield Progress(done + step * cost[name], total, f"{name}, {len(rates)} nets")
            if step % -(-cfg.updates // 15) == 0 or step == cfg.updates:
                with torch.no_grad():
                    scores = errors(nets.answer(valid[0]), valid[1], cfg).view(shape)
                best = scores.mean(2).argmin(0).tolist()  # rate of each delay
                for d, title in enumerate(titles):
                    for seed, score in zip(seeds, scores[best[d], d].tolist(), strict=True):
                        yield dict(net=title, seed=seed, step=step, validation_error=score, loss=float(loss.mean()))
        done += cfg.updates * cost[name]

        x, target = sequences(cfg.test, cfg, generators(seeds, 4), copies, device)
        with torch.no_grad():
            y = nets.answer(x)
        measured = errors(y, target, cfg).view(shape)
        heard = listening(nets, x[:, :50], cfg).view(*shape, -1)
        for d, (title, delay) in enumerate(zip(titles, delays, strict=True)):
            listens[title] = heard[best[d], d, 0].cpu()
            answers[title] = y.view(*shape, *y.shape[1:])[best[d], d]
            for seed, error in zip(seeds, measured[best[d], d].tolist(), strict=True):
                yield dict(net=title, seed=seed, error=error, rate=cfg.rates[best[d]], weights=size(len(directions), H))
            if name == "forward":
                by_delay.append((delay, scores[best[d], d].cpu(), measured[best[d], d].cpu()))
        if name == "bidirectional":
            both = measured[best[0], 0].cpu()

    merged = errors((answers["forward"] + answers["backward"]) / 2, target[: cfg.seeds], cfg)
    chosen = min(by_delay, key=lambda entry: float(entry[1].mean()))
    for i, seed in enumerate(seeds):
        yield dict(net="merged", seed=seed, error=float(merged[i]))
        yield dict(net="forward, best delay", seed=seed, error=float(chosen[2][i]), delay=chosen[0])
        yield dict(net="forward, longest delay", seed=seed, error=float(by_delay[-1][2][i]), delay=cfg.delays[-1])
    late = f"forward, {chosen[0]} steps late" if chosen[0] else "forward"
    yield listening_figure({name: listens[name] for name in ("bidirectional", "forward", "backward", late)}, cfg)
    yield delays_figure(by_delay, both, merged.cpu(), cfg)
    yield answers_figure({name: answers[name][0, 0] for name in ("bidirectional", "forward")}, target[0, 0].cpu(), cfg)
    yield Progress(total, total, "done")


def generators(seeds: range, purpose: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(1_000 * seed + purpose) for seed in seeds]


def train(
    nets: Nets, rates: Tensor, draws: list[torch.Generator], copies: int, cfg: Config, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """Adam, each net with its own rate; yields (update, loss of each net)."""
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in nets.weights]
    rates = rates[:, None, None]
    for step in range(1, cfg.updates + 1):
        x, target = sequences(cfg.batch, cfg, draws, copies, device)
        loss = (nets.answer(x) - target).square().mean((1, 2))
        slopes = torch.autograd.grad(loss.sum(), nets.weights)
        with torch.no_grad():
            for w, slope, (m, v) in zip(nets.weights, slopes, moments, strict=True):
                m.mul_(0.9).add_(slope, alpha=0.1)
                v.mul_(0.999).addcmul_(slope, slope, value=0.001)
                w -= rates * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
        yield step, loss.detach()


def listening(nets: Nets, x: Tensor, cfg: Config) -> Tensor:
    """How much the output at one step changes with the input before, at and after it: mean slope, [N, past + future]."""
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(nets.answer(x)[:, :, cfg.past].sum(), x)
    return slope.mean(1)[:, : cfg.past + cfg.future]


@torch.no_grad()
def torch_gap(seed: int) -> float:
    """Largest difference between our hidden units and torch's, in double precision."""
    torch.manual_seed(seed)
    theirs, x = nn.RNN(1, 4, batch_first=True, bidirectional=True).double(), torch.randn(3, 12).double()
    ours = []
    for (W, U, b, c), direction in zip(theirs.all_weights, (1, -1), strict=True):
        read = x[None] if direction == 1 else x[None].flip(2)
        h = hidden(read, W.T[None], U.T[None], (b + c)[None, None])
        ours.append(h if direction == 1 else h.flip(2))
    return float((torch.cat(ours, 3)[0] - theirs(x[..., None])[0]).abs().max())


def listening_figure(listens: dict[str, Tensor], cfg: Config) -> Figure:
    drawn, axes = canvas(2, 2, height=4.4)
    t = range(-cfg.past, cfg.future)
    for ax, (name, slope) in zip(axes.flat, listens.items(), strict=False):
        ax.fill_between(t, kernel(cfg), color=INK, alpha=0.25, linewidth=0, label="weights of the target")
        ax.plot(t, slope, marker="o", markersize=2.5, label="slope of the output")
        ax.axvline(0, color=INK, linewidth=0.7, linestyle=":")
        ax.set(title=name, xlabel="step of the input, from the output's")
    axes[0, 0].legend(fontsize=7)
    return figure("listening", drawn, "What an output listens to: its slope by each input, mean over test sequences")


def delays_figure(by_delay: list[tuple[int, Tensor, Tensor]], both: Tensor, merged: Tensor, cfg: Config) -> Figure:
    drawn, ax = canvas()
    delays = [delay for delay, _, _ in by_delay]
    measured = torch.stack([error for _, _, error in by_delay])
    for values, label in ((both, "bidirectional"), (merged, "forward and backward, merged")):
        colour = ax.plot(delays, [float(values.mean())] * len(delays), label=label)[0].get_color()
        ax.fill_between(delays, float(values.min()), float(values.max()), color=colour, alpha=0.15, linewidth=0)
    (line,) = ax.plot(delays, measured.mean(1), marker="o", markersize=4, label="forward, late")
    ax.fill_between(delays, measured.amin(1), measured.amax(1), color=line.get_color(), alpha=0.15, linewidth=0)
    ax.plot(range(max(delays) + 1), [floor(cfg, delay) for delay in range(max(delays) + 1)], ":", color=INK,
            label="the least possible for a net so late")  # fmt: skip
    ax.set(xlabel="delay, steps", ylabel="error, % of the variance", ylim=(0, None))
    ax.legend(fontsize=8)
    return figure("delays", drawn, "Waiting helps a forward net up to a point: mean and range of the seeds")


def answers_figure(answers: dict[str, Tensor], target: Tensor, cfg: Config) -> Figure:
    drawn, ax = canvas(height=2.6)
    for name, y in answers.items():
        ax.plot(y.cpu(), label=name)
    ax.plot(target, "--", color=INK, label="target")
    ax.set(xlabel="step", ylabel="y")
    ax.legend(fontsize=8, ncols=3)
    return figure("answers", drawn, "One test sequence: the target depends on both sides, a forward net knows one")


def check(rows: list[Row]) -> list[Verdict]:
    def error(net: str) -> dict[int, float]:
        return by_seed(rows, "error", net=net)

    rivals = {
        "past-only": "forward",
        "future-only": "backward",
        "merged": "merged",
        "best-delay": "forward, best delay",
    }
    pairs = {claim: ("bidirectional", rival) for claim, rival in rivals.items()}
    pairs["too-late"] = ("forward, best delay", "forward, longest delay")
    return [
        *(
            compare(
                claim,
                error(better),
                error(worse),
                better="lower",
                margin=1.0,  # ours: a hundredth of the variance
                unit=f"% of the variance: {better} against {worse}",
            )
            for claim, (better, worse) in pairs.items()
        ),
        exact(
            "same-as-torch",
            [float(row["gap"]) for row in rows if "gap" in row],
            0.0,
            tolerance=1e-9,
            unit="largest difference of a hidden unit",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
