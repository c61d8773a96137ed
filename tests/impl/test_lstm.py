"""LSTM: torch's own LSTM in a special case, the truncated error, the task, sizes, and the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from impl.lstm import (
    LSTM,
    PAPER,
    SMOKE,
    TanhNet,
    adding_problem,
    answer,
    check,
    error_norms,
    f,
    g,
    generators,
    h,
    run,
    several,
)

CPU = torch.device("cpu")


def test_the_net_of_table_7_has_93_weights() -> None:
    assert sum(w[0].numel() for w in LSTM(PAPER, generators([0], 0), CPU).weights) == 93


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(2, 9), st.integers(0, 99))
def test_torchs_lstm_that_never_forgets(K: int, T: int, seed: int) -> None:
    """Blocks of one cell whose gates are not fed back are nn.LSTM with its forget gate held open: g and h are tanh of x/2,
    times 2 and times 1, so torch's cell holds half of ours."""
    net = LSTM(replace(PAPER, blocks=K, size=1), generators([seed], 0), CPU)
    W, R, b, _, _ = net.weights = [20 * w.double() for w in net.weights]
    R[:, : 2 * K] = 0
    theirs = nn.LSTM(2, K, batch_first=True, dtype=torch.float64)
    i, o, c = slice(0, K), slice(K, 2 * K), slice(2 * K, 3 * K)
    forget = torch.zeros(K, dtype=torch.float64)

    def stacked(rows: Tensor) -> Tensor:  # torch's order: input, forget, cell, output
        return torch.cat([rows[i], torch.zeros_like(rows[i]), rows[c] / 2, rows[o]])

    theirs.load_state_dict(
        {
            "weight_ih_l0": stacked(W[0].T),
            "weight_hh_l0": stacked(R[0, 2 * K :].T),
            "bias_ih_l0": stacked(b[0].T[:, 0]),
            "bias_hh_l0": torch.cat([forget, forget + 1e3, forget, forget]),
        }
    )
    x = torch.randn(1, 4, T, 2).double()
    inside, shown, _ = net.states(x, net.weights, truncated=False)
    y, (_, cell) = theirs(x[0])
    assert torch.allclose(torch.stack(shown, 2)[0], y)
    assert torch.allclose(inside[-1][0], 2 * cell[0])


def test_the_tanh_net_is_torchs() -> None:
    net = TanhNet(PAPER, generators([1], 0), CPU)
    W, R, b, _, _ = net.weights
    theirs = nn.RNN(2, 8, batch_first=True)
    theirs.load_state_dict(
        {"weight_ih_l0": W[0].T, "weight_hh_l0": R[0].T, "bias_ih_l0": b[0, 0], "bias_hh_l0": torch.zeros(8)}
    )
    x = torch.randn(1, 3, 20, 2)
    seen, _ = net.carriers(x, net.weights, truncated=True)
    assert torch.allclose(torch.stack(seen, 2)[0], theirs(x[0])[0], atol=1e-6)


@given(st.floats(-50, 50))
def test_ranges_of_the_activations(x: float) -> None:
    value = torch.tensor(x, dtype=torch.float64)
    assert 0 <= f(value) <= 1 and -1 <= h(value) <= 1 and -2 <= g(value) <= 2
    assert g(value) == pytest.approx(2 * h(value))


def test_nets_side_by_side_do_not_touch() -> None:
    x, length, _ = several(4, 20, generators([0, 1], 1), 1, CPU)
    both = LSTM(PAPER, generators([0, 1], 0), CPU)
    alone = LSTM(PAPER, generators([1], 0), CPU)
    assert torch.allclose(answer(both, x, length, both.weights)[1:], answer(alone, x[1:], length[1:], alone.weights))


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 60), st.integers(0, 99))
def test_the_adding_problem(T: int, seed: int) -> None:
    x, length, target = adding_problem(50, T, generators([seed], 0)[0])
    marked = x[:, :, 1] == 1
    inner = marked.sum(1) + (x[:, 0, 1] == -1).long()  # a marked first pair shows the end mark
    assert ((inner >= 2) & (marked.sum(1) <= 2)).all()
    assert (length >= T).all() and (length <= T + T // 10).all()
    assert (x[torch.arange(50), length - 1, 1] == -1).all()
    assert marked[:, T // 2 + 1 :].sum() == 0  # so that at least T/2 - 1 steps remain
    assert torch.allclose(target, 0.5 + (x[:, :, 0] * marked).sum(1) / 4)
    assert (target >= 0).all() and (target <= 1).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.floats(1.0, 20.0))
def test_the_truncated_error_in_the_cells_is_constant_whatever_the_weights(seed: int, size: float) -> None:
    net = LSTM(SMOKE, generators([seed], 0), CPU)
    weights = [size * w for w in net.weights]
    norms = error_norms(net, torch.randn(1, 3, 30, 2), weights, truncated=True)
    assert torch.allclose(norms, torch.ones_like(norms), atol=1e-5)


def test_the_full_gradient_is_another() -> None:
    net = LSTM(SMOKE, generators([0], 0), CPU)
    net.weights[2].zero_()  # input gates half open
    full = error_norms(net, torch.randn(1, 3, 30, 2), [5 * w for w in net.weights], truncated=False)
    assert (full[-1] - 1).abs() > 0.01


def test_a_cell_that_leaks_is_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: the cell keeps a tenth of itself at each step, so the error dies as it does in the tanh net."""

    class Leaky(LSTM):
        def states(
            self, x: Tensor, weights: list[Tensor], truncated: bool
        ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
            _, _, gates = super().states(x, weights, truncated)
            s, inside, shown = x.new_zeros(()), [], []
            net_c = x @ weights[0][:, None, :, 2 * self.K :] + weights[2][:, None, :, 2 * self.K :]
            for gate, c in zip(gates, net_c.unbind(2), strict=True):
                s = 0.1 * s + gate[..., : self.K].repeat_interleave(self.S, 2).detach() * g(c)
                inside.append(s)
                shown.append(h(s))
            return inside, shown, gates

    monkeypatch.setattr("impl.lstm.LSTM", Leaky)
    rows = [e for e in run(replace(SMOKE, seeds=3), CPU) if isinstance(e, dict)]
    verdicts = {v.claim: v.verdict for v in check(rows)}
    assert verdicts["constant-error-carousel"] == verdicts["no-decay"] == verdicts["adding-problem"] == "not reproduced"
    assert verdicts["table-7-size"] == "reproduced"
