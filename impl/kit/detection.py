"""Pictures with things in them, from wherever they are, and mean average precision as COCO's own evaluation computes it.

Boxes are [N, 4] as x0, y0, x1, y1 in pixels, the last two exclusive, so that a width is x1 - x0. Labels are 0 to C - 1.
"""

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from impl.kit.data import DataUnavailable, cache, handwriting
from impl.kit.events import Figure
from impl.kit.figures import PALETTE, canvas, figure

KEPT = 300e6  # bytes of pictures that stay in memory

Place = Path | zipfile.Path


@dataclass(frozen=True)
class Scene:
    """One square picture and what is to be found in it."""

    image: Tensor  # [3, S, S] in 0..1
    boxes: Tensor  # [N, 4]
    labels: Tensor  # [N]
    masks: Tensor | None = None  # [N, S, S] of 0 and 1, where the data have them

    def to(self, device: torch.device) -> "Scene":
        masks = None if self.masks is None else self.masks.to(device)
        return Scene(self.image.to(device), self.boxes.to(device), self.labels.to(device), masks)


class Reader(Sequence[Scene]):
    """Scenes that are read from disk when they are asked for: a whole COCO doesn't fit into memory."""

    def __init__(self, items: Sequence[Any], read: Callable[[Any], Scene]):
        self.items, self.read = items, read

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: Any) -> Any:
        return Reader(self.items[i], self.read) if isinstance(i, slice) else self.read(self.items[i])


def kept(reader: Reader, side: int) -> Sequence[Scene]:
    """Read once, if memory has room for all of them: a picture that is decoded in every step costs more than the step."""
    return [*reader] if 12 * side * side * len(reader) < KEPT else reader


@dataclass(frozen=True)
class Scenes:
    name: str
    classes: tuple[str, ...]
    train: Sequence[Scene]
    test: Sequence[Scene]


@dataclass(frozen=True)
class Found:
    """What a detector says is in one picture."""

    boxes: Tensor  # [K, 4]
    labels: Tensor  # [K]
    scores: Tensor  # [K], higher is surer
    masks: Tensor | None = None  # [K, S, S] of 0 and 1


def scenes(name: str, train: int, test: int, side: int, seed: int = 0) -> Scenes:
    """At most `train` and `test` pictures of `side` x `side`, scaled as a whole and padded below or at the right.

    `composed`: handwritten digits on photographs, drawn from `seed`, with boxes and masks. `bccd`: blood cells under the
    microscope, boxes only. `auto`: bccd where it is, else composed. `voc`, `coco`: a folder of that name in KB_DATA, laid
    out as its authors do. Raises DataUnavailable where there is no such folder.
    """
    if name == "auto":
        name = "bccd" if _place("bccd") else "composed"
    if name == "composed":
        return composed(train, test, side, seed)
    if name not in ("bccd", "voc", "coco"):
        raise ValueError(f"no data set {name!r}; use composed, bccd, voc, coco or auto")
    folder = _place(name)
    if not folder:
        raise DataUnavailable(
            f"there is no folder {name} in KB_DATA nor in {cache()}; put it there, or choose data=composed"
        )
    return coco(folder, train, test, side) if name == "coco" else voc(name, folder, train, test, side)


def _place(name: str) -> Path | None:
    roots = [cache(), *([Path(os.environ["KB_DATA"])] if "KB_DATA" in os.environ else [])]
    return next((root / name for root in reversed(roots) if (root / name).is_dir()), None)


# Composed scenes


def composed(train: int, test: int, side: int, seed: int = 0, classes: Sequence[int] = (0, 1, 2, 3, 4)) -> Scenes:
    """Handwritten digits, scaled, coloured and partly hidden by each other, on photographs, amid unlabelled scraps of digits.

    What is in the test scenes is cut from test digits, and their backgrounds from another photograph.
    """
    from sklearn.datasets import load_sample_images

    china, flower = (np.asarray(image, np.float32) / 255 for image in load_sample_images().images)
    data = handwriting("auto")
    wanted = torch.tensor(list(classes))
    made = []
    for part, (x, y, photograph, count) in enumerate(
        [(data.x_train, data.y_train, china, train), (data.x_test, data.y_test, flower, test)]
    ):
        keep = torch.isin(y, wanted)
        ink, names = x[keep, 0], torch.searchsorted(wanted, y[keep])
        rng = np.random.default_rng([seed, part])
        made.append([_compose(rng, ink, names, photograph, side) for _ in range(count)])
    return Scenes(f"composed of {data.name}", tuple(map(str, classes)), *made)


def _compose(rng: np.random.Generator, x: Tensor, y: Tensor, photograph: np.ndarray, side: int) -> Scene:
    """Up to five digits of a fifth to a half of the side, over a random crop; later ones hide parts of earlier ones.

    A box is that of the whole digit, a mask that of what is seen of it, at least 60 percent.
    """
    crop = int(rng.integers(side, min(photograph.shape[:2]) // 2 + side))
    crop = min(crop, *photograph.shape[:2])
    top, left = (int(rng.integers(0, length - crop + 1)) for length in photograph.shape[:2])
    image = _resize(torch.from_numpy(photograph[top : top + crop, left : left + crop]).permute(2, 0, 1), side, side)
    for _ in range(int(rng.integers(2, 5))):  # clutter: halves of digits, which nobody is to find
        ink = _inked(x[int(rng.integers(len(x)))])
        image, *_ = _paste(rng, image, ink[: -(-len(ink) // 2)], side)
    boxes: list[Tensor] = []
    labels: list[Tensor] = []
    masks: list[Tensor] = []  # of what is still seen
    inked: list[Tensor] = []
    for _ in range(int(rng.integers(2, 6))):
        i = int(rng.integers(len(x)))
        pasted, mask, box = _paste(rng, image, _inked(x[i]), side)
        seen = [hidden & ~mask for hidden in masks]
        if any(part.sum() < 0.6 * ink for part, ink in zip(seen, inked, strict=True)):
            continue  # too little of an earlier one would be left
        image, masks = pasted, [*seen, mask]
        boxes.append(box)
        labels.append(y[i])
        inked.append(mask.sum())
    return Scene(image, torch.stack(boxes), torch.stack(labels), torch.stack(masks))


def _inked(digit: Tensor) -> Tensor:
    rows, columns = torch.where(digit > 0.3)
    return digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _paste(rng: np.random.Generator, image: Tensor, ink: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """The image with the ink on it, in a colour that stands out from what is behind; where the ink is; its box."""
    size = int(side * rng.uniform(0.2, 0.5))
    height, width = size, max(2, round(size * ink.shape[1] / ink.shape[0]))
    width = min(width, side)
    ink = _resize(ink[None], height, width)[0]
    top, left = int(rng.integers(0, side - height + 1)), int(rng.integers(0, side - width + 1))
    behind = image[:, top : top + height, left : left + width]
    bright = behind.mean() < 0.5
    colour = torch.tensor(rng.uniform(0.65, 1.0, 3) if bright else rng.uniform(0.0, 0.35, 3), dtype=torch.float32)
    image = image.clone()
    image[:, top : top + height, left : left + width] = behind + ink * (colour[:, None, None] - behind)
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[top : top + height, left : left + width] = ink > 0.3
    return image, mask, torch.tensor([left, top, left + width, top + height], dtype=torch.float32)


# Pictures from disk


def voc(name: str, folder: Path, train: int, test: int, side: int) -> Scenes:
    """PASCAL VOC's layout, in a folder or in a zip within it; masks where there are SegmentationObject files for all.

    Training pictures are those of ImageSets/Main/trainval.txt, test pictures those of test.txt, or of val.txt where VOC
    keeps its test to itself. Objects marked difficult, and boxes of no area, are left out.
    """
    root = _voc_root(folder)
    lists = {p: _names(root / "ImageSets" / "Main" / f"{p}.txt") for p in ("train", "trainval", "val", "test")}
    some, held = (lists["trainval"], lists["test"]) if lists["test"] else (lists["train"], lists["val"])
    if not some or not held:
        raise DataUnavailable(f"{root}/ImageSets/Main names no training or no test pictures")
    some, held = some[:train], held[:test]
    annotations = {n: ElementTree.fromstring((root / "Annotations" / f"{n}.xml").read_text()) for n in some + held}
    classes = tuple(sorted({str(o.findtext("name")) for tree in annotations.values() for o in tree.iter("object")}))

    def read(n: str) -> Scene:
        boxes, labels, keep = [], [], []
        for instance, thing in enumerate(annotations[n].iter("object"), start=1):
            x0, y0, x1, y1 = (float(thing.findtext(f"bndbox/{key}") or 0) for key in ("xmin", "ymin", "xmax", "ymax"))
            if thing.findtext("difficult") != "1" and x1 > x0 and y1 > y0:
                boxes.append([x0 - 1, y0 - 1, x1, y1])  # VOC counts pixels from 1 and includes the last
                labels.append(classes.index(str(thing.findtext("name"))))
                keep.append(instance)
        instances = root / "SegmentationObject" / f"{n}.png"
        masks = None
        if instances.is_file():
            with instances.open("rb") as file:
                index = torch.from_numpy(np.array(Image.open(file)))
            masks = torch.stack([index == instance for instance in keep]) if keep else torch.zeros(0, *index.shape)
        return _scene(root / "JPEGImages" / f"{n}.jpg", boxes, labels, masks, side)

    return Scenes(name, classes, kept(Reader(some, read), side), kept(Reader(held, read), side))


def _voc_root(folder: Path) -> Place:
    """The folder that holds Annotations: this one, one below, or inside the first zip."""
    tops: list[Place] = [folder, *(zipfile.Path(archive) for archive in sorted(folder.glob("*.zip")))]
    for top in tops:
        for root in [top, *sorted((p for p in top.iterdir() if p.is_dir()), key=str)]:
            if (root / "Annotations").is_dir():
                return root
    raise DataUnavailable(f"neither {folder}, nor a folder or a zip in it, holds VOC's Annotations")


def _names(path: Place) -> list[str]:
    return path.read_text().split() if path.is_file() else []


def coco(folder: Path, train: int, test: int, side: int) -> Scenes:
    """COCO's layout: annotations/instances_train*.json beside folders of pictures; crowds are left out."""
    parts: list[Sequence[Scene]] = []
    classes: tuple[str, ...] = ()
    for part, count in (("train", train), ("val", test)):
        found = sorted(folder.glob(f"annotations/instances_{part}*.json"))
        if not found:
            raise DataUnavailable(f"{folder}/annotations has no instances_{part}*.json")
        content = json.loads(found[0].read_text())
        pictures = folder / found[0].stem.removeprefix("instances_")
        order = {c["id"]: i for i, c in enumerate(sorted(content["categories"], key=lambda c: c["id"]))}
        classes = tuple(c["name"] for c in sorted(content["categories"], key=lambda c: c["id"]))
        things: dict[int, list[dict[str, Any]]] = {}
        for thing in content["annotations"]:
            if not thing.get("iscrowd") and thing["bbox"][2] > 0 and thing["bbox"][3] > 0:
                things.setdefault(thing["image_id"], []).append(thing)
        listed = [(pictures / i["file_name"], things[i["id"]]) for i in content["images"] if i["id"] in things]
        parts.append(kept(Reader(listed[:count], partial(_coco_scene, order=order, side=side)), side))
    return Scenes("coco", classes, *parts)


def _coco_scene(item: tuple[Path, Sequence[Mapping[str, Any]]], order: Mapping[int, int], side: int) -> Scene:
    path, things = item
    boxes = [[x, y, x + w, y + h] for x, y, w, h in (thing["bbox"] for thing in things)]
    with Image.open(path) as picture:
        size = picture.size
    masks = []
    for thing in things:
        drawn = Image.new("1", size)
        for polygon in thing["segmentation"]:
            ImageDraw.Draw(drawn).polygon(polygon, fill=1)
        masks.append(torch.from_numpy(np.array(drawn)))
    return _scene(path, boxes, [order[thing["category_id"]] for thing in things], torch.stack(masks), side)


def _scene(path: Place, boxes: list[list[float]], labels: list[int], masks: Tensor | None, side: int) -> Scene:
    """The picture on disk, scaled so that its longer side is `side`."""
    with path.open("rb") as file:
        picture = Image.open(file).convert("RGB")
    scale = side / max(picture.size)
    width, height = (max(1, round(scale * length)) for length in picture.size)
    image = torch.zeros(3, side, side)
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    image[:, :height, :width] = torch.from_numpy(pixels / 255).permute(2, 0, 1)
    if masks is not None:
        whole = torch.zeros(len(masks), side, side, dtype=torch.bool)
        if len(masks):
            whole[:, :height, :width] = _resize(masks.float(), height, width) > 0.5
        masks = whole
    return Scene(image, scale * torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.long), masks)


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    """[C, H, W] to [C, height, width], smoothed where it shrinks."""
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]


# How good is a detector?


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Area in common over area together: boxes [N, 4] and [M, 4] -> [N, M]."""
    low, high = torch.maximum(a[:, None, :2], b[:, :2]), torch.minimum(a[:, None, 2:], b[:, 2:])
    common = (high - low).clamp_min(0).prod(2)
    areas = [(box[:, 2:] - box[:, :2]).clamp_min(0).prod(1) for box in (a, b)]
    return common / (areas[0][:, None] + areas[1] - common).clamp_min(1e-9)


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """The same for masks [N, H, W] and [M, H, W]."""
    a, b = a.flatten(1).float(), b.flatten(1).float()
    common = a @ b.T
    return common / (a.sum(1)[:, None] + b.sum(1) - common).clamp_min(1e-9)


def mean_average_precision(
    found: Sequence[Found],
    truth: Sequence[Scene],
    classes: int,
    thresholds: Sequence[float] = (0.5,),
    *,
    masks: bool = False,
    limit: int = 100,
) -> float:
    """COCO's AP in 0..1: over classes present in `truth` and IoU thresholds, the mean of precision at 101 recalls.

    In each picture the `limit` surest detections count. From the surest down, each takes the unclaimed thing of its class
    that it overlaps most, if by the threshold at least; else it is a false alarm. (VOC asks only the thing overlapped most.)
    With `masks` the overlap is that of masks. NaN when nothing is to be found.
    """
    pairs = [(_surest(f, limit), scene) for f, scene in zip(found, truth, strict=True)]
    precisions = []
    for c in range(classes):
        total = sum(int((scene.labels == c).sum()) for _, scene in pairs)
        if not total:
            continue
        overlaps, scores = [], []
        for f, scene in pairs:
            mine, theirs = f.labels.cpu() == c, scene.labels.cpu() == c
            overlaps.append(_overlap(f, scene, mine, theirs, masks))
            scores.append(f.scores.cpu().double()[mine])
        for threshold in thresholds:
            right = torch.cat([_claimed(o, threshold) for o in overlaps])
            precisions.append(_average(right[torch.cat(scores).argsort(descending=True, stable=True)], total))
    return float(np.mean(precisions)) if precisions else float("nan")


def _surest(f: Found, limit: int) -> Found:
    at = f.scores.argsort(descending=True, stable=True)[:limit]
    return Found(f.boxes[at], f.labels[at], f.scores[at], None if f.masks is None else f.masks[at])


def _overlap(f: Found, scene: Scene, mine: Tensor, theirs: Tensor, masks: bool) -> Tensor:
    if not masks:
        return iou(f.boxes.cpu()[mine].double(), scene.boxes.cpu()[theirs].double())
    if f.masks is None or scene.masks is None:
        raise ValueError("masks are to be compared, but the detections or the scenes have none")
    return mask_iou(f.masks.cpu()[mine], scene.masks.cpu()[theirs])


def _claimed(overlap: Tensor, threshold: float) -> Tensor:
    """For each detection [K], surest first, whether it found a thing [N] that none before it had claimed."""
    right, free = torch.zeros(len(overlap), dtype=torch.bool), torch.ones(overlap.shape[1], dtype=torch.bool)
    for k, row in enumerate(overlap):
        if free.any():
            best = torch.where(free, row, -1.0).argmax()
            if row[best] >= threshold:
                right[k], free[best] = True, False
    return right


def _average(right: Tensor, total: int) -> float:
    """Precision, made to fall with recall, averaged at the recalls 0, 0.01, ..., 1; where none reaches, it is 0."""
    hits = right.double().cumsum(0).numpy()
    recall, precision = hits / total, hits / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(at, len(precision))].mean())


def pictured(
    name: str, panels: Sequence[tuple[str, Scene, Found | None]], caption: str, classes: Sequence[str],
    *, columns: int = 4, surer_than: float = 0.0, step: int | None = None,
) -> Figure:  # fmt: skip
    """Scenes with what was found in them, boxes and masks coloured by class; without a Found, with what is to be found."""
    rows = -(-len(panels) // columns)
    drawn, axes = canvas(rows, min(columns, len(panels)), width=2.1 * min(columns, len(panels)), height=2.3 * rows)
    flat = list(axes.flat) if hasattr(axes, "flat") else [axes]
    for ax in flat:
        ax.set_axis_off()
    for ax, (title, scene, f) in zip(flat, panels, strict=False):
        ax.imshow(scene.image.permute(1, 2, 0).cpu().clamp(0, 1).numpy())
        ax.set_title(title)
        for box, label, text, mask in _things(scene, f, classes, surer_than):
            colour = PALETTE[label % len(PALETTE)]
            if mask is not None:
                ax.contourf(mask.float().cpu().numpy(), levels=[0.5, 1.5], colors=[colour], alpha=0.45)
            x0, y0, x1, y1 = (float(v) - 0.5 for v in box)
            ax.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=colour, linewidth=1.2)
            ax.text(x0, y0, text, fontsize=6, color="white", backgroundcolor=colour, va="bottom",
                    bbox=dict(pad=0.8, linewidth=0, facecolor=colour))  # fmt: skip
        ax.set_xlim(-0.5, scene.image.shape[2] - 0.5)
        ax.set_ylim(scene.image.shape[1] - 0.5, -0.5)
    return figure(name, drawn, caption, step)


def _things(
    scene: Scene, f: Found | None, classes: Sequence[str], surer_than: float
) -> Iterator[tuple[Tensor, int, str, Tensor | None]]:
    boxes, labels, masks = (scene.boxes, scene.labels, scene.masks) if f is None else (f.boxes, f.labels, f.masks)
    for i, label in enumerate(labels.tolist()):
        sure = 1.0 if f is None else float(f.scores[i])
        if sure >= surer_than:
            text = classes[label] if f is None else f"{classes[label]} {sure:.2f}"
            yield boxes[i], label, text, None if masks is None else masks[i]
