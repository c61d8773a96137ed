"""Attention: its weights, its context, the net without it, the toy language, BLEU."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl.bahdanau import (
    BROKEN,
    FULL,
    PAPER,
    QUICK,
    SMOKE,
    STOP,
    TEST,
    TRAIN,
    VAL,
    Alignment,
    Translator,
    build,
    check,
    excess,
    expected_annotation,
    one_word_gap,
    run,
    sentences,
    size,
)
from impl.kit import Row, Verdict, generator
from impl.kit.bleu import bleu
from impl.kit.broken import take_out

seeds = st.integers(0, 999)


def weights(seed: int, T: int, H: int = 4, A: int = 5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    align, s, h = Alignment(H, A), 3 * torch.randn(2, H), 3 * torch.randn(2, T, 2 * H)
    return align(s, align.U_a(h)), h


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 9))
def test_weights_are_a_distribution_and_the_context_is_their_mean(seed: int, T: int) -> None:
    alpha, h = weights(seed, T)
    assert (alpha >= 0).all() and torch.allclose(alpha.sum(1), torch.ones(2))
    c = expected_annotation(alpha, h)
    by_hand = torch.stack([alpha[:, j, None] * h[:, j] for j in range(T)]).sum(0)
    assert torch.allclose(c, by_hand, atol=1e-5)
    assert excess(alpha[:, None].detach(), h) < 1e-5


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(2, 9))
def test_the_order_of_annotations_makes_no_difference(seed: int, T: int) -> None:
    torch.manual_seed(seed)
    align, s, h, order = Alignment(4, 5), torch.randn(2, 4), torch.randn(2, T, 8), torch.randperm(T)
    alpha, moved = (align(s, align.U_a(each)) for each in (h, h[:, order]))
    assert torch.allclose(alpha[:, order], moved, atol=1e-6)
    contexts = expected_annotation(alpha, h), expected_annotation(moved, h[:, order])
    assert torch.allclose(*contexts, atol=1e-6)


def test_equal_weights_are_the_mean() -> None:
    with take_out(BROKEN, "alignment", QUICK):
        alpha, h = weights(0, 6)
    assert torch.allclose(expected_annotation(alpha, h), h.mean(1), atol=1e-6)


def test_attention_is_torchs_where_the_energy_is_a_product() -> None:
    """Softmax and mean are those of scaled_dot_product_attention, whatever the energies are."""
    torch.manual_seed(0)
    q, k, h = torch.randn(3, 1, 4), torch.randn(3, 6, 4), torch.randn(3, 6, 8)
    alpha = (q @ k.mT)[:, 0].softmax(1)
    theirs = F.scaled_dot_product_attention(q, k, h, scale=1.0)[:, 0]
    assert torch.allclose(expected_annotation(alpha, h), theirs, atol=1e-6)


def test_the_alignment_model_is_equation_by_equation() -> None:
    torch.manual_seed(0)
    align, s, h = Alignment(3, 5), torch.randn(1, 3), torch.randn(1, 4, 6)
    for j in range(4):
        inner = align.W_a.weight @ s[0] + align.W_a.bias + align.U_a.weight @ h[0, j]
        e = align.v_a.weight[0] @ torch.tanh(inner)
        assert torch.allclose(align.energy(s, align.U_a(h))[0, j], e, atol=1e-6)


# --- the two nets ---


def test_the_decoder_without_a_search_is_torchs_gru() -> None:
    torch.manual_seed(0)
    model, (x, y, _) = Translator(6, 3, 4, 5, 3, False), sentences(2, 5, 2, TEST, generator(0, "x"))
    _, fixed, s = model.encode(x)
    before = torch.cat([model.E_y(F.pad(y, (1, 0))[:, :-1]), fixed[:, None].expand(-1, 5, -1)], 2)
    theirs = nn.GRU(3 + 8, 4, batch_first=True)
    theirs.load_state_dict({f"{name}_l0": p for name, p in model.decoder.state_dict().items()})
    states = theirs(before, s[None])[0]
    ours = torch.stack(
        [step[0] for step in model.states(x, iter(F.pad(y, (1, 0)).unbind(1)), 5)], 1
    )
    assert torch.allclose(ours, states, atol=1e-6)


def test_annotations_look_both_ways() -> None:
    """A change of the last word changes the first annotation's backward half alone."""
    torch.manual_seed(0)
    model, x = Translator(6, 3, 4, 5, 3), torch.tensor([[2, 3, 4, 1]])
    h, changed = (model.encode(each)[0][0, 0] for each in (x, torch.tensor([[2, 3, 4, 5]])))
    assert torch.equal(h[:4], changed[:4]) and not torch.allclose(h[4:], changed[4:])


def test_a_source_of_one_word_needs_no_search_and_a_longer_one_does() -> None:
    torch.manual_seed(0)
    model, x = Translator(6, 3, 4, 5, 3), sentences(3, 5, 2, TEST, generator(0, "x"))[0]
    assert one_word_gap(model, x) == 0
    searched = model(x, x)[0]
    model.align = None
    assert not torch.allclose(searched, model(x, x)[0], atol=1e-3)


def test_greedy_words_are_the_likeliest_given_those_before() -> None:
    torch.manual_seed(0)
    model, (x, _, _) = Translator(10, 3, 4, 5, 3), sentences(4, 6, 4, TEST, generator(0, "x"))
    written = model.translate(x)
    assert torch.equal(model(x, written)[0].argmax(2), written)


def test_both_nets_are_about_as_large() -> None:
    for cfg in (QUICK, FULL):
        sizes = [sum(p.numel() for p in build(cfg, each).parameters()) for each in (True, False)]
        assert sizes[0] == size(cfg, cfg.H, searches=True)
        assert sizes[0] == pytest.approx(sizes[1], rel=0.03)


def test_the_alignment_model_of_the_paper_has_three_million_weights() -> None:
    """W_a 1000 x 1000, U_a 1000 x 2000, v_a 1000 (App. A.2.2), and a bias."""
    search, encdec = (size(replace(PAPER, words=10), 1000, each) for each in (True, False))
    assert search - encdec == 1_000_000 + 2_000_000 + 1_000 + 1_000


# --- the toy language and its measure ---


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(3, 12), st.integers(2, 6))
def test_phrases_are_reversed_and_the_sets_are_disjoint(seed: int, T: int, words: int) -> None:
    sets = []
    for part in (TRAIN, VAL, TEST):
        x, y, source_of = sentences(5, T, words, part, generator(seed, "x"))
        assert x.shape == (5, T) and torch.equal(y, x.gather(1, source_of))
        for source, target in zip(x.tolist(), y.tolist(), strict=True):
            expected, phrase = [], []
            for word in source:
                phrase.append(word)
                if word < 2 + words:  # a noun, or the full stop
                    expected += phrase[::-1]
                    phrase = []
            assert target == expected and not phrase and target[-1] == STOP
        sets.append({tuple(source) for source in x.tolist()})
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])


def test_bleu() -> None:
    reference = [2, 3, 4, 5, 6, 1]
    assert bleu([(reference, reference)] * 2) == pytest.approx(100)
    assert bleu([([6, 5, 4, 3, 2, 1], reference)]) == 0, "no two words in a row"
    one_wrong = [2, 3, 4, 5, 7, 1]  # 5 of 6 words, 3 of 5 pairs, 2 of 4, 1 of 3
    expected = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert bleu([(one_wrong, reference)]) == pytest.approx(expected)
    short = bleu([(reference[:5], reference)])
    assert short == pytest.approx(100 * 2.718281828 ** (1 - 6 / 5)), "all right, but too short"


# --- verdicts ---


def judged(claim: str | None, cfg: Any) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, cfg) as changed:
        rows = [event for event in run(changed, torch.device("cpu")) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_the_identities_hold_until_the_weights_are_no_distribution() -> None:
    cfg = replace(SMOKE, lrs=(0.01,), updates=2)
    names = ("expected-annotation", "one-word")
    assert {judged(None, cfg)[name].verdict for name in names} == {"holds"}
    assert {judged(names[0], cfg)[name].verdict for name in names} == {"fails"}


def test_equal_weights_point_nowhere() -> None:
    cfg = replace(SMOKE, lrs=(0.01,), updates=30, H=16, batch=32, seeds=3, test=50)
    found = judged("alignment", cfg)
    for name in ("alignment", "off-the-diagonal", "long-sentences", "gap-grows", "shorter-trained"):
        assert found[name].verdict != "reproduced"
    assert found["alignment"].effect == pytest.approx(0, abs=1e-3)


def test_equal_nets_are_not_reproduced() -> None:
    rows: list[Row] = [
        {"arm": arm, "seed": seed, "judged": True, "bleu": 50 + seed, "bleu_long": 40.0}
        | {"bleu_short": 60.0, "mass": 20.0, "chance": 20.0, "aligned": 40.0, "diagonal": 40.0}
        | {"excess": 0.5, "one_word_gap": 0.5}
        for arm in ("RNNsearch", "RNNencdec", "RNNsearch, trained shorter")
        for seed in range(5)
    ]
    assert {verdict.verdict for verdict in check(rows)} == {"not reproduced", "fails"}
