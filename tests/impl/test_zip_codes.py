"""The zip code net: its counts, its layers against torch's, sharing as tied weights, rejections."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl import zip_codes
from impl.kit import Row, Verdict
from impl.kit.broken import take_out
from impl.zip_codes import (
    BROKEN,
    SMOKE,
    TABLE,
    Full,
    SharedMaps,
    UnsharedMaps,
    check,
    f,
    fully_connected,
    normalize,
    rejected,
    run,
    squared_error,
    zip_net,
)

CPU = torch.device("cpu")
KERNEL = (12, 8, 5, 5)


def counts(net: nn.Sequential) -> list[int]:
    return [sum(p.numel() for p in layer.parameters()) for layer in net]


def test_the_counts_of_the_paper() -> None:
    shared, unshared = zip_net(SharedMaps), zip_net(UnsharedMaps)
    assert counts(shared) == [1_068, 2_592, 5_790, 310] and sum(counts(shared)) == 9_760
    assert counts(unshared) == [19_968, 38_592, 5_790, 310] and sum(counts(unshared)) == 64_660
    assert sum(counts(fully_connected(40))) == 10_690
    x, units = torch.zeros(1, 1, 16, 16), 256
    for layer in shared:
        x = layer(x)
        units += x.numel()
    assert units == 1_256 and x.shape == (1, 10)


def test_each_map_of_h2_sees_eight_of_h1_and_each_of_h1_is_seen_by_eight() -> None:
    assert all(len(set(seen)) == 8 for seen in TABLE) and len(set(TABLE)) == 12
    assert all(sum(below in seen for seen in TABLE) == 8 for below in range(12))
    for maps in (SharedMaps, UnsharedMaps):
        layer, x = maps(12, TABLE, 4), torch.randn(1, 12, 8, 8, requires_grad=True)
        for to, seen in enumerate(TABLE):
            (gradient,) = torch.autograd.grad(layer(x)[0, to].sum(), x)
            assert [below for below in range(12) if gradient[0, below].any()] == sorted(seen)


def test_shared_maps_are_torchs_convolution_with_a_background_of_minus_one() -> None:
    layer, x = SharedMaps(12, TABLE, 4), torch.randn(3, 12, 8, 8)
    framed = torch.full((3, 12, 12, 12), -1.0)
    framed[..., 2:10, 2:10] = x
    y = layer(x)
    for to, seen in enumerate(TABLE):  # the kernels of a map are in the order of the maps below
        kernel = layer.weight.view(KERNEL)[to][None]
        a = F.conv2d(framed[:, sorted(seen)], kernel, stride=2)[:, 0] + layer.bias[to]
        torch.testing.assert_close(y[:, to], f(a))


def test_sharing_is_tying_weights_and_adding_their_gradients() -> None:
    shared, unshared = (maps(12, TABLE, 4).double() for maps in (SharedMaps, UnsharedMaps))
    with torch.no_grad():
        unshared.weight.copy_(shared.weight.flatten(1)[..., None].expand(-1, -1, 16))
        unshared.bias.copy_(shared.bias)
    x, pull = torch.randn(2, 12, 8, 8).double(), torch.randn(2, 12, 4, 4).double()
    torch.testing.assert_close(shared(x), unshared(x))
    gradients = [
        torch.autograd.grad((layer(x) * pull).sum(), [layer.weight, layer.bias])
        for layer in (shared, unshared)
    ]
    torch.testing.assert_close(gradients[0][0].flatten(1), gradients[1][0].sum(2))
    torch.testing.assert_close(gradients[0][1], gradients[1][1])


def test_first_weights_are_within_the_bounds_of_section_4() -> None:
    torch.manual_seed(0)
    for layer, inputs in ((SharedMaps(12, TABLE, 4), 201), (Full(192, 30), 193)):
        for p in layer.parameters():
            assert 0.9 * 2.4 / inputs < p.abs().max() <= 2.4 / inputs


def test_targets_are_where_f_is_nearly_linear() -> None:
    torch.testing.assert_close(
        f(torch.tensor([-1.0, 1.0])), torch.tensor([-1.0, 1.0]), atol=1e-4, rtol=0
    )
    y, digits = torch.randn(4, 10), torch.tensor([3, 0, 9, 3])
    target = torch.full((4, 10), -1.0)
    target[torch.arange(4), digits] = 1
    torch.testing.assert_close(squared_error(y, digits), F.mse_loss(y, target))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(4, 20), st.integers(4, 20))
def test_a_digit_fills_the_frame_wherever_it_stood(x: int, y: int, width: int, height: int) -> None:
    image = torch.zeros(1, 1, 28, 28)
    image[..., y : y + height, x : x + width] = 1
    seen = normalize(image)
    image = torch.zeros(1, 1, 28, 28)
    image[..., 2 : 2 + height, 5 : 5 + width] = 1
    torch.testing.assert_close(seen, normalize(image), atol=1e-4, rtol=0)
    assert seen.min() >= -1 - 1e-5 and seen.max() <= 1 + 1e-5
    ink = [(seen[0, 0] > 0).any(axis).sum().item() for axis in (0, 1)]
    longer = max(width, height)
    assert max(ink) == 16 and min(ink) == pytest.approx(16 * min(width, height) / longer, abs=1.01)


class Outputs(nn.Module):
    """Answers with what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return x


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60), st.sampled_from([0.0, 0.01, 0.2]))
def test_rejection_is_the_fewest_of_all_thresholds(seed: int, N: int, allowed: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    outputs, y = torch.rand(N, 10, generator=draw), torch.randint(10, (N,), generator=draw)
    y = torch.where(torch.rand(N, generator=draw) < 0.7, outputs.argmax(1), y)
    top = outputs.topk(2).values
    apart = top[:, 0] - top[:, 1]
    fewest = 100.0
    for threshold in apart:
        kept = apart >= threshold
        misread = (outputs.argmax(1) != y)[kept].sum().item()
        if misread <= allowed * kept.sum().item() + 1e-6:
            fewest = min(fewest, 100 * (1 - kept.float().mean().item()))
    assert math.isclose(rejected(Outputs(), outputs, y, allowed), fewest, abs_tol=1e-4)


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        events = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(events)}


def test_without_the_idea_the_counts_are_others_and_the_gain_is_nothing() -> None:
    assert judged("parameters")["parameters"].measured == 64_660
    more = judged("connections")["connections"]
    assert (more.verdict, more.measured) == ("fails", 64_660 + 12 * 16 * 4 * 25)
    same = judged("sharing", seeds=3)["sharing"]
    assert (same.verdict, same.effect) == ("not reproduced", 0.0)


def test_in_scrambled_pixels_a_window_sees_no_neighbours() -> None:
    x = torch.rand(2, 1, 8, 8)
    before = normalize(x)
    with zip_codes.scramble_pixels():
        after = zip_codes.normalize(x)
    assert not torch.equal(before, after)
    torch.testing.assert_close(before.flatten(1).sort(1).values, after.flatten(1).sort(1).values)


def rows(shared: float, unshared: float, full: float, parameters: int = 9_760) -> list[Row]:
    """Five seeds, which differ a little."""
    errors = {"shared": shared, "unshared": unshared, "fully connected": full}
    return [
        dict(arm=arm, seed=seed, judged=True, test_error=error + i * seed / 20,
             rejected=4 * error + i * seed / 20,
             parameters=parameters if arm == "shared" else 64_660)
        for seed in range(5)
        for i, (arm, error) in enumerate(errors.items())
    ]  # fmt: skip


def test_check_tells_the_idea_from_a_broken_one() -> None:
    assert {v.verdict for v in check(rows(5.0, 7.0, 8.1))} == {"holds", "reproduced"}
    broken = {v.claim: v.verdict for v in check(rows(8.1, 8.1, 8.1, 64_660))}
    assert broken["parameters"] == "fails" and "reproduced" not in broken.values()
    assert {v.verdict for v in check([])} == {"not measured"}
