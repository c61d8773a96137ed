"""ResNet: sizes, the identity at the start, torch's own residual nets, and the broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl import resnet
from impl.kit import Verdict, cifar
from impl.kit.broken import take_out
from impl.resnet import (
    ARMS,
    BROKEN,
    PUBLISHED,
    SMOKE,
    Block,
    check,
    cifar_net,
    imagenet_net,
    responses,
    run,
    train,
)

CPU = torch.device("cpu")
# Follow from the architecture; those for ImageNet are torchvision's, too.
CIFAR_COUNTS = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018, 110: 1_727_962}
IMAGENET_COUNTS = {
    18: 11_689_512,
    34: 21_797_672,
    50: 25_557_032,
    101: 44_549_160,
    152: 60_192_808,
}


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("layers", CIFAR_COUNTS)
def test_cifar_nets_have_as_many_parameters_with_and_without_shortcuts(layers: int) -> None:
    with torch.device("meta"):
        net, plain = cifar_net(layers), cifar_net(layers, shortcut="none")
    assert parameters(net) == parameters(plain) == CIFAR_COUNTS[layers]
    weighted = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == layers
    assert set(PUBLISHED) == set(CIFAR_COUNTS)


@pytest.mark.parametrize("layers", IMAGENET_COUNTS)
def test_imagenet_nets(layers: int) -> None:
    with torch.device("meta"):
        net = imagenet_net(layers)
        assert parameters(net) == IMAGENET_COUNTS[layers]
        assert net(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
    weighted = [m for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    projections = [m for n, m in net.named_modules() if n.endswith("project.0")]
    assert len(weighted) - len(projections) == layers


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 2]), st.integers(0, 99))
def test_a_block_whose_residual_is_nothing_is_the_identity(stride: int, seed: int) -> None:
    torch.manual_seed(seed)
    block = Block(4, 4 * stride, stride, shortcut="A")
    norm = block.residual[-1]
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.zeros_(norm.weight)
    x = torch.rand(5, 4, 8, 8)
    y = block(x)
    assert torch.equal(y[:, :4], x[..., ::stride, ::stride])
    assert not y[:, 4:].any()


def test_the_shortcut_carries_the_gradient_past_all_blocks() -> None:
    """With every residual at zero, the gradient at the first block is that at the last."""
    blocks = nn.Sequential(*(Block(4, 4, 1, shortcut="A") for _ in range(20)))
    for block in blocks:
        nn.init.zeros_(block.residual[-1].weight)
    x = torch.rand(3, 4, 8, 8, requires_grad=True)
    gradient = torch.randn(3, 4, 8, 8)
    blocks(x).backward(gradient)
    assert x.grad is not None and torch.equal(x.grad, gradient)


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_block_against_its_equation(bottleneck: bool) -> None:
    """Eqs. 1 and 2 with torch's functions; in the paper the first layer has the stride."""
    torch.manual_seed(0)
    block = Block(4, 8, 2, shortcut="B", bottleneck=bottleneck).eval()
    x = torch.randn(3, 4, 6, 6)
    convolutions = [m for m in block.residual if isinstance(m, nn.Conv2d)]
    y = x
    for i, layer in enumerate(convolutions):
        stride, padding = 2 if i == 0 else 1, layer.weight.shape[-1] // 2
        y = F.conv2d(y, layer.weight, None, stride, padding) / (1 + 1e-5) ** 0.5
        y = y if i == len(convolutions) - 1 else F.relu(y)
    projected = F.conv2d(x, block.project[0].weight, None, 2) / (1 + 1e-5) ** 0.5
    torch.testing.assert_close(block(x), F.relu(y + projected), atol=1e-5, rtol=1e-4)


def test_both_kinds_of_net_start_with_the_same_weights() -> None:
    nets = []
    for shortcut in ("none", "A"):
        torch.manual_seed(3)
        nets.append(cifar_net(14, 4, 1, shortcut=shortcut))
        cifar.init_weights(nets[-1])
    pairs = zip(nets[0].parameters(), nets[1].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_rate_falls_to_a_tenth_twice() -> None:
    """Eight updates of torch's SGD, written out."""
    cfg = replace(SMOKE, updates=8, weight_decay=0.1)
    split = cifar.load("digits", CPU, side=8, n=200, validation=50, seed=0)
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    w, b = (p.detach().clone().requires_grad_() for p in ours[1].parameters())
    list(train(ours, split, 0.5, 1, cfg))
    velocity = [torch.zeros_like(w), torch.zeros_like(b)]
    for step, (x, y) in zip(range(8), cifar.batches(split, 32, 1, augmented=False), strict=False):
        gradients = torch.autograd.grad(F.cross_entropy(x.flatten(1) @ w.T + b, y), [w, b])
        lr = 0.5 / 10 ** ((step >= 4) + (step >= 6))
        with torch.no_grad():
            for p, v, g in zip((w, b), velocity, gradients, strict=True):
                v.mul_(cfg.momentum).add_(g + 0.1 * p)
                p.sub_(lr * v)
    torch.testing.assert_close(ours[1].weight, w, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours[1].bias, b, atol=1e-5, rtol=1e-4)


def test_responses_are_what_batch_normalization_gives() -> None:
    net = cifar_net(14, 4, 1, shortcut="none")
    std = responses(net, torch.randn(300, 1, 8, 8))  # in training mode: variance one everywhere
    assert std.shape == (13,)
    assert torch.allclose(std, torch.ones(13), atol=0.05)


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_without_shortcuts_nothing_is_cured_and_responses_are_equal() -> None:
    verdicts = judged("cure", seeds=3)
    assert verdicts["cure"].effect == verdicts["small-responses"].effect == 0
    assert verdicts["cure"].verdict == verdicts["small-responses"].verdict == "not reproduced"
    assert verdicts["depth-helps"].verdict != "reproduced"
    assert verdicts["parameters"].verdict == "holds"


def test_projections_have_parameters_that_the_table_does_not_count() -> None:
    assert judged("parameters")["parameters"].verdict == "fails"


def test_with_shortcuts_the_plain_nets_are_residual_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    original = cifar_net

    def build(*args: int, shortcut: str = "A") -> nn.Sequential:
        built.append(shortcut)
        return original(*args, shortcut=shortcut)

    monkeypatch.setattr(resnet, "cifar_net", build)
    with take_out(BROKEN, "degradation", SMOKE) as cfg:
        for arm in ARMS:
            list(resnet.trial(cfg, CPU, arm=arm, seed=0, lr=0.1))
    assert built == ["A"] * 4
