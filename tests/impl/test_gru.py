"""The gated unit: torch's GRU, gates at their ends, the decoder's sum to one, the data."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from impl.gru import (
    BROKEN,
    QUICK,
    SMOKE,
    EncoderDecoder,
    GatedUnit,
    TanhUnit,
    build,
    check,
    per_word,
    run,
    size,
    torch_gap,
)
from impl.kit import Row, Verdict, generator
from impl.kit.broken import take_out
from impl.kit.phrase_table import PhraseTable, corrupted, log_linear
from impl.kit.phrases import Corpus, grammar

CPU = torch.device("cpu")


def model(seed: int = 0, words: tuple[int, int] = (9, 8), **more: bool) -> EncoderDecoder:
    torch.manual_seed(seed)
    return EncoderDecoder(GatedUnit, 6, SMOKE, words, **more)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 999))
def test_the_unit_that_resets_after_the_matrix_is_torchs_and_the_other_is_not(
    H: int,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    unit = GatedUnit(H)
    assert torch_gap(unit, torch.randn(1, H)) < 1e-12
    if H > 1:
        torch.nn.init.normal_(unit.U.weight)
        assert torch_gap(unit, None) > 1e-6


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 999))
def test_both_are_one_where_no_unit_sees_another(H: int, seed: int) -> None:
    """With a diagonal matrix it makes no difference on which side of it the reset gate stands."""
    torch.manual_seed(seed)
    unit, x, h = GatedUnit(H), torch.randn(4, 3 * H), torch.randn(4, H)
    unit.U.weight.data[2 * H :] = torch.diag(torch.randn(H))
    assert torch.allclose(unit(x, h)[0], unit(x, h, torch.zeros(4, H))[0], atol=1e-6)


@given(st.integers(0, 999))
def test_gates_at_their_ends(seed: int) -> None:
    torch.manual_seed(seed)
    H = 3
    unit, x, h = GatedUnit(H), torch.randn(2, 3 * H), torch.randn(2, H)
    x[:, H : 2 * H] = 1e4  # z = 1: the state is copied
    assert torch.equal(unit(x, h)[0], h)
    x[:, : 2 * H] = -1e4  # r = 0 and z = 0: nothing of the past is left
    assert torch.allclose(unit(x, h)[0], torch.tanh(x[:, 2 * H :]))


def test_filling_says_nothing() -> None:
    source, target = torch.randint(1, 9, (3, 5)), torch.randint(2, 8, (3, 4))
    log_p = model()(source, target).detach()
    filled = model()(F.pad(source, (0, 3)), F.pad(target, (0, 2)))
    assert torch.allclose(filled[:, :4], log_p, atol=1e-6)
    assert not filled[:, 4:].any()
    assert per_word(model(), source, target) == pytest.approx(-float(log_p.mean()), rel=1e-5)


def test_the_next_word_has_probability_one_in_all() -> None:
    source = torch.randint(1, 9, (1, 5)).expand(8, -1)
    target = torch.stack([torch.full((8,), 3), torch.arange(8)], 1)
    log_p = model()(source, target).detach()
    others = float(log_p[1:, 1].exp().sum())
    assert others < 1  # the eighth word is the filling, whose probability is not returned


def test_a_language_model_does_not_see_the_source() -> None:
    target = torch.randint(2, 8, (3, 4))
    sources = torch.randint(1, 9, (2, 3, 5))
    blind, sees = model(sees_source=False), model()
    assert torch.equal(blind(sources[0], target), blind(sources[1], target))
    assert not torch.equal(sees(sources[0], target), sees(sources[1], target))


def test_both_nets_are_about_as_large() -> None:
    words, cfg = (40, 70), replace(QUICK, H=12)
    gated, tanh = (build(cfg, arm, words) for arm in ("gated", "tanh"))
    counts = [sum(p.numel() for p in net.parameters()) for net in (gated, tanh)]
    assert counts == [
        size(GatedUnit.parts, 12, cfg, words),
        size(TanhUnit.parts, tanh.H, cfg, words),
    ]
    assert counts[0] == pytest.approx(counts[1], rel=0.02)


# --- the phrases ---


def test_the_grammar() -> None:
    pairs = {" ".join(e): " ".join(f) for e, f in grammar(2_000)}
    assert len(pairs) == 2_000
    for english, french in pairs.items():
        assert french.count("ne ") >= english.count("never ") == french.count(" jamais")
        assert ("house" in english) == ("maison" in french)
    assert grammar(50) == grammar(2_000)[:50]


def test_corruptions_leave_the_right_phrase_and_the_end_alone() -> None:
    corpus = Corpus("grammar", 50)
    words = len(corpus.words[1])
    choices = corrupted(corpus.target, 7, words, generator(0, "choices"))
    right = corpus.target[:, None]
    assert torch.equal(choices[:, 0], corpus.target)
    assert ((choices == 1) == (right == 1)).all() and ((choices == 0) == (right == 0)).all()
    changed = (choices != right).sum(2)
    assert (changed[:, 1::2] <= 2).all() and (changed[:, 2::2] <= 1).all()
    exchanged = choices[:, 1::2].sort(2).values
    assert torch.equal(exchanged, right.sort(2).values.expand_as(exchanged))


def test_the_table_knows_translations_and_best_lists_have_one_right_phrase() -> None:
    corpus = Corpus("grammar", 400)
    words = (len(corpus.words[0]), len(corpus.words[1]))
    table = PhraseTable(corpus.source, corpus.target, words)
    house, maison = corpus.words[0].index("house"), corpus.words[1].index("maison")
    assert int(table.translates[house].argmax()) == maison
    assert torch.allclose(table.translates.sum(1), torch.ones(words[0]))
    choices = table.best_list(corpus.source, corpus.target, 5, generator(0, "choices"))
    right = (choices == corpus.target[:, None]).all(2)
    assert right[:, 0].all() and not right[:, 1:].any()


def test_weights_of_features_are_chosen_on_other_phrases() -> None:
    good = torch.tensor([[2.0, 1.0], [3.0, 0.0]])  # the first of two is right
    useless = torch.zeros(2, 2)
    assert log_linear([useless, good], [useless, good]) == 1.0
    assert log_linear([useless, good], [useless, -good]) == 0.0
    assert log_linear([good, -good], [good, -good]) == 1.0, "the weight 0 is among the choices"


# --- verdicts ---


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_without_their_ideas_the_claims_fall() -> None:
    more = dict(seeds=3, lrs=(0.01,))
    silent = judged("more-than-language", **more)["more-than-language"]
    assert (silent.effect, silent.verdict) == (0, "not reproduced")
    assert judged("gated-unit", **more)["gated-unit"].verdict != "reproduced"
    other = judged("reset-before", **more)
    assert other["same-as-torch-gru"].verdict == other["reset-before"].verdict == "fails"


def test_equal_nets_are_not_reproduced() -> None:
    rows: list[Row] = [
        {"arm": arm, "seed": seed, "judged": True, "nats": 1 + 0.01 * seed, "picked": 0.8}
        | {"picked_without": 0.8, "torch_gap": 0.3, "is_another": 0.0}
        for arm in ("gated", "tanh", "language model")
        for seed in range(5)
    ]
    assert {verdict.verdict for verdict in check(rows)} == {"not reproduced", "fails"}


def test_open_gates_are_a_tanh_unit() -> None:
    torch.manual_seed(0)
    unit, x, h = GatedUnit(4), torch.randn(2, 12), torch.randn(2, 4)
    with take_out(BROKEN, "gated-unit", QUICK):
        opened: Tensor = unit(x, h)[0]
    assert torch.allclose(opened, torch.tanh(x[:, 8:] + F.linear(h, unit.U.weight[8:])))
