"""Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks. Radford et al., 2015.

Claims      generator-size      the generator of Fig. 1 turns 100 numbers into 64 x 64 x 3 with 18,851,200 weights
            beats-untrained     a linear classifier does better on D's features than on those of D before training (Sec. 5)
            beats-pixels        and better than on the pixels, when few images are labelled (Sec. 5.2)
            collapse            without batch normalization, else alike, G puts its samples on one point (Sec. 3)
            batch-norm          and with initial weights and a rate of its own it still learns worse than with it (Sec. 3)
            smooth-walk         a walk in z changes images gradually; memorized ones would jump (Sec. 6.1)
Deviations  1  handwriting instead of bedrooms, ImageNet, faces and SVHN: MNIST at 16 x 16, in `quick` 8 x 8 digits
            2  `quick` and `full`: two or three strided layers, not four; narrow, few updates, a larger learning rate
            3  pixels and D untrained are the baselines; the paper compares with k-means features and with a trained CNN
            4  nets without batch normalization have biases; `plain_...` are settings chosen for them, on validation images
            5  the weights are counted from the sizes in Fig. 1; the paper doesn't give the number
Left out    arithmetic with z, forgetting windows, guided back-propagation, the conditional net of Sec. 8
Shapes      S nets side by side (one a seed, a group of channels each), B images, C channels, F features, K classes
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.data import Images, handwriting
from impl.kit.figures import sheets


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # ours; `auto` is MNIST where it can be had, else scikit-learn's digits
    Z: int = 100  # Fig. 1: uniform noise
    widths: tuple[int, ...] = (
        1024,
        512,
        256,
        128,
    )  # Fig. 1: G's feature maps; D has them in reverse
    kernel: int = 5  # Fig. 1
    slope: float = 0.2  # Sec. 4: of the leak in D
    std: float = 0.02  # Sec. 4: of the initial weights
    lr: float = 0.0002  # Sec. 4: Adam
    beta1: float = 0.5  # Sec. 4
    batch: int = 128  # Sec. 4
    updates: int = 20_000  # ours
    plain_std: float = (
        0.02  # Sec. 4; of the net without batch normalization whose settings are its own
    )
    plain_lr: float = 0.0002  # Sec. 4; of the same
    labels: int = 1_000  # Sec. 5.2: labelled images, the same number of each class
    draws: int = 10  # ours: of labelled images for each D
    penalties: tuple[float, ...] = (
        0.001,
        0.01,
    )  # ours: of the linear classifier, the best on validation
    validation: int = 10_000  # Sec. 5.2
    samples: int = 2_000  # ours: for the distance between samples and test images
    tests: int = 10_000  # MNIST: test images, for that distance and for the classifiers
    seeds: int = (
        5  # ours: how many repetitions, each with its own images to train on and its own labels
    )
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", widths=(64, 32, 16), Z=32, batch=64, lr=0.002, plain_std=0.2, plain_lr=0.001,
               updates=1_000, labels=200, draws=3, samples=1_000, validation=1_000, tests=2_000)  # fmt: skip
QUICK = replace(
    FULL,
    data="digits",
    widths=(32, 16),
    Z=16,
    lr=0.004,
    updates=400,
    labels=100,
    draws=2,
    samples=500,
)
SMOKE = replace(QUICK, widths=(8, 8), updates=4, labels=20, draws=1, samples=50, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


class Generator(nn.Module):
    """Noise [B, S*Z, 1, 1] -> images [B, S*C, side, side] in -1..1; the S nets are groups of channels that never meet.

    Sec. 3: fractionally strided convolutions, batch normalization and ReLU but for the last layer, then tanh.
    """

    def __init__(
        self,
        S: int,
        Z: int,
        widths: tuple[int, ...],
        C: int,
        base: int,
        kernel: int,
        norm: bool = True,
    ):
        super().__init__()
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(S * Z, S * widths[0], base, groups=S, bias=not norm)
        ]  # "project"
        for n, m in zip(widths, (*widths[1:], C), strict=True):
            layers += [nn.BatchNorm2d(S * n, momentum=1.0), nn.ReLU()] if norm else [nn.ReLU()]
            layers.append(nn.ConvTranspose2d(S * n, S * m, kernel, 2, kernel // 2, output_padding=1, groups=S,
                                             bias=not norm))  # fmt: skip
        self.net = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.net(z)
        return x


class Discriminator(nn.Module):
    """Images [B, S*C, side, side] -> log-odds [B, S]. Sec. 3: strided convolutions, LeakyReLU, and batch normalization
    but for the first layer."""

    def __init__(
        self,
        S: int,
        widths: tuple[int, ...],
        C: int,
        base: int,
        kernel: int,
        slope: float,
        norm: bool = True,
    ):
        super().__init__()
        self.S, self.layers = S, nn.ModuleList()
        for i, (n, m) in enumerate(zip((C, *widths), widths, strict=False)):
            convolution = nn.Conv2d(S * n, S * m, kernel, 2, kernel // 2, groups=S, bias=not norm)
            normal = [nn.BatchNorm2d(S * m, momentum=1.0)] if norm and i else []
            self.layers.append(nn.Sequential(convolution, *normal, nn.LeakyReLU(slope)))
        self.out = nn.Conv2d(S * widths[-1], S, base, groups=S)

    def forward(self, x: Tensor) -> Tensor:
        odds: Tensor = self.out(self.last(x))
        return odds.flatten(1)

    def last(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def features(self, x: Tensor) -> Tensor:
        """Sec. 5.1, [N, S, F]: every layer's maps, max-pooled to a grid of at most 4 x 4, side by side."""
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(
                F.adaptive_max_pool2d(x, min(4, x.shape[-1])).unflatten(1, (self.S, -1)).flatten(2)
            )
        return torch.cat(found, 2)


class Pair(nn.Module):
    """A generator and a discriminator for each of S seeds, with their optimizers."""

    def __init__(self, cfg: Config, side: int, norm: bool, std: float, lr: float):
        super().__init__()
        self.S, self.Z, base = cfg.seeds, cfg.Z, side >> len(cfg.widths)
        self.G = Generator(cfg.seeds, cfg.Z, cfg.widths, 1, base, cfg.kernel, norm)
        self.D = Discriminator(cfg.seeds, cfg.widths[::-1], 1, base, cfg.kernel, cfg.slope, norm)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, std)  # Sec. 4
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                nn.init.zeros_(module.bias)
        self.optimizers: dict[nn.Module, torch.optim.Adam] = {
            net: torch.optim.Adam(net.parameters(), lr, (cfg.beta1, 0.999))
            for net in (self.G, self.D)
        }

    def noise(self, B: int) -> Tensor:
        return (
            2 * torch.rand(B, self.S * self.Z, 1, 1, device=next(self.parameters()).device) - 1
        )  # Fig. 1: uniform

    def update(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """One step for D, one for G; returns D(x) and D(G(z)) as D saw them, [S] each."""
        fake = self.G(self.noise(len(x)))
        odds, odds_fake = self.D(x), self.D(fake.detach())
        self.step(self.D, -(F.logsigmoid(odds) + F.logsigmoid(-odds_fake)))
        self.D.requires_grad_(False)
        self.step(self.G, -F.logsigmoid(self.D(fake)))
        self.D.requires_grad_(True)
        return odds.detach().sigmoid().mean(0), odds_fake.detach().sigmoid().mean(0)

    def step(self, net: nn.Module, loss: Tensor) -> None:
        self.optimizers[net].zero_grad()
        loss.mean(
            0
        ).sum().backward()  # [B, S]: a sum over the S nets, none of which is in another's gradient
        self.optimizers[net].step()


@torch.no_grad()
def settle(net: nn.Module, x: Tensor) -> None:
    """From here on batch normalization uses the statistics of x, whatever else is in a batch (its momentum is 1)."""
    net.train()(x)
    net.eval()


@torch.no_grad()
def draw(pair: Pair, z: Tensor, n: int) -> Tensor:
    """Images [S, N, H, W] of z, with the statistics of n fresh samples."""
    settle(pair.G, pair.noise(n))
    x: Tensor = pair.G(z).transpose(0, 1)
    pair.train()
    return x


def apart(x: Tensor) -> Tensor:
    """The mean distance between two different ones of x [n, D]."""
    return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))


def spread(x: Tensor, y: Tensor) -> float:
    """How far apart samples are, in percent of how far apart images are: 0 if all samples are the same."""
    return 100 * (apart(x) / apart(y)).item()


def energy_distance(x: Tensor, y: Tensor) -> float:
    """Of samples [n, D] and images [m, D], in percent of the images' mean distance: 0 if they are distributed alike."""
    return 100 * ((2 * torch.cdist(x, y).mean() - apart(x)) / apart(y) - 1).item()


@torch.no_grad()
def features(D: Discriminator, x: Tensor) -> Tensor:
    """[S, N, F] of images [N, S, H, W], with the statistics that `settle` left."""
    return torch.cat([D.features(part) for part in x.split(500)]).transpose(0, 1)


def svm(f: Tensor, y: Tensor, penalty: Tensor) -> tuple[Tensor, Tensor]:
    """Sec. 5.1: M regularized linear L2-SVMs on f [M, N, F], one class against the rest: [M, F, K] and [M, 1, K]."""
    W, b = (
        f.new_zeros(len(f), f.shape[2], 10, requires_grad=True),
        f.new_zeros(len(f), 1, 10, requires_grad=True),
    )
    optimizer = torch.optim.LBFGS([W, b], max_iter=40, line_search_fn="strong_wolfe")
    sign = 2 * F.one_hot(y, 10) - 1  # [N, K]

    def closure() -> Tensor:
        optimizer.zero_grad()
        slack = (1 - sign * (f @ W + b)).relu().square().sum(2).mean(1)
        loss = (slack + penalty * W.square().sum((1, 2))).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return W.detach(), b.detach()


def svm_error(f: Tensor, y: Tensor, n: int, tests: int, penalties: tuple[float, ...]) -> float:
    """In percent. f [N, F] has n labelled images, then those for validation, and at the end those for testing."""
    f = f - f[:n].mean(0)
    alone = f / (
        f[:n].std(0) + 0.1 * f[:n].std()
    )  # every feature to its own scale, or not, as validation says
    # and all so that one penalty means the same: [2 * penalties, N, F]
    g = torch.stack(
        [each / each[:n].square().sum(1).mean().sqrt() for each in (f, alone) for _ in penalties]
    )
    W, b = svm(g[:, :n], y[:n], torch.tensor(2 * penalties, device=f.device))
    wrong = ((g @ W + b).argmax(2) != y).float()
    best = wrong[:, n:-tests].mean(1).argmin()
    return 100 * wrong[best, -tests:].mean().item()


def largest_step(path: Tensor) -> float:
    """Of walks [N, T, D] the longest of the T - 1 steps, in percent of the way, on average; NaN if there are no walks."""
    steps = path.diff(dim=1).norm(dim=2)
    return 100 * float((steps.amax(1) / steps.sum(1)).mean())


def small(data: Images) -> Images:
    """In -1..1 (Sec. 4), and MNIST at 16 x 16: a border of two, then the mean of every 2 x 2."""

    def shrink(x: Tensor) -> Tensor:
        return 2 * (F.avg_pool2d(F.pad(x, (2, 2, 2, 2)), 2) if x.shape[-1] == 28 else x) - 1

    return replace(data, x_train=shrink(data.x_train), x_test=shrink(data.x_test))


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    with torch.device("meta"):  # sizes only
        paper = Generator(1, PAPER.Z, PAPER.widths, 3, 4, PAPER.kernel)
        image = paper(torch.zeros(2, PAPER.Z, 1, 1))
    yield dict(measure="generator of Fig. 1", weights=sum(p.numel() for p in paper.parameters() if p.dim() > 1),
               side=image.shape[-1])  # fmt: skip
    data = small(handwriting(cfg.data)).to(device)
    yield dict(measure="images", data=data.name, n=len(data.x_train))
    if data.name == "digits":  # 1,297 training images in all
        cfg = replace(cfg, validation=min(cfg.validation, 297), labels=min(cfg.labels, 500))
    torch.manual_seed(cfg.seed)
    x, side, names = data.x_train, data.x_train.shape[-1], range(cfg.seed, cfg.seed + cfg.seeds)
    order = torch.stack([torch.randperm(len(x)) for _ in names]).to(device)  # [S, all]
    valid, own = order[:, : cfg.validation], order[:, cfg.validation :]
    images = data.x_test[: min(cfg.tests, cfg.samples)].flatten(1)
    nets = {
        "batch norm": Pair(cfg, side, True, cfg.std, cfg.lr),
        "without": Pair(cfg, side, False, cfg.std, cfg.lr),
        "without, own settings": Pair(cfg, side, False, cfg.plain_std, cfg.plain_lr),
    }
    for pair in nets.values():
        pair.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast
    untrained = deepcopy(nets["batch norm"].D)

    z = {name: pair.noise(32) for name, pair in nets.items()}
    for step in range(cfg.updates + 1):
        if step:
            at = own.gather(1, torch.randint(own.shape[1], (cfg.seeds, cfg.batch), device=device))
            real = x[at, 0].transpose(0, 1)  # [B, S, H, W]
            beliefs = {name: pair.update(real) for name, pair in nets.items()}
            yield Progress(0.9 * step / cfg.updates, 1, "G and D play")
        if step and (step % 25 == 0 or step == cfg.updates):
            for name, (on_data, on_samples) in beliefs.items():
                for i, seed in enumerate(names):
                    yield dict(
                        net=name,
                        seed=seed,
                        step=step,
                        D_data=on_data[i].item(),
                        D_samples=on_samples[i].item(),
                    )
        if step % -(-cfg.updates // 8) == 0 or step == cfg.updates:
            for name, pair in nets.items():
                drawn = draw(pair, pair.noise(cfg.samples), cfg.samples).flatten(2)
                for i, seed in enumerate(names):
                    distance = energy_distance(drawn[i], images)
                    yield dict(
                        net=name,
                        seed=seed,
                        step=step,
                        distance=distance,
                        spread=spread(drawn[i], images),
                    )
            panels = {name: draw(pair, z[name], cfg.samples)[0] for name, pair in nets.items()}
            yield sheets(
                "samples",
                panels,
                f"{step} updates: samples with batch normalization and without it",
                step=step,
            )

    yield from classify(
        cfg, data, {"trained D": nets["batch norm"].D, "untrained D": untrained}, own, valid
    )
    yield from walks(cfg, nets["batch norm"], x, own)
    yield Progress(1, 1, "done")


def classify(
    cfg: Config, data: Images, nets: dict[str, Discriminator], own: Tensor, valid: Tensor
) -> Iterator[Event]:
    """Sec. 5: a few labelled images of each class, the rest unlabelled; and what the nets respond to."""
    x, y = data.x_train, data.y_train
    for D in nets.values():
        settle(D, x[own[:, :1_000].T, 0])
    x_test, y_test = data.x_test[: cfg.tests], data.y_test[: cfg.tests]
    pool, classes = torch.cat([x, x_test]), torch.cat([y, y_test])
    tests = torch.arange(len(x), len(pool), device=x.device)
    errors: dict[tuple[str, int], list[float]] = {}
    for draw in range(cfg.draws):
        rows = []
        for i in range(cfg.seeds):
            mine = own[i][torch.randperm(own.shape[1]).to(x.device)]
            labelled = [mine[y[mine] == digit][: cfg.labels // 10] for digit in range(10)]
            rows.append(torch.cat([*labelled, valid[i, :1_000], tests]))
        at = torch.stack(rows)  # [S, N]: each net sees its own images
        images = pool[at, 0].transpose(0, 1)  # [N, S, H, W]
        inputs = {name: features(D, images) for name, D in nets.items()} | {
            "pixels": images.transpose(0, 1).flatten(2)
        }
        for i in range(cfg.seeds):
            for name, f in inputs.items():
                error = svm_error(f[i], classes[at[i]], len(at[i]) - len(tests) - min(1_000, valid.shape[1]),
                                   len(tests), cfg.penalties)  # fmt: skip
                errors.setdefault((name, cfg.seed + i), []).append(error)
            yield Progress(
                0.9 + 0.08 * (draw + (i + 1) / cfg.seeds) / cfg.draws, 1, "linear classifiers"
            )
    for (name, seed), each in errors.items():
        yield dict(features=name, seed=seed, n=cfg.labels, test_error=sum(each) / len(each))
    top = {}
    for name, D in nets.items():
        maps = D.last(
            x[own[0, :1_000]].expand(-1, cfg.seeds, -1, -1)
        )  # [N, C, h, w] of the first seed
        top[name] = torch.cat(
            [x[own[0, at], 0] for at in maps.amax((2, 3))[:, :8].topk(8, dim=0).indices.T]
        )
    yield sheets(
        "units",
        top,
        "The 8 training images that excite each of 8 units of D's last layer most, a row a unit",
    )
    kernels = {name: D.layers[0][0].weight[: cfg.widths[-1], 0] for name, D in nets.items()}  # type: ignore[index]
    yield sheets("filters", kernels, "The filters of D's first layer", symmetric=True)


def walks(cfg: Config, pair: Pair, x: Tensor, own: Tensor) -> Iterator[Event]:
    """Sec. 6.1: straight ways from one z to another, and the same through the nearest training images."""
    side, t = x.shape[-1], torch.linspace(0, 1, 16, device=x.device)
    a, b = pair.noise(2 * 32).chunk(2)  # [32, S*Z, 1, 1]
    z = torch.lerp(a[:, None], b[:, None], t[None, :, None, None, None])  # [32, 16, ...]
    path = (
        draw(pair, z.flatten(0, 1), cfg.samples).flatten(2).unflatten(1, (32, 16))
    )  # [S, 32, 16, D]
    for i in range(cfg.seeds):
        mine = x[own[i]].flatten(1)
        distance, nearest = torch.cdist(path[i].flatten(0, 1), mine).min(1)
        memory = mine[nearest].unflatten(0, (32, 16))
        between = torch.cdist(mine[:500], mine[500:]).amin(1).mean().item()
        ends = (path[i, :, -1] - path[i, :, 0]).norm(dim=1)
        moved = (ends > between) & (memory[:, 0] != memory[:, -1]).any(
            1
        )  # others lead nowhere, as all do at first
        for name, way in {"generator": path[i], "nearest training images": memory}.items():
            yield dict(
                walk=name,
                seed=cfg.seed + i,
                n=int(moved.sum()),
                largest_step=largest_step(way[moved]),
            )
        yield dict(walk="to the nearest training image", seed=cfg.seed + i, of_samples=distance.mean().item(),
                   of_other_images=between)  # fmt: skip
        if i == 0:
            panels = {"generator": path[0, :6], "the nearest training images": memory[:6]}
            yield sheets("walk", {name: way.reshape(-1, side, side) for name, way in panels.items()},
                         "Six walks in z (as in Fig. 4), and the training image nearest to each step", columns=16)  # fmt: skip


def check(rows: list[Row]) -> list[Verdict]:
    trained = by_seed(rows, "test_error", features="trained D")
    n = next((int(row["n"]) for row in rows if "features" in row), 0)
    unit = f"% test error, {n} labelled images"
    return [
        exact(
            "generator-size",
            [float(row["weights"]) for row in rows if row.get("side") == 64],
            18_851_200,
            tolerance=0,
            unit="weights",
        ),
        compare(
            "beats-untrained",
            trained,
            by_seed(rows, "test_error", features="untrained D"),
            better="lower",
            margin=0.8,  # Table 1: 82.8 against 82.0 %, the smallest gain that the paper claims
            unit=unit,
        ),
        compare(
            "beats-pixels",
            trained,
            by_seed(rows, "test_error", features="pixels"),
            better="lower",
            margin=0.8,  # same
            unit=unit,
        ),
        compare(
            "collapse",
            usual_spread(rows, "batch norm"),
            usual_spread(rows, "without"),
            better="higher",
            margin=10.0,  # ours: a tenth of how far apart images are
            unit="% of the distance between images, mean distance of samples, second half of training",
        ),
        compare(
            "batch-norm",
            by_seed(rows, "distance", net="batch norm"),
            by_seed(rows, "distance", net="without, own settings"),
            better="lower",
            margin=1.0,  # ours: a hundredth of the distance between two images
            unit="% of the distance between images, energy distance of samples and images",
        ),
        compare(
            "smooth-walk",
            by_seed(rows, "largest_step", walk="generator"),
            by_seed(rows, "largest_step", walk="nearest training images"),
            better="lower",
            margin=10.0,  # ours: of 15 steps, an even one is 6.7 %
            unit="% of a walk's length in its largest step",
        ),
    ]


def usual_spread(rows: list[Row], net: str) -> dict[int, float]:
    """Seed by seed, the mean over the second half of training: nets that collapse come and go."""
    rows = [row for row in rows if row.get("net") == net and "spread" in row]
    half = max((float(row["step"]) for row in rows), default=0.0) / 2
    found: dict[int, list[float]] = {}
    for row in (row for row in rows if float(row["step"]) >= half):
        found.setdefault(int(row["seed"]), []).append(float(row["spread"]))
    return {seed: sum(each) / len(each) for seed, each in found.items()}


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
