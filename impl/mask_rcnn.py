"""Mask R-CNN. He, Gkioxari, Dollar & Girshick, ICCV, 2017 (arXiv 1703.06870).

Claims      align-ramp   RoIAlign of a linear ramp is the ramp: it reads exact places (Sec. 3)
            pool-rounds  RoIPool reads the same while an edge moves by half a cell (Sec. 3)
            align-boxes  with RoIAlign boxes are better than with RoIPool (Table 2d)
            align-masks  and so are the masks (Table 2c)
            decoupled    a mask for each class beats classes that compete for pixels (Table 2b)
Deviations  1  regions aren't proposed by a net: they are the objects' boxes, moved and scaled at
               random, in training and in the test, and boxes elsewhere (impl/faster_rcnn.py)
            2  the backbone is of plain convolutions, in `paper` too, and learns first what each
               cell of its map shows, in place of ImageNet's names; then all is trained together
            3  `full`: digits on photographs, in `quick` on black; a map of stride 4, one
               convolution in the mask branch, Adam. Objects are 3 to 8 cells high, as COCO's of
               50 to 260 pixels are at the strides of Tables 2c and 2d, 16 and 32
            4  `quick`: AP of five thresholds, not ten
Left out    the feature pyramid, keypoints
Shapes      B pictures of S x S, R regions, C classes, F maps of H x W cells, P x P cells of a
            region, M x M pixels of its mask
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import mask_rcnn as drawing
from impl.kit import (  # fmt: skip
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
from impl.kit.average_precision import AveragePrecision, Detections, detections
from impl.kit.backbone import Backbone, pretrain
from impl.kit.boxes import decode, encode
from impl.kit.broken import Broken
from impl.kit.mask_regions import Regions, crop_masks, draw_regions, paste_masks, stack
from impl.kit.scene import Scene
from impl.kit.scenes import draw_scenes


def bilinear(places: Tensor, n: int) -> Tensor:
    """How much each of n cells, whose centres are at 0.5, 1.5, ..., counts for the value at a
    place: the two nearest by their nearness. [...] -> [..., n]"""
    centres = torch.arange(n, device=places.device, dtype=places.dtype) + 0.5
    away = (places.clamp(0.5, n - 0.5)[..., None] - centres).abs()
    return (1 - away).clamp_min(0)


def points(low: Tensor, high: Tensor, n: int) -> Tensor:
    """n regular places between edges [...] -> [..., n]"""
    steps = (torch.arange(n, device=low.device, dtype=low.dtype) + 0.5) / n
    return low[..., None] + (high - low)[..., None] * steps


def roi_align(x: Tensor, boxes: Tensor, stride: float, P: int) -> Tensor:
    """Sec. 3: the mean of four exactly placed values in each of P x P cells. Their weights are
    products of rows' and columns'. [B, F, H, W] and boxes [B, R, 4] in pixels -> [B, R, F, P, P]"""
    x0, y0, x1, y1 = (boxes / stride).unbind(-1)  # x / 16, not [x / 16]
    rows = bilinear(points(y0, y1, 2 * P), x.shape[2]).unflatten(2, (P, 2)).mean(3)
    columns = bilinear(points(x0, x1, 2 * P), x.shape[3]).unflatten(2, (P, 2)).mean(3)
    return torch.einsum("brph,bfhw,brqw->brfpq", rows, x, columns)


def rounded(boxes: Tensor, stride: float) -> Tensor:
    """The edges in whole cells of the map, at least one cell apart."""
    low, high = (boxes / stride).round().split(2, -1)
    return torch.cat([low, torch.maximum(high, low + 1)], -1)


def roi_pool(x: Tensor, boxes: Tensor, stride: float, P: int) -> Tensor:
    """Sec. 3: a region is rounded to whole cells and divided into P x P bins, rounded again, of
    which each gives its largest value. [B, F, H, W], [B, R, 4] -> [B, R, F, P, P]"""
    low, high = rounded(boxes, stride).long().split(2, -1)
    low = low.clamp_min(0).minimum(torch.tensor([x.shape[3] - 1, x.shape[2] - 1]).to(low))
    edges = torch.cat([low, high.maximum(low + 1)], -1)
    pooled = [
        F.adaptive_max_pool2d(maps[:, y0:y1, x0:x1], P)
        for maps, its in zip(x, edges.tolist(), strict=True)
        for x0, y0, x1, y1 in its
    ]
    return torch.stack(pooled).view(*boxes.shape[:2], -1, P, P)


@dataclass(frozen=True)
class Config:
    data: str = "coco"  # Sec. 4; `composed` and `plain` have masks, too, see impl.kit.scenes
    train: int = 115_000  # Sec. 4: pictures
    val: int = 500  # ours: of the pictures for training, which choose the rate
    test: int = 5_000  # Sec. 4: minival
    side: int = 800  # Sec. 3.1: of the shorter side; here of the longer one
    channels: tuple[int, ...] = (64, 256, 512, 1024)  # widths of ResNet-50's stages
    P: int = 7  # Fig. 4: cells of a region for its class and box
    M: int = 14  # same: cells of a region for its mask, of twice as many pixels
    H: int = 1_024  # same: units of the box branch
    F: int = 256  # same: maps of the mask branch
    convolutions: int = 4  # same: of the mask branch
    batch: int = 16  # Sec. 3.1: pictures
    regions: int = 64  # Sec. 3.1: of a picture
    positives: float = 0.25  # same: of them are an object's
    jitter: float = 0.3  # ours: an edge is moved by up to half this part of the object's size
    pretraining: int = 160_000  # ours: updates of the backbone
    updates: int = 160_000  # Sec. 3.1
    optimizer: str = "SGD"  # same; `quick` and `full` take Adam
    momentum: float = 0.9  # same
    decay: float = 0.0001  # same: of the weights
    lrs: tuple[float, ...] = (0.005, 0.02, 0.08)  # Sec. 3.1 has 0.02; ours: the grid about it
    pretraining_rate: float = 0.02  # ours
    nms: float = 0.5  # ours: boxes that overlap a surer one of their class by more are dropped
    detections: int = 100  # Sec. 3.1: the surest of a picture
    min_score: float = 0.05  # the authors' code: less sure ones are dropped
    iou_step: float = 0.05  # COCO's: AP is the mean over overlaps from 0.5 to 0.95
    seeds: int = 5  # ours: each draws its own pictures, backbone, net and regions
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="composed", train=600, val=60, test=150, side=64, channels=(16, 32), M=7,
               H=128, F=32, convolutions=1, batch=8, regions=12, positives=0.5, pretraining=800,
               updates=1_000, optimizer="Adam", decay=0.0, lrs=(0.001, 0.002, 0.004),
               pretraining_rate=0.003, detections=20)  # fmt: skip
QUICK = replace(FULL, data="plain", train=200, val=30, test=60, H=64, F=16, batch=4, regions=12,
                pretraining=200, updates=140, lrs=(0.003, 0.006), iou_step=0.1)  # fmt: skip
SMOKE = replace(QUICK, train=6, val=3, test=3, channels=(4, 4), P=3, M=3, H=8, F=4, regions=4,
                batch=2, pretraining=2, updates=3, lrs=(0.003,), seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

# Each arm takes the rate that suits its boxes best where boxes are judged, its masks where masks.
BOXES = Protocol(arms=("RoIAlign", "RoIPool"), grid={"lr": "lrs"}, select="val_box_AP",
                 best="highest")  # fmt: skip
MASKS = Protocol(arms=("RoIAlign", "RoIPool", "softmax"), grid={"lr": "lrs"},
                 select="val_mask_AP", best="highest")  # fmt: skip

CLAIMS = (
    Identity(claim="align-ramp", measure="ramp_gap", tolerance=1e-9,
             unit="largest distance from the ramp"),
    Identity(claim="pool-rounds", measure="rounding_gap", tolerance=1e-9,
             unit="largest change while edges move by less than half a cell"),
    Comparison(claim="align-boxes", idea="RoIAlign", rival="RoIPool", measure="box_AP",
               better="higher", margin=2.9, unit="% box AP", where={"selected_by": "val_box_AP"},
               because="half of Table 2d's gain, 28.2 to 34.0"),
    Comparison(claim="align-masks", idea="RoIAlign", rival="RoIPool", measure="mask_AP",
               better="higher", margin=1.7, unit="% mask AP", where={"selected_by": "val_mask_AP"},
               because="half of Table 2c's gain, 26.9 to 30.3"),
    Comparison(claim="decoupled", idea="RoIAlign", rival="softmax", measure="mask_AP",
               better="higher", margin=2.75, unit="% mask AP", where={"selected_by": "val_mask_AP"},
               because="half of Table 2b's gain, 24.8 to 30.3"),
)  # fmt: skip


def aligned_after_rounding() -> AbstractContextManager[object]:
    """RoIAlign reads the region that RoIPool would."""
    align = roi_align
    change = dict(roi_align=lambda x, boxes, s, P: align(x, s * rounded(boxes, s), s, P))
    return patch.dict(globals(), change)


BROKEN: Broken = {
    "align-ramp": aligned_after_rounding,
    "pool-rounds": lambda: patch.dict(globals(), roi_pool=roi_align),
    "align-boxes": aligned_after_rounding,
    "align-masks": aligned_after_rounding,
    "decoupled": lambda: patch.dict(globals(), classes_compete=lambda arm: True),
}


class MaskRCNN(nn.Module):
    """Fig. 4: what is said of a region is its class, how its box must change, and its masks."""

    def __init__(self, cfg: Config, backbone: Backbone, C: int, arm: str):
        super().__init__()
        self.backbone, self.P, self.M, last = backbone, cfg.P, cfg.M, cfg.channels[-1]
        self.C, self.roi, self.compete = C, reading(arm), classes_compete(arm)
        self.hidden = nn.Sequential(
            nn.Flatten(), nn.Linear(last * cfg.P**2, cfg.H), nn.ReLU(),
            nn.Linear(cfg.H, cfg.H), nn.ReLU(),
        )  # fmt: skip
        self.label, self.delta = nn.Linear(cfg.H, C + 1), nn.Linear(cfg.H, 4 * C)
        widths, layers = [last] + [cfg.F] * cfg.convolutions, []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 3, 1, 1), nn.ReLU()]
        layers += [nn.ConvTranspose2d(widths[-1], cfg.F, 2, 2), nn.ReLU()]
        self.mask = nn.Sequential(*layers, nn.Conv2d(cfg.F, C, 1))

    def class_and_box(self, maps: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [B, R, 4] -> logits [B * R, C + 1] and changes of the box [B * R, C, 4]"""
        h = self.hidden(self.roi(maps, boxes, self.backbone.stride, self.P).flatten(0, 1))
        return self.label(h), self.delta(h).unflatten(1, (-1, 4))

    def masks(self, maps: Tensor, boxes: Tensor, wanted: Tensor) -> Tensor:
        """Of the n regions wanted, [B, R] -> logits [n, C, 2 M, 2 M]; C + 1 if classes compete"""
        masks: Tensor = self.mask(self.roi(maps, boxes, self.backbone.stride, self.M)[wanted])
        return torch.cat([masks, torch.zeros_like(masks[:, :1])], 1) if self.compete else masks


def reading(arm: str) -> Callable[[Tensor, Tensor, float, int], Tensor]:
    return roi_pool if arm == "RoIPool" else roi_align


def classes_compete(arm: str) -> bool:
    return arm == "softmax"


SCALE = 5.0  # ours: of L_box's targets, so that it has about the size of the others


def loss(net: MaskRCNN, x: Tensor, regions: Regions) -> Tensor:
    """Sec. 3: L = L_cls + L_box + L_mask, the last two of regions that are an object's."""
    maps, labels = net.backbone(x), regions.labels.flatten()
    logits, delta = net.class_and_box(maps, regions.boxes)
    L_cls, is_object = F.cross_entropy(logits, labels), regions.labels < net.C
    at, k = torch.where(is_object.flatten())[0], regions.labels[is_object]
    if not len(k):
        return L_cls
    boxes, objects = regions.boxes[is_object], regions.objects[is_object]
    L_box = F.smooth_l1_loss(delta[at, k], SCALE * encode(boxes, objects))
    masks = net.masks(maps, regions.boxes, is_object)
    target = crop_masks(regions.masks[is_object], boxes, masks.shape[-1])
    if net.compete:
        L_mask = F.cross_entropy(masks, torch.where(target, k[:, None, None], net.C))
    else:  # only the k-th mask counts
        own = masks[torch.arange(len(k)), k]
        L_mask = F.binary_cross_entropy_with_logits(own, target.float())
    return L_cls + L_box + L_mask


@torch.no_grad()
def detect(net: MaskRCNN, scene: Scene, boxes: Tensor, cfg: Config) -> Detections:
    """Sec. 3.1: classes and boxes first, then masks in the boxes that stay."""
    device = net.delta.weight.device
    maps, boxes = net.backbone(scene.image[None].to(device)), boxes.to(device)
    logits, delta = net.class_and_box(maps, boxes[None])
    better = decode(boxes[:, None], delta / SCALE).clamp(0, cfg.side)  # [R, C, 4]
    found = detections(logits.softmax(1)[:, :-1], better, cfg.nms, cfg.detections)
    at = found.scores.argsort(descending=True, stable=True)[: cfg.detections]
    at = at[found.scores[at] >= cfg.min_score]
    boxes, labels, scores = found.boxes[at], found.labels[at], found.scores[at]
    masks = net.masks(maps, boxes[None], torch.ones(1, len(at), dtype=torch.bool))
    own = masks[torch.arange(len(at)), labels].sigmoid()  # of the class, against none
    pasted = paste_masks(own, boxes, cfg.side)
    return Detections(boxes.cpu(), labels.cpu(), scores.cpu(), pasted.cpu())


@lru_cache(maxsize=2)
def pretrained(cfg: Config, seed: int, device: torch.device) -> Backbone:
    """All arms and rates of a seed begin with the same."""
    data = draw_scenes(cfg.data, cfg.train, cfg.val, cfg.test, cfg.side, seed)
    return pretrain(
        data.train, len(data.classes), cfg.channels, updates=cfg.pretraining, batch=cfg.batch,
        lr=cfg.pretraining_rate, seed=seed, device=device,
    )  # fmt: skip


def regions_of(scenes: Sequence[Scene], C: int, cfg: Config, draw: torch.Generator) -> Regions:
    n = round(cfg.positives * cfg.regions)
    counts = (n, cfg.regions - n)
    return stack([draw_regions(scene, C, *counts, cfg.jitter, draw) for scene in scenes])


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:
    data = draw_scenes(cfg.data, cfg.train, cfg.val, cfg.test, cfg.side, seed)
    net = MaskRCNN(cfg, copy.deepcopy(pretrained(cfg, seed, device)), len(data.classes), arm)
    net.to(device)
    sgd = partial(torch.optim.SGD, momentum=cfg.momentum, weight_decay=cfg.decay)
    optimizer = (torch.optim.Adam if cfg.optimizer == "Adam" else sgd)(net.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [cfg.updates * 3 // 4])  # Sec. 3.1
    batches = generator(seed, "batches")
    for step in range(1, cfg.updates + 1):
        at = torch.randint(len(data.train), (cfg.batch,), generator=batches).tolist()
        some = [data.train[i] for i in at]
        x = torch.stack([scene.image for scene in some]).to(device)
        value = loss(net, x, regions_of(some, net.C, cfg, batches).to(device))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if step % -(-cfg.updates // 8) == 0 or step == cfg.updates:
            yield dict(step=step, loss=value.item())
    val, _ = measure(net, data.val, generator(seed, "val regions"), cfg)
    test, found = measure(net, data.test, generator(seed, "test regions"), cfg)
    if seed == cfg.seed:
        yield from drawing.leave(found)
    yield dict(data=data.name) | {f"val_{name}": AP for name, AP in val.items()} | test


def measure(
    net: MaskRCNN, scenes: Sequence[Scene], draw: torch.Generator, cfg: Config
) -> tuple[Row, list[Detections]]:
    """AP in percent of boxes and of masks; and what was found in the first four."""
    thresholds = torch.arange(0.5, 0.951, cfg.iou_step).tolist()
    box, mask = (AveragePrecision(net.C, thresholds, masks=which) for which in (False, True))
    pictured: list[Detections] = []
    for scene in scenes:
        found = detect(net, scene, regions_of([scene], net.C, cfg, draw).boxes[0], cfg)
        box.add(found, scene)
        mask.add(found, scene)
        pictured = [*pictured, found][:4]  # the masks of all don't fit into memory
    return dict(box_AP=100 * box.mean(), mask_AP=100 * mask.mean()), pictured


def read_exactly(P: int, seed: int) -> Row:
    """A ramp read by RoIAlign, and noise by RoIPool while edges stay nearest to the same cell."""
    stride, draw = 16.0, generator(seed, "boxes")
    low, size, move = torch.rand(3, 8, 2, generator=draw).double()
    boxes = torch.cat([1 + 9 * low, 2 + 9 * low + 8 * size], 1)[None]  # in cells of 20 x 20
    a, b, c = torch.randn(3, generator=draw).double()
    cells = torch.arange(20).double() + 0.5
    ramp = a * cells[:, None] + b * cells + c
    x0, y0, x1, y1 = boxes.unbind(2)
    y, x = points(y0, y1, P)[..., None], points(x0, x1, P)[..., None, :]  # of the cells' centres
    aligned = reading("RoIAlign")(ramp[None, None], stride * boxes, stride, P)[:, :, 0]
    noise, pool = torch.randn(1, 1, 20, 20, generator=draw).double(), reading("RoIPool")
    whole = torch.cat([boxes[..., :2].round(), boxes[..., 2:].round() + 1], 2)
    moved = whole + 0.98 * (torch.cat([move, move.flip(1)], 1) - 0.5)
    pooled = [pool(noise, stride * each, stride, P) for each in (whole, moved)]
    ramp_gap, rounding_gap = aligned - (a * y + b * x + c), pooled[0] - pooled[1]
    return dict(ramp_gap=float(ramp_gap.abs().max()), rounding_gap=float(rounding_gap.abs().max()))


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    data = draw_scenes(cfg.data, cfg.train, cfg.val, cfg.test, cfg.side, cfg.seed)
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        yield dict(seed=seed) | read_exactly(cfg.P, seed)
    yield drawing.sampling(rounded, points, cfg.P)
    chosen = yield from run_protocol(trial, cfg, [BOXES, MASKS], device)
    yield drawing.scenes(chosen, data.test, data.classes)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
