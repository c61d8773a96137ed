"""AlexNet: sizes, the normalization's equation against torch's operator, nets side by side, augmentation, broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl.alexnet import (
    BARE,
    ONE_TOWER,
    PAPER,
    SMOKE,
    Config,
    Kind,
    Nets,
    Pictures,
    check,
    errors,
    load,
    normalized,
    race,
    run,
    side_by_side,
    start,
    train,
)
from impl.kit import Row
from impl.kit.data import DataUnavailable, Images

CPU = torch.device("cpu")


def digits(cfg: Config = SMOKE) -> Pictures:
    return Pictures(load("digits", CPU), cfg, cfg.n, CPU, scaled=True)


def noise(channels: int = 3, name: str = "cifar10") -> Pictures:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(400, channels, 32, 32, generator=draw), torch.randint(10, (400,), generator=draw)
    return Pictures(Images(name, x, y, x[:20], y[:20]), SMOKE, 100, CPU, scaled=False)


@pytest.mark.parametrize(("cfg", "count"), [(PAPER, 60_965_224), (ONE_TOWER, 61_100_840)])
def test_parameters(cfg: Config, count: int) -> None:
    with torch.device("meta"):
        net = Nets(cfg, Kind(), channels=3, K=1000, side=224)
        assert net(torch.empty(2, 3, 224, 224)).shape == (1, 2, 1000)
    assert sum(p.numel() for p in net.parameters()) == count


def test_layers_answer_with_as_many_numbers_as_fig_2_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the first, which is 55 x 55 x 96 = 290,400 when its kernels lie 4 pixels apart, where Fig. 2 has 253,440."""
    sizes: list[int] = []
    monkeypatch.setattr(torch, "relu", lambda x: sizes.append(x.numel()) or x)
    with torch.device("meta"):
        Nets(PAPER, Kind(), channels=3, K=1000, side=224)(torch.empty(1, 3, 224, 224))
    assert sizes == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 3), st.floats(1e-5, 1.0), st.integers(0, 99))
def test_normalization_is_torchs_whose_alpha_is_divided_by_n(C: int, N: int, alpha: float, seed: int) -> None:
    a = 10 * torch.randn(2, N * C, 3, 3, generator=torch.Generator().manual_seed(seed))
    theirs = nn.LocalResponseNorm(5, alpha=5 * alpha, beta=0.75, k=2.0)
    expected = torch.cat([theirs(part) for part in a.split(C, 1)], 1)
    assert torch.allclose(normalized(a, N, alpha), expected, rtol=1e-4, atol=1e-5)


def test_a_scaled_net_normalizes_as_a_raw_one() -> None:
    """Deviation 3: answers to intensities 64 times smaller are divided by as much, if alpha is 64^2 times larger."""
    a = 100 * torch.rand(2, 16, 3, 3)
    assert torch.allclose(normalized(a / 64, alpha=64**2 * 1e-4), normalized(a) / 64)


def test_overlapping_pooling_gives_maps_of_equal_size() -> None:
    with torch.device("meta"):
        for cfg, side, channels in ((PAPER, 224, 3), (SMOKE, 28, 1)):
            shapes = [[p.shape for p in Nets(cfg, replace(Kind(), pooling=p), channels, 10, side).parameters()]
                      for p in (True, False)]  # fmt: skip
            assert shapes[0] == shapes[1]


def test_nets_side_by_side_are_each_alone() -> None:
    cfg, data = replace(SMOKE, updates=6), digits()
    kind = replace(Kind(), dropout=False)  # whose masks would be others
    three, alone = start(cfg, kind, data, [5, 6, 7]), start(cfg, kind, data, [6])
    for nets, seeds, rates in ((three, [5, 6, 7], [0.1, 0.01, 0.02]), (alone, [6], [0.01])):
        for step in train(nets, data, seeds, rates, cfg.decay):
            if step == 6:
                break
    x = data.middle(data.centred(data.images.x_test[:40]))
    assert torch.allclose(three(side_by_side([x] * 3))[1], alone(x)[0], atol=1e-4)


def test_the_halves_of_a_net_are_kept_apart_as_well() -> None:
    """Sec. 3.5: in a layer cut in two, the first half of the kernels doesn't see the second half of the maps."""
    cfg = replace(SMOKE, C=(4, 4), groups=(1, 2), spread=0.1)
    net = Nets(cfg, BARE, channels=1, K=10, side=28, N=2).start([0, 1])
    y = torch.randn(1, 8, 5, 5, requires_grad=True)
    F.conv2d(y, net.W[1], groups=4)[:, :2].sum().backward()
    assert y.grad is not None and y.grad[:, :2].abs().sum() > 0 and not y.grad[:, 2:].any()


def test_the_updates_are_those_of_torch() -> None:
    """Sec. 5's rule keeps the rate inside the momentum; at a constant rate it is torch's."""
    cfg, data = replace(SMOKE, updates=100), digits()
    ours, theirs = start(cfg, BARE, data, [1]), start(cfg, BARE, data, [1])
    for step in train(ours, data, [1], [0.02], decay=0.1):
        if step == 8:
            break
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.02, momentum=cfg.momentum, weight_decay=0.1)
    for _, (x, y) in zip(range(8), data.batches([1], cfg.batch, augment=False), strict=False):
        optimizer.zero_grad()
        F.cross_entropy(theirs(x)[0], y[0]).backward()
        optimizer.step()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_dropout_halves_the_answers_at_test() -> None:
    data = digits()
    with_, without = (start(SMOKE, replace(Kind(), dropout=d), data, [0]) for d in (True, False))
    x = torch.randn(5, 1, 28, 28)
    assert torch.allclose(with_.eval().hidden(x), 0.5 * without.eval().hidden(x))
    torch.manual_seed(0)
    kept = with_.train().hidden(x)
    assert (kept == 0).sum() > (without.hidden(x) == 0).sum()


def test_augmented_images_are_crops_reflections_and_one_colour_each() -> None:
    data = noise()
    data.colours.zero_()
    x = data.images.x_train[:1].expand(300, -1, -1, -1)
    seen = data.augmented(x, torch.Generator().manual_seed(0))
    crops = {c.numpy().tobytes() for c in seen}
    possible = [x[0, :, i : i + 28, j : j + 28] for i in range(5) for j in range(5)]
    assert crops == {p.contiguous().numpy().tobytes() for q in possible for p in (q, q.flip(2))}, "50 of them, all seen"
    data = noise()
    data.margin, data.mirrored, data.side = 0, False, 32
    shift = data.augmented(x, torch.Generator().manual_seed(0)) - x
    assert torch.allclose(shift, shift.mean((2, 3), keepdim=True).expand_as(shift), atol=1e-3), "one for all pixels"


def test_the_colours_are_principal_components_times_their_variance() -> None:
    data = noise()
    p = data.colours / data.colours.norm(dim=0)
    pixels = data.images.x_train.transpose(0, 1).flatten(1)
    assert torch.allclose(p.T @ p, torch.eye(3), atol=1e-4)
    assert torch.allclose(torch.cov(p.T @ pixels).diagonal(), data.colours.norm(dim=0), rtol=1e-2)


def test_handwriting_is_not_mirrored() -> None:
    x = torch.arange(32.0).expand(200, 1, 32, 32)  # brighter to the right
    for data, mirrored in ((noise(1), 1), (digits(), 0)):
        seen = data.augmented(x, torch.Generator().manual_seed(0))
        assert (seen[:, 0, 0, 0] > seen[:, 0, 0, -1]).any() == mirrored


def test_the_crossing_lies_between_two_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """90, 50 and 20% after 0, 1 and 2 updates: 25% is reached after 1 + 25/30 of them."""
    data, measured = digits(), iter([90.0, 50.0, 20.0])
    monkeypatch.setattr("impl.alexnet.errors", lambda *_: torch.tensor([next(measured)]))
    nets = start(SMOKE, BARE, data, [0])
    *_, (epoch, _, reached) = race(nets, data, [0], [0.01], limit=9, enough=1)
    per_epoch = data.n // SMOKE.batch
    assert epoch == 2 / per_epoch
    assert reached.item() == pytest.approx((1 + 25 / 30) / per_epoch)


def test_errors_count_the_nets_own_images() -> None:
    data = digits()
    nets = start(SMOKE, Kind(), data, [0, 1])
    x = data.middle(data.centred(data.images.x_test[:30]))
    guess = torch.stack([nets.eval()(side_by_side([x, x]))[i].argmax(1) for i in range(2)])
    assert errors(nets, x, guess).tolist() == errors(nets, side_by_side([x, x]), guess).tolist() == [0.0, 0.0]


def test_what_paper_would_need_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("KB_DATA", str(tmp_path))
    with pytest.raises(DataUnavailable, match=r"1\.2 million"):
        load("ilsvrc2010", CPU)


def rows(relu: float, tanh: float, raw_relu: float, raw_tanh: float, whole: float, ablated: float) -> list[Row]:
    """As five seeds could give them."""
    made: list[Row] = [dict(counted="two cards", parameters=60_965_224)]
    for seed in range(5):
        for unit, epochs, error in (("relu", relu, raw_relu), ("tanh", tanh, raw_tanh)):
            made.append(dict(net=unit, inputs="scaled", seed=seed, epochs=epochs + 0.1 * seed, reached=epochs < 40))
            made.append(dict(net=unit, inputs="raw", seed=seed, epochs=9.0, reached=False, last_error=error + seed % 2))
        for part in ("pooling", "normalization", "dropout", "augmentation"):
            made.append(dict(net="whole", seed=seed, test_error=whole + seed))
            made.append(dict(net=f"no {part}", seed=seed, test_error=ablated + seed))
    return made


def test_ideas_that_work_are_reproduced_and_ideas_that_do_not_are_not() -> None:
    assert {v.verdict for v in check(rows(5, 30, 20, 80, 11, 13))} == {"reproduced"}
    broken = {v.claim: v.verdict for v in check(rows(5, 5, 50, 50, 13, 13))}
    assert broken.pop("parameters") == "reproduced"
    assert set(broken.values()) == {"not reproduced"}
    assert {v.claim: v.verdict for v in check(rows(5, 10, 20, 80, 11, 13))}["relu-faster"] == "not reproduced", "twice"


def test_a_race_that_nobody_ends_says_nothing() -> None:
    verdicts = {v.claim: v.verdict for v in check(rows(40, 40, 50, 50, 11, 13))}
    assert verdicts["relu-faster"] == "inconclusive"


def test_relus_that_are_no_relus_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: both nets have tanh units, and neither comes sooner to 90%, nor farther from raw intensities."""

    def squashed(x: Tensor) -> Tensor:
        return torch.tanh(x)

    monkeypatch.setattr(torch, "relu", squashed)
    cfg = replace(SMOKE, target=89.0, ablate=(), updates=1, spread=0.0, seeds=3, epochs_scaled=3)
    verdicts = {v.claim: v for v in check([e for e in run(cfg, CPU) if isinstance(e, dict)])}
    assert verdicts["relu-faster"].verdict == "not reproduced" and verdicts["relu-faster"].effect == 0
    assert verdicts["no-input-normalization"].verdict != "reproduced"
