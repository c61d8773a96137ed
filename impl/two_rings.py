"""Deep Learning. Goodfellow, Bengio & Courville, MIT Press, 2016. Two rings: Sec. 1, Fig. 1.1.

Claims      cartesian            no line separates the two classes in Cartesian coordinates (Fig. 1.1, left)
            polar                in polar coordinates a line at one radius does, always (Fig. 1.1, right)
            learnt-coordinates   a net finds such coordinates: on its last hidden layer a linear classifier gets every new
                                 point right, from every start
            learning-makes-them  the same hidden layer before training is not enough
            radius               what it has learnt is the radius: the direction that the output unit reads off goes with
                                 it all over the disc, also where no training point was; before training it doesn't
Deviations  1  the book shows a picture and gives no numbers: rings, net, sizes and every setting are ours
            2  Fig. 1.1 changes the coordinates by hand; that a net can learn the change is what Sec. 1 says of
               representation learning, and the experiment on it is ours
            3  the output unit is taught 1 and -1 by squared error: told to be ever surer, it leaves nothing but a line
            4  an untrained layer, too, has some direction that goes with the radius, if one is told the radius and picks
               it: `best_with_radius` is that one, measured, not judged
            5  a random layer that is wide enough separates the rings without learning, and is drawn, not judged: the claims
               are about three units, which is what can be looked at
Left out    other factors of variation, autoencoders and all else that the book goes on to
Shapes      S starts side by side, N points, D coordinates, H units of the last hidden layer
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.figures import INK, PALETTE, canvas, curves, figure


@dataclass(frozen=True)
class Config:
    radii: tuple[float, ...] = (1.0, 2.0)  # ours: of the two rings
    spread: float = 0.25  # ours: a point lies within this distance of its ring, so that the rings don't touch
    points: int = 500  # ours: half of them in each ring
    test: int = 1_000  # ours: new points, and as many all over the disc
    hidden: int = 8  # ours: tanh units of the first hidden layer
    H: int = 3  # ours: tanh units of the last hidden layer, as many as one can look at
    widths: tuple[int, ...] = (2, 5, 10, 20, 50)  # ours: other sizes of the last hidden layer, to draw
    rate: float = 0.02  # ours: of Adam, with all points in each update
    updates: int = 200  # ours
    every: int = 10  # ours: updates from one point of a curve to the next
    moments: tuple[int, ...] = (0, 5, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200)  # ours: when a picture is taken
    seeds: int = 100  # ours: how many starts, each with its own points
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, points=1_000)
QUICK = replace(FULL, points=500, widths=(2, 5, 10, 30), seeds=40)
SMOKE = replace(QUICK, points=40, test=100, widths=(2,), updates=20, every=5, moments=(0, 20), seeds=3)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

Net = list[tuple[Tensor, Tensor]]  # for each layer W [S, out, in], b [S, 1, out]
INSIDE, OUTSIDE = PALETTE[0], PALETTE[1]
EDGE = 1.25  # how far pictures reach, over the larger radius


def rings(cfg: Config, N: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points x [N, 2] and labels y [N]: 1 in the inner ring, 0 in the outer."""
    y = (torch.arange(N) % 2 == 0).double()
    inner, outer = cfg.radii
    r = torch.where(y > 0, inner, outer) + cfg.spread * (2 * torch.rand(N, generator=g).double() - 1)
    return around(r, g), y


def around(r: Tensor, g: torch.Generator) -> Tensor:
    """A point at each of the radii r [N], in any direction: [N, 2]."""
    angle = 2 * torch.pi * torch.rand(len(r), generator=g).double()
    return torch.stack([r * angle.cos(), r * angle.sin()], 1)


def polar(x: Tensor) -> Tensor:
    """Fig. 1.1, right: (radius, angle) of each point."""
    return torch.stack([x.norm(dim=-1), torch.atan2(x[..., 1], x[..., 0])], -1)


def best_line(x: Tensor, y: Tensor) -> tuple[float, tuple[int, int]]:
    """How many of the points x [N, 2] the best of *all* lines puts on the right side (a part of N), and where it lies.

    Every line can be moved, without a point changing sides, until it touches two of them; so it is enough to try
    the lines through two points. A nudge brings those two to either side, so both count as right.
    """
    best, at = 0.0, (0, 1)
    for i in range(len(x)):
        along = x - x[i]  # the lines from point i to every other
        normal = torch.stack([-along[:, 1], along[:, 0]], 1)
        side = (normal @ along.T).sign()  # [N, N]: line through i and j, point
        side[:, i] = 0.0
        side.fill_diagonal_(0.0)
        agree = (side @ (2 * y - 1)).abs()  # right minus wrong; the sign says which class is to be on which side
        agree[i] = 0.0  # no line: i and i
        j = int(agree.argmax())
        right = (2 + (len(x) - 2 + float(agree[j])) / 2) / len(x)
        if right > best:
            best, at = right, (i, j)
    return best, at


def start(sizes: list[int], seeds: range, device: torch.device) -> Net:
    """Nets of these sizes, one for each seed: every weight uniform up to one over the root of the inputs."""
    nets = []
    for seed in seeds:
        g = torch.Generator().manual_seed(seed + 1_000_003)  # not the numbers that the points are made of
        nets.append([((2 * torch.rand(out, n + 1, generator=g) - 1) / n**0.5) for n, out in pairwise(sizes)])
    stacked = [torch.stack(layer).to(device) for layer in zip(*nets, strict=True)]
    return [(W[..., :-1].contiguous(), W[..., -1].unsqueeze(1).contiguous()) for W in stacked]


def represent(net: Net, x: Tensor) -> Tensor:
    """The last hidden layer: [S, N, 2] -> [S, N, H]. All that the net does to the plane happens here."""
    for W, b in net[:-1]:
        x = torch.tanh(x @ W.mT + b)
    return x


def answer(net: Net, h: Tensor) -> Tensor:
    """The output unit, linear in the hidden layer: [S, N, H] -> [S, N], to be 1 in the inner ring and -1 in the outer."""
    W, b = net[-1]
    return (h @ W.mT + b)[..., 0]


def copied(net: Net) -> Net:
    """As it is now, in double precision, on the CPU: what is measured and drawn."""
    return [(W.detach().cpu().double(), b.detach().cpu().double()) for W, b in net]


def train(net: Net, x: Tensor, y: Tensor, cfg: Config) -> Iterator[tuple[int, Tensor]]:
    """Yields (update, loss [S]), first of all for the untrained nets; the nets don't see each other."""
    parameters = [p.requires_grad_() for layer in net for p in layer]
    optimizer = torch.optim.Adam(parameters, lr=cfg.rate)
    for step in range(cfg.updates + 1):
        loss = (answer(net, represent(net, x)) - (2 * y - 1)).square().mean(1)
        yield step, loss.detach()
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()


def with_one(z: Tensor) -> Tensor:
    return torch.cat([z, torch.ones_like(z[..., :1])], -1)


def linear_classifier(z: Tensor, y: Tensor, z_test: Tensor, y_test: Tensor) -> Tensor:
    """Logistic regression on coordinates z [S, N, D], whichever they are: the part of the test points it gets right [S].

    Newton's method. The slight pull to 0 keeps the weights finite where a line separates the classes.
    """
    mean, std = z.mean(1, keepdim=True), z.std(1, keepdim=True).clamp_min(1e-9)
    z, z_test = with_one((z - mean) / std), with_one((z_test - mean) / std)
    w, ridge = z.new_zeros(len(z), z.shape[-1], 1), 1e-4
    for _ in range(20):
        p = torch.sigmoid(z @ w)  # [S, N, 1]
        slope = z.mT @ (p - y[..., None]) / z.shape[1] + ridge * w
        curvature = (z * p * (1 - p)).mT @ z / z.shape[1] + ridge * torch.eye(z.shape[-1], dtype=z.dtype)
        w = w - torch.linalg.solve(curvature, slope)
    right: Tensor = ((z_test @ w).squeeze(-1) > 0) == (y_test > 0)
    return right.double().mean(1)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's, of a and b [S, N], without its sign: [S]."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    r: Tensor = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return r.abs()


def best_direction(z: Tensor, r: Tensor) -> Tensor:
    """Of all directions in the coordinates z [S, N, D], the one that fits r [S, N] best on every other point (least
    squares): its correlation with r on the rest [S]. It is told the radius, which the net isn't."""
    z = with_one(z)
    w = torch.linalg.lstsq(z[:, ::2], r[:, ::2, None]).solution
    fit: Tensor = z[:, 1::2] @ w
    return correlation(fit.squeeze(-1), r[:, 1::2]).round(decimals=9)  # LAPACK's last digits differ from run to run


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    seeds, widths = range(cfg.seed, cfg.seed + cfg.seeds), [cfg.H, *cfg.widths]
    total, done = len(widths) + 0.2, 0.0
    drawn = []
    for seed in seeds:
        yield Progress(0.2 * (seed - cfg.seed) / cfg.seeds, total, f"all lines through the points of start {seed}")
        g = torch.Generator().manual_seed(seed)
        disc = (max(cfg.radii) + cfg.spread) * torch.rand(cfg.test, generator=g).double()
        drawn.append((*rings(cfg, cfg.points, g), *rings(cfg, cfg.test, g), around(disc, g)))
        x, y = drawn[-1][:2]
        radius = polar(x)[:, 0]
        right, at = best_line(x, y)
        gap = (radius[y == 0].min() - radius[y == 1].max()).item()  # above 0: a line between the two separates them
        yield dict(seed=seed, best_line=right, separable=float(right == 1.0), polar=float(gap > 0), gap=gap)
        if seed == cfg.seed:
            by_hand = (x, y, at, right)
    x, y, x_test, y_test, disc = (torch.stack(t) for t in zip(*drawn, strict=True))  # [S, ...], double, on the CPU
    for name, z, z_test in (("Cartesian", x, x_test), ("polar", polar(x), polar(x_test))):
        for seed, right in zip(seeds, linear_classifier(z, y, z_test, y_test).tolist(), strict=True):
            yield dict(coordinates=name, seed=seed, right=right)

    done, lines = 0.2, dict[str, list[tuple[float, float]]](learnt=[], untrained=[])
    for H in widths:
        net = start([2, cfg.hidden, H, 1], seeds, device)
        pictures: dict[int, Net] = {}
        for step, loss in train(net, x.float().to(device), y.float().to(device), cfg):
            if H == cfg.H and step in (0, *cfg.moments, cfg.updates):
                pictures[step] = copied(net)
            if step % (cfg.every if H == cfg.H else cfg.updates) and step != cfg.updates:
                continue
            yield Progress(done + step / cfg.updates, total, f"{H} units in the last hidden layer, update {step}")
            now = copied(net)
            right_now = linear_classifier(represent(now, x), y, represent(now, x_test), y_test)
            h, r = represent(now, disc), disc.norm(dim=-1)
            along_r, best_r = correlation(answer(now, h), r), best_direction(h, r)
            for s, seed in enumerate(seeds):
                yield dict(units=H, seed=seed, step=step, loss=loss[s].item(), right=right_now[s].item(),
                           with_radius=along_r[s].item(), best_with_radius=best_r[s].item(), untrained=step == 0)  # fmt: skip
            if step in (0, cfg.updates):
                lines["untrained" if step == 0 else "learnt"].append((float(H), right_now.mean().item()))
        done += 1
        if H == cfg.H:
            yield three_coordinates(*by_hand, pictures[cfg.updates], cfg)
            yield from unfolding(pictures, x[0], y[0], cfg)
            yield moments(pictures, cfg)
            yield radius_fields(pictures, cfg)
    yield curves("width", {name: sorted(line) for name, line in lines.items()}, "A random layer that is wide enough "
                 "separates the rings as well; a learnt one needs only a few units. Mean of all starts",
                 x="units in the last hidden layer", y="part right, linear classifier")  # fmt: skip
    yield Progress(total, total, "done")


def grid(cfg: Config, side: int) -> Tensor:
    """Corners of side x side cells over the plane, row by row: [(side + 1)^2, 2]."""
    edge = EDGE * max(cfg.radii) * torch.linspace(-1, 1, side + 1).double()
    return torch.stack(torch.meshgrid(edge, edge, indexing="xy"), -1).reshape(-1, 2)


def one(net: Net, s: int) -> Net:
    return [(W[s : s + 1], b[s : s + 1]) for W, b in net]


def spectator(net: Net, cfg: Config) -> Callable[[Tensor], Tensor]:
    """A linear view of one net's hidden space: points of the plane [N, 2] to where one sees them (right, back, up) [N, 3].

    Up is what the output unit reads off, so the plane in which it changes its mind is a level floor at 0. Right and back
    are the directions that fit the plane's two coordinates best, stretched to the same width: what the layer still knows
    of where a point was. A linear view bends nothing straight: all that looks bent was bent by the hidden layer.
    """
    places = grid(cfg, 20)
    places = places[places.norm(dim=1) <= EDGE * max(cfg.radii)]
    h = with_one(represent(net, places[None])[0])
    w = torch.linalg.lstsq(h, places).solution  # [H + 1, 2]
    spread, axes = torch.linalg.eigh((h @ w).T @ (h @ w) / len(h))
    w = w @ axes @ spread.clamp_min(1e-9).rsqrt().diag() @ axes.T

    def view(x: Tensor) -> Tensor:
        h = represent(net, x[None])
        return torch.cat([with_one(h[0]) @ w, answer(net, h).T], 1)

    return view


def landscape(ax: Any, net: Net, cfg: Config, points: tuple[Tensor, Tensor] | None = None, side: int = 44) -> None:
    """The disc as one net's hidden layer sees it: cells of a grid, the far ones first, those above the floor over it."""
    from matplotlib.collections import PolyCollection

    corners = torch.arange((side + 1) ** 2).reshape(side + 1, side + 1)
    cell = torch.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]], -1).reshape(-1, 4)
    places, view = grid(cfg, side), spectator(net, cfg)
    cell = cell[places[cell].norm(dim=-1).amax(1) <= EDGE * max(cfg.radii)]
    at = view(places)[cell]  # [cells, 4, 3]
    at = at[at[..., 1].mean(1).argsort(descending=True)]
    x, y = points if points is not None else (places[:0], places[:0, 0])
    there = view(x)
    depth, up, nearer = (
        at[..., 1].mean(1),
        at[..., 2].mean(1),
        there[:, 1] - 0.1,
    )  # a point lies on the sheet, not in it
    inner = torch.linspace(1, 0, 11 if len(x) else 2)[1:-1].double()  # far and near: a hill hides what lies behind it
    bands = [float("inf"), *depth.quantile(inner).tolist(), -float("inf")]
    for k, (far, near) in enumerate(pairwise(bands)):
        for above, layer in ((False, 1 + k / 10), (True, 3 + k / 10)):
            here = (depth <= far) & (depth > near) & ((up > 0) == above)
            mesh = PolyCollection(list(flat(at[here]).numpy()), edgecolor=(1, 1, 1, 0.5), linewidth=0.25, zorder=layer)
            mesh.set_facecolor(colours()((0.5 + 0.5 * up[here]).clamp(0, 1).numpy()))
            ax.add_collection(mesh)
            here = (nearer <= far) & (nearer > near) & ((there[:, 2] > 0) == above)
            if here.any():
                dots(ax, flat(there[here]), y[here], layer + 0.05)
    corner = 2.1 * torch.tensor([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    ax.add_collection(PolyCollection([flat(corner).numpy()], facecolor=INK, alpha=0.3, zorder=2.5))
    ax.set(xlim=(-2.8, 2.8), ylim=(-2.5, 2.5), aspect="equal")
    ax.set_axis_off()


def flat(at: Tensor) -> Tensor:
    """Looked at from the front and a little from above: (right, back, up) [..., 3] to a picture [..., 2]."""
    return torch.stack([at[..., 0] + 0.22 * at[..., 1], 0.36 * at[..., 1] + 1.15 * at[..., 2]], -1)


def colours() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("rings", [OUTSIDE, "#f6f1e7", INSIDE])


def dots(ax: Any, x: Tensor, y: Tensor, zorder: float = 3) -> None:
    """As in the book: circles inside, triangles outside."""
    for label, marker, colour in ((1, "o", INSIDE), (0, "^", OUTSIDE)):
        ax.scatter(*x[y == label].T.numpy(), s=11, marker=marker, color=colour, edgecolor="white", linewidth=0.3,
                   zorder=zorder)  # fmt: skip


def three_coordinates(x: Tensor, y: Tensor, at: tuple[int, int], right: float, net: Net, cfg: Config) -> Figure:
    """Fig. 1.1, with the third panel that the rest of the book is about."""
    drawn, axes = canvas(1, 3, width=9.0, height=3.2)
    reach = EDGE * max(cfg.radii)
    dots(axes[0], x, y)
    axes[0].axline(x[at[0]].tolist(), x[at[1]].tolist(), color=INK, linewidth=1.2)
    axes[0].set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="x", ylabel="y",
                title=f"Cartesian: the best of all lines gets {100 * right:.0f} %")  # fmt: skip
    p = polar(x)
    dots(axes[1], p, y)
    axes[1].axvline(((p[y == 0, 0].min() + p[y == 1, 0].max()) / 2).item(), color=INK, linewidth=1.2)
    axes[1].set(xlim=(0, reach), xlabel="radius", ylabel="angle", title="polar, by hand: one line gets all")
    landscape(axes[2], one(net, 0), cfg, (x, y))
    axes[2].set_title("learnt: a flat floor divides them")
    return figure("coordinates", drawn, "The same points in the book's two coordinate systems (Fig. 1.1), and in one that a "
                  "net has found: a linear view of its last hidden layer, where the plane is a hill")  # fmt: skip


def unfolding(pictures: dict[int, Net], x: Tensor, y: Tensor, cfg: Config) -> Iterator[Figure]:
    """The film: plane, hidden space, and what the output unit reads off against the radius."""
    places, radii = grid(cfg, 80), polar(x)[:, 0]
    reach = EDGE * max(cfg.radii)
    for step, nets in pictures.items():
        net = one(nets, 0)
        drawn, axes = canvas(1, 3, width=9.0, height=3.2)
        says = answer(net, represent(net, places[None]))[0].reshape(81, 81).numpy()
        extent = (-reach, reach, -reach, reach)
        axes[0].imshow(
            says, origin="lower", extent=extent, cmap=colours(), vmin=-1.3, vmax=1.3, interpolation="bilinear"
        )
        if says.min() < 0 < says.max():
            axes[0].contour(says, levels=[0.0], extent=extent, colors=[INK], linewidths=1.2)
        dots(axes[0], x, y)
        axes[0].set(title="the plane, and what the net says", aspect="equal", xticks=(), yticks=())
        landscape(axes[1], net, cfg, (x, y))
        axes[1].set_title(f"as its hidden layer sees it, after {step} updates")
        height = answer(net, represent(net, x[None]))[0].clamp(-1.7, 1.7)
        dots(axes[2], torch.stack([radii, height], 1), y)
        axes[2].axhline(0.0, color=INK, linewidth=1.2)
        axes[2].set(title="height over the floor", xlabel="radius", xlim=(0, reach), ylim=(-1.8, 1.8))
        yield figure("unfolding", drawn, "Training, from a random start: the hidden layer lifts the middle of the plane out of "
                     "the rest, until a flat floor divides the rings; no point is told its radius", step)  # fmt: skip


def moments(pictures: dict[int, Net], cfg: Config) -> Figure:
    """Some starts, some moments: the same end by different ways."""
    steps = list(pictures)
    steps = sorted({steps[round(k * (len(steps) - 1) / 4)] for k in range(5)})
    starts = min(4, cfg.seeds)
    drawn, axes = canvas(starts, len(steps), width=9.0, height=1.6 * starts + 0.3)
    for s in range(starts):
        for ax, step in zip(axes.reshape(starts, -1)[s], steps, strict=True):
            landscape(ax, one(pictures[step], s), cfg, side=24)
            if s == 0:
                ax.set_title(f"{step} updates")
    return figure("starts", drawn, "Four starts, one in each row, each with its own points: every net makes a hill of the "
                  "plane, and no two the same hill")  # fmt: skip


def radius_fields(pictures: dict[int, Net], cfg: Config) -> Figure:
    """Lines of equal height over the plane, before and after: they close to rings."""
    starts, places, reach = min(5, cfg.seeds), grid(cfg, 80), EDGE * max(cfg.radii)
    drawn, axes = canvas(2, starts, width=9.0, height=3.9)
    for row, step in zip(axes.reshape(2, -1), (min(pictures), max(pictures)), strict=True):
        z = answer(pictures[step], represent(pictures[step], places[None]))
        for s, ax in enumerate(row):
            says = z[s].reshape(81, 81).numpy()
            ax.contour(says, levels=9, extent=(-reach, reach, -reach, reach), cmap=colours(), linewidths=1.2)
            ax.contour(places.norm(dim=1).reshape(81, 81).numpy(), levels=sorted(cfg.radii), colors=[INK], linewidths=0.7,
                       extent=(-reach, reach, -reach, reach), linestyles=":")  # fmt: skip
            ax.set(aspect="equal", xticks=(), yticks=())
        row[0].set_ylabel(f"{step} updates")
    return figure("contours", drawn, "Lines along which the output unit gives the same answer, of five starts: straight before "
                  "training, rings after it. Dotted: the two rings of points")  # fmt: skip


def check(rows: list[Row]) -> list[Verdict]:
    H = next(int(row["units"]) for row in rows if "units" in row)  # the first net is the one that is judged
    nets = [row for row in rows if row.get("units") == H]
    return [
        exact("cartesian", [float(row["separable"]) for row in rows if "separable" in row], 0.0, tolerance=0.0,
              unit="1 if one of all lines is right everywhere"),
        exact("polar", [float(row["polar"]) for row in rows if "polar" in row], 1.0, tolerance=0.0,
              unit="1 if a line at one radius is right everywhere"),
        exact("learnt-coordinates", list(by_seed(nets, "right", untrained=False).values()), 1.0, tolerance=0.0,
              unit=f"part of the test points right, linear classifier on {H} hidden units"),
        compare("learning-makes-them", by_seed(nets, "right", untrained=False), by_seed(nets, "right", untrained=True),
                better="higher", margin=0.25,  # ours: half of the way from guessing to all right
                unit="part of the test points right, linear classifier after and before training"),
        compare("radius", by_seed(nets, "with_radius", untrained=False), by_seed(nets, "with_radius", untrained=True),
                better="higher", margin=0.5,  # ours: half of the way from none to all
                unit="correlation of what the output unit reads off with the radius, after and before training"),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
