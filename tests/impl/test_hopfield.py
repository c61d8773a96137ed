"""Hopfield's net: its weights, its updates, its energy, and what is left without the ideas."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impl.hopfield import BROKEN, QUICK, Hopfield, check, run, store
from impl.kit.broken import take_out

seeds = st.integers(0, 10_000)


def random_states(seed: int, n: int, N: int) -> torch.Tensor:
    return torch.randint(2, (n, N), generator=torch.Generator().manual_seed(seed)).float()


@given(seeds, st.integers(1, 6), st.integers(2, 12))
def test_weights_are_those_of_equation_2(seed: int, n: int, N: int) -> None:
    V = random_states(seed, n, N)
    T = store(V)
    for i in range(N):
        for j in range(N):
            expected = sum((2 * v[i] - 1) * (2 * v[j] - 1) for v in V) if i != j else 0
            assert T[i, j] == expected


@settings(deadline=None)
@given(seeds, st.integers(1, 6), st.integers(2, 12))
def test_an_update_never_raises_the_energy_and_changes_one_unit(seed: int, n: int, N: int) -> None:
    net, V = Hopfield(store(random_states(seed, n, N))), random_states(seed + 1, 3, N)
    for i in range(N):
        new = net.update(V, i)
        assert (net.energy(new) <= net.energy(V)).all()
        others = [j for j in range(N) if j != i]
        assert torch.equal(new[:, others], V[:, others])
        total = V @ net.T[i]
        assert torch.equal(new[total != 0, i], (total[total != 0] > 0).float())
        V = new


def test_a_single_memory_is_at_rest_and_reached_from_nearby() -> None:
    memory = random_states(3, 1, 40)
    damaged = memory.clone()
    damaged[0, :8] = 1 - damaged[0, :8]
    net = Hopfield(store(memory))
    *_, end = net.settle(torch.cat([memory, damaged]), 5, torch.Generator().manual_seed(0))
    assert torch.equal(end, memory.expand(2, -1))


@pytest.mark.parametrize("claim", [None, *BROKEN])
def test_a_claim_stands_until_its_idea_is_taken_out(claim: str | None) -> None:
    cfg = replace(QUICK, loads=(10, 20), sweeps=10, seeds=20)
    with take_out(BROKEN, claim, cfg) as changed:
        rows: list[dict[str, Any]] = [
            event for event in run(changed, torch.device("cpu")) if isinstance(event, dict)
        ]
    verdicts = {verdict.claim: verdict.verdict for verdict in check(rows)}
    stands = {name for name in verdicts if verdicts[name] in ("reproduced", "holds")}
    assert claim not in stands if claim else stands == set(verdicts)
