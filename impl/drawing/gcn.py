"""The figures of impl/gcn.py."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from impl.kit import Chosen, Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure

CLASS_COLORS = (*PALETTE, INK)
PUBLISHED = {  # % on Cora with one fixed split, Tables 2 and 3
    "mlp": 55.1,
    "label propagation": 68.0,
    "single parameter": 79.2,
    "chebyshev, K = 3": 79.5,
    "chebyshev, K = 1": 80.0,
    "chebyshev, K = 2": 81.2,
    "gcn": 81.5,
}


def figures(rows: Sequence[Row], chosen: Sequence[Chosen]) -> Iterator[Figure]:
    judged = [row for row in rows if row.get("judged") and "accuracy" in row]
    pictured = {trial.arm: trial.tensors for trial in chosen if "end" in trial.tensors}
    yield nodes_figure(pictured["mlp"], pictured["gcn"])
    yield filters_figure(judged)
    yield labels_figure(judged)


def nodes_figure(mlp: Mapping[str, Tensor], gcn: Mapping[str, Tensor]) -> Figure:
    panels = {"no links, trained": mlp["end"]}
    names = {"epoch 1": "graph convolutions, epoch 1", "epoch 20": "epoch 20", "end": "trained"}
    panels |= {title: gcn[name] for name, title in names.items() if name in gcn}
    drawn, axes = canvas(1, len(panels), width=2.4 * len(panels), height=2.7)
    for ax, (title, hidden) in zip(axes, panels.items(), strict=True):
        x, y = neighbour_map(hidden[:400]).T
        colors = [CLASS_COLORS[c % 7] for c in gcn["y"][:400].tolist()]
        ax.scatter(x, y, c=colors, s=6, linewidths=0)
        ax.set(title=title, xticks=[], yticks=[])
    caption = (
        "400 test nodes by the activations of the 16 hidden units, mapped to the plane by t-SNE "
        "(as in Fig. 1b), in the colours of their classes, which the net wasn't told"
    )
    return figure("nodes", drawn, caption)


def neighbour_map(hidden: Tensor) -> Tensor:
    """t-SNE: [N, H] -> [N, 2]"""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(hidden) - 1) / 3)
    return torch.from_numpy(TSNE(perplexity=perplexity, random_state=0).fit_transform(hidden))


def filters_figure(judged: Sequence[Row]) -> Figure:
    found: dict[str, list[float]] = {}
    for row in judged:
        if row["labels"] == 20:
            name = str(row["arm"]) + (f", K = {row['K']}" if "K" in row else "")
            found.setdefault(name, []).append(float(row["accuracy"]))
    names = [name for name in PUBLISHED if name in found]
    drawn, ax = canvas(height=0.8 + 0.4 * len(names))
    for at, name in enumerate(names):
        ax.scatter(found[name], [at] * len(found[name]), s=14, color=PALETTE[0], alpha=0.6,
                   linewidths=0, label="each seed, its own split" if at == 0 else None)  # fmt: skip
        mean = sum(found[name]) / len(found[name])
        ax.scatter(mean, at, s=160, marker="|", color=PALETTE[0], label="mean" if at == 0 else None)
        ax.scatter(PUBLISHED[name], at, s=34, marker="D", facecolors="none", edgecolors=PALETTE[1],
                   label="the paper: Cora, one split" if at == 0 else None)  # fmt: skip
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel="% of test nodes right")
    ax.legend(loc="lower right", fontsize=8)
    return figure("filters", drawn, "20 labels in each class: the filters of Tables 2 and 3")


def labels_figure(judged: Sequence[Row]) -> Figure:
    drawn, ax = canvas()
    for color, arm in zip(PALETTE, ("gcn", "mlp", "label propagation"), strict=False):
        points = sorted((int(r["labels"]), float(r["accuracy"])) for r in judged if r["arm"] == arm)
        sizes = sorted({n for n, _ in points})
        values = [[value for n, value in points if n == size] for size in sizes]
        means = [sum(each) / len(each) for each in values]
        ax.plot(sizes, means, marker="o", markersize=4, color=color, label=arm)
        low, high = [min(each) for each in values], [max(each) for each in values]
        ax.fill_between(sizes, low, high, color=color, alpha=0.15, linewidth=0)
        ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.set(xlabel="labels in each class", ylabel="% of test nodes right")
    ax.legend(loc="lower right", fontsize=8)
    caption = (
        "The mean of all seeds, and the range between the extremes. With 20 labels in each class "
        "the nets' L2 factor is chosen by validation nodes, elsewhere it is the paper's"
    )
    return figure("labels", drawn, caption)
