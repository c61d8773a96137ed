import math
from dataclasses import replace
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from impl import lenet5
from impl.kit import Row
from impl.lenet5 import (
    BACKGROUND,
    PRESETS,
    TABLE_I,
    Convolution,
    LeNet5,
    Subsampling,
    anatomy,
    check,
    codes,
    f,
    framed,
    penalty,
    shifted,
)


def test_size_of_the_net_and_of_its_layers() -> None:
    layers = {str(row["layer"]): row for row in anatomy(LeNet5())}
    parameters = {name: row["parameters"] for name, row in layers.items()}
    assert parameters == dict(C1=156, S2=12, C3=1516, S4=32, C5=48120, F6=10164, output=0)
    assert sum(p.numel() for p in LeNet5().parameters()) == 60_000
    assert sum(int(row["connections"]) for row in layers.values()) == 340_908  # Sec. II-B


def test_table_i_breaks_the_symmetry() -> None:
    assert len(set(TABLE_I)) == 16
    assert [len(seen) for seen in TABLE_I] == [3] * 6 + [4] * 9 + [6]
    assert all(sum(below in seen for seen in TABLE_I) == 10 for below in range(6))


def test_a_map_of_c3_ignores_what_its_row_of_the_table_leaves_out() -> None:
    c3, x = Convolution(6, TABLE_I), torch.randn(1, 6, 14, 14, requires_grad=True)
    for to, seen in enumerate(TABLE_I):
        (gradient,) = torch.autograd.grad(c3(x)[0, to].sum(), x)
        assert [bool(gradient[0, of].any()) for of in range(6)] == [of in seen for of in range(6)]


def test_convolution_and_subsampling_against_sums_written_out() -> None:
    c1, s2, x = Convolution(1, [(0,)] * 6), Subsampling(6), torch.randn(2, 1, 32, 32)
    y = c1(x)
    patch = (c1.weight[4] * x[1, 0, 7:12, 20:25]).sum() + c1.bias[4]
    torch.testing.assert_close(y[1, 4, 7, 20], f(patch))
    sums = y[..., ::2, ::2] + y[..., ::2, 1::2] + y[..., 1::2, ::2] + y[..., 1::2, 1::2]
    torch.testing.assert_close(s2(y), f(s2.coefficient * sums + s2.bias))


def test_squashing_keeps_plus_and_minus_one() -> None:
    torch.testing.assert_close(f(torch.tensor([-1.0, 0.0, 1.0])), torch.tensor([-1.0, 0.0, 1.0]), atol=1e-4, rtol=0)


def test_output_is_the_squared_distance_from_the_code() -> None:
    net, x = LeNet5(), torch.randn(3, 84)
    expected = torch.cdist(x.double(), codes().double()).square().float()
    torch.testing.assert_close(net.get_submodule("output")(x), expected, rtol=1e-4, atol=1e-3)
    apart = (codes()[:, None] != codes()).sum(2)
    assert codes().shape == (10, 84) and (apart + 84 * torch.eye(10)).min() >= 8


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 9), st.floats(-20, 20), st.integers(0, 1_000))
def test_eq_9_is_cross_entropy_with_one_class_more(right: int, j: float, seed: int) -> None:
    y = 10 * torch.rand(1, 10, generator=torch.Generator().manual_seed(seed))
    D = torch.tensor([right])
    torch.testing.assert_close(penalty(y, D, math.inf), F.cross_entropy(-y, D))
    with_rubbish = torch.cat([-y, torch.tensor([[-j]])], 1)
    torch.testing.assert_close(penalty(y, D, j), F.cross_entropy(with_rubbish, D))


@pytest.mark.parametrize("side", [8, 28])
def test_frame_and_shift(side: int) -> None:
    x = framed(torch.rand(1, 1, side, side))
    assert x.shape == (1, 1, 32, 32) and x.min() >= BACKGROUND - 1e-6 and x.max() <= 1.175 + 1e-6
    moved = shifted(x, 2, -1)
    torch.testing.assert_close(moved[..., :-1, 2:], x[..., 1:, :-2])
    assert (moved[..., -1, :] == BACKGROUND).all() and (moved[..., :2] == BACKGROUND).all()


def rows(lenet: float, full: float, rise: float = 5.0) -> list[Row]:
    made: list[Row] = [dict(row) for row in anatomy(LeNet5())]
    for seed in range(5):
        for net, error, lost in (("LeNet-5", lenet, rise), ("fully connected", full, 20.0)):
            made.append(
                dict(net=net, seed=seed, n=9, data="x", test_error=error + 0.1 * seed, shift_rise=lost + seed % 2)
            )
    return made


def test_check_tells_the_idea_from_a_broken_one() -> None:
    assert [v.verdict for v in check(rows(4.0, 9.0))] == ["reproduced"] * 3
    broken = rows(9.0, 9.0, rise=20.0)
    broken[2] = broken[2] | dict(parameters=6 * 16 * 25 + 16)  # C3 connected to everything
    assert [v.verdict for v in check(broken)] == ["not reproduced"] * 3
    assert [v.verdict for v in check([])] == ["inconclusive"] * 3


def test_the_seed_decides_what_is_measured() -> None:
    cfg = replace(PRESETS["smoke"], n=20, seeds=1, times=(4.0,))

    def start_of(seed: int) -> list[object]:
        events = lenet5.run(replace(cfg, seed=seed), torch.device("cpu"))
        return list(islice((e for e in events if isinstance(e, dict) and "loss" in e), 1))

    assert start_of(0) == start_of(0) != start_of(1)
