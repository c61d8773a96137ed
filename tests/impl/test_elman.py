"""Elman: the gradient of one step, torch's own layer, what can be known at all, and the broken idea."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impl.elman import BLIND, SMOKE, START, Nets, check, errors, follows_xor, run, sequences, torch_gap

CPU = torch.device("cpu")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 999))
def test_backward_is_the_gradient_with_the_copy_held_fixed(H: int, B: int, seed: int) -> None:
    nets = Nets(H, [seed, seed + 1], [True, True], 1.0, CPU)
    nets.weights = [w.double().requires_grad_() for w in nets.weights]
    x, target = (torch.randint(2, (2, B, 1)).double() for _ in range(2))
    c = torch.rand(2, B, H).double()
    h, y = nets.forward(x, c)
    ((y - target).square() / 2).mean(1).sum().backward()
    ours = nets.backward(x, c, h, y, target)
    assert all(torch.allclose(w.grad, slope) for w, slope in zip(nets.weights, ours, strict=True) if w.grad is not None)
    assert all(w.grad is not None for w in nets.weights)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.floats(0.1, 10.0), st.integers(0, 999))
def test_the_recurrence_is_torchs(H: int, size: float, seed: int) -> None:
    nets = Nets(H, [seed], [True], size, CPU)
    assert torch_gap(nets, 0, sequences([seed], 1, 60, CPU)[0, 0]) < 1e-9


def test_every_third_bit_is_the_xor() -> None:
    z = sequences([0, 1], 5, 90, CPU)
    assert z.shape == (2, 5, 18)
    a, b, third = z.reshape(2, 5, 6, 3).unbind(3)
    assert torch.equal((a != b).float(), third)
    assert not torch.equal(z[0], z[1])


def test_the_best_blind_predictor_has_the_errors_we_draw() -> None:
    """Over all pairs of triples: answer 2/3 where the last two bits differ, 1/3 where they are equal."""
    squares: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for a, b, c, d in itertools.product((0, 1), repeat=4):
        z = [a, b, a ^ b, c, d, c ^ d]
        for t in (3, 4, 5):
            squares[t % 3].append((z[t] - (1 + (z[t - 1] ^ z[t - 2])) / 3) ** 2)
    mean = {t: sum(values) / len(values) for t, values in squares.items()}
    assert mean[2] == pytest.approx(BLIND["third"])
    assert (mean[0] + mean[1]) / 2 == pytest.approx(BLIND["others"])


def test_a_net_without_context_units_forgets_at_once() -> None:
    nets = Nets(3, [0, 0], [True, False], 2.0, CPU)
    h, _ = nets.forward(torch.ones(2, 4, 1), nets.start(4))
    assert torch.equal(nets.copy(h)[0], h[0])
    assert torch.equal(nets.copy(h)[1], torch.full_like(h[1], START))


def test_an_xor_made_by_hand_follows_the_rule() -> None:
    """Hidden unit 1 holds the last bit; units 2 and 3 are OR and AND of the last two, read from unit 1's copy and the input."""
    nets = Nets(3, [0], [True], 1.0, CPU)
    W = torch.tensor([[20.0, 20.0, 20.0]])
    U = torch.zeros(3, 3)
    U[0, 1:] = 20.0
    b = torch.tensor([[-10.0, -10.0, -30.0]])
    V, a = torch.tensor([[0.0], [20.0], [-20.0]]), torch.tensor([[-10.0]])
    nets.weights = [w[None] for w in (W, U, b, V, a)]
    z = sequences([3], 2, 240, CPU)
    assert errors(nets, z)[0, [5, 8, 11]].max() < 0.001
    assert follows_xor(nets, z)[0, 2:].min() == 1


def test_nets_whose_context_is_cut_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: the copy never arrives."""
    monkeypatch.setattr(Nets, "copy", lambda self, h: torch.full_like(h, START))
    rows = [e for e in run(replace(SMOKE, passes=40, seeds=3), CPU) if isinstance(e, dict)]
    verdicts = {v.claim: v.verdict for v in check(rows)}
    assert verdicts["third-bit"] == verdicts["context"] == verdicts["xor-everywhere"] == "not reproduced"


def test_another_recurrence_is_noticed() -> None:
    rows = [{"net": "context", "seed": 0, "torch_gap": 0.1}]
    assert {v.claim: v.verdict for v in check(rows)}["same-as-torch-rnn"] == "not reproduced"
