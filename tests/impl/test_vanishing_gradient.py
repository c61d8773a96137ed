"""The vanishing gradient: torch's RNN and LSTM in special cases, h*, Jacobians, broken ideas."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import jacrev

from impl.kit import Row, Verdict, generator
from impl.kit.broken import take_out
from impl.vanishing_gradient import (
    BROKEN,
    SMOKE,
    GatedCell,
    Latch,
    TanhUnit,
    check,
    gradient_norms,
    gradients,
    hold,
    nets,
    run,
    threshold,
    wrong_share,
)

CPU = torch.device("cpu")
SHORT = replace(SMOKE, lengths=(5,), updates=2)


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.integers(1, 12), st.integers(0, 99))
def test_the_unit_is_torchs(w: float, T: int, seed: int) -> None:
    theirs = nn.RNN(1, 1, bias=False)
    weights = {"weight_ih_l0": torch.ones(1, 1), "weight_hh_l0": torch.full((1, 1), w)}
    theirs.load_state_dict(weights)
    h = torch.randn(T, 6, generator=torch.Generator().manual_seed(seed))
    ours = TanhUnit(torch.tensor(w))(h)
    assert torch.allclose(ours, theirs(h[..., None])[0][-1, :, 0], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(0, 99))
def test_the_cell_is_an_lstm_whose_gates_see_only_the_input(T: int, seed: int) -> None:
    torch.manual_seed(seed)
    cell = GatedCell(torch.randn(()))
    for parameter in (cell.forget, cell.write):
        nn.init.normal_(parameter)
    (f0, f1), (i0, i1), zero = cell.forget.detach(), cell.write.detach(), torch.tensor(0.0)
    theirs = nn.LSTM(1, 1)
    into = torch.stack([i1, f1, cell.w.detach(), zero])  # torch: input, forget, cell, output
    theirs.load_state_dict(
        {
            "weight_ih_l0": into[:, None],
            "weight_hh_l0": torch.zeros(4, 1),
            "bias_ih_l0": torch.stack([i0, f0, zero, zero + 1e3]),
            "bias_hh_l0": torch.zeros(4),
        }
    )
    h = torch.randn(T, 6)
    assert torch.allclose(cell(h), theirs(h[..., None])[0][-1, :, 0], atol=1e-5)


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


@pytest.mark.parametrize("name", ["latching", "chaotic", "gated"])
def test_the_product_of_jacobians_is_the_derivative_of_the_whole(name: str) -> None:
    """And its norm is never above the product of the norms of the factors."""
    rng = generator(3, "test")
    step = nets(6, rng)[name]
    start, noise = (torch.randn(size, generator=rng).double() for size in ((6,), (9, 6)))
    states = [start]
    for n in noise:
        states.append(step(states[-1], n))

    def last(h: Tensor) -> Tensor:
        for n in noise:
            h = step(h, n)
        return h

    norms, _ = gradient_norms(step, start, noise)
    whole = torch.linalg.matrix_norm(jacrev(last)(start), 2)
    assert norms[-1] == pytest.approx(math.log10(float(whole)))
    factors = [jacrev(step)(h, n) for h, n in zip(states[:-1], noise, strict=True)]
    bound = sum(math.log10(float(torch.linalg.matrix_norm(J, 2))) for J in factors)
    assert norms[-1] <= bound + 1e-9


def test_an_exponential_is_told_from_a_power_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last row has the norm at the longest lag and what a power law foretells for it."""

    def last(norms: list[float]) -> Row:
        monkeypatch.setattr("impl.vanishing_gradient.gradient_norms", lambda *_: (norms, 1.0))
        *_, row = gradients("latching", SMOKE, seed=0)
        assert isinstance(row, dict)
        return row

    lags = range(1, SMOKE.lag + 1)
    power = last([0.0, *(-4 * math.log10(lag) for lag in lags)])
    assert power["power_law"] == pytest.approx(power["log10_norm"])
    exponential = last([0.0, *(-0.3 * lag for lag in lags)])
    assert float(exponential["log10_norm"]) < float(exponential["power_law"]) - 1


def test_a_latch_set_by_hand_is_right_at_any_length() -> None:
    u = torch.tensor([[-1.0, 1.0]] * SMOKE.L)
    for T in (5, 300):
        model = Latch(TanhUnit(torch.tensor(2.0)), u.clone())
        assert wrong_share(model, replace(SMOKE, test=100), T, 0, "test") == 0
    backwards = Latch(TanhUnit(torch.tensor(2.0)), -u)
    assert wrong_share(backwards, SMOKE, 5, 0, "test") == 100


def test_learnt_inputs_are_those_of_the_class() -> None:
    u, noise = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.zeros(1, 6)
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def forward(self, h: Tensor) -> Tensor:
            seen.append(h)
            return h[-1]

    Latch(Spy(), u)(noise)
    assert seen[0].tolist() == [[1.0] * 3 + [2.0] * 3, [3.0] * 3 + [4.0] * 3, [0.0] * 6]


def judged(claim: str | None) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SHORT, seeds=3)) as cfg:
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_bits_are_held_below_the_threshold_only() -> None:
    assert hold(50, 100, generator(0, "test")) == {"wrong_bits": 0, "expanding": 0}
    found = judged("latch")
    assert found["latch"].verdict == found["contraction"].verdict == "fails"


@pytest.mark.parametrize("claim", ["vanishing", "exploding"])
def test_a_net_of_the_other_kind_does_not_do_it(claim: str) -> None:
    assert judged(claim)[claim].verdict in ("not reproduced", "inconclusive")


def test_the_same_unit_by_two_names_learns_the_same() -> None:
    found = judged("gated-cell")["gated-cell"]
    assert (found.effect, found.verdict) == (0, "not reproduced")
