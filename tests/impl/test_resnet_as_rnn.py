"""A recurrent net is its unrolled copy, and its gradient their sum; sizes; the broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl.drawing import resnet_as_rnn as drawing
from impl.kit import Row, Verdict
from impl.kit.broken import take_out
from impl.resnet_as_rnn import (
    BROKEN,
    SMOKE,
    Block,
    Net,
    Recurrent,
    check,
    cut_identity,
    equivalence,
    run,
    through_time,
    unroll,
)

CPU = torch.device("cpu")
COUNTS = {  # layers: parameters with shared kernels and without, at the full width
    20: (168_346, 269_722),
    56: (171_034, 853_018),
    110: (175_066, 1_727_962),
    1202: (256_602, 19_421_274),
}


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("layers", COUNTS)
def test_only_normalization_grows_with_depth(layers: int) -> None:
    with torch.device("meta"):
        shared, own = Net(layers, shared=True), Net(layers, shared=False)
    assert (parameters(shared), parameters(own)) == COUNTS[layers]
    kernels = [p.numel() for p in shared.parameters() if p.dim() == 4]
    assert sum(kernels) == 166_320 and len(kernels) == 11


def test_a_step_against_torchs_functions() -> None:
    torch.manual_seed(0)
    stage, h = Recurrent(4, 3).eval(), torch.randn(2, 4, 6, 6)
    for t in range(3):
        k = h
        for norm, kernel in zip(stage.norms[t], stage.kernels[0], strict=True):
            k = F.batch_norm(k, norm.running_mean, norm.running_var, norm.weight, norm.bias)
            k = F.conv2d(F.relu(k), kernel.weight, padding=1)
        torch.testing.assert_close(stage.increment(h, t), k)
        h = h + k
    start = h
    torch.testing.assert_close(stage(h, -2), start + stage.increment(start, 0))
    assert torch.equal(stage(h, -3), h), "no step, no change"


def test_where_maps_shrink_the_shortcut_drops_pixels_and_adds_zeros() -> None:
    block, h = Block(3, 6, stride=2), torch.randn(2, 3, 8, 8)
    nn.init.zeros_(block.kernels[-1].weight)
    y = block(h)
    assert torch.equal(y[:, :3], h[..., ::2, ::2]) and not y[:, 3:].any()


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 6), st.integers(0, 999))
def test_back_propagation_through_time_is_autograd(T: int, seed: int) -> None:
    torch.manual_seed(seed)
    stage, x = Recurrent(3, T).eval().double(), torch.randn(2, 3, 5, 5).double()
    d = torch.randn(2, 3, 5, 5).double()
    expected = torch.autograd.grad(stage(x), list(stage.kernels.parameters()), d)
    for ours, theirs in zip(through_time(stage, x, d), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_unrolled_copy_is_a_residual_net_with_the_same_answers() -> None:
    torch.manual_seed(1)
    net, x = Net(20, 4, 1, shared=True), torch.randn(5, 1, 8, 8)
    net(x)  # moves the statistics of each step
    residual = unroll(net.eval())
    assert all(isinstance(stage, nn.Sequential) for stage in residual.stages)
    assert parameters(residual) == parameters(Net(20, 4, 1, shared=False))
    torch.testing.assert_close(residual(x), net(x))
    gaps = equivalence(net, x.double(), torch.tensor([1, 2, 3, 4, 5]))
    assert 0 < gaps["gradient_gap"] < 1e-12 and gaps["output_gap"] < 1e-12


def test_states_of_a_stage_are_pictured_step_by_step() -> None:
    net, x = Net(20, 4, 1, shared=True).eval(), torch.randn(5, 1, 8, 8)
    states = drawing.states(unroll(net), x)
    assert [tuple(h.shape) for h in states.values()] == [
        (4, 5, 4, 8, 8),
        (3, 5, 8, 4, 4),
        (3, 5, 16, 2, 2),
    ]
    torch.testing.assert_close(net.classify(states["stage 2"][-1]), net(x))


def test_without_the_identity_a_step_forgets_its_input() -> None:
    stage, h = Recurrent(3, 1).eval(), torch.randn(2, 3, 5, 5)
    k = stage.increment(h, 0)
    with cut_identity():
        torch.testing.assert_close(stage(h), k)


def judged(claim: str | None) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, layers=20)) as cfg:
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


@pytest.mark.parametrize("claim", ["same-outputs", "same-gradient", "parameters"])
def test_without_its_idea_an_identity_fails(claim: str) -> None:
    assert judged(claim)[claim].verdict == "fails"


def rows(shared: float, shallow: float) -> list[Row]:
    errors = {"shared": shared, "own": 6.0, "own-shallow": shallow}
    return [
        dict(arm=arm, seed=seed, judged=True, test_error=error + (i + seed) % 3 / 10)
        for seed in range(6)
        for i, (arm, error) in enumerate(errors.items())
    ]


def test_similar_is_claimed_only_where_another_net_is_not() -> None:
    found = {
        name: check(rows(*errors))[-1].verdict
        for name, errors in {"alike": (6.1, 9.0), "coarse": (6.1, 6.2), "worse": (9.0, 9.0)}.items()
    }
    assert found == {
        "alike": "reproduced",
        "coarse": "inconclusive",
        "worse": "not reproduced",
    }
