"""Attention is all you need. Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser &
Polosukhin, NIPS 2017.

Claims      less-compute    after the same training FLOPs it errs less than a recurrent
                            encoder-decoder that has attention, too (Table 2)
            scaling         without 1 / sqrt(d_k) it hardly learns at d_k = 64 (Sec. 3.2.1)
            order-blind     without the waves it doesn't see in which order the source is (Sec. 3.5)
            sequential      twice as long a sequence needs no more steps in a row (Table 1)
            published-size  nets of Table 3 differ in parameters as the table says
Deviations  1  the task is ours: random sequences are to be written backwards. No preset has the
               paper's corpora; what is measured is tokens, not BLEU, given the right ones before
            2  rates are chosen from a grid, for all arms; Eq. 3 is their course. Gradients are
               clipped, for all arms
            3  the rival is ours after GNMT: gated units, two layers, as many parameters
            4  weights are drawn with variance 1 / fan-in; the paper doesn't say
            5  the curves cross, where depends on length and budget: the rival is ahead in the
               first nine tenths of quick's training, and at T = 24 after four times as much
Left out    byte-pair codes, beam search, averaged checkpoints, parsing
Shapes      B sequences, T tokens of the target, S of the source, d = d_model, h heads
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.flop_counter import FlopCounterMode

from impl.drawing import transformer as drawing
from impl.kit import (
    Arrays,
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
from impl.kit.encoder_decoder import (
    Batch,
    RecurrentEncoderDecoder,
    backwards,
    matching_width,
    parameters,
    token_error,
)
from impl.kit.longest_chain import longest_chain


def scale(d_k: int) -> float:
    """Sec. 3.2.1: q . k of independent numbers with variance 1 has variance d_k; this undoes it."""
    return 1 / math.sqrt(d_k)


def attention(Q: Tensor, K: Tensor, V: Tensor, factor: float, visible: Tensor | None) -> Tensor:
    """Eq. 1, with factor 1 / sqrt(d_k). [.., T, d_k], [.., S, d_k], [.., S, d_v] -> [.., T, d_v]"""
    scores: Tensor = Q @ K.transpose(-1, -2) * factor
    if visible is not None:
        scores = scores.masked_fill(~visible, -math.inf)
    out: Tensor = scores.softmax(-1) @ V
    return out


class MultiHeadAttention(nn.Module):
    """Sec. 3.2.2: h attentions side by side, each with its own projections."""

    def __init__(self, d: int, h: int, d_k: int, d_v: int, scaled: bool = True):
        super().__init__()
        self.h, self.factor = h, scale(d_k) if scaled else 1.0
        self.W_Q, self.W_K = nn.Linear(d, h * d_k), nn.Linear(d, h * d_k)
        self.W_V, self.W_O = nn.Linear(d, h * d_v), nn.Linear(h * d_v, d)

    def heads(self, x: Tensor) -> Tensor:  # [B, T, h * d_k] -> [B, h, T, d_k]
        split: Tensor = x.unflatten(-1, (self.h, -1))
        return split.transpose(1, 2)

    def forward(self, x: Tensor, memory: Tensor, visible: Tensor | None = None) -> Tensor:
        """x [B, T, d] asks, memory [B, S, d] answers."""
        Q, K = self.heads(self.W_Q(x)), self.heads(self.W_K(memory))
        mixed = attention(Q, K, self.heads(self.W_V(memory)), self.factor, visible)
        out: Tensor = self.W_O(mixed.transpose(1, 2).flatten(2))
        return out

    def pattern(self, x: Tensor, memory: Tensor, visible: Tensor | None = None) -> Tensor:
        """Where each head looks: what it fetches if each value is a one in its own place."""
        Q, K = self.heads(self.W_Q(x)), self.heads(self.W_K(memory))
        one_each = torch.eye(K.shape[2]).to(K).expand(*K.shape[:2], -1, -1)
        return attention(Q, K, one_each, self.factor, visible)  # [B, h, T, S]


def sinusoids(T: int, d: int) -> Tensor:
    """Sec. 3.5: waves of length 2 pi to 10000 * 2 pi, sines and cosines in turn. [T, d]"""
    angle = torch.arange(T)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


def feed_forward(d: int, d_ff: int) -> nn.Sequential:
    """Eq. 2: max(0, x W1 + b1) W2 + b2"""
    return nn.Sequential(nn.Linear(d, d_ff), nn.ReLU(), nn.Linear(d_ff, d))


@dataclass(frozen=True)
class Config:
    words: int = 37_000  # Sec. 5.1: the vocabulary that both sides share, about so many
    N: int = 6  # Table 3: layers, of the encoder and of the decoder
    d: int = 512  # Table 3: d_model
    d_ff: int = 2048  # Table 3
    h: int = 8  # Table 3: heads
    d_k: int = 64  # Table 3: numbers of a key, for each head
    d_v: int = 64  # Table 3: numbers of a value
    dropout: float = 0.1  # Sec. 5.4, of every sub-layer and of what enters
    smoothing: float = 0.1  # Sec. 5.4: of the labels
    warmup: int = 4_000  # Sec. 5.3: updates until the rate is highest
    lrs: tuple[float, ...] = (0.0003, 0.0007, 0.0015)  # the highest rate; Eq. 3 has 0.0007
    T: int = 32  # ours: tokens of a sequence
    batch: int = 800  # Sec. 5.1: 25,000 tokens
    flops: float = 3.3e18  # Table 2: the training of each net
    test: int = 2_000  # ours: sequences, and as many for validation
    seeds: int = 5  # ours: how many repetitions, each with its own sequences
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, words=16, N=2, d=64, d_ff=256, h=4, dropout=0.0, warmup=100, T=16, batch=32)
FULL = replace(FULL, lrs=(0.001, 0.003, 0.01, 0.03), flops=1e12)
QUICK = replace(FULL, words=12, N=1, d=32, d_ff=64, h=2, warmup=30, T=8, batch=16, test=500)
QUICK = replace(QUICK, lrs=(0.003, 0.01, 0.03), flops=1e10)
SMOKE = replace(QUICK, d=8, d_ff=8, d_k=4, d_v=4, T=4, batch=4, test=8, flops=2e6, seeds=2)
SMOKE = replace(SMOKE, lrs=(0.01,))
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


class Layer(nn.Module):
    """Sec. 3.1: attention, in the decoder also to the source, and a net for each token alone. What
    each of them gives is added to what it got and normalized: LayerNorm(x + Sublayer(x))."""

    def __init__(self, cfg: Config, scaled: bool, asks: bool):
        super().__init__()
        sizes = (cfg.d, cfg.h, cfg.d_k, cfg.d_v, scaled)
        self.attentions = nn.ModuleList(MultiHeadAttention(*sizes) for _ in range(1 + asks))
        self.feed = feed_forward(cfg.d, cfg.d_ff)
        self.norms = nn.ModuleList(nn.LayerNorm(cfg.d) for _ in range(2 + asks))
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, x: Tensor, visible: Tensor | None = None, *memory: Tensor) -> Tensor:
        x = self.norms[0](x + self.dropout(self.attentions[0](x, x, visible)))
        for source in memory:
            x = self.norms[1](x + self.dropout(self.attentions[1](x, source)))
        out: Tensor = self.norms[-1](x + self.dropout(self.feed(x)))
        return out


class Transformer(nn.Module):
    """Both vocabularies and the output share one matrix E (Sec. 3.4)."""

    positions = True  # whether it is told them

    def __init__(self, cfg: Config, scaled: bool = True):
        super().__init__()
        self.d = cfg.d
        self.E = nn.Embedding(cfg.words, cfg.d)
        self.encoder = nn.ModuleList(Layer(cfg, scaled, asks=False) for _ in range(cfg.N))
        self.decoder = nn.ModuleList(Layer(cfg, scaled, asks=True) for _ in range(cfg.N))
        self.dropout = nn.Dropout(cfg.dropout)
        for weight in self.parameters():
            if weight.dim() > 1:  # so that q and k are what Sec. 3.2.1 assumes
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)

    def embed(self, x: Tensor) -> Tensor:  # [B, T] -> [B, T, d]
        e: Tensor = self.E(x) * self.d**0.5
        if self.positions:
            e = e + sinusoids(x.shape[1], self.d).to(e)
        e = self.dropout(e)
        return e

    def encode(self, x: Tensor) -> Tensor:
        memory = self.embed(x)
        for layer in self.encoder:
            memory = layer(memory)
        return memory

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Source and the target so far, [B, T] each, to logits of the next tokens [B, T, words]."""
        memory, y = self.encode(x), self.embed(y)
        past = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool, device=y.device).tril()
        for layer in self.decoder:
            y = layer(y, past, memory)
        return F.linear(y, self.E.weight)


Net = Transformer | RecurrentEncoderDecoder
PROTOCOL = Protocol(("transformer", "recurrent", "unscaled"), {"lr": "lrs"})


def beats(claim: str, rival: str, margin: float, because: str) -> Comparison:
    return Comparison(
        claim=claim, idea="transformer", rival=rival, measure="test_error", better="lower",
        margin=margin, because=because, unit=f"% of tokens wrong, Transformer against {rival}",
        worst=100.0, rival_may_diverge=True, ours=True,
    )  # fmt: skip


CLAIMS = (
    beats("less-compute", "recurrent", 1.0, "a token in a hundred; BLEU is another scale"),
    beats("scaling", "unscaled", 10.0, "learns or doesn't: one token in ten"),
    Identity(
        claim="order-blind", measure="order_gap", tolerance=1e-9,
        unit="largest difference of a logit, source permuted, no positions",
    ),
    Identity(
        claim="sequential", measure="longer", tolerance=0.0, where={"arm": "transformer"},
        unit="operations that wait for each other, added by twice the tokens",
    ),
    Identity(
        claim="published-size", measure="size_gap", tolerance=1.0,  # two figures, each rounded
        unit="million parameters, largest difference from how Table 3's rows differ",
    ),
)  # fmt: skip


def one_by_one(Q: Tensor, K: Tensor, V: Tensor, factor: float, visible: Tensor | None) -> Tensor:
    """Instead of attention a memory that fades, read from left to right."""
    states = [V[..., 0, :]]
    for t in range(1, Q.shape[-2]):
        states.append((states[-1] + V[..., t, :]) / 2)
    return torch.stack(states, -2)


BROKEN: Broken = {
    "less-compute": lambda: patch(f"{__name__}.attention", one_by_one),
    "scaling": lambda: patch(f"{__name__}.scale", lambda d_k: 1.0),
    "order-blind": lambda: patch(f"{__name__}.attention", one_by_one),
    "sequential": lambda: patch(f"{__name__}.attention", one_by_one),
    "published-size": lambda: patch(f"{__name__}.feed_forward", lambda d, _: nn.Linear(d, d)),
}

# Million parameters in the rows whose embedding is that of the base model, which has 65.
TABLE_3 = {"N": {2: 36, 4: 50, 8: 80}, "d_k": {16: 58, 32: 60}, "d_ff": {1024: 53, 4096: 90}}


def size(**changes: Any) -> int:
    with torch.device("meta"):
        return parameters(Transformer(replace(PAPER, **changes)))


def size_gap() -> float:
    """How far, in millions, rows of Table 3 differ otherwise from the base model's than nets do."""
    rows = [(size(**{name: n}), said) for name, row in TABLE_3.items() for n, said in row.items()]
    base = size()
    return max(abs((counted - base) / 1e6 - (said - 65)) for counted, said in rows)


def build(cfg: Config, arm: str) -> Net:
    net = Transformer(cfg, scaled=arm != "unscaled")
    H = matching_width(cfg.words, parameters(net))
    return RecurrentEncoderDecoder(cfg.words, H, cfg.dropout) if arm == "recurrent" else net


def loss(net: Net, cfg: Config, batch: Batch) -> Tensor:
    x, y, y_before = (each.to(net.E.weight.device) for each in batch)
    logits = net(x, y_before).flatten(0, 1)
    return F.cross_entropy(logits, y.flatten(), label_smoothing=cfg.smoothing)


def course(step: int, warmup: int) -> float:
    """Eq. 3 over its highest value, which is (d_model * warmup)^-0.5."""
    return min(step / warmup, math.sqrt(warmup / step))


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:
    net = build(cfg, arm).to(device)
    draw = partial(backwards, cfg.words, cfg.T)
    train = generator(seed, "train")
    val, test = (draw(cfg.test, generator(seed, part)) for part in ("val", "test"))
    with FlopCounterMode(display=False) as counted:
        loss(net, cfg, draw(cfg.batch, generator(seed, "count"))).backward()
    cost = counted.get_total_flops()
    updates = max(1, int(cfg.flops // cost))
    optimizer = torch.optim.Adam(net.parameters(), lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
    schedule = LambdaLR(optimizer, lambda step: course(step + 1, cfg.warmup))
    curve = []
    for step in range(1, updates + 1):
        optimizer.zero_grad()
        loss(net, cfg, draw(cfg.batch, train)).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % -(-updates // 10) == 0 or step == updates:
            curve.append((step * cost, token_error(net, val)))
            yield dict(step=step, flops=float(step * cost), val_error=curve[-1][1])
    arrays = {"curve": torch.tensor(curve, dtype=torch.float64)}
    result: Row = dict(step=updates, val_error=curve[-1][1], test_error=token_error(net, test))
    result |= {"cost": float(cost), "parameters": parameters(net), "longer": longer(net, cfg)}
    if isinstance(net, Transformer) and arm == "transformer":
        result["order_gap"] = order_gap(net, val)
        if seed == cfg.seed:
            result["size_gap"] = size_gap()
            arrays |= drawing.watch(net, *(each[:1] for each in test))
    yield Arrays(arrays)
    yield result


def longer(net: Net, cfg: Config) -> int:
    """Operations in a row that training needs more if sequences are twice as long."""
    net, draw = deepcopy(net).cpu(), generator(0, "longer")
    batches = [backwards(cfg.words, T, 2, draw) for T in (cfg.T, 2 * cfg.T)]
    short, long = (longest_chain(loss(net, cfg, batch)) for batch in batches)
    return long - short


@torch.no_grad()
def order_gap(net: Transformer, batch: Batch) -> float:
    """What it writes if the source is in another order, and positions aren't told."""
    net, (x, _, y_before) = deepcopy(net).cpu().double().eval(), batch
    net.positions = False
    order = torch.randperm(x.shape[1], generator=generator(0, "order"))
    return float((net(x[:, order], y_before) - net(x, y_before)).abs().max())


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    yield drawing.race(chosen)
    yield drawing.heads(chosen[0].tensors)
    yield drawing.saturation(attention, scale)
    yield drawing.waves(sinusoids(100, 64), course, PAPER.warmup)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
