"""The figures of impl/capsnet.py."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit import Figure
from impl.kit.figures import canvas, figure

Route = Callable[[Tensor, int], tuple[Tensor, list[Tensor]]]


@torch.no_grad()
def pictures(
    net: Any, route: Route, image: Tensor, parts: Tensor, labels: Tensor
) -> Iterator[Figure]:  # fmt: skip
    """What a net sees in test images, how it routes one of them, and what its numbers mean."""
    u, u_hat = net.predictions(image)
    v, coefficients = route(u_hat, net.iterations)
    capsules = v.permute(2, 0, 1)
    yield overlap(net, capsules, image, parts, labels)
    yield routing(u, coefficients, net.K, labels[0].tolist())
    yield dimensions(net, capsules[0], labels[0].tolist(), image.shape[-1])


def overlap(net: Any, v: Tensor, image: Tensor, parts: Tensor, labels: Tensor) -> Figure:
    side = image.shape[-1]
    absent = F.one_hot(labels, net.K).sum(1).argmin(1, keepdim=True)  # a class that is not there
    redrawn, nobody = net.draw(v, labels), net.draw(v, absent)
    grey = [t.reshape(-1, side, side, 1).expand(-1, -1, -1, 3) for t in (image, nobody)]
    coloured = [two_colours(parts, side), two_colours(redrawn, side)]
    lines = torch.stack([grey[0], *coloured, grey[1]])  # [4, B, side, side, 3]
    lines = F.pad(lines, (0, 0, 1, 1, 1, 1), value=0.5)
    drawn, ax = canvas(width=8.0, height=3.5)
    ax.imshow(lines.permute(0, 2, 1, 3, 4).flatten(2, 3).flatten(0, 1).numpy())
    middle = [(side + 2) * (k + 0.5) for k in range(len(labels))]
    pairs = zip(labels.tolist(), absent.flatten().tolist(), strict=True)
    ax.set(xticks=middle, xticklabels=[f"{a}, {b}\n{c}" for (a, b), c in pairs])
    ax.set(yticks=middle[:4])
    ax.set_yticklabels(["image", "its digits", "redrawn", "absent"])
    caption = (
        "Test images, and each digit redrawn from its own capsule (as in Fig. 5); last row, what "
        "the capsule of an absent digit draws: the lower number"
    )
    return figure("overlap", drawn, caption)


def routing(u: Tensor, coefficients: list[Tensor], K: int, pair: list[int]) -> Figure:
    drawn, axes = canvas(1, len(coefficients), width=8.0, height=2.4)
    strongest = u.square().sum(1)[:, 0].argsort(descending=True)[:36]
    for i, c in enumerate(coefficients):
        ax = axes[i] if len(coefficients) > 1 else axes
        shares = c[strongest, :, 0].T.numpy()
        ax.imshow(shares, cmap="RdBu_r", aspect="auto", vmin=0, vmax=2 / K)
        ax.set(title=f"iteration {i + 1}", xlabel="primary capsules, strongest first")
        ax.set(yticks=range(K))
    caption = (
        f"Where the capsules below send an image of {pair[0]} and {pair[1]} (Eq. 3): white is "
        f"1/{K}, the even share they start from, red more, blue less"
    )
    return figure("routing", drawn, caption)


def dimensions(net: Any, v: Tensor, pair: list[int], side: int) -> Figure:
    drawn, axes = canvas(1, 2, width=8.0, height=3.6)
    D, away = v.shape[1], torch.linspace(-0.25, 0.25, 11)
    for ax, digit in zip(axes, pair, strict=True):
        moved = v[digit] + away[None, :, None] * torch.eye(D)[:, None]  # [D, 11, D]
        capsules = torch.zeros(D * 11, net.K, D)
        capsules[:, digit] = moved.flatten(0, 1)
        sheet = net.draw(capsules, torch.full((D * 11, 1), digit)).reshape(D, 11, side, side)
        sheet = sheet.transpose(1, 2).reshape(D * side, 11 * side)
        ax.imshow(sheet.numpy(), cmap="gray", vmin=0, vmax=1)
        ax.set(title=f"capsule of the {digit}", yticks=[], ylabel="its numbers", xlabel="moved by")
        ax.set_xticks([side * (k + 0.5) for k in (0, 5, 10)], ["-0.25", "0", "0.25"])
    return figure("dimensions", drawn, "One number of a capsule moved at a time (as in Fig. 4)")


def two_colours(parts: Tensor, side: int) -> Tensor:
    """[B, 2, pixels] -> [B, side, side, 3]: the first digit red, the second green; both, yellow."""
    red, green = parts.reshape(len(parts), 2, side, side).unbind(1)
    return torch.stack([red, green, torch.zeros_like(red)], -1).clamp(0, 1)
