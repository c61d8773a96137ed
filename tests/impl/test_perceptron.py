"""Perceptron: the rule written naively, Novikoff's bound as a law, XOR's contradiction."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from impl.kit import Row, Verdict, generator
from impl.kit.broken import take_out
from impl.perceptron import (
    BROKEN,
    SMOKE,
    AssociationUnits,
    Perceptron,
    check,
    every_weight,
    learn_xor,
    run,
    separable,
    xor_patterns,
)

CPU = torch.device("cpu")


def naive(x: Tensor, y: Tensor, sweeps: int) -> tuple[Tensor, int]:
    """One pattern after the other."""
    w, corrections = torch.zeros(x.shape[1]), 0
    for _ in range(sweeps):
        for pattern, answer in zip(x, y, strict=True):
            if answer * (w @ pattern) <= 0:
                w, corrections = w + answer * pattern, corrections + 1
    return w, corrections


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(2, 30), st.sampled_from([0.1, 0.03]), st.integers(0, 10_000))
def test_it_converges_within_novikoffs_bound(D: int, N: int, gap: float, seed: int) -> None:
    x, y, bound = separable(N, D, gap, generator(seed, "data"))
    assert bound <= 1 / gap**2 + 1e-6
    unit, corrections = Perceptron(torch.zeros(D + 1)), -1
    for _ in unit.learn(x, y):
        corrections += 1
        assert corrections <= bound
    assert (y * unit(x) > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_skipping_what_is_right_changes_nothing(seed: int) -> None:
    """`learn` goes straight to the next mistake; presenting each pattern gives the same."""
    x, y, _ = separable(25, 3, 0.05, generator(seed, "data"))
    unit = Perceptron(torch.zeros(4))
    corrections = sum(1 for _ in unit.learn(x, y)) - 1
    expected, k = naive(x, y, sweeps=200)
    assert torch.equal(unit.w, expected) and corrections == k


def test_a_signal_of_zero_is_no_answer() -> None:
    unit = Perceptron(torch.zeros(2))
    steps = list(unit.learn(torch.tensor([[1.0, 1.0]]), torch.tensor([-1.0])))
    assert [bool(right.all()) for right in steps] == [False, True]
    assert unit.w.tolist() == [-1.0, -1.0]


def test_the_four_demands_of_xor_contradict_each_other() -> None:
    """y (w x) > 0 for all four patterns; but the vectors y x sum to zero, so the numbers do."""
    x, y = xor_patterns()
    assert torch.equal((y[:, None] * x).sum(0), torch.zeros(3))
    assert every_weight(3)["best_right"] == 3


def test_two_threshold_units_are_enough_for_xor() -> None:
    """OR and NAND, and a response to both: what the bare response unit can't do."""
    x, y = xor_patterns()
    z = AssociationUnits(torch.tensor([[1.0, 1, 1], [-1, -1, 1]]))(x)
    response = Perceptron(torch.tensor([2.0, 2, -3]))(z)
    assert torch.equal(response.sign(), y)
    assert torch.equal(AssociationUnits(torch.zeros(0, 3))(x), x)


def last(A: int, seed: int, **changes: int) -> Row:
    cfg = replace(SMOKE, units=(0, 4, 16), **changes)  # type: ignore[arg-type]
    return [e for e in learn_xor(cfg, CPU, seed, A) if isinstance(e, dict)][-1]


def test_every_start_with_the_inputs_alone_comes_round() -> None:
    rows = [last(0, seed) for seed in range(20)]
    assert all(row["came_round"] and not row["solved"] for row in rows)
    assert all(row["beyond_three"] == 0 for row in rows)


def test_a_start_that_was_cut_short_says_nothing_about_never() -> None:
    assert "beyond_three" not in last(0, 0, budget=1)


def test_more_units_begin_with_the_same() -> None:
    cfg = replace(SMOKE, units=(0, 4, 16))
    few, many = (next(iter(learn_arrays(cfg, A))) for A in (4, 16))
    assert few.shape == (4, 3) and torch.equal(many[:4], few)


def learn_arrays(cfg: object, A: int) -> list[Tensor]:
    events = learn_xor(cfg, CPU, 0, A)  # type: ignore[arg-type]
    return [event.tensors["v"] for event in events if hasattr(event, "tensors")]


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_the_theorems_hold() -> None:
    verdicts = judged(None)
    assert verdicts["convergence"].verdict == verdicts["xor"].verdict == "holds"
    assert verdicts["xor"].n >= 4, "every start counts, and all weights together"


@pytest.mark.parametrize("claim", BROKEN)
def test_without_its_idea_a_claim_falls(claim: str) -> None:
    verdict = judged(claim, budget=200)[claim].verdict
    assert verdict == ("not reproduced" if claim == "association-units" else "fails")
