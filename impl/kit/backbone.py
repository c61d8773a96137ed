"""The convolutions that turn a picture into a map, and counting the work of a net's layers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Backbone(nn.Sequential):
    """Stages of 3 x 3 convolutions with rectifiers, as in VGG-16: [B, 3, S, S] in 0..1 to
    [B, C, S / stride, S / stride]. Between two stages a maximum is taken over 2 x 2."""

    def __init__(self, channels: Sequence[int], layers: Sequence[int]):
        super().__init__()
        a = 3
        for stage, (b, count) in enumerate(zip(channels, layers, strict=True)):
            if stage:
                self.append(nn.MaxPool2d(2))
            for _ in range(count):
                conv = nn.Conv2d(a, b, 3, padding=1)
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
                self.extend([conv, nn.ReLU()])
                a = b
        self.stride = 2 ** (len(channels) - 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(4 * (x - 0.5))
        return y


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
