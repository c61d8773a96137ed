"""Neural machine translation by jointly learning to align and translate.
Bahdanau, Cho & Bengio, ICLR 2015 (arXiv 2014).

Claims      long-sentences       on the longest sentences the net that searches (RNNsearch) beats
                                 one with a vector of fixed length (RNNencdec; Table 1, Fig. 2)
            gap-grows            and its lead grows with the length (Fig. 2)
            shorter-trained      even trained on shorter sentences than its rival (Table 1)
            alignment            its weights point at the word that is translated (Fig. 3)
            off-the-diagonal     better than a guess that words stay in their place
            expected-annotation  its context is a weighted mean of the annotations (Eqs. 5 and 6)
            one-word             for a source of one word it is the net without a search, exactly
Deviations  1  a toy language of phrases like [European Economic Area], whose words French has in
               the reverse order, one for one; no preset has the paper's corpus
            2  Adam and torch's first weights; the rate is chosen by BLEU on validation sentences
            3  the rival's vector is the last state of both directions, not only of the forward one
               (App. A.2.2), and it gets more hidden units: both have as many weights
            4  torch's gated unit; maxout of s_i (Eq. 4); greedy, no longer than the reference
            5  a mini-batch has one length; a sentence's sum of words tells which set it is in
Left out    unknown words, the phrase-based system Moses
Shapes      B sentences, T source words and as many target words, H hidden units in each direction,
            E numbers for a word, A units of the alignment model, M maxout units, V words
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing.bahdanau import alignment_figure, lengths_figure
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
from impl.kit.bleu import Pairs, bleu
from impl.kit.broken import Broken
from impl.kit.claims import Side

Events = Iterator[TrialEvent]
Sentences = tuple[Tensor, Tensor, Tensor]
Measured = tuple[Row, dict[str, Tensor]]
TRAIN, VAL, TEST = range(3)
STOP = 1  # the full stop, last in each sentence; 0 begins a translation


class Alignment(nn.Module):
    """App. A.1.2: e_ij = v_a tanh(W_a s_i-1 + U_a h_j), how well source word j fits what the
    decoder is about to write."""

    def __init__(self, H: int, A: int):
        super().__init__()
        self.W_a = nn.Linear(H, A)
        self.U_a = nn.Linear(2 * H, A, bias=False)
        self.v_a = nn.Linear(A, 1, bias=False)

    def energy(self, s: Tensor, U_a_h: Tensor) -> Tensor:
        """State [B, H] and U_a h, which is the same for all i, [B, T, A] -> e [B, T]"""
        e: Tensor = self.v_a(torch.tanh(self.W_a(s)[:, None] + U_a_h))
        return e[..., 0]

    def forward(self, s: Tensor, U_a_h: Tensor) -> Tensor:
        return self.energy(s, U_a_h).softmax(1)  # Eq. 6: alpha_ij, [B, T]


def expected_annotation(alpha: Tensor, h: Tensor) -> Tensor:
    """Eq. 5: c_i = sum over j of alpha_ij h_j. [B, T] and [B, T, 2H] -> [B, 2H]"""
    return (alpha[:, None] @ h)[:, 0]


class Translator(nn.Module):
    """RNNsearch; without `searches`, RNNencdec: c_i is the same for all i."""

    def __init__(self, V: int, E: int, H: int, A: int, M: int, searches: bool = True):
        super().__init__()
        self.E_x, self.E_y = nn.Embedding(V, E), nn.Embedding(V, E)
        self.encoder = nn.GRU(E, H, bidirectional=True, batch_first=True)
        self.W_s = nn.Linear(H, H)
        self.align = Alignment(H, A) if searches else None
        self.decoder = nn.GRUCell(E + 2 * H, H)
        self.maxout = nn.Linear(H + E + 2 * H, 2 * M)
        self.W_o = nn.Linear(M, V)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Eq. 7: annotations h_j, forward and backward states at word j, [B, T, 2H]; the last
        state of both directions [B, 2H]; s_0 [B, H]."""
        h, last = self.encoder(self.E_x(x))
        return h, torch.cat([*last], 1), torch.tanh(self.W_s(last[1]))

    def states(self, x: Tensor, words: Iterator[Tensor], T: int) -> Iterator[tuple[Tensor, ...]]:
        """T times s_i, E y_i-1, c_i and alpha_i (if it searches); `words` gives each y_i-1, [B]."""
        h, fixed, s = self.encode(x)
        U_a_h = self.align.U_a(h) if self.align else h
        for _ in range(T):
            alpha = self.align(s, U_a_h) if self.align else h[..., 0]
            c = expected_annotation(alpha, h) if self.align else fixed
            y = self.E_y(next(words))
            s = self.decoder(torch.cat([y, c], 1), s)  # App. A.2.2
            yield s, y, c, alpha

    def logits(self, s: Tensor, y: Tensor, c: Tensor) -> Tensor:
        """Eq. 4: g(y_i-1, s_i, c_i), a maxout layer. -> [..., V]"""
        t = self.maxout(torch.cat([s, y, c], -1)).unflatten(-1, (-1, 2)).amax(-1)
        return F.linear(t, self.W_o.weight, self.W_o.bias)

    def forward(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each target word, given those before it, [B, T', V]; alpha [B, T', T]."""
        before = iter(F.pad(target, (1, 0)).unbind(1))
        steps = zip(*self.states(x, before, target.shape[1]), strict=True)
        s, y, c, alpha = (torch.stack(each, 1) for each in steps)
        return self.logits(s, y, c), alpha

    @torch.no_grad()
    def translate(self, x: Tensor) -> Tensor:
        """Greedy: the likeliest word, one after the other. [B, T] -> [B, T]"""
        written = [torch.zeros_like(x[:, 0])]
        for s, y, c, _ in self.states(x, (written[-1] for _ in x[0]), x.shape[1]):
            written.append(self.logits(s, y, c).argmax(1))
        return torch.stack(written[1:], 1)


def sentences(B: int, T: int, words: int, part: int, draw: torch.Generator) -> Sentences:
    """Source and target [B, T], and which source word each target word translates. Numbers from 2
    are `words` nouns, then as many adjectives. A phrase is any number of adjectives and a noun; its
    translation has the same words from the last to the first."""
    x = torch.randint(2, 2 + 2 * words, (5 * B + 50, T), generator=draw)
    x[:, -2] = 2 + (x[:, -2] - 2) % words  # a noun
    x[:, -1] = STOP
    x = x[x.sum(1) % 3 == part][:B]
    j, ends = torch.arange(T).expand_as(x), x < 2 + words
    last = torch.where(ends, j, T).flip(1).cummin(1).values.flip(1)
    first = F.pad(torch.where(ends, j + 1, 0), (1, 0))[:, :-1].cummax(1).values
    source_of = first + last - j
    return x, x.gather(1, source_of), source_of


@dataclass(frozen=True)
class Config:
    words: int = 15_000  # Sec. 4.1: 30,000 words; ours: half of them nouns, half adjectives
    shortest: int = 5  # ours: words of a sentence, with the full stop
    short: int = 30  # Sec. 4.2: the longest sentences that the nets trained shorter see
    long: int = 50  # Sec. 4.2: and those that the others see
    beyond: int = 60  # Fig. 2: lengths of test sentences go up to this
    test: int = 200  # ours: sentences each for validation and test, for each length
    H: int = 1000  # App. A.2.3: hidden units
    E: int = 620  # App. A.2.3: numbers for a word
    M: int = 500  # App. A.2.3: maxout units
    A: int = 1000  # App. A.2.3: hidden units of the alignment model
    lrs: tuple[float, ...] = (0.0001, 0.0003, 0.001)  # ours: the grid
    batch: int = 80  # App. B.2: sentences in an update
    updates: int = 288_000  # Table 2: RNNsearch-50
    seeds: int = 5  # ours: how many repetitions, each with sentences of its own
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, words=8, short=11, long=16, beyond=24, H=64, E=32, M=48, A=64)
FULL = replace(FULL, lrs=(0.001, 0.003, 0.01), batch=64, test=100, updates=1_500)
QUICK = replace(FULL, short=7, long=10, beyond=12, H=32, E=24, M=32, A=32, updates=160)
QUICK = replace(QUICK, lrs=(0.003, 0.01, 0.03))
SMOKE = replace(QUICK, short=6, long=7, beyond=8, test=10, H=8, E=8, M=8, A=8, updates=8, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

SEARCH, ENCDEC, SHORTER = "RNNsearch", "RNNencdec", "RNNsearch, trained shorter"
PROTOCOL = Protocol((SEARCH, ENCDEC, SHORTER), {"lr": "lrs"}, select="val_bleu", best="highest")


def lead(measure: str) -> Side:
    """BLEU that RNNsearch is ahead."""
    return lambda rows: {
        seed: ahead - by_seed(rows, measure, arm=ENCDEC)[seed]
        for seed, ahead in by_seed(rows, measure, arm=SEARCH).items()
    }


CLAIMS = (
    Comparison(
        claim="long-sentences", idea=SEARCH, rival=ENCDEC, measure="bleu_long", better="higher",
        margin=4.46, because="half of the gain of Table 1, 17.82 to 26.75",
        unit="BLEU, the longest sentences that both were trained on",
    ),
    Comparison(
        claim="gap-grows", idea=lead("bleu_long"), rival=lead("bleu_short"), better="higher",
        margin=4.46, because="as for long-sentences",
        unit="BLEU that RNNsearch is ahead, the longest sentences against the shortest",
    ),
    Comparison(
        claim="shorter-trained", idea=SHORTER, rival=ENCDEC, measure="bleu", better="higher",
        margin=1.84, because="half of the gain of Table 1, RNNencdec-50 to RNNsearch-30",
        unit="BLEU, all lengths that the rival was trained on",
    ),
    Comparison(
        claim="alignment",
        idea=partial(by_seed, measure="mass", arm=SEARCH),
        rival=partial(by_seed, measure="chance", arm=SEARCH),
        better="higher", margin=10.0, because="one word in ten", ours=True,
        unit="% of the weight that is on the word translated, against equal weights",
    ),
    Comparison(
        claim="off-the-diagonal",
        idea=partial(by_seed, measure="aligned", arm=SEARCH),
        rival=partial(by_seed, measure="diagonal", arm=SEARCH),
        better="higher", margin=10.0, because="one word in ten", ours=True,
        unit="% of words with the largest weight on their source, against those in its place",
    ),
    Identity(
        claim="expected-annotation", measure="excess", tolerance=1e-5,
        unit="most that a sum of weights or a context is out of range",
    ),
    Identity(
        claim="one-word", measure="one_word_gap", tolerance=1e-9,
        unit="largest difference of a logit from RNNencdec with the same weights",
    ),
)  # fmt: skip


def _uniform(self: Alignment, s: Tensor, U_a_h: Tensor) -> Tensor:
    return U_a_h.new_full(U_a_h.shape[:2], 1 / U_a_h.shape[1])  # every word, whatever is written


def _sigmoid(self: Alignment, s: Tensor, U_a_h: Tensor) -> Tensor:
    return self.energy(s, U_a_h).sigmoid()  # each word by itself: no distribution


NO_SEARCH = partial(patch.object, Alignment, "forward", _uniform)
NO_SOFTMAX = partial(patch.object, Alignment, "forward", _sigmoid)
BROKEN: Broken = {
    "long-sentences": NO_SEARCH,
    "gap-grows": NO_SEARCH,
    "shorter-trained": NO_SEARCH,
    "alignment": NO_SEARCH,
    "off-the-diagonal": NO_SEARCH,
    "expected-annotation": NO_SOFTMAX,
    "one-word": NO_SOFTMAX,
}


def size(cfg: Config, H: int, searches: bool) -> int:
    with torch.device("meta"):
        model = Translator(2 + 2 * cfg.words, cfg.E, H, cfg.A, cfg.M, searches)
    return sum(p.numel() for p in model.parameters())


def build(cfg: Config, searches: bool) -> Translator:
    """RNNencdec gets as many hidden units more as make up for the alignment model."""
    H, wanted = cfg.H, size(cfg, cfg.H, searches=True)
    if not searches:
        H = min(range(H, 2 * H), key=lambda H: abs(size(cfg, H, searches=False) - wanted))
    return Translator(2 + 2 * cfg.words, cfg.E, H, cfg.A, cfg.M, searches)


def trial(cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float) -> Events:
    model = build(cfg, searches=arm != ENCDEC).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    longest, batches = cfg.short if arm == SHORTER else cfg.long, generator(seed, "batches")
    for step in range(1, cfg.updates + 1):
        T = int(torch.randint(cfg.shortest, longest + 1, (), generator=batches))
        x, y, _ = (t.to(device) for t in sentences(cfg.batch, T, cfg.words, TRAIN, batches))
        loss = F.cross_entropy(model(x, y)[0].flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # App. B.2
        optimizer.step()
        if step % -(-cfg.updates // 8) == 0:
            yield dict(step=step, loss=loss.item(), words=T)
    trained, tested = (range(cfg.shortest, end + 1) for end in (cfg.long, cfg.beyond))
    val = [p for T in trained for p in translated(model, cfg, T, VAL, seed)]
    pairs = {T: translated(model, cfg, T, TEST, seed) for T in tested}
    yield Arrays({"bleu": torch.tensor([[T, bleu(pairs[T])] for T in tested])})
    result: Row = dict(
        step=cfg.updates, loss=loss.item(), val_bleu=bleu(val),
        bleu_short=bleu(pairs[trained[0]]), bleu_long=bleu(pairs[trained[-1]]),
        bleu=bleu([p for T in trained for p in pairs[T]]),
    )  # fmt: skip
    if arm == SEARCH:
        row, pictured = alignments(model, cfg, trained, seed)
        yield Arrays(pictured)
        result |= row | {"one_word_gap": one_word_gap(model, pictured["x"])}
    yield result


def translated(model: Translator, cfg: Config, T: int, part: int, seed: int) -> Pairs:
    """Translations and references, each up to its full stop."""
    x, y, _ = sentences(cfg.test, T, cfg.words, part, generator(seed, f"{part} {T}"))
    written = model.translate(x.to(model.W_o.weight.device)).tolist()
    ended = [s[: s.index(STOP) + 1] if STOP in s else s for s in written]
    return list(zip(ended, y.tolist(), strict=True))


@torch.no_grad()
def alignments(model: Translator, cfg: Config, lengths: range, seed: int) -> Measured:
    """How the weights agree with the grammar, in percent of the words of test sentences."""
    mass, chance, aligned, diagonal, device = 0.0, 0.0, 0.0, 0.0, model.W_o.weight.device
    for T in lengths:
        x, y, source_of = sentences(cfg.test, T, cfg.words, TEST, generator(seed, f"{TEST} {T}"))
        alpha = model(x.to(device), y.to(device))[1].cpu()
        words = 100 / sum(lengths) / len(x)
        mass += words * alpha.gather(2, source_of[..., None]).sum().item()
        chance += words * len(x)
        aligned += words * (alpha.argmax(2) == source_of).sum().item()
        diagonal += words * (source_of == torch.arange(T)).sum().item()
    row: Row = dict(mass=mass, chance=chance, aligned=aligned, diagonal=diagonal)
    row["excess"] = excess(alpha, model.encode(x.to(device))[0].cpu())
    return row, {"x": x[:8], "source_of": source_of[:8], "alpha": alpha[:8]}


def excess(alpha: Tensor, h: Tensor) -> float:
    """How far sums of weights [B, T', T] are from 1, weights below 0, contexts out of range."""
    c = torch.stack([expected_annotation(each, h) for each in alpha.unbind(1)], 1)
    low, high = h.amin(1, keepdim=True), h.amax(1, keepdim=True)
    return max(gap.max().item() for gap in ((alpha.sum(2) - 1).abs(), -alpha, low - c, c - high))


@torch.no_grad()
def one_word_gap(model: Translator, x: Tensor) -> float:
    """The largest difference of a logit from the net that doesn't search, over any words."""
    model = deepcopy(model).cpu().double()
    searched, _ = model(x[:, :1], x)
    model.align = None
    return float((searched - model(x[:, :1], x)[0]).abs().max())


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    bleus = {arm: [o.tensors["bleu"] for o in chosen if o.arm == arm] for arm in PROTOCOL.arms}
    means = {arm: torch.stack(each).mean(0) for arm, each in bleus.items()}
    yield lengths_figure(means, cfg.short, cfg.long)
    yield alignment_figure(chosen[0].tensors, cfg.words)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
