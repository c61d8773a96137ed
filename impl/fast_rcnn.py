"""Fast R-CNN. Girshick, ICCV 2015 (arXiv 1504.08083).

Claims      shared-work     one map for all regions of a picture takes far less work than a pass of
                            the net for each (Sec. 4.4, Table 4)
            roi-pooling     RoI pooling, and its gradient, are those of max pooling a region's
                            window of the map by itself (Secs. 2.1, 2.3)
            multi-task      one loss for classes and boxes finds better boxes than training for
                            classes first and for boxes after (Sec. 5.1, Table 6)
            roi-training    training the map, too, through RoI pooling, finds more than training
                            only the layers above it (Sec. 4.5, Table 5)
            truncated-svd   of few singular values, fc6 and fc7 do almost as well (Secs. 3.1, 4.4)
Deviations  1  ImageNet can't be read here: maps are pre-trained on finding other objects, in
               `quick` and `full` the digits 5 to 9 on photographs, in `paper` those of COCO
            2  windows all over the picture stand in for selective search, of nine kinds: quantiles
               of the training objects' sizes and shapes
            3  `quick` and `full`: small nets, Adam, BCCD where it is, else digits on photographs
            4  work is counted in multiply-adds; mAP is COCO's at IoU 0.5, not VOC's
Left out    classes alone, boxes unmoved (Table 6), freezing some convolutions, pyramids, SVMs
Shapes      N pictures, R regions, C channels, H x W cells of the map, P x P bins, K classes
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing.fast_rcnn import figures, pack
from impl.kit import (  # fmt: skip
    Arrays,
    Bound,
    Comparison,
    Event,
    Identity,
    NoWorse,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    by_seed,
    generator,
    judge,
    main,
    run_protocol,
)
from impl.kit.average_precision import AveragePrecision, Detections, detections
from impl.kit.backbone import Backbone, multiply_adds, pooled_backbone
from impl.kit.boxes import decode
from impl.kit.broken import Broken
from impl.kit.descent import minimize
from impl.kit.proposals import crops
from impl.kit.regions import Sampler, windows
from impl.kit.scene import Scene
from impl.kit.scenes import draw_scenes


def window(boxes: Tensor, scale: float, H: int, W: int) -> tuple[Tensor, Tensor]:
    """Boxes in pixels to windows of the map: top left corners (r, c), sizes (h, w), [R, 2] each."""
    limit = torch.tensor([W, H], device=boxes.device)
    low = torch.minimum((boxes[:, :2] * scale).round().long().clamp_min(0), limit - 1)
    high = torch.minimum((boxes[:, 2:] * scale).round().long(), limit)
    return low.flip(1), (high - low).clamp_min(1).flip(1)


def bins(low: Tensor, size: Tensor, P: int) -> Tensor:
    """The rows, or columns, in each of P bins of about size / P, [R] -> [R, P, k]. Where a bin has
    fewer than k, its last is repeated, which changes no maximum."""
    i = torch.arange(P, device=low.device)
    first = low[:, None] + i * size[:, None] // P
    last = low[:, None] - (-(i + 1) * size[:, None]) // P - 1  # [R, P]: at least one a bin
    k = int((last - first).max()) + 1
    return torch.minimum(first[..., None] + torch.arange(k, device=low.device), last[..., None])


def roi_pool(x: Tensor, of: Tensor, boxes: Tensor, scale: float, P: int) -> Tensor:
    """Sec. 2.1: the maximum in each of P x P cells; maps [N, C, H, W], the regions' pictures [R]
    and boxes [R, 4] -> [R, C, P, P]."""
    H, W = x.shape[2:]
    corner, size = window(boxes, scale, H, W)
    r, c = (bins(corner[:, i], size[:, i], P) for i in (0, 1))  # [R, P, k], [R, P, l]
    at = of[:, None, None, None, None] * H * W + r[:, :, None, :, None] * W + c[:, None, :, None, :]
    at, cells = at.flatten(3), x.permute(0, 2, 3, 1).flatten(0, 2)  # [R, P, P, k l], [N H W, C]
    if not torch.is_grad_enabled():  # the same, in less time
        return cells[at].amax(3).permute(0, 3, 1, 2)
    with torch.no_grad():
        winner = at.gather(3, cells[at].max(3).indices)  # i*(r, j) of Sec. 2.3, [R, P, P, C]
    pooled: Tensor = cells.gather(0, winner.flatten(0, 2)).unflatten(0, (-1, P, P))
    return pooled.permute(0, 3, 1, 2)


class Heads(nn.Module):
    """Pooled regions [R, C, P, P] -> logits [R, K + 1], and t for each class, [R, K, 4]."""

    def __init__(self, C: int, P: int, width: int, K: int):
        super().__init__()
        self.fc6: nn.Module = nn.Linear(C * P**2, width)
        self.fc7: nn.Module = nn.Linear(width, width)
        self.cls, self.bbox = nn.Linear(width, K + 1), nn.Linear(width, 4 * K)
        for layer, std in ((self.cls, 0.01), (self.bbox, 0.001)):  # Sec. 2.3
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))
        return self.cls(y), self.bbox(y).unflatten(1, (-1, 4))


class FastRCNN(nn.Module):
    """Fig. 1: the map of a picture, once for all of its regions, and what is said of each."""

    def __init__(self, cfg: "Config", K: int):
        super().__init__()
        self.map, self.P = pooled_backbone(cfg.channels, cfg.layers), cfg.P
        self.heads = Heads(cfg.channels[-1], cfg.P, cfg.width, K)

    def forward(self, images: Tensor, of: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        pooled = roi_pool(self.map(images), of, boxes, 1 / self.map.stride, self.P)
        logits, t = self.heads(pooled)
        return logits, t


def smooth_l1(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 1, 0.5 * x.square(), x.abs() - 0.5)  # Eq. 3


def losses(logits: Tensor, t: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Means over regions of L_cls and [u >= 1] L_loc, of Eq. 1; u [R] classes, v [R, 4] targets."""
    row = torch.arange(len(u))
    L_cls = -logits.log_softmax(1)[row, u]
    L_loc = smooth_l1(t[row, (u - 1).clamp_min(0)] - v).sum(1)  # Eq. 2
    return L_cls.mean(), ((u >= 1) * L_loc).mean()


@torch.no_grad()
def truncate(layer: nn.Linear, t: int) -> nn.Sequential:
    """Eq. 5: W = U S V, of which t singular values stay: u v weights become t (u + v)."""
    U, S, V = torch.linalg.svd(layer.weight, full_matrices=False)
    first = nn.Linear(layer.in_features, t, bias=False)
    second = nn.Linear(t, layer.out_features)
    first.weight.copy_(S[:t, None] * V[:t])
    second.weight.copy_(U[:, :t])
    second.bias.copy_(layer.bias)
    return nn.Sequential(first, second).to(layer.weight.device)


@dataclass(frozen=True)
class Config:
    data: str = "voc"  # Sec. 5: VOC 2007; others: see impl.kit.scenes
    train: int = 4_011  # Sec. 5 has 5,011; ours: less those for validation
    validation: int = 1_000  # ours
    test: int = 4_952  # Sec. 5
    side: int = 1_000  # Sec. 4.1: pixels of the longer side
    dense: float = 3.0  # ours: how many windows begin within the height or width of one
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)  # Sec. 4.1: stages of VGG-16
    layers: tuple[int, ...] = (2, 2, 3, 3, 3)  # same: convolutions in each
    P: int = 7  # Sec. 2.1
    width: int = 4_096  # Sec. 4.1: of fc6 and fc7
    ranks: tuple[int, ...] = (1_024, 256)  # Sec. 4.4: singular values of fc6 and fc7 that stay
    lambda_: float = 1.0  # Sec. 2.3
    pictures: int = 2  # same: N, in a mini-batch
    regions: int = 128  # same: R
    fraction: float = 0.25  # same: of the regions that show an object
    foreground: float = 0.5  # same: their least overlap with it
    background: float = 0.1  # same: the least overlap of the others
    auxiliary: str = "coco"  # ours: what maps are pre-trained on; `composed`: the digits 5 to 9
    pretraining: int = 80_000  # ours: updates
    updates: int = 40_000  # Sec. 2.3; ours: as many again for the boxes in the second stage
    optimizer: str = "SGD"  # same: with momentum 0.9 and weight decay 0.0005
    lrs: tuple[float, ...] = (0.001,)  # same; a tenth of it after three quarters of the updates
    nms_threshold: float = 0.3  # the authors' code
    before_nms: int = 400  # ours: regions of a class
    detections: int = 100  # the authors' code: of a class
    seeds: int = 5  # ours: how many repetitions, each with its own pictures
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", train=230, validation=60, test=100, side=96, dense=2.0, P=5,
               channels=(16, 32, 64), layers=(1, 1, 1), width=192, ranks=(48, 12),
               auxiliary="composed", pretraining=1_000, updates=1_000, optimizer="Adam",
               lrs=(0.001, 0.003, 0.01), before_nms=60, detections=30)  # fmt: skip
QUICK = replace(FULL, train=150, validation=30, test=50, side=64, dense=1.5, P=4, channels=(16, 32),
                layers=(1, 1), width=128, ranks=(32, 8), regions=64, pretraining=200,
                updates=120)  # fmt: skip
SMOKE = replace(QUICK, data="composed", train=4, validation=2, test=3, seeds=2, channels=(4, 4),
                P=3, width=8, ranks=(4, 2), pretraining=2, updates=4, lrs=(0.003,))  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

MULTI, STAGES, FROZEN = "multi-task", "stage-wise", "frozen map"
PROTOCOL = Protocol((MULTI, STAGES, FROZEN), {"lr": "lrs"}, select="val_mAP", best="highest")

CLAIMS = (
    Bound(claim="shared-work", measure="work_share", expected=1 / 12,
          unit="of the multiply-adds of a pass for each of 2,000 regions, VGG-16"),
    Identity(claim="roi-pooling", measure="pooling_gap", tolerance=1e-9,
             unit="largest difference of a value or gradient"),
    Comparison(claim="multi-task", idea=MULTI, rival=STAGES, measure="mAP", better="higher",
               margin=1.25, unit="points of mAP at IoU 0.5",
               because="half of the smallest gain of Table 6, 2.5"),
    Comparison(claim="roi-training", idea=MULTI, rival=FROZEN, measure="mAP", better="higher",
               margin=2.75, unit="points of mAP at IoU 0.5",
               because="half of the gain of Table 5, 61.4 to 66.9"),
    NoWorse(claim="truncated-svd", better="higher", margin=1.0,
            idea=lambda rows: by_seed(rows, "svd_mAP", arm=MULTI),
            rival=lambda rows: by_seed(rows, "mAP", arm=MULTI),
            unit="points of mAP at IoU 0.5", because="ours; Sec. 4.4 loses 0.3"),
)  # fmt: skip


BROKEN: Broken = {
    "shared-work": lambda right=FastRCNN.forward: patch.object(  # type: ignore[misc]
        FastRCNN, "forward", lambda net, x, of, b: right(net, x[of] if x.is_meta else x, of, b)
    ),  # a map for each region, where work is counted
    "roi-pooling": lambda right=window: patch.dict(  # type: ignore[misc]
        globals(), window=lambda boxes, scale, *size: right(boxes - 2 / scale, scale, *size)
    ),  # windows begin two cells too early
    "multi-task": {"lambda_": 0.0},
    "roi-training": lambda: patch.object(Backbone, "forward", torch.no_grad()(Backbone.forward)),
    "truncated-svd": {"ranks": (1, 1)},
}


def train(
    net: FastRCNN, sampler: Sampler, cfg: Config, lr: float, stage: str, lambda_: float = 0.0
) -> Iterator[Row]:
    """By Eq. 1; in the stage `boxes` by L_loc for their layer alone (Sec. 5.1)."""
    alone, device = stage == "boxes", net.heads.cls.weight.device

    def loss() -> Tensor:
        images, of, boxes, u, v = (part.to(device) for part in sampler.batch())
        logits, t = net(images, of, boxes)
        L_cls, L_loc = losses(logits, t, u, v)
        return L_loc if alone else L_cls + lambda_ * L_loc  # Eq. 1

    part = {"boxes": net.heads.bbox, "heads": net.heads}.get(stage, net)
    for row in minimize(loss, part.parameters(), cfg.optimizer, lr, cfg.updates):
        yield row | dict(stage=stage)


def draw_regions(scenes: Sequence[Scene], cfg: Config, seed: int) -> Sampler:
    objects = torch.cat([scene.boxes for scene in scenes[:500]])
    return Sampler(scenes, windows(objects, cfg.side, cfg.dense), cfg, seed)


@lru_cache(maxsize=1)
def pretrained(cfg: Config, seed: int, device: torch.device) -> dict[str, Tensor]:
    """Weights of a map that has learned to find other objects; Sec. 2.3 has ImageNet's."""
    part, K = crops(cfg.auxiliary, cfg.train, cfg.side, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FastRCNN(cfg, K).to(device)
    cfg, lr = replace(cfg, updates=cfg.pretraining), cfg.lrs[len(cfg.lrs) // 2]
    list(train(net, draw_regions(part.scenes, cfg, seed), cfg, lr, "all", cfg.lambda_))
    return net.map.state_dict()


@torch.no_grad()
def detect(net: FastRCNN, scene: Scene, sampler: Sampler, cfg: Config) -> Detections:
    boxes, of = sampler.proposed, torch.zeros(len(sampler.proposed), dtype=torch.long)
    device = net.heads.cls.weight.device
    inputs = (part.to(device) for part in (scene.image[None], of, boxes))
    logits, t = (answer.cpu() for answer in net(*inputs))
    moved = decode(boxes[:, None], t * sampler.std + sampler.mean).clamp(0, cfg.side)  # [R, K, 4]
    p, at = logits.softmax(1)[:, 1:].topk(min(cfg.before_nms, len(boxes)), dim=0)  # [k, K]
    best = moved.gather(0, at[..., None].expand(-1, -1, 4))
    return detections(p, best, cfg.nms_threshold, cfg.detections)


def measure(net: FastRCNN, scenes: Sequence[Scene], sampler: Sampler, cfg: Config) -> float:
    """mAP in percent."""
    precision = AveragePrecision(net.heads.cls.out_features - 1)
    for scene in scenes:
        precision.add(detect(net, scene, sampler, cfg), scene)
    return 100 * precision.mean()


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:
    split = draw_scenes(cfg.data, cfg.train, cfg.validation, cfg.test, cfg.side, seed)
    sampler, net = draw_regions(split.train, cfg, seed), FastRCNN(cfg, len(split.classes))
    net.map.load_state_dict(pretrained(cfg, seed, device))
    net.to(device)
    if arm == STAGES:
        yield from train(net, sampler, cfg, lr, "classes")
        yield from train(net, sampler, cfg, lr, "boxes")
    else:
        yield from train(net, sampler, cfg, lr, "heads" if arm == FROZEN else "all", cfg.lambda_)
    val_mAP, mAP = (measure(net, each, sampler, cfg) for each in (split.val, split.test))
    row: Row = dict(step=cfg.updates, data=split.name, val_mAP=val_mAP, mAP=mAP)
    if seed == cfg.seed:
        found = [detect(net, scene, sampler, cfg) for scene in split.test[:3]]
        yield Arrays({"map": net.map(split.test[0].image[None].to(device))[0]} | pack(found))
    if arm == MULTI:
        for layer, rank in zip(("fc6", "fc7"), cfg.ranks, strict=True):
            setattr(net.heads, layer, truncate(getattr(net.heads, layer), rank))
        row["svd_mAP"] = measure(net, split.test, sampler, cfg)
    yield row


def work_share() -> float:
    """For VGG-16: the work of a picture of 600 x 1000 pixels and 2,000 regions, over that of a pass
    for each, at 224 x 224 pixels as in R-CNN. Counted, not computed."""
    R, P, C = 2_000, PAPER.P, PAPER.channels[-1]
    with torch.device("meta"), patch.dict(globals(), roi_pool=lambda *_: torch.empty(R, C, P, P)):
        net, boxes, of = FastRCNN(PAPER, 20), torch.zeros(R, 4), torch.zeros(R, dtype=torch.long)
        shared = multiply_adds(net, torch.zeros(1, 3, 600, 1_000), of, boxes)
        alone = multiply_adds(net, torch.zeros(R, 3, 224, 224), of, boxes)
    return sum(shared.values()) / sum(alone.values())


def pooling_gap(seed: int) -> float:
    """The largest difference of RoI pooling, or of its gradient, from torch's own pooling of
    windows that are drawn in cells; their boxes in pixels are off by less than half a cell."""
    draw, P, scale, of = generator(seed, "pooling"), 5, 0.5, torch.arange(50) % 2
    x = torch.randn(2, 3, 20, 24, generator=draw).double().requires_grad_()
    low = (torch.rand(50, 2, generator=draw) * torch.tensor([16, 12])).long()
    high = low + 1 + (torch.rand(50, 2, generator=draw) * (torch.tensor([24, 20]) - low)).long()
    cells = torch.cat([low, high], 1)  # x before y
    boxes = (cells + 0.9 * torch.rand(50, 4, generator=draw) - 0.45) / scale
    pooled = roi_pool(x, of, boxes, scale, P)
    expected = torch.stack([
        F.adaptive_max_pool2d(x[n, :, y0:y1, x0:x1], P)
        for n, (x0, y0, x1, y1) in zip(of.tolist(), cells.tolist(), strict=True)
    ])  # fmt: skip
    weight = torch.randn(50, 3, P, P, generator=draw).double()
    ours, theirs = (torch.autograd.grad(y, x, weight)[0] for y in (pooled, expected))
    return max(float(gap.abs().max()) for gap in ((pooled - expected).detach(), ours - theirs))


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield dict(work_share=work_share())
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        yield dict(seed=seed, pooling_gap=pooling_gap(seed))
    split = draw_scenes(cfg.data, cfg.train, cfg.validation, cfg.test, cfg.side, cfg.seed)
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    boxes, maps = split.test[0].boxes, chosen[0].tensors["map"][None]
    of, scale = torch.zeros(len(boxes), dtype=torch.long), maps.shape[-1] / cfg.side
    yield from figures(chosen, split, roi_pool(maps, of, boxes, scale, cfg.P))


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
