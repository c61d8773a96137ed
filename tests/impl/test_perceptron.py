"""Perceptron: the rule written naively, Novikoff's bound as a law, XOR's contradiction, and the broken idea."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from impl import perceptron
from impl.perceptron import SMOKE, association, check, every_weight, learn, reaching, run, separable

CPU = torch.device("cpu")


def rows_of(**changes: Any) -> list[dict[str, Any]]:
    return [event for event in run(replace(SMOKE, **changes), CPU) if isinstance(event, dict)]


def naive(x: Tensor, y: Tensor, sweeps: int) -> tuple[Tensor, int]:
    """One perceptron, one pattern after the other."""
    w, corrections = torch.zeros(x.shape[1]), 0
    for _ in range(sweeps):
        for pattern, answer in zip(x, y, strict=True):
            if answer * (w @ pattern) <= 0:
                w, corrections = w + answer * pattern, corrections + 1
    return w, corrections


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.integers(2, 30), st.sampled_from([0.1, 0.03]), st.integers(0, 10_000))
def test_it_converges_within_novikoffs_bound(D: int, N: int, gap: float, seed: int) -> None:
    x, y, bound = separable(N, D, gap, seed)
    assert bound <= 1 / gap**2 + 1e-6
    for w, right, corrections, _ in learn(torch.zeros(1, D + 1), x[None], y[None]):
        assert corrections.item() <= bound
        if right.all():
            assert ((x @ w[0]) * y > 0).all()
            break


def test_skipping_what_is_right_changes_nothing() -> None:
    """`learn` goes straight to the next mistake, three seeds side by side; presenting each pattern gives the same."""
    drawn = [separable(25, 3, 0.05, seed) for seed in range(3)]
    x, y = torch.stack([d[0] for d in drawn]), torch.stack([d[1] for d in drawn])
    w, right, corrections, _ = next(islice(learn(torch.zeros(3, 4), x, y), 400, None))
    assert right.all()
    for i in range(3):
        expected, k = naive(x[i], y[i], sweeps=400)
        assert torch.equal(w[i], expected) and corrections[i] == k


def test_the_four_demands_of_xor_contradict_each_other() -> None:
    """y (w x) > 0 for all four patterns; but the four vectors y x sum to zero, so the four numbers sum to zero."""
    x = torch.tensor([[-1.0, -1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, 1]])
    y = -x[:, 0] * x[:, 1]
    assert torch.equal((y[:, None] * x).sum(0), torch.zeros(3))
    assert every_weight(3)["best_right"] == 3


def test_two_threshold_units_are_enough_for_xor() -> None:
    """OR and NAND, and a response to both: what the bare response unit can't do."""
    x = torch.tensor([[-1.0, -1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, 1]])
    hidden = torch.tensor([[[1.0, 1, 1], [-1, -1, 1]]])
    z = reaching(hidden, x)
    assert ((z[0] @ torch.tensor([2.0, 2, -3])) > 0).tolist() == [False, True, True, False]


def test_more_association_units_have_their_own_draw_and_every_seed_another() -> None:
    assert association(4, range(3)).shape == (3, 4, 3)
    assert not torch.equal(association(4, range(1)), association(4, range(1, 2)))


def test_association_units_that_see_nothing_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: every unit has the same weights, so the response can't tell more than one line apart."""
    monkeypatch.setattr(perceptron, "association", lambda A, seeds: torch.ones(len(seeds), A, 3))
    verdicts = {v.claim: v.verdict for v in check(rows_of())}
    assert verdicts["association-units"] == "not reproduced"
    assert verdicts["convergence"] == verdicts["xor"] == "reproduced"


def test_learning_from_wrong_answers_breaks_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def contradictory(N: int, D: int, gap: float, seed: int) -> tuple[Tensor, Tensor, float]:
        x, y, bound = separable(N, D, gap, seed)
        return torch.cat([x, x[:1]]), torch.cat([y, -y[:1]]), bound

    monkeypatch.setattr(perceptron, "separable", contradictory)
    assert {v.claim: v.verdict for v in check(rows_of())}["convergence"] == "not reproduced"


def test_a_run_that_was_cut_short_says_nothing_about_never() -> None:
    assert {v.claim: v.verdict for v in check(rows_of(budget=2))}["xor"] == "inconclusive"


def test_every_seed_of_xor_comes_round() -> None:
    alone = [row for row in rows_of(seeds=20) if row.get("units") == 0 and "came_round" in row]
    assert len(alone) == 20 and all(row["came_round"] and not row["solved"] for row in alone)


def test_curves_grow_while_it_runs() -> None:
    seen: Iterator[Any] = run(SMOKE, CPU)
    assert any("step" in event for event in islice(seen, 20) if isinstance(event, dict))
