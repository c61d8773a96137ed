"""The figures of impl/vae.py."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from impl.kit import Chosen, Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure, sheets, tiles

ESTIMATES = {
    "score_function": "score function",
    "with_baseline": "with a baseline",
    "reparameterized": "reparameterized",
}


def plane(side: int = 16) -> Tensor:
    """Codes [side * side, 2] that are evenly spaced in the probability of a Gaussian (Fig. 4)."""
    u = torch.special.ndtri((torch.arange(side) + 0.5) / side)
    return torch.cartesian_prod(-u, u).flip(1)  # rows from above


def figures(chosen: Sequence[Chosen], rows: list[Row], side: int, batch: int) -> Iterator[Figure]:
    """Of the chosen trials; images are of the first seed."""
    first = [one for one in chosen if one.seed == chosen[0].seed]
    yield from samples(first, side)
    for one in first:
        if one.arm == "AEVB" and "manifold" in one.tensors:
            yield manifold(one, side)
    yield bounds(chosen, rows, batch)
    yield variances(rows)


def samples(first: Sequence[Chosen], side: int) -> Iterator[Figure]:
    """The same draws of z as they come to be images, with the most latent variables."""
    most = max(int(one.job["J"]) for one in first if "J" in one.job)
    arms = {one.arm: one.tensors for one in first if one.arm in ("AEVB", "wake-sleep")
            and one.job["J"] == most}  # fmt: skip
    names = [name for name in arms["AEVB"] if name.startswith("samples ")]
    for step, name in sorted((int(name.removeprefix("samples ")), name) for name in names):
        panels = {arm: tensors[name].reshape(-1, side, side) for arm, tensors in arms.items()}
        caption = f"What both have learnt to draw, from the same {most} random numbers each"
        yield sheets("samples", panels, caption, step=step)


def manifold(one: Chosen, side: int) -> Figure:
    """Fig. 4 beside where the encoder puts test images."""
    images: Tensor = one.tensors["manifold"].reshape(-1, side, side)
    drawn, (left, right) = canvas(1, 2, width=8.0, height=4.1)
    left.imshow(tiles(images, round(len(images) ** 0.5)).numpy(), cmap="gray", vmin=0, vmax=1)
    left.set_axis_off()
    left.set_title("decoded")
    codes, labels = one.tensors["codes"], one.tensors["labels"]
    shown = right.scatter(*codes.T, c=labels, s=6, cmap="tab10", vmin=-0.5, vmax=9.5)
    bar = drawn.colorbar(shown, ax=right, ticks=range(10), shrink=0.7)
    bar.ax.tick_params(colors=INK)
    bar.outline.set_visible(False)
    right.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", title="encoded", xlabel="$z_1$",
              ylabel="$z_2$")  # fmt: skip
    caption = "The plane of two latent variables (as in Fig. 4), and where test digits lie on it"
    return figure("manifold", drawn, caption)


def bounds(chosen: Sequence[Chosen], rows: Sequence[Row], batch: int) -> Figure:
    """As in Fig. 2: the chosen trials of every seed."""
    trials = [one for one in chosen if "lr" in one.job]
    sizes = sorted({int(one.job["J"]) for one in trials})
    drawn, axes = canvas(1, len(sizes), width=7.5, height=3.2)
    for ax, J in zip(axes.flat if len(sizes) > 1 else [axes], sizes, strict=True):
        for arm, color in zip(("AEVB", "wake-sleep"), PALETTE, strict=False):
            for one in (one for one in trials if one.arm == arm and one.job["J"] == J):
                label = f"lr {one.job['lr']}"
                points = [
                    (batch * float(row["step"]), float(row["test_bound"]))
                    for row in rows
                    if row.get("arm") == arm and row.get("J") == J and "step" in row
                    and row["seed"] == one.seed and row.get("setting") == label
                ]  # fmt: skip
                first = one.seed == trials[0].seed
                ax.plot(*zip(*points, strict=True), color=color, linewidth=1.2, marker="o",
                        markersize=2.5, label=arm if first else None)  # fmt: skip
        ax.set(xscale="log", xlabel="training images seen", title=f"{J} latent variables")
    drawn.axes[0].set_ylabel("lower bound of a test image, nats")
    legend(drawn)
    return figure("bounds", drawn, "The lower bound as both learn, each seed a line (as in Fig. 2)")


def variances(rows: Sequence[Row]) -> Figure:
    """Of the three estimates of one gradient, as the encoder learns."""
    measured = [row for row in rows if "reparameterized" in row and "step" in row]
    sizes = sorted({int(row["J"]) for row in measured})
    drawn, axes = canvas(1, len(sizes), width=7.5, height=3.2)
    for ax, J in zip(axes.flat if len(sizes) > 1 else [axes], sizes, strict=True):
        for name, color in zip(ESTIMATES, (PALETTE[1], PALETTE[4], PALETTE[0]), strict=True):
            for number, seed in enumerate(sorted({int(row["seed"]) for row in measured})):
                points = [
                    (float(row["step"]), float(row[name]))
                    for row in measured
                    if row["seed"] == seed and row["J"] == J
                ]
                ax.plot(*zip(*points, strict=True), color=color, linewidth=1.2, marker="o",
                        markersize=2.5, label=None if number else ESTIMATES[name])  # fmt: skip
        ax.set(xscale="log", yscale="log", xlabel="updates", title=f"{J} latent variables")
    drawn.axes[0].set_ylabel("variance of the encoder's gradient")
    legend(drawn)
    caption = "Three estimates of the same gradient, and how much each varies from draw to draw"
    return figure("variance", drawn, caption)


def legend(drawn: Any) -> None:
    """Above all panels; and below them what was measured, in place of powers of ten."""
    handles, names = drawn.axes[0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper center", ncols=len(names), frameon=False,
                 labelcolor=INK)  # fmt: skip
    for ax in drawn.axes:
        x = sorted(set(ax.lines[0].get_xdata()))
        ax.set_xticks(x, [f"{each:,.0f}" for each in x])
        ax.set_xticks([], minor=True)
