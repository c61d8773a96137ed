"""ResNet: sizes, the identity that a residual net starts from, nets side by side, torch's own optimizer, the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl.resnet import (
    CIFAR_COUNTS,
    IMAGENET_COUNTS,
    SMOKE,
    Block,
    augmented,
    batches,
    check,
    cifar_net,
    fresh,
    imagenet_net,
    load,
    parameters,
    responses,
    run,
    train,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("layers", CIFAR_COUNTS)
def test_cifar_nets_have_as_many_parameters_with_and_without_shortcuts(layers: int) -> None:
    with torch.device("meta"):
        net, plain = cifar_net(layers), cifar_net(layers, residual=False)
    assert parameters(net) == parameters(plain) == CIFAR_COUNTS[layers]
    weighted = [m for m in net.modules() if isinstance(m, nn.Conv2d)]  # the last is the fully connected layer
    assert len(weighted) == layers


@pytest.mark.parametrize("layers", IMAGENET_COUNTS)
def test_imagenet_nets(layers: int) -> None:
    with torch.device("meta"):
        net = imagenet_net(layers)
        assert parameters(net) == IMAGENET_COUNTS[layers]
        assert net(torch.empty(2, 3, 224, 224)).shape == (2, 1, 1000)
    main = [m for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and "project" not in n]
    assert len(main) == layers


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.sampled_from([1, 2]), st.integers(0, 99))
def test_a_block_whose_residual_is_nothing_is_the_identity(N: int, stride: int, seed: int) -> None:
    torch.manual_seed(seed)
    block = Block(N, 4, 4 * stride, stride, shortcut="A")
    norm = block.residual[-1]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    x = torch.rand(5, N * 4, 8, 8)
    y = block(x).unflatten(1, (N, -1))
    assert torch.equal(y[:, :, :4], x.unflatten(1, (N, 4))[..., ::stride, ::stride])
    assert not y[:, :, 4:].any()


def test_the_shortcut_carries_the_gradient_past_all_blocks() -> None:
    """With every residual at nothing, the gradient at the first block is that at the last, pixel for pixel."""
    blocks = nn.Sequential(*(Block(1, 4, 4, 1, shortcut="A") for _ in range(20)))
    for block in blocks:
        nn.init.zeros_(block.residual[-1].weight)  # type: ignore[union-attr, operator, index, arg-type]
    x = torch.rand(3, 4, 8, 8, requires_grad=True)
    slope = torch.randn(3, 4, 8, 8)
    blocks(x).backward(slope)
    assert x.grad is not None and torch.equal(x.grad, slope)


def test_nets_side_by_side_are_each_alone() -> None:
    cfg = replace(SMOKE, updates=4)
    data = load(cfg)
    three, alone = fresh(cfg, data, 14, True, [5, 6, 7]), fresh(cfg, data, 14, True, [6])
    for _ in train(three, cfg, data, [5, 6, 7], [0.1, 0.01, 0.1]):
        pass
    for _ in train(alone, cfg, data, [6], [0.01]):
        pass
    x = data.x_train[:32]
    assert torch.allclose(three(x.repeat(1, 3, 1, 1))[:, 1], alone(x)[:, 0], atol=1e-3)


def test_the_updates_are_those_of_torch() -> None:
    cfg = replace(SMOKE, updates=8, weight_decay=0.1)
    data = load(cfg)
    ours, theirs = fresh(cfg, data, 8, True, [1]), fresh(cfg, data, 8, True, [1])
    for _ in train(ours, cfg, data, [1], [0.02]):
        pass
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.02, momentum=cfg.momentum, weight_decay=cfg.weight_decay)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [4, 6])
    for _, (x, y) in zip(range(8), batches(cfg, data, [1]), strict=False):
        optimizer.zero_grad()
        F.cross_entropy(theirs(x)[:, 0], y[:, 0]).backward()
        optimizer.step()
        schedule.step()
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_an_epoch_shows_each_image_once_to_each_net() -> None:
    cfg = replace(SMOKE, batch=1297)
    data = load(cfg)
    x, y = next(batches(cfg, data, [0, 1]))
    assert x.shape == (1297, 2, 8, 8)
    for i in range(2):
        assert torch.equal(y[:, i].bincount(), data.y_train.bincount())
    assert not torch.equal(y[:, 0], y[:, 1])


def test_augmentation_shifts_and_mirrors() -> None:
    x = torch.arange(1.0, 65.0).reshape(1, 1, 8, 8).expand(5000, 1, 8, 8)
    seen = augmented(x, torch.Generator().manual_seed(0))
    shifts = {
        F.pad(image, (4, 4, 4, 4))[:, r : r + 8, c : c + 8]
        for image in (x[0], x[0].flip(2))
        for r in (0, 8)
        for c in (0, 8)
    }
    assert all((seen == corner).flatten(1).all(1).any() for corner in shifts)
    assert seen[:, 0, 4, 4].unique().numel() > 60


def test_responses_are_what_batch_normalization_gives() -> None:
    data = load(SMOKE)
    std = responses(fresh(SMOKE, data, 14, False, [0, 1]), data.x_train[:300], 2)
    assert std.shape == (13, 2)
    assert torch.allclose(std, torch.ones(13, 2), atol=0.05)


def test_nets_without_their_shortcuts_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: the x of F(x) + x is lost, so both kinds are plain and the shortcuts cure nothing."""

    def plain(self: Block, x: Tensor) -> Tensor:
        return F.relu(self.residual(x))

    monkeypatch.setattr(Block, "forward", plain)
    rows = [e for e in run(replace(SMOKE, seeds=3), CPU) if isinstance(e, dict)]
    verdicts = {v.claim: v for v in check(rows)}
    assert verdicts["cure"].verdict == verdicts["small-responses"].verdict == "not reproduced"
    assert verdicts["cure"].effect == 0


def test_depth_that_does_no_harm_is_not_degradation() -> None:
    rows = [dict(net="", seed=s, residual=r, deep=d, train_error=10.0 + s, response=1.0)
            for s in range(5) for r in (False, True) for d in (False, True)]  # fmt: skip
    assert {v.claim: v.verdict for v in check([dict(row) for row in rows])}["degradation"] == "not reproduced"
