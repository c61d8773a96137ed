"""The figures of impl/rcnn.py."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from impl.drawing.scenes import Panel, picture_scenes
from impl.kit import Arrays, Chosen, Figure
from impl.kit.average_precision import Detections
from impl.kit.boxes import iou
from impl.kit.figures import PALETTE, canvas, figure
from impl.kit.proposals import Part
from impl.kit.scene import Scene
from impl.kit.selective_search import segments


class Detector(Protocol):
    def __call__(self, image: Tensor, boxes: Tensor, /) -> Detections: ...
    def layers(self, image: Tensor, boxes: Tensor, /) -> list[Tensor]: ...


FIELDS = ("boxes", "labels", "scores")
UNITS, TOP, SCENES = 6, 8, 3


def search(scene: Scene, proposals: Tensor, scale: float) -> Figure:
    image = scene.image.permute(1, 2, 0).numpy()
    label = segments(image, scale)
    sums = np.stack([np.bincount(label.ravel(), c.ravel()) for c in image.transpose(2, 0, 1)], 1)
    painted = (sums / np.bincount(label.ravel())[:, None])[label]
    best = proposals[iou(proposals, scene.boxes).argmax(0)]
    drawn, axes = canvas(1, 4, width=8.0, height=2.3)
    panels = [
        ("scene", image, proposals[:0]),
        (f"{label.max() + 1} segments", painted, proposals[:0]),
        (f"{len(proposals)} proposals", image, proposals),
        ("best for each object", image, best),
    ]
    for ax, (title, shown, boxes) in zip(axes, panels, strict=True):
        ax.imshow(shown)
        for i, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
            style = dict(color=PALETTE[i % len(PALETTE)], linewidth=0.8)
            ax.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], **style)
        ax.set_title(title)
        ax.set_axis_off()
    caption = "From pixels to segments, to the boxes of all their unions: where objects may be"
    return figure("proposals", drawn, caption)


def leave(
    test: Part, detector: Detector, moving: Detector, warped: Callable[[Tensor, Tensor], Tensor]
) -> Iterator[Arrays]:
    """What a trial leaves to the figures: what is found in a few scenes, with boxes as proposed and
    moved; and the warped regions that excite units of fc6 most, at most one of a scene."""
    for i, scene in enumerate(test.scenes[:SCENES]):
        for name, each in (("proposed", detector), ("moved", moving)):
            found = each(scene.image, test.proposals(i))
            yield Arrays({f"{name} {i} {key}": getattr(found, key) for key in FIELDS})
    pictures = range(min(len(test.scenes), 200))
    fc6 = [
        detector.layers(test.scenes[i].image, test.proposals(i))[1][:, :-1].cpu() for i in pictures
    ]
    most, mean = torch.stack([y.amax(0) for y in fc6]), torch.cat(fc6).mean(0)  # [N, H], [H]
    choosy = (most.amax(0) / (mean + mean.mean() + 1e-9)).argsort(descending=True)[:UNITS]
    rows = []
    for unit in choosy.tolist():
        best = most[:, unit].argsort(descending=True)[:TOP].tolist()
        boxes = [test.proposals(i)[fc6[i][:, unit].argmax(), None] for i in best]
        seen = zip(best, boxes, strict=True)
        rows.append(torch.cat([warped(test.scenes[i].image[None], box) for i, box in seen]))
    yield Arrays({"top": torch.stack(rows)})


def figures(
    chosen: Sequence[Chosen], scenes: Sequence[Scene], classes: Sequence[str]
) -> Iterator[Figure]:
    """All of the first seed's fine-tuned net."""
    tensors = next(trial.tensors for trial in chosen if "top" in trial.tensors)
    panels: list[Panel] = []
    for i, scene in enumerate(scenes[:SCENES]):
        panels.append(("to be found", scene, None))
        for name, title in (("proposed", "fine-tuned"), ("moved", "boxes regressed")):
            found = Detections(*(tensors[f"{name} {i} {key}"] for key in FIELDS))
            panels.append((title, scene, found))
    caption = "What is to be found; what the SVMs are sure of; its boxes moved"
    yield picture_scenes("detections", panels, caption, classes, columns=3, min_score=-0.8)
    yield top_regions(tensors["top"])


def top_regions(regions: Tensor) -> Figure:
    """Sec. 3.1: units of fc6 as if each were a detector. [units, top, 3, w, w]"""
    rows, columns = regions.shape[:2]
    drawn, axes = canvas(rows, columns, width=0.8 * columns, height=0.8 * rows)
    for ax, region in zip(axes.flat, regions.flatten(0, 1), strict=True):
        ax.imshow((region + 0.5).permute(1, 2, 0).clamp(0, 1).numpy())
        ax.set_axis_off()
    caption = "The warped regions that excite a unit of fc6 most, a row for each (as in Fig. 4)"
    return figure("top-regions", drawn, caption)
