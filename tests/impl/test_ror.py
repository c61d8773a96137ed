"""RoR: sizes, routes counted and felt, a level at nothing is a ResNet, nets apart, torch's own gradient, the broken idea."""

import inspect
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl import resnet_as_rnn, ror
from impl.kit import Row
from impl.ror import (
    COUNTS,
    SMOKE,
    Net,
    Shortcut,
    check,
    edges,
    fresh,
    gradients,
    load,
    parameters,
    passed,
    shortest,
    train,
)


@pytest.mark.parametrize("key", COUNTS)
def test_parameters(key: tuple[int, int, str, str]) -> None:
    layers, levels, kind, last = key
    with torch.device("meta"):
        net = Net(layers, levels=levels, kind=kind, last=last)
    assert parameters(net) == COUNTS[key]
    kernels = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(kernels) + 1 == layers  # and the fully connected layer


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 6), st.sampled_from([1, 2, 3]))
def test_routes_counted_in_the_scheme_are_those_that_the_net_has(n: int, levels: int) -> None:
    routes = [1] + [0] * (3 * n)
    for a, b in sorted(edges(n, levels), key=lambda edge: edge[1]):
        routes[b] += routes[a]
    signal, gradient = passed(n, levels)
    assert routes[-1] == pytest.approx(signal, abs=1e-4) == pytest.approx(gradient, abs=1e-4)
    assert shortest(n, levels) == (1 if levels > 1 else 3 * n)


def test_middle_shortcuts_alone_leave_three_rectifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ror.edges
    monkeypatch.setattr(ror, "edges", lambda n, levels: [e for e in whole(n, levels) if e != (0, 3 * n)])
    assert shortest(9, 3) == 3


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(0, 5))
def test_padding_keeps_pixels_and_adds_zeros_net_by_net(N: int, stride: int, grow: int) -> None:
    x = torch.rand(2, N * 3, 8, 8)
    y = Shortcut(N, 3, 3 + grow, stride, "A")(x).unflatten(1, (N, -1))
    assert torch.equal(y[:, :, :3], x.unflatten(1, (N, 3))[..., ::stride, ::stride])
    assert not y[:, :, 3:].any()


def test_with_projections_at_nothing_ror_is_the_resnet() -> None:
    torch.manual_seed(0)
    net, plain = Net(14, 4, 1, levels=3, kind="C"), Net(14, 4, 1, levels=1)
    plain.load_state_dict(net.state_dict(), strict=False)
    for shortcut in [*net.middle, net.root]:
        nn.init.zeros_(shortcut.project[1].weight)
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(net(x), plain(x))


def test_both_kinds_start_from_the_same_weights() -> None:
    data, _ = load(SMOKE)
    with_levels, without = fresh(SMOKE, data, 3, [7, 8]), fresh(SMOKE, data, 1, [7, 8])
    weights = with_levels.state_dict()
    assert all(torch.equal(w, weights[name]) for name, w in without.state_dict().items())


def test_nets_side_by_side_are_each_alone() -> None:
    data, _ = load(SMOKE)
    three, alone = fresh(SMOKE, data, 3, [5, 6, 7]), fresh(SMOKE, data, 3, [6])
    for net, seeds, rates in ((three, [5, 6, 7], [0.1, 0.01, 0.1]), (alone, [6], [0.01])):
        for _ in train(net, SMOKE, data, seeds, rates):
            pass
    x = data.x_train[:32]
    assert torch.allclose(three(x.repeat(1, 3, 1, 1))[:, 1], alone(x)[:, 0], atol=1e-3)


def test_gradients_are_those_of_each_net_alone() -> None:
    data, _ = load(SMOKE)
    three, alone = fresh(SMOKE, data, 3, [5, 6, 7]), fresh(SMOKE, data, 3, [6])
    assert torch.allclose(gradients(three, data)[:, 1], gradients(alone, data)[:, 0], rtol=1e-2)
    x = data.x_train[:100]
    first = alone.stem(x).detach().requires_grad_()
    F.cross_entropy(alone.read(alone.maps(first)[-1])[:, 0], data.y_train[:100]).backward()
    assert first.grad is not None and torch.allclose(gradients(alone, data)[0, 0], first.grad.norm(), rtol=1e-3)


def test_what_is_repeated_is_the_same() -> None:
    for name in ("load", "train"):
        assert inspect.getsource(getattr(ror, name)) == inspect.getsource(getattr(resnet_as_rnn, name))


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {v.claim: v.verdict for v in check(rows)}


def test_levels_that_are_lost_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: the net forgets its upper levels and is a ResNet again."""

    def forgetful(self: Net, x: Tensor) -> list[Tensor]:
        maps = [x]
        for block in self.blocks:
            maps.append(F.relu(block(maps[-1])))
        return maps

    monkeypatch.setattr(Net, "maps", forgetful)
    forward, backward = passed(3, 3)
    found = verdicts([dict(signal_routes=forward, gradient_routes=backward, expected_routes=9)])
    assert found["routes"] == "not reproduced"


def test_a_net_that_gains_nothing_is_not_reproduced() -> None:
    rows: list[Row] = [dict(seed=s, levels=level, test_error=7.0 + s) for s in range(5) for level in (1, 3)]
    assert verdicts(rows)["fewer-errors"] == "not reproduced"
    better = [row | {"test_error": float(row["test_error"]) - (row["levels"] == 3)} for row in rows]
    assert verdicts(better)["fewer-errors"] == "reproduced"
    assert set(verdicts([]).values()) == {"inconclusive"}


def test_the_shortest_route_never_gets_longer_by_a_level() -> None:
    for n in range(1, 20):
        assert all(a >= b for a, b in pairwise([shortest(n, levels) for levels in (1, 2, 3)]))
