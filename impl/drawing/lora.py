"""The figures of impl/lora.py."""

from collections.abc import Mapping, Sequence
from statistics import mean

import torch
from torch import Tensor

from impl.kit import Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure

TITLES = {"near": "a near task: rotated digits", "far": "a far task: permuted pixels"}


def ranks(rows: Sequence[Row]) -> Figure:
    """The test error on each task by rank, beside that of the whole net."""
    drawn, axes = canvas(1, 2, width=8.0, height=3.4)
    for ax, task in zip(axes, TITLES, strict=True):
        judged = [row for row in rows if row.get("selected_by") == f"{task}_val_error"]
        errors: dict[int, list[float]] = {}
        for row in judged:
            errors.setdefault(int(row.get("r", 0)), []).append(float(row[f"{task}_test_error"]))
        whole = errors.pop(0)
        before = mean(float(row[f"{task}_error_before"]) for row in judged)
        tried = sorted(errors)
        for at, r in enumerate(tried):
            ax.plot(
                [at] * len(errors[r]), errors[r], "o", color=PALETTE[0], markersize=3, alpha=0.5
            )
        means = [mean(errors[r]) for r in tried]
        ax.plot(range(len(tried)), means, color=PALETTE[0], label="LoRA")
        at = len(tried)
        ax.plot([at] * len(whole), whole, "o", color=PALETTE[1], markersize=3, alpha=0.5)
        ax.plot(at, mean(whole), "D", color=PALETTE[1], label="all weights trained")
        ax.set_xticks(range(at + 1), [*map(str, tried), "all"])
        ax.set(xlabel="rank", title=f"{TITLES[task]}, {before:.0f}% before", xlim=(-0.5, at + 0.5))
        ax.set_ylim(0, 1.1 * max([*whole, *(value for each in errors.values() for value in each)]))
    axes[0].set_ylabel("% test error")
    axes[0].legend(loc="lower left")
    caption = (
        "Errors on a new task by the rank of what is added to the frozen net; each dot is a net, "
        "with the learning rate that suited it best on validation images"
    )
    return figure("ranks", drawn, caption)


def spectra(changes: Sequence[Mapping[str, Tensor]]) -> Figure:
    """How much of the change that training the whole net makes would fit into each rank."""
    drawn, ax = canvas()
    for (task, title), colour in zip(TITLES.items(), PALETTE, strict=False):
        added = torch.cat([each[task] for each in changes if task in each])
        squares = torch.linalg.svdvals(added).square()
        shares = 100 * (squares.cumsum(1) / squares.sum(1, keepdim=True)).mean(0)
        steps = range(1, len(shares) + 1)
        ax.plot(steps, shares.tolist(), "o-", markersize=3, color=colour, label=title)
    ax.set(xlabel="rank", ylabel="% of the squared change", ylim=(0, 103))
    ax.legend(loc="lower right")
    caption = (
        "All weights were trained. What this added to the matrices W_q and W_v, and how much of "
        "it, by squared singular values, a matrix of each rank could hold; the mean of all nets"
    )
    return figure("spectra", drawn, caption)


def tails(rows: Sequence[Row]) -> Figure:
    """What each rank leaves of a change of full rank, and the least that it can leave."""
    drawn, ax = canvas()
    rows = [row for row in rows if "left" in row and "step" in row]
    for seed in sorted({int(row["seed"]) for row in rows}):
        mine = sorted((row for row in rows if row["seed"] == seed), key=lambda row: row["step"])
        steps = [int(row["step"]) for row in mine]
        first = seed == rows[0]["seed"]
        ax.plot(
            steps,
            [100 * float(row["tail"]) for row in mine],
            color=INK,
            linewidth=0.8,
            label="sum of the squares of the other singular values" if first else None,
        )
        ax.plot(steps, [100 * float(row["left"]) for row in mine], "o", color=PALETTE[0],
                markersize=3, label="LoRA, trained" if first else None)  # fmt: skip
    ax.set(xlabel="rank", ylabel="% of the change not learnt", ylim=(-3, 100), xticks=steps)
    ax.legend(loc="upper right")
    caption = (
        "A linear net that is to change by a random matrix, which has full rank. No rank does "
        "better than the singular values allow, and training gets there"
    )
    return figure("tails", drawn, caption)
