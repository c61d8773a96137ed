"""Bidirectional recurrent neural networks. Schuster & Paliwal, IEEE Trans. Signal Processing, 1997.

Claims      past-only      it errs less than a net that reads forwards only
            future-only    it errs less than a net that reads backwards only
            merged         it errs less than the mean of two such nets, trained apart
            merged-fitted  it errs less than their sum with the best weights
            best-delay     it errs less than a forward net that answers some steps late, at the best
                           delay
            too-late       a forward net that answers very late is worse than at the best delay
            same-as-torch  its hidden layer is torch.nn.RNN with bidirectional=True, exactly
Deviations  1  the sequences are ours, after the paper's artificial data: targets are weighted sums
               over both sides. So what a net that reads in one direction can't know is fixed: a
               third of the variance forwards, more than half backwards, a fifth for their mean
            2  Adam on new sequences, not RPROP on a fixed set
            3  sizes are ours; nets that read in one direction get more units, so that all have
               about as many weights. The fitted sum is ours
Left out    phonemes of TIMIT, classification, the second part: probabilities of whole symbol
            sequences
Shapes      B sequences, T steps, H hidden units in each direction, R readers
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing.brnn import answers_figure, delays_figure, listening_figure
from impl.kit import (
    Arrays,
    Chosen,
    Comparison,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    generator,
    judge,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.claims import Side

Events = Iterator[TrialEvent]


class Net(nn.Module):
    """Reads forwards (1), backwards (-1), or both, each direction with its own hidden units; only
    the output sees both. A forward net may answer late: its output at t + delay is for t."""

    def __init__(self, directions: Sequence[int], H: int, delay: int = 0):
        super().__init__()
        self.directions, self.delay = directions, delay
        self.readers = nn.ModuleList(nn.RNN(1, H, batch_first=True) for _ in directions)
        self.out = nn.Linear(len(directions) * H, 1)

    def read_forwards(self, reader: nn.Module, x: Tensor) -> Tensor:
        waiting = F.pad(x, (0, 0, 0, self.delay))  # while it waits, nothing comes
        h: Tensor = reader(waiting)[0]
        return h[:, self.delay :]

    def read_backwards(self, reader: nn.Module, x: Tensor) -> Tensor:
        h: Tensor = reader(x.flip(1))[0]
        return h.flip(1)

    def hidden(self, x: Tensor) -> Tensor:
        """[B, T, 1] -> [B, T, R * H]: h_t = tanh(W x_t + U h_{t-1} + b), or h_{t+1} backwards"""
        read = {1: self.read_forwards, -1: self.read_backwards}
        pairs = zip(self.directions, self.readers, strict=True)
        return torch.cat([read[direction](reader, x) for direction, reader in pairs], 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T] -> [B, T]"""
        y: Tensor = self.out(self.hidden(x[..., None]))
        return y[..., 0]


@dataclass(frozen=True)
class Config:
    past: int = 10  # ours, after the artificial data: the target sums over so many steps before
    future: int = 20  # ours, after the same: and over so many from now on
    T: int = 60  # ours: length of a sequence
    H: int = 12  # ours: hidden units in each direction
    delays: tuple[int, ...] = (0, 5, 10, 15, 20, 30, 40)  # ours: steps that the forward net waits
    lrs: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03)  # ours: the grid
    batch: int = 16  # ours: sequences in an update
    updates: int = 10_000  # ours
    test: int = 200  # ours: sequences, and as many for validation
    seeds: int = 10  # ours: how many repetitions
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, updates=3_000, lrs=(0.003, 0.01, 0.03), seeds=5)
QUICK = replace(FULL, past=5, future=10, T=30, delays=(0, 5, 9, 20), batch=64, updates=400)
SMOKE = replace(QUICK, H=3, delays=(0, 20), lrs=(0.01,), updates=5, batch=4, test=10, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

ONE_WAY = Protocol(("bidirectional", "backward"), {"lr": "lrs"})
DELAYED = Protocol(("forward",), {"lr": "lrs"}, {"delay": "delays"})


def forward_net(pick: Callable[[list[Row]], Row]) -> Side:
    """For each seed the test error of one of the forward nets, picked from all delays."""

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        nets: dict[int, list[Row]] = {}
        for row in rows:
            if row["arm"] == "forward":
                nets.setdefault(int(row["seed"]), []).append(row)
        return {seed: float(pick(each)["error"]) for seed, each in nets.items()}

    return by_seeds


AT_ONCE = forward_net(lambda nets: min(nets, key=lambda net: float(net["delay"])))
BEST_DELAY = forward_net(lambda nets: min(nets, key=lambda net: float(net["val_error"])))
LATEST = forward_net(lambda nets: max(nets, key=lambda net: float(net["delay"])))


def better(claim: str, rival: Side, title: str, idea: Side = "bidirectional") -> Comparison:
    return Comparison(
        claim=claim,
        idea=idea,
        rival=rival,
        measure="error",
        better="lower",
        margin=1.0,
        because="a hundredth of the variance",
        unit=f"% of the variance, {title}",
        worst=100.0,
        rival_may_diverge=True,
        ours=claim == "merged-fitted",
    )


CLAIMS = (
    better("past-only", AT_ONCE, "bidirectional against forward"),
    better("future-only", "backward", "bidirectional against backward"),
    better("merged", "merged", "bidirectional against the mean of both"),
    better("merged-fitted", "merged, fitted", "bidirectional against both with fitted weights"),
    better("best-delay", BEST_DELAY, "bidirectional against forward, best delay"),
    better("too-late", LATEST, "forward, best delay against the longest", idea=BEST_DELAY),
    Identity(
        claim="same-as-torch",
        measure="torch_gap",
        tolerance=1e-9,
        unit="largest difference of a hidden unit",
    ),
)


def deaf(method: str) -> Callable[[], AbstractContextManager[object]]:
    """In one of the directions a net hears nothing, unless it has only that one."""
    whole = getattr(Net, method)

    def read(net: Net, reader: nn.Module, x: Tensor) -> Tensor:
        h: Tensor = whole(net, reader, x)
        return h if len(net.directions) == 1 else 0 * h

    return lambda: patch.object(Net, method, read)


BROKEN: Broken = {
    "past-only": deaf("read_backwards"),
    "future-only": deaf("read_forwards"),
    "merged": deaf("read_backwards"),
    "merged-fitted": deaf("read_backwards"),
    "best-delay": deaf("read_backwards"),
    "too-late": {"delays": (0, 5, 9)},
    "same-as-torch": deaf("read_backwards"),
}


def build(cfg: Config, arm: str, delay: int) -> Net:
    """All have about as many weights as the bidirectional net of H units a direction."""

    def size(directions: int, H: int) -> int:
        return directions * (H * H + 4 * H) + 1

    if arm == "bidirectional":
        return Net((1, -1), cfg.H)
    units = range(cfg.H, 2 * cfg.H)
    more = min(units, key=lambda H: abs(size(1, H) - size(2, cfg.H)))
    return Net((1,) if arm == "forward" else (-1,), more, delay)


def kernel(cfg: Config) -> Tensor:
    """Weights of x(t - past) ... x(t + future - 1) in the target: they fall linearly on both sides.
    [past + future]"""
    before = (1 - torch.arange(cfg.past, 0, -1) / cfg.past) / cfg.past
    after = (1 - torch.arange(cfg.future) / cfg.future) / cfg.future
    weights = torch.cat([before, after])
    return weights / (weights.square().sum() / 12).sqrt()  # x has variance 1/12, the target 1


def floor(cfg: Config, delay: int) -> float:
    """The share of the target's variance, in %, that no net can explain which knows x up to
    t + delay only."""
    parts = kernel(cfg).square()
    return float(100 * parts[cfg.past + delay + 1 :].sum() / parts.sum())


def sequences(
    B: int,
    cfg: Config,
    source: torch.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """x and y, [B, T] each. What lies outside a sequence counts as 0, the mean."""
    x = torch.rand(B, cfg.T, generator=source) - 0.5
    padded = F.pad(x[:, None], (cfg.past, cfg.future - 1))
    return x.to(device), F.conv1d(padded, kernel(cfg)[None, None])[:, 0].to(device)


def error(y: Tensor, target: Tensor, cfg: Config) -> float:
    """Mean squared error in % of the variance, where the whole window is within the sequence."""
    inside = slice(cfg.past, cfg.T - cfg.future + 1)
    return float(100 * (y - target)[:, inside].square().mean())


def trial(
    cfg: Config,
    device: torch.device,
    *,
    arm: str,
    seed: int,
    lr: float,
    delay: int = 0,
) -> Events:
    net = build(cfg, arm, delay).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    batches = generator(seed, "batches")
    val = sequences(cfg.test, cfg, generator(seed, "val"), device)
    test = sequences(cfg.test, cfg, generator(seed, "test"), device)
    for step in range(1, cfg.updates + 1):
        x, target = sequences(cfg.batch, cfg, batches, device)
        loss = (net(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % -(-cfg.updates // 8) == 0:
            with torch.no_grad():
                yield dict(step=step, loss=loss.item(), val_error=error(net(val[0]), val[1], cfg))
    with torch.no_grad():
        y_val, y_test = net(val[0]), net(test[0])
    arrays = {"val": torch.stack([y_val, val[1]]), "test": torch.stack([y_test, test[1]])}
    yield Arrays(arrays | {"listening": listening(net, test[0][:50], cfg)})
    result: Row = {"step": cfg.updates, "loss": loss.item()}
    result["val_error"], result["error"] = error(y_val, val[1], cfg), error(y_test, test[1], cfg)
    if arm == "bidirectional":
        result["torch_gap"] = torch_gap(net, test[0])
    yield result


def listening(net: Net, x: Tensor, cfg: Config) -> Tensor:
    """How much the output at one step changes with the input before, at and after it: the mean
    derivative, [past + future]."""
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(net(x)[:, cfg.past].sum(), x)
    return slope.mean(0)[: cfg.past + cfg.future]


@torch.no_grad()
def torch_gap(net: Net, x: Tensor) -> float:
    """Largest difference between the net's hidden units and torch's, in double precision."""
    net, x = deepcopy(net).cpu().double(), x.cpu().double()[..., None]
    H = net.out.in_features // 2
    theirs = nn.RNN(1, H, batch_first=True, bidirectional=True, dtype=torch.float64)
    forwards, backwards = (reader.state_dict() for reader in net.readers)
    state = forwards | {f"{name}_reverse": weight for name, weight in backwards.items()}
    theirs.load_state_dict(state)
    return float((net.hidden(x) - theirs(x)[0]).abs().max())


def merge(cfg: Config, forward: Chosen, backward: Chosen) -> Iterator[Row]:
    """The mean of two nets' answers, and their sum with the weights that fit best on validation
    sequences."""
    inside = slice(cfg.past, cfg.T - cfg.future + 1)
    val, test = (
        torch.stack([forward.tensors[use], backward.tensors[use]]) for use in ("val", "test")
    )  # [2 nets, 2: answer and target, B, T]
    answers = val[:, 0, :, inside].flatten(1).T.double()  # in float the last digits would vary
    target = val[0, 1, :, inside].flatten()[:, None].double()
    weights = torch.linalg.lstsq(answers, target).solution.float()
    sums = {"merged": torch.full((2, 1), 0.5), "merged, fitted": weights}
    for arm, w in sums.items():
        y = (w[:, :, None] * test[:, 0]).sum(0)
        yield dict(arm=arm, seed=forward.seed, judged=True, error=error(y, test[0, 1], cfg))


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, (ONE_WAY, DELAYED), device)
    merged: list[Row] = []
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        nets = [choice for choice in chosen if choice.seed == seed]
        backward = next(choice for choice in nets if choice.arm == "backward")
        forward = next(choice for choice in nets if choice.job.get("delay") == 0)
        merged += merge(cfg, forward, backward)
    yield from merged
    floors = [floor(cfg, delay) for delay in range(max(cfg.delays) + 1)]
    yield listening_figure([c for c in chosen if c.seed == cfg.seed], kernel(cfg), cfg.past)
    yield delays_figure(chosen, merged, floors)
    yield answers_figure([c for c in chosen if c.seed == cfg.seed])


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
