"""The figures of impl/grokking.py."""

from collections.abc import Sequence

import torch
from torch import Tensor

from impl.kit import Chosen, Figure
from impl.kit.figures import INK, PALETTE, canvas, figure

OWN, RIGHT, WRONG = "#c3c8cf", PALETTE[0], "#f0d9c8"


def accuracies(chosen: Sequence[Chosen]) -> Figure:
    """Fig. 1 left: the nets' own pairs and the unseen ones, for each share and each arm."""
    curves: dict[str, Tensor] = {}
    for one in chosen:
        share = f"{100 * float(one.job['share']):g} % of the table"
        curves.setdefault(f"{share}, {one.arm}", one.tensors["curve"])
    drawn, axes = canvas(1, len(curves), width=2.9 * len(curves), height=3.2)
    for ax, (title, curve) in zip(drawn.axes, curves.items(), strict=True):
        step, train, _, test = curve.T.tolist()
        ax.plot(step, [100 * value for value in train], color=PALETTE[1], label="its own pairs")
        ax.plot(step, [100 * value for value in test], color=PALETTE[0], label="unseen pairs")
        ax.set(xscale="log", xlabel="update", ylim=(-3, 103), title=title)
    axes[0].set_ylabel("% right")
    lines = axes[0].get_lines()
    drawn.legend(handles=lines, loc="outside lower center", ncols=2, frameon=False, labelcolor=INK)
    caption = (
        "As in Fig. 1 left: a net knows its own pairs by heart, and long afterwards the others "
        "come, sooner where it sees more of the table; without weight decay only some of them do"
    )
    return figure("accuracies", drawn, caption)


def filling(chosen: Sequence[Chosen], p: int) -> Figure:
    """The table of the first net while it is filled in."""
    from matplotlib.colors import ListedColormap

    one = chosen[0]
    known, *pictures = one.tensors["tables"]
    titles = ["when it knows its own pairs", "when half of the others are right"]
    titles = [*titles[: len(pictures) - 1], "at the end"]
    drawn, _ = canvas(1, len(pictures), width=2.9 * len(pictures), height=3.4)
    for ax, title, right in zip(drawn.axes, titles, pictures, strict=True):
        cells = torch.where(known, 0, torch.where(right, 1, 2))
        sheet = torch.zeros(p * p, dtype=cells.dtype)
        sheet[-len(cells) :] = cells  # without the pairs that an operation leaves out
        colours = ListedColormap([OWN, RIGHT, WRONG])
        ax.imshow(sheet.reshape(p, p).numpy(), cmap=colours, vmin=0, vmax=2)
        ax.set(title=title, xticks=[], yticks=[])
    drawn.axes[0].set_ylabel("x")
    for ax in drawn.axes:
        ax.set_xlabel("y")
    caption = (
        "The table of sums while a net fills it in: grey what it is shown, blue an unseen pair "
        "that it has right, pale one that it has wrong"
    )
    return figure("table", drawn, caption)


def plane(W: Tensor) -> tuple[Tensor, int]:
    """The rows [n, H] seen along their strongest wave, [n, 2], and its frequency."""
    waves = torch.fft.rfft(W - W.mean(0), dim=0)
    k = int(waves.abs().square().sum(1).argmax())
    axes, _ = torch.linalg.qr(torch.stack([waves[k].real, waves[k].imag], 1))
    return W @ axes, k


def circle(chosen: Sequence[Chosen]) -> Figure:
    """Fig. 3 right: the rows of the output layer, with a line from each residue to the next."""
    arms = {one.arm: one for one in chosen if one is not chosen[0]}
    drawn, _ = canvas(1, len(arms), width=8.0, height=4.0)
    for ax, (arm, one) in zip(drawn.axes, arms.items(), strict=True):
        points, k = plane(one.tensors["W"])
        n = len(points)
        stride = next((s for s in range(1, n) if s * k % n == 1), 1)
        order = [i * stride % n for i in range(n + 1)]
        ax.plot(*points[order].T.tolist(), color=PALETTE[0], linewidth=0.8, alpha=0.6)
        for residue, (x, y) in enumerate(points.tolist()):
            ax.annotate(str(residue), (x, y), ha="center", va="center", fontsize=8, color=INK)
        ax.set(
            title=f"{arm}: neighbours are {min(stride, n - stride)} apart",
            xticks=[],
            yticks=[],
            aspect="equal",
        )
        ax.margins(0.12)
    caption = (
        "What the output layer says of each residue, seen along its strongest wave (Fig. 3 has "
        "t-SNE). Nobody told the nets that these are numbers"
    )
    return figure("circle", drawn, caption)
