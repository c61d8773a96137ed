"""The figures of impl/gan.py."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from impl.kit import Chosen, Figure
from impl.kit.figures import INK, PALETTE, canvas, figure, sheets


def figures(chosen: Sequence[Chosen], side: int) -> Iterator[Figure]:
    """Of the chosen trials; images are of the first seed."""
    gans = [trial for trial in chosen if trial.arm == "GAN"]
    dbns = [trial for trial in chosen if trial.arm == "DBN"]

    def square(images: Tensor) -> Tensor:
        return images.reshape(-1, side, side)

    own, rival = gans[0].tensors, dbns[0].tensors
    panels = {"GAN": square(own["samples"]), "deep belief net": square(rival["samples"])}
    yield sheets("samples", panels, "Fair draws of both models, in their order")
    panels = {"samples": square(own["samples"]), "nearest": square(own["nearest"])}
    caption = "Samples of G, and the training image that is nearest to each (as in Fig. 2)"
    yield sheets("neighbours", panels, caption)
    caption = "Four straight walks from one z to another (as in Fig. 3)"
    yield sheets("walk", {"": square(own["walk"])}, caption, columns=16)
    yield bars(gans, dbns)


def bars(gans: Sequence[Chosen], dbns: Sequence[Chosen]) -> Figure:
    """What the measure says of models, and of what models nothing."""
    scores = {
        "GAN": [trial.row["test_loglik"] for trial in gans],
        "deep belief net": [trial.row["test_loglik"] for trial in dbns],
        "cluster centres": [trial.row["centres_loglik"] for trial in gans],
        "training images": [trial.row["memory_loglik"] for trial in gans],
    }
    means = {name: sum(map(float, each)) / len(each) for name, each in scores.items()}
    ranked = sorted(means, key=means.__getitem__)
    drawn, ax = canvas()
    colors = [PALETTE[0] if name == "GAN" else INK for name in ranked]
    ax.barh(ranked, [means[name] for name in ranked], color=colors)
    ax.set(xlabel="Parzen-window log-likelihood of test images, nats")
    caption = "What the measure is worth: it likes centres and memory as well as models"
    return figure("measure", drawn, caption)
