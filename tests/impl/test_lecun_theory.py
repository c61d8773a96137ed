"""The Lagrangian's three conditions against autograd, finite differences, and the broken idea."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from impl import lecun_theory
from impl.lecun_theory import (
    SMOKE,
    autograd,
    backward,
    by_weights,
    check,
    draw,
    error,
    forward,
    gap,
    lagrangian,
    recurrent_gaps,
    relaxing,
    run,
    solved,
)

CPU = torch.device("cpu")


def verdicts() -> dict[str, str]:
    rows: list[Any] = [event for event in run(replace(SMOKE, updates=2), CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 5), st.integers(0, 1000))
def test_the_linear_system_and_the_backward_pass_and_autograd_agree(L: int, H: int, P: int, seed: int) -> None:
    W, x0, d = draw(replace(SMOKE, layers=L, H=H, patterns=P), seed)
    x = forward(W, x0)
    b = solved(W, x, d)
    dE_dx, dE_dW = autograd(W, x0, d)
    assert gap(b, backward(W, x, d)) < 1e-9
    assert gap(b, dE_dx) < 1e-9
    assert gap(by_weights(x, b), dE_dW) < 1e-9


def test_the_lagrangian_is_stationary_in_states_and_multipliers_there_and_only_there() -> None:
    W, x0, d = draw(SMOKE, seed=1)
    x = [state.requires_grad_() for state in forward(W, x0)]
    b = [multiplier.detach().requires_grad_() for multiplier in solved(W, [s.detach() for s in x], d)]
    for slope in torch.autograd.grad(lagrangian(W, x, b, d), [*x[1:], *b]):
        assert slope.abs().max() < 1e-12
    wrong = [multiplier.detach() + 0.1 for multiplier in b]
    assert max(s.abs().max().item() for s in torch.autograd.grad(lagrangian(W, x, wrong, d), x[1:])) > 0.01


def test_where_the_constraints_hold_the_lagrangian_is_the_error() -> None:
    W, x0, d = draw(SMOKE, seed=2)
    x = forward(W, x0)
    assert lagrangian(W, x, [torch.ones_like(s) for s in x[1:]], d).item() == pytest.approx(error(x[-1], d).item())


def test_a_multiplier_is_what_breaking_its_constraint_costs() -> None:
    W, x0, d = draw(SMOKE, seed=3)
    x = forward(W, x0)
    b = solved(W, x, d)
    nudged = [s.clone() for s in x]
    nudged[1][0, 0] += 1e-6
    for k in range(1, len(W)):
        nudged[k + 1] = lecun_theory.f(nudged[k] @ W[k].T)
    cost = (error(nudged[-1], d) - error(x[-1], d)) / 1e-6
    assert cost.item() == pytest.approx(b[0][0, 0].item(), rel=1e-3, abs=1e-6)


def test_all_layers_at_once_arrive_after_as_many_sweeps_as_there_and_back() -> None:
    W, x0, d = draw(SMOKE, seed=4)
    L = len(W)
    for sweep, (x, b) in enumerate(relaxing(W, x0, d, seed=4)):
        if sweep == 2 * L:
            assert gap(x, forward(W, x0)[1:]) < 1e-12 and gap(b, autograd(W, x0, d)[0]) < 1e-12
            break
        assert sweep == 0 or gap(x[:1], forward(W, x0)[1:2]) < 1e-12


@given(st.integers(0, 200))
@settings(max_examples=5, deadline=None)
def test_a_settled_recurrent_net(seed: int) -> None:
    assert max(recurrent_gaps(SMOKE, seed)) < 1e-9


def test_all_three_claims_hold() -> None:
    assert set(verdicts().values()) == {"reproduced"}


def test_forgetting_the_slope_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: constraints linearized as if every unit were linear."""

    def ones(x: Tensor) -> Tensor:
        return torch.ones_like(x)

    monkeypatch.setattr(lecun_theory, "slope", ones)
    assert set(verdicts().values()) == {"not reproduced"}
