"""Scenes are read, composed, and split anew by each seed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from impl.drawing.scenes import picture_scenes
from impl.kit.composed import composed
from impl.kit.data import DataUnavailable
from impl.kit.scene import LazyScenes, Scene
from impl.kit.scenes import draw_scenes, pick, read_scenes


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    draw_scenes.cache_clear()
    read_scenes.cache_clear()


def test_composed_scenes_depend_on_the_seed_only_and_hide_nothing_whole() -> None:
    a, b, other = composed(6, 2, 64, seed=1), composed(6, 2, 64, seed=1), composed(6, 2, 64, seed=2)
    assert all(
        torch.equal(x.image, y.image) and torch.equal(x.boxes, y.boxes)
        for x, y in zip(a.train, b.train, strict=True)
    )
    assert not torch.equal(a.train[0].image, other.train[0].image)
    for scene in [*a.train, *a.test]:
        assert scene.image.shape == (3, 64, 64)
        assert scene.image.min() >= 0 and scene.image.max() <= 1
        assert (scene.boxes[:, :2] >= 0).all() and (scene.boxes[:, 2:] <= 64).all()
        assert scene.masks is not None
        for mask, box in zip(scene.masks, scene.boxes, strict=True):
            x0, y0, x1, y1 = box.int().tolist()
            assert mask.any()
            assert mask.sum() == mask[y0:y1, x0:x1].sum()
    assert picture_scenes("p", [("t", a.train[0], None)], "c", a.classes).png.startswith(b"\x89PNG")


def test_plain_scenes_are_digits_on_black() -> None:
    for scene in composed(4, 0, 64, plain=True).train:
        assert scene.masks is not None
        elsewhere = torch.ones(64, 64, dtype=torch.bool)
        for x0, y0, x1, y1 in scene.boxes.int().tolist():
            elsewhere[y0:y1, x0:x1] = False
        assert scene.image[:, elsewhere].sum() == 0 < scene.image.amax(0)[scene.masks.any(0)].min()


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
    data = read_scenes("voc", 80)
    scene = data.train[0]
    assert data.classes == ("cat", "dog") and len(data.train) == len(data.test) == 1
    # twice the size; the empty one is left out, and the difficult one a kind of its own
    assert scene.boxes.tolist() == [[20.0, 0.0, 40.0, 20.0]]
    assert scene.labels.tolist() == [1]
    assert scene.ignored is not None and scene.ignored.tolist() == [[0.0, 0.0, 40.0, 20.0]]
    assert scene.ignored_labels is not None and scene.ignored_labels.tolist() == [0]
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
    data = read_scenes("coco", 40)
    assert data.classes == ("car", "dog")
    scene = data.test[0]
    assert scene.boxes.tolist() == [[10.0, 10.0, 30.0, 20.0]]
    assert scene.labels.tolist() == [1]
    assert scene.masks is not None and scene.masks.sum() == 200


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataUnavailable, match="no folder coco in KB_DATA"):
        draw_scenes("coco", 1, 1, 1, 32, 0)
    with pytest.raises(ValueError, match="use composed, plain, bccd"):
        draw_scenes("imagenet", 1, 1, 1, 32, 0)
    assert draw_scenes("auto", 1, 1, 1, 32, 0).name.startswith("composed")


def test_each_seed_splits_anew_and_reads_only_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "voc"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    item = (
        "<object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
        "<xmax>{}</xmax><ymax>5</ymax></bndbox></object>"
    )
    for i in range(20):
        Image.new("RGB", (40, 40), "red").save(root / "JPEGImages" / f"{i}.jpg")
        text = f"<annotation>{item.format(i + 2)}</annotation>"
        (root / "Annotations" / f"{i}.xml").write_text(text)
    (root / "ImageSets/Main/trainval.txt").write_text("\n".join(map(str, range(15))))
    (root / "ImageSets/Main/test.txt").write_text("\n".join(map(str, range(15, 20))))
    monkeypatch.setenv("KB_DATA", str(tmp_path))
    widths = {}
    for seed in (0, 1):
        split = draw_scenes("voc", 9, 3, 2, 40, seed)
        parts = (split.train, split.val, split.test)
        assert [len(part) for part in parts] == [9, 3, 2]
        widths[seed] = [[int(s.boxes[0, 2]) - 2 for s in part] for part in parts]
        assert not set(widths[seed][0]) & set(widths[seed][1]) and min(widths[seed][2]) >= 15
    assert widths[0] != widths[1]


def test_a_part_of_lazy_scenes_is_lazy() -> None:
    read: list[int] = []

    def decode(i: int) -> Scene:
        read.append(i)
        return Scene(torch.zeros(3, 8, 8), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))

    part = pick(LazyScenes([7, 8, 9], decode), [2, 0])
    assert not read and len(part) == 2 and part[0] and read == [9]
