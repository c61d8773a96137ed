"""The figures of impl/gru.py."""

from collections.abc import Mapping

import torch
from torch import Tensor

from impl.kit import Figure
from impl.kit.figures import INK, PALETTE, canvas, figure
from impl.kit.phrases import Corpus

GENDERS = {
    **dict.fromkeys(("le", "un", "mon", "ton"), "masculine"),
    **dict.fromkeys(("la", "une", "ma", "ta"), "feminine"),
}


def gates_figure(arrays: Mapping[str, Tensor], corpus: Corpus) -> Figure:
    """Gates `z`, `r` and states `h` [H, T] of an encoder over a `phrase` [T]; units are sorted by
    their mean z."""
    words = [corpus.words[0][i] for i in arrays["phrase"].tolist()]
    order = arrays["z"].mean(1).argsort(descending=True)
    drawn, axes = canvas(1, 3, height=3.6)
    panels = (
        ("update gate z: 1 keeps", "z", 0.0, "viridis"),
        ("reset gate r: 0 ignores", "r", 0.0, "viridis"),
        ("state h", "h", -1.0, "RdBu_r"),
    )
    for ax, (title, name, low, colors) in zip(axes, panels, strict=True):
        values = arrays[name][order].numpy()
        image = ax.imshow(values, aspect="auto", cmap=colors, vmin=low, vmax=1)
        ax.set(title=title, xticks=range(len(words)), yticks=[])
        ax.set_xticklabels(words, rotation=90, fontsize=7)
        bar = drawn.colorbar(image, ax=ax, orientation="horizontal", shrink=0.8)
        bar.ax.tick_params(colors=INK)
    axes[0].set_ylabel("units, the longest memory on top")
    caption = "What each unit of the encoder does as it reads a phrase that it wasn't trained on"
    return figure("gates", drawn, caption)


def phrases_figure(arrays: Mapping[str, Tensor], corpus: Corpus) -> Figure:
    """Sec. 4.4: the summaries `c` [P, H] of the phrases at `test` [P], in two directions."""
    c, at = arrays["c"], arrays["test"]
    centred = c - c.mean(0)
    xy = centred @ torch.linalg.svd(centred, full_matrices=False)[2][:2].T
    drawn, ax = canvas(width=7.0, height=5.0)
    french = [corpus.say(phrase, 1).split() for phrase in corpus.target[at]]
    genders = [next((GENDERS[w] for w in phrase if w in GENDERS), "none") for phrase in french]
    for gender, color in zip(("masculine", "feminine", "none"), (*PALETTE[:2], INK), strict=True):
        chosen = torch.tensor([each == gender for each in genders])
        if chosen.any():
            ax.scatter(*xy[chosen].T, s=12, color=color, alpha=0.7, label=gender)
    for i in range(0, len(at), 8):
        text = corpus.say(corpus.source[at[i]], 0)[:32]
        ax.annotate(text, xy[i].tolist(), fontsize=6, color=INK)
    ax.set(xlabel="first principal direction of c", ylabel="second")
    ax.legend(fontsize=8, title="first article in the French")
    caption = "Unseen phrases as c sums them up; the encoder reads English, without genders"
    return figure("phrases", drawn, caption)
