"""Learning phrase representations using RNN encoder-decoder. Cho et al., EMNLP 2014.

Claims      gated-unit          an encoder-decoder of gated units predicts unseen phrases better
                                than one of tanh units (Sec. 2.3)
            another-feature     added to a lexical and a language model, its score picks the right
                                phrase more often (Table 1)
            more-than-language  and more often than that of a net that doesn't see the source
            same-as-torch-gru   with the reset gate after the matrix (decoder) it is torch.nn.GRU
            reset-before        with the reset gate before the matrix (Eq. 8) it is another function
Deviations  1  phrases of a small grammar, or short sentences of Tatoeba, English and French; no
               preset has the paper's corpus
            2  Adam, not Adadelta; the rate is chosen by -log p of validation phrases for all
            3  tanh nets get more units, so that both have as many weights
            4  one picks the right phrase among corruptions; the paper measures a system's BLEU
Left out    the system Moses, the neural language model CSLM, vocabularies of 15,000 words
Shapes      B phrases, T words, H hidden units, E numbers for a word, M maxout units, K choices
"""

import functools
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing.gru import gates_figure, phrases_figure
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
from impl.kit.phrase_table import PhraseTable, picked
from impl.kit.phrases import Corpus

Events = Iterator[TrialEvent]
Step = tuple[Tensor, Tensor, Tensor]  # state, reset gate, update gate, [B, H] each
Pair = tuple[int, int]  # source and target words


class GatedUnit(nn.Module):
    """Sec. 2.3: the encoder's units reset before the matrix (Eq. 8); the decoder's after it,
    together with `inner` (App. A.1.2)."""

    parts = 3  # how many numbers the input sends to a unit: to r, z and h~

    def __init__(self, H: int):
        super().__init__()
        self.H, self.U = H, nn.Linear(H, 3 * H, bias=False)

    def gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        r, z = torch.sigmoid(x + F.linear(h, self.U.weight[: 2 * self.H])).chunk(2, 1)  # Eqs. 5, 6
        return r, z

    def candidate(self, x: Tensor, h: Tensor, r: Tensor, inner: Tensor | None) -> Tensor:
        U = self.U.weight[2 * self.H :]
        if inner is None:
            return torch.tanh(x + F.linear(r * h, U))  # Eq. 8
        return torch.tanh(x + r * (F.linear(h, U) + inner))

    def forward(self, x: Tensor, h: Tensor, inner: Tensor | None = None) -> Step:
        """x [B, 3H] is what the word and the phrase say to r, z and h~; h [B, H]"""
        x_gates, x_new = x.split([2 * self.H, self.H], 1)
        r, z = self.gates(x_gates, h)
        return z * h + (1 - z) * self.candidate(x_new, h, r, inner), r, z  # Eq. 7


class TanhUnit(nn.Module):
    """The rival, without gates."""

    parts = 1

    def __init__(self, H: int):
        super().__init__()
        self.H, self.U = H, nn.Linear(H, H, bias=False)

    def forward(self, x: Tensor, h: Tensor, inner: Tensor | None = None) -> Step:
        h = torch.tanh(x + self.U(h))
        return h, h, h


Unit = type[GatedUnit] | type[TanhUnit]


@dataclass(frozen=True)
class Config:
    data: str = "fra-eng"  # ours: read from KB_DATA; `grammar` is generated; `auto`: what there is
    phrases: int = 20_000  # ours: unique pairs, split into training, validation and test
    test: int = 500  # ours: phrases each for validation and test
    H: int = 1000  # Sec. 4.1: hidden units, of the encoder and of the decoder
    E: int = 100  # Sec. 4.1: numbers for a word
    M: int = 500  # App. A.1.2: maxout units, each the larger of two
    lrs: tuple[float, ...] = (0.0003, 0.001, 0.003)  # ours: the grid
    batch: int = 64  # Sec. 4.1: phrase pairs in an update
    updates: int = 20_000  # ours; the paper trained for three days
    choices: int = 10  # ours: phrases to pick the right one from
    seeds: int = 5  # ours: how many repetitions, each with its own split
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", phrases=6_000, H=128, E=48, M=48, updates=2_000)
QUICK = replace(FULL, data="grammar", H=48, E=24, M=24, lrs=(0.001, 0.003, 0.01, 0.03))
QUICK = replace(QUICK, test=300, batch=32, updates=200)
SMOKE = replace(QUICK, phrases=200, test=20, H=8, E=4, M=4, updates=4, choices=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


class EncoderDecoder(nn.Module):
    """App. A.1, with its letters; a prime is `_out`. Without `sees_source`, a language model."""

    def __init__(self, unit: Unit, H: int, cfg: Config, words: Pair, sees_source: bool = True):
        super().__init__()
        self.H, self.sees_source = H, sees_source
        G, E, M = unit.parts * H, cfg.E, cfg.M
        self.E, self.E_out = nn.Embedding(words[0], E), nn.Embedding(words[1], E)
        self.W, self.W_out = nn.Linear(E, G), nn.Linear(E, G)
        self.unit, self.unit_out = unit(H), unit(H)
        self.V, self.V_out = nn.Linear(H, H, bias=False), nn.Linear(H, H, bias=False)
        self.C = nn.Linear(H, G, bias=False)
        self.O_h, self.O_y, self.O_c = (nn.Linear(n, 2 * M, bias=False) for n in (H, E, H))
        self.G = nn.Linear(M, words[1])
        for name, weight in self.named_parameters():  # torch draws E and E_out with variance 1
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            elif not name.startswith("E"):
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        for matrix in (self.unit.U, self.unit_out.U):
            for part in matrix.weight.data.split(H):
                nn.init.orthogonal_(part)  # as in the paper

    def encode(self, source: Tensor) -> tuple[Tensor, list[Step]]:
        """Phrases [B, T] to summaries c [B, H], and what the units did at each word."""
        h, steps = self.V.weight.new_zeros(len(source), self.H), []
        for x_t, word in zip(self.W(self.E(source)).unbind(1), source.unbind(1), strict=True):
            new, r, z = self.unit(x_t, h)
            h = torch.where(word[:, None] > 0, new, h)  # 0 fills up
            steps.append((h, r, z))
        return torch.tanh(self.V(h)), steps

    def decode(self, c: Tensor, y: Tensor) -> Tensor:
        """Summaries [B, H] and the words before each [B, T', E] to states [B, T', H]."""
        from_c, inner = self.C(c), None
        if isinstance(self.unit_out, GatedUnit):
            inner = from_c[:, 2 * self.H :]
            from_c = F.pad(from_c[:, : 2 * self.H], (0, self.H))
        h, states = torch.tanh(self.V_out(c)), []
        for x_t in self.W_out(y).unbind(1):
            h, _, _ = self.unit_out(x_t + from_c, h, inner)
            states.append(h)
        return torch.stack(states, 1)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """log p of each word of the target, [B, T'], given the source; 0 where it is filled up."""
        c = self.V.weight.new_zeros(len(source), self.H)
        if self.sees_source:
            c, _ = self.encode(source)
        y = self.E_out(F.pad(target, (1, 0))[:, :-1])
        s = self.O_h(self.decode(c, y)) + self.O_y(y) + self.O_c(c)[:, None]
        logits = self.G(s.unflatten(2, (-1, 2)).amax(3))  # maxout
        log_p = F.log_softmax(logits, 2).gather(2, target[..., None])[..., 0]
        return log_p * (target > 0)


ENCODE = EncoderDecoder.encode
PROTOCOL = Protocol(("gated", "tanh", "language model"), {"lr": "lrs"}, select="val_nats")

CLAIMS = (
    Comparison(
        claim="gated-unit",
        idea="gated",
        rival="tanh",
        measure="nats",
        better="lower",
        margin=0.1,
        because="a tenth off the number of words that it hesitates between",
        unit="-log p of a word, unseen phrases",
        ours=True,
    ),
    Comparison(
        claim="another-feature",
        idea=lambda rows: by_seed(rows, "picked", arm="gated"),
        rival=lambda rows: by_seed(rows, "picked_without", arm="gated"),
        better="higher",
        margin=0.02,
        because="2 in 100 phrases; Table 1 has 0.57 BLEU, on another scale",
        unit="share of unseen phrases picked right, with the net's score and without",
        ours=True,
    ),
    Comparison(
        claim="more-than-language",
        idea="gated",
        rival="language model",
        measure="picked",
        better="higher",
        margin=0.02,
        because="as for another-feature",
        unit="share of unseen phrases picked right, with the net's score",
        ours=True,
    ),
    Identity(
        claim="same-as-torch-gru",
        measure="torch_gap",
        tolerance=1e-9,
        unit="largest difference of a state, the decoder's unit",
    ),
    Identity(
        claim="reset-before",
        measure="is_another",
        expected=1.0,
        tolerance=0.0,
        unit="1 if a state differs by more than 0.001, the encoder's unit",
    ),
)


def _open(self: GatedUnit, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ones_like(h), torch.zeros_like(h)  # nothing is dropped, nothing kept: a tanh unit


def _silent(self: EncoderDecoder, source: Tensor) -> tuple[Tensor, list[Step]]:
    c, steps = ENCODE(self, source)
    return torch.zeros_like(c), steps  # what remains is a language model


def _other(self: GatedUnit, x: Tensor, h: Tensor, r: Tensor, inner: Tensor | None) -> Tensor:
    U = self.U.weight[2 * self.H :]  # each reset gate on the other side of the matrix
    new = r * F.linear(h, U) if inner is None else F.linear(r * h, U) + inner
    return torch.tanh(x + new)


BROKEN: Broken = {
    "gated-unit": lambda: patch.object(GatedUnit, "gates", _open),
    "another-feature": lambda: patch.object(EncoderDecoder, "encode", _silent),
    "more-than-language": lambda: patch.object(EncoderDecoder, "encode", _silent),
    "same-as-torch-gru": lambda: patch.object(GatedUnit, "candidate", _other),
    "reset-before": lambda: patch.object(GatedUnit, "candidate", _other),
}


def size(parts: int, H: int, cfg: Config, words: Pair) -> int:
    """How many weights an encoder-decoder has."""
    G, E = parts * H, cfg.E
    recurrent = 2 * (E * G + G + H * G + H * H) + H * G
    return E * sum(words) + recurrent + 2 * cfg.M * (2 * H + E) + (cfg.M + 1) * words[1]


def build(cfg: Config, arm: str, words: Pair) -> EncoderDecoder:
    if arm != "tanh":
        return EncoderDecoder(GatedUnit, cfg.H, cfg, words, sees_source=arm == "gated")
    wanted, widths = size(3, cfg.H, cfg, words), range(cfg.H, 3 * cfg.H)
    H = min(widths, key=lambda H: abs(size(1, H, cfg, words) - wanted))
    return EncoderDecoder(TanhUnit, H, cfg, words)


load = functools.cache(Corpus)  # once for the trials of a process


def trial(cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float) -> Events:
    corpus = load(cfg.data, cfg.phrases)
    source, target = corpus.source.to(device), corpus.target.to(device)
    words = (len(corpus.words[0]), len(corpus.words[1]))
    order = torch.randperm(len(source), generator=generator(seed, "data"))
    train, val, test = order.split([len(source) - 2 * cfg.test, cfg.test, cfg.test])
    model = build(cfg, arm, words).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    batches = generator(seed, "batches")
    for step in range(1, cfg.updates + 1):
        at = train[torch.randint(len(train), (cfg.batch,), generator=batches)]
        loss = -model(source[at], target[at]).sum() / (target[at] > 0).sum()  # Eq. 4, for a word
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % -(-cfg.updates // 8) == 0:
            val_nats = per_word(model, source[val[:50]], target[val[:50]])
            yield dict(step=step, loss=loss.item(), val_nats=val_nats)
    nats, val_nats = (per_word(model, source[at], target[at]) for at in (test, val))
    result: Row = dict(step=cfg.updates, nats=nats, val_nats=val_nats, data=corpus.name)
    if arm != "tanh":
        table = PhraseTable(corpus.source[train], corpus.target[train], words)
        known, unseen = ((corpus.source[at], corpus.target[at]) for at in (val, test))
        log_p = lambda x, y: model(x.to(device), y.to(device)).sum(1).cpu()  # noqa: E731
        without, share = picked(table, log_p, known, unseen, cfg.choices, seed)
        result |= {"picked_without": without, "picked": share}
    if arm == "gated":
        result["torch_gap"] = torch_gap(model.unit_out, torch.randn(1, cfg.H))
        result["is_another"] = float(torch_gap(model.unit, None) > 1e-3)
        if seed == cfg.seed:
            yield Arrays(pictured(model, source[test]) | {"test": test[:200]})
    yield result


@torch.no_grad()
def per_word(model: EncoderDecoder, source: Tensor, target: Tensor) -> float:  # -log p
    return float(-model(source, target).sum() / (target > 0).sum())


@torch.no_grad()
def torch_gap(unit: nn.Module, inner: Tensor | None) -> float:
    """The largest difference of a state from torch.nn.GRU with the same weights, over ten words."""
    assert isinstance(unit, GatedUnit)
    unit, H = deepcopy(unit).cpu().double(), unit.H
    theirs = nn.GRU(3 * H, H, dtype=torch.float64)
    bias = torch.zeros(1, H) if inner is None else inner
    weights = {"weight_ih_l0": torch.eye(3 * H), "weight_hh_l0": unit.U.weight}
    biases = {"bias_ih_l0": torch.zeros(3 * H), "bias_hh_l0": F.pad(bias[0], (2 * H, 0))}
    theirs.load_state_dict(weights | biases)
    x, h, gaps = torch.randn(10, 1, 3 * H).double(), torch.zeros(1, H).double(), []
    for x_t, expected in zip(x, theirs(x)[0], strict=True):
        h, _, _ = unit(x_t, h, None if inner is None else inner.double())
        gaps.append(float((h - expected).abs().max()))
    return max(gaps)


@torch.no_grad()
def pictured(model: EncoderDecoder, source: Tensor) -> dict[str, Tensor]:
    """What the encoder does over the longest phrase, and where it puts 200 of them."""
    longest = source[int((source > 0).sum(1).argmax())]
    _, steps = model.encode((phrase := longest[longest > 0])[None])
    h, r, z = (torch.cat(values).T for values in zip(*steps, strict=True))  # [H, T]
    return {"phrase": phrase, "h": h, "r": r, "z": z, "c": model.encode(source[:200])[0]}


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    corpus = load(cfg.data, cfg.phrases)  # before the trials' processes begin, which share it
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    yield gates_figure(chosen[0].tensors, corpus)
    yield phrases_figure(chosen[0].tensors, corpus)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
