"""The Transformer: torch's attention and layers, Table 3's sizes, order, and its broken ideas."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from impl.kit import Verdict, generator
from impl.kit.broken import take_out
from impl.kit.encoder_decoder import (
    RecurrentEncoderDecoder,
    backwards,
    matching_width,
    parameters,
)
from impl.kit.longest_chain import longest_chain
from impl.transformer import (
    BROKEN,
    PAPER,
    QUICK,
    SMOKE,
    MultiHeadAttention,
    Transformer,
    attention,
    check,
    course,
    longer,
    order_gap,
    run,
    scale,
    sinusoids,
    size,
    size_gap,
)

CPU = torch.device("cpu")
sizes = st.integers(1, 6)


def random(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, sizes, sizes, st.booleans(), st.integers(0, 999))
def test_attention_is_torchs(T: int, S: int, d_k: int, d_v: int, masked: bool, seed: int) -> None:
    Q, K, V = (random(2, n, d, seed=seed) for n, d in ((T, d_k), (S, d_k), (S, d_v)))
    visible = torch.ones(T, S, dtype=torch.bool).tril() if masked else None
    expected = F.scaled_dot_product_attention(Q, K, V, visible)
    assert torch.allclose(attention(Q, K, V, scale(d_k), visible), expected, atol=1e-12)


def test_many_heads_are_torchs() -> None:
    d, h = 12, 3
    ours = MultiHeadAttention(d, h, d // h, d // h).double()
    theirs = nn.MultiheadAttention(d, h, batch_first=True, dtype=torch.float64)
    projections = (ours.W_Q, ours.W_K, ours.W_V)
    state = {
        "in_proj_weight": torch.cat([each.weight for each in projections]),
        "in_proj_bias": torch.cat([each.bias for each in projections]),
        "out_proj.weight": ours.W_O.weight,
        "out_proj.bias": ours.W_O.bias,
    }
    theirs.load_state_dict(state)
    x, memory = random(2, 5, d), random(2, 7, d, seed=1)
    expected, pattern = theirs(x, memory, memory, average_attn_weights=False)
    assert torch.allclose(ours(x, memory), expected, atol=1e-12)
    assert torch.allclose(ours.pattern(x, memory), pattern, atol=1e-12)


def test_the_encoder_is_torchs() -> None:
    cfg = replace(SMOKE, d=8, h=2, d_k=4, d_v=4, d_ff=16, dropout=0.0)
    layer = Transformer(cfg).double().encoder[0]
    theirs = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, dtype=torch.float64)
    ours, names = layer.attentions[0], ("W_Q", "W_K", "W_V")
    theirs.self_attn.in_proj_weight.data = torch.cat([getattr(ours, n).weight for n in names])
    theirs.self_attn.in_proj_bias.data = torch.cat([getattr(ours, n).bias for n in names])
    theirs.self_attn.out_proj.load_state_dict(ours.W_O.state_dict())
    theirs.linear1.load_state_dict(layer.feed[0].state_dict())
    theirs.linear2.load_state_dict(layer.feed[2].state_dict())
    x = random(2, 5, 8)
    assert torch.allclose(layer(x), theirs(x), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(0, 40), st.integers(1, 8))
def test_a_shift_turns_the_waves(half: int, at: int, by: int) -> None:
    """Sec. 3.5: what stands k farther is a linear function, the same wherever one begins."""
    pairs = sinusoids(at + by + 1, 2 * half).double().unflatten(1, (half, 2))
    first, other = (pairs[:, :, 0] * 1j + pairs[:, :, 1])[[at, at + by]]
    turn = (pairs[:, :, 0] * 1j + pairs[:, :, 1])[by]
    assert torch.allclose(first * turn, other, atol=1e-4)
    assert torch.allclose(pairs.square().sum(2), torch.ones(1).double(), atol=1e-5)


def test_scores_of_random_vectors_have_a_variance_of_one() -> None:
    q, k = random(2, 100_000, 64)
    assert float((q * k).sum(1).var()) == pytest.approx(64, rel=0.02)
    assert float((q * k).sum(1).mul(scale(64)).var()) == pytest.approx(1, rel=0.02)


def test_no_token_sees_a_later_one() -> None:
    torch.manual_seed(0)
    net, (x, _, y) = Transformer(SMOKE).eval(), backwards(SMOKE.words, 6, 3, generator(0, "x"))
    later = y.clone()
    later[:, 4:] = (later[:, 4:] + 1) % SMOKE.words
    assert torch.equal(net(x, y)[:, :4], net(x, later)[:, :4])
    assert not torch.allclose(net(x, y)[:, 4:], net(x, later)[:, 4:])


# --- sizes and costs ---


def test_published_sizes() -> None:
    """Of the vocabulary the paper says about 37,000; with 41,000 all rows are as printed."""
    assert size() == 63_082_496
    assert size_gap() < 1
    rows: dict[int, dict[str, int]] = {
        65: {},
        **{36: {"N": 2}, 50: {"N": 4}, 80: {"N": 8}, 58: {"d_k": 16}, 60: {"d_k": 32}},
        **{53: {"d_ff": 1024}, 90: {"d_ff": 4096}},
        28: {"d": 256, "d_k": 32, "d_v": 32},
        168: {"d": 1024, "d_k": 128, "d_v": 128},
    }
    assert all(round(size(words=41_000, **row) / 1e6) == said for said, row in rows.items())


def test_the_rate_is_that_of_equation_3() -> None:
    highest = (PAPER.d * PAPER.warmup) ** -0.5
    for step in (1, 100, 4_000, 50_000):
        expected = PAPER.d**-0.5 * min(step**-0.5, step * PAPER.warmup**-1.5)
        assert highest * course(step, PAPER.warmup) == pytest.approx(expected)
    assert highest == pytest.approx(0.0007, rel=0.01)


@pytest.mark.parametrize("wanted", [1_000, 20_000, 60_000])
def test_the_rival_is_about_as_large(wanted: int) -> None:
    H = matching_width(12, wanted)
    others = [parameters(RecurrentEncoderDecoder(12, H + more)) for more in (-2, 0, 2)]
    assert min(others, key=lambda size: abs(size - wanted)) == others[1]


def test_flops_are_six_for_a_weight_and_token() -> None:
    """Of the matrices of a recurrent net, which has no other products but its attention's."""
    net, (x, _, y) = RecurrentEncoderDecoder(12, 16), backwards(12, 1, 4, generator(0, "x"))
    with FlopCounterMode(display=False) as counted:
        net(x, y).sum().backward()
    weights = sum(p.numel() for p in net.parameters() if p.dim() > 1)
    assert counted.get_total_flops() == pytest.approx(6 * 4 * weights, rel=0.1)


def test_only_recurrence_makes_the_chain_longer() -> None:
    assert longer(Transformer(SMOKE), SMOKE) == 0
    assert longer(RecurrentEncoderDecoder(SMOKE.words, 4), SMOKE) > 4 * SMOKE.T
    x = torch.ones(3, requires_grad=True)
    assert longest_chain(x.detach()) == 0
    assert longest_chain((x * 2).exp() + x) == longest_chain((x * 2).exp()) + 1 == 4


def test_positions_are_all_it_knows_of_order() -> None:
    torch.manual_seed(1)
    net, batch = Transformer(SMOKE), backwards(SMOKE.words, 6, 3, generator(0, "x"))
    assert order_gap(net, batch) < 1e-12
    x, _, y = batch
    assert not torch.allclose(net(x.flip(1), y), net(x, y))


# --- verdicts ---


def judged(claim: str | None, **changes: Any) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


@pytest.mark.parametrize("claim", ["order-blind", "sequential", "published-size"])
def test_an_identity_holds_until_its_idea_is_taken_out(claim: str) -> None:
    broken = judged(claim, seeds=1)
    assert broken[claim].verdict == "fails"
    others = {"order-blind", "sequential", "published-size"} - {claim}
    assert any(broken[other].verdict == "holds" for other in others)


def test_without_the_factor_the_arms_are_one() -> None:
    broken = judged("scaling", seeds=2)["scaling"]
    assert (broken.effect, broken.verdict) == (0, "not reproduced")


def test_the_factor_is_what_lets_it_learn() -> None:
    small = dict(d=16, d_ff=32, d_k=64, d_v=8, T=3, words=6, flops=2e8, lrs=(0.01,), batch=8)
    verdict = judged(None, **small, warmup=20, test=100)["scaling"]
    assert verdict.measured is not None and verdict.baseline is not None
    assert verdict.measured < 30 < verdict.baseline


def test_without_attention_it_loses_against_recurrence() -> None:
    cfg = dict(d=QUICK.d, T=4, words=6, flops=8e7, lrs=(0.01,), batch=8, test=100, seeds=2)
    verdict = judged("less-compute", **cfg, warmup=10)["less-compute"]
    assert verdict.effect is not None and verdict.effect < 0
