"""Mean average precision held against the field's own code."""

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impl.kit.average_precision import (
    AveragePrecision,
    Detections,
    detections,
    mean_average_precision,
)
from impl.kit.boxes import iou, mask_iou
from impl.kit.scene import Scene

SIDE = 48


def some_boxes(rng: np.random.Generator, n: int) -> torch.Tensor:
    low = rng.integers(0, SIDE - 12, (n, 2))
    return torch.tensor(
        np.concatenate([low, low + rng.integers(3, 12, (n, 2))], 1), dtype=torch.float32
    )


def filled(boxes: torch.Tensor) -> torch.Tensor:
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def precision_by_coco(
    found: list[Detections], truth: list[Scene], classes: int, thresholds: list[float], kind: str
) -> float:
    """Mean average precision as pycocotools computes it; `kind` is "bbox" or "segm"."""
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    reference = COCO()
    reference.dataset = {
        "images": [{"id": i, "width": SIDE, "height": SIDE} for i in range(len(truth))],
        "categories": [{"id": c, "name": str(c)} for c in range(classes)],
        "annotations": [one for i, scene in enumerate(truth) for one in annotations(i, scene)],
    }
    for n, annotation in enumerate(reference.dataset["annotations"], start=1):
        annotation["id"] = n
    reference.createIndex()
    detections = [one for i, scene in enumerate(found) for one in scored(i, scene, kind)]
    evaluation = COCOeval(reference, reference.loadRes(detections), kind)
    evaluation.params.iouThrs = np.array(thresholds)
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0, -1]  # [thresholds, recalls, classes]
    return float(precision[precision > -1].mean())


def annotations(image: int, objects: Scene | Detections) -> list[dict[str, Any]]:
    """The objects in COCO's format: a box is x, y, width, height; a mask is run-length encoded."""
    from pycocotools import mask as rle

    assert objects.masks is not None
    result = []
    for box, label, mask in zip(objects.boxes, objects.labels, objects.masks, strict=True):
        x0, y0, x1, y1 = box.tolist()
        result.append(
            {
                "image_id": image,
                "category_id": int(label),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
                "segmentation": rle.encode(np.asfortranarray(mask.numpy().astype(np.uint8))),
            }
        )
    return result


def scored(image: int, found: Detections, kind: str) -> list[dict[str, Any]]:
    """Detections in COCO's format. With boxes in them, pycocotools would ignore the masks."""
    result = annotations(image, found)
    for detection, score in zip(result, found.scores.tolist(), strict=True):
        detection["score"] = score
        if kind == "segm":
            del detection["bbox"]
    return result


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_mean_average_precision_is_what_coco_computes(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(int(rng.integers(1, 5))):
        boxes = some_boxes(rng, int(rng.integers(1, 6)))
        truth.append(
            Scene(
                torch.zeros(3, SIDE, SIDE),
                boxes,
                torch.tensor(rng.integers(0, 3, len(boxes))),
                filled(boxes),
            )
        )
        near = boxes + torch.tensor(rng.integers(-1, 2, boxes.shape))
        guesses = torch.cat([near, some_boxes(rng, int(rng.integers(0, 4)))]).clamp(0, SIDE)
        scores = torch.tensor(
            rng.permutation(len(guesses)) + rng.random(len(guesses))
        )  # no two are equal
        labels = torch.cat(
            [truth[-1].labels, torch.tensor(rng.integers(0, 3, len(guesses) - len(boxes)))]
        )
        found.append(Detections(guesses, labels.long(), scores, filled(guesses)))
    thresholds = [0.5, 0.75]
    ours = mean_average_precision(found, truth, 3, thresholds, masks=kind == "segm")
    assert ours == pytest.approx(precision_by_coco(found, truth, 3, thresholds, kind), abs=1e-9)


def some_scene(rng: np.random.Generator) -> tuple[Detections, Scene]:
    """Three classes, objects that are ignored, equal scores, now and then nothing at all."""
    boxes = some_boxes(rng, int(rng.integers(0, 6)))
    there = torch.tensor(rng.random(len(boxes)) < 0.8)
    labels = torch.tensor(rng.integers(0, 2, len(boxes)))
    objects = (boxes[there], labels[there], filled(boxes[there]), boxes[~there], labels[~there])
    moved = boxes + torch.tensor(rng.integers(-1, 2, boxes.shape))
    found = torch.cat([moved, some_boxes(rng, int(rng.integers(0, 4)))]).clamp(0, SIDE)
    named = torch.tensor(rng.integers(0, 3, len(found)))
    named[: len(labels)] = labels
    scores = torch.tensor(rng.integers(0, 5, len(found)) / 4).float()
    return Detections(found, named, scores, filled(found)), Scene(
        torch.zeros(3, SIDE, SIDE), *objects
    )


def precision_of_all_at_once(
    found: list[Detections], truth: list[Scene], thresholds: list[float], masks: bool, limit: int
) -> float:
    """From the definition, with every overlap of the data set at hand: class by class, each
    detection of any picture from the surest down. [K] detections, [N] objects of a picture"""
    surest = [each.scores.argsort(descending=True, stable=True)[:limit] for each in found]
    precisions = []
    for c, threshold in [(c, threshold) for c in range(3) for threshold in thresholds]:
        total = sum(int((scene.labels == c).sum()) for scene in truth)
        taken: set[tuple[int, int]] = set()
        kept = [(i, int(k)) for i, at in enumerate(surest) for k in at if found[i].labels[k] == c]
        right = []
        for i, k in sorted(kept, key=lambda pair: -float(found[pair[0]].scores[pair[1]])):
            each, scene, best = found[i], truth[i], (threshold, -1)
            assert each.masks is not None and scene.masks is not None
            assert scene.ignored is not None and scene.ignored_labels is not None
            box = each.boxes[k : k + 1].double()
            pair = each.masks[k : k + 1], scene.masks
            overlaps = (mask_iou(*pair) if masks else iou(box, scene.boxes.double()))[0].tolist()
            for n, overlap in enumerate(overlaps):
                free = scene.labels[n] == c and (i, n) not in taken
                if free and overlap >= best[0] and (best[1] < 0 or overlap > best[0]):
                    best = overlap, n
            ignored = iou(box, scene.ignored[scene.ignored_labels == c].double())[0]
            if best[1] >= 0:
                taken.add((i, best[1]))
            if best[1] >= 0 or not (ignored >= threshold).any():
                right.append(best[1] >= 0)
        hits = np.cumsum(right)
        curve = [(hit / total, hit / n) for n, hit in enumerate(hits, start=1)] if total else []
        at = [
            max((p for r, p in curve if r >= level), default=0) for level in np.linspace(0, 1, 101)
        ]
        precisions += [float(np.mean(at))] if total else []
    return float(np.mean(precisions)) if precisions else float("nan")


@pytest.mark.parametrize("masks", [False, True])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), limit=st.sampled_from([3, 100]))
def test_pictures_one_by_one_are_as_all_at_once(masks: bool, seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = [some_scene(rng) for _ in range(int(rng.integers(1, 6)))]
    found, truth = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ours = mean_average_precision(found, truth, 3, [0.5, 0.75], masks=masks, limit=limit)
    expected = precision_of_all_at_once(found, truth, [0.5, 0.75], masks, limit)
    assert ours == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_no_picture_stays_in_memory() -> None:
    """Masks of COCO's 5,000 pictures, a hundred of each, would be many gigabytes."""
    alive: list[weakref.ref[torch.Tensor]] = []

    def detector() -> Iterator[tuple[Detections, Scene]]:
        rng = np.random.default_rng(0)
        for _ in range(20):
            pair = some_scene(rng)
            assert pair[0].masks is not None and pair[1].masks is not None
            alive.extend([weakref.ref(pair[0].masks), weakref.ref(pair[1].masks)])
            yield pair
            del pair
            assert not any(ref() is not None for ref in alive)

    measure = AveragePrecision(3, [0.5, 0.75], masks=True)
    for each, scene in detector():
        measure.add(each, scene)
        del each, scene
    assert 0 < measure.mean() < 1


def test_finding_everything_is_one_and_nothing_is_zero() -> None:
    boxes = some_boxes(np.random.default_rng(0), 3)
    scene = Scene(torch.zeros(3, SIDE, SIDE), boxes, torch.tensor([0, 1, 1]))
    everything = Detections(boxes, scene.labels, torch.tensor([0.9, 0.8, 0.7]))
    nothing = Detections(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0))
    assert mean_average_precision([everything], [scene], 2) == 1.0
    assert mean_average_precision([nothing], [scene], 2) == 0.0
    assert np.isnan(
        mean_average_precision([nothing], [Scene(scene.image, nothing.boxes, nothing.labels)], 2)
    )


def test_overlap_of_boxes_is_that_of_their_masks() -> None:
    boxes = some_boxes(np.random.default_rng(3), 8)
    assert torch.allclose(iou(boxes, boxes), mask_iou(filled(boxes), filled(boxes)))


def test_a_difficult_object_is_nobodys_error() -> None:
    """VOC's rule: found or not found, it changes nothing; what lies elsewhere is a false alarm."""
    boxes = some_boxes(np.random.default_rng(0), 3)
    easy, hard = boxes[:1], boxes[1:2]
    one, image = torch.tensor([0]), torch.zeros(3, SIDE, SIDE)
    scene = Scene(image, easy, one, ignored=hard, ignored_labels=one)

    def precision(*found: torch.Tensor) -> float:
        scores = torch.arange(len(found), 0, -1.0)
        both = Detections(torch.cat(found), torch.zeros(len(found), dtype=torch.long), scores)
        return mean_average_precision([both], [scene], 1)

    assert precision(easy) == precision(hard, easy) == 1.0
    assert precision(boxes[2:], easy) == 0.5
    other = Scene(image, easy, one, ignored=hard, ignored_labels=one + 1)
    labels = torch.zeros(2, dtype=torch.long)
    found = Detections(torch.cat([hard, easy]), labels, torch.tensor([2.0, 1.0]))
    assert mean_average_precision([found], [other], 1) == 0.5, "of another class"


def test_classes_are_suppressed_apart() -> None:
    same = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10]])
    scores = torch.tensor([[2.0, 0.5], [1.0, 3.0]])
    found = detections(scores, same, 0.5, 9)
    assert found.labels.tolist() == [0, 1] and found.scores.tolist() == [2.0, 3.0]
    apart = torch.stack([same, same + 20], 1)  # each class has its own boxes
    assert torch.equal(detections(scores, apart, 0.5, 9).boxes, apart[[0, 1], [0, 1]])
