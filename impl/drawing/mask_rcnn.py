"""The figures of impl/mask_rcnn.py."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from impl.drawing.scenes import Panel, picture_scenes
from impl.kit import Arrays, Chosen, Figure
from impl.kit.average_precision import Detections
from impl.kit.figures import INK, PALETTE, canvas, figure
from impl.kit.scene import Scene

FIELDS = ("boxes", "labels", "scores", "masks")


def leave(found: Sequence[Detections]) -> Iterator[Arrays]:
    """What a trial leaves to `scenes`."""
    for i, each in enumerate(found):
        yield Arrays({f"{name}{i}": getattr(each, name) for name in FIELDS})


def scenes(chosen: Sequence[Chosen], test: Sequence[Scene], classes: Sequence[str]) -> Figure:
    panels: list[Panel] = [("what is there", scene, None) for scene in test[:4]]
    columns, pictured = len(panels), set()
    for trial in chosen:
        if trial.tensors and trial.arm not in pictured:
            pictured.add(trial.arm)
            for i, scene in enumerate(test[:4]):
                found = Detections(*(trial.tensors[f"{name}{i}"] for name in FIELDS))
                panels.append((trial.arm, scene, found))
    caption = "Boxes and masks on four test scenes: what is there, and what each net finds"
    return picture_scenes("scenes", panels, caption, classes, columns=columns, min_score=0.5)


def sampling(
    rounded: Callable[[Tensor, float], Tensor],
    points: Callable[[Tensor, Tensor, int], Tensor],
    P: int,
) -> Figure:
    """One region on the map's grid: RoIPool's rounded window, and RoIAlign's points."""
    box = torch.tensor([[1.4, 2.3, 8.3, 7.6]])
    drawn, axes = canvas(1, 2, width=7.0, height=3.6)
    x0, y0, x1, y1 = box[0].tolist()
    titles = "RoIPool: rounded, cut into whole cells", "RoIAlign: four points in each bin"
    for ax, title in zip(axes, titles, strict=True):
        for k in range(12):
            ax.axhline(k, color=INK, linewidth=0.4)
            ax.axvline(k, color=INK, linewidth=0.4)
        ax.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=PALETTE[0], linewidth=1.6)
        limits = dict(xlim=(x0 - 1.3, x1 + 1.3), ylim=(y1 + 1.3, y0 - 1.3))
        ax.set(title=title, aspect="equal", xticks=[], yticks=[], **limits)
    a0, b0, a1, b1 = rounded(box, 1.0)[0].tolist()
    dashed = dict(color=PALETTE[1], linewidth=2.2, linestyle="--")
    axes[0].plot([a0, a1, a1, a0, a0], [b0, b0, b1, b1, b0], **dashed)
    row, column = (points(box[0, i], box[0, i + 2], 2 * P) for i in (1, 0))
    grid = torch.cartesian_prod(column, row)
    axes[1].scatter(*grid.T.numpy(), s=3, color=PALETTE[1])
    caption = (
        "A region (blue) on the cells of a map: what RoIPool takes for it (dashed), and where "
        "RoIAlign reads"
    )
    return figure("sampling", drawn, caption)
