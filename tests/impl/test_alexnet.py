"""AlexNet: sizes, response normalization against torch's, augmentation, and the broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl import alexnet
from impl.alexnet import (
    BROKEN,
    CARDS,
    SMOKE,
    ResponseNormalization,
    augment,
    build,
    centre,
    check,
    init_as_published,
    load,
    race,
    run,
    train,
)
from impl.kit import Row, Verdict
from impl.kit.broken import take_out
from impl.kit.data import Split

CPU = torch.device("cpu")
ONE_TOWER = dict(C=(64, 192, 384, 256, 256))  # the version in common use today


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_the_published_net_and_the_one_in_common_use() -> None:
    with torch.device("meta"):
        net, tower = build(groups=CARDS), build(**ONE_TOWER)
        assert net(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
    assert (parameters(net), parameters(tower)) == (60_965_224, 61_100_840)


def test_layers_answer_with_as_many_numbers_as_fig_2_says() -> None:
    """But for the first: with kernels 4 pixels apart it has 55 x 55 x 96 = 290,400, not 253,440."""
    sizes, x = [], torch.empty(1, 3, 224, 224, device="meta")
    with torch.device("meta"):
        for layer in build(groups=CARDS):
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                sizes.append(x.numel())
    assert sizes == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.sampled_from([1, 3, 5]), st.floats(1e-4, 1.0), st.integers(0, 99))
def test_normalization_is_torchs(C: int, n: int, alpha: float, seed: int) -> None:
    """torch divides alpha by the number of neighbours."""
    torch.manual_seed(seed)
    a = 3 * torch.randn(2, C, 4, 5)
    theirs = nn.LocalResponseNorm(n, alpha * n, 0.75, 2.0)
    torch.testing.assert_close(ResponseNormalization(C, alpha, n)(a), theirs(a))


def test_a_card_sees_only_its_own_maps() -> None:
    net = build((4, 6), (3, 3), (1, 2), 1, 0, (5,), 2, 16, 3, parts=())
    x = torch.randn(1, 4, 7, 7, requires_grad=True)
    second = net[3]
    assert isinstance(second, nn.Conv2d) and second.groups == 2
    (gradient,) = torch.autograd.grad(second(x)[:, :3].sum(), x)
    assert gradient[:, :2].any() and not gradient[:, 2:].any()


def test_overlapping_windows_and_others() -> None:
    sizes = {}
    for parts in ((), ("pooling",)):
        net = build((4, 4), (7, 5), (1, 1), 2, 0, (8,), 3, 28, 10, parts=parts)
        sizes[parts] = [m.kernel_size for m in net if isinstance(m, nn.MaxPool2d)]
        assert net(torch.randn(2, 3, 28, 28)).shape == (2, 10)
    assert sizes == {(): [2, 2], ("pooling",): [3, 3]}


def test_first_weights_as_published() -> None:
    torch.manual_seed(0)
    relu, tanh = (
        build((64, 64), (5, 5), (1, 1), 1, 0, (300,), 3, 28, 10, unit=unit, parts=())
        for unit in ("relu", "tanh")
    )
    for net, ones in ((relu, [0, 1, 1, 0]), (tanh, [0, 0, 0, 0])):
        init_as_published(net)
        weighted = [m for m in net if isinstance(m, nn.Conv2d | nn.Linear)]
        assert [float(m.get_parameter("bias").detach().unique()) for m in weighted] == ones
        assert weighted[1].weight.std().item() == pytest.approx(0.01, rel=0.02)


def pictures(channels: int = 3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(400, channels, 32, 32, generator=draw)
    return x, torch.eye(channels)


def test_patches_are_windows_of_the_image_and_some_are_mirrored() -> None:
    x, _ = pictures()
    seen = augment(x, torch.zeros(3, 3), torch.Generator().manual_seed(1))
    assert seen.shape == (400, 3, 28, 28)
    windows = x.unfold(2, 28, 1).unfold(3, 28, 1)  # [400, 3, 5, 5, 28, 28]
    mirrored = 0
    for image, all_windows in zip(seen[:60], windows[:60], strict=True):
        flat = all_windows.permute(1, 2, 0, 3, 4).flatten(0, 1)
        straight = (flat == image).flatten(1).all(1).any()
        turned = (flat == image.flip(2)).flatten(1).all(1).any()
        assert straight or turned
        mirrored += bool(turned)
    assert 15 < mirrored < 45


def test_handwriting_is_not_mirrored() -> None:
    x = torch.arange(32.0).expand(50, 1, 32, 32)  # brighter to the right
    seen = augment(x, torch.zeros(1, 1), torch.Generator().manual_seed(0))
    assert (seen[..., 1:] > seen[..., :-1]).all()


def test_colours_change_along_their_principal_components() -> None:
    """One draw for all pixels of an image, with the covariance 0.01 lambda_i^2 p_i p_i^T."""
    x, _ = pictures()
    components = torch.tensor([[3.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    plain, tinted = (
        augment(x.repeat(10, 1, 1, 1), colours, torch.Generator().manual_seed(2))
        for colours in (torch.zeros(3, 3), components)
    )
    tint = tinted - plain
    torch.testing.assert_close(tint, tint[..., :1, :1].expand_as(tint), atol=1e-5, rtol=0)
    covariance = torch.cov(tint[..., 0, 0].T)
    torch.testing.assert_close(covariance, 0.01 * components @ components.T, atol=0.02, rtol=0.1)


@pytest.mark.parametrize("raw", [False, True])
def test_intensities_are_centred_and_scaled_or_raw(raw: bool) -> None:
    split, colours = load(SMOKE, CPU, 0, raw=raw)
    x = split.x_train
    assert x.shape == (100, 1, 32, 32) and centre(x).shape == (100, 1, 28, 28)
    torch.testing.assert_close(x.mean(0), torch.zeros(1, 32, 32), atol=1e-3, rtol=0)
    if raw:
        assert 40 < x.std() < 128
    else:
        assert x.std().item() == pytest.approx(1.0, rel=1e-4)
    assert colours.shape == (1, 1) and float(colours.abs()) > 0


def test_the_race_ends_at_the_target_between_two_looks() -> None:
    """A net that is told the answers step by step: 100, then 10 percent errors."""
    x, y = torch.zeros(64, 1, 32, 32), torch.zeros(64, dtype=torch.long)
    split = Split(x, y, x, y, x, y)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    nn.init.zeros_(net[1].weight)
    with torch.no_grad():
        net[1].bias.copy_(torch.tensor([0.0, 0.3, *[-9.0] * 8]))
    cfg = replace(SMOKE, n_race=64, race_epochs=10)
    rows = list(race(net, split, 0.05, 0, cfg, raw=False))
    looks = [row for row in rows if "epoch" in row]
    assert looks[-1]["train_error"] == 0 and looks[-2]["train_error"] == 100
    before, last = (float(row["epoch"]) for row in looks[-2:])
    assert float(rows[-1]["epochs"]) == pytest.approx(before + 0.75 * (last - before))


def test_updates_are_torchs_with_a_rate_that_falls_twice() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(8, 5), torch.randint(3, (8,))
    net = nn.Linear(5, 3)
    w = net.weight.detach().clone()
    b = net.bias.detach().clone()
    v, c = torch.zeros_like(w), torch.zeros_like(b)
    cfg = replace(SMOKE, weight_decay=0.1)
    list(train(net, iter([(x, y)] * 12), 0.1, 12, cfg, bare=False))
    for step in range(12):
        lr = 0.1 / 10 ** ((step >= 8) + (step >= 10))
        error = (x @ w.T + b).softmax(1) - F.one_hot(y, 3)
        v = 0.9 * v + error.T @ x / 8 + 0.1 * w
        c = 0.9 * c + error.mean(0) + 0.1 * b
        w, b = w - lr * v, b - lr * c
    torch.testing.assert_close(net.weight.detach(), w, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(net.bias.detach(), b, atol=1e-5, rtol=1e-4)


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows: list[Row] = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_tanh_units_in_place_of_rectifiers_are_no_faster() -> None:
    verdict = judged("relu-faster", ablate=(), seeds=3)["relu-faster"]
    assert (verdict.effect, verdict.verdict) == (1, "not reproduced")


def test_a_net_on_one_card_has_other_parameters() -> None:
    verdicts = judged("parameters", ablate=())
    assert verdicts["parameters"].verdict == "fails"
    assert verdicts["dropout"].verdict == "not measured"


PARTS = {
    "overlapping-pooling": "pooling",
    "local-response-normalization": "normalization",
    "dropout": "dropout",
    "augmentation": "augmentation",
}


@pytest.mark.parametrize("claim", PARTS)
def test_a_part_that_is_taken_out_saves_nothing(claim: str) -> None:
    """The whole net is then the net without it: the same weights, batches and errors."""
    with take_out(BROKEN, claim, SMOKE) as cfg:
        last = []
        for arm in ("whole", f"no-{PARTS[claim]}"):
            torch.manual_seed(0)
            *_, end = alexnet.trial(cfg, CPU, arm=arm, seed=0, lr=0.01)
            last.append(end)
    assert last[0] == last[1]
