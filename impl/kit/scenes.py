"""Pictures with objects in them, by name, split into what is trained on, chosen by, judged by."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from impl.kit.composed import composed
from impl.kit.data import DataUnavailable, cache
from impl.kit.scene import LazyScenes, Scene, Scenes
from impl.kit.trials import generator
from impl.kit.voc_coco import read_coco, read_voc

NAMES = ("composed", "plain", "bccd", "voc", "coco", "auto")


@dataclass(frozen=True)
class SceneSplit:
    name: str
    classes: tuple[str, ...]
    train: Sequence[Scene]
    val: Sequence[Scene]
    test: Sequence[Scene]


@lru_cache(maxsize=64)
def draw_scenes(name: str, train: int, val: int, test: int, side: int, seed: int) -> SceneSplit:
    """At most so many pictures of `side` x `side`, drawn by the seed.

    `composed`, `plain`: handwritten digits on photographs or on black, with boxes and masks.
    `bccd`: blood cells under the microscope, boxes only. `auto`: bccd where it is, else composed.
    `voc`, `coco`: a folder of that name in KB_DATA, laid out as its authors do; what isn't for
    testing is split anew by each seed. Raises DataUnavailable where there is no such folder.
    """
    if resolve(name) in ("composed", "plain"):
        made = composed(train + val, test, side, seed, plain=name == "plain")
        return SceneSplit(
            made.name, made.classes, made.train[:train], made.train[train:], made.test
        )
    data = read_scenes(resolve(name), side)
    order = torch.randperm(len(data.train), generator=generator(seed, "data")).tolist()
    val = min(val, len(order) // 5)
    of_test = torch.randperm(len(data.test), generator=generator(seed, "test")).tolist()
    parts = [
        pick(data.train, order[val : val + train]),
        pick(data.train, order[:val]),
        pick(data.test, sorted(of_test[:test])),
    ]
    return SceneSplit(data.name, data.classes, *parts)


def pick(scenes: Sequence[Scene], at: Sequence[int]) -> Sequence[Scene]:
    """These of the scenes; none is read that isn't in memory."""
    if isinstance(scenes, LazyScenes):
        return LazyScenes([scenes.items[i] for i in at], scenes.read)
    return [scenes[i] for i in at]


def resolve(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"no data set {name!r}; use {', '.join(NAMES[:-1])} or {NAMES[-1]}")
    if name == "auto":
        return "bccd" if _folder("bccd") else "composed"
    return name


@lru_cache(maxsize=4)
def read_scenes(name: str, side: int) -> Scenes:
    """All pictures of `bccd`, `voc` or `coco`."""
    folder = _folder(name)
    if not folder:
        raise DataUnavailable(
            f"there is no folder {name} in KB_DATA nor in {cache()}; "
            f"put it there, or choose data=composed"
        )
    return read_coco(folder, side) if name == "coco" else read_voc(name, folder, side)


def _folder(name: str) -> Path | None:
    roots = [Path(os.environ["KB_DATA"])] if "KB_DATA" in os.environ else []
    return next((root / name for root in [*roots, cache()] if (root / name).is_dir()), None)
