"""The figures of impl/ddpm.py."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from impl.kit import Chosen, Figure
from impl.kit.figures import INK, PALETTE, canvas, figure, sheets


def figures(chosen: Sequence[Chosen], seed: int) -> Iterator[Figure]:
    """Of the chosen trials; samples are of the first seed."""
    first = {one.arm: one for one in reversed(chosen) if one.seed == seed}  # by the first choice
    first = {arm: first[arm] for arm in dict.fromkeys(one.arm for one in chosen)}
    path, data = first["noise"].tensors["path"], first["noise"].tensors["data"]
    titles = ("noise", "40 % of the steps", "60 %", "75 %", "90 %", "samples")
    forming = {title: square(x) for title, x in zip(titles, path, strict=True)}
    yield sheets("forming", forming, "Samples as they form out of noise", columns=4)
    samples = {arm: square(one.tensors["path"][-1]) for arm, one in first.items()}
    caption = "What each objective makes, and test data"
    yield sheets("arms", samples | {"test data": square(data)}, caption, columns=4)
    yield scores(chosen)
    yield weights(first["noise"].tensors["weights"])


def square(x: Tensor) -> Tensor:
    side = round(x.shape[1] ** 0.5)
    return x[:24].clamp(-1, 1).reshape(-1, side, side)


def scores(chosen: Sequence[Chosen]) -> Figure:
    """Both measures with every seed, and their means."""
    arms = list(dict.fromkeys(one.arm for one in chosen))
    drawn, axes = canvas(1, 2, width=8.0, height=2.6)
    labels = {
        "told_apart": "% told apart by the nearest neighbour",
        "distance": "energy distance, % of that between images",
    }
    for ax, (measure, label) in zip(axes, labels.items(), strict=True):
        best: dict[tuple[str, int], Chosen] = {}
        for one in chosen:  # of the trials that some measure chose, that which this one did
            key = one.arm, one.seed
            if key not in best or worse(best[key], one, measure):
                best[key] = one
        for y, arm in enumerate(arms):
            values = [float(one.row[measure]) for (of, _), one in best.items() if of == arm]
            color = PALETTE[0] if arm == "noise" else INK
            ax.scatter(values, [y] * len(values), s=14, color=color, alpha=0.6, linewidths=0)
            ax.plot([sum(values) / len(values)] * 2, [y - 0.3, y + 0.3], color=color)
        ax.set(yticks=range(len(arms)), yticklabels=arms, xlabel=label)
        ax.invert_yaxis()
    axes[1].set_yticklabels([])
    axes[0].axvline(50, color=INK, linewidth=0.8, linestyle=":")
    caption = "Samples against test data: a point for each seed, and the mean; less is better"
    return figure("scores", drawn, caption)


def worse(one: Chosen, other: Chosen, measure: str) -> bool:
    """On validation images."""
    return float(one.row[f"val_{measure}"]) > float(other.row[f"val_{measure}"])


def weights(bound: Tensor) -> Figure:
    """What the bound and the simple loss care for."""
    drawn, ax = canvas(height=2.6)
    steps = range(1, len(bound) + 1)
    ax.plot(steps, (bound / bound.mean()).tolist(), color=PALETTE[1], label="bound, Eq. 12")
    ax.axhline(1, color=PALETTE[0], label="simple loss, Eq. 14")
    ax.set(xlabel="step t: little noise on the left, only noise on the right", ylim=(0, None))
    ax.set_ylabel("weight over its mean")
    ax.legend()
    caption = "The bound cares most for steps with hardly any noise; the simple loss for all alike"
    return figure("weights", drawn, caption)
