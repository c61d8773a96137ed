"""Data sets by name: bundled with scikit-learn, read from `KB_DATA`, or downloaded once.

What scikit-learn bundles is always there. `KB_DATA` names a folder laid out as
`mnist/train-images-idx3-ubyte.gz` and so on; without it, downloads are kept in the user's cache
folder. Every file downloaded is checked against its SHA-256.
"""

import functools
import gzip
import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from impl.kit.trials import generator

MNIST_FILES = {  # name: SHA-256
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
MNIST_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
TIMEOUT = 10  # seconds without an answer: then the network counts as absent


class DataUnavailable(RuntimeError):
    """A data set that isn't on this machine and couldn't be downloaded.

    The message says where to put it.
    """


@dataclass(frozen=True)
class Images:
    """Images [N, C, H, W] in 0..1 and their labels [N], in the source's training and test sets."""

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor

    def to(self, device: torch.device) -> "Images":
        tensors = (t.to(device) for t in (self.x_train, self.y_train, self.x_test, self.y_test))
        return Images(self.name, *tensors)


@dataclass(frozen=True)
class Split:
    """Three disjoint sets: what nets are trained on, chosen by, and judged by."""

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    x_test: Tensor
    y_test: Tensor


def draw_split(data: Images, n: int, validation: int, seed: int) -> Split:
    """`n` training images and some for validation, drawn by the seed.

    The test images are the source's. There are `validation` images for validation, but at most a
    fifth of all that aren't for testing. Raises ValueError if fewer than `n` are left.
    """
    order = torch.randperm(len(data.x_train), generator=generator(seed, "data"))
    validation = min(validation, len(order) // 5)
    val, train = order[:validation], order[validation : validation + n]
    if len(train) < n:
        raise ValueError(f"{data.name} has {len(train)} images left to train on; {n} are too many")
    x, y = data.x_train, data.y_train
    return Split(x[train], y[train], x[val], y[val], data.x_test, data.y_test)


def handwriting(name: str) -> Images:
    """`mnist`, `digits`, or `auto`: MNIST if it can be had, else scikit-learn's small digits."""
    if name == "digits":
        return digits()
    if name not in ("mnist", "auto"):
        raise ValueError(f"no data set {name!r}; use mnist, digits or auto")
    try:
        return mnist()
    except DataUnavailable:
        if name == "mnist":
            raise
        return digits()


@functools.cache
def digits() -> Images:
    """1,797 digits of 8 x 8 from scikit-learn (UCI's Optical Recognition).

    Ours: the last 500 are for testing.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.tensor(bunch.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(bunch.target, dtype=torch.long)
    return Images("digits", x[:-500], y[:-500], x[-500:], y[-500:])


@functools.cache
def mnist() -> Images:
    """MNIST: 60,000 training and 10,000 test images of 28 x 28.

    Raises DataUnavailable if it is neither in `KB_DATA` nor in the cache and can't be downloaded.
    """
    files = (fetch("mnist", name, MNIST_MIRROR, sha) for name, sha in MNIST_FILES.items())
    x_train, y_train, x_test, y_test = (torch.from_numpy(read_idx(file)) for file in files)
    return Images(
        "mnist",
        x_train.unsqueeze(1).float() / 255,
        y_train.long(),
        x_test.unsqueeze(1).float() / 255,
        y_test.long(),
    )


def photographs(name: str) -> Images:
    """`cifar10`, `cifar10-subset`, or what `handwriting` knows; `auto`: the subset if it is there.

    Raises DataUnavailable where a file of CIFAR-10 isn't there: none is downloaded.
    """
    if name == "cifar10":
        return cifar10()
    if name == "cifar10-subset" or (name == "auto" and _subset().exists()):
        return cifar10_subset()
    return handwriting(name)


@functools.cache
def cifar10() -> Images:
    """CIFAR-10: 50,000 training and 10,000 test images [3, 32, 32], from its binary version."""
    folder = Path(os.environ.get("KB_DATA", cache())) / "cifar-10-batches-bin"
    records = []
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        if not (folder / name).exists():
            raise DataUnavailable(
                f"{folder / name} is not there; unpack cifar-10-binary.tar.gz from "
                f"https://www.cs.toronto.edu/~kriz/cifar.html there, or choose data=auto"
            )
        content = np.fromfile(folder / name, np.uint8)
        if len(content) % 3073:
            raise DataUnavailable(f"{folder / name} is not a file of CIFAR-10; unpack it again")
        records.append(torch.from_numpy(content.reshape(-1, 3073)))  # a byte for the label
    train, test = torch.cat(records[:-1]), records[-1]
    x_train, x_test = (part[:, 1:].reshape(-1, 3, 32, 32).float() / 255 for part in (train, test))
    return Images("cifar10", x_train, train[:, 0].long(), x_test, test[:, 0].long())


@functools.cache
def cifar10_subset() -> Images:
    """10,000 training and 1,000 test images of CIFAR-10: a thousand and a hundred of each class."""
    if not _subset().exists():
        raise DataUnavailable(f"{_subset()} is not there; put it there, or choose data=auto")
    with np.load(_subset()) as arrays:
        x_train, y_train, x_test, y_test = (
            torch.from_numpy(arrays[key]) for key in ("x_train", "y_train", "x_test", "y_test")
        )
    x_train, x_test = (x.permute(0, 3, 1, 2).float() / 255 for x in (x_train, x_test))
    return Images("cifar10-subset", x_train, y_train.long(), x_test, y_test.long())


def _subset() -> Path:
    return Path(os.environ.get("KB_DATA", cache())) / "cifar10-subset" / "cifar10_subset.npz"


def read_idx(path: Path) -> np.ndarray:
    """An array from the IDX format.

    Two zero bytes, type (8 = unsigned byte), rank, sizes as big-endian int32, values.
    """
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\0\0\x08":
        raise DataUnavailable(f"{path} is not an IDX file of bytes; delete it and try again")
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()


def fetch(folder: str, name: str, mirror: str, sha256: str) -> Path:
    """The file `folder/name`: from `KB_DATA`, from the cache, or downloaded.

    A download comes from `mirror`, is checked and is kept in the cache.
    """
    if "KB_DATA" in os.environ:
        given = Path(os.environ["KB_DATA"]) / folder / name
        if given.exists():
            return given
    cached = cache() / folder / name
    if cached.exists():
        return cached
    try:
        with urllib.request.urlopen(mirror + name, timeout=TIMEOUT) as answer:
            content: bytes = answer.read()
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        raise DataUnavailable(
            f"{folder}/{name} is not in KB_DATA nor in {cache()}, "
            f"and {mirror + name} can't be reached ({error}); "
            f"put the file into one of the two, or choose data=digits"
        ) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataUnavailable(
            f"{mirror + name} gave another file than the one expected; nothing was kept"
        )
    cached.parent.mkdir(parents=True, exist_ok=True)
    partial = cached.with_name(f"{name}.{os.getpid()}.part")
    partial.write_bytes(content)
    partial.replace(cached)  # whole, or not at all
    return cached


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "executable-history"
