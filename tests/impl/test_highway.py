"""Highway nets: Eqs. 3 to 5, the published sizes, the plain net as a limit, the broken ideas."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from impl.highway import (
    BROKEN,
    PAPER,
    SMOKE,
    Highway,
    Plain,
    check,
    extreme_gap,
    highway_net,
    mean_gates,
    plain_net,
    run,
    trial,
    weights,
)
from impl.kit import Verdict
from impl.kit.broken import take_out

activations = st.sampled_from(["tanh", "relu"])


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, torch.device("cpu")) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), activations, st.floats(-6, 6), st.integers(0, 99))
def test_a_layer_is_equation_3_and_between_its_input_and_the_plain_layer(
    B: int, H: int, activation: str, bias: float, seed: int
) -> None:
    torch.manual_seed(seed)
    layer, x = Highway(H, activation, bias).double(), torch.randn(B, H).double()
    h, t = layer.H(x), layer.gate(x)
    assert torch.allclose(layer(x), h * t + x * (1 - t))
    low, high = torch.minimum(x, h), torch.maximum(x, h)
    assert ((layer(x) >= low - 1e-12) & (layer(x) <= high + 1e-12)).all()


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 6), activations, st.floats(-4, 4), st.integers(0, 99))
def test_the_gradient_is_that_of_the_equation(
    H: int, activation: str, bias: float, seed: int
) -> None:
    torch.manual_seed(seed)
    layer, x = Highway(H, activation, bias).double(), torch.randn(3, H).double()
    operator = getattr(torch, activation)
    found = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    t = nn.functional.linear(x, layer.T.weight, layer.T.bias).sigmoid()
    y = operator(nn.functional.linear(x, *layer.H.parameters())) * t + x * (1 - t)
    expected = torch.autograd.grad(y.square().sum(), list(layer.parameters()))
    assert all(torch.allclose(p, q) for p, q in zip(found, expected, strict=True))


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 5), st.integers(2, 6), activations, st.integers(0, 99))
def test_forced_gates_carry_or_change(L: int, H: int, activation: str, seed: int) -> None:
    torch.manual_seed(seed)
    model = highway_net(7, H, L, activation, bias=-1.0)
    before = [parameter.clone() for parameter in model.parameters()]
    assert extreme_gap(model, torch.randn(1, 7)) < 1e-12
    with take_out(BROKEN, "carry-or-change", None):
        assert extreme_gap(model, torch.randn(1, 7)) > 1e-3
    assert all(map(torch.equal, before, model.parameters())), "it is measured on a copy"


def test_open_gates_make_the_plain_net() -> None:
    model, plain = highway_net(9, 5, 6, "tanh", bias=1_000.0), plain_net(9, 5, 6, "tanh")
    for ours, theirs in zip(model, plain, strict=True):
        source = ours.H if isinstance(ours, Highway) else ours
        theirs.load_state_dict(source.state_dict())
    x = torch.randn(4, 9)
    assert torch.equal(model(x), plain(x))
    with take_out(BROKEN, "deep-trains", None):
        assert torch.equal(model(x), plain(x))


def test_published_sizes() -> None:
    """Sec. 3.1: about 5,000 weights a layer for both."""
    assert weights(Highway(PAPER.H, "relu", PAPER.bias)) == 2 * (50 * 50 + 50) == 5_100
    assert weights(Plain(PAPER.H_plain, PAPER.H_plain, "relu")) == 71 * 71 + 71 == 5_112
    for L in PAPER.depths:
        model = highway_net(784, PAPER.H, L, "relu", PAPER.bias)
        assert sum(isinstance(layer, Highway) for layer in model) == L - 1


@pytest.mark.parametrize(("activation", "gain"), [("tanh", 1.0), ("relu", math.sqrt(2))])
def test_the_weights_are_torchs_normalized_ones(activation: str, gain: float) -> None:
    torch.manual_seed(0)
    ours = Plain(30, 30, activation).affine
    torch.manual_seed(0)
    theirs = nn.Linear(30, 30)
    nn.init.xavier_normal_(theirs.weight, gain)
    assert torch.allclose(ours.weight, theirs.weight)


@pytest.mark.parametrize("bias", [-8.0, -2.0, 0.0, 2.0])
def test_gates_start_near_the_sigmoid_of_their_bias(bias: float) -> None:
    torch.manual_seed(0)
    means = mean_gates(highway_net(20, 50, 4, "tanh", bias), torch.randn(200, 20))
    assert means.shape == (3, 50)
    start = torch.sigmoid(torch.tensor(bias)).item()
    assert 0.5 * start < means.mean().item() < 2 * start


def test_gates_that_start_open_do_not_carry() -> None:
    found = judged("starts-carrying", depths=(3,), updates=1)
    assert found["starts-carrying"].verdict == "fails"
    assert found["same-size"].verdict == found["carry-or-change"].verdict == "holds"


def test_a_plain_net_of_the_same_width_has_other_many_weights() -> None:
    found = judged("same-size", depths=(3,), updates=1)
    assert found["same-size"].verdict == "fails"
    assert found["starts-carrying"].verdict == "holds"


def test_deep_highway_nets_train_until_their_gates_are_forced_open() -> None:
    """At a rate of the grid that suits the highway."""
    cfg = replace(SMOKE, depths=(40,), n=300, updates=80, batch=50)
    losses = []
    for broken in (None, "deep-trains"):
        torch.manual_seed(0)
        with take_out(BROKEN, broken, cfg):
            point: dict[str, Any] = dict(arm="highway", seed=0, L=40, lr=0.05, activation="tanh")
            *_, row = trial(cfg, torch.device("cpu"), **point)
        assert isinstance(row, dict)
        losses.append(row["loss"])
    trained, forced = map(float, losses)
    assert 3 * trained < forced
