"""The figures of impl/bahdanau.py."""

from collections.abc import Mapping

from torch import Tensor

from impl.kit import Figure
from impl.kit.figures import INK, PALETTE, canvas, figure

NOUNS = dict(
    area="zone", house="maison", car="voiture", table="table",
    flower="fleur", key="clef", city="ville", school="école",
)  # fmt: skip
ADJECTIVES = dict(
    European="européenne", economic="économique", green="verte", black="noire",
    heavy="lourde", warm="chaude", blue="bleue", empty="vide",
)  # fmt: skip


def say(i: int, words: int, side: int) -> str:
    """Word i of the source (side 0) or of the target (1)."""
    if i < 2:
        return "."
    kind, n = divmod(i - 2, words)
    known = [*(NOUNS, ADJECTIVES)[kind].items()]
    return known[n][side] if n < len(known) else f"{('noun', 'adjective')[kind]} {n}"


def alignment_figure(arrays: Mapping[str, Tensor], words: int) -> Figure:
    """Fig. 3: weights `alpha` [B, T, T] of two sentences `x` [B, T], a row for each target word;
    `source_of` [B, T] is the word that it translates."""
    moved = (arrays["source_of"] != arrays["source_of"].sort(1).values).sum(1)
    drawn, axes = canvas(1, 2, width=9.0, height=4.4)
    for ax, b in zip(axes, moved.argsort(descending=True)[:2].tolist(), strict=True):
        x, source_of = arrays["x"][b], arrays["source_of"][b]
        image = ax.imshow(arrays["alpha"][b].numpy(), cmap="Blues", vmin=0, vmax=1)
        ax.scatter(source_of, range(len(x)), marker="s", s=230, facecolors="none", color=PALETTE[1])
        ax.set(xticks=range(len(x)), yticks=range(len(x)))
        ax.set_xticklabels([say(i, words, 0) for i in x.tolist()], rotation=90, fontsize=8)
        ax.set_yticklabels([say(i, words, 1) for i in x[source_of].tolist()], fontsize=8)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
    bar = drawn.colorbar(image, ax=axes, shrink=0.8)
    bar.ax.tick_params(colors=INK, labelsize=8)
    bar.outline.set_edgecolor(INK)
    bar.set_label("weight", color=INK, size=8)
    caption = (
        "Where the decoder looks as it writes each word of a French sentence, from the top down. "
        "Nobody told it; framed is the word that it translates"
    )
    return figure("alignment", drawn, caption)


def lengths_figure(means: Mapping[str, Tensor], short: int, long: int) -> Figure:
    """Fig. 2: for each arm lengths and BLEU, [L, 2]."""
    drawn, ax = canvas()
    for (arm, line), color in zip(means.items(), (*PALETTE[:2], PALETTE[2]), strict=True):
        ax.plot(*line.T, marker="o", markersize=4, color=color, label=arm)
    for length, text in (
        (short, "longest for\n“trained shorter”"),
        (long, "longest for\nthe others"),
    ):
        ax.axvline(length, color=INK, linewidth=0.8, linestyle=":")
        ax.annotate(
            text, (length, 102), xytext=(4, 0), textcoords="offset points", fontsize=7, color=INK
        )
    ax.set(xlabel="words of a sentence", ylabel="BLEU, mean of the seeds", ylim=(0, 115))
    ax.legend(loc="lower left", fontsize=8)
    caption = "Translations by the length of the sentence, as in Fig. 2"
    return figure("lengths", drawn, caption)
