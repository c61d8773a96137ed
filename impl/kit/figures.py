"""Drawing, so that an implementation only says what to draw.

There is no global state: matplotlib's pyplot isn't used.
Pictures are transparent with mid-grey ink, so that they sit on a light page and on a dark one.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from impl.kit.events import Figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

INK = "#808792"
PALETTE = (
    "#3b82c4",
    "#e07b39",
    "#2f9e77",
    "#a56cc1",
    "#c9a227",
    "#d1495b",
)  # the idea first, its baseline second


def canvas(
    rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 3.2
) -> tuple["Canvas", Any]:
    """A figure in the house's style and its axes: one, or an array of them.

    Sizes are in inches, at 144 dots each.
    """
    from cycler import cycler
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    inked = ("axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "text.color")
    style: Any = dict.fromkeys(inked, INK) | {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=PALETTE),
        "font.size": 9,
    }
    with rc_context(style):
        figure = Canvas(figsize=(width, height), dpi=144, layout="constrained")
        axes = figure.subplots(rows, columns)
    figure.patch.set_alpha(0.0)
    for ax in axes.flat if hasattr(axes, "flat") else [axes]:
        ax.patch.set_alpha(0.0)
    return figure, axes


def figure(name: str, drawn: "Canvas", caption: str, step: int | None = None) -> Figure:
    """What was drawn on a canvas, as an event to yield."""
    for ax in drawn.axes:
        ax.title.set_fontsize(9)
        if legend := ax.get_legend():
            legend.set(frame_on=False)
            for label in [legend.get_title(), *legend.get_texts()]:
                label.set_color(INK)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    return Figure(name, caption, buffer.getvalue(), step)


def tiles(images: Tensor, columns: int, *, symmetric: bool = False) -> Tensor:
    """[N, H, W] to one [rows * (H + 1), columns * (W + 1)] sheet in 0..1.

    Each tile is stretched to its own range; `symmetric` keeps zero at mid-grey, which weights need
    and photographs don't. The space between tiles is NaN.
    """
    N, H, W = images.shape
    x = images.detach().float().cpu().reshape(N, -1)
    if symmetric:
        x = 0.5 + 0.5 * x / x.abs().amax(1, keepdim=True).clamp_min(1e-12)
    else:
        low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
        x = (x - low) / (high - low).clamp_min(1e-12)
    rows = -(-N // columns)
    sheet = torch.full((rows * columns, H + 1, W + 1), torch.nan)
    sheet[:N, :H, :W] = x.reshape(N, H, W)
    return (
        sheet.reshape(rows, columns, H + 1, W + 1)
        .transpose(1, 2)
        .reshape(rows * (H + 1), columns * (W + 1))
    )


def sheets(
    name: str,
    panels: dict[str, Tensor],
    caption: str,
    *,
    columns: int = 8,
    symmetric: bool = False,
    step: int | None = None,
) -> Figure:
    """Side by side, one sheet of small grey images [N, H, W] for each title.

    They show filters, samples or reconstructions, for example.
    """
    drawn, axes = canvas(
        1, len(panels), width=7.0, height=0.4 + 7.0 / len(panels) * _aspect(panels, columns)
    )
    for ax, (title, images) in zip(_list(axes), panels.items(), strict=True):
        ax.imshow(
            tiles(images, columns, symmetric=symmetric).numpy(),
            cmap="RdBu_r" if symmetric else "gray",
            vmin=0,
            vmax=1,
        )
        ax.set_title(title)
        ax.set_axis_off()
    return figure(name, drawn, caption, step)


def curves(
    name: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    caption: str,
    *,
    x: str,
    y: str,
    log: bool = False,
) -> Figure:
    """One line for each title, over points (x, y)."""
    drawn, ax = canvas()
    for title, points in lines.items():
        ax.plot(*zip(*points, strict=True), label=title, marker="o", markersize=3)
    ax.set(xlabel=x, ylabel=y, yscale="log" if log else "linear")
    ax.legend()
    return figure(name, drawn, caption)


def _list(axes: Any) -> list[Any]:
    return list(axes.flat) if hasattr(axes, "flat") else [axes]


def _aspect(panels: dict[str, Tensor], columns: int) -> float:
    return max(
        -(-len(images) // columns) * images.shape[1] / (columns * images.shape[2])
        for images in panels.values()
    )
