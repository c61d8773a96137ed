"""Skip-gram, CBOW and their tree of outputs; the grammar; and what is left without the ideas."""

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from impl.kit.analogies import SEMANTIC, SYNTACTIC, make_corpus, windows
from impl.kit.broken import take_out
from impl.kit.huffman import huffman
from impl.word2vec import (
    ARMS,
    BROKEN,
    CBOW,
    NNLM,
    PROTOCOL,
    QUICK,
    SMOKE,
    HierarchicalSoftmax,
    SkipGram,
    access_gap,
    answer,
    check,
    run,
    trial,
)

counts = st.lists(st.integers(0, 1000), min_size=2, max_size=40)
CPU = torch.device("cpu")


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_softmax(counts: list[int], D: int = 5) -> HierarchicalSoftmax:
    softmax = HierarchicalSoftmax(counts, D).double()
    torch.nn.init.normal_(softmax.out.weight, generator=draw())
    return softmax


@given(counts.filter(any))
def test_huffman_paths_are_a_code_within_a_bit_of_the_entropy(counts: list[int]) -> None:
    paths = huffman(counts)
    assert sum(2.0 ** -len(path) for path in paths) == 1  # Kraft: no path is within another
    assert len({tuple(path) for path in paths}) == len(counts)
    p = [count / sum(counts) for count in counts]
    mean = sum(q * len(path) for q, path in zip(p, paths, strict=True))
    entropy = -sum(q * math.log2(q) for q in p if q)
    assert entropy - 1e-9 <= mean <= entropy + 1 + 1e-9


def test_words_that_are_as_frequent_have_paths_as_long() -> None:
    assert {len(path) for path in huffman([7] * 64)} == {6}


@settings(deadline=None)
@given(counts)
def test_hierarchical_softmax_is_a_distribution(counts: list[int]) -> None:
    softmax, V = random_softmax(counts), len(counts)
    h = torch.randn(3, 5, dtype=torch.float64, generator=draw())
    log_p = softmax(h.repeat_interleave(V, 0), torch.arange(V).repeat(3)).view(3, V)
    assert torch.allclose(log_p.exp().sum(1), torch.ones(3, dtype=torch.float64))


def test_hierarchical_softmax_is_torchs_binary_cross_entropy_at_each_node() -> None:
    softmax = random_softmax([5, 1, 2, 9, 4])
    h = torch.randn(5, 5, dtype=torch.float64, generator=draw(1))
    for word, path in enumerate(huffman([5, 1, 2, 9, 4])):
        nodes = torch.tensor([node for node, _ in path])
        labels = torch.tensor([float(branch > 0) for _, branch in path], dtype=torch.float64)
        logits = softmax.out.weight[nodes] @ h[word]
        expected = -F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        given = softmax(h[word : word + 1], torch.tensor([word]))
        assert given.item() == pytest.approx(expected.item(), abs=1e-12)


def test_examples_of_a_window() -> None:
    window = torch.arange(7)[None]  # the word is 3
    context, word = CBOW([1] * 9, 4, N=4, C=3).examples(window, draw())
    assert context.tolist() == [[1, 2, 4, 5]] and word.tolist() == [3]
    context, word = NNLM([1] * 9, 4, N=3, C=3).examples(window, draw())
    assert context.tolist() == [[0, 1, 2]] and word.tolist() == [3]
    model = SkipGram([1] * 9, 4, N=4, C=3)
    seen = set()
    for seed in range(30):
        context, word = model.examples(window, draw(seed))
        assert set(context.flatten().tolist()) == {3}
        seen.add(tuple(word.tolist()))
    assert seen == {(2, 4), (1, 2, 4, 5), (0, 1, 2, 4, 5, 6)}  # R is 1, 2 and 3


def test_cbow_does_not_see_the_order_of_words_and_the_nnlm_does() -> None:
    context = torch.tensor([[1, 2, 3, 4], [4, 2, 1, 3]])
    for model, alike in ((CBOW([1] * 9, 8, 4, 2), True), (NNLM([1] * 9, 8, 4, 4), False)):
        one, other = model.project(context)
        assert torch.allclose(one, other) == alike


def test_words_beyond_a_sentence_count_for_nothing() -> None:
    model = CBOW([1] * 9, 8, N=4, C=2)
    context, _ = model.examples(
        windows(torch.arange(9).view(3, 3), torch.tensor([3]), 2, 9), draw()
    )
    assert context.tolist() == [[9, 9, 4, 5]]
    assert torch.allclose(model.project(context)[0], model.vectors.weight[4:6].mean(0))


@pytest.mark.parametrize("arm", ARMS)
def test_an_example_accesses_what_the_equations_say(arm: str) -> None:
    model = ARMS[arm]([3] * 64, 8, 6, 10)  # 64 words as frequent: log2(V) is 6
    assert access_gap(model, draw()) == 0
    expected = {"skip-gram": 4 * (8 + 8 * 6), "CBOW": 4 * 8 + 8 * 6, "NNLM": 4 * 8 + 4 * 64 + 8 * 6}
    assert model.complexity(4, 6) == expected[arm.split()[0]]


def test_the_answer_completes_a_parallelogram() -> None:
    x = torch.tensor([[1.0, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 1], [-1, 0, 0]])
    one = [torch.tensor([i]) for i in (0, 1, 2)]
    assert answer(x, *one).item() == 3
    x[4] = x[2] + 0.01  # nearest to c: the answer if there is no step
    assert answer(x, *one).item() == 3 and answer(x, *one, step=0.0).item() == 4


def test_no_sentence_has_both_words_of_a_pair() -> None:
    corpus = make_corpus(400, 3)
    in_sentence = F.one_hot(corpus.sentences, len(corpus.words)).amax(1).float()
    together = in_sentence.T @ in_sentence
    relations = len(SEMANTIC + SYNTACTIC)
    questions = torch.cat([corpus.val.words, corpus.test.words])
    assert len(corpus.val.words) == relations * 4 * 3
    assert len(corpus.test.words) == relations * 8 * 7
    for i, j in itertools.combinations(range(4), 2):
        assert (together[questions[:, i], questions[:, j]] == 0).all()
    assert not set(corpus.val.words.flatten().tolist()) & set(corpus.test.words.flatten().tolist())


def outcomes(claim: str | None, cfg: Any) -> dict[str, str]:
    with take_out(BROKEN, claim, cfg) as changed:
        rows = [event for event in run(changed, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


@pytest.mark.parametrize("claim", [None, "accesses", "huffman"])
def test_an_identity_holds_until_its_idea_is_taken_out(claim: str | None) -> None:
    verdicts = outcomes(claim, replace(SMOKE, sentences=40, lrs=(0.3,), seeds=1))
    for identity in ("accesses", "huffman"):
        assert verdicts[identity] == ("fails" if identity == claim else "holds")


@pytest.mark.parametrize(
    ("claim", "arm", "sentences"),
    [("semantic", "skip-gram", 600), ("cbow-syntactic", "CBOW", 1200)],
)
def test_with_the_contexts_of_others_nothing_is_learned(
    claim: str, arm: str, sentences: int
) -> None:
    cfg, job = replace(QUICK, sentences=sentences), dict(arm=arm, seed=2, lr=0.3)
    *_, row = trial(cfg, CPU, **job)
    with take_out(BROKEN, claim, cfg):
        *_, broken = trial(cfg, CPU, **job)
    assert isinstance(row, dict) and isinstance(broken, dict)
    assert float(broken["total"]) < 3 < 10 < float(row["total"])


def test_rivals_are_trained_for_as_many_accesses() -> None:
    rows = []
    for arm in PROTOCOL.arms:
        *_, row = trial(replace(SMOKE, epochs=2), CPU, arm=arm, seed=0, lr=0.1)
        assert isinstance(row, dict)
        rows.append(row)
    spent = {arm: row["epochs"] * row["cost"] for arm, row in zip(PROTOCOL.arms, rows, strict=True)}
    assert spent["CBOW longer"] == pytest.approx(spent["skip-gram"], rel=0.1)
    assert spent["NNLM"] > spent["skip-gram"]
