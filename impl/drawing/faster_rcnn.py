"""The figures of impl/faster_rcnn.py."""

from collections.abc import Iterator, Sequence

import torch

from impl.drawing.scenes import Panel, picture_scenes
from impl.kit import Chosen, Figure
from impl.kit.figures import curves
from impl.kit.scene import Scene
from impl.kit.scenes import SceneSplit


def figures(chosen: Sequence[Chosen], split: SceneSplit) -> Iterator[Figure]:
    """Of the chosen trials; pictures are those of the first seed."""
    arms = dict.fromkeys(trial.arm for trial in chosen)
    mean = {
        arm: torch.stack([trial.tensors["curve"] for trial in chosen if trial.arm == arm]).mean(0)
        for arm in arms
    }
    lines = {arm: [(float(n), float(recall)) for n, recall in mean[arm]] for arm in arms}
    caption = "The objects that the surest proposals of a picture cover, mean of all seeds"
    yield curves("recall", lines, caption, x="proposals a picture", y="% covered by half or more")
    first = {trial.arm: trial for trial in reversed(chosen)}
    scenes = list(split.test[:4])
    panels: list[Panel] = [("what is there", scene, None) for scene in scenes]
    for arm in arms:
        for i, scene in enumerate(scenes):
            boxes = first[arm].tensors[f"surest {i}"]
            thing = torch.full((len(boxes),), len(split.classes))
            panels.append((arm, Scene(scene.image, boxes, thing), None))
    caption = "Four test pictures: what is there, and the five surest proposals"
    yield picture_scenes("proposals", panels, caption, [*split.classes, ""])
