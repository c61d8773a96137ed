"""The figures of impl/dcgan.py."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from impl.kit import Chosen, Figure
from impl.kit.figures import INK, PALETTE, canvas, figure, sheets

ARMS = {  # in the order of the bars, from below
    "DCGAN": "DCGAN",
    "untrained": "D untrained",
    "k-means": "k-means",
    "supervised": "labels alone",
}


def figures(chosen: Sequence[Chosen]) -> Iterator[Figure]:
    """Of the chosen trials; images are of the first seed.

    Those of a seed are: both arms at the paper's initial weights, both at the best, and the four
    whose features are compared.
    """
    given, tuned = chosen[:2], chosen[2:4]
    panels = {
        "DCGAN": grey(tuned[0].tensors["samples"]),
        "without batch normalization": grey(tuned[1].tensors["samples"]),
        "the same, initial weights of 0.02": grey(given[1].tensors["samples"]),
    }
    yield sheets("samples", panels, "Fair draws with batch normalization and without it", columns=4)
    panels = {
        "a walk in z": grey(tuned[0].tensors["walk"]),
        "a cross-fade": grey(tuned[0].tensors["fade"]),
        "the nearest training images": grey(tuned[0].tensors["memory"]),
    }
    caption = "Six walks in z (as in Fig. 4), and two other ways from one end to the other"
    yield sheets("walk", panels, caption, columns=16)
    yield errors([trial for at in range(4, len(chosen), 8) for trial in chosen[at : at + 4]])


def grey(images: Tensor) -> Tensor:
    """[N, C, side, side] -> [N, side, side]"""
    return images.mean(1)


def errors(chosen: Sequence[Chosen]) -> Figure:
    """On test images, each seed a dot and their mean a line."""
    drawn, ax = canvas()
    for height, arm in enumerate(ARMS):
        values = [float(trial.row["test_error"]) for trial in chosen if trial.arm == arm]
        color = PALETTE[0] if arm == "DCGAN" else INK
        ax.scatter(values, [height] * len(values), color=color, alpha=0.5)
        ax.scatter([sum(values) / len(values)], [height], color=color, marker="|", s=300)
    ax.set_yticks(range(len(ARMS)), ARMS.values())
    ax.set(xlabel="errors on test images, %", xlim=(0, None))
    caption = "What a few labelled images give on top of each kind of features"
    return figure("errors", drawn, caption)
