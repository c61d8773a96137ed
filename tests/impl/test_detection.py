"""Scenes read and composed, and mean average precision held against the field's own code."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from impl.kit.data import DataUnavailable
from impl.kit.detection import Found, Scene, composed, iou, mask_iou, mean_average_precision, pictured, scenes

SIDE = 48


def some_boxes(rng: np.random.Generator, n: int) -> torch.Tensor:
    low = rng.integers(0, SIDE - 12, (n, 2))
    return torch.tensor(np.concatenate([low, low + rng.integers(3, 12, (n, 2))], 1), dtype=torch.float32)


def filled(boxes: torch.Tensor) -> torch.Tensor:
    masks = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def by_coco(found: list[Found], truth: list[Scene], classes: int, thresholds: list[float], kind: str) -> float:
    pytest.importorskip("pycocotools")
    from pycocotools import mask as rle
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def things(i: int, boxes: torch.Tensor, labels: torch.Tensor, masks: torch.Tensor | None) -> list[dict]:
        out = []
        for k, ((x0, y0, x1, y1), label) in enumerate(zip(boxes.tolist(), labels.tolist(), strict=True)):
            box = [x0, y0, x1 - x0, y1 - y0]
            out.append(
                {"image_id": i + 1, "category_id": label + 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            )
            if masks is not None:
                out[-1]["segmentation"] = rle.encode(np.asfortranarray(masks[k].numpy().astype(np.uint8)))
        return out

    reference, answers = COCO(), []
    reference.dataset = {
        "images": [{"id": i + 1, "width": SIDE, "height": SIDE} for i in range(len(truth))],
        "categories": [{"id": c + 1, "name": str(c)} for c in range(classes)],
        "annotations": [t for i, s in enumerate(truth) for t in things(i, s.boxes, s.labels, s.masks)],
    }
    for n, annotation in enumerate(reference.dataset["annotations"], start=1):
        annotation["id"] = n
    reference.createIndex()
    for i, f in enumerate(found):
        for answer, score in zip(things(i, f.boxes, f.labels, f.masks), f.scores.tolist(), strict=True):
            answers.append(answer | {"score": score})
            if kind == "segm":
                del answers[-1]["bbox"]
    judge = COCOeval(reference, reference.loadRes(answers), kind)
    judge.params.iouThrs = np.array(thresholds)
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"][..., 0, -1]  # [thresholds, recalls, classes]
    return float(precision[precision > -1].mean())


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_mean_average_precision_is_what_coco_computes(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(int(rng.integers(1, 5))):
        boxes = some_boxes(rng, int(rng.integers(1, 6)))
        truth.append(
            Scene(torch.zeros(3, SIDE, SIDE), boxes, torch.tensor(rng.integers(0, 3, len(boxes))), filled(boxes))
        )
        near = boxes + torch.tensor(rng.integers(-1, 2, boxes.shape))
        guesses = torch.cat([near, some_boxes(rng, int(rng.integers(0, 4)))]).clamp(0, SIDE)
        scores = torch.tensor(rng.permutation(len(guesses)) + rng.random(len(guesses)))  # no two are equal
        labels = torch.cat([truth[-1].labels, torch.tensor(rng.integers(0, 3, len(guesses) - len(boxes)))])
        found.append(Found(guesses, labels.long(), scores, filled(guesses)))
    thresholds = [0.5, 0.75]
    ours = mean_average_precision(found, truth, 3, thresholds, masks=kind == "segm")
    assert ours == pytest.approx(by_coco(found, truth, 3, thresholds, kind), abs=1e-9)


def test_finding_everything_is_one_and_nothing_is_zero() -> None:
    boxes = some_boxes(np.random.default_rng(0), 3)
    scene = Scene(torch.zeros(3, SIDE, SIDE), boxes, torch.tensor([0, 1, 1]))
    everything = Found(boxes, scene.labels, torch.tensor([0.9, 0.8, 0.7]))
    nothing = Found(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0))
    assert mean_average_precision([everything], [scene], 2) == 1.0
    assert mean_average_precision([nothing], [scene], 2) == 0.0
    assert np.isnan(mean_average_precision([nothing], [Scene(scene.image, nothing.boxes, nothing.labels)], 2))


def test_overlap_of_boxes_is_that_of_their_masks() -> None:
    boxes = some_boxes(np.random.default_rng(3), 8)
    assert torch.allclose(iou(boxes, boxes), mask_iou(filled(boxes), filled(boxes)))


def test_composed_scenes_depend_on_the_seed_only_and_hide_nothing_whole() -> None:
    a, b, other = composed(6, 2, 64, seed=1), composed(6, 2, 64, seed=1), composed(6, 2, 64, seed=2)
    assert all(
        torch.equal(x.image, y.image) and torch.equal(x.boxes, y.boxes) for x, y in zip(a.train, b.train, strict=True)
    )
    assert not torch.equal(a.train[0].image, other.train[0].image)
    for scene in [*a.train, *a.test]:
        assert scene.image.shape == (3, 64, 64)
        assert scene.image.min() >= 0 and scene.image.max() <= 1
        assert (scene.boxes[:, :2] >= 0).all() and (scene.boxes[:, 2:] <= 64).all()
        for mask, box in zip(scene.masks, scene.boxes, strict=True):
            x0, y0, x1, y1 = box.int().tolist()
            assert mask.any()
            assert mask.sum() == mask[y0:y1, x0:x1].sum()
    assert pictured("p", [("t", a.train[0], None)], "c", a.classes).png.startswith(b"\x89PNG")


def test_a_voc_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "voc" / "VOC2007"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main", "SegmentationObject"):
        (root / folder).mkdir(parents=True)
    thing = (
        "<object><name>{}</name><difficult>{}</difficult>"
        "<bndbox><xmin>{}</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object>"
    )
    for name in ("a", "b"):
        Image.new("RGB", (40, 20), "red").save(root / "JPEGImages" / f"{name}.jpg")
        things = thing.format("dog", 0, 11) + thing.format("cat", 1, 1) + thing.format("cat", 0, 20)
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{things}</annotation>")
        instances = np.zeros((20, 40), np.uint8)
        instances[:10, 10:20] = 1
        Image.fromarray(instances).save(root / "SegmentationObject" / f"{name}.png")
    (root / "ImageSets/Main/trainval.txt").write_text("a\n")
    (root / "ImageSets/Main/test.txt").write_text("b\n")
    monkeypatch.setenv("KB_DATA", str(tmp_path))
    data = scenes("voc", 9, 9, side=80)
    scene = data.train[0]
    assert data.classes == ("cat", "dog") and len(data.train) == len(data.test) == 1
    assert scene.boxes.tolist() == [[20.0, 0.0, 40.0, 20.0]]  # twice the size; the difficult and the empty one left out
    assert scene.labels.tolist() == [1]
    assert scene.masks is not None and scene.masks.sum() == 400
    assert scene.image[:, 40:].sum() == 0 and scene.image[0, :40].mean() > 0.9


def test_a_coco_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for part in ("train2017", "val2017"):
        (root / part).mkdir()
        Image.new("RGB", (40, 40), "blue").save(root / part / "1.jpg")
        square = {"image_id": 7, "category_id": 18, "bbox": [10, 10, 20, 10], "iscrowd": 0,
                  "segmentation": [[10, 10, 29, 10, 29, 19, 10, 19]]}  # fmt: skip
        crowd = square | {"iscrowd": 1, "segmentation": {"counts": "x", "size": [40, 40]}}
        content = {"images": [{"id": 7, "file_name": "1.jpg"}], "annotations": [square, crowd],
                   "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]}  # fmt: skip
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))
    monkeypatch.setenv("KB_DATA", str(tmp_path))
    data = scenes("coco", 5, 5, side=40)
    assert data.classes == ("car", "dog")
    assert data.test[0].boxes.tolist() == [[10.0, 10.0, 30.0, 20.0]] and data.test[0].labels.tolist() == [1]
    assert data.test[0].masks is not None and data.test[0].masks.sum() == 200


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataUnavailable, match="no folder coco in KB_DATA"):
        scenes("coco", 1, 1, 32)
    with pytest.raises(ValueError, match="use composed, bccd"):
        scenes("imagenet", 1, 1, 32)
    assert scenes("auto", 1, 1, 32).name.startswith("composed")
