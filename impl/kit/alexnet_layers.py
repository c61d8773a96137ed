"""A net in the shape of Krizhevsky et al.'s (2012), whose features can be read layer by layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayeredNet(nn.Module):
    """Convolutions up to pool5, then fc6, fc7 and logits: [B, 3, side, side] -> [B, classes].

    Where `pools` has a 1, 3 x 3 pixels are pooled at stride 2.
    """

    def __init__(
        self, channels: Sequence[int], kernels: Sequence[int], strides: Sequence[int],
        pools: Sequence[int], side: int, units: int, classes: int,
    ):  # fmt: skip
        super().__init__()
        a, layers = 3, list[nn.Module]()
        for b, k, stride, pool in zip(channels, kernels, strides, pools, strict=True):
            padding = 0 if stride == 4 else k // 2
            layers += [nn.Conv2d(a, b, k, stride, padding), *[nn.MaxPool2d(3, 2)] * pool, nn.ReLU()]
            side = (side + 2 * padding - k) // stride + 1
            a, side = b, (side - 3) // 2 + 1 if pool else side
        self.pool5 = nn.Sequential(*layers, nn.Flatten())
        self.fc6, self.fc7 = nn.Linear(a * side * side, units), nn.Linear(units, units)
        self.last = nn.Linear(units, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                nn.init.zeros_(m.bias)  # type: ignore[arg-type]

    def layers(self, x: Tensor) -> list[Tensor]:
        """pool5, fc6 and fc7, [B, D]"""
        pool5 = self.pool5(4 * x)  # of about unit variance
        fc6 = F.relu(self.fc6(pool5))
        return [pool5, fc6, F.relu(self.fc7(fc6))]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.layers(x)[-1])
        return logits

    @property
    def device(self) -> torch.device:
        return self.last.weight.device
