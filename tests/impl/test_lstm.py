"""LSTM: torch's own LSTM in a special case, the truncated gradient, the task, the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from impl.kit import Verdict, generator
from impl.kit.broken import take_out
from impl.lstm import (
    BROKEN,
    LSTM,
    PAPER,
    SMOKE,
    TanhNet,
    adding_problem,
    at,
    check,
    f,
    full_error,
    g,
    h,
    hidden_units,
    run,
    truncated_error,
    wrong,
)

CPU = torch.device("cpu")


def lstm(seed: int, K: int = 2, S: int = 2, size: float = 1.0, keep: float = 1.0) -> LSTM:
    """In double precision, all weights times `size`; the input gates aren't shut."""
    torch.manual_seed(seed)
    model = LSTM(K, S, keep).double()
    with torch.no_grad():
        model.net.bias[:K] = 0.0
        for parameter in model.parameters():
            parameter *= size
    return model


def test_the_net_of_table_7_has_93_weights() -> None:
    assert sum(p.numel() for p in LSTM(PAPER.blocks, PAPER.size).parameters()) == 93


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(2, 9), st.integers(0, 99))
def test_torchs_lstm_that_never_forgets(K: int, T: int, seed: int) -> None:
    """Blocks of one cell whose gates are not fed back are nn.LSTM with its forget gate held open:
    g and h are tanh of x/2, times 2 and times 1, so torch's cell holds half of ours."""
    model = lstm(seed, K, S=1, size=20.0)
    W, R, b = model.net.weight.data[:, :2], model.net.weight.data[:, 2:], model.net.bias.data
    R[:, : 2 * K] = 0
    theirs = nn.LSTM(2, K, batch_first=True, dtype=torch.float64)
    shut = torch.zeros(K, dtype=torch.float64)

    def stacked(rows: Tensor) -> Tensor:  # torch's order: input, forget, cell, output
        i, o, c = rows.split(K)
        return torch.cat([i, torch.zeros_like(i), c / 2, o])

    theirs.load_state_dict(
        {
            "weight_ih_l0": stacked(W),
            "weight_hh_l0": stacked(R[:, 2 * K :]),
            "bias_ih_l0": stacked(b),
            "bias_hh_l0": torch.cat([shut, shut + 1e3, shut, shut]),
        }
    )
    x = torch.randn(4, T, 2).double()
    gates, _, s = model.states(x)
    y, (_, cell) = theirs(x)
    assert torch.allclose(model.show(gates, s), y)
    assert torch.allclose(s[:, -1].flatten(1), 2 * cell[0])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.floats(0.1, 20.0), st.sampled_from([1.0, 0.9]))
def test_all_steps_at_once_are_the_steps_one_by_one(seed: int, size: float, keep: float) -> None:
    model, x = lstm(seed, size=size, keep=keep), torch.randn(3, 20, 2).double()
    gates, _, s = model.states(x)
    _, _, end = model.step_by_step(x)
    assert torch.allclose(model.show(gates, s)[:, -1], end)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99))
def test_the_gradient_is_the_one_that_cuts_what_leaves_the_cells(seed: int) -> None:
    """App. A.1, step by step: every hidden unit that is fed back is held fixed."""
    model, x = lstm(seed, size=5.0), torch.randn(3, 12, 2).double()
    ours = torch.autograd.grad(model(x)[:, -1].sum(), list(model.parameters()))
    s, y = x.new_zeros(3, 2, 2), x.new_zeros(3, 8)
    for x_t in x.unbind(1):
        gates, added = model.gates(x_t, y.detach())
        s = s + added
        y = torch.cat([gates, model.show(gates, s)], 1)
    theirs = torch.autograd.grad(f(model.out(y[:, 4:])).sum(), list(model.parameters()))
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.floats(1.0, 20.0))
def test_the_truncated_error_is_constant_whatever_the_weights(seed: int, size: float) -> None:
    x = torch.randn(3, 30, 2).double()
    errors = truncated_error(lstm(seed, size=size), x)
    assert torch.allclose(errors, torch.ones_like(errors))
    leaking = truncated_error(lstm(seed, size=size, keep=0.9), x)
    lags = torch.arange(30.0).double()[:, None]
    assert torch.allclose(leaking, (0.9**lags).expand_as(leaking))


def test_the_full_gradient_is_another() -> None:
    errors = full_error(lstm(0, size=5.0), torch.randn(3, 30, 2).double())
    assert errors[0].eq(1).all() and (errors[-1] - 1).abs().max() > 0.01


def test_hidden_units_are_those_of_torchs_net() -> None:
    model, x = TanhNet(8), torch.randn(3, 20, 2)
    assert torch.allclose(torch.stack(hidden_units(model.rnn, x), 1), model.rnn(x)[0], atol=1e-6)


@given(st.floats(-50, 50))
def test_ranges_of_the_activations(x: float) -> None:
    value = torch.tensor(x, dtype=torch.float64)
    assert 0 <= f(value) <= 1 and -1 <= h(value) <= 1 and -2 <= g(value) <= 2
    assert g(value) == pytest.approx(2 * h(value))


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 60), st.integers(0, 99))
def test_the_adding_problem(T: int, seed: int) -> None:
    x, last, target = adding_problem(50, T, generator(seed, "test"), CPU)
    marked = x[:, :, 1] == 1
    inner = marked.sum(1) + (x[:, 0, 1] == -1).long()  # a marked first pair shows the end mark
    assert ((inner >= 2) & (marked.sum(1) <= 2)).all()
    assert (last >= T - 1).all() and (last < T + T // 10).all()
    assert (x[torch.arange(50), last, 1] == -1).all()
    assert marked[:, T // 2 + 1 :].sum() == 0  # so that at least T/2 - 1 steps remain
    assert torch.allclose(target, 0.5 + (x[:, :, 0] * marked).sum(1) / 4)


def test_the_best_constant_answer_is_wrong_in_85_percent() -> None:
    """The sum of two values is within 0.16 of 0 in 0.16 - 0.16^2 / 4 of the cases."""
    _, _, target = adding_problem(20_000, 100, generator(0, "test"), CPU)
    share = ((target - 0.5).abs() >= 0.04).float().mean().item()
    assert share == pytest.approx(1 - (0.16 - 0.16**2 / 4), abs=0.01)


def test_outputs_are_read_at_each_sequences_end() -> None:
    y = torch.arange(6.0).view(2, 3)
    assert at(y, torch.tensor([2, 0])).tolist() == [2.0, 3.0]
    exact = nn.Identity()
    assert wrong(exact, y, torch.tensor([2, 0]), torch.tensor([2.03, 3.05])) == 0.5


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_without_the_idea_its_claims_fall() -> None:
    more = dict(T=100, seeds=3, updates=1, lrs=(0.01,))
    leaking = judged("constant-error-carousel", **more)
    assert leaking["constant-error-carousel"].verdict == "fails"
    assert judged("no-decay", **more)["no-decay"].verdict == "not reproduced"
    assert judged("table-7-size")["table-7-size"].verdict == "fails"
