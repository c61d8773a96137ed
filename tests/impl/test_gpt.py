"""GPT: torch's attention and layers, sizes of released nets, the language, and broken ideas."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl.gpt import (
    BROKEN,
    GPT,
    QUICK,
    SMOKE,
    Attention,
    Block,
    Classifier,
    build,
    carry_over,
    check,
    language,
    objective,
    pattern,
    pretrain,
    run,
    sizes,
    trial,
    word_loss,
    zero_shot,
)
from impl.kit import Row, Verdict, generator
from impl.kit.agreement import Agreement
from impl.kit.broken import take_out
from impl.kit.encoder_decoder import parameters
from impl.kit.language_model import LSTMLanguageModel, leak, train, write
from impl.kit.trials import execute

CPU = torch.device("cpu")


def random(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


# --- the net, against torch's ---


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 6), st.integers(0, 999))
def test_attention_is_torchs(T: int, d: int, seed: int) -> None:
    Q, K, V = random(3, 2, 2, T, d, seed=seed)
    expected = F.scaled_dot_product_attention(Q, K, V, is_causal=True)
    assert torch.allclose(pattern(Q, K) @ V, expected, atol=1e-12)


def test_many_heads_are_torchs() -> None:
    ours = Attention(12, 3, 0.0).double()
    theirs = nn.MultiheadAttention(12, 3, batch_first=True, dtype=torch.float64)
    projections = {"in_proj_weight": ours.QKV.weight, "in_proj_bias": ours.QKV.bias}
    outs = {"out_proj.weight": ours.O.weight, "out_proj.bias": ours.O.bias}
    theirs.load_state_dict(projections | outs)
    x, hidden = random(2, 5, 12), torch.ones(5, 5).triu(1) > 0
    expected, _ = theirs(x, x, x, attn_mask=hidden)
    assert torch.allclose(ours(x), expected, atol=1e-12)


@pytest.mark.parametrize("norm_first", [False, True])
def test_values_and_gradients_of_a_block_are_torchs(norm_first: bool) -> None:
    ours = Block(8, 2, 0.0, norm_first).double()
    theirs = nn.TransformerEncoderLayer(
        8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=norm_first, dtype=torch.float64
    )
    first, second = ours.feed[0], ours.feed[2]
    pairs = {
        "self_attn.in_proj_weight": ours.attention.QKV.weight,
        "self_attn.in_proj_bias": ours.attention.QKV.bias,
        "self_attn.out_proj.weight": ours.attention.O.weight,
        "self_attn.out_proj.bias": ours.attention.O.bias,
        "linear1.weight": first.weight,
        "linear1.bias": first.bias,
        "linear2.weight": second.weight,
        "linear2.bias": second.bias,
        **{f"norm{i + 1}.{n}": p for i in (0, 1) for n, p in ours.norms[i].named_parameters()},
    }
    theirs.load_state_dict(pairs)
    x, target, hidden = random(2, 5, 8), random(2, 5, 8, seed=1), torch.ones(5, 5).triu(1) > 0
    expected = theirs(x, src_mask=hidden)
    assert torch.allclose(ours(x), expected, atol=1e-12)
    (ours(x) * target).sum().backward()
    (expected * target).sum().backward()
    for name, weight in theirs.named_parameters():
        assert torch.allclose(pairs[name].grad, weight.grad, atol=1e-11), name


def test_the_embeddings_are_the_output_and_get_both_gradients() -> None:
    net, x = GPT(7, 5, 4, 2, 1).double(), torch.randint(1, 7, (3, 4))
    loss = word_loss(net, x).mean()
    (whole,) = torch.autograd.grad(loss, [net.E.weight])
    given, out = (net.E.weight.detach().clone().requires_grad_() for _ in range(2))
    h = net.states(F.embedding(F.pad(x, (1, 0))[:, :-1], given))
    apart = F.cross_entropy((h @ out.T).transpose(1, 2), x)
    assert torch.allclose(apart, loss, atol=1e-12)
    assert torch.allclose(sum(torch.autograd.grad(apart, [given, out])), whole, atol=1e-12)


def test_released_nets_have_as_many_weights() -> None:
    rows = list(sizes())
    assert [row["weights"] for row in rows] == [116_534_784, 124_439_808]
    assert round(float(rows[0]["weights"]) / 1e6) == 117
    small = build(QUICK, "pretrained")
    V, T, d, layers = QUICK.vocabulary, QUICK.context, QUICK.d, QUICK.layers
    assert parameters(small) == (V + T) * d + layers * (12 * d * d + 13 * d)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 8), st.integers(0, 999), st.booleans())
def test_no_word_sees_a_later_one(T: int, seed: int, norm_first: bool) -> None:
    torch.manual_seed(seed)
    net, x = GPT(9, 8, 8, 2, 2, norm_first=norm_first), torch.randint(1, 9, (3, T))
    assert leak(net, x) == 0
    e = net.E(x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net.states(e)[:, T // 2, 0].sum(), [e])
    assert not gradient[:, T // 2 + 1 :].any() and gradient[:, T // 2].any()
    with take_out(BROKEN, "causal", SMOKE):
        assert leak(net, x) > 0 or len(x.unique(dim=0)) == 1


def test_the_classifier_reads_the_state_of_the_token_at_the_end() -> None:
    torch.manual_seed(0)
    net, (x, y) = (
        Classifier(build(SMOKE, "pretrained")),
        language(SMOKE).labelled(6, generator(0, "x")),
    )
    labels, words = net(x)
    assert labels.shape == (6, 2)
    assert torch.allclose(words, net.lm(F.pad(x, (1, 0))[:, :-1]), atol=1e-6)
    expected = F.cross_entropy(labels, y) + 0.5 * word_loss(net.lm, x).mean()
    assert torch.allclose(objective(net, x, y, 0.5), expected)
    added = parameters(net) - parameters(net.lm)
    assert added == SMOKE.d + 2 * SMOKE.d + 2


# --- the language ---


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(2, 4), st.integers(1, 4), st.integers(0, 999))
def test_sentences_are_nested_and_agree(half: int, genders: int, nesting: int, seed: int) -> None:
    spoken = Agreement(1 + 2 * genders * 3, 2 * half, genders, nesting)
    x = spoken.sentences(20, torch.Generator().manual_seed(seed))
    assert x.min() >= 1 and x.max() < spoken.vocabulary
    for sentence in spoken.kinds(x).tolist():
        stack: list[int] = []
        for kind in sentence:
            if kind < genders:
                stack.append(kind)
            else:
                assert stack.pop() == kind - genders
            assert len(stack) <= nesting
        assert not stack
    assert spoken.agrees(x).all()
    x, y = spoken.labelled(20, torch.Generator().manual_seed(seed))
    assert ((~spoken.agrees(x)).sum(1) == y).all(), "of every other sentence just one verb"


def test_both_kinds_of_sentences_look_alike_but_for_agreement() -> None:
    spoken = language(QUICK)
    x, y = spoken.labelled(4_000, generator(0, "x"))
    shares = [
        spoken.kinds(x[y == label]).flatten().bincount() / (2_000 * spoken.T) for label in (0, 1)
    ]
    assert torch.allclose(*shares, atol=0.01)


# --- training ---


def test_the_rival_is_as_large() -> None:
    for cfg in (SMOKE, QUICK):
        lstm, gpt = build(cfg, "lstm"), build(cfg, "pretrained")
        assert isinstance(lstm, LSTMLanguageModel)
        assert parameters(lstm) == pytest.approx(parameters(gpt), rel=0.06)


def test_the_rate_rises_falls_and_biases_do_not_decay() -> None:
    net, rates = nn.Linear(2, 2), []
    with torch.no_grad():
        net.weight.fill_(1), net.bias.fill_(1)

    def loss() -> Tensor:
        rates.append(float(net.weight.detach()[0, 0]))
        return 0 * sum(weight.sum() for weight in net.parameters())

    list(train(net, loss, lr=0.1, decay=1.0, updates=10, warmup=2, course="cosine"))
    shrunk = [1 - after / before for before, after in pairwise(rates)]
    expected = [0.1 * min(1, (t + 1) / 2) * (1 + math.cos(math.pi * t / 10)) / 2 for t in range(9)]
    assert shrunk == pytest.approx(expected, abs=1e-6)
    assert (net.bias == 1).all()


def test_layers_are_carried_over_from_below() -> None:
    old, _ = pretrain(SMOKE, "pretrained", 0, CPU)
    new = build(SMOKE, "pretrained")
    assert isinstance(old, GPT)
    for layers in range(SMOKE.layers + 1):
        net = carry_over(old, new, layers)
        assert isinstance(net, GPT)
        same = [torch.equal(a, b) for a, b in zip(net.parameters(), old.parameters(), strict=True)]
        inside = len(list(old.blocks[0].parameters()))
        assert same[: 2 + layers * inside] == [True] * (2 + layers * inside)
        assert not any(same[2 + layers * inside :])


def test_a_trial_that_finds_the_net_pre_trained_yields_the_same() -> None:
    job: dict[str, Any] = dict(arm="pretrained", seed=3, n=8, lr=0.001, transferred=1)
    pretrain.cache_clear()
    first, second = ([*execute(trial, SMOKE, job, CPU)] for _ in range(2))
    assert pretrain.cache_info().hits > 0
    rows = [[event for event in events if isinstance(event, dict)] for events in (first, second)]
    assert rows[0] == rows[1]


def test_a_text_goes_on_and_improbable_sentences_are_wrong() -> None:
    net, begun = build(SMOKE, "pretrained"), torch.zeros(3, 1, dtype=torch.long)
    assert write(net, begun, 4, generator(0, "w")).shape == (3, 5)
    x, y = torch.tensor([[1, 1], [2, 2]]), torch.tensor([0, 1])

    class Only(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.one_hot(torch.ones_like(x), 3).float()

    assert (zero_shot(Only(), x, y), zero_shot(Only(), x, 1 - y)) == (0, 100)


# --- verdicts ---

SMALL = replace(SMOKE, vocabulary=13, context=8, d=16, layers=1, transferred=(0, 1), nesting=2,
                genders=2, pretraining=80, tuning=60, sizes=(60,), validation=50, test=200,
                lrs=(3e-3,))  # fmt: skip


def judged(claim: str | None, **changes: Any) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMALL, **changes)) as cfg:
        rows: list[Row] = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_pre_training_is_what_helps() -> None:
    verdicts = judged(None)
    for claim in ("pre-training", "zero-shot"):
        effect = verdicts[claim].effect
        assert effect is not None and effect > 5, verdicts[claim]
    assert verdicts["causal"].verdict == verdicts["published-size"].verdict == "holds"


def test_without_pre_training_the_arms_are_one() -> None:
    verdicts = judged("pre-training", tuning=10)
    for claim in ("pre-training", "layers", "last-layer", "zero-shot"):
        assert (verdicts[claim].effect, verdicts[claim].verdict) == (0, "not reproduced")


def test_text_in_disorder_teaches_nothing() -> None:
    with take_out(BROKEN, "zero-shot", replace(SMALL, seed=7)) as cfg:
        net, curve = pretrain(cfg, "pretrained", 7, CPU)
    assert curve[:, 2].min() > 35 and curve[-1, 2] > 40
    assert leak(net, language(SMALL).sentences(20, generator(0, "x"))) == 0


def test_a_mask_that_leaks_learns_what_nobody_can_know() -> None:
    """Which of the words of a kind comes next is pure chance: no honest loss is below its log."""
    cfg, losses = replace(SMALL, pretraining=300), []
    x = language(cfg).sentences(500, generator(0, "new"))
    for claim in (None, "causal"):
        pretrain.cache_clear()
        with take_out(BROKEN, claim, cfg):
            net, _ = pretrain(cfg, "pretrained", 0, CPU)
            losses.append(word_loss(net, x).mean().item())
            assert (leak(net, x[:50]) == 0) == (claim is None)
    pretrain.cache_clear()
    assert losses[1] < math.log(language(cfg).words) < losses[0]


@pytest.mark.parametrize("claim", ["causal", "published-size"])
def test_an_identity_fails_without_its_idea(claim: str) -> None:
    tiny = dict(pretraining=1, tuning=1, layers=1, transferred=(0, 1))
    verdicts = judged(claim, **tiny)
    other = {"causal": "published-size", "published-size": "causal"}[claim]
    assert (verdicts[claim].verdict, verdicts[other].verdict) == ("fails", "holds")


def test_a_short_sighted_net_sees_as_many_words_as_it_has_layers() -> None:
    torch.manual_seed(0)
    net = GPT(9, 8, 8, 2, 2)
    with take_out(BROKEN, "lstm", SMOKE):
        e = torch.randn(1, 6, 8, requires_grad=True)
        (gradient,) = torch.autograd.grad(net.states(e)[0, 5, 0], [e])
    assert gradient[0].any(1).tolist() == [False, False, False, True, True, True]
