"""Ladder: memory for sequences. Five nets read the same notes and answer the same question.

Notes like "c = 5, a = 2, c = 7" come one after the other; then "c?" is asked, and the answer is
the value that was noted last, 7. A net with a state has to keep every name's last value in it; a
net with attention can look back.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.bahdanau import Alignment, expected_annotation
from impl.kit import Protocol, TrialEvent, generator
from impl.kit.supervised import error
from impl.kit.tasks import assignments
from impl.ladders.ladder import (
    Ladder,
    count_flops,
    count_updates,
    main,
    spent,
    train,
    width_for,
)


@dataclass(frozen=True)
class Config:
    T: int = 10  # notes in a sequence
    names: int = 5
    values: int = 8
    parameters: int = 6_000  # of each net, as nearly as a whole number of units allows
    batch: int = 32
    budget: float = 2.5e9  # FLOPs of all updates of one training
    lrs: tuple[float, ...] = (0.006, 0.02, 0.06, 0.2)  # the grid, of Adam
    test: int = 2_000  # sequences each for validation and test
    seeds: int = 5  # how many repetitions, each with its own data
    seed: int = 0  # the first of them


QUICK = Config()
SMOKE = replace(QUICK, T=4, parameters=2_000, batch=8, budget=2e6, lrs=(0.01,), test=50, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK}


class Recurrent(nn.Module):
    """Reads the words one by one; the last state answers. [B, T + 1] -> logits [B, C]"""

    def __init__(self, layer: type[nn.RNN | nn.LSTM | nn.GRU], words: int, H: int, C: int):
        super().__init__()
        self.embed = nn.Embedding(words, H)
        self.layer = layer(H, H, batch_first=True)
        self.out = nn.Linear(H, C)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.layer(self.embed(x))[0][:, -1])
        return logits


class Attending(nn.Module):
    """A GRU in both directions; from the last state on it looks back at all of them."""

    def __init__(self, words: int, H: int, C: int):
        super().__init__()
        self.embed = nn.Embedding(words, H)
        self.layer = nn.GRU(H, H, batch_first=True, bidirectional=True)
        self.align = Alignment(H, H)
        self.out = nn.Linear(3 * H, C)

    def forward(self, x: Tensor) -> Tensor:
        h, last = self.layer(self.embed(x))  # [B, T + 1, 2H], [2, B, H]
        alpha = self.align(last[0], self.align.U_a(h))
        logits: Tensor = self.out(torch.cat([last[0], expected_annotation(alpha, h)], 1))
        return logits


class Transformer(nn.Module):
    """Two layers of self-attention; the question's place answers.

    Normalized before each sublayer, not after it: in trials that took half of the errors away.
    """

    def __init__(self, words: int, T: int, H: int, C: int):
        super().__init__()
        self.embed, self.places = nn.Embedding(words, H), nn.Parameter(torch.randn(T + 1, H))
        layer = functools.partial(nn.TransformerEncoderLayer, dropout=0.0, norm_first=True)
        layers = (layer(H, nhead=2, dim_feedforward=2 * H, batch_first=True) for _ in range(2))
        self.layers = nn.Sequential(*layers, nn.LayerNorm(H))
        self.out = nn.Linear(H, C)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.layers(self.embed(x) + self.places)[:, -1])
        return logits


def build(cfg: Config, arm: str, H: int) -> nn.Module:
    words, C = cfg.names * (cfg.values + 1), cfg.values
    if arm == "attention":
        return Attending(words, H, C)
    if arm == "Transformer":
        return Transformer(words, cfg.T, H, C)
    return Recurrent({"Elman": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}[arm], words, H, C)


@functools.cache
def width(cfg: Config, arm: str) -> int:
    return width_for(cfg.parameters, lambda H: build(cfg, arm, H), range(4, 200, 2))


LADDER = Ladder(
    name="sequence",
    title="Memory for sequences",
    task="Notes such as c = 5, a = 2, c = 7 are read one by one, then c? is asked: the answer is "
    "what was noted last, 7. Measured is how often the answer is wrong, with 10 notes of 5 names "
    "and 8 values; who guesses is wrong in 87.5 %.",
    unit="% wrong answers",
    measure="test_error",
    rungs={
        "Elman": "elman",
        "LSTM": "lstm",
        "GRU": "gru",
        "attention": "bahdanau-attention",
        "Transformer": "transformer",
    },
    protocol=Protocol(("Elman", "LSTM", "GRU", "attention", "Transformer"), {"lr": "lrs"}),
)


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:
    net = build(cfg, arm, width(cfg, arm)).to(device)
    batches = generator(seed, "batches")
    draw = functools.partial(assignments, T=cfg.T, names=cfg.names, values=cfg.values)
    val, test = (draw(cfg.test, draw=generator(seed, part)) for part in ("val", "test"))

    def loss() -> Tensor:
        x, y = draw(cfg.batch, draw=batches)
        return F.cross_entropy(net(x.to(device)), y.to(device))

    flops = count_flops(lambda: loss().backward())
    optimizer = torch.optim.Adam(net.parameters(), lr, fused=True)
    updates = count_updates(cfg.budget, flops)
    yield from train(loss, optimizer, lr, updates, clip=1.0)
    errors = dict(val_error=error(net, *val), test_error=error(net, *test))
    yield dict(step=updates, **errors, **spent(flops, updates, net))


if __name__ == "__main__":
    raise SystemExit(main(__doc__, LADDER, trial, PRESETS))
