"""Reads pictures and annotations in the layouts of PASCAL VOC and COCO."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from impl.kit.data import DataUnavailable
from impl.kit.scene import LazyScenes, Place, Scene, Scenes, cached, read_picture, scale_masks


def read_voc(name: str, folder: Path, side: int) -> Scenes:
    """PASCAL VOC's layout, in a folder or in a zip within it.

    Training pictures are those of ImageSets/Main/trainval.txt, test pictures those of test.txt, or
    of val.txt where VOC keeps its test to itself. Objects marked difficult are ignored, boxes of no
    area left out; there are masks where SegmentationObject has a file.
    """
    root = _voc_root(folder)
    parts = ("train", "trainval", "val", "test")
    names = {part: _names(root / "ImageSets" / "Main" / f"{part}.txt") for part in parts}
    train, test = names["trainval"], names["test"]
    if not test:
        train, test = names["train"], names["val"]
    if not train or not test:
        raise DataUnavailable(f"{root}/ImageSets/Main names no training or no test pictures")
    trees = {
        each: ElementTree.fromstring((root / "Annotations" / f"{each}.xml").read_text())
        for each in train + test
    }
    found = {str(o.findtext("name")) for tree in trees.values() for o in tree.iter("object")}
    classes = tuple(sorted(found))
    read = partial(_voc_scene, root=root, trees=trees, classes=classes, side=side)
    train_scenes, test_scenes = (cached(LazyScenes(part, read), side) for part in (train, test))
    return Scenes(name, classes, train_scenes, test_scenes)


def _voc_scene(
    name: str,
    root: Place,
    trees: Mapping[str, ElementTree.Element],
    classes: tuple[str, ...],
    side: int,
) -> Scene:
    image, scale, height, width = read_picture(root / "JPEGImages" / f"{name}.jpg", side)
    boxes: list[list[float]] = []
    labels, difficult, instances = [], [], []
    for instance, item in enumerate(trees[name].iter("object"), start=1):
        keys = ("xmin", "ymin", "xmax", "ymax")
        x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{key}") or 0) for key in keys)
        if x1 > x0 and y1 > y0:
            boxes.append([x0 - 1, y0 - 1, x1, y1])  # VOC counts from 1 and includes the last
            labels.append(classes.index(str(item.findtext("name"))))
            difficult.append(item.findtext("difficult") == "1")
            instances.append(instance)
    hard = torch.tensor(difficult, dtype=torch.bool)
    all_boxes = scale * torch.tensor(boxes).reshape(-1, 4)
    all_labels = torch.tensor(labels, dtype=torch.long)
    masks = _voc_masks(root / "SegmentationObject" / f"{name}.png", instances)
    if masks is not None:
        masks = scale_masks(masks, side, height, width)[~hard]
    return Scene(
        image, all_boxes[~hard], all_labels[~hard], masks, all_boxes[hard], all_labels[hard]
    )


def _voc_masks(path: Place, instances: Sequence[int]) -> Tensor | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        index = torch.from_numpy(np.array(Image.open(file)))
    each = [index == instance for instance in instances]
    return torch.stack(each) if each else torch.zeros(0, *index.shape)


def _voc_root(folder: Path) -> Place:
    """The folder that holds Annotations: this one, one below, or inside the first zip."""
    archives = [zipfile.Path(archive) for archive in sorted(folder.glob("*.zip"))]
    tops: list[Place] = [folder, *archives]
    for top in tops:
        for root in [top, *sorted((p for p in top.iterdir() if p.is_dir()), key=str)]:
            if (root / "Annotations").is_dir():
                return root
    raise DataUnavailable(f"neither {folder}, nor a folder or a zip in it, holds VOC's Annotations")


def _names(path: Place) -> list[str]:
    return path.read_text().split() if path.is_file() else []


def read_coco(folder: Path, side: int) -> Scenes:
    """COCO's layout: annotations/instances_train*.json beside folders of pictures; crowds are left
    out."""
    parts: list[Sequence[Scene]] = []
    classes: tuple[str, ...] = ()
    for part in ("train", "val"):
        found = sorted(folder.glob(f"annotations/instances_{part}*.json"))
        if not found:
            raise DataUnavailable(f"{folder}/annotations has no instances_{part}*.json")
        content = json.loads(found[0].read_text())
        pictures = folder / found[0].stem.removeprefix("instances_")
        categories = sorted(content["categories"], key=lambda category: category["id"])
        index = {category["id"]: i for i, category in enumerate(categories)}
        classes = tuple(category["name"] for category in categories)
        items: dict[int, list[dict[str, Any]]] = {}
        for item in content["annotations"]:
            if not item.get("iscrowd") and item["bbox"][2] > 0 and item["bbox"][3] > 0:
                items.setdefault(item["image_id"], []).append(item)
        listed = [
            (pictures / picture["file_name"], items[picture["id"]])
            for picture in content["images"]
            if picture["id"] in items
        ]
        read = partial(_coco_scene, index=index, side=side)
        parts.append(cached(LazyScenes(listed, read), side))
    return Scenes("coco", classes, *parts)


def _coco_scene(
    item: tuple[Path, Sequence[Mapping[str, Any]]], index: Mapping[int, int], side: int
) -> Scene:
    path, objects = item
    image, scale, height, width = read_picture(path, side)
    boxes = [[x, y, x + w, y + h] for x, y, w, h in (each["bbox"] for each in objects)]
    with Image.open(path) as picture:
        size = picture.size
    masks = []
    for each in objects:
        drawn = Image.new("1", size)
        for polygon in each["segmentation"]:
            ImageDraw.Draw(drawn).polygon(polygon, fill=1)
        masks.append(torch.from_numpy(np.array(drawn)))
    labels = torch.tensor([index[each["category_id"]] for each in objects], dtype=torch.long)
    scaled = scale_masks(torch.stack(masks), side, height, width)
    return Scene(image, scale * torch.tensor(boxes).reshape(-1, 4), labels, scaled)
