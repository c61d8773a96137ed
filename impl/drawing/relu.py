"""The figures of impl/relu.py."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit import Figure
from impl.kit.figures import INK, PALETTE, canvas, curves, figure

BRIGHTNESS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def units(stepped: Callable[[Tensor, int], Tensor], sample: Callable[[Tensor], Tensor]) -> Figure:
    """Sec. 2 as a picture."""
    drawn, ax = canvas(height=3.4)
    x = torch.linspace(-5, 6, 1_100)
    torch.manual_seed(0)
    label = "samples, max(0, x + noise)"
    at, noisy = x[::4].numpy(), sample(x)[::4].numpy()
    ax.scatter(at, noisy, s=4, color=PALETTE[0], alpha=0.5, label=label)
    total = stepped(x, 200).numpy()
    ax.plot(x.numpy(), total, color=PALETTE[1], linewidth=3, label="sum of 200 sigmoids")
    soft = F.softplus(x).numpy()
    ax.plot(x.numpy(), soft, color=INK, linewidth=1, linestyle="--", label="log(1 + e^x)")
    ax.set(xlabel="x, what goes into the unit", ylabel="what comes out")
    ax.legend()
    caption = (
        "Many binary units that share their weights: their sum, what it is near to, and the noisy "
        "rectified unit that stands for it"
    )
    return figure("units", drawn, caption)


def brightness(errors: Mapping[str, Tensor]) -> Figure:
    """Test error of the first seed's nets at each of BRIGHTNESS."""
    lines = {arm: list(zip(BRIGHTNESS, each.tolist(), strict=True)) for arm, each in errors.items()}
    caption = "Test error of nets without biases when the images are dimmed"
    return curves("brightness", lines, caption, x="brightness", y="% test error")
