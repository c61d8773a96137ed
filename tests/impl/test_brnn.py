"""The bidirectional net: torch's own, what each net can and can't hear, the task and its floors, and the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import impl.brnn as brnn
from impl.brnn import QUICK, SMOKE, Nets, check, errors, floor, generators, kernel, run, sequences, size, torch_gap

CPU = torch.device("cpu")
ZERO = torch.zeros(1, dtype=torch.long)


def slopes(directions: tuple[int, ...], delay: int, t: int, T: int = 12) -> Tensor:
    """How the output at t depends on each input, [T]."""
    nets = Nets(directions, 4, generators(range(1), 0), ZERO + delay)
    x = torch.randn(1, 1, T, requires_grad=True)
    (slope,) = torch.autograd.grad(nets.answer(x)[0, 0, t], x)
    return slope[0, 0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_the_hidden_layer_is_torchs(seed: int) -> None:
    assert torch_gap(seed) < 1e-12


def test_the_whole_net_is_torchs_with_a_linear_layer_on_top() -> None:
    nets = Nets((1, -1), 5, generators(range(1), 0), ZERO)
    theirs, top = nn.RNN(1, 5, batch_first=True, bidirectional=True), nn.Linear(10, 1)
    state: dict[str, Tensor] = {}
    for suffix, i in (("", 0), ("_reverse", 4)):
        W, U, b, _ = nets.weights[i : i + 4]
        state |= {f"weight_ih_l0{suffix}": W[0].T, f"weight_hh_l0{suffix}": U[0].T}
        state |= {f"bias_ih_l0{suffix}": b[0, 0], f"bias_hh_l0{suffix}": torch.zeros(5)}
    theirs.load_state_dict(state)
    top.load_state_dict({"weight": torch.cat([nets.weights[3][0], nets.weights[7][0]]).T, "bias": torch.zeros(1)})
    x = torch.randn(1, 3, 9)
    assert torch.allclose(nets.answer(x)[0], top(theirs(x[0, :, :, None])[0])[..., 0], atol=1e-6)
    assert sum(w[0].numel() for w in nets.weights) == size(2, 5)


@given(st.integers(0, 11), st.integers(0, 5))
def test_a_forward_net_hears_nothing_beyond_its_delay_and_a_bidirectional_one_everything(t: int, delay: int) -> None:
    late = slopes((1,), delay, t)
    assert not late[t + delay + 1 :].any() and late[: t + delay + 1].all()
    assert slopes((1, -1), 0, t).all()
    back = slopes((-1,), 0, t)
    assert not back[:t].any() and back[t:].all()


def test_targets_are_weighted_sums_over_both_sides() -> None:
    x, y = sequences(3, QUICK, generators(range(2), 0), 2, CPU)
    t, w = 30, kernel(QUICK)
    assert torch.allclose(y[:, :, t], (x[:, :, t - QUICK.past : t + QUICK.future] * w).sum(2), atol=1e-5)
    assert torch.equal(x[:2], x[2:]) and not torch.equal(x[0], x[1])
    assert float(w.square().sum()) / 12 == pytest.approx(1)


def test_the_floor_is_the_error_of_the_best_guess() -> None:
    """Whoever knows all inputs up to t + delay can at best leave out the rest of the sum."""
    x, y = sequences(2_000, QUICK, generators(range(1), 0), 1, CPU)
    for delay in (0, 5, 19):
        known = kernel(QUICK).clone()
        known[QUICK.past + delay + 1 :] = 0
        guess = torch.nn.functional.conv1d(
            torch.nn.functional.pad(x[0][:, None], (QUICK.past, QUICK.future - 1)), known[None, None]
        )[:, 0][None]
        assert float(errors(guess, y, QUICK)) == pytest.approx(floor(QUICK, delay), rel=0.05, abs=1e-3)
    assert floor(QUICK, 0) == pytest.approx(33.2, abs=0.1)


def test_nets_side_by_side_do_not_touch() -> None:
    delays = torch.tensor([0, 3])
    both = Nets((1,), 4, generators(range(2), 0), delays)
    alone = Nets((1,), 4, generators(range(1, 2), 0), delays[1:])
    x = torch.randn(2, 3, 8)
    assert torch.allclose(both.answer(x)[1:], alone.answer(x[1:]), atol=1e-6)


def test_a_net_whose_directions_remember_nothing_is_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: two directions, but neither hands its state on."""

    class Forgetful(Nets):
        def answer(self, x: Tensor) -> Tensor:
            if self.directions == (1, -1):
                with torch.no_grad():
                    for U in self.weights[1::4]:
                        U.zero_()
            return super().answer(x)

    monkeypatch.setattr(brnn, "Nets", Forgetful)
    cfg = replace(SMOKE, T=60, H=6, delays=(0, 5, 10), seeds=3, updates=120, batch=8, test=50)
    rows = [e for e in run(cfg, CPU) if isinstance(e, dict)]
    verdicts = {v.claim: v.verdict for v in check(rows)}
    assert verdicts["past-only"] == verdicts["merged"] == verdicts["best-delay"] == "not reproduced", verdicts


def test_equal_nets_are_not_reproduced() -> None:
    names = ("bidirectional", "forward", "backward", "merged", "forward, best delay", "forward, longest delay")
    rows: list[dict[str, float | int | str | bool]] = [
        {"net": net, "seed": s, "error": 5 + 0.1 * s, "gap": 0.1} for net in names for s in range(5)
    ]
    assert {v.verdict for v in check(rows)} == {"not reproduced"}
