"""LSTM: gates and cells of a trained net while it reads, and how much of an error arrives when."""

from collections.abc import Mapping

from torch import Tensor

from impl.kit import Figure
from impl.kit.figures import INK, PALETTE, canvas, figure

MARKED = PALETTE[1]
UNMARKED = INK + "80"  # half transparent


def memory(arrays: Mapping[str, Tensor]) -> Figure:
    """`x` [T, 2], `gates` [T, 2K] and `states` [T, K, S] of an LSTM that reads a sequence."""
    x, gates, s = arrays["x"], arrays["gates"], arrays["states"]
    T, K, S = s.shape
    drawn, axes = canvas(3, 1, height=5.2)
    colors = [MARKED if marker == 1 else UNMARKED for marker in x[:, 1]]
    axes[0].bar(range(T), x[:, 0].tolist(), color=colors)
    axes[0].set(ylabel="value", title="the two marked values are to be added at the end")
    for block in range(K):
        for kind, style, column in (("input", "-", block), ("output", ":", K + block)):
            label = f"{kind} gate, block {block + 1}"
            axes[1].plot(gates[:, column], style, color=PALETTE[block], label=label)
        for cell in range(S):
            label = f"block {block + 1}, cell {cell + 1}"
            style = "--" if cell else "-"
            axes[2].plot(s[:, block, cell], style, color=PALETTE[block], label=label)
    axes[1].set(ylabel="gate", ylim=(-0.03, 1.03))
    axes[2].set(ylabel="cell state", xlabel="step")
    for ax in axes[1:]:
        ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    caption = "A trained LSTM reads: gates open at the marked values, cells hold them to the end"
    return figure("memory", drawn, caption)


def error_flow(log10_errors: Mapping[str, Tensor]) -> Figure:
    """For each net the logarithm of the error over that at the end, [T] from lag 0 on."""
    drawn, ax = canvas()
    for title, decades in log10_errors.items():
        style, layer = (":", 3) if "truncated" in title else ("-", 2)
        ax.plot((10**decades).tolist(), style, label=title, zorder=layer)
    ax.set(xlabel="q, steps back from the end", ylabel="error, over that at the end", yscale="log")
    ax.legend()
    caption = "How much of the error at the end arrives q steps earlier (geometric mean)"
    return figure("error-flow", drawn, caption)
