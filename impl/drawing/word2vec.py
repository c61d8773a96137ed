"""The figures of impl/word2vec.py."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit import Figure
from impl.kit.analogies import LEXEMES, Corpus
from impl.kit.figures import INK, PALETTE, canvas, figure

SHOWN = 6  # pairs in a panel


def parallelogram(vectors: Tensor, corpus: Corpus) -> Figure:
    """Pairs of words [V, D], in the plane of the principal axes of the words in each panel, turned
    so that the mean step goes to the right."""
    drawn, axes = canvas(1, 2, width=8.0, height=4.4)
    unit = F.normalize(vectors.float(), dim=1)
    for ax, forms in zip(axes, ("capital country currency", "positive comparative"), strict=True):
        pairs = [lexeme.split()[:2] for lexeme in LEXEMES[forms].split(", ")[:SHOWN]]
        x = unit[[corpus.words.index(word) for pair in pairs for word in pair]]
        x = x - x.mean(0)
        xy = (x @ torch.linalg.svd(x, full_matrices=False)[2][:2].T).view(SHOWN, 2, 2)
        across, up = F.normalize((xy[:, 1] - xy[:, 0]).mean(0), dim=0).tolist()
        xy = xy @ torch.tensor([[across, -up], [up, across]])
        for pair, ends in zip(pairs, xy.tolist(), strict=True):
            ax.plot(*zip(*ends, strict=True), color=INK, linewidth=0.8, linestyle="--")
            leftmost = min(x for x, _ in ends)
            for word, at, color in zip(pair, ends, PALETTE, strict=False):
                ax.plot(*at, "o", markersize=4, color=color)
                left = at[0] == leftmost  # words stand outside, so that no line crosses them
                ax.annotate(
                    word,
                    at,
                    xytext=(-5 if left else 5, 0),
                    textcoords="offset points",
                    ha="right" if left else "left",
                    va="center",
                    color=color,
                )
        ax.set(title=" to ".join(forms.split()[:2]), xticks=[], yticks=[])
        ax.margins(0.22, 0.1)
    caption = (
        "Skip-gram vectors of pairs that never stood in one sentence, on two principal axes, and "
        "with the mean step to the right: each step has nearly its direction"
    )
    return figure("parallelogram", drawn, caption)


def accuracy(curves: Mapping[str, Sequence[Tensor]]) -> Figure:
    """For each arm and seed [8, 3]: parameters accessed so far, and % of right answers."""
    drawn, axes = canvas(1, 2, width=8.0, height=3.4)
    for arm, of_seeds in curves.items():
        accessed, *right = torch.stack(list(of_seeds)).mean(0).T.tolist()
        for ax, percent in zip(axes, right, strict=True):
            ax.plot(accessed, percent, marker="o", markersize=3, label=arm)
    for ax, title in zip(axes, ("semantic", "syntactic"), strict=True):
        ax.set(xscale="log", xlabel="parameters accessed", title=f"{title} questions")
        ax.set_ylim(-2, 102)
    axes[0].set_ylabel("% answered right")
    axes[0].legend(fontsize=8)
    caption = (
        "Right answers during training, the mean of all seeds, against what training has cost so "
        "far (epochs x words x Q)"
    )
    return figure("accuracy", drawn, caption)
