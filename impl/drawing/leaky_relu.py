"""The figures of impl/leaky_relu.py."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from impl.kit import Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure


def probabilities(tensors: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    drawn, ax = canvas()
    for arm, each in tensors.items():
        for name, share in each.items():
            if name.startswith("active"):
                label = arm + (", both ends off" if name.endswith("both") else "")
                ax.plot(share.sort(descending=True).values.numpy(), label=label)
    ax.set(xlabel="unit of the last hidden layer, sorted", ylim=(-0.02, 1.02))
    ax.set_ylabel("activation probability")
    ax.legend()
    caption = "The share of test images for which each unit is active, in one net of each kind"
    return figure("activation-probability", drawn, caption)


def codes(outputs: Mapping[str, Tensor]) -> Figure:
    """What one net's last hidden layer makes of images: units across, images down, [B, H]."""
    drawn, axes = canvas(1, len(outputs), height=3.4)
    for ax, (arm, h) in zip(axes, outputs.items(), strict=True):
        shown = h[:, h.mean(0).argsort(descending=True)]
        limit = float(h.abs().quantile(0.98))
        ax.imshow(
            shown.numpy(),
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            aspect="auto",
            interpolation="nearest",
        )
        ax.set(title=arm, xlabel="unit", xticks=[], yticks=[])
    axes[0].set_ylabel("image")
    caption = (
        "The codes of 80 test images, units sorted by their mean; red is above zero, blue below"
    )
    return figure("codes", drawn, caption)


def dead(rows: Sequence[Row]) -> Figure:
    drawn, ax = canvas(height=2.6)
    judged = [row for row in rows if row.get("judged") and row["deepest"]]
    for i, arm in enumerate(dict.fromkeys(str(row["arm"]) for row in judged)):
        counts = [int(row["dead_units"]) for row in judged if row["arm"] == arm]
        at = [seed + 0.25 * (i - 1) for seed in range(len(counts))]
        bars = ax.bar(at, counts, 0.23, color=PALETTE[i], label=arm)
        ax.bar_label(bars, color=INK, fontsize=7)
    ax.set(xlabel="seed", ylabel="units without a gradient", xticks=[])
    ax.legend()
    return figure("dead-units", drawn, "Hidden units to which no test image sends a gradient")
