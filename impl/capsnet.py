"""Dynamic routing between capsules. Sabour, Frosst & Hinton, NIPS 2017, arXiv:1710.09829.

Claims      parameters       the nets have 8.2 M parameters (6.8 M without the decoder), 11.36 M and
                             24.56 M for two digits, 35.4 M for one digit (Secs. 5 and 6)
            overlap-routing  three routing iterations recognize overlapping digits better than one
            overlap-cnn      and better than a convolutional net (Table 1)
            segmentation     routing gives overlapping pixels to the right digit (Sec. 6, Fig. 5)
            single-digit     fewer test errors than a convolutional net on single digits (Table 1)
Deviations  1  an image counts as wrong unless all its digits are found
            2  overlaid digits are drawn as needed; single digits are shifted as far as pairs
            3  learning rates fall to a tenth; each net takes its own by validation
            4  `quick` and `full`: small nets, 14 x 14 pixels of digits without their margins, far
               fewer updates; `quick`: five classes, 0 to 4
            5  segmentation is shown in the paper; its measure, and one iteration as rival, are ours
Left out    affNIST, CIFAR-10, smallNORB, SVHN, nets without the reconstruction loss
Shapes      B images, P digits in each, I capsules below of d numbers, K classes = capsules above,
            of D numbers
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import capsnet as drawing
from impl.kit import (
    Arrays,
    Comparison,
    Event,
    Identity,
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
from impl.kit.claims import Where
from impl.kit.data import draw_split, handwriting
from impl.kit.multimnist import Scenes


def squash(s: Tensor, dim: int) -> Tensor:
    """Eq. 1: v = |s|^2 / (1 + |s|^2) * s / |s|; zero stays zero."""
    square = s.square().sum(dim, keepdim=True)
    return s * ((square + 1e-12).sqrt() / (1 + square))


def route(u_hat: Tensor, iterations: int) -> tuple[Tensor, list[Tensor]]:
    """Procedure 1. Predictions [I, K, D, B] -> capsules v [K, D, B], and the coefficients c
    [I, K, B] of each iteration. The gradient goes through all of them.
    """
    b = u_hat.new_zeros(u_hat[:, :, 0].shape)
    coefficients = []
    for iteration in range(iterations):
        c = b.softmax(1)  # Eq. 3: over the capsules above
        coefficients.append(c)
        s = (c[:, :, None] * u_hat).sum(0)  # Eq. 2, left
        v = squash(s, dim=1)
        if iteration < iterations - 1:
            b = b + (u_hat * v).sum(2)  # agreement of what i predicts of j with what j has become
    return v, coefficients


def margin_loss(length: Tensor, present: Tensor) -> Tensor:
    """Eq. 4 with m+ = 0.9, m- = 0.1, lambda = 0.5, summed over the digits: [B, K] -> [B]."""
    missed = present * F.relu(0.9 - length).square()
    invented = (1 - present) * F.relu(length - 0.1).square()
    return (missed + 0.5 * invented).sum(1)


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Secs. 5 and 6; `auto` is MNIST where it can be had, else small digits
    n: int = 55_000  # Sec. 5: all training images, here without those for validation
    crop: int = 0  # ours: blank pixels cut off MNIST's images at each side
    pool: int = 1  # ours: MNIST's images are shrunk by this
    shift: int = 4  # Sec. 6.1: pixels each way, before shrinking
    digits: tuple[int, ...] = (2, 1)  # Secs. 6 and 5: in an image
    K: int = 10  # Sec. 4: classes, one capsule each
    routing: int = 3  # Sec. 4: iterations
    kernel: int = 9  # Fig. 1
    channels: int = 256  # Fig. 1
    types: int = 32  # Fig. 1: sorts of primary capsules
    d: int = 8  # Fig. 1: numbers in a primary capsule
    D: int = 16  # Fig. 1: numbers in a digit's capsule
    decoder: tuple[int, ...] = (512, 1024)  # Fig. 2
    std: tuple[float, ...] = (0.05, 0.1, 0.1)  # ours: first weights of convolution, primary, W
    reconstruction: float = 0.0005  # Sec. 4.1: weight of the squared error
    cnn: tuple[int, ...] = (512, 256, 1024)  # Sec. 6.2: convolutions of 9 x 9 and 5 x 5, a layer
    cnn_single: tuple[int, ...] = (256, 256, 128, 328, 192)  # Sec. 5: three of 5 x 5, two layers
    cnn_kernel: int = 9  # Sec. 6.2: of the first convolution
    lrs: tuple[float, ...] = (0.0003, 0.001, 0.003)  # ours; TensorFlow's default is 0.001
    batch: int = 128  # the authors' experiment.py
    updates: int = 500_000  # ours: the paper gives no number
    validation: int = 5_000  # ours: training images that no net is trained on
    test: int = 10_000  # ours: images composed to test on, and as many to validate
    seeds: int = 5  # ours: how many repetitions, each with its own images and initial weights
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(
    PAPER, crop=4, pool=2, kernel=5, channels=16, types=4, D=8, std=(0.2, 0.2, 0.3),
    decoder=(64, 128), reconstruction=0.002, cnn=(16, 32, 256), cnn_single=(16, 16, 8, 64, 32),
    cnn_kernel=5, lrs=(0.002, 0.006, 0.02), batch=32, updates=3_500, test=2_000,
)  # fmt: skip
QUICK = replace(FULL, data="auto", n=10_000, digits=(2,), K=5, updates=400, test=1_000)
SMOKE = replace(
    QUICK, data="digits", n=500, digits=(2, 1), channels=4, types=2, d=4, D=4, decoder=(8, 8),
    cnn=(4, 4, 8), cnn_single=(4, 4, 4, 8, 8), lrs=(0.01,), batch=8, updates=4, test=20, seeds=2,
)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


class CapsNet(nn.Module):
    """Figs. 1 and 2: convolution, primary capsules, routing, a decoder that sees one capsule."""

    def __init__(self, cfg: Config, side: int, iterations: int):
        super().__init__()
        self.K, self.d, self.iterations, self.weight = cfg.K, cfg.d, iterations, cfg.reconstruction
        self.conv = nn.Conv2d(1, cfg.channels, cfg.kernel)
        self.primary = nn.Conv2d(cfg.channels, cfg.types * cfg.d, cfg.kernel, stride=2)
        grid = (side - 2 * cfg.kernel + 1) // 2 + 1
        self.W = nn.Parameter(torch.empty(cfg.types * grid**2, cfg.K, cfg.d, cfg.D))
        weights = (self.conv.weight, self.primary.weight, self.W)
        for weight, std in zip(weights, cfg.std, strict=True):
            nn.init.normal_(weight, std=std)
        widths = [cfg.K * cfg.D, *cfg.decoder]
        hidden = [m for n, k in pairwise(widths) for m in (nn.Linear(n, k), nn.ReLU())]
        self.decoder = nn.Sequential(*hidden, nn.Linear(widths[-1], side**2), nn.Sigmoid())

    def predictions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 1, h, w] -> primary capsules u [I, d, B], and what they predict [I, K, D, B]."""
        features: Tensor = self.primary(F.relu(self.conv(x))).flatten(2)  # [B, types * d, grid^2]
        u = features.unflatten(1, (-1, self.d)).permute(1, 3, 2, 0).flatten(0, 1)
        u = squash(u, dim=1)
        return u, torch.einsum("ikad,iab->ikdb", self.W, u)  # Eq. 2, right

    def capsules(self, x: Tensor) -> Tensor:  # [B, K, D]
        return route(self.predictions(x)[1], self.iterations)[0].permute(2, 0, 1)

    def draw(self, v: Tensor, labels: Tensor) -> Tensor:
        """Sec. 4.1: all capsules but one are masked. [B, K, D], [B, P] -> [B, P, pixels]."""
        mask = F.one_hot(labels, self.K)[..., None]  # [B, P, K, 1]
        pictures: Tensor = self.decoder((v[:, None] * mask).flatten(2))
        return pictures

    def forward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The capsules' lengths [B, K], and the digits of these labels redrawn [B, P, pixels]."""
        v = self.capsules(x)
        return (v.square().sum(-1) + 1e-12).sqrt(), self.draw(v, labels)

    def loss(self, x: Tensor, parts: Tensor, labels: Tensor) -> Tensor:
        length, pictures = self.forward(x, labels)
        error = (pictures - parts).square().sum((1, 2))
        return (margin_loss(length, F.one_hot(labels, self.K).sum(1)) + self.weight * error).mean()


class CNN(nn.Module):
    """Sec. 6.2: two convolutions, each with pooling, and two layers; each class is a yes or no."""

    def __init__(self, cfg: Config, side: int):
        super().__init__()
        self.K, (first, second, units) = cfg.K, cfg.cnn
        self.net = nn.Sequential(
            *(nn.Conv2d(1, first, cfg.cnn_kernel, padding="same"), nn.ReLU(), nn.MaxPool2d(2)),
            *(
                nn.Conv2d(first, second, 5, padding="same"),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
            ),
            *(nn.Linear(second * (side // 4) ** 2, units), nn.ReLU(), nn.Linear(units, cfg.K)),
        )

    def forward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """As CapsNet's, without pictures."""
        return self.net(x), x.new_zeros(len(x), 0)

    def loss(self, x: Tensor, parts: Tensor, labels: Tensor) -> Tensor:
        present = F.one_hot(labels, self.K).sum(1).float()
        return F.binary_cross_entropy_with_logits(self.net(x), present)


class SingleCNN(CNN):
    """Sec. 5: three convolutions and two layers, the last with dropout, for one digit."""

    def __init__(self, cfg: Config, side: int):
        nn.Module.__init__(self)
        *convolutions, first, second = cfg.cnn_single
        layers: list[nn.Module] = []
        for a, b in pairwise((1, *convolutions)):
            layers += [nn.Conv2d(a, b, 5, padding="same"), nn.ReLU()]
        layers += [nn.Flatten(), nn.Linear(convolutions[-1] * side**2, first), nn.ReLU()]
        layers += [nn.Linear(first, second), nn.ReLU(), nn.Dropout(), nn.Linear(second, cfg.K)]
        self.net = nn.Sequential(*layers)

    def loss(self, x: Tensor, parts: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.net(x), labels[:, 0])


def build(cfg: Config, side: int, arm: str, digits: int) -> CapsNet | CNN:
    if arm == "CNN":
        return CNN(cfg, side) if digits > 1 else SingleCNN(cfg, side)
    return CapsNet(cfg, side, cfg.routing if arm == "CapsNet" else 1)


ARMS = ("CapsNet", "one-iteration", "CNN")
GRID, CONDITIONS = {"lr": "lrs"}, {"P": "digits"}
BY_ERROR = Protocol(arms=ARMS, grid=GRID, conditions=CONDITIONS)
BY_PIXELS = Protocol(
    arms=ARMS[:2], grid=GRID, conditions=CONDITIONS, select="val_assigned", best="highest"
)  # fmt: skip
PAIRS: Where = {"P": 2, "selected_by": "val_error"}

CLAIMS = (
    Identity(
        claim="parameters", measure="rounding", tolerance=1.0,
        unit="halves of the last digit that the paper prints",
    ),
    Comparison(
        claim="overlap-routing", idea="CapsNet", rival="one-iteration", where=PAIRS,
        measure="test_error", better="lower", margin=1.15,
        because="half of the gain of Table 1, 7.5 to 5.2", unit="% of images of two digits wrong",
    ),
    Comparison(
        claim="overlap-cnn", idea="CapsNet", rival="CNN", where=PAIRS, measure="test_error",
        better="lower", margin=1.45, because="half of the gain of Table 1, 8.1 to 5.2",
        unit="% of images of two digits wrong",
    ),
    Comparison(
        claim="segmentation", idea="CapsNet", rival="one-iteration", measure="test_assigned",
        where={"P": 2, "selected_by": "val_assigned"}, better="higher", margin=5.0, ours=True,
        because="the paper shows pictures only; one clear pixel in twenty can be seen in them",
        unit="% of clear pixels given to the right digit",
    ),
    Comparison(
        claim="single-digit", idea="CapsNet", rival="CNN", measure="test_error",
        where={"P": 1, "selected_by": "val_error"}, better="lower", margin=0.07,
        because="half of the gain of Table 1, 0.39 to 0.25", unit="% test error, one digit",
    ),
)  # fmt: skip

BROKEN: Broken = {
    "parameters": lambda: patch(f"{__name__}.PAPER", replace(PAPER, D=1)),
    "overlap-routing": {"routing": 1},
    "overlap-cnn": {"d": 1, "D": 1},  # a capsule is a single number
    "segmentation": {"routing": 1},
    "single-digit": {"d": 1, "D": 1},
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, P: int, lr: float
) -> Iterator[TrialEvent]:  # fmt: skip
    train, val, test = scenes(cfg, device, P, seed)
    net = build(fitted(cfg), train.side, arm, P).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / cfg.updates))
    batches = generator(seed, "batches")
    for step in range(1, cfg.updates + 1):
        loss = net.loss(*train.draw(cfg.batch, batches))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        if step % -(-cfg.updates // 12) == 0:
            yield dict(step=step, loss=loss.item())
    net.eval()
    if seed == cfg.seed and arm == "CapsNet" and P == 2:
        yield Arrays(net.state_dict())
    row: Row = dict(data=handwriting(cfg.data).name)
    for name, scene in (("val", val), ("test", test)):
        row |= measure(net, name, *scene.draw(cfg.test, generator(seed, name)))
    yield row


@torch.no_grad()
def measure(net: CapsNet | CNN, name: str, x: Tensor, parts: Tensor, labels: Tensor) -> Row:
    """Percent of images wrong; of two digits' clear pixels, those brighter in the right picture."""
    pairs = zip(x.split(200), labels.split(200), strict=True)
    scores, pictures = map(torch.cat, zip(*(net(*pair) for pair in pairs), strict=True))
    best = scores.topk(labels.shape[1]).indices
    wrong = (best.sort().values != labels.sort().values).any(1)
    row: Row = {f"{name}_error": 100 * wrong.float().mean().item(), f"{name}_assigned": 0.0}
    if labels.shape[1] == 2 and pictures.numel():
        (a, b), (drawn_a, drawn_b) = parts.unbind(1), pictures.unbind(1)
        clear = (a - b).abs() > 0.5
        right = ((drawn_a > drawn_b) == (a > b))[clear]
        row[f"{name}_assigned"] = 100 * right.float().mean().item()
    return row


def fitted(cfg: Config) -> Config:
    """scikit-learn's digits have 8 x 8 pixels: smaller kernels and shifts, nothing cut off."""
    if handwriting(cfg.data).name != "digits":
        return cfg
    return replace(cfg, crop=0, pool=1, shift=min(cfg.shift, 2), kernel=min(cfg.kernel, 5))


def scenes(cfg: Config, device: torch.device, P: int, seed: int) -> list[Scenes]:
    """To train on, to validate, to test."""
    data, cfg = handwriting(cfg.data), fitted(cfg)
    parts = draw_split(data, min(cfg.n, len(data.x_train) * 4 // 5), cfg.validation, seed)
    sets = (parts.x_train, parts.y_train), (parts.x_val, parts.y_val), (parts.x_test, parts.y_test)
    made = []
    for x, y in sets:
        x = F.avg_pool2d(F.pad(x[:, 0], [-cfg.crop] * 4), cfg.pool)
        made.append(Scenes(x.to(device), y.to(device), cfg.K, P, cfg.shift // cfg.pool))
    return made


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield from count_parameters()
    chosen = yield from run_protocol(trial, cfg, (BY_ERROR, BY_PIXELS), device)
    pictured = next((one for one in chosen if one.arm == "CapsNet" and one.tensors), None)
    if pictured:
        _, _, test = scenes(cfg, torch.device("cpu"), 2, cfg.seed)
        net = CapsNet(fitted(cfg), test.side, cfg.routing)
        net.load_state_dict(dict(pictured.tensors))
        image, parts, labels = test.draw(10, generator(cfg.seed, "test"))
        yield from drawing.pictures(net, route, image, parts, labels)


def count_parameters() -> Iterator[Row]:
    with torch.device("meta"):  # shapes without numbers
        single, double = (CapsNet(PAPER, side, PAPER.routing) for side in (28, 36))
        pairs, digits = CNN(PAPER, 36), SingleCNN(PAPER, 28)
    nets = [(single, 8.2, 0.1), (double, 11.36, 0.01), (pairs, 24.56, 0.01), (digits, 35.4, 0.1)]
    for net, millions, digit in nets:
        count = sum(p.numel() for p in net.parameters())
        yield dict(parameters=count, rounding=(count / 1e6 - millions) / (digit / 2))
    count = sum(p.numel() for name, p in single.named_parameters() if "decoder" not in name)
    yield dict(parameters=count, rounding=(count / 1e6 - 6.8) / 0.05)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
