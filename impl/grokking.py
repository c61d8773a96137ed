"""Grokking: generalization beyond overfitting on small algorithmic datasets.
Power, Burda, Edwards, Babuschkin, Misra, arXiv 2201.02177, 2022.

Claims      past-overfitting   a net is right on unseen pairs long after it is right on its own
                               (Sec. 3.1, Fig. 1 left)
            less-data-longer   the smaller the share of the table it is shown, the longer it takes
                               (Sec. 3.1.1, Fig. 1 centre)
            weight-decay       with weight decay more unseen pairs are right (Sec. 3.3, Fig. 2 left)
            circle             with weight decay the output layer shows the circle of the residues
                               more clearly (Sec. 3.4, Fig. 3)
            renaming           for a net, products mod p and sums mod p - 1 are one task (Sec. 3.2)
Deviations  1  but for `paper`: an embedding and a hidden layer, which read x and y only, instead of
               the Transformer; a smaller table, larger learning rates, fewer updates
            2  the unseen pairs are split: lr is chosen on one half, judged on the other
            3  a set counts as learnt at 95 %, not 99 %, since the sets are small
            4  a net stops once its validation pairs have stayed right for a while
            5  the circle is measured by a Fourier transform; the paper looks at t-SNE
            6  past-overfitting and less-data-longer have one lr, as in the paper
Left out    products in S5, Fig. 2's other operations, noise, dropout, decay towards the start
Shapes      B pairs, n symbols, D numbers for a symbol, H hidden units, T tokens
"""

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import grokking as drawing
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
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.claims import Side
from impl.kit.descent import update
from impl.kit.operation_tables import split, table, without_rule

SPLIT = split


class Symbols(nn.Embedding):
    """Sec. 1: a symbol is a row of numbers that are learnt, and nothing else is known of it."""


class Block(nn.Module):
    """App. A.1.2: a layer of a decoder-only Transformer. [B, T, D] -> [B, T, D]"""

    def __init__(self, D: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(D, 3 * D, bias=False), nn.Linear(D, D, bias=False)
        self.up, self.down = nn.Linear(D, 4 * D, bias=False), nn.Linear(4 * D, D, bias=False)
        self.norm_1, self.norm_2 = nn.LayerNorm(D), nn.LayerNorm(D)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # [B, heads, T, D / heads]
            for part in self.qkv(x).chunk(3, 2)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = self.norm_1(x + self.out(mixed.transpose(1, 2).flatten(2)))
        y: Tensor = self.norm_2(x + self.down(F.relu(self.up(x))))
        return y


class Transformer(nn.Module):
    """Sec. 2: reads the tokens x, o, y and =; the next is the answer. [B], [B] -> logits [B, n]"""

    def __init__(self, n: int, D: int, layers: int, heads: int):
        super().__init__()
        self.n, self.embedding = n, Symbols(n + 2, D)  # the last two are o and =
        self.position = nn.Buffer(sinusoids(4, D))
        self.blocks = nn.Sequential(*(Block(D, heads) for _ in range(layers)))
        self.output = nn.Linear(D, n, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        o = torch.full_like(x, self.n)
        tokens = torch.stack([x, o, y, o + 1], 1)
        states = self.blocks(self.embedding(tokens) + self.position)
        logits: Tensor = self.output(states[:, -1])
        return logits


def sinusoids(T: int, D: int) -> Tensor:
    """Where a token stands, as in the first Transformer. [T, D]"""
    angles = torch.arange(T)[:, None] / 10_000 ** (torch.arange(0, D, 2) / D)
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :D]


class MLP(nn.Module):
    """Ours: the same task for a net that trains in a second. [B], [B] -> logits [B, n]"""

    def __init__(self, n: int, D: int, H: int):
        super().__init__()
        self.embedding = Symbols(n, D)
        self.hidden = nn.Linear(2 * D, H)
        self.output = nn.Linear(H, n)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        pair = self.embedding(torch.stack([x, y], 1)).flatten(1)
        logits: Tensor = self.output(F.relu(self.hidden(pair)))
        return logits


Net = Transformer | MLP


def one_wave(W: Tensor) -> float:
    """How much of the power is in each unit's strongest frequency, for the weights from H units to
    n residues [n, H]: 1 if each goes up and down like a cosine around the circle of residues."""
    power = torch.fft.rfft(W, dim=0)[1:].abs().square()
    return float(power.amax(0).sum() / power.sum())


@dataclass(frozen=True)
class Config:
    operation: str = "x+y"  # Sec. 3.4 and Fig. 3; Fig. 1 left has x/y
    p: int = 97  # App. A.1.1: a prime
    shares: tuple[float, ...] = (0.5, 0.7)  # of the table for training: Fig. 1 left; 0.7 is ours
    decay_shares: tuple[float, ...] = (0.7,)  # ours: where the rival, too, sees much of the table
    net: str = "transformer"  # App. A.1.2; `mlp` is ours
    D: int = 128  # App. A.1.2
    layers: int = 2  # App. A.1.2
    heads: int = 4  # App. A.1.2
    H: int = 512  # ours: hidden units of the MLP
    weight_decay: float = 1.0  # App. A.1.2
    lr: tuple[float, ...] = (0.001,)  # App. A.1.2: for the times
    lrs: tuple[float, ...] = (0.0003, 0.001, 0.003)  # App. A.1.2: the grid of weight-decay
    warmup: int = 10  # App. A.1.2: updates in which lr grows
    batch: int = 512  # App. A.1.2: at most half of the training pairs
    updates: int = 100_000  # App. A.1.2
    every: int = 10  # ours: updates between two looks at all pairs
    learnt: float = 0.95  # ours: accuracy from which on the pairs count as learnt; Fig. 1: 0.99
    calm: int = 500  # ours: updates with 99 % of the validation pairs right, then a net stops
    seeds: int = 5  # ours: how many repetitions, each with its own pairs
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, p=47, net="mlp", D=64, H=256, lr=(0.03,), lrs=(0.01, 0.03, 0.1, 0.3))
FULL = replace(FULL, shares=(0.35, 0.5, 0.7), updates=4_000, every=5, calm=100, seeds=8)
QUICK = replace(FULL, p=31, D=32, H=128, lrs=(0.03, 0.1, 0.3), shares=(0.5, 0.7))
QUICK = replace(QUICK, updates=2_000, seeds=6)
SMOKE = replace(QUICK, p=7, D=4, H=8, lrs=(0.03,), updates=20, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

TIMES = Protocol(("weight decay",), {"lr": "lr"}, {"share": "shares"}, select="val_steps")
RACE = Protocol(("weight decay", "no decay"), {"lr": "lrs"}, {"share": "decay_shares"})


def steps(share: str, measure: str = "test_steps", never: float | None = math.inf) -> Side:
    """Updates until pairs are learnt; `never` where they weren't, or as many as there were."""

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        found = by_seed(rows, measure, selected_by="val_steps", **{share: True})
        budget = by_seed(rows, "budget")
        ends = {seed: budget[seed] if never is None else never for seed in found}
        return {seed: v if v <= budget[seed] else ends[seed] for seed, v in found.items()}

    return by_seeds


CLAIMS = (
    Comparison(
        claim="past-overfitting", idea=steps("least"), rival=steps("least", "train_steps"),
        better="higher", scale="ratio", margin=10.0,
        because="an order of magnitude; Fig. 1 shows three, on a table ten times as large",
        unit="updates until 95 % are right, of the unseen pairs against the net's own",
    ),
    Comparison(
        claim="less-data-longer", idea=steps("least", never=None),
        rival=steps("most", never=None), better="higher", scale="ratio", margin=1.5,
        because="what one hundredth of the table less costs in S5, 40 to 50 % (Sec. 3.1.1)",
        unit="updates until 95 % of the unseen pairs are right, smallest share against largest",
    ),
    Comparison(
        claim="weight-decay", idea="weight decay", rival="no decay", measure="test_accuracy",
        where={"selected_by": "val_error"}, better="higher", margin=50.0,
        because="half of the table: in Fig. 2 nets go from almost nothing to almost all right",
        unit="% of unseen pairs right after the updates",
    ),
    Comparison(
        claim="circle", idea="weight decay", rival="no decay", measure="one_wave",
        where={"selected_by": "val_error"}, better="higher", margin=0.25, ours=True,
        because="a quarter of all power, about what random weights have in their strongest wave",
        unit="share of the power in a unit's strongest wave, output layer",
    ),
    Identity(
        claim="renaming", measure="renaming_gap", tolerance=1e-9,
        unit="largest difference of a logit after ten updates, x*y mod p against x+y mod p - 1",
    ),
)  # fmt: skip


def shown_numbers(self: Symbols, at: Tensor) -> Tensor:
    """The net is told which number a symbol is, besides."""
    return F.embedding(at, self.weight) + at[..., None] / self.num_embeddings


BROKEN: Broken = {
    "past-overfitting": lambda: patch(f"{__name__}.table", without_rule),
    "less-data-longer": lambda: patch(f"{__name__}.split", lambda n, _, seed: SPLIT(n, 0.7, seed)),
    "weight-decay": {"weight_decay": 0.0},
    "circle": {"weight_decay": 0.0},
    "renaming": lambda: patch.object(Symbols, "forward", shown_numbers),
}


def build(cfg: Config, n: int) -> Net:
    if cfg.net == "mlp":
        return MLP(n, cfg.D, cfg.H)
    return Transformer(n, cfg.D, cfg.layers, cfg.heads)


def adamw(net: Net, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    betas = (0.9, 0.98)  # App. A.1.2
    return torch.optim.AdamW(net.parameters(), lr, betas, weight_decay=weight_decay, fused=True)


class Accuracies:
    """Of the three sets, and the updates after which each was learnt for the first time."""

    def __init__(self, cfg: Config, sets: Sequence[Tensor]) -> None:
        self.cfg, self.sets = cfg, dict(zip(("train", "val", "test"), sets, strict=True))
        self.reached = {f"{name}_steps": cfg.updates + 1 for name in self.sets}  # never
        self.curve: list[list[float]] = []  # step, and accuracies of train, val and test
        self.calm_since = math.inf

    def add(self, step: int, right: Tensor) -> Row:
        row: Row = {"step": step}
        for name, pairs in self.sets.items():
            row[name] = accuracy = right[pairs].float().mean().item()
            if accuracy >= self.cfg.learnt and self.reached[f"{name}_steps"] > self.cfg.updates:
                self.reached[f"{name}_steps"] = step
        self.curve.append([float(value) for value in row.values()])
        self.calm_since = min(self.calm_since, step) if self.curve[-1][2] >= 0.99 else math.inf
        return row

    @property
    def done(self) -> bool:
        return self.curve[-1][0] - self.calm_since >= self.cfg.calm


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, share: float, lr: float
) -> Iterator[TrialEvent]:
    """Trains one net on a share of the table, and looks at all of it now and then."""
    x, y, z = (each.to(device) for each in table(cfg.operation, cfg.p))
    train, val, test = (pairs.to(device) for pairs in split(len(z), share, seed))
    net = build(cfg, int(z.max()) + 1).to(device)
    optimizer = adamw(net, lr, cfg.weight_decay if arm == "weight decay" else 0.0)
    batches, batch = generator(seed, "batches"), min(cfg.batch, len(train) // 2)
    seen = Accuracies(cfg, (train, val, test))
    pictures: list[Tensor] = []
    for step in range(1, cfg.updates + 1):
        optimizer.param_groups[0]["lr"] = lr * min(1, step / cfg.warmup)
        at = train[torch.randint(len(train), (batch,), generator=batches).to(device)]
        update(F.cross_entropy(net(x[at], y[at]), z[at]), optimizer)
        if step % cfg.every and step < cfg.updates:
            continue
        with torch.no_grad():
            right = net(x, y).argmax(1) == z
        row = seen.add(step, right)
        column, enough = ((1, cfg.learnt), (3, 0.5), (1, math.inf))[len(pictures)]
        if seen.curve[-1][column] >= enough:
            pictures.append(right)  # when it knows its own pairs, and when half of the others
        if (step // cfg.every).bit_count() == 1:
            yield row
        if seen.done:
            break
    yield row
    if seed == cfg.seed:
        known = torch.zeros_like(right).index_fill(0, train, True)
        tables = torch.stack([known, *pictures, right])
        yield Arrays({"curve": torch.tensor(seen.curve), "W": net.output.weight, "tables": tables})
    yield result(cfg, arm, seed, share, row, seen, net)


def result(
    cfg: Config, arm: str, seed: int, share: float, last: Row, seen: Accuracies, net: Net
) -> Row:
    row: Row = {"step": last["step"], "val_error": 100 * (1 - float(last["val"]))}
    row |= {"test_accuracy": 100 * float(last["test"]), "budget": cfg.updates, **seen.reached}
    row |= {"least": share == min(cfg.shares), "most": share == max(cfg.shares)}
    if cfg.operation == "x+y":
        row["one_wave"] = one_wave(net.output.weight.detach())
    if arm == "weight decay" and row["least"]:
        row["renaming_gap"] = renaming_gap(cfg, seed)
    return row


def powers(p: int) -> list[int]:
    """1, g, g^2, ...: all residues mod p but 0, as powers of the smallest g with which they are."""
    residues = [[pow(g, a, p) for a in range(p - 1)] for g in range(1, p)]
    return next(powers for powers in residues if len(set(powers) - {0}) == p - 1)


def renaming_gap(cfg: Config, seed: int) -> float:
    """Sec. 3.2: sums mod p - 1 are trained, and products mod p, where a is called g^a. If a net
    knows nothing of its symbols, the two do the same at each update. In double precision."""
    n = cfg.p - 1
    name = torch.tensor(powers(cfg.p)) - 1
    ours = build(cfg, n).double()
    theirs = deepcopy(ours)
    symbols = {"embedding.weight", "output.weight", "output.bias"}
    for key, w in ours.state_dict().items():
        if key in symbols:
            theirs.get_parameter(key).data[name] = w[:n]
    x, y = torch.randint(n, (2, min(cfg.batch, n * n)), generator=generator(seed, "renaming"))
    _, _, product = table("x*y", cfg.p)
    answers = (x + y) % n, product.reshape(n, n)[name[x], name[y]]
    pairs = (x, y), (name[x], name[y])
    for net, (a, b), z in zip((ours, theirs), pairs, answers, strict=True):
        optimizer = adamw(net, cfg.lr[0], cfg.weight_decay)
        for _ in range(10):
            update(F.cross_entropy(net(a, b), z), optimizer)
    with torch.no_grad():
        return float((ours(*pairs[0]) - theirs(*pairs[1])[:, name]).abs().max())


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, [TIMES, RACE], device)
    shown = [one for one in chosen if one.seed == cfg.seed]
    yield drawing.accuracies(shown)
    yield drawing.filling(shown, cfg.p)
    yield drawing.circle(shown)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
