"""Shapes with names: MPEG-7's silhouettes, or handwriting."""

import functools
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from impl.kit.data import DataUnavailable, cache, handwriting


@dataclass(frozen=True)
class Shapes:
    name: str
    shapes: list[np.ndarray]  # bool [side, side]
    y: Tensor  # [N]
    kinds: list[str]


@functools.cache
def shapes(name: str, side: int, images: int) -> Shapes:
    """`silhouettes` of MPEG-7, or the first images of handwriting; `auto` is what can be had.

    Raises DataUnavailable for `silhouettes` if they are not in `KB_DATA`.
    """
    path = Path(os.environ.get("KB_DATA", cache()), "mpeg7-ce-shape-1/mpeg7_ce_shape_1_partB.zip")
    if name == "silhouettes" or (name == "auto" and path.exists()):
        return read_silhouettes(path, side)
    data = handwriting(name)
    inked = data.x_train[:images, 0] > 0.5
    kinds = [str(digit) for digit in range(10)]
    return Shapes(data.name, list(inked.numpy()), data.y_train[:images], kinds)


def read_silhouettes(path: Path, side: int) -> Shapes:
    """MPEG-7 CE-Shape-1 part B: cut to the shape, made square and shrunk.

    A pixel counts if most of it is shape.
    """
    from PIL import Image

    if not path.exists():
        raise DataUnavailable(f"{path} is not there; put it there, or choose data=auto")
    found, names = [], []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            shape = np.array(Image.open(io.BytesIO(archive.read(name))).convert("L")) > 127
            y, x = np.nonzero(shape)
            shape = shape[y.min() : y.max() + 1, x.min() : x.max() + 1]
            lack = max(shape.shape) - np.array(shape.shape)
            square = np.pad(shape, [(n // 2, n - n // 2) for n in lack]).astype(np.uint8) * 255
            small = Image.fromarray(square).resize((side, side), Image.Resampling.BOX)
            found.append(np.array(small) > 127)
            names.append(name.rsplit("-", 1)[0])
    kinds = sorted(set(names))
    return Shapes("mpeg-7", found, torch.tensor([kinds.index(name) for name in names]), kinds)
