"""The figures of impl/two_rings.py: the plane, and what nets make of it.

A net here has `represent`, [N, 2] to its last hidden layer [N, H], and gives its output when
called, [N]; all in double precision.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from impl.kit import Figure
from impl.kit.figures import INK, PALETTE, canvas, figure

INSIDE, OUTSIDE = PALETTE[0], PALETTE[1]
REACH = 2.5  # how far pictures reach from the centre
STARTS = 5  # nets that are drawn
CELLS = 44  # of the grid that a landscape is made of, along each side
BANDS = 10  # near and far: a hill hides what lies behind it

Points = tuple[Tensor, Tensor]  # places [N, 2] and labels [N], 1 inside and 0 outside


class Net(Protocol):
    def represent(self, x: Tensor) -> Tensor: ...
    def __call__(self, x: Tensor) -> Tensor: ...


Pictures = Mapping[int, Net]  # a net after some numbers of updates


def figures(
    starts: Sequence[Pictures],
    points: Points,
    line: Tensor,
    in_polar: Tensor,
) -> Iterator[Figure]:
    """All, of some starts; the points are those of the first. `line` [3] is the best in the plane,
    `in_polar` [3] a linear classifier's in polar coordinates."""
    with torch.no_grad():
        last = max(starts[0])
        yield _three_coordinates(points, line, in_polar, starts[0][last])
        yield from _unfolding(starts[0], points)
        yield _moments(starts)
        yield _contours(starts)


def grid(side: int) -> Tensor:
    """Corners of side x side cells over the plane, row by row: [(side + 1)^2, 2]."""
    edge = REACH * torch.linspace(-1, 1, side + 1).double()
    return torch.stack(torch.meshgrid(edge, edge, indexing="xy"), -1).reshape(-1, 2)


def spectator(net: Net) -> Callable[[Tensor], Tensor]:
    """A linear view of a net's hidden space: points of the plane [N, 2] to where one sees them
    (right, back, up) [N, 3].

    Up is what the output unit reads off, so the plane in which it changes its mind is a level floor
    at 0. Right and back are the directions that fit the plane's two coordinates best, stretched to
    the same width: what the layer still knows of where a point was. A linear view bends nothing
    straight: all that looks bent was bent by the hidden layer.
    """
    places = grid(20)
    places = places[places.norm(dim=1) <= REACH]
    h = _with_one(net.represent(places))
    w = torch.linalg.lstsq(h, places).solution  # [H + 1, 2]
    spread, axes = torch.linalg.eigh((h @ w).T @ (h @ w) / len(h))
    w = w @ axes @ spread.clamp_min(1e-9).rsqrt().diag() @ axes.T
    return lambda x: torch.cat([_with_one(net.represent(x)) @ w, net(x)[:, None]], 1)


def landscape(ax: Any, net: Net, points: Points | None = None, side: int = CELLS) -> None:
    """The disc as a net's hidden layer sees it: cells of a grid, the far ones first, those above
    the floor over it, and the points on it."""
    from matplotlib.collections import PolyCollection

    places, view = grid(side), spectator(net)
    cells = _cells(side)
    cells = cells[places[cells].norm(dim=-1).amax(1) <= REACH]
    at = view(places)[cells]  # [cells, 4 corners, 3]
    at = at[at[..., 1].mean(1).argsort(descending=True)]
    depth, up = at[..., 1].mean(1), at[..., 2].mean(1)
    x, y = points or (places[:0], places[:0, 0])
    there = view(x)
    nearer = there[:, 1] - 0.1  # a point lies on the sheet, not in it
    inner = torch.linspace(1, 0, BANDS + 1 if len(x) else 2)[1:-1].double()
    bounds = [float("inf"), *depth.quantile(inner).tolist(), -float("inf")]
    for k, (far, near) in enumerate(pairwise(bounds)):
        for above, layer in ((False, 1 + k / BANDS), (True, 3 + k / BANDS)):
            here = (depth <= far) & (depth > near) & ((up > 0) == above)
            mesh = PolyCollection(list(flat(at[here]).numpy()), zorder=layer)
            mesh.set(edgecolor=(1, 1, 1, 0.5), linewidth=0.25)
            mesh.set_facecolor(_colors()((0.5 + 0.5 * up[here]).clamp(0, 1).numpy()))
            ax.add_collection(mesh)
            here = (nearer <= far) & (nearer > near) & ((there[:, 2] > 0) == above)
            if here.any():
                _dots(ax, (flat(there[here]), y[here]), layer + 0.05)
    floor = 2.1 * torch.tensor(
        [[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0]],
    )
    ax.add_collection(PolyCollection([flat(floor).numpy()], facecolor=INK, alpha=0.3, zorder=2.5))
    ax.set(xlim=(-2.8, 2.8), ylim=(-2.5, 2.5), aspect="equal")
    ax.set_axis_off()


def _cells(side: int) -> Tensor:
    """The four corners of each cell, as places in the grid. [side^2, 4]"""
    corners = torch.arange((side + 1) ** 2).reshape(side + 1, side + 1)
    around = (corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1])
    return torch.stack(around, -1).reshape(-1, 4)


def flat(at: Tensor) -> Tensor:
    """Looked at from the front and a little from above: (right, back, up) [..., 3] to a picture
    [..., 2]."""
    return torch.stack([at[..., 0] + 0.22 * at[..., 1], 0.36 * at[..., 1] + 1.15 * at[..., 2]], -1)


def _with_one(z: Tensor) -> Tensor:
    return torch.cat([z, torch.ones_like(z[:, :1])], 1)


def _colors() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("rings", [OUTSIDE, "#f6f1e7", INSIDE])


def _dots(ax: Any, points: Points, zorder: float = 3) -> None:
    """As in the book: circles inside, triangles outside."""
    x, y = points
    for label, marker, color in ((1, "o", INSIDE), (0, "^", OUTSIDE)):
        dots = ax.scatter(*x[y == label].T.numpy(), s=11, marker=marker, color=color, zorder=zorder)
        dots.set(edgecolor="white", linewidth=0.3)


def _draw_line(ax: Any, w: Tensor) -> None:
    """Where w (x, y, 1) is 0."""
    a, b, c = w.tolist()
    foot = (-a * c / (a * a + b * b), -b * c / (a * a + b * b))
    ax.axline(foot, (foot[0] - b, foot[1] + a), color=INK, linewidth=1.2)


def _three_coordinates(points: Points, line: Tensor, in_polar: Tensor, net: Net) -> Figure:
    """Fig. 1.1, with the third panel that the rest of the book is about."""
    x, y = points
    drawn, axes = canvas(1, 3, width=9.0, height=3.2)
    _dots(axes[0], points)
    _draw_line(axes[0], line)
    limits = (-REACH, REACH)
    axes[0].set(xlim=limits, ylim=limits, aspect="equal", xlabel="x", ylabel="y")
    axes[0].set_title("Cartesian: the best of all lines")
    in_polar_coordinates = torch.stack([x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])], 1)
    _dots(axes[1], (in_polar_coordinates, y))
    _draw_line(axes[1], in_polar)
    axes[1].set(xlim=(0, REACH), ylim=(-3.3, 3.3), xlabel="radius", ylabel="angle")
    axes[1].set_title("polar, by hand: one line is enough")
    landscape(axes[2], net, points)
    axes[2].set_title("learnt: a flat floor divides them")
    caption = (
        "The same points in the book's two coordinate systems (Fig. 1.1), and in one that a net "
        "has found: a linear view of its last hidden layer, where the plane is a hill"
    )
    return figure("coordinates", drawn, caption)


def _unfolding(pictures: Pictures, points: Points) -> Iterator[Figure]:
    """The film: plane, hidden space, and what the output unit reads off against the radius."""
    x, y = points
    extent = (-REACH, REACH, -REACH, REACH)
    caption = (
        "Training, from a random start: the hidden layer lifts the middle of the plane out of the "
        "rest, until a flat floor divides the rings; no point is told its radius"
    )
    for step, net in pictures.items():
        drawn, axes = canvas(1, 3, width=9.0, height=3.2)
        says = net(grid(80)).reshape(81, 81).numpy()
        image = axes[0].imshow(says, origin="lower", extent=extent, cmap=_colors())
        image.set(clim=(-1.3, 1.3), interpolation="bilinear")
        if says.min() < 0 < says.max():
            axes[0].contour(says, levels=[0.0], extent=extent, colors=[INK], linewidths=1.2)
        _dots(axes[0], points)
        axes[0].set(title="the plane, and what the net says", aspect="equal", xticks=(), yticks=())
        landscape(axes[1], net, points)
        axes[1].set_title(f"as its hidden layer sees it, after {step} updates")
        _dots(axes[2], (torch.stack([x.norm(dim=1), net(x).clamp(-1.7, 1.7)], 1), y))
        axes[2].axhline(0.0, color=INK, linewidth=1.2)
        axes[2].set(title="height over the floor", xlabel="radius", xlim=(0, REACH))
        axes[2].set_ylim(-1.8, 1.8)
        yield figure("unfolding", drawn, caption, step)


def _moments(starts: Sequence[Pictures]) -> Figure:
    """Some starts, some moments: the same end by different ways."""
    steps = list(starts[0])
    steps = sorted({steps[round(k * (len(steps) - 1) / 4)] for k in range(5)})
    shown = starts[:4]
    drawn, axes = canvas(len(shown), len(steps), width=9.0, height=1.6 * len(shown) + 0.3)
    for row, pictures in zip(axes.reshape(len(shown), -1), shown, strict=True):
        for ax, step in zip(row, steps, strict=True):
            landscape(ax, pictures[step], side=24)
    for ax, step in zip(axes.reshape(len(shown), -1)[0], steps, strict=True):
        ax.set_title(f"{step} updates")
    caption = (
        "Some starts, one in each row, each with its own points: every net makes a hill of the "
        "plane, and no two the same hill"
    )
    return figure("starts", drawn, caption)


def _contours(starts: Sequence[Pictures]) -> Figure:
    """Lines of equal height over the plane, before and after: they close to rings."""
    drawn, axes = canvas(2, len(starts), width=9.0, height=3.9)
    extent = (-REACH, REACH, -REACH, REACH)
    places = grid(80)
    radius = places.norm(dim=1).reshape(81, 81).numpy()
    first, last = min(starts[0]), max(starts[0])
    for row, step in zip(axes.reshape(2, -1), (first, last), strict=True):
        for ax, pictures in zip(row, starts, strict=True):
            says = pictures[step](places).reshape(81, 81).numpy()
            ax.contour(says, levels=9, extent=extent, cmap=_colors(), linewidths=1.2)
            dotted = dict(colors=[INK], linewidths=0.7, linestyles=":")
            ax.contour(radius, levels=[1.0, 2.0], extent=extent, **dotted)
            ax.set(aspect="equal", xticks=(), yticks=())
        row[0].set_ylabel(f"{step} updates")
    caption = (
        "Lines along which the output unit gives the same answer: straight before training, rings "
        "after it. Dotted: the radii 1 and 2"
    )
    return figure("contours", drawn, caption)
