"""Deep Learning with Topological Signatures. Hofer, Kwitt, Niethammer & Uhl, NIPS 2017, arXiv:1707.04041.

Claims      learnt-beats-fixed  a layer that learns where to look in the diagrams names more shapes right than a fixed
                                vectorization of the same diagrams, with the same net behind it
            stability           what the layer gives out changes at most in proportion to the Wasserstein-1 distance of
                                the diagrams (Sec. 3)
Deviations  1  the fixed vectorization is the grid that the learnt elements start from (a persistence image, Adams et al.);
               its sharpness and the rate are chosen on validation shapes, for each side by itself
            2  diagrams of dimension 0 only, along evenly spaced directions; no graphs
            3  the component that never dies gets the greatest height of the shape as its death
            4  one hidden layer behind the structure elements, and Adam; the authors' net is deeper, with dropout
            5  a regular grid of elements; the authors' code has 75 for each direction, which start at random
            6  silhouettes are shrunk, without their largest component being cut out first
Left out    features that never die as an input of their own, layers that join neighbouring directions
Shapes      S nets side by side, one for each seed; B of N shapes, K directions, P points of a diagram, M elements
"""

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.data import DataUnavailable, cache, handwriting
from impl.kit.figures import INK, PALETTE, canvas, curves, figure


@dataclass(frozen=True)
class Config:
    data: str = "silhouettes"  # MPEG-7, one of the paper's two; `auto`: those of KB_DATA, else MNIST, else digits
    images: int = 1_400  # MPEG-7: 70 kinds, 20 of each; of handwriting it is ours
    side: int = 128  # ours: a shape is shrunk to so many pixels
    K: int = 32  # the authors' code for MPEG-7: directions
    nu: float = 0.01  # same: nearer to the diagonal than this, the logarithm sets in
    across: int = 9  # ours: M is the square of it
    sharpness: tuple[float, ...] = (1.0, 2.0, 3.0)  # ours: to choose from; sigma at the start, times the grid's spacing
    rates: tuple[float, ...] = (0.003, 0.01)  # ours: to choose from
    H: int = 100  # the authors' code for MPEG-7: units of the last hidden layer
    batch: int = 128  # same
    updates: int = 4_000  # same: 400 epochs
    every: int = 25  # ours: updates from one point of a curve to the next
    pairs: int = 200  # ours: of diagrams, for the stability
    seeds: int = 5  # ours: how many nets
    seed: int = 0  # ours: the first of them; each draws its own shapes to test on


PAPER = Config()
FULL = replace(PAPER, data="auto", side=48, K=16, nu=0.1, across=5, batch=100, updates=600, seeds=8)
QUICK = replace(FULL, side=32, K=8, across=3, updates=300, pairs=50)
SMOKE = replace(QUICK, data="digits", images=100, K=2, across=2, H=8, updates=4, every=2, pairs=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

Diagram = list[tuple[float, float]]  # (birth, death)


def components(height: np.ndarray, edges: np.ndarray) -> list[tuple[float, float, int]]:
    """Persistent homology of dimension 0: (birth, death, pixel where it is born) of every component of what is below a
    level that rises.

    A pixel comes in at its height, an edge at that of its upper end. Where an edge joins two components, the one that
    was born later dies. Roots are always the lowest pixel of their component, so a root's height is its birth.
    """
    level = height[edges].max(1)
    parent, h, pairs = list(range(len(height))), height.tolist(), []
    order = level.argsort(kind="stable")
    for (a, b), now in zip(edges[order].tolist(), level[order].tolist(), strict=True):
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if a != b:
            young, old = (a, b) if h[a] > h[b] else (b, a)
            parent[young] = old
            if now > h[young]:
                pairs.append((h[young], now, young))
    top = max(h)
    return pairs + [(h[v], top, v) for v in range(len(h)) if parent[v] == v and top > h[v]]


def pixels(shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places [V, 2] of a shape's pixels, its centre at 0 and its farthest pixel at distance 1, and the edges [E, 2]
    between those that share a side or a corner."""
    number = np.pad(np.full(shape.shape, -1), 1, constant_values=-1)
    number[1:-1, 1:-1][shape] = np.arange(shape.sum())
    here, rest = number[1:-1, 1:-1], (number[1:-1, 2:], number[2:, :-2], number[2:, 1:-1], number[2:, 2:])
    edges = np.concatenate([np.stack([here, there], -1).reshape(-1, 2) for there in rest])
    y, x = np.nonzero(shape)
    places = np.stack([x, -y], 1) - np.stack([x, -y], 1).mean(0)
    return places / max(np.linalg.norm(places, axis=1).max(), 1e-9), edges[(edges >= 0).all(1)]


def directions(K: int) -> np.ndarray:
    angle = 2 * np.pi * np.arange(K) / K
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def levels(places: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The height function <x, v>, rounded: no component is to be born of a difference in the sixteenth digit."""
    height: np.ndarray = (places @ v).round(9)
    return height


def diagrams(shape: np.ndarray, K: int) -> list[Diagram]:
    """One diagram for each direction v: the components of {pixels x with <x, v> <= level}."""
    places, edges = pixels(shape)
    return [[pair[:2] for pair in components(levels(places, v), edges)] for v in directions(K)]


def padded(dgms: list[list[Diagram]]) -> Tensor:
    """[N, K, P, 2]; what fills up is (0, 0), a point on the diagonal, which every structure element gives 0."""
    P = max(len(d) for each in dgms for d in each)
    x = torch.zeros(len(dgms), len(dgms[0]), P, 2)
    for n, each in enumerate(dgms):
        for k, d in enumerate(each):
            if d:
                x[n, k, : len(d)] = torch.tensor(d)
    return x


def rotate(x: Tensor) -> Tensor:
    """(birth, death) to coordinates along the diagonal and away from it: [..., 2]. The second is the persistence / sqrt 2."""
    return torch.stack([x[..., 0] + x[..., 1], x[..., 1] - x[..., 0]], -1) / 2**0.5


def stretch(x1: Tensor, nu: float) -> Tensor:
    """Below nu the logarithm takes over, smoothly: what has no persistence goes to minus infinity, where no element looks."""
    return torch.where(x1 < nu, nu * (x1.clamp_min(1e-12) / nu).log() + nu, x1)


def elements(x: Tensor, mu: Tensor, sigma: Tensor, nu: float) -> Tensor:
    """Definition 3: each structure element looks at each point, and adds up what it sees.

    x [..., K, P, 2] rotated, mu and sigma [..., K, M, 2] -> [..., K, M].
    """
    x0, x1 = x[..., None, :, 0], stretch(x[..., None, :, 1], nu)  # [..., K, 1, P]
    at0, at1 = mu[..., 0, None], mu[..., 1, None]  # [..., K, M, 1]
    seen = torch.exp(-((sigma[..., 0, None] * (x0 - at0)) ** 2) - (sigma[..., 1, None] * (x1 - at1)) ** 2)
    return torch.where(x[..., None, :, 1] > 0, seen, 0.0).sum(-1)


def grid(cfg: Config, sharpness: float) -> tuple[Tensor, Tensor]:
    """Regular structure elements, mu and sigma [K, M, 2]: all over where shapes of radius 1 can have points."""
    n, width = cfg.across, torch.tensor([2.4, 1.4])
    steps = (torch.arange(n) + 0.5) / n
    mu = torch.cartesian_prod(steps, steps) * width - torch.tensor([1.2, 0.0])
    sigma = sharpness * n / width
    return mu.expand(cfg.K, -1, -1), sigma.expand(cfg.K, n * n, -1)


@dataclass(frozen=True)
class Shapes:
    name: str
    shapes: list[np.ndarray]  # bool [side, side]
    y: Tensor  # [N]
    kinds: list[str]


def shapes(cfg: Config) -> Shapes:
    path = Path(os.environ.get("KB_DATA", cache())) / "mpeg7-ce-shape-1" / "mpeg7_ce_shape_1_partB.zip"
    if cfg.data == "silhouettes" or (cfg.data == "auto" and path.exists()):
        return silhouettes(path, cfg.side)
    data = handwriting(cfg.data)
    inked = data.x_train[: cfg.images, 0] > 0.5
    return Shapes(data.name, list(inked.numpy()), data.y_train[: cfg.images], [str(digit) for digit in range(10)])


def silhouettes(path: Path, side: int) -> Shapes:
    """MPEG-7 CE-Shape-1 part B: cut to the shape, made square and shrunk; a pixel counts if most of it is shape."""
    from PIL import Image

    if not path.exists():
        raise DataUnavailable(f"{path} is not there; put it there, or choose data=auto")
    found, names = [], []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            shape = np.array(Image.open(io.BytesIO(archive.read(name))).convert("L")) > 127
            y, x = np.nonzero(shape)
            shape = shape[y.min() : y.max() + 1, x.min() : x.max() + 1]
            lack = max(shape.shape) - np.array(shape.shape)
            square = np.pad(shape, [(n // 2, n - n // 2) for n in lack]).astype(np.uint8) * 255
            found.append(np.array(Image.fromarray(square).resize((side, side), Image.Resampling.BOX)) > 127)
            names.append(name.rsplit("-", 1)[0])
    kinds = sorted(set(names))
    return Shapes("mpeg-7", found, torch.tensor([kinds.index(name) for name in names]), kinds)


def split(y: Tensor, cfg: Config, seeds: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """The numbers of a fifth of each kind, the same for all nets, by which settings are chosen [n]; and, drawn by each
    seed from the others, of those to train on [S, n] (half of all) and of those to test on [S, n]."""
    parts: tuple[list[Tensor], ...] = ([], [], [])
    g = torch.Generator().manual_seed(cfg.seed + 3_000_003)
    draws = [torch.Generator().manual_seed(seed + 4_000_003) for seed in seeds]
    for kind in range(int(y.max()) + 1):
        its = torch.where(y == kind)[0]
        its = its[torch.randperm(len(its), generator=g)]
        chosen, rest = its.tensor_split([len(its) // 5])
        rest = torch.stack([rest[torch.randperm(len(rest), generator=draw)] for draw in draws])
        for part, piece in zip(parts, (chosen, *rest.tensor_split([len(its) // 2], 1)), strict=True):
            part.append(piece)
    return torch.cat(parts[0]), torch.cat(parts[1], 1), torch.cat(parts[2], 1)


Net = list[Tensor]  # mu and sigma [S, K, M, 2], W [S, K * M, H], b [S, 1, H], V [S, H, C], c [S, 1, C]


def start(cfg: Config, C: int, sharpness: list[float], seeds: list[int], device: torch.device) -> Net:
    nets = []
    for sharp, seed in zip(sharpness, seeds, strict=True):
        g, inputs = torch.Generator().manual_seed(seed), cfg.K * cfg.across**2
        W, V = (
            torch.randn(n, m, generator=g) * (gain / n) ** 0.5 for n, m, gain in ((inputs, cfg.H, 2), (cfg.H, C, 1))
        )
        nets.append([*grid(cfg, sharp), W, torch.zeros(1, cfg.H), V, torch.zeros(1, C)])
    return [torch.stack(t).to(device) for t in zip(*nets, strict=True)]


def look(net: Net, x: Tensor, nu: float) -> Tensor:
    """The input layer: diagrams [S or 1, B, K, P, 2] -> [S, B, K * M]."""
    return elements(x, net[0][:, None], net[1][:, None], nu).flatten(2)


def classify(net: Net, seen: Tensor) -> Tensor:
    """[S, B, K * M] -> logits [S, B, C]."""
    _, _, W, b, V, c = net
    return torch.relu(seen @ W + b) @ V + c


def train(
    net: Net, x: Tensor, y: Tensor, on: Tensor, cfg: Config, *, learnt: bool, rate: float, seeds: list[int]
) -> Iterator[tuple[int, Tensor]]:
    """On the shapes numbered on [S, n]; yields (update, loss [S]). What fixed elements see is worked out once."""
    optimizer = torch.optim.Adam([t.requires_grad_() for t in (net if learnt else net[2:])], lr=rate)
    fixed = None if learnt else everything(net, x, torch.arange(len(x), device=x.device).expand(len(on), -1), cfg.nu)
    draws = [torch.Generator().manual_seed(seed + 2_000_003) for seed in seeds]  # not the numbers that W is made of
    every_net = torch.arange(len(on), device=x.device)[:, None]
    for step in range(1, cfg.updates + 1):
        at = torch.stack([torch.randint(on.shape[1], (cfg.batch,), generator=g) for g in draws]).to(x.device)
        at = on.gather(1, at)  # [S, B]
        seen = look(net, x[at], cfg.nu) if fixed is None else fixed[every_net, at]
        loss = F.cross_entropy(classify(net, seen).flatten(0, 1), y[at].flatten(), reduction="none").view_as(at).mean(1)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        if step % cfg.every == 0 or step == cfg.updates:
            yield step, loss.detach()


@torch.no_grad()
def everything(net: Net, x: Tensor, on: Tensor, nu: float) -> Tensor:
    """What each net's elements see of the shapes numbered on [S, n], one net after the other: [S, n, K * M]."""
    return torch.cat([look([t[s : s + 1] for t in net[:2]], x[None, on[s]], nu) for s in range(len(on))])


@torch.no_grad()
def right(net: Net, x: Tensor, y: Tensor, on: Tensor, nu: float) -> list[float]:
    """Percent of the shapes numbered on [S, n] named right, by each of the nets."""
    answers = classify(net, everything(net, x, on, nu)).argmax(2)
    return (100 * (answers == y[on]).float().mean(1)).tolist()


def wasserstein(D: np.ndarray, E: np.ndarray) -> float:
    """Wasserstein-1 distance of two diagrams [n, 2] and [m, 2], rotated: the cheapest way of moving the points of one to
    those of the other, or to the diagonal, which is `x[1]` away."""
    from scipy.optimize import linear_sum_assignment

    cost = np.zeros((len(D) + len(E), len(D) + len(E)))
    cost[: len(D), : len(E)] = np.linalg.norm(D[:, None] - E[None], axis=2)
    cost[: len(D), len(E) :] = D[:, 1:]
    cost[len(D) :, : len(E)] = E[:, 1]
    return float(cost[linear_sum_assignment(cost)].sum())


def steepest(mu: Tensor, sigma: Tensor, nu: float) -> Tensor:
    """How steep each structure element is at its steepest, or a little more [...]: its Lipschitz constant.

    Along x0 a Gaussian's slope is sqrt(2 / e) sigma. Away from the diagonal it is the same, times the stretch's slope,
    nu / x1 = exp(1 - u / nu) below nu, at the stretched coordinate u: the Gaussian falls faster than this grows.
    """
    s, m = sigma[..., 1:], mu[..., 1:]
    down = 1 / (2 * s.square() * nu)  # beyond m - down the product can only fall
    u = m + torch.linspace(-1, 1, 20_001, dtype=mu.dtype) * (2 * down + 6 / s)  # [..., 20001]
    logarithm = (2 * s.square() * (u - m).abs()).log() - (s * (u - m)).square() + (1 - u / nu).clamp_min(0)
    along, away = (2 / torch.e) ** 0.5 * sigma[..., 0], logarithm.amax(-1).exp()
    return 1.01 * torch.hypot(along, away)


def disturbed(x: np.ndarray, g: np.random.Generator) -> np.ndarray:
    """A diagram [n, 2], rotated, as noise would change it: points moved, some lost, and new ones near the diagonal."""
    size = 10 ** g.uniform(-4, 0)
    moved = x[g.random(len(x)) < 0.9] + size * g.normal(size=(1, 2))
    new = np.stack([g.uniform(-1, 1, 5), size * g.random(5)], 1)
    return np.concatenate([moved, new])[np.concatenate([moved, new])[:, 1] > 0]


def stability(cfg: Config, x: Tensor, mu: Tensor, sigma: Tensor, name: str) -> Iterator[Row]:
    """Pairs of diagrams, a real one and the same disturbed or another real one: x [N, K, P, 2] rotated, mu [K, M, 2]."""
    g = np.random.default_rng(cfg.seed)
    mu, sigma = mu.detach().cpu().double(), sigma.detach().cpu().double()
    limit = steepest(mu, sigma, cfg.nu)  # [K, M]
    for pair in range(cfg.pairs):
        k = int(g.integers(cfg.K))
        one, other = (x[int(n), k].double() for n in g.integers(len(x), size=2))
        D = one[one[:, 1] > 0].numpy()
        E = disturbed(D, g) if pair % 2 else other[other[:, 1] > 0].numpy()
        distance = wasserstein(D, E)
        s_D, s_E = (elements(torch.from_numpy(each)[None], mu[k : k + 1], sigma[k : k + 1], cfg.nu) for each in (D, E))
        change = (s_D - s_E).abs()[0]  # [M]
        yield dict(elements=name, pair=pair, distance=distance, change=change.max().item(),
                   beyond=(change - limit[k] * distance).max().clamp_min(0).item(),
                   part_of_limit=(change / (limit[k] * distance).clamp_min(1e-12)).max().item())  # fmt: skip


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    sides, total = {"learnt": True, "fixed": False}, 5.0
    yield Progress(0, total, "reading shapes")
    data = shapes(cfg)
    found: list[list[Diagram]] = []
    for n, shape in enumerate(data.shapes):
        if n % 50 == 0:
            yield Progress(n / len(data.shapes), total, f"diagrams of {data.name}")
        found.append(diagrams(shape, cfg.K))
    x, y = rotate(padded(found)), data.y
    nets = list(range(cfg.seed, cfg.seed + cfg.seeds))
    trial = [cfg.seed + 1_000_003] * len(cfg.sharpness)  # a seed used for nothing else
    choose, fit, test = split(y, cfg, nets)
    both = torch.cat([fit, choose.expand(len(nets), -1)], 1)
    of_trial, choose = split(y, cfg, trial)[1], choose.expand(len(trial), -1)
    yield dict(data=data.name, shapes=len(y), kinds=len(data.kinds), elements_for_a_direction=cfg.across**2,
               points_of_a_diagram=(x[..., 1] > 0).sum(-1).double().mean().item())  # fmt: skip
    yield heights(cfg, data)
    x, y, choose, of_trial, both, test = (t.to(device) for t in (x, y, choose, of_trial, both, test))

    done, lines = 1.0, dict[str, list[tuple[float, float]]]()
    pictured: dict[str, Net] = {}
    for name, learnt in sides.items():
        scores: dict[tuple[float, float], float] = {}
        for rate in cfg.rates:
            net = start(cfg, len(data.kinds), list(cfg.sharpness), trial, device)
            for step, loss in train(net, x, y, of_trial, cfg, learnt=learnt, rate=rate, seeds=trial):
                yield Progress(done + step / cfg.updates / len(cfg.rates), total, f"{name}: trying the rate {rate}")
                for sharp, value in zip(cfg.sharpness, loss.tolist(), strict=True):
                    yield dict(layer=f"{name}, rate {rate}, sharpness {sharp}", step=step, loss_on_trial=value)
            for sharp, score in zip(cfg.sharpness, right(net, x, y, choose, cfg.nu), strict=True):
                scores[rate, sharp] = score
            done += 1 / len(cfg.rates)
        rate, sharp = max(scores, key=lambda key: scores[key])
        yield dict(layer=name, rate=rate, sharpness=sharp, right_on_validation=scores[rate, sharp])

        net = start(cfg, len(data.kinds), [sharp] * cfg.seeds, nets, device)
        pictured[f"{name}, at the start"], lines[name] = [t.clone() for t in net], []
        for step, loss in train(net, x, y, both, cfg, learnt=learnt, rate=rate, seeds=nets):
            yield Progress(done + step / cfg.updates, total, f"{name}: update {step}")
            accuracy = right(net, x, y, test, cfg.nu)
            lines[name].append((step, sum(accuracy) / len(accuracy)))
            for seed, percent, value in zip(nets, accuracy, loss.tolist(), strict=True):
                yield dict(layer=name, seed=seed, step=step, loss=value, right=percent)
        pictured[f"{name}, in the end"] = [t.detach() for t in net]
        done += 1
    yield curves("accuracy", lines, f"Shapes named right, of {test.shape[1]} new ones; mean of {cfg.seeds} nets",
                 x="update", y="% right")  # fmt: skip
    moments = {moment: pictured[f"learnt, {moment}"] for moment in ("at the start", "in the end")}
    yield where_they_look(cfg, x[both[0]], {moment: (net[0][0], net[1][0]) for moment, net in moments.items()})
    points = []
    for moment, net in moments.items():
        for row in stability(cfg, x.cpu(), net[0][0], net[1][0], moment):
            points.append(row)
            yield row
    yield near_the_diagonal(cfg, points)
    yield Progress(total, total, "done")


def heights(cfg: Config, data: Shapes) -> Figure:
    """A few shapes, the height function in one direction each, and the diagrams."""
    liked = ("octopus", "deer", "Glas", "bat") if "octopus" in data.kinds else ("2", "3", "4", "6")
    drawn, axes = canvas(2, 4, width=9.0, height=4.8)
    for (above, below), kind, v in zip(axes.T, liked, directions(8)[[2, 6, 2, 0]], strict=True):
        shape = data.shapes[int(torch.where(data.y == data.kinds.index(kind))[0][0])]
        places, edges = pixels(shape)
        level = levels(places, v)
        image = np.full(shape.shape, np.nan)
        image[shape] = level
        above.imshow(image, cmap="viridis", interpolation="nearest")
        above.set_axis_off()
        above.set_title(kind)
        pairs = sorted(components(level, edges), key=lambda pair: pair[0] - pair[1])
        row, column = np.nonzero(shape)
        for i, (birth, death, at) in enumerate(pairs):
            large = dict(color=PALETTE[i], markersize=6.5) if i < len(PALETTE) else dict(color=INK, markersize=3)
            above.plot(column[at], row[at], "o", markeredgecolor="white", **large)
            below.plot(birth, death, "o", **large)
        above.annotate("", np.array([0.0, 0.85]) + 0.15 * v, (0.0, 0.85), xycoords="axes fraction", annotation_clip=False,
                       arrowprops=dict(arrowstyle="->", color=INK))  # fmt: skip
        below.plot([-1, 1], [-1, 1], color=INK, linewidth=0.8)
        below.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), aspect="equal", xlabel="birth")
    axes[1, 0].set_ylabel("death")
    return figure("heights", drawn, "Silhouettes, uncovered from dark to light along the arrow. Where a part comes to light by "
                  "itself, a component is born (dot); it dies where it meets an older one. Below, each as a point")  # fmt: skip


def where_they_look(cfg: Config, x: Tensor, moments: dict[str, tuple[Tensor, Tensor]]) -> Figure:
    """The structure elements of the first net in four directions, as ellipses where they have fallen to 1/e."""
    from matplotlib.patches import Ellipse

    shown = sorted({round(i * cfg.K / 4) % cfg.K for i in range(4)})
    drawn, axes = canvas(2, len(shown), width=9.0, height=4.6)
    for row, (moment, (mu, sigma)) in zip(axes, moments.items(), strict=True):
        for ax, k in zip(row, shown, strict=True):
            points = x[:, k].reshape(-1, 2).cpu()
            points = points[points[:, 1] > 0]
            ax.scatter(points[:, 0].numpy(), stretch(points[:, 1], cfg.nu).numpy(), s=1, color=INK, alpha=0.5)
            for m, (at, sharp) in enumerate(zip(mu[k].tolist(), sigma[k].tolist(), strict=True)):
                ax.add_patch(Ellipse(tuple(at), 2 / abs(sharp[0]), 2 / abs(sharp[1]), fill=False, linewidth=1.4,
                                     edgecolor=PALETTE[m % len(PALETTE)]))  # fmt: skip
            ax.set(xlim=(-1.6, 1.6), ylim=(-0.5, 1.9), title=f"{moment}, {360 * k // cfg.K}°")
    for ax in axes[-1]:
        ax.set_xlabel("along the diagonal")
    axes[0, 0].set_ylabel("away from it, stretched")
    axes[1, 0].set_ylabel("away from it, stretched")
    return figure("elements", drawn, "Where the structure elements look, before and after learning, in four directions: "
                  "dots are all points of all training diagrams")  # fmt: skip


def near_the_diagonal(cfg: Config, points: list[Row]) -> Figure:
    """Left: what one point adds, as it nears the diagonal, with the logarithm and without. Right: the pairs judged."""
    drawn, (left, right_) = canvas(1, 2, width=8.0, height=3.2)
    x1 = torch.logspace(-4, 0.2, 200)
    mu, sigma = torch.tensor([[0.0, cfg.nu]]), torch.tensor([[1.0, 3.0]])
    x = torch.stack([torch.zeros_like(x1), x1], 1)[:, None, None]  # [200, 1, 1, 2]
    left.plot(x1.numpy(), elements(x, mu[None], sigma[None], cfg.nu)[:, 0, 0].numpy(), label="with the logarithm")
    left.plot(x1.numpy(), torch.exp(-((3 * (x1 - cfg.nu)) ** 2)).numpy(), label="a plain Gaussian")
    left.axvline(cfg.nu, color=INK, linewidth=0.8, linestyle=":")
    left.set(xscale="log", xlabel="distance of the point from the diagonal", ylabel="what an element sees")
    left.legend()
    for i, moment in enumerate(dict.fromkeys(str(row["elements"]) for row in points)):
        those = [row for row in points if row["elements"] == moment]
        right_.scatter([row["distance"] for row in those], [row["part_of_limit"] for row in those], s=9, label=moment,
                       color=PALETTE[i])  # fmt: skip
    right_.axhline(1.0, color=INK, linewidth=0.8)
    right_.set(xscale="log", ylim=(0, 1.1), xlabel="Wasserstein-1 distance", ylabel="change, as a part of the bound")
    right_.legend()
    return figure("stability", drawn, "A point that comes to the diagonal, as noise does, is seen less and less, to nothing; "
                  "so what the layer gives out can't change by more than the diagrams do")  # fmt: skip


def check(rows: list[Row]) -> list[Verdict]:
    return [
        compare(
            "learnt-beats-fixed",
            by_seed(rows, "right", layer="learnt"),
            by_seed(rows, "right", layer="fixed"),
            better="higher",
            margin=1.0,  # ours: one shape in a hundred
            unit="% of new shapes named right",
        ),
        exact(
            "stability",
            [float(row["beyond"]) for row in rows if "beyond" in row],
            0.0,
            tolerance=1e-9,
            unit="change of an element beyond its bound, largest",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
