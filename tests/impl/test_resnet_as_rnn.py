"""A ResNet as a recurrent net: torch's own RNN, a linear law, sizes, sharing as tied copies, nets apart, broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl import resnet_as_rnn
from impl.kit import Row
from impl.resnet_as_rnn import (
    COUNTS,
    SMOKE,
    K,
    Net,
    Stage,
    check,
    equivalence,
    fresh,
    gap,
    load,
    parameters,
    through_time,
    train,
)


@pytest.mark.parametrize("layers", [20, 56, 110])
def test_parameters_and_layers(layers: int) -> None:
    with torch.device("meta"):
        nets = [Net(layers, shared=shared) for shared in (True, False)]
    assert tuple(map(parameters, nets)) == COUNTS[layers]
    assert sum(isinstance(m, nn.Conv2d) for m in nets[1].modules()) == layers
    assert sum(isinstance(m, nn.Conv2d) for m in nets[0].modules()) == 12  # at any depth


def test_the_hand_count() -> None:
    for layers, (shared, own) in COUNTS.items():
        n = (layers - 2) // 6
        blocks = {C: 2 * 9 * C * C for C in (16, 32, 64)}
        enter = 3 * 9 * 16 + (9 * 16 * 32 + 9 * 32 * 32) + (9 * 32 * 64 + 9 * 64 * 64)
        norms = 4 * (n * 16 + (n - 1) * (32 + 64)) + 2 * (16 + 32 + 32 + 64) + 2 * 64
        assert shared == enter + sum(blocks.values()) + norms + 650
        assert own == enter + n * blocks[16] + (n - 1) * (blocks[32] + blocks[64]) + norms + 650


def test_through_time_is_back_propagation_in_torchs_own_rnn() -> None:
    """K(h) = tanh(W h + b) - h makes the recurrence h_t = tanh(W h_{t-1} + b): nn.RNN without input."""
    torch.manual_seed(0)
    rnn = nn.RNN(1, 6, batch_first=True).double()
    W, b = rnn.weight_hh_l0.detach().clone().requires_grad_(), rnn.bias_hh_l0.detach().clone().requires_grad_()
    nn.init.zeros_(rnn.bias_ih_l0)
    x, slope = torch.randn(2, 4, 6).double()
    h, gradient = through_time(lambda h, _: torch.tanh(h @ W.T + b) - h, [W, b], x, slope, 9)
    out, _ = rnn(torch.zeros(4, 9, 1).double(), x[None])
    out[:, -1].backward(slope)
    assert gap(h, out[:, -1].detach()) < 1e-12
    assert rnn.weight_hh_l0.grad is not None and gap(gradient[0], rnn.weight_hh_l0.grad) < 1e-12
    assert rnn.bias_hh_l0.grad is not None and gap(gradient[1], rnn.bias_hh_l0.grad) < 1e-12


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(0, 99))
def test_a_linear_step_is_a_power(T: int, seed: int) -> None:
    torch.manual_seed(seed)
    W = (torch.randn(3, 3).double() / 4).requires_grad_()
    h, _ = through_time(lambda h, _: h @ W.T, [W], torch.eye(3).double(), torch.ones(3, 3).double(), T)
    assert gap(h.T, torch.linalg.matrix_power(torch.eye(3).double() + W.detach(), T)) < 1e-9


def test_a_shared_net_is_an_ordinary_net_whose_blocks_are_equal() -> None:
    torch.manual_seed(0)
    shared, own = Net(20, 4, 1, shared=True).double(), Net(20, 4, 1, shared=False).double()
    weights = shared.state_dict()
    for name in own.state_dict():
        _, _, rest = name.partition("K.convs.")
        here = name if not rest else name.replace(f"K.convs.{rest}", f"K.convs.0.{rest.partition('.')[2]}")
        own.state_dict()[name].copy_(weights[here])
    x = torch.rand(8, 1, 8, 8).double()
    for net in (shared, own):
        F.cross_entropy(net(x)[:, 0], torch.arange(8)).backward()
    assert torch.equal(shared(x), own(x))
    for ours, theirs in zip(shared.stages, own.stages, strict=True):
        for i in range(2):
            summed = torch.stack([pair[i].weight.grad for pair in theirs.K.convs]).sum(0)
            assert gap(ours.K.convs[0][i].weight.grad, summed) < 1e-10


def test_a_step_that_adds_nothing_changes_nothing() -> None:
    stage = Stage(2, 4, 4, 3, shared=True)
    nn.init.zeros_(stage.K.convs[0][1].weight)
    x = torch.rand(5, 8, 6, 6)
    states = stage(x, 7)
    assert len(states) == 8 and all(torch.equal(h, x) for h in states)


def test_nets_side_by_side_are_each_alone() -> None:
    cfg = replace(SMOKE, updates=4)
    data, _ = load(cfg)
    three, alone = fresh(cfg, data, 14, True, [5, 6, 7]), fresh(cfg, data, 14, True, [6])
    for net, seeds, rates in ((three, [5, 6, 7], [0.1, 0.01, 0.1]), (alone, [6], [0.01])):
        for _ in train(net, cfg, data, seeds, rates):
            pass
    x = data.x_train[:32]
    assert torch.allclose(three(x.repeat(1, 3, 1, 1))[:, 1], alone(x)[:, 0], atol=1e-3)


def test_validation_images_are_not_trained_on() -> None:
    data, validation = load(SMOKE)
    assert len(data.x_train) + len(validation.x_test) == 1297
    assert torch.equal(data.x_train, validation.x_train) and len(data.x_test) == 500


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {v.claim: v.verdict for v in check(rows)}


def test_the_gradient_of_one_copy_alone_is_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: a gradient cut after one step back, as if only the last copy were there."""
    whole = through_time

    def cut(step: K, weights: list[Tensor], x: Tensor, slope: Tensor, T: int) -> tuple[Tensor, list[Tensor]]:
        h, _ = whole(step, weights, x, slope, T)
        before, _ = whole(step, weights, x, slope, T - 1)
        return h, whole(step, weights, before, slope, 1)[1]

    monkeypatch.setattr(resnet_as_rnn, "through_time", cut)
    outputs, gradients = equivalence(0, 5)
    found = verdicts([dict(output_gap=outputs, gradient_gap=gradients)])
    assert found["same-outputs"] == "reproduced" and found["same-gradient"] == "not reproduced"


def test_a_recurrence_without_identity_is_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: h_t = K(h_{t-1}) is a recurrent net, but not the residual one."""
    whole = through_time

    def forgetful(step: K, weights: list[Tensor], x: Tensor, slope: Tensor, T: int) -> tuple[Tensor, list[Tensor]]:
        return whole(lambda h, t: step(h, t) - h, weights, x, slope, T)

    monkeypatch.setattr(resnet_as_rnn, "through_time", forgetful)
    outputs, gradients = equivalence(0, 5)
    assert set(verdicts([dict(output_gap=outputs, gradient_gap=gradients)]).values()) == {
        "not reproduced",
        "inconclusive",
    }
    assert verdicts([dict(output_gap=outputs, gradient_gap=gradients)])["same-outputs"] == "not reproduced"


def test_a_shared_net_that_errs_far_more_is_not_reproduced() -> None:
    rows: list[Row] = [
        dict(seed=seed, deep=True, shared=shared, test_error=(9.0 if shared else 5.0) + seed / 10)
        for seed in range(5)
        for shared in (True, False)
    ]
    assert verdicts(rows)["similar-performance"] == "not reproduced"
    assert verdicts([row | {"test_error": float("nan")} for row in rows])["similar-performance"] == "inconclusive"


def test_the_shallow_net_is_not_judged() -> None:
    rows: list[Row] = [
        dict(seed=seed, deep=deep, shared=shared, test_error=(5.0 if deep else 50.0) + seed / 10)
        for seed in range(5)
        for deep, shared in ((True, True), (True, False), (False, False))
    ]
    assert verdicts(rows)["similar-performance"] == "reproduced"


def test_nets_that_learnt_nothing_are_not_similar() -> None:
    rows: list[Row] = [dict(seed=s, deep=True, shared=k, test_error=90.0) for s in range(5) for k in (True, False)]
    assert verdicts(rows)["similar-performance"] == "inconclusive"
