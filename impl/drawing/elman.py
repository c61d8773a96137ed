"""The figures of impl/elman.py."""

from collections.abc import Mapping

import torch
from torch import Tensor

from impl.kit import Figure
from impl.kit.figures import INK, PALETTE, canvas, figure

# The least errors of a net that knows the last two bits and the rule, but not which bits are due:
# it answers 2/3 where the two differ, 1/3 where they are equal.
LEAST_AT_THIRD, LEAST_AT_OTHERS = 1 / 9, 5 / 18


def twelve_bits(errors: Mapping[str, Tensor]) -> Figure:
    """As in Fig. 3: the error at each of 12 bits, [seeds, 12] for each arm."""
    drawn, ax = canvas()
    bits = range(1, 13)
    for arm, e in errors.items():
        (line,) = ax.plot(bits, e.mean(0), marker="o", markersize=3, label=arm)
        ax.fill_between(bits, e.amin(0), e.amax(0), color=line.get_color(), alpha=0.15, linewidth=0)
    least = [LEAST_AT_OTHERS if bit % 3 else LEAST_AT_THIRD for bit in bits]
    label = "best without knowing which bits are due"
    ax.plot(bits, least, "_", markersize=14, color=PALETTE[2], label=label)
    ax.set(ylabel="mean squared error", ylim=(0, None), xticks=bits)
    ax.set(xlabel="bit (every third is the XOR of the two before)")
    ax.legend(loc="lower left", fontsize=8)
    caption = "Error of predicting each of 12 bits: mean, least and greatest of the seeds"
    return figure("twelve-bits", drawn, caption)


def hidden_units(arrays: Mapping[str, Tensor]) -> Figure:
    """Two hidden units after each bit of `z` [T], `before` and `after` learning [T, H], and the
    line where the prediction turns, from the weights to the output `out` [H + 1]."""
    z = arrays["z"]
    drawn, axes = canvas(1, 2, width=7.0, height=3.6)
    last_two = 2 * z.roll(1) + z
    for ax, title in zip(axes, ("before", "after"), strict=True):
        h = arrays[title]
        for code, color in enumerate((PALETTE[0], PALETTE[1], PALETTE[5], PALETTE[2])):
            at = (last_two == code).nonzero().flatten()[1:]
            label = f"last two bits {code:02b}"
            ax.scatter(h[at, 0], h[at, 1], s=9, alpha=0.5, color=color, label=label)
        ax.set(title=f"{title} learning", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        ax.set(xlabel="hidden unit 1", ylabel="hidden unit 2")
    first, second, *_, bias = arrays["out"].tolist()
    edge = torch.tensor([-0.1, 1.1])
    turn = -(first * edge + bias) / second
    axes[-1].plot(edge, turn, color=INK, linestyle="--", label="prediction 1/2")
    axes[-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    caption = "What the context holds after each bit: beyond the line the net expects a 1"
    return figure("hidden-units", drawn, caption)
