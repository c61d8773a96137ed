"""The figures of impl/fast_rcnn.py."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from impl.drawing.scenes import Panel, picture_scenes
from impl.kit import Chosen, Figure
from impl.kit.average_precision import Detections
from impl.kit.figures import sheets
from impl.kit.scenes import SceneSplit


def pack(found: Sequence[Detections]) -> dict[str, Tensor]:
    """What `figures` unpacks."""
    fields = ("boxes", "labels", "scores")
    return {f"{name} {i}": getattr(each, name) for i, each in enumerate(found) for name in fields}


def figures(chosen: Sequence[Chosen], split: SceneSplit, pooled: Tensor) -> Iterator[Figure]:
    """Of the first seed; `pooled` [R, C, P, P] are the objects of the first scene."""
    first = {trial.arm: trial.tensors for trial in reversed(chosen) if trial.tensors}
    panels: list[Panel] = []
    for i, scene in enumerate(split.test[:3]):
        panels.append(("what is there", scene, None))
        for arm, tensors in first.items():
            found = (tensors[f"{name} {i}"] for name in ("boxes", "labels", "scores"))
            panels.append((arm, scene, Detections(*found)))
    caption = "What is found in three test pictures by either way of training"
    yield picture_scenes(
        "detections", panels, caption, split.classes, columns=1 + len(first), min_score=0.3
    )
    maps = first["multi-task"]["map"]
    strong = pooled.amax((0, 2, 3)).argsort(descending=True)[:8]
    panel = {"the picture's map": maps[strong]}
    for label, each in zip(split.test[0].labels[:3].tolist(), pooled, strict=False):
        panel[f"{split.classes[label]} {len(panel)}"] = each[strong]
    caption = "Eight channels of a picture's map, and what is pooled from it for three objects"
    yield sheets("pooling", panel, caption, columns=2)
