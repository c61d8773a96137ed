"""The figures of impl/resnet.py."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impl.kit import Figure, Row
from impl.kit.figures import PALETTE, canvas, figure, sheets

ByArm = Mapping[str, Sequence[Mapping[str, Tensor]]]  # for each arm what its chosen trials left


def curves_by_depth(rows: Sequence[Row], arms: Sequence[str]) -> Figure:
    """The training errors on the way, of the trials that are judged."""
    judged = {(row["arm"], row["seed"]): row["lr"] for row in rows if row.get("judged")}
    drawn, axes = canvas(1, 2)
    for ax, kind in zip(axes, ("plain", "residual"), strict=True):
        for arm, colour in zip([arm for arm in arms if kind in arm], PALETTE, strict=False):
            for i, seed in enumerate(sorted({seed for other, seed in judged if other == arm})):
                setting = f"lr {judged[arm, seed]}"
                key = {"arm": arm, "seed": seed, "setting": setting}
                line = [row for row in rows if "step" in row and key.items() <= row.items()]
                steps, errors = [[row[name] for row in line] for name in ("step", "running_error")]
                label = None if i else arm
                ax.plot(steps, errors, color=colour, alpha=0.7, linewidth=1, label=label)
        ax.set(title=kind, xlabel="update", ylim=(0, 100))
        ax.legend(fontsize=8)
    axes[0].set_ylabel("% training error")
    caption = "Training error of nets of two depths, each seed a line (as in Fig. 6)"
    return figure("training", drawn, caption)


def responses_by_layer(trials: ByArm) -> Figure:
    drawn, ax = canvas()
    for arm, tensors in trials.items():
        std = torch.stack([t["responses"] for t in tensors]).mean(0).tolist()
        ax.plot(range(1, len(std) + 1), std, label=arm, marker="o", markersize=2)
    ax.set(xlabel="layer", ylabel="standard deviation", yscale="log")
    ax.legend(fontsize=8)
    caption = "How strongly each layer responds, after batch normalization (as in Fig. 7)"
    return figure("responses", drawn, caption)


def on_the_way(trials: ByArm) -> Figure:
    maps = {arm: trials[arm][0]["maps"] for arm in ("plain-deep", "residual-deep")}
    caption = "One image on its way: four channels (rows) after each of the first blocks"
    return sheets("on-the-way", maps, caption, columns=len(maps["plain-deep"]) // 4)
