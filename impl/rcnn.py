"""Rich feature hierarchies for accurate object detection and semantic segmentation. Girshick et al., arXiv:1311.2524, 2013.

Claims      features-beat-hog  regions are told apart better by a fine-tuned CNN's features than by HOG (Sec. 3.2, Table 2)
            fine-tuning        fine-tuning on warped regions raises the mAP of a CNN pre-trained on another task (Sec. 3.2)
            box-regression     a linear regression from a region's features to a better box raises it further (Sec. 3.5)
            proposals-recall   grouped segments cover more of the objects than as many boxes at random (Sec. 4.2)
            inverse            moving a box by the targets of Eqs. 6 to 9 with Eqs. 1 to 4 gives the object's box (App. C)
Deviations  1  HOG stands on the same regions and SVMs as the CNN; the paper's rival is DPM v5, of deformable parts
            2  except in `paper` small nets and pictures: BCCD where it is, else digits on photographs; pre-trained on digits
            3  ILSVRC can't be read here: `paper` pre-trains on the crops of COCO's objects
            4  selective search without texture, in RGB alone; its segments are those of Felzenszwalb & Huttenlocher (2004)
            5  the SVM's cost, the layer and the ridge are chosen on validation scenes; a squared hinge, solved by Newton steps
            6  mAP is COCO's at IoU 0.5, the mean of precision at 101 recalls, not VOC 2007's at 11
            7  proposals-recall: the paper only reports the recall; random boxes as its rival are ours
            8  except in `paper` Adam; regions are recoloured and their boxes shaken, several times over to learn the regression
Left out    semantic segmentation (Sec. 5), dropout, the two groups and the response normalization of the CNN
Shapes      B regions in a batch, R regions in all, C classes and the background, D features
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
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
from impl.kit.figures import PALETTE, canvas, curves, figure


@dataclass(frozen=True)
class Config:
    data: str = (
        "voc"  # Sec. 2.4: PASCAL VOC 2007 for all choices; for others see impl.kit.detection
    )
    auxiliary: str = "coco"  # Sec. 2.3 has ILSVRC 2012; `composed` is of the digits 5 to 9, the scenes being of 0 to 4
    train: int = 4_011  # Sec. 3.2: trainval of VOC 2007, less the validation
    validation: int = (
        1_000  # ours: training pictures that choose the SVM's cost, the layer and the ridge
    )
    test: int = 4_952  # Sec. 3.2: test of VOC 2007
    examples: int = 118_000  # ours: pictures whose objects' crops the CNN is pre-trained on
    side: int = 500  # Sec. 4.2
    scales: tuple[float, ...] = (50.0, 100.0)  # ours: how large the first segments are
    regions: int = (
        2_000  # Sec. 2.2: about, a picture; the last ones found, which are the largest, come first
    )
    warp: int = 227  # Sec. 2.1: pixels of a region when it is warped
    context: int = 16  # same: of them, on each side, around the box
    channels: tuple[int, ...] = (96, 256, 384, 384, 256)  # Sec. 2.1: the net of Krizhevsky et al.
    kernels: tuple[int, ...] = (11, 5, 3, 3, 3)  # same
    strides: tuple[int, ...] = (4, 1, 1, 1, 1)  # same
    pools: tuple[int, ...] = (1, 1, 0, 0, 1)  # same: where 3 x 3 pixels are pooled at stride 2
    H: int = 4_096  # same: units of fc6 and fc7
    pretraining: int = 310_000  # ours: updates
    finetuning: int = 50_000  # Sec. 4.3
    rate: float = 0.01  # Sec. 2.3: of pre-training
    slower: float = 0.1  # same: of fine-tuning, as a part of it
    momentum: float = 0.9  # ours
    adam: bool = False  # Sec. 2.3: gradient descent; `quick` and `full` take Adam
    vary: bool = (
        False  # ours: whether regions are recoloured and their boxes shaken, for want of pictures
    )
    batch: int = 128  # Sec. 2.3
    positives: int = 32  # same: of the batch
    foreground: float = (
        0.5  # same: the overlap with an object from which a region is one, in fine-tuning
    )
    negative: float = 0.3  # same: the overlap below which it is none, for the SVM
    costs: tuple[float, ...] = (0.0001, 0.001, 0.01, 0.1)  # ours: of the SVM
    near: float = 0.6  # App. C: the overlap above which a region learns to become the object's box
    copies: int = 1  # ours: of such a region, recoloured and shaken if there are several
    ridges: tuple[float, ...] = (1_000.0,)  # App. C
    suppress: float = 0.3  # ours: greater overlaps with a surer region are suppressed; the paper's is learned, Sec. 2.2
    most: int = 100  # ours: detections a class and picture
    seeds: int = 5  # ours: nets, their training regions and the first negatives
    seed: int = 0  # ours: the first of them; it also draws the scenes


PAPER = Config()
FULL = replace(PAPER, data="auto", auxiliary="composed", train=240, validation=40, test=120, examples=300, side=64,
               regions=160, warp=24, context=2, channels=(16, 32), kernels=(5, 3), strides=(2, 1), pools=(0, 1), H=64,
               pretraining=600, finetuning=2_500, rate=0.002, slower=1.0, adam=True, vary=True, batch=64, positives=16,
               costs=(0.001, 0.01, 0.1), copies=8, ridges=(100.0, 1_000.0), most=20)  # fmt: skip
QUICK = replace(FULL, train=80, validation=15, test=40, examples=80, scales=(50.0,), regions=120, warp=20,
                pretraining=100, finetuning=420, costs=(0.003, 0.03))  # fmt: skip
SMOKE = replace(QUICK, train=4, validation=2, test=3, examples=6, regions=30, warp=16, channels=(4, 4), H=8,
                pretraining=3, finetuning=3, scales=(100.0,), costs=(0.1,), ridges=(100.0,), most=5, seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


# Region proposals: selective search, in small


def segments(image: np.ndarray, scale: float, least: int = 8) -> np.ndarray:
    """Felzenszwalb & Huttenlocher: join neighbours whose edge is no stronger than what either side varies by, [H, W]."""
    H, W, _ = image.shape
    index = np.arange(H * W).reshape(H, W)
    pairs = [(index[:, 1:], index[:, :-1]), (index[1:], index[:-1])]
    a, b = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
    flat = 255 * image.reshape(-1, 3)
    weight = np.linalg.norm(flat[a] - flat[b], axis=1)
    order = np.argsort(weight, kind="stable")
    edges = list(zip(a[order].tolist(), b[order].tolist(), weight[order].tolist(), strict=True))
    parent, size, bound = list(range(H * W)), [1] * (H * W), [scale] * (H * W)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for small in (False, True):  # the second time round, what is too small joins its neighbour
        for i, j, w in edges:
            i, j = root(i), root(j)
            if i != j and (
                min(size[i], size[j]) < least if small else w <= min(bound[i], bound[j])
            ):
                parent[j] = i
                size[i] += size[j]
                bound[i] = w + scale / size[i]
        edges = [edge for edge in edges if parent[edge[0]] != parent[edge[1]]]
    return np.unique([root(i) for i in range(H * W)], return_inverse=True)[1].reshape(H, W)


def selective_search(image: np.ndarray, scales: Sequence[float], most: int) -> np.ndarray:
    """[H, W, 3] -> [R, 4]: the boxes of segments, and of all that come about when the two most alike are joined, and again."""
    boxes: list[tuple[int, ...]] = []
    for scale in scales:
        boxes += grouping(image, segments(image, scale))
    large = [box for box in reversed(boxes) if min(box[2] - box[0], box[3] - box[1]) >= 4]
    return np.array(list(dict.fromkeys(large))[:most], np.float32)


def grouping(image: np.ndarray, label: np.ndarray) -> list[tuple[int, ...]]:
    bins = np.minimum((25 * image).astype(int), 24) + 25 * np.arange(3)
    boxes: list[tuple[int, ...]] = []
    sizes, colours = [], []
    for i in range(label.max() + 1):
        y, x = np.nonzero(label == i)
        boxes.append((int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1))
        sizes.append(len(y))
        colours.append(np.bincount(bins[y, x].ravel(), minlength=75) / (3 * len(y)))

    def joint(i: int, j: int) -> tuple[int, ...]:
        return (*map(min, boxes[i][:2], boxes[j][:2]), *map(max, boxes[i][2:], boxes[j][2:]))

    def alike(i: int, j: int) -> float:
        x0, y0, x1, y1 = joint(i, j)
        colour = float(np.minimum(colours[i], colours[j]).sum())
        size = 1 - (sizes[i] + sizes[j]) / label.size
        fill = 1 - ((x1 - x0) * (y1 - y0) - sizes[i] - sizes[j]) / label.size
        return colour + size + fill

    touching = np.concatenate([np.stack([label[:, 1:], label[:, :-1]], -1).reshape(-1, 2),
                               np.stack([label[1:], label[:-1]], -1).reshape(-1, 2)])  # fmt: skip
    pairs = {
        (i, j): alike(i, j) for i, j in np.unique(np.sort(touching, 1), axis=0).tolist() if i != j
    }
    while pairs:
        i, j = max(pairs, key=pairs.__getitem__)
        boxes.append(joint(i, j))
        sizes.append(sizes[i] + sizes[j])
        colours.append((sizes[i] * colours[i] + sizes[j] * colours[j]) / sizes[-1])
        neighbours = {k for pair in pairs if i in pair or j in pair for k in pair} - {i, j}
        pairs = {pair: s for pair, s in pairs.items() if i not in pair and j not in pair}
        pairs |= {(k, len(boxes) - 1): alike(k, len(boxes) - 1) for k in neighbours}
    return boxes


@dataclass(frozen=True)
class Regions:
    """Of some scenes: the objects' own boxes first, then the proposals, scene by scene."""

    scenes: Sequence[Scene]
    at: Tensor  # [R] which scene
    boxes: Tensor  # [R, 4]
    own: Tensor  # [R] whether it is an object's own box
    overlap: Tensor  # [R] with the object it overlaps most
    target: Tensor  # [R, 4] the box of that
    label: Tensor  # [R] and its class
    sign: Tensor  # [R, C] for the SVMs: 1 an object of the class, -1 none, 0 left out


def gather(
    found: Sequence[Scene], proposals: Sequence[Tensor], C: int, cfg: Config, device: torch.device
) -> Regions:
    parts: list[tuple[Tensor, ...]] = []
    for i, (scene, proposed) in enumerate(zip(found, proposals, strict=True)):
        N, boxes = len(scene.boxes), torch.cat([scene.boxes, proposed])
        if not len(boxes):
            continue
        overlaps = torch.cat(
            [iou(boxes, scene.boxes), torch.zeros(len(boxes), 1)], 1
        )  # the last for no object at all
        best, which = overlaps.max(1)
        own = torch.arange(len(boxes)) < N
        of = torch.cat([scene.labels, torch.tensor([C])])
        of_class = torch.stack(
            [torch.where(of == c, overlaps, 0).amax(1) for c in range(C)], 1
        )  # [R, C]
        sign = torch.where(own[:, None] & (of[which][:, None] == torch.arange(C)), 1.0, 0.0)
        sign = torch.where((of_class < cfg.negative) & (sign == 0), -1.0, sign)
        target = torch.cat([scene.boxes, torch.zeros(1, 4)])[which]
        parts.append((torch.full((len(boxes),), i), boxes, own, best, target, of[which], sign))
    return Regions(found, *(torch.cat(part).to(device) for part in zip(*parts, strict=True)))


def warp(images: Tensor, boxes: Tensor, cfg: Config) -> Tensor:
    """Sec. 2.1: each box with its context becomes a square, [B, 3, H, W], [B, 4] -> [B, 3, warp, warp].

    With one image for all boxes, [1, 3, H, W], the squares are read off it one below the other.
    """
    B, w = len(boxes), cfg.warp
    grow = w / (w - 2 * cfg.context)
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, grow * (boxes[:, 2:] - boxes[:, :2])
    steps = (torch.arange(w, device=boxes.device) + 0.5) / w - 0.5
    at = centre[:, None] + steps[:, None] * size[:, None]  # [B, warp, 2] in pixels
    at = 2 * at / torch.tensor([images.shape[3], images.shape[2]], device=at.device) - 1
    grid = torch.stack([at[:, None, :, 0].expand(B, w, w), at[:, :, None, 1].expand(B, w, w)], -1)
    if len(images) == 1:
        read = F.grid_sample(
            images - 0.5, grid.reshape(1, B * w, w, 2), align_corners=False
        )  # outside: the mean
        return read.reshape(3, B, w, w).transpose(0, 1)
    return F.grid_sample(images - 0.5, grid, align_corners=False)


def hog(x: Tensor, cell: int = 4) -> Tensor:
    """Dalal & Triggs, their four normalizations added up as in DPM: nine orientations a cell, [B, 3, w, w] -> [B, D]."""
    dy, dx = x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1], x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2]
    strong = (dx.square() + dy.square()).argmax(
        1, keepdim=True
    )  # of the colours, the one of the steepest gradient
    dx, dy = dx.gather(1, strong), dy.gather(1, strong)
    angle = torch.atan2(dy, dx) / torch.pi * 9  # unsigned: 9 bins in half a turn
    away = (angle - torch.arange(9, device=x.device)[:, None, None]).remainder(9)
    share = (1 - torch.minimum(away, 9 - away)).clamp_min(0)  # [B, 9, w - 2, w - 2]
    cells = F.avg_pool2d(F.pad(share * (dx.square() + dy.square()).sqrt(), (1, 1, 1, 1)), cell)
    blocks = F.avg_pool2d(F.pad(cells.square().sum(1, keepdim=True), (1, 1, 1, 1)), 2, 1).sqrt()
    corners = [
        blocks[:, :, i : i + cells.shape[2], j : j + cells.shape[3]] for i in (0, 1) for j in (0, 1)
    ]
    return (
        torch.stack([(cells / (2 * corner + 0.01)).clamp_max(0.2) for corner in corners])
        .sum(0)
        .flatten(1)
    )


class Net(nn.Module):
    """Convolutions up to pool5, then fc6, fc7, and a layer of logits that fine-tuning replaces."""

    def __init__(self, cfg: Config, classes: int):
        super().__init__()
        widths, side = [3, *cfg.channels], cfg.warp
        modules: list[nn.Module] = []
        for a, b, k, stride, pool in zip(
            widths, cfg.channels, cfg.kernels, cfg.strides, cfg.pools, strict=False
        ):
            padding = 0 if stride == 4 else k // 2
            modules += [
                nn.Conv2d(a, b, k, stride, padding),
                *([nn.MaxPool2d(3, 2)] if pool else []),
                nn.ReLU(),
            ]
            side = (side + 2 * padding - k) // stride + 1
            side = (side - 3) // 2 + 1 if pool else side
        self.pool5 = nn.Sequential(*modules, nn.Flatten())
        self.fc6, self.fc7 = nn.Linear(widths[-1] * side * side, cfg.H), nn.Linear(cfg.H, cfg.H)
        self.last = nn.Linear(cfg.H, classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                nn.init.zeros_(m.bias)  # type: ignore[arg-type]

    def layers(self, x: Tensor) -> list[Tensor]:
        """[B, 3, warp, warp] -> pool5, fc6 and fc7, [B, D]."""
        pool5 = self.pool5(
            (4 * x).contiguous(memory_format=torch.channels_last)
        )  # about unit variance; faster on CPUs
        fc6 = F.relu(self.fc6(pool5))
        return [pool5, fc6, F.relu(self.fc7(fc6))]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.layers(x)[-1])
        return logits


def shaken(boxes: Tensor) -> Tensor:
    """Each side moved by up to a tenth of the box's length."""
    size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + size * (0.2 * torch.rand(boxes.shape) - 0.1).to(boxes.device)


def recoloured(x: Tensor) -> Tensor:
    """Each colour of each region stronger or weaker and shifted, in half of the regions the negative."""
    gain = (1 - 2 * torch.randint(2, (len(x), 1, 1, 1))) * (0.5 + torch.rand(len(x), 3, 1, 1))
    return gain.to(x.device) * x + 0.4 * torch.rand(len(x), 3, 1, 1).to(x.device) - 0.2


def train(
    net: Net, regions: Regions, label: Tensor, cfg: Config, tune: bool
) -> Iterator[tuple[int, float, float]]:
    """Sec. 2.3: warped regions, in fine-tuning a quarter of them objects; yields updates, loss and percent wrong."""
    updates, rate = (cfg.finetuning, cfg.rate * cfg.slower) if tune else (cfg.pretraining, cfg.rate)
    optimizer: torch.optim.Optimizer = torch.optim.SGD(
        net.parameters(), lr=rate, momentum=cfg.momentum
    )
    if cfg.adam:
        optimizer = torch.optim.Adam(net.parameters(), lr=rate, fused=True)
    objects = (regions.overlap >= cfg.foreground).cpu()
    quota = (
        [(objects, cfg.positives), (~objects, cfg.batch - cfg.positives)]
        if tune
        else [(objects, cfg.batch)]
    )
    pools = [(mask.nonzero()[:, 0], count) for mask, count in quota if mask.any()]
    for step in range(1, updates + 1):
        at = torch.cat([pool[torch.randint(len(pool), (count,))] for pool, count in pools])
        images = torch.stack([regions.scenes[i].image for i in regions.at.cpu()[at].tolist()]).to(
            label.device
        )
        at = at.to(label.device)
        x = warp(images, regions.boxes[at] if not cfg.vary else shaken(regions.boxes[at]), cfg)
        logits = net(recoloured(x) if cfg.vary else x)
        loss = F.cross_entropy(logits, label[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == updates * 3 // 4:
            for group in optimizer.param_groups:
                group["lr"] /= 10
        yield step, loss.item(), 100 * float((logits.argmax(1) != label[at]).float().mean())


@torch.no_grad()
def extract(net: Net | None, scene: Scene, boxes: Tensor, cfg: Config) -> list[Tensor]:
    """Of a scene's regions pool5, fc6 and fc7, [R, D]; or HOG alone, where there is no net. The last of D is 1."""
    x = warp(scene.image[None].to(boxes.device), boxes, cfg)
    return [
        torch.cat([y, torch.ones_like(y[:, :1])], 1) for y in (net.layers(x) if net else [hog(x)])
    ]


def newton(x: Tensor, sign: Tensor, cost: float, w: Tensor) -> Tensor:
    """min |w|^2 / 2 + cost * sum max(0, 1 - sign * x.w)^2 by Newton steps from w: [R, D], [R] and [D] -> [D]."""
    active = (sign * (x @ w) < 1) & (sign != 0)  # only these cost something
    for _ in range(20):
        X, y = x[active], sign[active]
        w = torch.linalg.solve(X.T @ X + torch.eye(len(w), device=x.device) / (2 * cost), X.T @ y)
        before, active = active, (sign * (x @ w) < 1) & (sign != 0)
        if torch.equal(before, active):
            break
    return w


def svms(x: Tensor, sign: Tensor, cost: float) -> Tensor:
    """Sec. 2.3: a linear SVM for each class, [R, D] and [R, C] -> [D, C], with hard negatives: it is first trained on four
    negatives an object, drawn at random, then once more with all those added that it did not put beyond the margin."""
    ws = []
    for each in sign.T:
        w, few = x.new_zeros(x.shape[1]), 4 * (each > 0).sum() / (each < 0).sum().clamp_min(1)
        cache = (each > 0) | (torch.rand(len(each)).to(x.device) < few)
        for _ in range(2):
            w = newton(x, each * cache, cost, w)
            cache |= x @ w > -1
        ws.append(w)
    return torch.stack(ws, 1)


def targets(P: Tensor, G: Tensor) -> Tensor:
    """What moves the box P to G, [R, 4]; x and y are of the centres."""
    P_size, G_size = P[:, 2:] - P[:, :2], G[:, 2:] - G[:, :2]
    t_xy = ((G[:, :2] + G[:, 2:]) / 2 - (P[:, :2] + P[:, 2:]) / 2) / P_size  # Eqs. 6, 7
    return torch.cat([t_xy, (G_size / P_size).log()], 1)  # Eqs. 8, 9


def moved(P: Tensor, d: Tensor) -> Tensor:
    P_size = P[..., 2:] - P[..., :2]
    centre = P_size * d[..., :2] + (P[..., :2] + P[..., 2:]) / 2  # Eqs. 1, 2
    size = P_size * d[..., 2:].exp()  # Eqs. 3, 4
    return torch.cat([centre - size / 2, centre + size / 2], -1)


@torch.no_grad()
def near(net: Net, regions: Regions, cfg: Config, copies: int) -> tuple[Tensor, ...]:
    """App. C: of the proposals that are near an object pool5 [N, D], boxes P and G [N, 4] and class [N].

    Several copies are each recoloured and shaken, as in fine-tuning.
    """
    parts = []
    for at in (
        ((regions.overlap > cfg.near) & ~regions.own).nonzero()[:, 0].repeat(copies).split(256)
    ):
        images = torch.stack([regions.scenes[i].image for i in regions.at[at].tolist()]).to(
            at.device
        )
        P, G = regions.boxes[at] if copies == 1 else shaken(regions.boxes[at]), regions.target[at]
        x = warp(images, P, cfg)
        y = net.layers(x if copies == 1 else recoloured(x))[0]
        still = iou(P, G).diagonal() > cfg.near
        parts.append(
            (
                torch.cat([y, torch.ones_like(y[:, :1])], 1)[still],
                P[still],
                G[still],
                regions.label[at][still],
            )
        )
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def regressions(x: Tensor, t: Tensor, label: Tensor, C: int, ridge: float) -> Tensor:
    """Eq. 5 in closed form, for each class: pool5 [N, D] and targets [N, 4] -> [C, D, 4]."""
    eye, each = ridge * torch.eye(x.shape[1], device=x.device), [label == c for c in range(C)]
    return torch.stack([torch.linalg.solve(x[c].T @ x[c] + eye, x[c].T @ t[c]) for c in each])


def suppress(scores: Tensor, overlap: Tensor, cfg: Config) -> Tensor:
    """Sec. 2.2: the surest region is kept, those that overlap it too much are not, and so on.

    Scores [C, R] and overlaps [C, R, R], of which each class has its own, to [C, R], whether it is kept.
    """
    kept, left, row = (
        torch.zeros_like(scores, dtype=torch.bool),
        scores.clone(),
        torch.arange(len(scores)),
    )
    for _ in range(min(cfg.most, scores.shape[1])):
        best = left.argmax(1)
        kept[row, best] |= left[row, best] > -torch.inf
        left[overlap[row, best] > cfg.suppress] = -torch.inf
        left[row, best] = -torch.inf
    return kept


def detect(scores: Tensor, boxes: Tensor, cfg: Config) -> Found:
    """Of one scene: scores [R, C] and boxes, [R, 4], or [R, C, 4] when each class has moved them."""
    R, C = scores.shape
    if boxes.ndim == 2:
        overlap, boxes = iou(boxes, boxes).expand(C, R, R), boxes[:, None].expand(R, C, 4)
    else:
        overlap = torch.stack([iou(each, each) for each in boxes.unbind(1)])
    label, at = suppress(scores.T, overlap, cfg).nonzero().unbind(1)
    return Found(boxes[at, label], label, scores[at, label])


@dataclass
class Detector:
    """A net, or HOG; the SVMs on the features that did best on the validation scenes; with a net, regressions of boxes."""

    net: Net | None
    cfg: Config
    layer: int = 0
    w: Tensor = field(default_factory=Tensor)  # [D, C]
    boxes: Tensor = field(default_factory=Tensor)  # [C, D, 4]

    def features(self, regions: Regions) -> list[Tensor]:
        each = [extract(self.net, scene, regions.boxes[regions.at == i], self.cfg)
                for i, scene in enumerate(regions.scenes)]  # fmt: skip
        return [torch.cat(layer) for layer in zip(*each, strict=True)]

    def fit(self, trained: Regions, held: Regions, *, regress: bool = False) -> "Detector":
        layers, checked = self.features(trained), self.features(held)
        proposals = [(held.at == i) & ~held.own for i in range(len(held.scenes))]
        best = -1.0
        for layer in range(
            len(layers) > 1, len(layers)
        ):  # of a net fc6 and fc7; pool5 is for the boxes
            scale = (
                20 / layers[layer].norm(dim=1).mean()
            )  # ours: so that a cost means the same for all features
            for cost in self.cfg.costs:
                w = scale * svms(scale * layers[layer], trained.sign, cost)
                found = [
                    detect(checked[layer][at] @ w, held.boxes[at], self.cfg) for at in proposals
                ]
                mAP = mean_average_precision(found, held.scenes, w.shape[1])
                if mAP > best:
                    best, self.layer, self.w = mAP, layer, w
        if self.net and regress:
            x, P, G, label = near(self.net, trained, self.cfg, self.cfg.copies)
            y, Q, T, of = near(self.net, held, self.cfg, 1)
            C, tried = trained.sign.shape[1], []
            for ridge in self.cfg.ridges:
                w = regressions(x, targets(P, G), label, C, ridge)
                wrong = (torch.einsum("nd,ndk->nk", y, w[of]) - targets(Q, T)).square().mean()
                tried.append((float(wrong), ridge, w))
            self.boxes = min(tried)[2]
        return self

    def __call__(self, scene: Scene, proposals: Tensor, *, regress: bool = False) -> Found:
        layers, boxes = extract(self.net, scene, proposals, self.cfg), proposals
        if regress:
            boxes = moved(boxes[:, None], torch.einsum("rd,cdk->rck", layers[0], self.boxes)).clamp(
                0, scene.image.shape[1]
            )
        return detect(layers[self.layer] @ self.w, boxes, self.cfg)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    seeds = list(range(cfg.seed, cfg.seed + cfg.seeds))
    for seed in seeds:
        yield dict(measure="inverse", seed=seed, gap=inverse_gap(seed))
    data = scenes(cfg.data, cfg.train + cfg.validation, cfg.test, cfg.side, cfg.seed)
    other = auxiliary(cfg)
    C, n = len(data.classes), max(1, len(data.train) - cfg.validation)
    parts = {"train": data.train[:n], "validation": data.train[n:], "test": data.test}
    done, total = 0.0, 1.0 + len(seeds)

    proposals: dict[str, list[Tensor]] = {part: [] for part in parts}
    for part, found in parts.items():
        for scene in found:
            image = scene.image.permute(1, 2, 0).numpy()
            proposals[part].append(
                torch.from_numpy(selective_search(image, cfg.scales, cfg.regions))
            )
            done += 0.9 / sum(map(len, parts.values()))
            yield Progress(done, total, "proposing regions")
    yield from recalls(parts, proposals, seeds, data.name)
    yield search_pictured(parts["test"][0], proposals["test"][0], cfg)
    trained, held = (
        gather(parts[part], proposals[part], C, cfg, device) for part in ("train", "validation")
    )
    objects = gather(
        other.train, [torch.zeros(0, 4)] * len(other.train), len(other.classes), cfg, device
    )
    tests = [
        (scene, boxes.to(device)) for scene, boxes in zip(data.test, proposals["test"], strict=True)
    ]

    torch.manual_seed(cfg.seed)
    gradients = Detector(None, cfg).fit(trained, held)
    results = {"HOG": [gradients(*test) for test in tests]}
    for seed in seeds:
        torch.manual_seed(seed)
        net = Net(cfg, len(other.classes)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, tune in {"pre-trained": False, "fine-tuned": True}.items():
            regions, label, updates = objects, objects.label, cfg.pretraining
            if tune:  # Sec. 2.3: the last layer is drawn anew, and the background is one more class
                net.last = nn.Linear(cfg.H, C + 1).to(device)
                regions, label, updates = (
                    trained,
                    torch.where(trained.overlap >= cfg.foreground, trained.label, C),
                    cfg.finetuning,
                )
            for step, loss, error in train(net, regions, label, cfg, tune):
                done += 0.4 / updates
                yield Progress(done, total, f"{name}, seed {seed}")
                if step % -(-updates // 10) == 0 or step == updates:
                    yield dict(phase=name, seed=seed, step=step, loss=loss, error=error)
            detector = Detector(net, cfg).fit(trained, held, regress=tune)
            results[name] = [detector(*test) for test in tests]
            done += 0.1
        results["boxes regressed"] = [detector(*test, regress=True) for test in tests]
        for (
            name,
            all_found,
        ) in results.items():  # HOG, in which nothing is random, stands against each seed
            mAP = mean_average_precision(all_found, data.test, C)
            yield dict(detector=name, seed=seed, mAP=mAP, layer=detector.layer, data=data.name)
        if seed == cfg.seed:
            yield from figures(detector, results, tests, data.classes)
    yield Progress(total, total, "done")


def auxiliary(cfg: Config) -> Scenes:
    if cfg.auxiliary == "composed":
        return composed(cfg.examples, 0, cfg.side, cfg.seed, classes=(5, 6, 7, 8, 9))
    return scenes(cfg.auxiliary, cfg.examples, 1, cfg.side, cfg.seed)


def inverse_gap(seed: int) -> float:
    """Largest difference between boxes and those that others become when moved to them, over their sizes."""
    draw = torch.Generator().manual_seed(seed)
    corner, size = (torch.rand(2, 1000, 2, generator=draw).double() * scale for scale in (100, 50))
    P, G = torch.cat([corner, corner + size + 1], 2)
    return float((moved(P, targets(P, G)) - G).abs().max())


def recalls(
    parts: dict[str, Sequence[Scene]],
    proposals: dict[str, list[Tensor]],
    seeds: Sequence[int],
    name: str,
) -> Iterator[Row]:
    """The part of the test objects that some proposal overlaps by half, and that as many random boxes do.

    Those are as large as objects of the training scenes, anywhere in the picture.
    """
    sizes = torch.cat([scene.boxes[:, 2:] - scene.boxes[:, :2] for scene in parts["train"]])
    for seed in seeds:
        draw = torch.Generator().manual_seed(seed)
        best: dict[str, list[Tensor]] = {"grouping": [], "random": []}
        for scene, boxes in zip(parts["test"], proposals["test"], strict=True):
            size = sizes[torch.randint(len(sizes), (len(boxes),), generator=draw)]
            corner = torch.rand(len(boxes), 2, generator=draw) * (
                scene.image.shape[1] - size
            ).clamp_min(0)
            for kind, candidates in {
                "grouping": boxes,
                "random": torch.cat([corner, corner + size], 1),
            }.items():
                best[kind].append(iou(candidates, scene.boxes).amax(0))
        for kind, overlaps in best.items():
            recall = 100 * float((torch.cat(overlaps) >= 0.5).float().mean())
            regions = sum(map(len, proposals["test"])) / len(proposals["test"])
            yield dict(proposals=kind, seed=seed, recall=recall, regions=regions, data=name)


# Figures


def search_pictured(scene: Scene, proposals: Tensor, cfg: Config) -> Figure:
    image = scene.image.permute(1, 2, 0).numpy()
    label = segments(image, cfg.scales[0])
    painted = np.stack([np.bincount(label.ravel(), c.ravel()) for c in image.transpose(2, 0, 1)], 1)
    painted = (painted / np.bincount(label.ravel())[:, None])[label]
    best = proposals[iou(proposals, scene.boxes).argmax(0)]
    drawn, axes = canvas(1, 4, width=8.0, height=2.3)
    panels = {"scene": proposals[:0], f"{label.max() + 1} segments": proposals[:0],
              f"{len(proposals)} proposals": proposals, "best for each object": best}  # fmt: skip
    for ax, (title, boxes) in zip(axes, panels.items(), strict=True):
        ax.imshow(painted if "segments" in title else image)
        for i, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
            ax.plot(
                [x0, x1, x1, x0, x0],
                [y0, y0, y1, y1, y0],
                color=PALETTE[i % len(PALETTE)],
                linewidth=0.8,
            )
        ax.set_title(title)
        ax.set_axis_off()
    return figure(
        "proposals",
        drawn,
        "From pixels to segments, to the boxes of all their unions: where objects may be",
    )


def figures(
    detector: Detector,
    results: dict[str, list[Found]],
    tests: list[tuple[Scene, Tensor]],
    classes: Sequence[str],
) -> Iterator[Figure]:
    """All of the first seed."""
    loose = replace(detector, cfg=replace(detector.cfg, suppress=1.0))
    lines = {
        name: precision_recall(found, [scene for scene, _ in tests])
        for name, found in results.items()
    }
    yield curves("precision-recall", lines, "What part of the detections is right, against the part of the objects found",
                 x="recall", y="precision")  # fmt: skip
    panels: list[tuple[str, Scene, Found | None]] = []
    for i in sorted(range(len(tests)), key=lambda i: abs(len(tests[i][0].boxes) - 3))[:3]:
        scene, boxes = tests[i]
        titled = {"to be found": None, "before suppression": loose(scene, boxes)}
        titled |= {name: results[name][i] for name in ("fine-tuned", "boxes regressed")}
        panels += [(title, scene, found) for title, found in titled.items()]
    yield pictured(
        "detections",
        panels,
        "Regions the SVMs are sure of; the surest of each heap; their boxes moved",
        classes,
        surer_than=-0.7,
    )
    yield top_regions(detector, tests)


def precision_recall(found: Sequence[Found], truth: Sequence[Scene]) -> list[tuple[float, float]]:
    right: list[tuple[float, float]] = []
    for f, scene in zip(found, truth, strict=True):
        free = torch.ones(len(scene.boxes), dtype=torch.bool)
        for k in f.scores.argsort(descending=True).tolist():
            if f.scores[k] > -1:  # the rest is beyond the margin
                overlap = (
                    iou(f.boxes[k, None].cpu(), scene.boxes)[0]
                    * free
                    * (scene.labels == f.labels[k].cpu())
                )
                hit = bool(overlap.max() >= 0.5)
                free[overlap.argmax()] &= not hit
                right.append((-float(f.scores[k]), float(hit)))
    hits = np.cumsum([hit for _, hit in sorted(right)])
    total = sum(len(scene.boxes) for scene in truth)
    return [(float(h / total), float(h / (k + 1))) for k, h in enumerate(hits) if k % 5 == 0] or [
        (0.0, 0.0)
    ]


@torch.no_grad()
def top_regions(
    detector: Detector, tests: list[tuple[Scene, Tensor]], units: int = 6, top: int = 10
) -> Figure:
    """Sec. 3.1: units of fc6 as if each were a detector, the regions that excite it most, one a scene."""
    each = [extract(detector.net, *test, detector.cfg)[1][:, :-1] for test in tests]
    most, mean = torch.stack([y.amax(0) for y in each]), torch.cat(each).mean(0)  # [scenes, H], [H]
    chosen = (
        (most.amax(0) / (mean + mean.mean() + 1e-9)).argsort(descending=True)[:units].tolist()
    )  # the choosiest
    drawn, axes = canvas(len(chosen), min(top, len(tests)), width=7.0, height=0.75 * len(chosen))
    for row, unit in zip(axes, chosen, strict=True):
        for ax, i in zip(row, most[:, unit].argsort(descending=True).tolist(), strict=False):
            scene, boxes = tests[i]
            seen = (
                warp(
                    scene.image[None].to(boxes.device),
                    boxes[each[i][:, unit].argmax(), None],
                    detector.cfg,
                )[0]
                + 0.5
            )
            ax.imshow(seen.permute(1, 2, 0).cpu().clamp(0, 1).numpy())
            ax.set_axis_off()
    return figure(
        "top-regions",
        drawn,
        "The warped regions that excite a unit of fc6 most, a row for each (as in Fig. 4)",
    )


def check(rows: list[Row]) -> list[Verdict]:
    mAP = {name: {s: 100 * v for s, v in by_seed(rows, "mAP", detector=name).items()}
           for name in ("HOG", "pre-trained", "fine-tuned", "boxes regressed")}  # fmt: skip
    unit = "points of mAP at IoU 0.5"
    return [  # of what the paper gained, half must be gained here: 20.5, 8.0 and 3 to 4 points
        compare("features-beat-hog", mAP["fine-tuned"], mAP["HOG"], better="higher", margin=10.0, unit=unit),
        compare("fine-tuning", mAP["fine-tuned"], mAP["pre-trained"], better="higher", margin=4.0, unit=unit),
        compare("box-regression", mAP["boxes regressed"], mAP["fine-tuned"], better="higher", margin=1.5, unit=unit),
        compare("proposals-recall", by_seed(rows, "recall", proposals="grouping"), by_seed(rows, "recall", proposals="random"),
                better="higher", margin=10.0, unit="% of the objects overlapped by half"),  # ours
        exact("inverse", [float(row["gap"]) for row in rows if row.get("measure") == "inverse"], 0.0, tolerance=1e-9,
              unit="pixels between the boxes"),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
