"""RoR: which shortcuts there are, routes counted by hand, sizes, and the broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl.kit import Verdict
from impl.kit.broken import take_out
from impl.ror import BROKEN, SMOKE, Block, Net, Shortcut, check, run, trace_routes, trial

CPU = torch.device("cpu")
PROJECTIONS = {  # levels, shortcuts of the levels: parameters beyond those of a ResNet
    (2, "B"): 1_152,  # the root: 16 x 64 weights, 2 x 64 for batch normalization
    (3, "B"): 1_152 + 576 + 2_176,  # and 16 x 32 + 2 x 32, 32 x 64 + 2 x 64
    (3, "C"): 1_152 + 576 + 2_176 + 288,  # and 16 x 16 + 2 x 16
    (3, "A"): 0,
}


@pytest.mark.parametrize("levels, kind", PROJECTIONS)
def test_projections_have_the_parameters_counted_by_hand(levels: int, kind: str) -> None:
    with torch.device("meta"):
        net = Net(110, levels=levels, kind=kind)
    count = sum(p.numel() for p in net.parameters())
    assert count == 1_727_962 + PROJECTIONS[levels, kind]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_routes_against_counting_by_hand(n: int, levels: int) -> None:
    """Walks along all shortcuts from the first maps to the last, and counts steps."""
    edges = [(k, k + 1) for k in range(3 * n)]
    edges += [(i * n, i * n + n) for i in range(3)] if levels > 2 else []
    edges += [(0, 3 * n)] if levels > 1 else []
    lengths: dict[int, list[int]] = {0: [0]}
    for k in range(1, 3 * n + 1):
        lengths[k] = [1 + length for a, b in edges if b == k for length in lengths[a]]
    signal, gradient, shortest = trace_routes(n, levels)
    assert signal == pytest.approx(len(lengths[3 * n]), rel=1e-9)
    assert gradient == pytest.approx(len(lengths[3 * n]), rel=1e-9)
    assert shortest == pytest.approx(min(lengths[3 * n]), abs=0.01)


def test_the_last_block_of_a_group_adds_its_input_and_the_very_last_the_first_maps() -> None:
    """x_{3n+1} = ReLU(g_1(x_1) + g_2(x_{2n+1}) + h(x_3n) + F(x_3n))"""
    torch.manual_seed(0)
    net = Net(14, 4, levels=3, kind="B").eval()
    maps = net.maps(net.stem(torch.randn(2, 3, 16, 16)))
    assert net.root is not None
    last = net.blocks[5](maps[5]) + net.middle[2](maps[4]) + net.root(maps[0])
    torch.testing.assert_close(maps[6], F.relu(last))
    torch.testing.assert_close(maps[4], F.relu(net.blocks[3](maps[3]) + net.middle[1](maps[2])))
    torch.testing.assert_close(maps[5], F.relu(net.blocks[4](maps[4])))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.integers(0, 4), st.integers(0, 99))
def test_padding_drops_pixels_and_adds_zeros(stride: int, new: int, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, 3, 8, 8)
    y = Shortcut(3, 3 + new, stride, "A")(x)
    assert torch.equal(y[:, :3], x[..., ::stride, ::stride]) and not y[:, 3:].any()


def test_a_projection_against_torchs_convolution() -> None:
    torch.manual_seed(0)
    shortcut, x = Shortcut(3, 6, 2, "B").eval(), torch.randn(2, 3, 8, 8)
    assert shortcut.project is not None
    expected = F.conv2d(x, shortcut.project[0].weight, None, 2) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(shortcut(x), expected)
    assert Shortcut(3, 3, 1, "B").project is None and Shortcut(3, 3, 1, "C").project is not None


def test_both_nets_start_with_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    nets: list[nn.Module] = []

    def stop(net: nn.Module, *rest: object, **settings: object) -> list[object]:
        nets.append(net)
        raise StopIteration

    monkeypatch.setattr("impl.kit.cifar.train", stop)
    for arm in ("RoR", "ResNet"):
        torch.manual_seed(4)
        with pytest.raises(RuntimeError):  # a generator's StopIteration
            list(trial(SMOKE, CPU, arm=arm, seed=4, lr=0.1))
    with_levels, without = (dict(net.named_parameters()) for net in nets)
    assert len(with_levels) > len(without)
    assert all(torch.equal(with_levels[name], weight) for name, weight in without.items())


def test_a_block_is_before_its_rectifier() -> None:
    block, x = Block(3, 3, 1, "A").eval(), torch.randn(2, 3, 8, 8)
    nn.init.zeros_(block.residual[-1].weight)
    assert torch.equal(block(x), x) and (x < 0).any()


def judged(claim: str | None) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, seeds=3)) as cfg:
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_with_one_level_all_is_as_in_a_resnet() -> None:
    verdicts = judged("fewer-errors")
    assert (verdicts["fewer-errors"].effect, verdicts["fewer-errors"].verdict) == (
        0,
        "not reproduced",
    )
    assert verdicts["shortest-route"].verdict == verdicts["routes"].verdict == "fails"
    assert verdicts["parameters"].verdict == "holds"


def test_projections_everywhere_have_other_counts() -> None:
    verdicts = judged("parameters")
    assert verdicts["parameters"].verdict == "fails"
