"""The convolutions that turn a picture into a map, training them, and counting a net's work."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit.descent import update
from impl.kit.mask_regions import label_pixels
from impl.kit.scene import Scene
from impl.kit.trials import generator


class Backbone(nn.Sequential):
    """Pictures [B, 3, S, S] in 0..1 -> maps [B, C, S / stride, S / stride]."""

    def __init__(self, stride: int, layers: Sequence[nn.Module]):
        super().__init__(*layers)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = super().forward(4 * (x - 0.5))  # of about unit variance
        return maps


def pooled_backbone(channels: Sequence[int], layers: Sequence[int]) -> Backbone:
    """Stages of 3 x 3 convolutions with rectifiers, as in VGG-16. Between two stages a maximum is
    taken over 2 x 2."""
    modules: list[nn.Module] = []
    a = 3
    for stage, (b, count) in enumerate(zip(channels, layers, strict=True)):
        if stage:
            modules.append(nn.MaxPool2d(2))
        for _ in range(count):
            conv = nn.Conv2d(a, b, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            modules += [conv, nn.ReLU()]
            a = b
    return Backbone(2 ** (len(channels) - 1), modules)


def strided_backbone(channels: Sequence[int]) -> Backbone:
    """Convolutions that halve the map, one for each of `channels`, and one that doesn't."""
    modules: list[nn.Module] = [nn.Conv2d(3, channels[0], 5, 2, 2), nn.ReLU()]
    for a, b in pairwise(channels):
        modules += [nn.Conv2d(a, b, 3, 2, 1), nn.ReLU()]
    modules += [nn.Conv2d(channels[-1], channels[-1], 3, 1, 1), nn.ReLU()]
    return Backbone(2 ** len(channels), modules)


def pretrain(
    scenes: Sequence[Scene], C: int, channels: Sequence[int], *, updates: int, batch: int,
    lr: float, seed: int, device: torch.device,
) -> Backbone:  # fmt: skip
    """A strided backbone that names what each cell of its map shows. It stands in for a net
    pre-trained on ImageNet where only small data are at hand.

    By Adam, with a rate that falls to zero. The same for a seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net, name = strided_backbone(channels), nn.Conv2d(channels[-1], C + 1, 1)
    parameters = [*net.to(device).parameters(), *name.to(device).parameters()]
    optimizer = torch.optim.Adam(parameters, lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    rare = torch.tensor([1.0] * C + [0.2], device=device)  # objects are a small part of a picture
    draw, half = generator(seed, "backbone"), net.stride // 2
    for _ in range(updates):
        some = [scenes[i] for i in torch.randint(len(scenes), (batch,), generator=draw).tolist()]
        shown = [label_pixels(scene, C)[half :: net.stride, half :: net.stride] for scene in some]
        logits = name(net(torch.stack([scene.image for scene in some]).to(device)))
        update(F.cross_entropy(logits, torch.stack(shown).to(device), rare), optimizer)
        schedule.step()
    return net


def multiply_adds(net: nn.Module, *inputs: Tensor) -> dict[nn.Module, int]:
    """Of each of its convolutions and linear layers, counted while the net is called; also on the
    device `meta`, where nothing is computed."""
    counts: dict[nn.Module, int] = {}

    def count(layer: Any, _: Any, output: Tensor) -> None:
        counts[layer] = counts.get(layer, 0) + output.numel() * layer.weight[0].numel()

    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        net(*inputs)
    for hook in hooks:
        hook.remove()
    return counts
