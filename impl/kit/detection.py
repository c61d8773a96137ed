"""The old names of what now has modules of its own; for implementations that still use them."""

from collections.abc import Sequence
from typing import Any

from impl.drawing.scenes import picture_scenes
from impl.kit.average_precision import Detections as Found
from impl.kit.average_precision import mean_average_precision
from impl.kit.boxes import iou, mask_iou
from impl.kit.composed import composed
from impl.kit.events import Figure
from impl.kit.scene import Scene, Scenes
from impl.kit.scenes import read_scenes, resolve

__all__ = ["Found", "Scene", "Scenes", "composed", "iou", "mask_iou", "mean_average_precision"]


def scenes(name: str, train: int, test: int, side: int, seed: int = 0) -> Scenes:
    if resolve(name) == "composed":
        return composed(train, test, side, seed)
    data = read_scenes(resolve(name), side)
    return Scenes(data.name, data.classes, data.train[:train], data.test[:test])


def pictured(
    name: str,
    panels: Sequence[tuple[str, Scene, Found | None]],
    caption: str,
    classes: Sequence[str],
    *,
    columns: int = 4,
    surer_than: float = 0.0,
    **_: Any,
) -> Figure:
    return picture_scenes(name, panels, caption, classes, columns=columns, min_score=surer_than)
