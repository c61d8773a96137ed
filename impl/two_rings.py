"""Deep Learning. Goodfellow, Bengio & Courville, MIT Press, 2016. Two rings: Sec. 1, Fig. 1.1.

Claims      polar                in radius and angle a line divides two rings; in Cartesian
                                 coordinates the best of all lines doesn't (Fig. 1.1)
            learnt-coordinates   a net finds such coordinates: on its last hidden layer a linear
                                 classifier is as good as on those made by hand
            learning-makes-them  it is better than on a random layer of as many units
            radius               what it has learnt is the radius: the direction that the classifier
                                 reads off goes with it all over the disc, more than in a random
                                 layer, also where no training point was
Deviations  1  the book shows a picture and gives no numbers: rings, nets, sizes and every setting
               are ours. The rings overlap a little, so that nothing is right by construction
            2  Fig. 1.1 changes the coordinates by hand; that a net can learn the change is what
               Sec. 1 says of representation learning, and the experiment on it is ours
            3  the output unit is taught 1 and -1 by squared error: told to be ever surer, it leaves
               nothing but a line
            4  the random layer is the untrained net, its weights scaled by the best of `gains`. One
               that is wide enough divides the rings, too; it is drawn, not judged: the claims are
               about three units, which is what can be looked at
Left out    other factors of variation, autoencoders and all else that the book goes on to
Shapes      N points, D coordinates, H units of the last hidden layer
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from impl.drawing import two_rings as drawing
from impl.kit import (
    Arrays,
    Chosen,
    Comparison,
    Event,
    NoWorse,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    generator,
    judge,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.figures import curves

Events = Iterator[TrialEvent]


def polar(x: Tensor) -> Tensor:
    """Fig. 1.1, right: (radius, angle) of each point."""
    return torch.stack([x.norm(dim=-1), torch.atan2(x[..., 1], x[..., 0])], -1)


class Net(nn.Module):
    """All that it does to the plane happens in its hidden layers; the output is linear in them."""

    def __init__(self, hidden: int, H: int):
        super().__init__()
        self.first, self.last, self.out = (
            nn.Linear(2, hidden),
            nn.Linear(hidden, H),
            nn.Linear(H, 1),
        )

    def represent(self, x: Tensor) -> Tensor:
        """[N, 2] -> [N, H]"""
        return torch.tanh(self.last(torch.tanh(self.first(x))))

    def forward(self, x: Tensor) -> Tensor:
        """[N, 2] -> [N], to be 1 in the inner ring and -1 in the outer"""
        y: Tensor = self.out(self.represent(x))
        return y[:, 0]


@dataclass(frozen=True)
class Config:
    radii: tuple[float, float] = (1.0, 2.0)  # ours: of the two rings
    spread: float = 0.2  # ours: standard deviation of a point's distance from its ring
    points: int = 500  # ours: half of them in each ring
    test: int = 1_000  # ours: new points, as many for validation, and as many all over the disc
    hidden: int = 8  # ours: tanh units of the first hidden layer
    H: int = 3  # ours: tanh units of the last hidden layer, as many as one can look at
    widths: tuple[int, ...] = (2, 3, 5, 10, 30)  # ours: sizes of the last hidden layer, to draw
    lrs: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03)  # ours: of Adam, all points at once
    gains: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)  # ours: of a random layer's weights
    updates: int = 300  # ours
    moments: tuple[int, ...] = (0, 10, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300)  # ours: pictures
    seeds: int = 40  # ours: how many repetitions, each with its own points
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = PAPER
QUICK = replace(FULL, widths=(3, 10, 30), seeds=12)
SMOKE = replace(QUICK, points=40, test=100, widths=(3,), updates=20, moments=(0, 20), seeds=3)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

BY_HAND = Protocol(("cartesian", "polar"))
LEARNT = Protocol(("learnt",), {"lr": "lrs"}, {"H": "widths"})
RANDOM = Protocol(("random",), {"gain": "gains"}, {"H": "widths"})

HALF = "half of the way from guessing to all right"
CLAIMS = (
    Comparison(
        claim="polar",
        idea="polar",
        rival="cartesian",
        measure="error",
        better="lower",
        margin=25.0,
        because=HALF,
        unit="% of the test points wrong, a line in polar against one in Cartesian coordinates",
    ),
    NoWorse(
        claim="learnt-coordinates",
        idea="learnt",
        rival="polar",
        measure="error",
        where={"judged_size": True},
        better="lower",
        margin=1.0,
        because="one point in a hundred",
        unit="% of the test points wrong, a linear classifier on learnt and on polar coordinates",
        ours=True,
    ),
    Comparison(
        claim="learning-makes-them",
        idea="learnt",
        rival="random",
        measure="error",
        where={"judged_size": True},
        better="lower",
        margin=25.0,
        because=HALF,
        unit="% of the test points wrong, a linear classifier on learnt and on random units",
        ours=True,
    ),
    Comparison(
        claim="radius",
        idea="learnt",
        rival="random",
        measure="with_radius",
        where={"judged_size": True},
        better="higher",
        margin=0.5,
        because="half of the way from none to all",
        unit="correlation with the radius of what a linear classifier reads off",
        ours=True,
    ),
)
BROKEN: Broken = {
    "polar": {"radii": (1.5, 1.5)},
    "learnt-coordinates": {"updates": 0},
    "learning-makes-them": {"updates": 0},
    "radius": {"updates": 0},
}


def around(r: Tensor, source: torch.Generator) -> Tensor:
    """A point at each of the radii r [N], in any direction, [N, 2]."""
    angle = 2 * torch.pi * torch.rand(len(r), generator=source).double()
    return torch.stack([r * angle.cos(), r * angle.sin()], 1)


def rings(cfg: Config, N: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points x [N, 2] and labels y [N]: 1 in the inner ring, 0 in the outer."""
    y = (torch.arange(N) % 2 == 0).double()
    r = torch.where(y > 0, *cfg.radii) + cfg.spread * torch.randn(N, generator=source).double()
    return around(r, source), y


def best_line(x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """How many of the points x [N, 2] the best of *all* lines puts on the right side (a part of N),
    and that line, [3]: its sign at (x, 1) says which class.

    Every line can be moved, without a point changing sides, until it touches two of them; so it is
    enough to try the lines through two points. A nudge brings those two to either side.
    """
    best, line = 0.0, x.new_zeros(3)
    for i in range(len(x)):
        along = x - x[i]  # the lines from point i to every other
        normal = torch.stack([-along[:, 1], along[:, 0]], 1)
        side = (normal @ along.T).sign()  # [N, N]: line through i and j, point
        side[:, i] = 0.0
        side.fill_diagonal_(0.0)
        agree = side @ (2 * y - 1)  # right minus wrong; the sign says which class is where
        agree[i] = 0.0  # no line: i and i
        j = int(agree.abs().argmax())
        right = (2 + (len(x) - 2 + float(agree[j].abs())) / 2) / len(x)
        if right > best:
            n = normal[j] * agree[j].sign()
            best, line = right, torch.cat([n, -(n @ x[i])[None]])
    return best, line


def linear_classifier(z: Tensor, y: Tensor) -> Tensor:
    """Logistic regression on coordinates z [N, D], whichever they are: weights [D + 1].

    Newton's method. The slight pull to 0 keeps the weights finite where a line separates the
    classes.
    """
    mean, std = z.mean(0), z.std(0).clamp_min(1e-9)
    z1 = with_one((z - mean) / std)
    w, ridge = z.new_zeros(z1.shape[1]), 1e-4
    for _ in range(20):
        p = torch.sigmoid(z1 @ w)
        gradient = z1.T @ (p - y) / len(z) + ridge * w
        hessian = (z1.T * (p * (1 - p))) @ z1 / len(z) + ridge * torch.eye(len(w), dtype=w.dtype)
        w = w - torch.linalg.solve(hessian, gradient)
    slope = w[:-1] / std
    return torch.cat([slope, (w[-1] - slope @ mean)[None]])


def with_one(z: Tensor) -> Tensor:
    return torch.cat([z, torch.ones_like(z[:, :1])], 1)


def wrong(z: Tensor, y: Tensor, w: Tensor) -> float:
    """Points on the wrong side of a line, in percent."""
    return 100 * ((with_one(z) @ w > 0) != (y > 0)).double().mean().item()


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, of a and b [N], without its sign."""
    a, b = a - a.mean(), b - b.mean()
    return abs(float(a @ b / (a.norm() * b.norm()).clamp_min(1e-12)))


@dataclass(frozen=True)
class Points:
    """Of one seed; each x [N, 2] and y [N]."""

    train: tuple[Tensor, Tensor]
    val: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    disc: Tensor  # all over it

    @staticmethod
    def draw(cfg: Config, seed: int) -> "Points":
        train = rings(cfg, cfg.points, generator(seed, "train"))
        val, test = (rings(cfg, cfg.test, generator(seed, use)) for use in ("val", "test"))
        source = generator(seed, "disc")
        r = (cfg.radii[1] + 2 * cfg.spread) * torch.rand(cfg.test, generator=source).double()
        return Points(train, val, test, around(r, source))


def trial(cfg: Config, device: torch.device, *, arm: str, seed: int, **point: float) -> Events:
    points = Points.draw(cfg, seed)
    if arm in BY_HAND.arms:
        yield by_hand(cfg, points, arm)
        return
    H = int(point["H"])
    net = Net(cfg.hidden, H).to(device)
    if arm == "learnt":
        keep = H == cfg.H and seed < cfg.seed + drawing.STARTS
        yield from train(cfg, net, points, point["lr"], keep)
    else:
        for layer in (net.first, net.last):
            layer.weight.data *= point["gain"]
    step = cfg.updates if arm == "learnt" else 0
    yield measured(net, points) | {"step": step, "judged_size": H == cfg.H}


def by_hand(cfg: Config, points: Points, arm: str) -> Row:
    (x, y), (x_test, y_test) = points.train, points.test
    if arm == "cartesian":
        right, w = best_line(x, y)
        return {"error": wrong(x_test, y_test, w), "train_error": 100 * (1 - right)}
    w = linear_classifier(polar(x), y)
    error, train_error = wrong(polar(x_test), y_test, w), wrong(polar(x), y, w)
    return {"error": error, "train_error": train_error, "judged_size": True}


def train(cfg: Config, net: Net, points: Points, lr: float, keep: bool) -> Events:
    device = net.out.weight.device
    x, target = points.train[0].float().to(device), (2 * points.train[1] - 1).float().to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    for step in range(cfg.updates + 1):
        if keep and step in cfg.moments:
            yield Arrays({f"{step}/{name}": w.clone() for name, w in net.state_dict().items()})
        if step % -(-(cfg.updates or 1) // 8) == 0:
            yield measured(net, points) | {"step": step}
        if step == cfg.updates:
            return
        loss = (net(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def measured(net: Net, points: Points) -> Row:
    """What a linear classifier makes of the net's last hidden layer, in double precision."""
    now = Net(net.first.out_features, net.last.out_features).double()
    now.load_state_dict(net.state_dict())
    train, val, test = (now.represent(x) for x, _ in (points.train, points.val, points.test))
    w = linear_classifier(train, points.train[1])
    reads_off = with_one(now.represent(points.disc)) @ w
    return {
        "val_error": wrong(val, points.val[1], w),
        "error": wrong(test, points.test[1], w),
        "with_radius": correlation(reads_off, points.disc.norm(dim=1)),
    }


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, (BY_HAND, LEARNT, RANDOM), device)
    starts = [restored(cfg, choice) for choice in chosen if choice.tensors]
    points = Points.draw(cfg, cfg.seed).train
    line = best_line(*points)[1]
    yield from drawing.figures(starts, points, line, linear_classifier(polar(points[0]), points[1]))
    lines: dict[str, list[tuple[float, float]]] = {}
    for arm in ("learnt", "random"):
        for H in cfg.widths:
            errors = [float(c.row["error"]) for c in chosen if (c.arm, c.job.get("H")) == (arm, H)]
            lines.setdefault(arm, []).append((float(H), sum(errors) / len(errors)))
    caption = "A random layer that is wide enough divides the rings as well; a learnt one needs few"
    yield curves("width", lines, caption, x="units in the last hidden layer", y="% wrong")


def restored(cfg: Config, choice: Chosen) -> dict[int, Net]:
    """The net at each of the moments, in double precision."""
    nets: dict[int, Net] = {}
    for name, tensor in choice.tensors.items():
        step, parameter = name.split("/")
        net = nets.setdefault(int(step), Net(cfg.hidden, cfg.H).double())
        net.get_parameter(parameter).data = tensor.double()
    return nets


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
