"""The Lagrangian's three conditions against autograd, finite differences, and the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from impl.kit import generator
from impl.kit.broken import take_out
from impl.lecun_theory import (
    BROKEN,
    SMOKE,
    Net,
    autograd,
    check,
    error,
    gap,
    gaps,
    learn,
    recurrent,
    relax,
    run,
)

CPU = torch.device("cpu")


def drawn(seed: int, L: int = 3, H: int = 4, P: int = 5) -> tuple[Net, Tensor, Tensor]:
    source = generator(seed, "net")
    net = Net([6, *[H] * (L - 1), 2], 1.2, source).double()
    x, d = (torch.rand(P, n, generator=source).double() * 2 - 1 for n in (6, 2))
    return net, x, d


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 5), st.integers(0, 1000))
def test_the_linear_system_and_the_backward_pass_and_autograd_agree(
    L: int,
    H: int,
    P: int,
    seed: int,
) -> None:
    net, x, d = drawn(seed, L, H, P)
    assert max(float(value) for value in gaps(net, x, d).values()) < 1e-9


def test_the_lagrangian_is_stationary_in_states_and_multipliers_there_and_only_there() -> None:
    net, x0, d = drawn(1)
    x = [state.detach().requires_grad_() for state in net(x0)]
    with torch.no_grad():
        b = [multiplier.requires_grad_() for multiplier in net.solve(x, d)]
    for slope in torch.autograd.grad(net.lagrangian(x, b, d), [*x[1:], *b]):
        assert slope.abs().max() < 1e-12
    wrong = [multiplier.detach() + 0.1 for multiplier in b]
    slopes = torch.autograd.grad(net.lagrangian(x, wrong, d), x[1:])
    assert max(slope.abs().max().item() for slope in slopes) > 0.01


@torch.no_grad()
def test_where_the_constraints_hold_the_lagrangian_is_the_error() -> None:
    net, x0, d = drawn(2)
    x = net(x0)
    ones = [torch.ones_like(state) for state in x[1:]]
    assert net.lagrangian(x, ones, d).item() == pytest.approx(error(x[-1], d).item())


@torch.no_grad()
def test_a_multiplier_is_what_breaking_its_constraint_costs() -> None:
    net, x0, d = drawn(3)
    x = net(x0)
    nudged = [state.clone() for state in x]
    nudged[1][0, 0] += 1e-6
    for k in range(1, len(net.W)):
        nudged[k + 1] = torch.tanh(nudged[k] @ net.W[k].T)
    cost = (error(nudged[-1], d) - error(x[-1], d)) / 1e-6
    assert cost.item() == pytest.approx(net.solve(x, d)[0][0, 0].item(), rel=1e-3, abs=1e-6)


def test_all_layers_at_once_arrive_after_as_many_sweeps_as_there_and_back() -> None:
    net, x0, d = drawn(4)
    L, dE_dx = len(net.W), autograd(net, x0, d)[0]
    with torch.no_grad():
        right = net(x0)[1:]
        for sweep, (x, b) in enumerate(relax(net, x0, d, seed=4)):
            if sweep == 2 * L:
                assert gap(x, right) < 1e-12 and gap(b, dE_dx) < 1e-12
                break
            assert sweep == 0 or gap(x[:1], right[:1]) < 1e-12


@given(st.integers(0, 200))
@settings(max_examples=5, deadline=None)
def test_a_settled_recurrent_net(seed: int) -> None:
    assert float(recurrent(SMOKE, seed)["recurrent_gap"]) < 1e-9


def test_both_descents_are_the_same() -> None:
    losses = [
        [float(row["loss"]) for row in learn(SMOKE, CPU, arm, 0) if isinstance(row, dict)]
        for arm in ("learnt", "learnt by autograd")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0][-1] < losses[0][0]


def outcomes(claim: str | None) -> set[str]:
    with take_out(BROKEN, claim, replace(SMOKE, updates=2)) as cfg:
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.verdict for verdict in check(rows)}


def test_all_three_claims_hold() -> None:
    assert outcomes(None) == {"holds"}


def test_forgetting_the_derivative_of_the_units_is_noticed() -> None:
    assert outcomes("multipliers") == {"fails"}
