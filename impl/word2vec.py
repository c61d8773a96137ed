"""Efficient estimation of word representations in vector space.
Mikolov, Chen, Corrado and Dean, arXiv 1301.3781, 2013.

Claims      semantic        the skip-gram answers more semantic questions than CBOW (Table 3)
            equal-cost      and more than a CBOW that is trained for as many accesses (Eq. 1)
            nnlm            and more than a net with a hidden layer (Table 3)
            cbow-syntactic  CBOW answers more syntactic questions (Table 3); here it answers fewer
            offset          the answer is near b - a + c, rather than just near c (Sec. 4)
            accesses        an example accesses as many parameters as Eqs. 2, 4 and 5 say
            huffman         a Huffman tree asks about log2(unigram perplexity) outputs (Sec. 2.1)
Deviations  1  sentences of a small grammar (impl/kit/analogies.py), in which two words of a pair
               never meet; no preset has the paper's corpus
            2  hierarchical softmax, as in this paper; negative sampling is of the second paper
            3  all nets learn by mini-batches and Adagrad, as those of Sec. 2.3; the first rate is
               chosen by questions about other words than those of the test
            4  the NNLM is trained for as many epochs as the CBOW of equal-cost
            5  Eq. 5 is proportional: of R from 1 to C, twice R words are C + 1 on average
Left out    RNNLM, DistBelief, sentence completion, averaging several examples of a relation
Shapes      B words or examples, V words in all, D numbers for a word, H hidden units, L outputs on
            the longest path, N words to predict from, C the largest distance
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import word2vec as drawing
from impl.kit import (
    Arrays,
    Bound,
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
from impl.kit.analogies import Questions, make_corpus, places, windows
from impl.kit.broken import Broken
from impl.kit.huffman import Path, huffman

Events = Iterator[TrialEvent]
Examples = tuple[Tensor, Tensor]  # the words to predict from, and the word to predict


class HierarchicalSoftmax(nn.Module):
    """Sec. 2.1: log p of a word is that of the branches to it in a Huffman tree."""

    def __init__(self, counts: list[int], D: int):
        super().__init__()
        paths = huffman(counts)
        node = nn.utils.rnn.pad_sequence([torch.tensor(path) for path in paths], batch_first=True)
        self.node, self.branch = nn.Buffer(node[..., 0]), nn.Buffer(node[..., 1])  # [V, L], 0: none
        self.lengths = nn.Buffer(self.branch.abs().sum(1))  # outputs that each word asks for
        self.out = nn.Embedding(len(counts) - 1, D)
        nn.init.zeros_(self.out.weight)

    def forward(self, h: Tensor, word: Tensor) -> Tensor:
        """h [B, D] and words [B] to [B]"""
        node, branch = self.node[word], self.branch[word]  # [B, L]
        of, at = branch.nonzero(as_tuple=True)  # all nodes asked, one after the other
        z = (self.out(node[of, at]) * F.embedding(of, h)).sum(1)
        return h.new_zeros(len(h)).index_add(0, of, F.logsigmoid(branch[of, at] * z))


class WordVectors(nn.Module):
    """A vector for each word, and zeros for the place V beyond a sentence.

    Each model makes examples of windows [B, 2C + 1], a word between the C before and after it; and
    knows Q, the parameters accessed for a word where a prediction asks for so many outputs.
    """

    def __init__(self, counts: list[int], D: int, N: int, C: int):
        super().__init__()
        self.V, self.D, self.N, self.C = len(counts), D, N, C
        self.vectors = nn.Embedding(self.V + 1, D, padding_idx=self.V)
        self.output = HierarchicalSoftmax(counts, D)
        nn.init.uniform_(self.vectors.weight[: self.V], -0.5 / D, 0.5 / D)

    def project(self, context: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, context: Tensor, word: Tensor) -> Tensor:
        log_p: Tensor = self.output(self.project(context), word)
        return log_p


class SkipGram(WordVectors):
    """Sec. 3.2: a word predicts each of R words before and R after it; R is 1 to C by chance."""

    def examples(self, window: Tensor, draw: torch.Generator) -> Examples:
        R = torch.randint(1, self.C + 1, (len(window), 1), generator=draw).to(window.device)
        distance = torch.arange(-self.C, self.C + 1, device=window.device).abs()
        row, at = ((distance > 0) & (distance <= R) & (window < self.V)).nonzero(as_tuple=True)
        return window[row, self.C, None], window[row, at]

    def project(self, context: Tensor) -> Tensor:
        h: Tensor = self.vectors(context[:, 0])
        return h

    def complexity(self, n: float, outputs: float) -> float:
        return n * (self.D + self.D * outputs)  # Eq. 5, n words predicted


class CBOW(WordVectors):
    """Sec. 3.1: the mean of N / 2 words before and N / 2 after predicts the word between."""

    def examples(self, window: Tensor, draw: torch.Generator) -> Examples:
        first, middle, last = self.C - self.N // 2, self.C, self.C + self.N // 2
        context = torch.cat([window[:, first:middle], window[:, middle + 1 : last + 1]], 1)
        return context, window[:, middle]

    def project(self, context: Tensor) -> Tensor:
        total: Tensor = self.vectors(context).sum(1)
        return total / (context < self.V).sum(1, keepdim=True)

    def complexity(self, n: float, outputs: float) -> float:
        return n * self.D + self.D * outputs  # Eq. 4, from n words


class NNLM(WordVectors):
    """Sec. 2.1: the N words before go through a hidden layer, of H = D units here."""

    def __init__(self, counts: list[int], D: int, N: int, C: int):
        super().__init__(counts, D, N, C)
        self.hidden = nn.Linear(N * D, D, bias=False)
        nn.init.normal_(self.hidden.weight, std=(N * D) ** -0.5)

    def examples(self, window: Tensor, draw: torch.Generator) -> Examples:
        return window[:, self.C - self.N : self.C], window[:, self.C]

    def project(self, context: Tensor) -> Tensor:
        return torch.tanh(self.hidden(self.vectors(context).flatten(1)))

    def complexity(self, n: float, outputs: float) -> float:
        D = H = self.D
        return n * D + n * D * H + H * outputs  # Eq. 2, from n words


Model = SkipGram | CBOW | NNLM


def answer(vectors: Tensor, a: Tensor, b: Tensor, c: Tensor, step: float = 1.0) -> Tensor:
    """Sec. 4: a is to b as c is to the word closest to b - a + c, but for these three. [Q]"""
    unit = F.normalize(vectors, dim=1)
    cosine = (step * (unit[b] - unit[a]) + unit[c]) @ unit.T
    return cosine.scatter(1, torch.stack([a, b, c], 1), -2.0).argmax(1)


@dataclass(frozen=True)
class Config:
    sentences: int = 26_700_000  # Sec. 4.3: 320M words; here in sentences of 12
    D: int = 640  # Table 3: numbers for a word, and hidden units
    N: int = 8  # Secs. 3.1 and 4.3: words to predict from, of CBOW and of the NNLM
    C: int = 10  # Sec. 3.2: how far away words are that the skip-gram predicts
    epochs: int = 3  # Sec. 4.2
    batch: int = 256  # ours: words in an update
    lrs: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)  # ours: the grid; falls to 0, Sec. 4.2
    seeds: int = 5  # ours: how many repetitions, each with its own corpus
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, sentences=1_200, D=32, seeds=20)
QUICK = replace(PAPER, sentences=1_200, D=32)
SMOKE = replace(QUICK, sentences=60, D=8, epochs=1, batch=64, lrs=(0.1, 0.3), seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

ARMS: dict[str, type[Model]] = {"skip-gram": SkipGram, "CBOW": CBOW, "NNLM": NNLM}
ARMS["CBOW longer"] = CBOW
PROTOCOL = Protocol(arms=tuple(ARMS), grid={"lr": "lrs"})

CLAIMS = (
    Comparison(
        claim="semantic", idea="skip-gram", rival="CBOW", measure="semantic",
        better="higher", margin=15.5, because="half of the gain of Table 3, 24 to 55",
        unit="% of semantic questions, the same epochs",
    ),
    Comparison(
        claim="equal-cost", idea="skip-gram", rival="CBOW longer", measure="semantic",
        better="higher", margin=15.5, because="as for semantic",
        unit="% of semantic questions, E x T x Q equal", ours=True,
    ),
    Comparison(
        claim="nnlm", idea="skip-gram", rival="NNLM", measure="semantic",
        better="higher", margin=16.0, because="half of the gain of Table 3, 23 to 55",
        unit="% of semantic questions, the NNLM trained for more epochs",
    ),
    Comparison(
        claim="cbow-syntactic", idea="CBOW", rival="skip-gram", measure="syntactic",
        better="higher", margin=2.5, because="half of the gain of Table 3, 59 to 64",
        unit="% of syntactic questions, the same epochs",
    ),
    Comparison(
        claim="offset",
        idea=lambda rows: by_seed(rows, "total", arm="skip-gram"),
        rival=lambda rows: by_seed(rows, "nearest", arm="skip-gram"),
        better="higher", margin=25.0, because="a question in four; the paper has no such figure",
        unit="% of all questions, by b - a + c against c alone", ours=True,
    ),
    Identity(
        claim="accesses", measure="access_gap", tolerance=1e-6,
        unit="parameters with a gradient, less those of Eqs. 2, 4 and 5",
    ),
    Bound(
        claim="huffman", measure="excess", expected=1.0,
        unit="outputs of a word on average, less log2(unigram perplexity)",
    ),
)  # fmt: skip


HUFFMAN = huffman


def with_strangers(model: type[Model]) -> AbstractContextManager[object]:
    """Each word gets the context of another one."""
    original: Any = model.examples

    def examples(self: Model, window: Tensor, draw: torch.Generator) -> Examples:
        context, word = original(self, window, draw)
        return context, word[torch.randperm(len(word), generator=draw)]

    return patch.object(model, "examples", examples)


def balanced(counts: list[int]) -> list[Path]:
    """A tree that doesn't know how frequent words are."""
    return HUFFMAN([1] * len(counts))


def all_outputs(self: HierarchicalSoftmax, h: Tensor, word: Tensor) -> Tensor:
    """The plain softmax; the first word's score is 0."""
    logits = F.pad(h @ self.out.weight.T, (1, 0))
    return F.log_softmax(logits, 1).gather(1, word[:, None]).squeeze(1)


BROKEN: Broken = {
    "semantic": lambda: with_strangers(SkipGram),
    "equal-cost": lambda: with_strangers(SkipGram),
    "nnlm": lambda: with_strangers(SkipGram),
    "cbow-syntactic": lambda: with_strangers(CBOW),
    "offset": lambda: with_strangers(SkipGram),
    "accesses": lambda: patch.object(HierarchicalSoftmax, "forward", all_outputs),
    "huffman": lambda: patch(f"{__name__}.huffman", balanced),
}


def cost(model: Model, window: Tensor) -> float:
    """Q of the words in these windows on average."""
    context, word = model.examples(window, torch.Generator().manual_seed(0))
    n = float((context < model.V).sum()) / len(window)
    return model.complexity(n, float(model.output.lengths[word].float().mean()))


def trial(cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float) -> Events:
    corpus = make_corpus(cfg.sentences, seed)
    sentences, V = corpus.sentences.to(device), len(corpus.words)
    counts, words = sentences.flatten().bincount(minlength=V).tolist(), sentences.numel()
    build = lambda name: ARMS[name](counts, cfg.D, cfg.N, cfg.C).to(device)  # noqa: E731
    model, epochs = build(arm), cfg.epochs
    sample = windows(sentences, torch.arange(min(words, 12_000), device=device), cfg.C, V)
    if arm in ("CBOW longer", "NNLM"):
        epochs = round(epochs * cost(build("skip-gram"), sample) / cost(build("CBOW"), sample))
    Q, steps = cost(model, sample), epochs * -(-words // cfg.batch)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=lr, fused=True)
    draw, curve = generator(seed, "ranges"), []
    batches = places(words, epochs, cfg.batch, generator(seed, "batches"))
    for step, at in enumerate(batches, 1):
        context, word = model.examples(windows(sentences, at.to(device), cfg.C, V), draw)
        loss = -model(context, word).sum() / len(at)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)  # Sec. 4.2
        if step % -(-steps // 8) == 0 or step == steps:
            semantic, syntactic = accuracy(model, corpus.test)
            curve.append([Q * words * epochs * step / steps, semantic, syntactic])
            val_error = 100 - sum(accuracy(model, corpus.val)) / 2
            yield dict(step=step, loss=loss.item(), val_error=val_error, semantic=semantic)
    yield Arrays({"curve": torch.tensor(curve), "vectors": model.vectors.weight[:V]})
    row: Row = dict(step=steps, val_error=val_error, semantic=semantic, syntactic=syntactic)
    row |= {"total": (semantic + syntactic) / 2, "cost": Q, "epochs": epochs}
    if arm == "skip-gram":
        row["nearest"] = sum(accuracy(model, corpus.test, step=0.0)) / 2
        row["excess"] = excess(model, counts)
    yield row | {"access_gap": access_gap(model, generator(seed, "words"))}


@torch.no_grad()
def accuracy(model: WordVectors, questions: Questions, step: float = 1.0) -> tuple[float, float]:
    """% of semantic and of syntactic questions, of which there are as many, answered right."""
    vectors = model.vectors.weight[: model.V].cpu()
    a, b, c, d = questions.words.unbind(1)
    right = 100 * (answer(vectors, a, b, c, step) == d).float()
    semantic, syntactic = right[questions.semantic], right[~questions.semantic]
    return semantic.mean().item(), syntactic.mean().item()


def excess(model: WordVectors, counts: list[int]) -> float:
    """Outputs that a word asks for on average, beyond the entropy of words in bits."""
    p = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    entropy = -torch.special.xlogy(p, p).sum() / math.log(2)
    return float((p * model.output.lengths.cpu()).sum() - entropy)


def access_gap(model: Model, draw: torch.Generator) -> float:
    """Of ten words in as many windows: the largest difference between Q and the parameters that
    get a gradient from an example. With small weights, as no unit's gradient may vanish."""
    model, gaps = deepcopy(model).cpu().double(), [0.0]
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.1)
    for _ in range(10):
        window = torch.randperm(model.V, generator=draw)[None, : 2 * model.C + 1]
        context, word = model.examples(window, draw)
        accessed = 0
        for example in zip(context.split(1), word.split(1), strict=True):
            gradients = torch.autograd.grad(model(*example).sum(), list(model.parameters()))
            accessed += sum(int(gradient.count_nonzero()) for gradient in gradients)
        n, outputs = context.numel(), float(model.output.lengths[word].double().mean())
        gaps.append(accessed - model.complexity(n, outputs))
    return max(gaps, key=abs)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    yield drawing.parallelogram(chosen[0].tensors["vectors"], make_corpus(cfg.sentences, cfg.seed))
    curves = {arm: [one.tensors["curve"] for one in chosen if one.arm == arm] for arm in ARMS}
    yield drawing.accuracy(curves)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
