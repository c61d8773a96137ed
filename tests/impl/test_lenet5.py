"""LeNet-5: its size, its layers against sums written out, shifts, and the broken ideas."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl import lenet5
from impl.kit import Row, Verdict
from impl.kit.broken import take_out
from impl.lenet5 import (
    BACKGROUND,
    BROKEN,
    SMOKE,
    TABLE_I,
    Convolution,
    FullyConnected,
    LeNet5,
    Subsampling,
    check,
    f,
    frame,
    penalty_loss,
    run,
    shift,
)

LENET, FULL = "LeNet-5", "fully connected"


def test_parameters_and_connections_of_each_layer() -> None:
    """Sec. II-B counts both; a connection is a weight or bias each time it is used."""
    parameters, connections, x = {}, 0, torch.zeros(1, 1, 32, 32)
    for name, layer in LeNet5().named_children():
        x = layer(x)
        parameters[name] = sum(p.numel() for p in layer.parameters())
        inputs = {"S2": 5, "S4": 5, "output": 84}.get(name, 0)  # 2 x 2 and a bias; F6
        connections += x.numel() * inputs if inputs else parameters[name] * x[0, 0].numel()
    assert parameters == dict(C1=156, S2=12, C3=1516, S4=32, C5=48120, F6=10164, output=0)
    assert sum(parameters.values()) == 60_000
    assert connections == 340_908


def test_table_i_breaks_the_symmetry() -> None:
    assert len(set(TABLE_I)) == 16
    assert [len(seen) for seen in TABLE_I] == [3] * 6 + [4] * 9 + [6]
    assert all(sum(below in seen for seen in TABLE_I) == 10 for below in range(6))


def test_a_map_of_c3_ignores_what_its_row_of_the_table_leaves_out() -> None:
    c3, x = Convolution(6, TABLE_I), torch.randn(1, 6, 14, 14, requires_grad=True)
    for to, seen in enumerate(TABLE_I):
        (gradient,) = torch.autograd.grad(c3(x)[0, to].sum(), x)
        assert [bool(gradient[0, of].any()) for of in range(6)] == [of in seen for of in range(6)]


def test_first_weights_are_within_the_bounds_of_appendix_a() -> None:
    torch.manual_seed(0)
    c3 = Convolution(6, TABLE_I)
    to = c3.get_buffer("pairs")[0]
    for i, seen in enumerate(TABLE_I):
        bound = 2.4 / (25 * len(seen))
        largest = c3.weight[to == i].abs().max().item()
        assert 0.9 * bound < largest <= bound


def test_convolution_and_subsampling_against_sums_written_out() -> None:
    c1, s2, x = Convolution(1, [(0,)] * 6), Subsampling(6), torch.randn(2, 1, 32, 32)
    y = c1(x)
    patch = (c1.weight[4] * x[1, 0, 7:12, 20:25]).sum() + c1.bias[4]
    torch.testing.assert_close(y[1, 4, 7, 20], f(patch))
    sums = y[..., ::2, ::2] + y[..., ::2, 1::2] + y[..., 1::2, ::2] + y[..., 1::2, 1::2]
    torch.testing.assert_close(s2(y), f(s2.coefficient * sums + s2.bias))


def test_squashing_keeps_plus_and_minus_one() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0])
    torch.testing.assert_close(f(x), x, atol=1e-4, rtol=0)


def test_output_is_the_squared_distance_from_the_code() -> None:
    output, x = LeNet5().get_submodule("output"), torch.randn(3, 84)
    codes = output.get_buffer("codes")
    expected = torch.cdist(x.double(), codes.double()).square().float()
    torch.testing.assert_close(output(x), expected, rtol=1e-4, atol=1e-3)
    apart = (codes[:, None] != codes).sum(2)
    assert codes.shape == (10, 84) and (apart + 84 * torch.eye(10)).min() >= 8
    one = codes[1].reshape(12, 7)  # a drawing of the digit: a stem with a foot
    assert one[11].tolist() == [-1, 1, 1, 1, 1, 1, -1] and one[5].sum() == -5


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 9), st.floats(-20, 20), st.integers(0, 1_000))
def test_eq_9_is_cross_entropy_with_one_class_more(right: int, j: float, seed: int) -> None:
    y = 10 * torch.rand(1, 10, generator=torch.Generator().manual_seed(seed))
    D = torch.tensor([right])
    torch.testing.assert_close(penalty_loss(y, D, math.inf), F.cross_entropy(-y, D))
    with_rubbish = torch.cat([-y, torch.tensor([[-j]])], 1)
    torch.testing.assert_close(penalty_loss(y, D, j), F.cross_entropy(with_rubbish, D))


def test_the_rival_is_torchs_net_without_the_border() -> None:
    net, x = FullyConnected((500, 150)), torch.randn(4, 1, 32, 32)
    layers = [nn.Linear(784, 500), nn.Linear(500, 150), nn.Linear(150, 10)]
    expected = x[:, 0, 2:30, 2:30].flatten(1)
    for ours, theirs in zip(net, layers, strict=True):
        theirs.weight, theirs.bias = ours.weight, ours.bias  # type: ignore[assignment]
        expected = theirs(expected if theirs is layers[0] else f(expected))
    torch.testing.assert_close(net(x), -expected)


@pytest.mark.parametrize("side", [8, 28])
def test_frame_and_shift(side: int) -> None:
    x = frame(torch.rand(2, 1, side, side))
    assert x.shape == (2, 1, 32, 32) and x.min() >= BACKGROUND - 1e-6 and x.max() <= 1.175 + 1e-6
    moved = shift(x, torch.tensor([2, 0]), torch.tensor([-1, 0]))
    torch.testing.assert_close(moved[0, :, :-1, 2:], x[0, :, 1:, :-2])
    assert (moved[0, :, -1] == BACKGROUND).all() and (moved[0, ..., :2] == BACKGROUND).all()
    assert torch.equal(moved[1], x[1])


def rows(errors: dict[str, float], rises: dict[str, float], parameters: int) -> list[Row]:
    """Five seeds, which differ a little."""
    return [
        dict(arm=arm, seed=seed, judged=True, parameters=parameters)
        | dict(
            test_error=errors[arm] + i * (seed - 2) / 10,
            misread=rises[arm] + i * (seed - 2) / 10,
        )
        for seed in range(5)
        for i, arm in enumerate(errors)
    ]


def test_check_tells_the_idea_from_a_broken_one() -> None:
    good = rows({LENET: 4.0, FULL: 9.0}, {LENET: 5.0, FULL: 20.0}, 60_000)
    assert [v.verdict for v in check(good)] == ["holds", "reproduced", "reproduced"]
    broken = check(rows({LENET: 9.0, FULL: 9.0}, {LENET: 20.0, FULL: 20.0}, 60_300))
    assert [v.verdict for v in broken] == ["fails", "not reproduced", "not reproduced"]
    assert {v.verdict for v in check([])} == {"not measured"}


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        events = [event for event in run(cfg, torch.device("cpu")) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(events)}


def test_without_its_table_the_net_has_other_parameters() -> None:
    verdict = judged("parameters")["parameters"]
    assert (verdict.verdict, verdict.measured) == ("fails", 60_000 + 36 * 25)


def test_scrambled_pixels_take_the_advantage_away() -> None:
    x = frame(torch.rand(2, 1, 8, 8))
    net = LeNet5()
    before = net(x)
    with lenet5.scramble_pixels():
        after = net(x)
        torch.testing.assert_close(before.shape, after.shape)
        assert not torch.allclose(before, after)
    learns = dict(n=300, passes=(1, 1, 1, 1, 1), test=300, factors=(12.0,), seeds=3)
    broken = judged("beats-fully-connected", **learns)
    assert broken["beats-fully-connected"].verdict != "reproduced"
