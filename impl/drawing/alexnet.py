"""The figures of impl/alexnet.py."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from impl.kit import Chosen, Figure, Row
from impl.kit.data import Split
from impl.kit.figures import INK, PALETTE, canvas, figure


def race(rows: Sequence[Row], target: float) -> Figure:
    """The training errors on the way, of the trials that are judged."""
    judged = {(row["arm"], row["seed"]): row["lr"] for row in rows if row.get("judged")}
    drawn, axes = canvas(1, 2)
    for ax, suffix in zip(axes, ("", "-raw"), strict=True):
        for unit, colour in zip(("relu", "tanh"), PALETTE, strict=False):
            arm = unit + suffix
            for i, seed in enumerate(sorted({seed for other, seed in judged if other == arm})):
                key = {"arm": arm, "seed": seed, "setting": f"lr {judged[arm, seed]}"}
                line = [row for row in rows if "epoch" in row and key.items() <= row.items()]
                points = [[row[name] for row in line] for name in ("epoch", "train_error")]
                ax.plot(*points, color=colour, linewidth=1, label=None if i else unit)
        title = "raw intensities" if suffix else "scaled intensities"
        ax.set(title=title, xlabel="epoch", ylim=(0, 100))
        ax.legend(fontsize=8)
    axes[0].axhline(target, color=INK, linestyle=":", linewidth=1)
    axes[0].set_ylabel("% training error")
    caption = "Training error of ReLUs and of tanh units, each seed a line, at its best rate"
    return figure("race", drawn, f"{caption} (as in Fig. 1)")


@torch.no_grad()
def of_net(net: nn.Sequential, known: Tensor, asked: Tensor) -> dict[str, Tensor]:
    """Its first kernels; for each image asked the six of the known whose last hidden layer is
    nearest to its own.
    """
    hidden = nn.Sequential(*list(net)[:-1])
    nearest = torch.cdist(hidden(asked), hidden(known)).argsort(1)[:, :6]
    images = torch.cat([asked[:, None], known[nearest]], 1)  # [6, 7, C, S, S]
    return {"kernels": net[0].get_parameter("weight"), "neighbours": images}


def whole_net(chosen: Sequence[Chosen]) -> Iterator[Figure]:
    arms = {trial.arm: trial.tensors for trial in chosen if "kernels" in trial.tensors}
    kernels = {
        "with response normalization": arms.get("whole"),
        "without": arms.get("no-normalization"),
    }
    panels = {title: tensors["kernels"] for title, tensors in kernels.items() if tensors}
    if not panels:
        return
    drawn, axes = canvas(1, len(panels), width=3.5 * len(panels), height=1.5)
    for ax, (title, kernel) in zip(
        axes if len(panels) > 1 else [axes], panels.items(), strict=True
    ):
        largest = kernel.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12)
        show(ax, 0.5 + 0.5 * kernel / largest, columns=8)
        ax.set_title(title)
    caption = "The kernels of the first layer after training (as in Fig. 3)"
    yield figure("filters", drawn, caption)
    images = arms["whole"]["neighbours"]
    low, high = images.amin(), images.amax()
    images = (images - low) / (high - low)
    drawn, axes = canvas(1, 2, height=2.0)
    for ax, part in zip(axes, (images[:3], images[3:]), strict=True):
        show(ax, part.flatten(0, 1), columns=7)
    caption = "Left a test image, then the training images whose last hidden layer is nearest"
    yield figure("neighbours", drawn, f"{caption} (as in Fig. 4)")


def augmentation(augment: Callable[..., Tensor], split: Split, colours: Tensor) -> Figure:
    draw = torch.Generator().manual_seed(0)
    x = split.x_train[:1].expand(7, -1, -1, -1)
    lines = {
        "crops, reflections and colours": augment(x, colours, draw),
        "and colours changed ten times as much": augment(x, 10 * colours, draw),
    }
    low, high = split.x_train[0].amin(), split.x_train[0].amax()
    drawn, axes = canvas(2, 1, height=2.6)
    for ax, (title, images) in zip(axes, lines.items(), strict=True):
        show(ax, (images - low) / (high - low), columns=7)
        ax.set_title(title)
    return figure(
        "augmentation", drawn, "One picture as the net sees it in seven epochs (Sec. 4.1)"
    )


def show(ax: Any, images: Tensor, columns: int) -> None:
    """Small images in 0..1, [M, C, S, S], in rows; between them nothing."""
    M, _, S, _ = images.shape
    sheet = torch.ones(-(-M // columns) * columns, 4, S + 1, S + 1)
    sheet[:, 3] = 0.0  # transparent
    sheet[:M, :3, :S, :S] = images.detach().cpu().clamp(0, 1).expand(-1, 3, -1, -1)
    sheet[:M, 3, :S, :S] = 1.0
    grid = sheet.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    ax.imshow(grid.numpy())
    ax.set_axis_off()
