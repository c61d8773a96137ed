"""The vanishing gradient: torch's own RNN and LSTM in special cases, h*, the product of Jacobians, and the broken idea."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import jacrev

from impl.vanishing_gradient import (
    SMOKE,
    Cell,
    Step,
    Training,
    Unit,
    check,
    generators,
    gradient_norms,
    nets,
    run,
    threshold,
)

CPU = torch.device("cpu")


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.integers(1, 12), st.integers(0, 99))
def test_the_unit_is_torchs(w: float, T: int, seed: int) -> None:
    theirs = nn.RNN(1, 1, bias=False).double()
    theirs.load_state_dict({"weight_ih_l0": torch.ones(1, 1), "weight_hh_l0": torch.full((1, 1), w)})
    h = torch.randn(T, 1, 6, generator=torch.Generator().manual_seed(seed)).double()
    ours = Unit(torch.tensor([w], dtype=torch.float32).double()).answer(h)
    assert torch.allclose(ours[0], theirs(h[:, 0, :, None])[0][-1, :, 0])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(0, 99))
def test_the_cell_is_an_lstm_whose_gates_see_only_the_input(T: int, seed: int) -> None:
    torch.manual_seed(seed)
    w, f0, f1, i0, i1 = weights = [torch.randn(1).double() for _ in range(5)]
    cell = Cell(w)
    cell.weights = weights
    theirs, zero = nn.LSTM(1, 1).double(), torch.zeros(1).double()
    theirs.load_state_dict(
        {
            "weight_ih_l0": torch.stack([i1, f1, w, zero]),  # torch's order: input, forget, cell, output
            "weight_hh_l0": torch.zeros(4, 1),
            "bias_ih_l0": torch.cat([i0, f0, zero, zero + 1e3]),
            "bias_hh_l0": torch.zeros(4),
        }
    )
    h = torch.randn(T, 1, 6).double()
    assert torch.allclose(cell.answer(h)[0], theirs(h[:, 0, :, None])[0][-1, :, 0])


@given(st.floats(1.01, 20), st.lists(st.floats(-1, 1), min_size=1, max_size=50))
def test_no_noise_below_the_threshold_takes_the_bit_away(w: float, noise: list[float]) -> None:
    edge, h_star = (float(v) for v in threshold(torch.tensor(w).double()))
    a = edge * 1.001 + 1e-9
    for n in noise:
        assert w * (1 - math.tanh(a) ** 2) < 1 + 1e-9
        a = w * math.tanh(a) + 0.999 * h_star * n
        assert a >= edge - 1e-9


@given(st.floats(1.01, 20))
def test_at_the_threshold_the_map_just_touches_the_diagonal(w: float) -> None:
    edge, h_star = (float(v) for v in threshold(torch.tensor(w).double()))
    assert w * math.tanh(edge) - h_star == pytest.approx(edge)
    assert w * (1 - math.tanh(edge) ** 2) == pytest.approx(1)
    assert h_star > 0


@pytest.mark.parametrize("name", ["tanh, latching", "tanh, forgetting", "tanh, chaotic", "gated cell"])
def test_the_product_of_jacobians_is_the_derivative_of_the_whole(name: str) -> None:
    draw = torch.Generator().manual_seed(3)
    step = nets(6, draw)[name]
    start, noise = torch.randn(6, generator=draw).double(), torch.randn(9, 6, generator=draw).double()

    def last(h: Tensor) -> Tensor:
        for n in noise:
            h = step(h, n)
        return h

    norms, bounds, _ = gradient_norms(step, start, noise)
    whole = torch.linalg.matrix_norm(jacrev(last)(start), 2)
    assert norms[-1] == pytest.approx(math.log10(float(whole)))
    assert all(n <= b + 1e-9 for n, b in zip(norms, bounds, strict=True))


def test_units_side_by_side_do_not_touch() -> None:
    w0, s, rates = torch.tensor([1.0, 2.0]), torch.tensor([0.1, 0.2]), torch.tensor([0.1, 0.1])
    u = torch.randn(2, 2, 2)
    both = Training(Unit, w0, s, rates, 6, u, 1)
    alone = Training(Unit, w0[1:], s[1:], rates[1:], 6, u[:, 1:], 1)
    for _ in range(3):
        both.update(2, generators([5, 6], 0))
        alone.update(2, generators([6], 0))
    assert torch.allclose(both.u[:, 1:], alone.u)


def test_a_memory_that_does_not_contract_is_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: the net said to latch is a gated cell, the one said to explode forgets, and the gated cell has no
    gates."""

    def broken(H: int, draw: torch.Generator) -> dict[str, Step]:
        right = nets(H, draw)
        return right | {"tanh, latching": right["gated cell"], "tanh, chaotic": right["tanh, forgetting"]}

    monkeypatch.setattr("impl.vanishing_gradient.nets", broken)
    monkeypatch.setattr("impl.vanishing_gradient.Cell", Unit)
    monkeypatch.setattr("impl.vanishing_gradient.threshold", lambda w: (threshold(w)[0], 3 * threshold(w)[1]))
    rows = [e for e in run(replace(SMOKE, seeds=3), CPU) if isinstance(e, dict)]
    verdicts = {v.claim: v.verdict for v in check(rows)}
    wrong = ("latch", "contraction", "vanishing", "exploding", "gated-cell")
    assert all(verdicts[claim] == "not reproduced" for claim in wrong), verdicts
