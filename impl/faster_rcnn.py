"""Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks. Ren et al., 2015.

Claims      proposals    learned proposals cover more than as many of selective search (Fig. 4)
            regression   moved by the second branch they fit objects better than unmoved (Table 2)
            anchors      anchors of three sizes and shapes cover more than one kind does (Table 8)
            nearly-free  proposing takes less than a twentieth of the whole work (Table 5)
            inverse      moving an anchor by the targets of an object gives the object's box (Eq. 2)
Deviations  1  no detector is trained: proposals are judged by what they cover (Fig. 4), not by mAP
            2  ImageNet can't be read here: the map starts from random weights, in `paper`, too
            3  `quick` and `full`: a small map, Adam, BCCD where it is, else digits on photographs;
               sizes and shapes of the anchors are quantiles of the training objects'
            4  the single kind is that of the nine that covers most training objects
            5  selective search is simplified (impl/kit/selective_search.py)
Left out    the detector, and training the two by turns; EdgeBoxes
Shapes      B pictures of S x S, H x W cells of the map, A = H W k anchors of k kinds, N objects
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing.faster_rcnn import figures
from impl.kit import (  # fmt: skip
    Arrays,
    Bound,
    Comparison,
    Event,
    Identity,
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
from impl.kit.backbone import multiply_adds, pooled_backbone
from impl.kit.boxes import decode, iou, nms
from impl.kit.broken import Broken
from impl.kit.descent import minimize
from impl.kit.proposals import best_overlaps, recall
from impl.kit.scene import Scene, without_padding
from impl.kit.scenes import SceneSplit, draw_scenes
from impl.kit.selective_search import selective_search

Patch = AbstractContextManager[object]
Kind = tuple[float, float]  # size as a part of the side, and height over width


class RPN(nn.Module):
    """Sec. 3.1: a window of 3 x 3 cells slides over the map, and two branches say of each of its k
    anchors how likely it is an object, and how it must move."""

    def __init__(self, channels: Sequence[int], layers: Sequence[int], width: int, k: int):
        super().__init__()
        self.map = pooled_backbone(channels, layers)
        self.window = nn.Conv2d(channels[-1], width, 3, padding=1)
        self.cls, self.reg = nn.Conv2d(width, k, 1), nn.Conv2d(width, 4 * k, 1)
        for branch in (self.cls, self.reg):  # Sec. 3.1.3
            nn.init.normal_(branch.weight, std=0.01)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, S, S] -> log-odds [B, A] (footnote 3) and t [B, A, 4], ordered as `anchors`."""
        h = F.relu(self.window(self.map(x)))
        logits, t = (branch(h).permute(0, 2, 3, 1) for branch in (self.cls, self.reg))
        return logits.flatten(1), t.reshape(len(x), -1, 4)

    def own_layers(self) -> list[nn.Module]:
        """What proposals need besides the map, which the detector has anyway."""
        return [self.window, self.cls, self.reg]


def encode(anchor: Tensor, box: Tensor) -> Tensor:
    """Eq. 2, [N, 4] each: t_x = (x - x_a) / w_a, t_w = log(w / w_a); x, y are of the centres."""
    w_a, w = anchor[:, 2:] - anchor[:, :2], box[:, 2:] - box[:, :2]  # [N, 2]: widths and heights
    x_a, x = (anchor[:, :2] + anchor[:, 2:]) / 2, (box[:, :2] + box[:, 2:]) / 2
    return torch.cat([(x - x_a) / w_a, (w / w_a).log()], 1)


@dataclass(frozen=True)
class Config:
    data: str = "voc"  # Sec. 4.1: VOC 2007; others: see impl.kit.scenes
    train: int = 4_011  # Sec. 4.1 has 5,011; ours: less those for validation
    validation: int = 1_000  # ours
    test: int = 4_952  # Sec. 4.1
    side: int = 1_000  # Sec. 3.3: pixels of the longer side
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)  # Sec. 3: stages of VGG-16
    layers: tuple[int, ...] = (2, 2, 3, 3, 3)  # same: convolutions in each
    width: int = 512  # Sec. 3.1: of the sliding window's layer
    sizes: tuple[float, ...] = (0.128, 0.256, 0.512)  # Sec. 3.3; none: as the training objects have
    shapes: tuple[float, ...] = (0.5, 1.0, 2.0)  # same: height over width
    positive: float = 0.7  # Sec. 3.1.2: overlap from which an anchor is an object's
    negative: float = 0.3  # same: below which it is none's
    sampled: int = (
        256  # Sec. 3.1.3: anchors of a picture in the loss, at most half of them objects'
    )
    lambda_: float = 10.0  # Sec. 3.1.2; with fewer cells less, so that both terms weigh the same
    nms_threshold: float = 0.7  # Sec. 3.3
    before_nms: int = 6_000  # the authors' code
    proposals: int = 300  # Sec. 3.3
    batch: int = 1  # Sec. 3.1.3: pictures
    updates: int = 80_000  # same
    optimizer: str = "SGD"  # same: with momentum 0.9 and weight decay 0.0005
    lrs: tuple[float, ...] = (0.001,)  # same; a tenth of it after three quarters of the updates
    scales: tuple[float, ...] = (25.0, 100.0, 400.0)  # ours: the grid of selective search
    seeds: int = 5  # ours: how many repetitions, each with its own pictures
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", train=230, validation=50, test=100, side=96, layers=(1, 1, 1),
               channels=(16, 32, 64), width=64, sizes=(), shapes=(), sampled=64, lambda_=9.0,
               proposals=50, batch=4, updates=1_500, optimizer="Adam", lrs=(0.001, 0.003, 0.01),
               before_nms=500, scales=(6.0, 12.0, 25.0, 50.0, 100.0, 200.0))  # fmt: skip
QUICK = replace(FULL, train=150, validation=30, test=40, side=64, channels=(16, 32, 32), width=32,
                lambda_=4.0, before_nms=300, batch=2, updates=300,
                scales=(6.0, 12.0, 25.0, 50.0))  # fmt: skip
SMOKE = replace(QUICK, data="composed", train=4, validation=2, test=4, channels=(4, 4, 4), width=4,
                proposals=10, updates=3, lrs=(0.003,), scales=(100.0,), seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

NINE, ONE, SEARCH = "nine kinds", "one kind", "selective search"
NETS = Protocol((NINE, ONE), {"lr": "lrs"}, select="val_recall", best="highest")
SEARCHES = Protocol((SEARCH,), {"scale": "scales"}, select="val_recall", best="highest")

COVERED = "% of the objects that a proposal covers by half or more"
CLAIMS = (
    Comparison(claim="proposals", idea=NINE, rival=SEARCH, measure="recall", better="higher",
               margin=5.0, unit=COVERED,
               because="ours, one object in twenty: Fig. 4 has curves and no figures"),
    Comparison(claim="regression", better="higher", margin=2.35, ours=True,
               idea=lambda rows: by_seed(rows, "overlap", arm=NINE),
               rival=lambda rows: by_seed(rows, "unmoved_overlap", arm=NINE),
               unit="% overlap of an object with its best proposal",
               because="half of the 4.7 points of mAP in Table 2"),
    Comparison(claim="anchors", idea=NINE, rival=ONE, measure="recall", better="higher",
               margin=1.6, unit=COVERED, ours=True,
               because="half of the 3.2 points of mAP that nine gain on the better single kind"),
    Bound(claim="nearly-free", measure="proposing_share", expected=0.05,
          unit="of the multiply-adds of VGG-16's map and the proposals"),
    Identity(claim="inverse", measure="inverse_gap", tolerance=0.01, unit="pixels"),
)  # fmt: skip


def answering(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Patch:
    forward = RPN.forward
    return patch.object(RPN, "forward", lambda net, x: change(*forward(net, x)))


def random_scores() -> Patch:
    """The first branch doesn't look at the picture."""
    return answering(lambda logits, t: (0 * logits + torch.rand_like(logits), t))


def unmoved() -> Patch:
    """The second branch leaves all anchors where they are."""
    return answering(lambda logits, t: (logits, 0 * t))


def own_map() -> Patch:
    """The map isn't shared."""
    return patch.object(RPN, "own_layers", lambda net: [net])


def without_logarithms() -> Patch:
    """Targets that `decode` doesn't undo: of sizes their ratios."""
    right = encode
    return patch.dict(globals(), encode=lambda anchor, box: right(anchor, box).exp())


BROKEN: Broken = {
    "proposals": random_scores,
    "regression": unmoved,
    "anchors": {"sizes": (0.2,), "shapes": (1.0,)},
    "nearly-free": own_map,
    "inverse": without_logarithms,
}


def anchors(kinds: Sequence[Kind], cfg: Config) -> Tensor:
    """Sec. 3.1.1: boxes of every kind about the centre of each cell of the map, [A, 4]."""
    stride = 2 ** (len(cfg.channels) - 1)
    at = (torch.arange(cfg.side // stride) + 0.5) * stride
    row, column = torch.meshgrid(at, at, indexing="ij")
    centre = torch.stack([column, row], 2).reshape(-1, 1, 2)  # [H W, 1, 2], x before y
    sizes = [[size / math.sqrt(shape), size * math.sqrt(shape)] for size, shape in kinds]
    half = torch.tensor(sizes) * cfg.side / 2  # [k, 2]
    return torch.cat([centre - half, centre + half], 2).reshape(-1, 4)


def all_kinds(boxes: Tensor, cfg: Config) -> list[Kind]:
    """Every size in every shape."""
    size, shape = boxes[:, 2:] - boxes[:, :2], boxes.new_tensor([1, 3, 5]) / 6
    sizes = cfg.sizes or (size.prod(1).sqrt() / cfg.side).quantile(shape).tolist()
    shapes = cfg.shapes or (size[:, 1] / size[:, 0]).quantile(shape).tolist()
    return [(a, b) for a in sizes for b in shapes]


def best_kind(boxes: Tensor, cfg: Config) -> Kind:
    """The one of them whose anchors cover most of the boxes."""

    def covered(kind: Kind) -> tuple[float, float]:
        overlaps = iou(anchors([kind], cfg), boxes).amax(0)
        return recall(overlaps), float(overlaps.mean())

    return max(all_kinds(boxes, cfg), key=covered)


def assign(anchor: Tensor, boxes: Tensor, cfg: Config) -> tuple[Tensor, Tensor]:
    """Sec. 3.1.2: for each anchor 1 (an object's), 0 (none's) or -1 (not asked), and the object
    that it overlaps most, [A] each. Anchors that cross the border aren't asked, Sec. 3.3."""
    inside = (anchor >= 0).all(1) & (anchor <= cfg.side).all(1)
    nothing = anchor.new_zeros(len(anchor), 1)  # for a picture without objects
    overlap = torch.cat([iou(anchor, boxes), nothing], 1) * inside[:, None]  # [A, N + 1]
    most, nearest = overlap.max(1)
    label = torch.full_like(nearest, -1)
    label[most < cfg.negative] = 0
    label[most >= cfg.positive] = 1
    label[((overlap == overlap.amax(0)) & (overlap > 0)).any(1)] = 1  # every object has an anchor
    return torch.where(inside, label, -1), nearest


def sample(label: Tensor, cfg: Config, draw: torch.Generator) -> Tensor:
    """Sec. 3.1.3: up to half of them objects' anchors, the rest none's."""
    order = torch.randperm(len(label), generator=draw)
    positive = order[label[order] == 1][: cfg.sampled // 2]
    negative = order[label[order] == 0][: cfg.sampled - len(positive)]
    return torch.cat([positive, negative])


def loss(logits: Tensor, p_star: Tensor, t: Tensor, t_star: Tensor, weight: float) -> Tensor:
    """Eq. 1: log-odds and labels of the anchors sampled, [N_cls]; t and its targets for those
    that are objects', [_, 4]; `weight` is lambda / N_reg."""
    L_cls = F.binary_cross_entropy_with_logits(logits, p_star)  # the mean: 1 / N_cls
    L_reg = F.smooth_l1_loss(t, t_star, reduction="sum")
    return L_cls + weight * L_reg


@torch.no_grad()
def propose(net: RPN, anchor: Tensor, scene: Scene, cfg: Config) -> list[Tensor]:
    """The surest boxes of a picture, and the surest anchors, not moved: [R, 4] each, or fewer."""
    device = net.cls.weight.device
    logit, t = (out[0].cpu() for out in net(scene.image[None].to(device)))
    score, at = logit.topk(min(cfg.before_nms, len(logit)))
    both = [box.clamp(0, cfg.side) for box in (decode(anchor[at], t[at]), anchor[at])]
    return [box[nms(box, score, cfg.nms_threshold, cfg.proposals)] for box in both]


def train(
    net: RPN, anchor: Tensor, scenes: Sequence[Scene], cfg: Config, lr: float, seed: int
) -> Iterator[Row]:
    """Sec. 3.1.3; a row after every eighth of the updates."""
    draw, device = generator(seed, "batches"), net.cls.weight.device
    weight = cfg.lambda_ * net.cls.out_channels / len(anchor)  # N_reg: the cells of the map
    labels = lru_cache(maxsize=1_000)(lambda i: assign(anchor, scenes[i].boxes, cfg))

    def batch_loss() -> Tensor:
        chosen = torch.randint(len(scenes), (cfg.batch,), generator=draw).tolist()
        logits, t = net(torch.stack([scenes[i].image for i in chosen]).to(device))
        each = []
        for n, i in enumerate(chosen):
            label, nearest = labels(i)
            at = sample(label, cfg, draw)
            positive = at[label[at] == 1]
            t_star = encode(anchor[positive], scenes[i].boxes[nearest[positive]]).to(t)
            each.append(loss(logits[n, at], label[at].to(t), t[n, positive], t_star, weight))
        return torch.stack(each).mean()

    yield from minimize(batch_loss, net.parameters(), cfg.optimizer, lr, cfg.updates)


def measure(
    find: Callable[[Scene], list[Tensor]], split: SceneSplit, cfg: Config
) -> Iterator[TrialEvent]:
    """What is found in the scenes to choose by, and in those to judge by."""
    validation = [find(scene)[0] for scene in split.val]
    found = [find(scene) for scene in split.test]  # proposals; of a net also the unmoved ones
    first, last = ([each[i] for each in found] for i in (0, -1))
    overlaps, unmoved = (best_overlaps(each, split.test, cfg.proposals) for each in (first, last))
    counts = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 300) if n <= cfg.proposals]
    curve = [(n, recall(best_overlaps(first, split.test, n))) for n in counts]
    surest = {f"surest {i}": boxes[:5] for i, boxes in enumerate(first[:4])}
    yield Arrays({"curve": torch.tensor(curve), **surest})
    yield dict(
        step=cfg.updates, data=split.name, recall=recall(overlaps),
        val_recall=recall(best_overlaps(validation, split.val, cfg.proposals)),
        overlap=100 * float(overlaps.mean()), unmoved_overlap=100 * float(unmoved.mean()),
    )  # fmt: skip


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float = 0.0, scale: float = 0.0
) -> Iterator[TrialEvent]:
    split = draw_scenes(cfg.data, cfg.train, cfg.validation, cfg.test, cfg.side, seed)
    if arm == SEARCH:
        draw = generator(seed, "search")

        def search(scene: Scene) -> list[Tensor]:
            return [selective_search(without_padding(scene.image), (scale,), cfg.proposals, draw)]

        yield from measure(search, split, cfg)
        return
    boxes = torch.cat([scene.boxes for scene in split.train[:500]])
    kinds = all_kinds(boxes, cfg) if arm == NINE else [best_kind(boxes, cfg)]
    anchor = anchors(kinds, cfg)
    yield dict(inverse_gap=inverse_gap(anchor, boxes))
    net = RPN(cfg.channels, cfg.layers, cfg.width, len(kinds)).to(device)
    yield from train(net, anchor, split.train, cfg, lr, seed)
    yield from measure(lambda scene: propose(net, anchor, scene, cfg), split, cfg)


def proposing_share() -> float:
    """Of the work of the paper's net on a picture of 600 x 1000 pixels (Sec. 3.3), what only the
    proposals need. Counted, not computed."""
    with torch.device("meta"):
        net = RPN(PAPER.channels, PAPER.layers, PAPER.width, 9)
        work = multiply_adds(net, torch.zeros(1, 3, 600, 1_000))
    own = {layer for module in net.own_layers() for layer in module.modules()}
    return sum(n for layer, n in work.items() if layer in own) / sum(work.values())


def inverse_gap(anchor: Tensor, boxes: Tensor) -> float:
    """How far the nearest anchors, moved by their training targets, are from the objects [N, 4]."""
    nearest = anchor[iou(anchor, boxes).argmax(0)]
    return float((decode(nearest, encode(nearest, boxes)) - boxes).abs().max())


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield dict(proposing_share=proposing_share())
    split = draw_scenes(cfg.data, cfg.train, cfg.validation, cfg.test, cfg.side, cfg.seed)
    chosen = yield from run_protocol(trial, cfg, (NETS, SEARCHES), device)
    yield from figures(chosen, split)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
