"""CIFAR-10 is read as it is stored, and its images are cropped and mirrored as they should be."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from impl.kit import cifar
from impl.kit.data import DataUnavailable, Split, cifar10, photographs

CPU = torch.device("cpu")


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two images a file: the first of file 3 is red on top."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        records = np.full((2, 3073), number, np.uint8)
        records[0, 1:513] = 255  # 16 rows of 32 pixels of red
        records.tofile(folder / f"{name}.bin")
    monkeypatch.setenv("KB_DATA", str(tmp_path))
    cifar10.cache_clear()
    yield folder
    cifar10.cache_clear()


def test_cifar10_is_read_from_its_binary_version(stored: Path) -> None:
    data = photographs("cifar10")
    assert data.name == "cifar10"
    assert data.x_train.shape == (10, 3, 32, 32) and data.x_test.shape == (2, 3, 32, 32)
    assert data.y_train.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] and data.y_test.tolist() == [
        5,
        5,
    ]
    red, green, blue = data.x_train[4]
    assert (red[:16] == 1).all() and red[16:].max() == green.max() == blue.max() == np.float32(
        2 / 255
    )


def test_what_is_missing_or_cut_is_said(stored: Path) -> None:
    (stored / "test_batch.bin").write_bytes(b"12345")
    with pytest.raises(DataUnavailable, match="is not a file of CIFAR-10"):
        photographs("cifar10")
    (stored / "test_batch.bin").unlink()
    with pytest.raises(DataUnavailable, match=r"test_batch\.bin is not there.*cifar-10-binary"):
        photographs("cifar10")
    with pytest.raises(DataUnavailable, match=r"cifar10_subset\.npz is not there"):
        photographs("cifar10-subset")


def test_images_are_averaged_down_and_centred() -> None:
    split = cifar.load("digits", CPU, side=4, n=100, validation=50, seed=1)
    assert split.x_train.shape == (100, 1, 4, 4) and split.x_val.shape == (50, 1, 4, 4)
    torch.testing.assert_close(split.x_train.mean(0), torch.zeros(1, 4, 4), atol=1e-6, rtol=0)
    assert split.x_test.mean(0).abs().max() > 1e-4, "the mean is that of the training images"


def test_an_epoch_shows_each_image_once() -> None:
    x = torch.arange(10.0).reshape(10, 1, 1, 1)
    split = Split(x, torch.arange(10), x, torch.arange(10), x, torch.arange(10))
    stream = cifar.batches(split, 5, seed=0, augmented=False)
    epochs = [torch.cat([next(stream)[1] for _ in range(2)]) for _ in range(3)]
    assert all(epoch.sort().values.tolist() == list(range(10)) for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    again = cifar.batches(split, 5, seed=0, augmented=True)
    assert torch.equal(next(again)[1], epochs[0][:5]), "the same for all that share the seed"


def test_augmentation_crops_and_mirrors() -> None:
    x = torch.arange(1.0, 65.0).reshape(1, 1, 8, 8).expand(5000, 1, 8, 8)
    seen = cifar.augment(x, torch.Generator().manual_seed(0))
    corners = [
        F.pad(image, (4, 4, 4, 4))[:, r : r + 8, c : c + 8]
        for image in (x[0], x[0].flip(2))
        for r in (0, 8)
        for c in (0, 8)
    ]
    assert all((seen == corner).flatten(1).all(1).any() for corner in corners)
    assert seen[:, 0, 4, 4].unique().numel() > 60


def test_first_weights_have_variance_two_by_fan_in() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(16, 64, 3), nn.Linear(300, 50))
    cifar.init_weights(net)
    assert net[0].weight.std().item() == pytest.approx((2 / 144) ** 0.5, rel=0.05)
    assert net[1].weight.std().item() == pytest.approx((2 / 300) ** 0.5, rel=0.05)
    assert not net[0].bias.any() and not net[1].bias.any()
