"""Mean average precision, as COCO's own evaluation computes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from impl.kit.boxes import iou, mask_iou, nms
from impl.kit.scene import Scene


@dataclass(frozen=True)
class Detections:
    """What a detector finds in one picture."""

    boxes: Tensor  # [K, 4]
    labels: Tensor  # [K]
    scores: Tensor  # [K], higher is surer
    masks: Tensor | None = None  # [K, S, S] of 0 and 1


def detections(scores: Tensor, boxes: Tensor, threshold: float, limit: int) -> Detections:
    """Of scores [R, C] and boxes [R, 4], or [R, C, 4] where each class has its own: non-maximum
    suppression class by class, which leaves at most `limit` of each."""
    parts = []
    for c, score in enumerate(scores.T):
        of_class = boxes if boxes.ndim == 2 else boxes[:, c]
        at = nms(of_class, score, threshold, limit)
        parts.append((of_class[at], torch.full_like(at, c), score[at]))
    return Detections(*(torch.cat(part) for part in zip(*parts, strict=True)))


def mean_average_precision(
    found: Sequence[Detections],
    truth: Sequence[Scene],
    classes: int,
    thresholds: Sequence[float] = (0.5,),
    *,
    masks: bool = False,
    limit: int = 100,
) -> float:
    """AP in 0..1: over classes present in `truth` and IoU thresholds, the mean of precision at 101
    recalls. NaN when nothing is to be found.

    In each picture the `limit` surest detections count. From the surest down, each takes the object
    of its class, not yet taken, that it overlaps most, if by the threshold at least; else it is a
    false alarm, or nothing at all if it overlaps an ignored object as much. (VOC asks only the
    object overlapped most.) With `masks` the overlap is that of masks.
    """
    pairs = [(_surest(each, limit), scene) for each, scene in zip(found, truth, strict=True)]
    precisions = []
    for c in range(classes):
        total = sum(int((scene.labels == c).sum()) for _, scene in pairs)
        if not total:
            continue
        overlaps = [_overlap(each, scene, c, masks) for each, scene in pairs]
        scores = [each.scores.cpu().double()[each.labels.cpu() == c] for each, _ in pairs]
        ignored = [_ignored_overlap(each, scene, c) for each, scene in pairs]
        for threshold in thresholds:
            right = torch.cat([_matched(overlap, threshold) for overlap in overlaps])
            counts = right | (torch.cat(ignored) < threshold)
            order = torch.cat(scores)[counts].argsort(descending=True, stable=True)
            precisions.append(_average(right[counts][order], total))
    return float(np.mean(precisions)) if precisions else float("nan")


def _surest(found: Detections, limit: int) -> Detections:
    at = found.scores.argsort(descending=True, stable=True)[:limit]
    masks = None if found.masks is None else found.masks[at]
    return Detections(found.boxes[at], found.labels[at], found.scores[at], masks)


def _overlap(found: Detections, scene: Scene, c: int, masks: bool) -> Tensor:
    ours, theirs = found.labels.cpu() == c, scene.labels.cpu() == c
    if not masks:
        return iou(found.boxes.cpu()[ours].double(), scene.boxes.cpu()[theirs].double())
    if found.masks is None or scene.masks is None:
        raise ValueError("masks are to be compared, but the detections or the scenes have none")
    return mask_iou(found.masks.cpu()[ours], scene.masks.cpu()[theirs])


def _ignored_overlap(found: Detections, scene: Scene, c: int) -> Tensor:
    """How much each detection of the class overlaps one of the objects that are ignored, [K]."""
    boxes = found.boxes.cpu()[found.labels.cpu() == c].double()
    if scene.ignored is None or scene.ignored_labels is None:
        return boxes.new_zeros(len(boxes))
    objects = scene.ignored.cpu()[scene.ignored_labels.cpu() == c].double()
    nothing = boxes.new_zeros(len(boxes), 1)
    return torch.cat([iou(boxes, objects), nothing], 1).amax(1)


def _matched(overlap: Tensor, threshold: float) -> Tensor:
    """For each detection [K], surest first, whether it found an object [N] not found before."""
    right = torch.zeros(len(overlap), dtype=torch.bool)
    free = torch.ones(overlap.shape[1], dtype=torch.bool)
    for k, row in enumerate(overlap):
        if free.any():
            best = torch.where(free, row, -1.0).argmax()
            if row[best] >= threshold:
                right[k], free[best] = True, False
    return right


def _average(right: Tensor, total: int) -> float:
    """Precision, made to fall with recall, averaged at the recalls 0, 0.01, ..., 1; 0 beyond."""
    hits = right.double().cumsum(0).numpy()
    recall, precision = hits / total, hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(at, len(precision))].mean())
