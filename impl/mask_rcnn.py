"""Mask R-CNN. He, Gkioxari, Dollar & Girshick, ICCV, 2017 (arXiv 1703.06870).

Claims      align-ramp   RoIAlign of a linear ramp is the ramp: it reads values at their exact places (Sec. 3, Fig. 3)
            pool-rounds  RoIPool's rounding moves the edges of a region by up to half a cell of the map (Sec. 3)
            align-boxes  with RoIAlign boxes become tighter than with RoIPool (Table 2d)
            align-masks  and the masks are better (Tables 2c, 2d)
            decoupled    a mask for each class, by sigmoids, is better than classes that compete for pixels (Table 2b)
Deviations  1  regions are the objects' boxes, moved and scaled at random, and boxes elsewhere: nothing is proposed
            2  except in `paper` digits on photographs, small nets, and a few hundred updates of Adam
            3  the backbone is trained first, to name what each cell of its map shows, and then kept as it is, one for all
               seeds; the branches are trained on what the three kinds read from the same map, so that the reading alone differs
            4  the map's stride is 4, and RoIPool takes averages, too: what differs is the rounding alone
            5  the mask branch has one convolution, without deconvolution; boxes and masks are judged by their mean
               IoU, which tells weak nets apart, where the paper has AP
Left out    the feature pyramid, keypoints, proposals (impl/faster_rcnn.py), a mask branch beside classes of their own
Shapes      B pictures of S x S, R regions, C classes, F maps, P x P cells of a region, M x M pixels of its mask
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.detection import Found, Scene, iou, mean_average_precision, pictured, scenes
from impl.kit.figures import INK, PALETTE, canvas, figure


@dataclass(frozen=True)
class Config:
    data: str = "coco"  # Sec. 4; `composed` and `coco` have masks, see impl.kit.detection
    train: int = 115_000  # Sec. 4: pictures
    test: int = 5_000  # Sec. 4
    side: int = 800  # Sec. 3.1: of the shorter side; here of the longer one
    channels: tuple[int, ...] = (
        64,
        256,
        512,
        1024,
    )  # the widths of ResNet-50's stages; ours are plain convolutions
    P: int = 7  # Sec. 3.1: cells of a region for its class and box
    M: int = 14  # Fig. 4, left: cells of a region for its mask
    H: int = 1_024  # Fig. 4: units of the box branch
    F: int = 256  # Fig. 4: maps of the mask branch
    regions: int = 64  # Sec. 3.1: of a picture, in training
    jitter: float = (
        0.3  # ours: a region's edges are moved by up to half this part of the object's size
    )
    batch: int = 16  # Sec. 3.1: pictures
    updates: int = 160_000  # Sec. 3.1: of the branches
    before: int = 160_000  # ours: of the backbone
    rate: float = 0.001  # ours: Adam's
    seeds: int = 5  # ours: nets and their regions
    seed: int = 0  # ours: the first of them; it also draws the scenes


PAPER = Config()
FULL = replace(PAPER, data="composed", train=600, test=150, side=96, channels=(16, 32), H=128, F=32, regions=8, batch=8,
               updates=2_000, before=1_000)  # fmt: skip
QUICK = replace(
    FULL,
    train=200,
    test=60,
    side=64,
    H=48,
    F=16,
    M=10,
    regions=10,
    updates=250,
    before=1_200,
    rate=0.003,
)
SMOKE = replace(
    QUICK,
    train=6,
    test=3,
    channels=(4, 4),
    H=8,
    F=4,
    regions=4,
    batch=2,
    updates=3,
    before=2,
    seeds=2,
)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


# From a region of the map to P x P cells


def bilinear(x: Tensor, of: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Values of maps x [B, F, H, W] at places in cells, whose centres are at 0.5, 1.5, ...: [R, ...] each -> [R, ..., F]."""
    H, W = x.shape[2:]
    r, c = (row - 0.5).clamp(0, H - 1), (column - 0.5).clamp(0, W - 1)
    r0, c0 = r.floor().long().clamp(max=max(H - 2, 0)), c.floor().long().clamp(max=max(W - 2, 0))
    r1, c1 = (r0 + 1).clamp(max=H - 1), (c0 + 1).clamp(max=W - 1)
    a, b = (r - r0)[..., None], (c - c0)[..., None]
    of = of.reshape(-1, *[1] * (row.dim() - 1)).expand_as(r0)
    cells = x.permute(0, 2, 3, 1)  # [B, H, W, F]
    above = (1 - b) * cells[of, r0, c0] + b * cells[of, r0, c1]
    below = (1 - b) * cells[of, r1, c0] + b * cells[of, r1, c1]
    return (1 - a) * above + a * below


def points(boxes: Tensor, P: int, n: int = 2) -> tuple[Tensor, Tensor]:
    """Rows and columns of n x n regular points in each of P x P cells of boxes [R, 4]: [R, P * n, P * n] each."""
    step = (torch.arange(P * n, device=boxes.device, dtype=boxes.dtype) + 0.5) / (P * n)
    x0, y0, x1, y1 = boxes.T[:, :, None]
    row, column = y0 + (y1 - y0) * step, x0 + (x1 - x0) * step
    return row[:, :, None].expand(-1, -1, P * n), column[:, None, :].expand(-1, P * n, -1)


def roi_align(x: Tensor, of: Tensor, boxes: Tensor, stride: float, P: int) -> Tensor:
    """Sec. 3: the mean of four exactly placed values in each cell; boxes [R, 4] in pixels -> [R, F, P, P].

    The values are those of `bilinear`, by torch's faster operator, which wants places between -1 and 1.
    """
    row, column = points(boxes / stride, P)  # x / 16, not [x / 16]
    H, W = x.shape[2:]
    places = torch.stack([2 * column / W - 1, 2 * row / H - 1], 3)
    values = F.grid_sample(
        x.index_select(0, of), places, padding_mode="border", align_corners=False
    )
    return F.avg_pool2d(values, 2)


def rounded(boxes: Tensor, stride: float) -> Tensor:
    """What RoIPool does to a region first: its edges in whole cells of the map, at least one cell apart."""
    low, high = (boxes / stride).round().split(2, 1)
    return torch.cat([low, torch.maximum(high, low + 1)], 1)


def roi_pool(x: Tensor, of: Tensor, boxes: Tensor, stride: float, P: int) -> Tensor:
    """Sec. 3: rounded to whole cells, divided into P x P bins that are rounded outwards again, pooled; [R, F, P, P]."""
    H, W = x.shape[2:]
    pooled = []
    for n, (x0, y0, x1, y1) in zip(
        of.tolist(), rounded(boxes, stride).long().tolist(), strict=True
    ):
        x0, y0 = min(max(x0, 0), W - 1), min(max(y0, 0), H - 1)
        part = x[n, :, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
        pooled.append(F.adaptive_avg_pool2d(part, P))
    return torch.stack(pooled)


RoI = Callable[[Tensor, Tensor, Tensor, float, int], Tensor]
KINDS: dict[
    str, tuple[RoI, bool]
] = {  # how regions are read, and whether classes compete for a mask's pixels
    "RoIAlign": (roi_align, False),
    "RoIPool": (roi_pool, False),
    "RoIAlign, softmax": (roi_align, True),
}


# The net and its loss


class Backbone(nn.Module):
    """Pictures [B, 3, S, S] to maps [B, F, H, W] with a cell for every 2^len(channels) pixels."""

    def __init__(self, cfg: Config, C: int):
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((3, *cfg.channels), cfg.channels, strict=False):
            layers += [nn.Conv2d(a, b, 5 if a == 3 else 3, 2, 2 if a == 3 else 1), nn.ReLU()]
        last = cfg.channels[-1]
        self.maps = nn.Sequential(*layers, nn.Conv2d(last, last, 3, padding=1), nn.ReLU())
        self.name = nn.Conv2d(last, C + 1, 1)  # what a cell shows; C is the background

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.maps(4 * (x - 0.5))
        return maps


class Branches(nn.Module):
    """What is said of a region: its class, how its box must change, and for each class a mask."""

    def __init__(self, cfg: Config, C: int, softmax: bool):
        super().__init__()
        self.C, self.softmax, last = C, softmax, cfg.channels[-1]
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(last * cfg.P**2, cfg.H), nn.ReLU())
        self.label, self.delta = nn.Linear(cfg.H, C + 1), nn.Linear(cfg.H, 4 * C)
        self.mask = nn.Sequential(
            nn.Conv2d(last, cfg.F, 3, padding=1), nn.ReLU(), nn.Conv2d(cfg.F, C, 1)
        )

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """[R, F, P, P] -> logits [R, C + 1] and changes of the box, for each class, [R, C, 4]."""
        h = self.hidden(cells)
        return self.label(h), self.delta(h).unflatten(1, (self.C, 4))


def targets(boxes: Tensor, objects: Tensor) -> Tensor:
    """How boxes [R, 4] must change to become `objects`: shift in parts of their size, and its logarithm (as in R-CNN)."""
    size, wanted = boxes[:, 2:] - boxes[:, :2], objects[:, 2:] - objects[:, :2]
    shift = (objects[:, :2] + wanted / 2 - boxes[:, :2] - size / 2) / size
    return 5 * torch.cat(
        [shift, (wanted / size).log()], 1
    )  # scaled, so that the loss has about the size of the others


def moved(boxes: Tensor, delta: Tensor) -> Tensor:
    """The inverse of `targets`."""
    size = boxes[:, 2:] - boxes[:, :2]
    shift, stretch = (delta / 5).split(2, 1)
    centre, half = boxes[:, :2] + size / 2 + shift * size, size * stretch.clamp(-2, 2).exp() / 2
    return torch.cat([centre - half, centre + half], 1)


def mask_targets(masks: Tensor, boxes: Tensor, M: int) -> Tensor:
    """What of an object's mask [R, S, S] lies in its region [R, 4], at M x M: [R, M, M] of 0 and 1."""
    own = torch.arange(len(masks), device=masks.device)
    return (bilinear(masks[:, None].float(), own, *points(boxes, M, n=1)).squeeze(-1) > 0.5).float()


def loss(net: Branches, cells: Tensor, mask_cells: Tensor, batch: "Batch") -> Tensor:
    """L = L_cls + L_box + L_mask, the last two of regions that are an object's (Sec. 3)."""
    logits, delta = net(cells)
    total = F.cross_entropy(logits, batch.label)
    is_object = batch.label < net.C
    boxes, objects, label = batch.boxes[is_object], batch.objects[is_object], batch.label[is_object]
    own = torch.arange(len(label), device=label.device)
    total = total + F.smooth_l1_loss(delta[is_object][own, label], targets(boxes, objects))
    masks = net.mask(mask_cells[is_object])
    wanted = mask_targets(batch.masks[is_object], boxes, masks.shape[-1])
    if net.softmax:  # every class and, as a further logit, nothing compete for each pixel
        index = torch.where(wanted > 0, label[:, None, None], net.C)
        return total + F.cross_entropy(torch.cat([masks, torch.zeros_like(masks[:, :1])], 1), index)
    return total + F.binary_cross_entropy_with_logits(
        masks[own, label], wanted
    )  # only the k-th mask counts


# Regions, training, detection


@dataclass(frozen=True)
class Batch:
    of: Tensor  # [R], which picture
    boxes: Tensor  # [R, 4]
    label: Tensor  # [R], C for the background
    objects: Tensor  # [R, 4], the object's box
    masks: Tensor  # [R, S, S]

    def only(self, at: Tensor) -> "Batch":
        return Batch(self.of[at], self.boxes[at], self.label[at], self.objects[at], self.masks[at])

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            *(t.to(device) for t in (self.of, self.boxes, self.label, self.objects, self.masks))
        )


def regions(some: Sequence[Scene], n: int, C: int, cfg: Config, draw: torch.Generator) -> Batch:
    """In each picture n regions: half are objects' boxes, moved and scaled at random, half lie anywhere."""
    parts = [around(scene, n, cfg, draw) for scene in some]
    nearest, near = zip(*((at, overlap) for _, at, overlap in parts), strict=True)
    label = [
        torch.where(overlap >= 0.5, scene.labels[at], C)
        for scene, at, overlap in zip(some, nearest, near, strict=True)
    ]
    return Batch(
        torch.arange(len(some)).repeat_interleave(n),
        torch.cat([boxes for boxes, _, _ in parts]),
        torch.cat(label),
        torch.cat([scene.boxes[at] for scene, at in zip(some, nearest, strict=True)]),
        torch.cat(
            [
                scene.masks[at]
                for scene, at in zip(some, nearest, strict=True)
                if scene.masks is not None
            ]
        ),
    )


def around(
    scene: Scene, n: int, cfg: Config, draw: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """n boxes [n, 4] of one picture; for each the object that it overlaps most, and by how much."""
    i = torch.arange(n // 2) % len(scene.labels)
    size = (scene.boxes[i, 2:] - scene.boxes[i, :2]).repeat(1, 2)
    shaken = scene.boxes[i] + cfg.jitter * size * (torch.rand(n // 2, 4, generator=draw) - 0.5)
    size = cfg.side * (0.2 + 0.3 * torch.rand(n - n // 2, 2, generator=draw))
    low = torch.rand(n - n // 2, 2, generator=draw) * (cfg.side - size)
    boxes = torch.cat([shaken, torch.cat([low, low + size], 1)])
    overlap, nearest = iou(boxes, scene.boxes).max(1)
    return boxes, nearest, overlap


def learn_cells(
    net: Backbone, found: Sequence[Scene], cfg: Config, seed: int, device: torch.device
) -> Iterator[int]:
    """Trains the backbone to name what lies under the middle of each cell of its map."""
    draw = torch.Generator().manual_seed(1_000_003 * (seed + 1))
    optimizer = torch.optim.Adam(net.parameters(), cfg.rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, cfg.before)
    C, stride = net.name.out_channels - 1, 2 ** len(cfg.channels)
    rare = torch.tensor([1.0] * C + [0.2], device=device)  # objects are a small part of a picture
    for step in range(1, cfg.before + 1):
        some = [found[i] for i in torch.randint(len(found), (cfg.batch,), generator=draw).tolist()]
        shown = torch.stack(
            [shows(scene, C)[stride // 2 :: stride, stride // 2 :: stride] for scene in some]
        )
        logits = net.name(net(torch.stack([scene.image for scene in some]).to(device)))
        value = F.cross_entropy(logits, shown.to(device), rare)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        decay.step()
        yield step


def shows(scene: Scene, C: int) -> Tensor:
    """The class of the object at each pixel, C where there is none: [S, S]."""
    assert scene.masks is not None
    inside, which = scene.masks.float().max(0)
    return torch.where(inside > 0, scene.labels[which], C)


@torch.no_grad()
def read(
    net: Backbone,
    roi: RoI,
    found: Sequence[Scene],
    batch: "Batch",
    boxes: Tensor,
    P: int,
    device: torch.device,
) -> Tensor:
    """What a kind of reading gives in boxes [R, 4] of pictures: [R, F, P, P]."""
    stride, parts = 2.0 ** (len(net.maps) // 2 - 1), []
    for first in range(0, len(found), 50):
        maps = net(torch.stack([scene.image for scene in found[first : first + 50]]).to(device))
        here = (batch.of >= first) & (batch.of < first + 50)
        parts.append(
            roi(maps, (batch.of[here] - first).to(device), boxes[here].to(device), stride, P)
        )
    return torch.cat(parts)


def train(
    net: Branches, cells: Tensor, mask_cells: Tensor, batch: "Batch", cfg: Config, seed: int
) -> Iterator[tuple[int, float]]:
    """All kinds of one seed see the same regions in the same order."""
    draw = torch.Generator().manual_seed(3_000_017 * (seed + 1))
    optimizer = torch.optim.Adam(net.parameters(), cfg.rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, cfg.updates)
    for step in range(1, cfg.updates + 1):
        at = torch.randint(len(cells), (cfg.batch * cfg.regions,), generator=draw).to(cells.device)
        value = loss(net, cells[at], mask_cells[at], batch.only(at))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        decay.step()
        yield step, value.item()


@torch.no_grad()
def detect(
    backbone: Backbone,
    net: Branches,
    roi: RoI,
    found: Sequence[Scene],
    batch: "Batch",
    cfg: Config,
    device: torch.device,
) -> list[Found]:
    """Sec. 3.1: classes and boxes first, then masks on the better boxes, pasted into the picture at 0.5."""
    logits, delta = net(read(backbone, roi, found, batch, batch.boxes, cfg.P, device))
    scores, label = logits.softmax(1)[:, : net.C].max(1)
    own = torch.arange(len(label), device=device)
    boxes = moved(batch.boxes.to(device), delta[own, label]).clamp(0, cfg.side)
    boxes = torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)], 1)
    logits = net.mask(read(backbone, roi, found, batch, boxes.cpu(), cfg.M, device))
    inside = logits[own, label]
    if net.softmax:
        inside = (
            torch.cat([logits, torch.zeros_like(logits[:, :1])], 1).softmax(1)[own, label] - 0.5
        )
    masks = pasted(inside, boxes, cfg.side).cpu()
    answers = []
    for number in range(len(found)):
        here = batch.of == number
        answers.append(Found(boxes.cpu()[here], label.cpu()[here], scores.cpu()[here], masks[here]))
    return answers


def pasted(inside: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Masks [R, M, M] of what is above 0 in boxes [R, 4] as masks of the whole picture, [R, S, S]."""
    M, at = inside.shape[1], torch.arange(side, device=boxes.device) + 0.5
    x0, y0, x1, y1 = boxes.T[:, :, None]
    row, column = (
        M * (at - y0) / (y1 - y0),
        M * (at - x0) / (x1 - x0),
    )  # [R, S] each, in the mask's own cells
    row, column = row[:, :, None].expand(-1, -1, side), column[:, None, :].expand(-1, side, -1)
    values = bilinear(
        inside[:, None], torch.arange(len(boxes), device=boxes.device), row, column
    ).squeeze(-1)
    within = (row > 0) & (row < M) & (column > 0) & (column < M)
    inner: Tensor = (values > 0) & within
    return inner


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield from exactly(cfg)
    data = scenes(cfg.data, cfg.train, cfg.test, cfg.side, seed=cfg.seed)
    kept, held = list(data.train), list(data.test)
    C, done, total = len(data.classes), 0, cfg.before + cfg.seeds * len(KINDS) * cfg.updates
    torch.manual_seed(cfg.seed)
    backbone = Backbone(cfg, C).to(device)
    for _ in learn_cells(backbone, kept, cfg, cfg.seed, device):
        done += 1
        yield Progress(done, total, "the backbone learns to name what each cell shows")
    shown: dict[str, list[Found]] = {}
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        draw = torch.Generator().manual_seed(2_000_003 * (seed + 1))
        learnt, asked = (
            regions(some, cfg.regions, C, cfg, draw) for some in (kept, held)
        )  # the same for every kind
        for kind, (roi, softmax) in KINDS.items():
            torch.manual_seed(seed)
            net = Branches(cfg, C, softmax).to(device)
            cells, mask_cells = (
                read(backbone, roi, kept, learnt, learnt.boxes, P, device) for P in (cfg.P, cfg.M)
            )
            for step, value in train(net, cells, mask_cells, learnt.to(device), cfg, seed):
                done += 1
                yield Progress(done, total, f"{kind}, seed {seed}")
                if step % -(-cfg.updates // 12) == 0 or step == cfg.updates:
                    yield dict(net=kind, seed=seed, step=step, loss=value)
            found = detect(backbone, net, roi, held, asked, cfg, device)
            box, mask = (
                mean_average_precision(found, held, C, [0.5], masks=masks)
                for masks in (False, True)
            )
            tight, overlap = overlaps(found, asked, C)
            yield dict(net=kind, seed=seed, data=data.name, box_IoU=tight, mask_IoU=overlap, box_AP50=100 * box,
                       mask_AP50=100 * mask)  # fmt: skip
            shown.setdefault(kind, found)
    panels = [
        (kind, scene, found[i]) for kind, found in shown.items() for i, scene in enumerate(held[:4])
    ]
    truth = [("what is there", scene, None) for scene in held[:4]]
    yield pictured("scenes", [*truth, *panels], "Boxes and masks on four test scenes: what is there, and what each net finds",
                   data.classes, surer_than=0.5)  # fmt: skip
    yield Progress(total, total, "done")


def overlaps(found: Sequence[Found], asked: Batch, C: int) -> tuple[float, float]:
    """In regions that are an object's, the mean IoU of the better boxes, and of the masks, with the object's, in percent."""
    boxes, masks = [], []
    for number, f in enumerate(found):
        batch = asked.only(torch.where(asked.of == number)[0])
        is_object = batch.label < C
        assert f.masks is not None
        mine, wanted = f.masks[is_object], batch.masks[is_object]
        boxes.append(iou(f.boxes[is_object], batch.objects[is_object]).diagonal())
        masks.append((mine & wanted).sum((1, 2)) / (mine | wanted).sum((1, 2)).clamp_min(1))
    return 100 * float(torch.cat(boxes).mean()), 100 * float(torch.cat(masks).mean())


def exactly(cfg: Config) -> Iterator[Event]:
    """What needs no training: a ramp read by RoIAlign, and how far RoIPool's rounding moves a region's edges."""
    draw = torch.Generator().manual_seed(cfg.seed)
    stride, S = 16.0, 20  # of a map of S x S cells
    row, column = torch.meshgrid(
        torch.arange(S).double() + 0.5, torch.arange(S).double() + 0.5, indexing="ij"
    )
    worst: list[Tensor] = []
    for trial in range(20):
        a, b, c = torch.randn(3, generator=draw).double()
        low = stride * (1 + 9 * torch.rand(8, 2, generator=draw).double())
        boxes = torch.cat(
            [low, low + stride * (1 + 8 * torch.rand(8, 2, generator=draw).double())], 1
        )
        ramp = (a * row + b * column + c)[None, None]
        of = torch.zeros(8, dtype=torch.long)
        y, x = points(boxes / stride, cfg.P, n=1)  # the cells' centres
        wanted = a * y + b * x + c
        gaps = [
            (read(ramp, of, boxes, stride, cfg.P)[:, 0] - wanted).abs().max()
            for read in (roi_align, roi_pool)
        ]
        yield dict(measure="ramp", trial=trial, gap=float(gaps[0]), pool_gap=float(gaps[1]))
        worst.append((rounded(boxes, stride) - boxes / stride).abs().max())
    yield dict(measure="rounding", largest_shift=float(torch.stack(worst).max()))
    yield sampling(boxes[:1] / stride, cfg.P)


def sampling(box: Tensor, P: int) -> Figure:
    """One region on the map's grid: RoIPool's rounded window and bins, and RoIAlign's points."""
    drawn, axes = canvas(1, 2, width=7.0, height=3.6)
    x0, y0, x1, y1 = box[0].tolist()
    whole = rounded(box, 1.0)[0].tolist()
    for ax, title in zip(
        axes,
        ("RoIPool: rounded, cut into whole cells", "RoIAlign: four points in each bin"),
        strict=True,
    ):
        for k in range(int(min(x0, y0)) - 1, int(max(x1, y1)) + 3):
            ax.axhline(k, color=INK, linewidth=0.4)
            ax.axvline(k, color=INK, linewidth=0.4)
        ax.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=PALETTE[0], linewidth=1.6)
        ax.set(
            title=title,
            aspect="equal",
            xticks=[],
            yticks=[],
            xlim=(x0 - 1.5, x1 + 1.5),
            ylim=(y1 + 1.5, y0 - 1.5),
        )
    a0, b0, a1, b1 = whole
    axes[0].plot(
        [a0, a1, a1, a0, a0], [b0, b0, b1, b1, b0], color=PALETTE[1], linewidth=2.2, linestyle="--"
    )
    row, column = points(box, P)
    axes[1].scatter(column[0].flatten().numpy(), row[0].flatten().numpy(), s=3, color=PALETTE[1])
    return figure(
        "sampling",
        drawn,
        "A region (blue) on the cells of a map: what RoIPool takes for it (dashed), and where RoIAlign reads",
    )


def check(rows: list[Row]) -> list[Verdict]:
    def measured(kind: str, measure: str) -> dict[int, float]:
        return by_seed(rows, measure, net=kind)

    aligned = "RoIAlign"
    return [
        exact("align-ramp", [float(row["gap"]) for row in rows if "gap" in row], 0.0, tolerance=1e-9,
              unit="largest distance from the ramp"),
        exact("pool-rounds", [float(row["largest_shift"]) for row in rows if "largest_shift" in row], 0.5, tolerance=0.02,
              unit="cells of the map that an edge moves, at most"),
        compare("align-boxes", measured(aligned, "box_IoU"), measured("RoIPool", "box_IoU"), better="higher", margin=3.0,
                unit="% mean IoU of boxes"),  # Table 2d: 5.8 points of AP at stride 32
        compare("align-masks", measured(aligned, "mask_IoU"), measured("RoIPool", "mask_IoU"), better="higher", margin=3.0,
                unit="% mean IoU of masks"),  # Table 2c: 3.4 points of AP at stride 16
        compare("decoupled", measured(aligned, "mask_IoU"), measured("RoIAlign, softmax", "mask_IoU"), better="higher",
                margin=3.0, unit="% mean IoU of masks"),  # Table 2b: 5.5 points of AP
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
