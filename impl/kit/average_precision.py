"""Mean average precision, as COCO's own evaluation computes it."""

from array import array
from collections.abc import Iterable, Sequence
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


class AveragePrecision:
    """AP in 0..1 of pictures that are added one by one. Of each stay only the scores of what was
    found, and whether that was right: neither boxes nor masks.

    In each picture the `limit` surest detections count. From the surest down, each takes the object
    of its class, not yet taken, that it overlaps most, if by the threshold at least; else it is a
    false alarm, or nothing at all if it overlaps an ignored object as much. (VOC asks only the
    object overlapped most.) With `masks` the overlap is that of masks.
    """

    def __init__(
        self,
        classes: int,
        thresholds: Sequence[float] = (0.5,),
        *,
        masks: bool = False,
        limit: int = 100,
    ):
        self.thresholds, self.masks, self.limit = thresholds, masks, limit
        self.objects = [0] * classes  # to be found
        # Of all that was found. As small tensors these would lie scattered among the masks' memory,
        # which then couldn't be used for the next picture's.
        self.labels, self.scores = array("q"), array("d")  # [K]
        self.right, self.counts = array("b"), array("b")  # [K, T], for T thresholds

    def add(self, found: Detections, scene: Scene) -> None:
        found = _surest(found, self.limit)
        labels, scores = found.labels.cpu(), found.scores.cpu().double()
        right = torch.zeros(len(labels), len(self.thresholds), dtype=torch.bool)
        counts = right.clone()  # right or a false alarm
        for c in range(len(self.objects)):
            self.objects[c] += int((scene.labels == c).sum())
            at = labels == c
            if not at.any():
                continue
            overlap, ignored = _overlap(found, scene, c, self.masks), _ignored(found, scene, c)
            for t, threshold in enumerate(self.thresholds):
                right[at, t] = matched = _matched(overlap, threshold)
                counts[at, t] = matched | (ignored < threshold)
        self.labels.frombytes(labels.long().numpy().tobytes())
        self.scores.frombytes(scores.numpy().tobytes())
        self.right.frombytes(right.numpy().tobytes())
        self.counts.frombytes(counts.numpy().tobytes())

    def mean(self) -> float:
        """Over classes of which there are objects and IoU thresholds, the mean of precision at 101
        recalls. NaN when nothing is to be found."""
        if not any(self.objects):
            return float("nan")
        labels, scores, right, counts = (
            torch.from_numpy(np.array(each))
            for each in (self.labels, self.scores, self.right, self.counts)
        )
        shape = len(labels), len(self.thresholds)
        right, counts = (each.bool().view(shape) for each in (right, counts))
        precisions = []
        for c, total in enumerate(self.objects):
            for t in range(len(self.thresholds) if total else 0):
                at = counts[:, t] & (labels == c)
                order = scores[at].argsort(descending=True, stable=True)
                precisions.append(_average(right[at, t][order], total))
        return float(np.mean(precisions))


def mean_average_precision(
    found: Iterable[Detections],
    truth: Iterable[Scene],
    classes: int,
    thresholds: Sequence[float] = (0.5,),
    *,
    masks: bool = False,
    limit: int = 100,
) -> float:
    """Of all pictures together; of iterators only one picture is in memory at a time."""
    measure = AveragePrecision(classes, thresholds, masks=masks, limit=limit)
    for each, scene in zip(found, truth, strict=True):
        measure.add(each, scene)
    return measure.mean()


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


def _ignored(found: Detections, scene: Scene, c: int) -> Tensor:
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
