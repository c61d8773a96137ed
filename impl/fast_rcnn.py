"""Fast R-CNN. Girshick, arXiv:1504.08083, 2015; ICCV 2015.

Claims      shared-work     one feature map for all regions of a picture takes far less work than a net for each (Sec. 4.4)
            roi-pooling     RoI max pooling, and its gradient, are those of pooling each region by itself (Sec. 2.1, 2.3)
            multi-task      the multi-task loss finds better boxes than classification first and boxes after (Sec. 5.1)
            classification  and its classification alone, without moving boxes, is better, too (Sec. 5.1, Table 6)
            truncated-svd   with a part of their singular values the layers for each region do as well (Sec. 3.1)
Deviations  1  ImageNet can't be read here: one net is trained to classify regions of other scenes, from it all others start
            2  windows of fixed sizes all over the picture stand in for selective search, and the objects' own boxes train, too
            3  except in `paper` small nets and pictures, BCCD where it is, else digits on photographs; Adam
            4  digits don't survive being mirrored, so their pictures are recoloured at random
            5  shared-work is judged by multiply-adds, which don't depend on the machine; times are drawn, not judged
            6  mAP is COCO's at IoU 0.5, the mean of precision at 101 recalls, not VOC's
Left out    image pyramids (Sec. 2.4), SVMs (Sec. 5.4), twice the rate for biases
Shapes      N pictures in a batch, R regions, C channels, H x W pixels of the map, P x P cells, K classes and background 0
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main, no_worse
from impl.kit.detection import (
    Found,
    Scene,
    Scenes,
    composed,
    iou,
    mean_average_precision,
    pictured,
    scenes,
)
from impl.kit.figures import PALETTE, canvas, figure, sheets


@dataclass(frozen=True)
class Config:
    data: str = "voc"  # Sec. 5: VOC 2007; `composed`, `bccd`, `auto`: see impl.kit.detection
    auxiliary: str = "coco"  # Sec. 2.2 has ImageNet; `composed` is of the digits 5 to 9, the scenes being of 0 to 4
    examples: int = 118_000  # ours: pictures of it
    pretraining: int = 400_000  # ours: updates on it
    train: int = 5_011  # Sec. 5: trainval of VOC 2007
    test: int = 4_952  # same: test
    side: int = 1_000  # ours: pixels of the longer side; Sec. 4.1 has 600 of the shorter one
    heights: tuple[float, ...] = (
        0.1,
        0.2,
        0.4,
        0.7,
    )  # ours: of the windows, as parts of the picture's
    shapes: tuple[float, ...] = (0.5, 1.0, 2.0)  # ours: their widths, as parts of their heights
    dense: float = 3.0  # ours: how many windows begin within the height or width of one
    channels: tuple[int, ...] = (
        64,
        64,
        128,
        128,
        256,
        256,
        256,
        512,
        512,
        512,
        512,
        512,
        512,
    )  # Sec. 4.1: VGG16
    kernels: tuple[int, ...] = (3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3)  # same
    pools: tuple[int, ...] = (
        0,
        1,
        0,
        1,
        0,
        0,
        1,
        0,
        0,
        1,
        0,
        0,
        0,
    )  # same; RoI pooling replaces the last, Sec. 2.2
    P: int = 7  # Sec. 2.1: cells of a pooled region
    H: int = 4_096  # Sec. 4.1: units of fc6 and fc7
    balance: float = 1.0  # Sec. 2.3: lambda
    pictures: int = 2  # Sec. 2.3: N, in a mini-batch
    regions: int = 128  # same: R
    part: float = 0.25  # same: of the regions that show an object
    foreground: float = 0.5  # same: their least overlap
    background: float = 0.1  # same: the least overlap of the rest
    mirror: bool = True  # same: half of the pictures; else they are recoloured
    adam: bool = False  # same: gradient descent with momentum
    rate: float = 0.001  # same; a tenth after three quarters of the updates
    momentum: float = 0.9  # same
    weight_decay: float = 0.0005  # same
    updates: int = 40_000  # same
    suppress: float = 0.3  # ours: greater overlaps with a surer region of the class are suppressed
    most: int = 100  # ours: regions of a class that are looked at
    ranks: tuple[int, ...] = (1_024, 256)  # Sec. 4.4: singular values of fc6 and fc7
    seeds: int = 5  # ours: nets and their mini-batches
    seed: int = 0  # ours: the first of them; it also draws the scenes


PAPER = Config()
FULL = replace(PAPER, data="auto", auxiliary="composed", examples=300, pretraining=3_000, train=300, test=120, side=64,
               heights=(0.2, 0.3, 0.45), shapes=(0.45, 0.85), channels=(16, 32), kernels=(5, 3), pools=(1, 0), P=5, H=192,
               pictures=4, mirror=False, adam=True, rate=0.002, weight_decay=0.0, updates=1_500, most=40,
               ranks=(48, 48))  # fmt: skip
QUICK = replace(FULL, examples=120, pretraining=500, train=120, test=30, dense=2.0, H=128, pictures=2, regions=64,
                updates=200, ranks=(32, 32))  # fmt: skip
SMOKE = replace(QUICK, examples=3, pretraining=2, train=4, test=2, channels=(4, 4), kernels=(3, 3), P=3, H=8, regions=32,
                updates=4, ranks=(4, 4), seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


# RoI pooling


def bins(low: Tensor, size: Tensor, P: int) -> tuple[Tensor, Tensor]:
    """Where the P cells of windows begin and end, [R] -> [R, P]: approximately of size / P, at least 1 (Sec. 2.1)."""
    i = torch.arange(P, device=low.device)
    return low[:, None] + i * size[:, None] // P, low[:, None] - (-(i + 1) * size[:, None]) // P


def window(boxes: Tensor, scale: float, H: int, W: int) -> tuple[Tensor, Tensor]:
    """Boxes in pixels to windows of the map: top left corners (r, c) and sizes (h, w), [R, 2] each."""
    limit = torch.tensor([W, H], device=boxes.device)
    low = torch.minimum((boxes[:, :2] * scale).round().long().clamp_min(0), limit - 1)
    high = torch.minimum((boxes[:, 2:] * scale).round().long(), limit)
    return low.flip(1), (high - low).clamp_min(1).flip(1)


def roi_pool(x: Tensor, of: Tensor, boxes: Tensor, scale: float, P: int) -> Tensor:
    """Sec. 2.1: the maximum in each of P x P cells; maps [N, C, H, W], regions' pictures [R] and boxes [R, 4] -> [R, C, P, P].

    All cells are made to have k x l pixels: in smaller ones the last are repeated, which changes no maximum. What is read in
    the end is the pixel that won, and so the gradient goes there.
    """
    H, W = x.shape[2:]
    corner, size = window(boxes, scale, H, W)
    (r0, r1), (c0, c1) = (bins(corner[:, i], size[:, i], P) for i in (0, 1))  # [R, P] each
    down, across = (
        torch.arange(int((high - low).max()), device=x.device) for low, high in ((r0, r1), (c0, c1))
    )
    r = torch.minimum(r0[..., None] + down, r1[..., None] - 1)  # [R, P, k]
    c = torch.minimum(c0[..., None] + across, c1[..., None] - 1)  # [R, P, l]
    at = of[:, None, None, None, None] * H * W + r[:, :, None, :, None] * W + c[:, None, :, None, :]
    at, pixels = (
        at.flatten(3),
        x.permute(0, 2, 3, 1).flatten(0, 2),
    )  # [R, P, P, k * l], [N * H * W, C]
    with torch.no_grad():
        winner = at.gather(3, pixels[at].max(3).indices)  # i*(r, j) of Sec. 2.3, [R, P, P, C]
    pooled: Tensor = pixels.gather(0, winner.flatten(0, 2)).unflatten(0, (-1, P, P))
    return pooled.permute(0, 3, 1, 2)


def pool_one_by_one(x: Tensor, of: Tensor, boxes: Tensor, scale: float, P: int) -> Tensor:
    """The same, slowly: each region is cut out, and each cell of it."""
    pooled = []
    for n, (r, c), (h, w) in zip(
        of.tolist(), *(t.tolist() for t in window(boxes, scale, *x.shape[2:])), strict=True
    ):
        part = x[n, :, r : r + h, c : c + w]
        cells = [part[:, i * h // P : -(-(i + 1) * h // P), j * w // P : -(-(j + 1) * w // P)].amax((1, 2))
                 for i in range(P) for j in range(P)]  # fmt: skip
        pooled.append(torch.stack(cells, 1).unflatten(1, (P, P)))
    return torch.stack(pooled)


# The net and its loss


class FastRCNN(nn.Module):
    def __init__(self, cfg: Config, K: int):
        super().__init__()
        self.P, self.K, self.scale = cfg.P, K, 0.5 ** sum(cfg.pools)
        modules: list[nn.Module] = []
        for a, b, k, pool in zip(
            (3, *cfg.channels), cfg.channels, cfg.kernels, cfg.pools, strict=False
        ):
            modules += [
                nn.Conv2d(a, b, k, padding=k // 2),
                *([nn.MaxPool2d(2)] if pool else []),
                nn.ReLU(),
            ]
        self.convolutions = nn.Sequential(*modules)
        self.fc6, self.fc7 = nn.Linear(cfg.channels[-1] * cfg.P**2, cfg.H), nn.Linear(cfg.H, cfg.H)
        for m in self.modules():
            if isinstance(m, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                nn.init.zeros_(m.bias)  # type: ignore[arg-type]
        self.classes, self.boxes = nn.Linear(cfg.H, K + 1), nn.Linear(cfg.H, 4 * K)
        for layer, std in ((self.classes, 0.01), (self.boxes, 0.001)):  # Sec. 2.3
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def map(self, images: Tensor) -> Tensor:
        """[N, 3, side, side] -> [N, C, H, W], once for all regions."""
        maps: Tensor = self.convolutions(
            (4 * (images - 0.5)).contiguous(memory_format=torch.channels_last)
        )
        return maps

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled regions [R, C, P, P] to logits [R, K + 1] and offsets of boxes for each class [R, K, 4]."""
        y = F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))
        return self.classes(y), self.boxes(y).unflatten(1, (self.K, 4))

    def forward(self, images: Tensor, of: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        return self.heads(roi_pool(self.map(images), of, boxes, self.scale, self.P))


def smooth_l1(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 1, 0.5 * x.square(), x.abs() - 0.5)  # Eq. 3


def losses(logits: Tensor, t: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Means over the regions of L_cls and [u >= 1] L_loc, whose sum is Eq. 1; u [R] the classes, v [R, 4] the targets."""
    L_cls = -logits.log_softmax(1)[torch.arange(len(u)), u]
    t_u = t[torch.arange(len(u)), (u - 1).clamp_min(0)]  # [R, 4]
    L_loc = smooth_l1(t_u - v).sum(1)  # Eq. 2
    return L_cls.mean(), ((u >= 1) * L_loc).mean()


def targets(P: Tensor, G: Tensor) -> Tensor:  # same as impl/rcnn.py::targets
    """What moves the box P to G, [R, 4]; x and y are of the centres."""
    P_size, G_size = P[:, 2:] - P[:, :2], G[:, 2:] - G[:, :2]
    t_xy = ((G[:, :2] + G[:, 2:]) / 2 - (P[:, :2] + P[:, 2:]) / 2) / P_size  # Eqs. 6, 7
    return torch.cat([t_xy, (G_size / P_size).log()], 1)  # Eqs. 8, 9


def moved(P: Tensor, d: Tensor) -> Tensor:  # same as impl/rcnn.py::moved
    P_size = P[..., 2:] - P[..., :2]
    centre = P_size * d[..., :2] + (P[..., :2] + P[..., 2:]) / 2  # Eqs. 1, 2
    size = P_size * d[..., 2:].exp()  # Eqs. 3, 4
    return torch.cat([centre - size / 2, centre + size / 2], -1)


# Regions and mini-batches


def windows(cfg: Config) -> Tensor:
    """Boxes of a few sizes, apart by a part of their height or width, all over a picture, [R, 4] in pixels."""
    boxes = []
    for height in cfg.heights:
        for shape in cfg.shapes:
            h, w = height * cfg.side, height * shape * cfg.side
            y, x = (
                torch.linspace(0, cfg.side - size, int(cfg.dense * (cfg.side - size) / size) + 1)
                for size in (h, w)
            )
            corner = torch.cartesian_prod(x, y)
            boxes.append(torch.cat([corner, corner + torch.tensor([w, h])], 1))
    return torch.cat(boxes)


@dataclass(frozen=True)
class Example:
    """A training picture's regions, the objects' own boxes included."""

    scene: Scene
    boxes: Tensor  # [R, 4]
    u: Tensor  # [R] the class of the object overlapped most, from 1; 0 where that is less than half
    G: Tensor  # [R, 4] its box
    overlap: Tensor  # [R]


def example(scene: Scene, proposed: Tensor, cfg: Config) -> Example:
    boxes = torch.cat([scene.boxes, proposed])
    overlaps = torch.cat(
        [torch.zeros(len(boxes), 1), iou(boxes, scene.boxes)], 1
    )  # the first for no object at all
    overlap, which = overlaps.max(1)
    G = torch.cat([torch.zeros(1, 4), scene.boxes])[which]
    u = torch.cat([torch.zeros(1, dtype=torch.long), scene.labels + 1])[which]
    return Example(scene, boxes, torch.where(overlap >= cfg.foreground, u, 0), G, overlap)


def spread(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the targets of all regions that show an object (Sec. 2.3), [4] each."""
    v = torch.cat([targets(e.boxes[e.u > 0], e.G[e.u > 0]) for e in examples])
    return v.mean(0), v.std(0)


def batch(examples: Sequence[Example], cfg: Config) -> tuple[Tensor, ...]:
    """Sec. 2.3: N pictures, of each R / N regions, a quarter of them objects, the rest overlapping one a little."""
    parts = []
    for n, k in enumerate(torch.randint(len(examples), (cfg.pictures,)).tolist()):
        e, each = examples[k], cfg.regions // cfg.pictures
        image, boxes, G = e.scene.image, e.boxes, e.G
        objects, rest = (
            (e.u > 0).nonzero()[:, 0],
            ((e.u == 0) & (e.overlap >= cfg.background)).nonzero()[:, 0],
        )
        chosen = objects[torch.randperm(len(objects))[: int(cfg.part * each)]]
        at = torch.cat([chosen, rest[torch.randperm(len(rest))[: each - len(chosen)]]])
        if not cfg.mirror:
            gain = (1 - 2 * torch.randint(2, (1, 1, 1))) * (
                0.5 + torch.rand(3, 1, 1)
            )  # half of them negatives
            image = gain * (image - 0.5) + 0.4 * torch.rand(3, 1, 1) + 0.3
        elif torch.rand(()) < 0.5:
            image, across = image.flip(2), torch.tensor([image.shape[2], 0, image.shape[2], 0.0])
            boxes, G = (
                (across - b * torch.tensor([1, -1, 1, -1]))[:, [2, 1, 0, 3]] for b in (boxes, G)
            )
        parts.append(
            (image[None], torch.full((len(at),), n), boxes[at], e.u[at], targets(boxes[at], G[at]))
        )
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def train(
    net: FastRCNN,
    examples: Sequence[Example],
    cfg: Config,
    balance: float,
    updates: int,
    *,
    stage: str = "all",
) -> Iterator[tuple[int, float, float]]:
    """Stage `all`: Eq. 1 for all layers; `boxes`: L_loc for the last layer of boxes alone, all others frozen (Sec. 5.1)."""
    mean, std = spread(examples)
    device, alone = net.fc6.weight.device, stage == "boxes"
    weights = list(net.boxes.parameters() if alone else net.parameters())
    optimizer: torch.optim.Optimizer = torch.optim.SGD(
        weights, lr=cfg.rate, momentum=cfg.momentum, weight_decay=cfg.weight_decay
    )
    if cfg.adam:
        optimizer = torch.optim.Adam(weights, lr=cfg.rate, fused=True)
    for step in range(1, updates + 1):
        images, of, boxes, u, t = (x.to(device) for x in batch(examples, cfg))
        v = torch.where(u[:, None] > 0, (t - mean.to(device)) / std.to(device), 0)
        logits, offsets = net(images, of, boxes)
        L_cls, L_loc = losses(logits, offsets, u, v)
        loss = L_loc if alone else L_cls + balance * L_loc  # Eq. 1
        optimizer.zero_grad()
        loss.backward(inputs=weights)
        optimizer.step()
        if step == updates * 3 // 4:
            for group in optimizer.param_groups:
                group["lr"] /= 10
        yield step, L_cls.item(), L_loc.item()


# Detection


@torch.no_grad()
def detect(
    net: FastRCNN, scene: Scene, proposed: Tensor, scale: tuple[Tensor, Tensor], cfg: Config
) -> tuple[Found, Found]:
    """What is found in a picture with the windows as they are, and with those that the net has moved."""
    images, of = (
        scene.image[None].to(proposed.device),
        torch.zeros(len(proposed), dtype=torch.long, device=proposed.device),
    )
    logits, t = net(images, of, proposed)
    sure = logits.softmax(1)[:, 1:]  # [R, K]
    mean, std = (s.to(t.device) for s in scale)
    boxes = moved(proposed[:, None], t * std + mean).clamp(0, cfg.side)  # [R, K, 4]
    still, regressed = (
        suppressed(sure, b, cfg) for b in (proposed[:, None].expand_as(boxes), boxes)
    )
    return still, regressed


def suppressed(sure: Tensor, boxes: Tensor, cfg: Config) -> Found:
    """Greedily for each class: the surest region is kept, those that overlap it too much are not, and so on."""
    scores, order = sure.T.topk(min(cfg.most, len(sure)))  # [K, most]
    boxes = boxes.transpose(0, 1).gather(1, order[..., None].expand(-1, -1, 4))  # [K, most, 4]
    overlap = torch.stack([iou(b, b) for b in boxes])
    kept = torch.ones_like(scores, dtype=torch.bool)
    for i in range(scores.shape[1]):  # those after a region that is kept
        kept[:, i + 1 :] &= ~(kept[:, i, None] & (overlap[:, i, i + 1 :] > cfg.suppress))
    label, at = kept.nonzero().unbind(1)
    return Found(boxes[label, at], label, scores[label, at])


@torch.no_grad()
def compressed(net: FastRCNN, ranks: tuple[int, ...]) -> FastRCNN:
    """Eq. 5: W = U S V, of which the t greatest singular values are kept: u x v weights become t (u + v), in two layers."""
    small = FastRCNN.__new__(FastRCNN)
    nn.Module.__init__(small)
    small.P, small.K, small.scale = net.P, net.K, net.scale
    small.convolutions, small.classes, small.boxes = net.convolutions, net.classes, net.boxes
    for name, t in zip(("fc6", "fc7"), ranks, strict=True):
        layer = getattr(net, name)
        U, S, V = torch.linalg.svd(layer.weight, full_matrices=False)
        first, second = (
            nn.Linear(layer.in_features, t, bias=False),
            nn.Linear(t, layer.out_features),
        )
        first.weight.copy_(S[:t, None] * V[:t])
        second.weight.copy_(U[:, :t])
        second.bias.copy_(layer.bias)
        setattr(small, name, nn.Sequential(first, second).to(layer.weight.device))
    return small


# Work


def multiply_adds(cfg: Config, height: int, width: int, K: int) -> tuple[float, float]:
    """Of the convolutions of one picture, and of the layers above them for one region."""
    map_, a = 0, 3
    for b, k, pool in zip(cfg.channels, cfg.kernels, cfg.pools, strict=True):
        map_ += height * width * k * k * a * b
        height, width, a = height // (1 + pool), width // (1 + pool), b
    region = a * cfg.P**2 * cfg.H + cfg.H**2 + cfg.H * (5 * K + 1)
    return float(map_), float(region)


def work(cfg: Config, K: int, regions: int) -> dict[str, float]:
    """Multiply-adds for a picture: its map shared, or each region sent through the net by itself, as R-CNN does.

    R-CNN warps regions to 224 pixels where Fast R-CNN sees pictures of 600 x 1000; smaller ones in proportion.
    """
    short, warped = (
        round(0.6 * cfg.side) if cfg.mirror else cfg.side,
        round(cfg.side * (0.224 if cfg.mirror else 224 / 600)),
    )
    map_, region = multiply_adds(cfg, short, cfg.side, K)
    return {
        "shared": map_ + regions * region,
        "separate": regions * (multiply_adds(cfg, warped, warped, K)[0] + region),
    }


@torch.no_grad()
def seconds(net: FastRCNN, scene: Scene, boxes: Tensor, cfg: Config) -> dict[str, float]:
    """For a picture, the least of three times; warping the regions isn't counted."""
    device, w, taken = boxes.device, round(cfg.side * 224 / 600), {}
    image, alone = scene.image[None].to(device), torch.rand(len(boxes), 3, w, w, device=device)
    whole = torch.tensor([[0.0, 0, w, w]], device=device).expand(len(boxes), 4)
    for kind, (x, of, b) in {"shared": (image, torch.zeros(len(boxes), dtype=torch.long, device=device), boxes),
                             "separate": (alone, torch.arange(len(boxes), device=device), whole)}.items():  # fmt: skip
        each = []
        for _ in range(3):
            start = time.perf_counter()
            net(x, of, b)[0].sum().item()  # waits for the device
            each.append(time.perf_counter() - start)
        taken[kind] = min(each)
    return taken


def pooling_gaps(seed: int) -> tuple[float, float]:
    """Largest differences of RoI pooling, and of its gradient, from pooling each region by itself."""
    draw = torch.Generator().manual_seed(seed)
    corner, size = (
        40 * torch.rand(50, 2, generator=draw),
        1 + 30 * torch.rand(50, 2, generator=draw),
    )
    boxes, of = torch.cat([corner, corner + size], 1), torch.randint(2, (50,), generator=draw)
    maps = torch.randn(2, 3, 20, 24, generator=draw).double()
    slope = torch.randn(50, 3, 5, 5, generator=draw).double()
    results = []
    for pool in (roi_pool, pool_one_by_one):
        x = maps.clone().requires_grad_()
        y = pool(x, of, boxes, 0.5, 5)
        results.append((y.detach(), torch.autograd.grad(y, x, slope)[0]))
    (y, g), (y_slow, g_slow) = results
    return float((y - y_slow).abs().max()), float((g - g_slow).abs().max())


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    for seed in seeds:
        value, gradient = pooling_gaps(seed)
        yield dict(measure="RoI pooling", seed=seed, gap=value, gradient_gap=gradient)
    data = scenes(cfg.data, cfg.train, cfg.test, cfg.side, cfg.seed)
    K, proposed = len(data.classes), windows(cfg)
    examples = [example(scene, proposed, cfg) for scene in data.train]
    scale, proposed = spread(examples), proposed.to(device)
    reached = torch.cat([iou(proposed.cpu(), scene.boxes).amax(0) for scene in data.test])
    yield dict(
        measure="windows",
        regions=len(proposed),
        recall=100 * float((reached >= 0.5).float().mean()),
    )
    for name, c, k, regions in (("this net", cfg, K, len(proposed)), ("VGG16", PAPER, 20, 2_000)):
        for kind, n in work(c, k, regions).items():
            for seed in seeds:  # the same for all
                yield dict(work=name, kind=kind, seed=seed, multiply_adds=n)

    total, done = 3.0 * cfg.updates * len(seeds) + cfg.pretraining, 0
    torch.manual_seed(cfg.seed)
    other = auxiliary(cfg)
    first = FastRCNN(cfg, len(other.classes)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    others = [example(scene, proposed.cpu(), cfg) for scene in other.train]
    for step, L_cls, _ in train(first, others, cfg, 0.0, cfg.pretraining):
        done += 1
        yield Progress(done, total, "a net to start from")
        if step % -(-cfg.pretraining // 10) == 0:
            yield dict(net="pre-trained", seed=cfg.seed, step=step, L_cls=L_cls)
    weights = {
        k: w for k, w in first.state_dict().items() if not k.startswith(("classes", "boxes"))
    }  # Sec. 2.2
    for seed in seeds:
        nets: dict[str, FastRCNN] = {}
        for name, balance in {"classification": 0.0, "multi-task": cfg.balance}.items():
            torch.manual_seed(seed)  # the same weights to start from, the same mini-batches
            net = nets[name] = FastRCNN(cfg, K).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            net.load_state_dict(weights, strict=False)
            for stage in ("all", "boxes") if not balance else ("all",):
                for step, L_cls, L_loc in train(
                    net, examples, cfg, balance, cfg.updates, stage=stage
                ):
                    done += 1
                    yield Progress(done, total, f"{name}, seed {seed}")
                    if step % -(-cfg.updates // 10) == 0:
                        yield dict(
                            net=name, stage=stage, seed=seed, step=step, L_cls=L_cls, L_loc=L_loc
                        )
        nets["truncated SVD"] = compressed(nets["multi-task"], cfg.ranks)
        found: dict[str, list[tuple[Found, Found]]] = {name: [] for name in nets}
        for scene in data.test:
            for name, net in nets.items():
                found[name].append(detect(net, scene, proposed, scale, cfg))
            yield Progress(done, total, f"detecting, seed {seed}")
        for name, both in found.items():
            still, moved_ = (
                mean_average_precision(list(part), data.test, K) for part in zip(*both, strict=True)
            )
            yield dict(net=name, seed=seed, mAP_windows=still, mAP=moved_, data=data.name)
        if seed == cfg.seed:
            yield from figures(nets, found, data.test, data.classes, proposed, cfg)
    yield Progress(total, total, "done")


def auxiliary(cfg: Config) -> Scenes:  # same as impl/rcnn.py::auxiliary
    if cfg.auxiliary == "composed":
        return composed(cfg.examples, 0, cfg.side, cfg.seed, classes=(5, 6, 7, 8, 9))
    return scenes(cfg.auxiliary, cfg.examples, 1, cfg.side, cfg.seed)


def figures(
    nets: dict[str, FastRCNN], found: dict[str, list[tuple[Found, Found]]], truth: Sequence[Scene], classes: Sequence[str],
    proposed: Tensor, cfg: Config,
) -> Iterator[Figure]:  # fmt: skip
    """All of the first seed."""
    chosen = sorted(range(len(truth)), key=lambda i: abs(len(truth[i].boxes) - 3))[:3]
    panels: list[tuple[str, Scene, Found | None]] = []
    for i in chosen:
        panels += [("to be found", truth[i], None), ("multi-task, not moved", truth[i], found["multi-task"][i][0]),
                   ("in two stages", truth[i], found["classification"][i][1]),
                   ("multi-task", truth[i], found["multi-task"][i][1])]  # fmt: skip
    yield pictured("detections", panels, "What is found with windows as they are, and moved by either way of training",
                   classes, surer_than=0.3)  # fmt: skip

    scene, net = truth[chosen[0]], nets["multi-task"]
    device = proposed.device
    with torch.no_grad():
        maps = net.map(scene.image[None].to(device))
        of = torch.zeros(len(scene.boxes), dtype=torch.long, device=device)
        pooled = roi_pool(maps, of, scene.boxes.to(device), net.scale, cfg.P)
    strong = maps[0].amax((1, 2)).argsort(descending=True)[:8]
    sheet = {"the picture's map": maps[0, strong].cpu()}
    sheet |= {
        f"pooled: a {classes[int(c)]}": y[strong].cpu()
        for c, y in zip(scene.labels[:3], pooled, strict=False)
    }
    yield sheets("pooling", sheet, "Eight channels of one picture's map, and what RoI pooling takes from it for each object",
                 columns=2)  # fmt: skip

    bars = (
        work(cfg, len(classes), len(proposed)),
        seconds(net, scene, proposed, cfg),
        work(PAPER, 20, 2_000),
    )
    drawn, axes = canvas(1, 3, width=7.5, height=2.6)
    titles = (f"multiply-adds, {len(proposed)} regions", "seconds here", "VGG16, 2000 regions")
    for ax, bar, title in zip(axes, bars, titles, strict=True):
        ax.bar(list(bar), list(bar.values()), color=PALETTE[:2])
        ax.set(yscale="log", title=f"{title}\n1 : {bar['separate'] / bar['shared']:.0f}")
    yield figure(
        "work", drawn, "One map for all regions of a picture, against a net for each region"
    )


def check(rows: list[Row]) -> list[Verdict]:
    counted = {
        kind: by_seed(rows, "multiply_adds", work="this net", kind=kind)
        for kind in ("shared", "separate")
    }
    log = {kind: {seed: math.log10(n) for seed, n in by.items()} for kind, by in counted.items()}
    names = ("classification", "multi-task", "truncated SVD")
    mAP, still = ({net: {seed: 100 * v for seed, v in by_seed(rows, measure, net=net).items()} for net in names}
                  for measure in ("mAP", "mAP_windows"))  # fmt: skip
    return [
        compare("shared-work", log["shared"], log["separate"], better="lower", margin=1.0,  # ours: a tenth; Table 4: 1/146
                unit="decimal logarithm of multiply-adds a picture"),
        exact("roi-pooling", [float(row[gap]) for row in rows for gap in ("gap", "gradient_gap") if gap in row], 0.0,
              tolerance=1e-9, unit="largest difference of a value or gradient"),
        compare("multi-task", mAP["multi-task"], mAP["classification"], better="higher", margin=1.0,  # ours
                unit="points of mAP at IoU 0.5, boxes moved"),
        compare("classification", still["multi-task"], still["classification"], better="higher",
                margin=0.4,  # Sec. 5.1: half of the smallest gain
                unit="points of mAP at IoU 0.5, windows as they are"),
        no_worse("truncated-svd", mAP["truncated SVD"], mAP["multi-task"], better="higher",
                 tolerance=1.0,  # ours; Sec. 4.4 loses 0.3
                 unit="points of mAP at IoU 0.5"),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
