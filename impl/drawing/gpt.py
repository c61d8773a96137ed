"""The figures of impl/gpt.py."""

from collections.abc import Sequence
from statistics import mean

import torch
from torch import Tensor

from impl.kit import Chosen, Figure, Row
from impl.kit.agreement import Agreement
from impl.kit.figures import INK, PALETTE, canvas, figure


def transfer(rows: Sequence[Row]) -> Figure:
    """Fig. 2, left: the error by the layers carried over, beside nets trained otherwise."""
    judged = [row for row in rows if row.get("judged") and "test_error" in row]
    tried = sorted({int(row["transferred"]) for row in judged if "transferred" in row})
    at: dict[tuple[str, int], int] = {("scratch", 0): 0, ("lstm", 0): len(tried) + 1}
    at |= {("pretrained", layers): i for i, layers in enumerate(tried, 1)}
    names = [f"{n} layer{'s' * (n > 1)}" if n else "embeddings" for n in tried]
    drawn, ax = canvas(height=3.4)
    for n, colour in zip(sorted({int(row["n"]) for row in judged}), PALETTE, strict=False):
        errors: dict[int, list[float]] = {}
        for row in judged:
            if row["n"] == n:
                x = at[str(row["arm"]), int(row.get("transferred", 0))]
                errors.setdefault(x, []).append(float(row["test_error"]))
        for x, values in errors.items():
            ax.plot([x] * len(values), values, "o", color=colour, markersize=3, alpha=0.5)
        means = {x: mean(values) for x, values in sorted(errors.items())}
        inner = list(means)[1:-1]
        ax.plot(inner, [means[x] for x in inner], color=colour, label=f"{n} labels")
        ends = [min(means), max(means)]
        ax.plot(ends, [means[x] for x in ends], "D", color=colour, markersize=5)
    ax.set_xticks(range(len(at)), ["not\npre-trained", *names, "LSTM,\npre-trained"])
    ax.set(ylabel="% of sentences misjudged", ylim=(0, None))
    ax.legend()
    caption = (
        "Is a sentence right? Nets tuned on few labels, by how much of a pre-trained Transformer "
        "they begin with; each dot is a seed. The net that wasn't pre-trained got as many updates"
    )
    return figure("transfer", drawn, caption)


def pretraining(chosen: Sequence[Chosen]) -> Figure:
    """Fig. 2, right: what a language model knows without any label, as it is trained."""
    drawn, axes = canvas(1, 2, width=7.6, height=3.2)
    names = {"pretrained": "Transformer", "lstm": "LSTM"}
    for (arm, name), colour in zip(names.items(), PALETTE, strict=False):
        curves = {one.seed: one.tensors["curve"] for one in chosen if one.arm == arm}
        steps = next(iter(curves.values()))[:, 0].tolist()
        for ax, column in zip(axes, (1, 2), strict=True):
            for curve in curves.values():
                ax.plot(steps, curve[:, column].tolist(), color=colour, linewidth=0.6, alpha=0.4)
            average = torch.stack([curve[:, column] for curve in curves.values()]).mean(0)
            ax.plot(steps, average.tolist(), color=colour, linewidth=1.8, label=name)
    axes[0].set(ylabel="-log P of a word", xlabel="updates of pre-training")
    axes[1].set(ylabel="% of sentences misjudged", xlabel="updates of pre-training", ylim=(0, 55))
    axes[0].set_title("the loss")
    axes[1].set_title("which sentences it finds improbable, no label seen")
    axes[0].legend()
    return figure("pretraining", drawn, "A language model on its way: means, and thin each seed")


def spell(words: Tensor, language: Agreement) -> list[str]:
    """Each gender is a letter, large for nouns and small for verbs, with the number of the word."""
    said = []
    for word, kind in zip(words.tolist(), language.kinds(words).tolist(), strict=True):
        letter = chr(ord("A" if kind < language.genders else "a") + kind % language.genders)
        said.append(f"{letter}{(word - 1) % language.words + 1}" if word else "-")
    return said


def continuations(chosen: Sequence[Chosen], language: Agreement, begun: int) -> Figure:
    """What the first net writes after beginnings that it has never read."""
    written = next(one.tensors["written"] for one in chosen if one.arm == "pretrained")
    fits, is_noun = language.agrees(written), language.is_noun(written)
    drawn, ax = canvas(height=0.6 + 0.42 * len(written))
    for row, words in enumerate(written):
        for t, name in enumerate(spell(words, language)):
            gender = int(language.kinds(words[t])) % language.genders
            frame = {"boxstyle": "round", "fc": "none", "ec": PALETTE[5], "lw": 1.4}
            ax.text(
                t, -row, name, ha="center", va="center", fontsize=9,
                color=INK if t < begun else PALETTE[gender % len(PALETTE)],
                weight="bold" if is_noun[row, t] else "normal",
                bbox=None if fits[row, t] else frame,
            )  # fmt: skip
    ax.axvline(begun - 0.5, color=INK, linewidth=0.8, linestyle=":")
    ax.set(xlim=(-0.6, language.T - 0.4), ylim=(-len(written) + 0.4, 0.6))
    ax.set_axis_off()
    caption = (
        "Beginnings (left), and how a pre-trained net goes on. Capitals are nouns, which open a "
        "clause; small letters are verbs, which close the last open one and must have its letter. "
        "In a frame is what doesn't agree"
    )
    return figure("continuations", drawn, caption)
