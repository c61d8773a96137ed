"""Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks.

Radford, Metz & Chintala, 2015 (arXiv 1511.06434).

Claims      generator-size    G's maps have the sizes of Fig. 1, from 100 numbers to 64 x 64 x 3
            beats-kmeans      a linear classifier errs less on D's features than k-means' (Table 1)
            beats-supervised  and less than a net like D does that learns from labels only (Table 2)
            beats-untrained   and less than on the features of D before training
            collapse          without batch normalization, else alike, G's samples are one point
            batch-norm        with initial weights of its own, too, it learns worse without (Sec. 3)
            smooth-walk       a walk in z changes images gradually; memorized ones jump (Sec. 6.1)
            walk-stays-real   and what is halfway is more like an image than a cross-fade is
Deviations  1  D is trained on the data set that is classified, not on ImageNet; `full`: MNIST at
               16 x 16, `quick`: digits of 8 x 8, both with few updates, fewer and narrower layers
            2  the rival of Table 1 is one layer of k-means, and that of Table 2 is searched like D
            3  initial weights and learning rate are searched, for all nets
            4  nets without batch normalization have biases
            5  once trained, batch normalization takes its statistics from a large batch
Left out    bedrooms, faces, arithmetic with z, forgetting windows, the conditional net of Sec. 8
Shapes      B images, C channels, N samples or walks of T steps, Z noise, K classes, F features
"""

import functools
import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing.dcgan import figures
from impl.kit.broken import Broken
from impl.kit.claims import Comparison, Identity, Side, judge
from impl.kit.cli import main
from impl.kit.data import Split, draw_split
from impl.kit.descent import update
from impl.kit.events import Arrays, Event, Row, TrialEvent
from impl.kit.features import PatchKMeans, embed, few_labels, images, svm_errors
from impl.kit.fitting import fit, settle
from impl.kit.protocol import Protocol, run_protocol
from impl.kit.samples import energy_distance, spread
from impl.kit.trials import generator
from impl.kit.verdicts import Verdict, by_seed
from impl.kit.walks import cross_fade, largest_step, nearest


class Generator(nn.Module):
    """Noise [B, Z] -> images [B, C, side, side] in -1..1.

    Sec. 3: fractionally strided convolutions, batch normalization and ReLU but for the last, tanh.
    """

    def __init__(self, Z: int, widths: tuple[int, ...], C: int, base: int, kernel: int,
                 stride: int = 2, norm: bool = True):  # fmt: skip
        super().__init__()
        layers: list[nn.Module] = [nn.ConvTranspose2d(Z, widths[0], base, bias=not norm)]
        edges = kernel // 2, stride - 1  # so that a map grows by the stride
        for n, m in zip(widths, (*widths[1:], C), strict=True):
            layers += [nn.BatchNorm2d(n, momentum=1.0), nn.ReLU()] if norm else [nn.ReLU()]
            layers.append(nn.ConvTranspose2d(n, m, kernel, stride, *edges, bias=not norm))
        self.net, self.Z = nn.Sequential(*layers, nn.Tanh()), Z

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.net(z[..., None, None])
        return x

    def noise(self, B: int, source: torch.Generator) -> Tensor:
        """Fig. 1: uniform, [B, Z]"""
        return 2 * torch.rand(B, self.Z, generator=source).to(next(self.parameters()).device) - 1


class Discriminator(nn.Module):
    """Images [B, C, side, side] -> log-odds [B, 1]; or logits [B, K].

    Sec. 3: strided convolutions, LeakyReLU, and batch normalization but for the first layer.
    """

    def __init__(self, widths: tuple[int, ...], C: int, base: int, kernel: int, slope: float,
                 stride: int = 2, norm: bool = True, K: int = 1):  # fmt: skip
        super().__init__()
        self.layers = nn.Sequential()
        for i, (n, m) in enumerate(zip((C, *widths), widths, strict=False)):
            convolution = nn.Conv2d(n, m, kernel, stride, kernel // 2, bias=not norm)
            normal = [nn.BatchNorm2d(m, momentum=1.0)] if norm and i else []
            self.layers.append(nn.Sequential(convolution, *normal, nn.LeakyReLU(slope)))
        self.out = nn.Conv2d(widths[-1], K, base)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.layers(x))
        return logits.flatten(1)

    def features(self, x: Tensor) -> Tensor:
        """Sec. 5.1: the maps of all layers, max-pooled to at most 4 x 4: [B, F]"""
        pooled = []
        for layer in self.layers:
            x = layer(x)
            pooled.append(F.adaptive_max_pool2d(x, min(4, x.shape[-1])).flatten(1))
        return torch.cat(pooled, 1)


@dataclass(frozen=True)
class Config:
    data: str = "cifar10"  # Sec. 5.1
    n: int = 40_000  # ours: images without labels
    validation: int = 10_000  # Sec. 5.2
    labels: int = 1_000  # Sec. 5.2: labelled images, as many of each class
    Z: int = 100  # Fig. 1: uniform noise
    widths: tuple[int, ...] = (1024, 512, 256, 128)  # Fig. 1: of G; D has them in reverse
    kernel: int = 5  # Fig. 1; ours: also the patches of k-means
    stride: int = 2  # Fig. 1
    slope: float = 0.2  # Sec. 4: of the leak in D
    norm: bool = True  # Sec. 3: DCGAN has batch normalization
    given: tuple[float, ...] = (0.02,)  # Sec. 4: standard deviation of the initial weights
    stds: tuple[float, ...] = (0.02, 0.06, 0.2)  # ours: a grid from there
    lrs: tuple[float, ...] = (0.00007, 0.0002, 0.0006)  # ours: a grid about the 0.0002 of Sec. 4
    beta1: float = 0.5  # Sec. 4: of Adam
    batch: int = 128  # Sec. 4
    updates: int = 20_000  # ours
    fits: int = 20_000  # ours: updates of the net that is trained on labelled images
    centres: tuple[int, ...] = (400, 800, 1_600, 3_200)  # ours: the grid of k-means
    penalties: tuple[float, ...] = (0.001, 0.01, 0.1)  # ours: of the linear classifier
    samples: int = 2_000  # ours: for the distance between samples and images
    seeds: int = 5  # ours: how many repetitions, each with its own images
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="mnist", n=10_000, validation=1_000, labels=200, Z=32,
               widths=(64, 32, 16), stds=(0.02, 0.06, 0.2, 0.6), lrs=(0.001, 0.003, 0.01),
               batch=50, updates=500, fits=500, centres=(50, 100, 200, 400, 800),
               samples=1_000)  # fmt: skip
QUICK = replace(FULL, data="digits", n=1_000, validation=250, labels=100, Z=16, widths=(32, 16),
                stds=(0.02, 0.2), lrs=(0.003, 0.01, 0.03), batch=32, updates=240, fits=240,
                centres=(50, 100, 200, 400), samples=400)  # fmt: skip
SMOKE = replace(QUICK, n=200, labels=20, widths=(8, 8), stds=(0.02,), lrs=(0.003,), updates=4,
                fits=4, centres=(10,), penalties=(0.01,), samples=50, seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

BOTH, GRID = ("DCGAN", "without"), {"std": "stds", "lr": "lrs"}
GIVEN = Protocol(arms=BOTH, grid={"lr": "lrs"}, conditions={"std": "given"},
                 select="late_val_distance")  # fmt: skip
SAMPLES = Protocol(arms=BOTH, grid=GRID, select="val_distance")
FEATURES = Protocol(arms=("DCGAN", "untrained", "supervised"), grid=GRID)
KMEANS = Protocol(arms=("k-means",), grid={"centres": "centres"})

fewer_errors = functools.partial(Comparison, idea="DCGAN", where={"selected_by": "val_error"},
                                 measure="test_error", better="lower", scale="ratio",
                                 unit="% test error, few labelled images")  # fmt: skip


def walk_of(measure: str) -> Side:
    return lambda rows: by_seed(rows, measure, arm="DCGAN", selected_by="val_distance")


CLAIMS = (  # the walks are those of the DCGAN whose samples are best
    Identity(claim="generator-size", measure="mismatches", tolerance=0,
             unit="layers of the generator whose maps have another size than in Fig. 1"),
    fewer_errors(claim="beats-kmeans", rival="k-means", margin=1.06,
                 because="half of Table 1's gain, 19.4 to 17.2 % errors, as a ratio"),
    fewer_errors(claim="beats-supervised", rival="supervised", margin=1.13,
                 because="half of Table 2's gain, 28.87 to 22.48 % errors, as a ratio"),
    fewer_errors(claim="beats-untrained", rival="untrained", margin=1.06, ours=True,
                 because="as for beats-kmeans"),
    Comparison(claim="collapse", idea="DCGAN", rival="without", margin=50.0, better="higher",
               where={"selected_by": "late_val_distance"}, measure="spread",
               unit="% of the distance between images, mean distance of samples",
               because="half of what is lost if all samples are one point"),
    Comparison(claim="batch-norm", idea="DCGAN", rival="without", margin=1.0, better="lower",
               where={"selected_by": "val_distance"}, measure="distance", ours=True,
               unit="% of the distance between images, energy distance of samples and images",
               because="ours: a hundredth of the distance between images"),
    Comparison(claim="smooth-walk", idea=walk_of("largest_step"), rival=walk_of("memory_step"),
               better="lower", margin=10.0, ours=True,
               unit="% of a walk's length in its largest step",
               because="ours: of 15 steps, an even one is 6.7 %"),
    Comparison(claim="walk-stays-real", idea=walk_of("halfway"), rival=walk_of("fade"),
               better="lower", margin=1.0, ours=True, because="as for batch-norm",
               unit="% of the distance between images, energy distance of what is halfway"),
)  # fmt: skip


def remembering() -> AbstractContextManager[object]:
    """G gives one of 64 images, that whose z is nearest."""
    forward = Generator.forward

    def recall(G: Generator, z: Tensor) -> Tensor:
        stored = G.noise(64, generator(0, "memory"))
        return forward(G, stored[torch.cdist(z, stored).argmin(1)])

    return patch.object(Generator, "forward", recall)


def linear() -> AbstractContextManager[object]:
    """G without nonlinearities: a walk in z is a cross-fade."""

    def forward(G: Generator, z: Tensor) -> Tensor:
        layers = [layer for layer in G.net if not isinstance(layer, nn.ReLU | nn.Tanh)]
        return functools.reduce(lambda x, layer: layer(x), layers, z[..., None, None])

    return patch.object(Generator, "forward", forward)


BROKEN: Broken = {
    "generator-size": {"stride": 1},
    "beats-kmeans": {"updates": 0},
    "beats-supervised": {"updates": 0},
    "beats-untrained": {"updates": 0},
    "collapse": {"norm": False},
    "batch-norm": {"norm": False},
    "smooth-walk": remembering,
    "walk-stays-real": linear,
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int,
    std: float = 0.0, lr: float = 0.0, centres: int = 0,
) -> Iterator[TrialEvent]:  # fmt: skip
    split = draw_split(images(cfg.data).to(device), cfg.n, cfg.validation, seed)
    labelled, row = few_labels(split, cfg.labels), Row(step=0)
    if arm == "k-means":
        kmeans = PatchKMeans(split.x_train[:2_000], cfg.kernel, centres, seed)
        yield row | svm_errors(embed(kmeans, labelled), cfg.penalties)
        return
    G, D = nets(cfg, split.x_train, arm, seed, std)
    if arm == "supervised":  # Sec. 5.2: it learns from labels only
        optimizer, batches = torch.optim.Adam(D.parameters(), lr), generator(seed, "batches")
        yield from fit(D, optimizer, labelled, batches, batch=cfg.batch, updates=cfg.fits)
        return
    if arm != "untrained":
        rows = []
        for row in play(cfg, G, D, split, seed, lr):
            rows.append(row)
            yield row
        walked, pictures = walks(cfg, G, split.x_train, split.x_test, seed)
        row = second_half(rows) | walked
        if seed == cfg.seed:
            yield pictures
    if arm != "without":
        settle(D, split.x_train[:1_000])
        row |= svm_errors(embed(D.features, labelled), cfg.penalties)
    yield row


def nets(
    cfg: Config, x: Tensor, arm: str, seed: int, std: float
) -> tuple[Generator, Discriminator]:
    """Sec. 4: all weights are drawn from a normal distribution."""
    C, norm = x.shape[1], cfg.norm and arm != "without"
    base, K = x.shape[2] // cfg.stride ** len(cfg.widths), 10 if arm == "supervised" else 1
    G = Generator(cfg.Z, cfg.widths, C, base, cfg.kernel, cfg.stride, norm)
    D = Discriminator(cfg.widths[::-1], C, base, cfg.kernel, cfg.slope, cfg.stride, norm, K)
    weights = generator(seed, "weights")
    for name, p in [*G.named_parameters(), *D.named_parameters()]:
        if p.dim() > 1:
            nn.init.normal_(p, 0, std, generator=weights)
        elif name.endswith("bias"):
            nn.init.zeros_(p)
    return G.to(x.device), D.to(x.device)


def play(
    cfg: Config, G: Generator, D: Discriminator, split: Split, seed: int, lr: float
) -> Iterator[Row]:
    """One update of D, then one of G."""
    x, batches, z = split.x_train, generator(seed, "batches"), generator(seed, "noise")
    adam = functools.partial(torch.optim.Adam, lr=lr, betas=(cfg.beta1, 0.999), fused=True)
    of_G, of_D = adam(G.parameters()), adam(D.parameters())
    for step in range(cfg.updates + 1):
        if step % max(1, cfg.updates // 4) == 0 or step == cfg.updates:
            yield dict(step=step) | quality(cfg, G, split, seed)
        if step == cfg.updates:
            return
        real = x[torch.randint(len(x), (cfg.batch,), generator=batches)]
        fake = G(G.noise(cfg.batch, z))
        update(-(F.logsigmoid(D(real)) + F.logsigmoid(-D(fake.detach()))).mean(), of_D)
        update(-F.logsigmoid(D(fake)).mean(), of_G)


@torch.no_grad()
def quality(cfg: Config, G: Generator, split: Split, seed: int) -> Row:
    """How samples are distributed, against validation and test images."""
    z = generator(seed, "samples")
    settle(G, G.noise(cfg.samples, z))
    x = G(G.noise(cfg.samples, z)).flatten(1)
    G.train()
    val, test = (each[: cfg.samples].flatten(1) for each in (split.x_val, split.x_test))
    return dict(val_distance=energy_distance(x, val), distance=energy_distance(x, test),
                spread=spread(x, test))  # fmt: skip


def second_half(rows: list[Row]) -> Row:
    """The last row, with means over the second half of training: nets collapse and recover."""
    late, names = rows[len(rows) // 2 :], {"late_val_distance": "val_distance", "spread": "spread"}
    means = {name: sum(float(row[of]) for row in late) / len(late) for name, of in names.items()}
    return rows[-1] | means


@torch.no_grad()
def walk(G: Generator, N: int, T: int, z: torch.Generator) -> Tensor:
    """Sec. 6.1: straight walks from one z to another, as images [N, T, D]."""
    a, b = G.noise(N, z)[:, None], G.noise(N, z)[:, None]
    t = torch.linspace(0, 1, T, device=a.device)[:, None]
    x: Tensor = G(torch.lerp(a, b, t).flatten(0, 1))
    return x.reshape(N, T, -1)


@torch.no_grad()
def walks(cfg: Config, G: Generator, x: Tensor, x_test: Tensor, seed: int) -> tuple[Row, Arrays]:
    """How even walks are, and how real what is halfway; six of them and 32 samples to look at."""
    z, real = generator(seed, "walks"), x_test[: cfg.samples].flatten(1)
    settle(G, G.noise(cfg.samples, z))
    path, ends = walk(G, 64, 16, z), walk(G, cfg.samples, 3, z)
    memory = nearest(path, x.flatten(1))
    row: Row = dict(largest_step=largest_step(path), memory_step=largest_step(memory),
                    halfway=energy_distance(ends[:, 1], real),
                    fade=energy_distance(cross_fade(ends)[:, 1], real))  # fmt: skip
    ways = dict(walk=path, fade=cross_fade(path), memory=memory)
    shown = {way: each[:6].reshape(-1, *x.shape[1:]) for way, each in ways.items()}
    return row, Arrays(shown | {"samples": G(G.noise(32, z))})


FIG_1 = {(4, 1024), (8, 512), (16, 256), (32, 128), (64, 3)}  # side and number of G's maps


def mismatches(cfg: Config) -> int:
    """How many maps of Fig. 1 the paper's generator doesn't have."""
    with torch.device("meta"):  # sizes only
        G = Generator(PAPER.Z, PAPER.widths, 3, 4, cfg.kernel, cfg.stride)
        z = torch.empty(2, PAPER.Z, 1, 1)
        maps = itertools.accumulate(G.net, lambda x, layer: layer(x), initial=z)
        return len(FIG_1 - {(x.shape[2], x.shape[1]) for x in maps})


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield dict(data=images(cfg.data).name, n=cfg.n, mismatches=mismatches(cfg))
    chosen = yield from run_protocol(trial, cfg, (GIVEN, SAMPLES, FEATURES, KMEANS), device)
    yield from figures(chosen)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
