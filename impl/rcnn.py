"""Rich feature hierarchies for accurate object detection and semantic segmentation.
Girshick et al., CVPR, 2014 (arXiv 1311.2524).

Claims      features-beat-hog  a fine-tuned CNN's features beat HOG on the same regions (Table 2)
            fine-tuning        training the pre-trained CNN on warped regions helps (Sec. 3.2)
            pre-training       it beats a CNN trained as long on such regions alone (Secs. 1, 2.3)
            box-regression     a linear regression from features to a better box helps (Sec. 3.5)
            proposals-recall   segments cover more objects than as many boxes at random (Sec. 4.2)
            inverse            a box moved by the targets of Eqs. 6 to 9 is the object's (App. C)
Deviations  1  HOG stands on the same regions and SVMs as the CNN; the paper's rival is DPM v5.
               Except in `paper` it gets each cell's mean colour, as the CNN sees colours
            2  `quick`: digits on photographs, pre-trained on other digits; `full`: blood cells,
               where they are, pre-trained on digits; both: small nets, Adam, augmented regions
            3  `paper` pre-trains on COCO's objects, not ILSVRC; proposals don't look at texture
            4  validation scenes choose the SVM's cost, its layer and the ridge; a squared hinge
            5  mAP is COCO's at IoU 0.5, the mean of precision at 101 recalls, not VOC's at 11
Left out    semantic segmentation (Sec. 5), dropout, the CNN's two groups and normalization
Shapes      B regions in a batch, R regions of a picture, C classes and the background, D features
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import rcnn as drawing
from impl.kit import (  # fmt: skip
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
    proposals,
    run_protocol,
)
from impl.kit.alexnet_layers import LayeredNet
from impl.kit.average_precision import Detections, detections, mean_average_precision
from impl.kit.boxes import decode, iou
from impl.kit.broken import Broken
from impl.kit.descent import minimize
from impl.kit.hog import hog
from impl.kit.proposals import Part, ProposedSplit
from impl.kit.scenes import draw_scenes
from impl.kit.selective_search import selective_search
from impl.kit.svm import RidgePerClass, mine_svms


def warp(images: Tensor, boxes: Tensor, size: int, context: int) -> Tensor:
    """Sec. 2.1: each box, with some context on each side, becomes a square; outside is the mean, 0.

    Of one image or one for each box, [B, 3, H, W], boxes [B, 4] -> [B, 3, size, size]"""
    grow = size / (size - 2 * context)
    centre, length = (boxes[:, :2] + boxes[:, 2:]) / 2, grow * (boxes[:, 2:] - boxes[:, :2])
    steps = (torch.arange(size, device=boxes.device) + 0.5) / size - 0.5
    at = centre[:, None] + steps[:, None] * length[:, None]  # [B, size, 2] in pixels
    at = 2 * at / torch.tensor([images.shape[3], images.shape[2]], device=at.device) - 1
    x, y = (at[..., i] for i in (0, 1))
    grid = torch.stack(torch.broadcast_tensors(x[:, None], y[:, :, None]), -1)
    own = (images - 0.5).expand(len(boxes), -1, -1, -1)
    return F.grid_sample(own, grid, align_corners=False)


def encode(P: Tensor, G: Tensor) -> Tensor:
    """App. C: what moves boxes P to G, [N, 4]; x and y are of the centres."""
    P_size, G_size = P[:, 2:] - P[:, :2], G[:, 2:] - G[:, :2]
    t_xy = ((G[:, :2] + G[:, 2:]) / 2 - (P[:, :2] + P[:, 2:]) / 2) / P_size  # Eqs. 6, 7
    return torch.cat([t_xy, (G_size / P_size).log()], 1)  # Eqs. 8, 9


@dataclass(frozen=True)
class Config:
    data: str = "voc"  # Sec. 2.4: VOC 2007 for all choices; for others see impl.kit.scenes
    auxiliary: str = "coco"  # Sec. 2.3 has ILSVRC 2012; `composed` is of the digits 5 to 9
    train: int = 4_011  # Sec. 3.2: trainval of VOC 2007, less the validation
    val: int = 1_000  # ours: pictures that choose the SVM's cost, the layer and the ridge
    test: int = 4_952  # Sec. 3.2: test of VOC 2007
    examples: int = 118_000  # ours: pictures whose objects' crops the CNN is pre-trained on
    side: int = 500  # Sec. 4.2
    scales: tuple[float, ...] = (50.0, 100.0)  # ours: how large the first segments are
    proposals: int = 2_000  # Sec. 2.2: about, of a picture
    warp: int = 227  # Sec. 2.1: pixels of a region when it is warped
    context: int = 16  # same: of them, on each side, around the box
    channels: tuple[int, ...] = (96, 256, 384, 384, 256)  # Sec. 2.1: Krizhevsky et al.'s net
    kernels: tuple[int, ...] = (11, 5, 3, 3, 3)  # same
    strides: tuple[int, ...] = (4, 1, 1, 1, 1)  # same
    pools: tuple[int, ...] = (1, 1, 0, 0, 1)  # same: where 3 x 3 pixels are pooled at stride 2
    H: int = 4_096  # same: units of fc6 and fc7
    pretraining: int = 310_000  # ours: updates
    finetuning: int = 50_000  # Sec. 4.3
    pretraining_rate: float = 0.01  # Sec. 2.3
    lrs: tuple[float, ...] = (0.0003, 0.001, 0.01)  # Sec. 2.3 has 0.001; the grid is ours
    optimizer: str = "SGD"  # Sec. 2.3; `quick` and `full` take Adam
    augment: bool = False  # ours: regions recoloured, boxes shaken, for want of pictures
    pictures: int = 16  # ours: that a batch's regions come from
    batch: int = 128  # Sec. 2.3
    positives: int = 32  # same: of the batch
    foreground: float = 0.5  # same: the overlap from which a region is an object's
    negative: float = 0.3  # same: the overlap below which it is a negative for the SVM
    costs: tuple[float, ...] = (0.0001, 0.001, 0.01, 0.1)  # ours: of the SVM
    hog_colours: bool = False  # ours: whether HOG has colours, too
    near: float = 0.6  # App. C: the overlap above which a region learns the object's box
    copies: int = 1  # ours: of such a region, if it is augmented
    ridges: tuple[float, ...] = (1_000.0,)  # App. C
    nms: float = 0.3  # ours: greater overlaps with a surer region; learned in the paper
    detections: int = 100  # ours: of a class in a picture
    seeds: int = 5  # ours: each draws its own pictures, nets and negatives
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", auxiliary="composed", train=200, val=40, test=100, examples=300,
               side=64, proposals=160, warp=24, context=2, channels=(16, 32), kernels=(5, 3),
               strides=(2, 1), pools=(0, 1), H=64, pretraining=1_000, finetuning=1_500,
               pretraining_rate=0.002, lrs=(0.0005, 0.001, 0.002), optimizer="Adam", augment=True,
               batch=64, positives=16, costs=(0.001, 0.01, 0.1), hog_colours=True, copies=8,
               ridges=(100.0, 1_000.0), detections=20)  # fmt: skip
QUICK = replace(FULL, data="composed", train=60, val=15, test=30, examples=120, scales=(50.0,),
                proposals=100, warp=20, pretraining=200, finetuning=200, lrs=(0.002,),
                costs=(0.003, 0.03))  # fmt: skip
SMOKE = replace(QUICK, train=4, val=2, test=3, examples=6, proposals=30, warp=16, channels=(4, 4),
                H=8, pretraining=3, finetuning=3, scales=(100.0,), costs=(0.1,),
                ridges=(100.0,), copies=2, detections=5, seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROPOSALS = Protocol(arms=("segments", "random"), select="recall")
FIXED = Protocol(arms=("HOG", "pre-trained"), select="val_mAP", best="highest")
TRAINED = Protocol(("fine-tuned", "scratch"), {"lr": "lrs"}, select="val_mAP", best="highest")

CLAIMS = (
    Comparison(claim="features-beat-hog", idea="fine-tuned", rival="HOG", measure="mAP",
               better="higher", margin=10.25, unit="% mAP at IoU 0.5",
               because="half of Table 2's gain over DPM v5, 33.7 to 54.2"),
    Comparison(claim="fine-tuning", idea="fine-tuned", rival="pre-trained", measure="mAP",
               better="higher", margin=4.0, unit="% mAP at IoU 0.5",
               because="half of Table 2's gain, 46.2 to 54.2"),
    Comparison(claim="pre-training", idea="fine-tuned", rival="scratch", measure="mAP",
               better="higher", margin=4.0, unit="% mAP at IoU 0.5", ours=True,
               because="as for fine-tuning: the paper has no figure"),
    Comparison(claim="box-regression", better="higher", margin=2.15, unit="% mAP at IoU 0.5",
               idea=lambda rows: by_seed(rows, "regressed_mAP", arm="fine-tuned"),
               rival=lambda rows: by_seed(rows, "mAP", arm="fine-tuned"),
               because="half of Table 2's gain, 54.2 to 58.5"),
    Comparison(claim="proposals-recall", idea="segments", rival="random", measure="recall",
               better="higher", margin=10.0, unit="% of the objects overlapped by half", ours=True,
               because="ours: one object in ten"),
    Identity(claim="inverse", measure="inverse_gap", tolerance=1e-9,
             unit="pixels between the boxes"),
)  # fmt: skip


BROKEN: Broken = {
    "features-beat-hog": {"pretraining": 0, "finetuning": 0},
    "fine-tuning": {"finetuning": 0},
    "pre-training": {"pretraining": 0},
    "box-regression": {"ridges": (1e12,)},
    "proposals-recall": lambda: patch.dict(globals(), selective_search=proposals.search_at_random),
    "inverse": lambda: patch.dict(globals(), decode=lambda P, d: P + d),
}


@lru_cache(maxsize=2)
def prepare(cfg: Config, seed: int, search: Callable[..., Tensor]) -> ProposedSplit:
    """The same regions for all arms of a seed."""
    split = draw_scenes(cfg.data, cfg.train, cfg.val, cfg.test, cfg.side, seed)
    draw = generator(seed, "proposals")
    found = partial(search, scales=cfg.scales, limit=cfg.proposals, draw=draw)
    return proposals.propose(split, found, cfg.negative)


@lru_cache(maxsize=2)
def pretrained(cfg: Config, seed: int, device: torch.device, updates: int) -> LayeredNet:
    """Sec. 2.3: has learned to name crops of other objects; with 0 updates, as it is drawn."""
    part, K = proposals.crops(cfg.auxiliary, cfg.examples if updates else 1, cfg.side, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        shape = (cfg.channels, cfg.kernels, cfg.strides, cfg.pools, cfg.warp, cfg.H)
        net = LayeredNet(*shape, classes=K).to(device)
    batch = partial(draw_regions, part, K, cfg, cfg.batch, 0, generator(seed, "crops"))
    list(train(net, batch, cfg, cfg.pretraining_rate, updates))
    return net


def draw_regions(
    part: Part, C: int, cfg: Config, positives: int, negatives: int, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A batch of warped regions [B, 3, warp, warp], and their classes, C for the background."""
    counts = dict(pictures=cfg.pictures, positives=positives, negatives=negatives)
    images, boxes, labels = proposals.draw_batch(part, C, cfg.foreground, draw, **counts)
    x = warp(images, proposals.shake(boxes, draw) if cfg.augment else boxes, cfg.warp, cfg.context)
    return proposals.recolour(x, draw) if cfg.augment else x, labels


Batch = Callable[[], tuple[Tensor, Tensor]]


def train(net: LayeredNet, batch: Batch, cfg: Config, lr: float, updates: int) -> Iterator[Row]:
    def loss() -> Tensor:
        x, labels = (each.to(net.device) for each in batch())
        return F.cross_entropy(net(x), labels)

    yield from minimize(loss, net.parameters(), cfg.optimizer, lr, updates)


@torch.no_grad()
def extract(net: LayeredNet | None, image: Tensor, boxes: Tensor, cfg: Config) -> list[Tensor]:
    """Of a picture's regions pool5, fc6 and fc7, or HOG, [R, D] each. The last of D is 1."""
    parts = []
    image, boxes = (each.to(net.device if net else "cpu") for each in (image, boxes))
    for some in boxes.split(256):
        x = warp(image[None], some, cfg.warp, cfg.context)
        layers = net.layers(x) if net else [hog(x, colours=cfg.hog_colours)]
        parts.append([torch.cat([y, torch.ones_like(y[:, :1])], 1) for y in layers])
    return [torch.cat(layer) for layer in zip(*parts, strict=True)]


@dataclass(frozen=True)
class Detector:
    net: LayeredNet | None  # None for HOG
    cfg: Config
    layer: int  # whose features the SVMs see: of a net 1 is fc6, 2 is fc7
    w: Tensor  # [D, C]
    move: Tensor | None = None  # [C, D, 4], from pool5

    def __call__(self, image: Tensor, boxes: Tensor) -> Detections:
        layers, boxes = self.layers(image, boxes), boxes.to(self.w.device)
        if self.move is not None:
            d = torch.einsum("rd,cdk->rck", layers[0], self.move)
            boxes = decode(boxes[:, None], d).clamp(0, image.shape[-1])
        scores = layers[self.layer] @ self.w
        return detections(scores, boxes, self.cfg.nms, self.cfg.detections)

    def layers(self, image: Tensor, boxes: Tensor) -> list[Tensor]:
        return extract(self.net, image, boxes, self.cfg)

    def measure(self, part: Part) -> float:
        found = (self(scene.image, part.proposals(i)) for i, scene in enumerate(part.scenes))
        return 100 * mean_average_precision(found, part.scenes, self.w.shape[1])


def fit_svms(
    net: LayeredNet | None, data: ProposedSplit, cfg: Config, seed: int
) -> tuple[Detector, float]:
    """Sec. 2.3: the layer and the cost are those with the best mAP on validation scenes."""
    scenes, regions = data.train.scenes, data.train.regions
    signs, tried = [each.sign.to(net.device if net else "cpu") for each in regions], []
    for layer in (1, 2) if net else (0,):

        def of_picture(i: int, layer: int = layer) -> Tensor:
            return extract(net, scenes[i].image, regions[i].boxes, cfg)[layer]

        features = proposals.extract_all(len(scenes), of_picture, length=20.0)  # authors' code
        for cost in cfg.costs:
            w = features.scale * mine_svms(features, signs, cost, generator(seed, "negatives"))
            detector = Detector(net, cfg, layer, w)
            tried.append((detector, detector.measure(data.val)))
    return max(tried, key=lambda each: each[1])


def near_regions(
    net: LayeredNet, part: Part, cfg: Config, copies: int, draw: torch.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """App. C: of each picture's proposals near an object pool5 [N, D], targets [N, 4], classes."""
    for scene, regions in zip(part.scenes, part.regions, strict=True):
        at = ((regions.overlap > cfg.near) & ~regions.own).nonzero()[:, 0].repeat(copies)
        P, G = regions.boxes[at], regions.target[at]
        P = proposals.shake(P, draw) if copies > 1 else P
        near = iou(P, G).diagonal() > cfg.near
        if near.any():
            pool5 = extract(net, scene.image, P[near], cfg)[0]
            t, labels = encode(P[near], G[near]), regions.labels[at][near]
            yield pool5, t.to(net.device), labels.to(net.device)


def fit_boxes(net: LayeredNet, data: ProposedSplit, cfg: Config, seed: int) -> Tensor | None:
    """Eq. 5: for each class a ridge regression, [C, D, 4]; validation scenes choose the ridge."""
    sums, draw = RidgePerClass(len(data.classes)), generator(seed, "near")
    for each in near_regions(net, data.train, cfg, cfg.copies, draw):
        sums.add(*each)
    val, tried = list(near_regions(net, data.val, cfg, 1, draw)), []
    for ridge in cfg.ridges if sums.sums else ():
        w = sums.solve(ridge)
        errors = [(torch.einsum("nd,ndk->nk", x, w[k]) - t).square().sum() for x, t, k in val]
        tried.append((float(sum(errors, torch.zeros(()))), w))
    return min(tried, key=lambda each: each[0])[1] if tried else None


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float = 0.0
) -> Iterator[TrialEvent]:
    data = prepare(cfg, seed, selective_search)
    row: Row = dict(data=data.name)
    if arm in ("segments", "random"):
        draw = generator(seed, "random boxes") if arm == "random" else None
        yield row | dict(recall=proposals.recall_of(data, draw))
        return
    net, C = None, len(data.classes)
    if arm != "HOG":
        before = 0 if arm == "scratch" else cfg.pretraining
        updates = 0 if arm == "pre-trained" else cfg.pretraining - before + cfg.finetuning
        net = copy.deepcopy(pretrained(cfg, seed, device, before))
        net.last = nn.Linear(cfg.H, C + 1).to(device)  # Sec. 2.3: and the background
        quota = (cfg.positives, cfg.batch - cfg.positives)
        batch = partial(draw_regions, data.train, C, cfg, *quota, generator(seed, "batches"))
        yield from train(net, batch, cfg, lr, updates)
    detector, val_mAP = fit_svms(net, data, cfg, seed)
    row |= dict(val_mAP=val_mAP, mAP=detector.measure(data.test))
    if net and arm == "fine-tuned":
        moving = replace(detector, move=fit_boxes(net, data, cfg, seed))
        row |= dict(regressed_mAP=moving.measure(data.test), layer=f"fc{5 + detector.layer}")
        if seed == cfg.seed:
            warped = partial(warp, size=cfg.warp, context=cfg.context)
            yield from drawing.leave(data.test, detector, moving, warped)
    yield row


def inverse_gap(seed: int) -> float:
    """How far from objects the boxes are that are moved by their targets."""
    corner, size = torch.rand(2, 1_000, 2, generator=generator(seed, "boxes")).double()
    P, G = torch.cat([100 * corner, 100 * corner + 50 * size + 1], 1).split(500)
    return float((decode(P, encode(P, G)) - G).abs().max())


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        yield dict(seed=seed, inverse_gap=inverse_gap(seed))
    data = prepare(cfg, cfg.seed, selective_search)
    yield drawing.search(data.test.scenes[0], data.test.proposals(0), cfg.scales[0])
    chosen = yield from run_protocol(trial, cfg, [PROPOSALS, FIXED, TRAINED], device)
    yield from drawing.figures(chosen, data.test.scenes, data.classes)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
