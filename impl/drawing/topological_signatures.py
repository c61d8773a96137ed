"""The figures of impl/topological_signatures.py."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from impl.kit import Figure, Row
from impl.kit import persistence as ph
from impl.kit.figures import INK, PALETTE, canvas, figure
from impl.kit.silhouettes import Shapes


def heights(data: Shapes) -> Figure:
    """A few shapes, the height function in one direction each, and the diagrams."""
    liked = ("octopus", "deer", "Glas", "bat") if "octopus" in data.kinds else ("2", "3", "4", "6")
    drawn, axes = canvas(2, 4, width=9.0, height=4.8)
    for (above, below), kind, v in zip(axes.T, liked, ph.directions(8)[[2, 6, 2, 0]], strict=True):
        shape = data.shapes[int(torch.where(data.y == data.kinds.index(kind))[0][0])]
        places, edges = ph.pixels(shape)
        level = ph.heights(places, v)
        image = np.full(shape.shape, np.nan)
        image[shape] = level
        above.imshow(image, cmap="viridis", interpolation="nearest")
        above.set_axis_off()
        above.set_title(kind)
        mark_components(above, below, shape, ph.components(level, edges))
        tip, foot = np.array([0.0, 0.85]) + 0.15 * v, (0.0, 0.85)
        arrow = dict(arrowstyle="->", color=INK)
        place = dict(xycoords="axes fraction", annotation_clip=False)
        above.annotate("", tip, foot, arrowprops=arrow, **place)
        below.plot([-1, 1], [-1, 1], color=INK, linewidth=0.8)
        below.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xlabel="birth")
    axes[1, 0].set_ylabel("death")
    caption = (
        "Silhouettes, uncovered from dark to light along the arrow. Where a part comes to light by "
        "itself, a component is born (dot); it dies where it meets an older one. Below, each as a "
        "point"
    )
    return figure("heights", drawn, caption)


def mark_components(
    above: Any, below: Any, shape: np.ndarray, pairs: Sequence[tuple[float, float, int]]
) -> None:  # fmt: skip
    row, column = np.nonzero(shape)
    longest = sorted(pairs, key=lambda pair: pair[0] - pair[1])
    for i, (birth, death, at) in enumerate(longest):
        style = dict(color=INK, markersize=3.0)
        if i < len(PALETTE):
            style = dict(color=PALETTE[i], markersize=6.5)
        above.plot(column[at], row[at], "o", markeredgecolor="white", **style)
        below.plot(birth, death, "o", **style)


def accuracy(rows: Sequence[Row]) -> Figure:
    """The validation errors of the trials that are judged."""
    drawn, ax = canvas()
    for arm, colour in zip(("learnt", "fixed"), PALETTE, strict=False):
        for i, judged in enumerate(r for r in rows if r.get("judged") and r["arm"] == arm):
            names = ("across", "sharpness", "lr")
            setting = ", ".join(f"{name} {judged[name]}" for name in names)
            key = {"arm": arm, "seed": judged["seed"], "setting": setting}
            line = [row for row in rows if "step" in row and key.items() <= row.items()]
            points = [[row[name] for row in line] for name in ("step", "val_error")]
            ax.plot(*points, color=colour, linewidth=1, alpha=0.7, label=None if i else arm)
    ax.set(xlabel="update", ylabel="% of validation shapes wrong")
    ax.legend()
    return figure("errors", drawn, "Shapes named wrong, each seed a line, at its best settings")


def elements(
    x: Tensor, start: Any, learnt: Mapping[str, Tensor], stretch: Callable[..., Tensor]
) -> Figure:  # fmt: skip
    """The structure elements in four directions, as ellipses where they have fallen to 1/e."""
    from matplotlib.patches import Ellipse

    K = x.shape[1]
    shown = sorted({round(i * K / 4) % K for i in range(4)})
    moments = {
        "at the start": (start.mu.detach(), start.sigma.detach()),
        "in the end": (learnt["mu"], learnt["sigma"]),
    }
    drawn, axes = canvas(2, len(shown), width=9.0, height=4.6)
    for row, (moment, (mu, sigma)) in zip(axes, moments.items(), strict=True):
        for ax, k in zip(row, shown, strict=True):
            points = x[:, k].reshape(-1, 2)
            points = points[points[:, 1] > 0]
            away = stretch(points[:, 1], start.nu)
            ax.scatter(points[:, 0].numpy(), away.numpy(), s=1, color=INK, alpha=0.5)
            for m, (at, sharp) in enumerate(zip(mu[k].tolist(), sigma[k].tolist(), strict=True)):
                size, colour = (2 / abs(sharp[0]), 2 / abs(sharp[1])), PALETTE[m % len(PALETTE)]
                ax.add_patch(Ellipse(tuple(at), *size, fill=False, edgecolor=colour))
            title = f"{moment}, {360 * k // K}°"
            ax.set(xlim=(-1.6, 1.6), ylim=(-0.5, 1.9), title=title)
    for ax in axes[-1]:
        ax.set_xlabel("along the diagonal")
    for ax in axes[:, 0]:
        ax.set_ylabel("away from it, stretched")
    caption = (
        "Where the structure elements look, before and after learning, in four directions: dots "
        "are all points of all diagrams"
    )
    return figure("elements", drawn, caption)


@torch.no_grad()
def stability(layer: Any, pairs: Sequence[Row], nu: float) -> Figure:
    """Left: what one point adds, as it nears the diagonal, with the logarithm and without."""
    drawn, (left, right) = canvas(1, 2, width=8.0, height=3.2)
    x1 = torch.logspace(-4, 0.2, 200)
    x = torch.stack([torch.zeros_like(x1), x1], 1)[:, None, None]  # [200, 1, 1, 2]
    one = layer(torch.tensor([[[0.0, nu]]]), torch.tensor([[[1.0, 3.0]]]), nu)
    left.plot(x1.numpy(), one(x)[:, 0].numpy(), label="with the logarithm")
    left.plot(x1.numpy(), torch.exp(-((3 * (x1 - nu)) ** 2)).numpy(), label="a plain Gaussian")
    left.axvline(nu, color=INK, linewidth=0.8, linestyle=":")
    left.set(xscale="log", xlabel="distance of the point from the diagonal")
    left.set_ylabel("what an element sees")
    left.legend()
    points = [[row[name] for row in pairs] for name in ("distance", "share_of_bound")]
    right.scatter(*points, s=9, color=PALETTE[0])
    right.axhline(1.0, color=INK, linewidth=0.8)
    right.set(xscale="log", ylim=(0, 1.1), xlabel="Wasserstein-1 distance")
    right.set_ylabel("change, as a part of the bound")
    caption = (
        "A point that comes to the diagonal, as noise does, is seen less and less; so what the "
        "layer gives out can't change by more than the diagrams do"
    )
    return figure("stability", drawn, caption)
