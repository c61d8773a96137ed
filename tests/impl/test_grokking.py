"""Grokking: torch's Transformer, the tables, the circle, the renaming, and the ideas taken out."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from impl.grokking import (
    BROKEN,
    PAPER,
    QUICK,
    SMOKE,
    Accuracies,
    Block,
    Transformer,
    build,
    check,
    one_wave,
    powers,
    renaming_gap,
    run,
    trial,
)
from impl.kit import Row, Verdict
from impl.kit.broken import take_out
from impl.kit.operation_tables import split, table, without_rule

CPU = torch.device("cpu")
primes = st.sampled_from([3, 5, 7, 11, 13, 31])


# --- the nets ---


def test_a_block_is_torchs_layer_with_a_causal_mask() -> None:
    torch.manual_seed(0)
    ours = Block(16, 4)
    theirs = nn.TransformerEncoderLayer(16, 4, 64, dropout=0.0, batch_first=True, bias=False)
    theirs.self_attn.in_proj_weight.data = ours.qkv.weight.data
    theirs.self_attn.out_proj.weight.data = ours.out.weight.data
    theirs.linear1.weight.data, theirs.linear2.weight.data = ours.up.weight, ours.down.weight
    x = torch.randn(5, 4, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    assert torch.allclose(ours(x), theirs(x, src_mask=mask), atol=1e-6)


def test_the_papers_net_has_about_400_000_weights_besides_the_symbols() -> None:
    net = build(PAPER, PAPER.p)
    assert isinstance(net, Transformer)
    count = sum(w.numel() for w in net.blocks.parameters())
    assert count == 2 * (12 * 128**2 + 4 * 128) and round(count, -5) == 400_000


def test_the_transformer_sees_the_order_of_the_operands() -> None:
    torch.manual_seed(0)
    net = Transformer(7, 16, 1, 4)
    x, y = torch.tensor([1, 2]), torch.tensor([2, 1])
    logits = net(x, y)
    assert logits.shape == (2, 7) and not torch.allclose(logits[0], logits[1])


# --- the tables ---


@given(primes)
def test_the_tables_are_those_of_the_operations(p: int) -> None:
    x, y, z = table("x/y", p)
    assert len(x) == p * (p - 1) and torch.equal(z * y % p, x)
    x, y, z = table("x*y", p)
    assert len(x) == (p - 1) ** 2 and torch.equal((x + 1) * (y + 1) % p, z + 1)
    x, y, z = table("x+y", p)
    for column in z.reshape(p, p):
        assert column.sort().values.tolist() == list(range(p)), "a Latin square"


@given(primes)
def test_products_are_sums_of_powers(p: int) -> None:
    """Sec. 3.2: g^a g^b = g^(a + b mod p - 1)."""
    g = powers(p)
    for a in range(p - 1):
        for b in range(p - 1):
            assert g[a] * g[b] % p == g[(a + b) % (p - 1)]


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match="x-y"):
        table("x-y", 7)


@given(st.integers(4, 500), st.floats(0.1, 0.9), st.integers(0, 99))
def test_the_three_sets_are_disjoint_and_complete(pairs: int, share: float, seed: int) -> None:
    sets = split(pairs, share, seed)
    assert torch.equal(torch.cat(sets).sort().values, torch.arange(pairs))
    assert len(sets[0]) == round(share * pairs) and abs(len(sets[1]) - len(sets[2])) <= 1


def test_a_shuffled_table_has_the_same_answers_elsewhere() -> None:
    ours, theirs = table("x+y", 11)[2], without_rule("x+y", 11)[2]
    assert torch.equal(ours.bincount(), theirs.bincount()) and not torch.equal(ours, theirs)


# --- what is measured ---


@settings(deadline=None)
@given(st.integers(1, 15), st.integers(0, 99))
def test_weights_that_are_one_cosine_are_one_wave(k: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    phases, sizes = torch.rand(2, 8, generator=draw)
    angles = 2 * math.pi * k * torch.arange(31)[:, None] / 31
    assert one_wave(3 + (sizes + 0.1) * torch.cos(angles + 6 * phases)) > 0.999
    assert one_wave(torch.randn(31, 512, generator=draw)) < 0.3


def test_a_set_is_learnt_when_it_first_is() -> None:
    cfg = replace(SMOKE, updates=100, calm=10)
    seen = Accuracies(cfg, [torch.tensor([at]) for at in range(3)])
    for step, right in ((5, [0, 0, 0]), (10, [1, 0, 0]), (15, [1, 1, 0]), (20, [0, 1, 0])):
        seen.add(step, torch.tensor(right))
        assert not seen.done
    seen.add(25, torch.tensor([1, 1, 0]))
    assert seen.reached == {"train_steps": 10, "val_steps": 15, "test_steps": 101}
    assert seen.done, "the validation pair has been right for ten updates"


@pytest.mark.parametrize("net", ["mlp", "transformer"])
def test_a_renamed_task_is_the_same_unless_numbers_are_shown(net: str) -> None:
    cfg = replace(QUICK, net=net, p=11, D=8, layers=1)
    torch.manual_seed(0)
    assert renaming_gap(cfg, 0) < 1e-11
    with take_out(BROKEN, "renaming", cfg):
        assert renaming_gap(cfg, 0) > 1e-3


# --- the claims ---


def judged(claim: str) -> dict[str, Verdict]:
    cfg = replace(QUICK, p=11, D=16, H=64, lrs=(0.03,), updates=200, seeds=2)
    with take_out(BROKEN, claim, cfg) as changed:
        rows: list[Row] = [event for event in run(changed, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_a_table_without_a_rule_is_only_learnt_by_heart() -> None:
    verdict = judged("past-overfitting")["past-overfitting"]
    assert (verdict.verdict, verdict.note) == ("not reproduced", "the idea diverged")


def test_without_weight_decay_both_arms_are_the_same() -> None:
    verdicts = judged("weight-decay")
    for claim in ("weight-decay", "circle"):
        assert (verdicts[claim].effect, verdicts[claim].verdict) == (0, "not reproduced")


def test_with_as_much_data_it_takes_as_long() -> None:
    verdict = judged("less-data-longer")["less-data-longer"]
    assert (verdict.effect, verdict.verdict) == (1, "not reproduced")


def test_a_net_finds_the_rule_after_it_knows_its_own_pairs_by_heart() -> None:
    torch.manual_seed(0)
    *_, last = trial(QUICK, CPU, arm="weight decay", seed=0, share=0.7, lr=0.03)
    assert isinstance(last, dict) and float(last["test_accuracy"]) > 95
    assert 2 * float(last["train_steps"]) < float(last["test_steps"]) <= QUICK.updates
