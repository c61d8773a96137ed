"""Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks. Ren, He, Girshick & Sun, NIPS, 2015.

Claims      proposals    ten learnt proposals a picture cover more of its objects than ten anchors at random (Sec. 3.1)
            regression   moved by the second branch they fit the objects better than as the anchors they were (Sec. 3.1.2)
            anchors      anchors of three sizes and three shapes cover more than one kind does (Table 8)
            nearly-free  proposing costs less than a twentieth of what the map that it shares costs (Table 5)
            inverse      moving an anchor by the targets of its object gives the object's box (Eq. 2)
Deviations  1  except in `paper` BCCD where it is, else digits on photographs; a small net, a few hundred updates of Adam
            2  proposals are judged by what they cover, not by the detector that would use them
            3  half of a mini-batch's anchors are objects' only where there are as many, as in the paper; the rest are others
Left out    the detector itself, which is Fast R-CNN (impl/fast_rcnn.py), and the four steps that train the two by turns
Shapes      B pictures of S x S pixels, H x W cells of the map, k anchors in a cell, A = H W k anchors in all
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.detection import Found, Scene, iou, pictured, scenes
from impl.kit.figures import curves


@dataclass(frozen=True)
class Config:
    data: str = (
        "voc"  # Sec. 4: PASCAL VOC 2007; `composed`, `bccd`, `coco`, `auto`: see impl.kit.detection
    )
    train: int = 5_011  # Sec. 4
    test: int = 4_952  # Sec. 4
    side: int = 1_000  # Sec. 3.3: of the longer side
    channels: tuple[int, ...] = (
        64,
        128,
        256,
        512,
    )  # the widths of VGG-16; ours are single convolutions
    H: int = 512  # Sec. 3.1: maps of the 3 x 3 head
    sizes: tuple[float, ...] = (
        0.128,
        0.256,
        0.512,
    )  # Sec. 3.3: 128, 256 and 512 pixels, as parts of the side
    shapes: tuple[float, ...] = (0.5, 1.0, 2.0)  # Sec. 3.3: height over width
    positive: float = (
        0.7  # Sec. 3.1.2: overlap from which an anchor is an object's; the best one always is
    )
    negative: float = 0.3  # same: below which it is none
    sampled: int = (
        256  # Sec. 3.1.3: anchors of a picture in the loss, at most half of them objects'
    )
    suppress: float = 0.7  # Sec. 3.3: greater overlaps with a surer proposal are suppressed
    proposals: int = 10  # ours: looked at in a picture; the paper's detector takes 300
    batch: int = 1  # Sec. 3.1.3: pictures
    updates: int = 80_000  # Sec. 3.1.3
    rate: float = 0.001  # same; there with gradient descent, here with Adam
    seeds: int = 5  # ours: nets
    seed: int = 0  # ours: the first of them; it also draws the scenes


PAPER = Config()
FULL = replace(PAPER, data="auto", train=600, test=150, side=96, channels=(16, 32), H=64, sizes=(0.2, 0.33, 0.5),
               shapes=(0.8, 1.3, 2.2), sampled=64, batch=8, updates=2_000, rate=0.003)  # fmt: skip
QUICK = replace(FULL, train=200, test=60, side=64, H=32, batch=4, updates=300)
SMOKE = replace(QUICK, train=4, test=2, channels=(4, 4), H=4, batch=2, updates=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


def anchors(
    H: int, W: int, stride: float, cfg: Config, kinds: Sequence[tuple[float, float]]
) -> Tensor:
    """Boxes of every kind (size, shape) around the centre of every cell, [H * W * k, 4]: sqrt(w h) = size, h / w = shape."""
    row, column = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    centre = stride * torch.stack([column, row], 2).reshape(-1, 1, 2)  # [H W, 1, 2], x before y
    half = (
        torch.tensor([[size / math.sqrt(shape), size * math.sqrt(shape)] for size, shape in kinds])
        * cfg.side
        / 2
    )
    return torch.cat([centre - half, centre + half], 2).reshape(-1, 4)


def encode(anchor: Tensor, box: Tensor) -> Tensor:
    """Eq. 2: t_x = (x - x_a) / w_a, t_w = log(w / w_a), and so on; [N, 4] each."""
    size_a, size = anchor[:, 2:] - anchor[:, :2], box[:, 2:] - box[:, :2]
    return torch.cat(
        [(box[:, :2] + size / 2 - anchor[:, :2] - size_a / 2) / size_a, (size / size_a).log()], 1
    )


def decode(anchor: Tensor, t: Tensor) -> Tensor:
    """The inverse."""
    size_a = anchor[:, 2:] - anchor[:, :2]
    centre, size = (
        anchor[:, :2] + size_a / 2 + t[:, :2] * size_a,
        size_a * t[:, 2:].clamp(-3, 3).exp(),
    )
    return torch.cat([centre - size / 2, centre + size / 2], 1)


def assign(anchor: Tensor, boxes: Tensor, cfg: Config) -> tuple[Tensor, Tensor]:
    """Sec. 3.1.2: for each anchor 1 (an object's), 0 (none's) or -1 (neither, not used), and the object it overlaps most."""
    overlap = iou(anchor, boxes)  # [A, N]
    best, nearest = overlap.max(1)
    label = torch.full_like(nearest, -1)
    label[best < cfg.negative] = 0
    label[best >= cfg.positive] = 1
    label[(overlap == overlap.max(0).values).any(1) & (best > 0)] = 1  # every object has an anchor
    return label, nearest


class RPN(nn.Module):
    """A map, a 3 x 3 head that slides over it, and for each anchor of a cell how likely it is an object, and how to move it."""

    def __init__(self, cfg: Config, k: int):
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in zip((3, *cfg.channels), cfg.channels, strict=False):
            layers += [nn.Conv2d(a, b, 5 if a == 3 else 3, 2, 2 if a == 3 else 1), nn.ReLU()]
        last = cfg.channels[-1]
        self.map = nn.Sequential(*layers, nn.Conv2d(last, last, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(last, cfg.H, 3, padding=1), nn.ReLU())
        self.objectness, self.delta = nn.Conv2d(cfg.H, k, 1), nn.Conv2d(cfg.H, 4 * k, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, S, S] -> logits [B, A] and t [B, A, 4], in the order of `anchors`."""
        h = self.head(self.map(4 * (x - 0.5)))
        return self.objectness(h).permute(0, 2, 3, 1).flatten(1), self.delta(h).permute(
            0, 2, 3, 1
        ).reshape(len(x), -1, 4)


def loss(
    logits: Tensor,
    t: Tensor,
    anchor: Tensor,
    some: Sequence[Scene],
    cfg: Config,
    draw: torch.Generator,
) -> Tensor:
    """Eq. 1: whether an anchor is an object's, and smooth L1 of how it must move if it is one's; both terms weigh the same."""
    total = torch.zeros((), device=logits.device)
    for logit, move, scene in zip(logits, t, some, strict=True):
        label, nearest = assign(anchor, scene.boxes, cfg)
        order = torch.randperm(len(label), generator=draw)
        positive = order[label[order] == 1][: cfg.sampled // 2]
        negative = order[label[order] == 0][: cfg.sampled - len(positive)]
        at = torch.cat([positive, negative]).to(logits.device)
        total = total + F.binary_cross_entropy_with_logits(
            logit[at], label.to(logits.device)[at].float()
        )
        wanted = encode(anchor[positive], scene.boxes[nearest[positive]]).to(logits.device)
        total = total + F.smooth_l1_loss(move[positive.to(logits.device)], wanted)
    return total / len(some)


def train(
    net: RPN, anchor: Tensor, found: Sequence[Scene], cfg: Config, seed: int, device: torch.device
) -> Iterator[tuple[int, float]]:
    draw = torch.Generator().manual_seed(1_000_003 * (seed + 1))
    optimizer = torch.optim.Adam(net.parameters(), cfg.rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, cfg.updates)
    for step in range(1, cfg.updates + 1):
        some = [found[i] for i in torch.randint(len(found), (cfg.batch,), generator=draw).tolist()]
        logits, t = net(torch.stack([scene.image for scene in some]).to(device))
        value = loss(logits, t, anchor, some, cfg, draw)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        decay.step()
        yield step, value.item()


def suppressed(boxes: Tensor, scores: Tensor, cfg: Config, most: int) -> Tensor:
    """From the surest down, the boxes that overlap none before them too much: their places, at most `most`."""
    order = scores.argsort(descending=True)[: 30 * most]
    overlap, kept = iou(boxes[order], boxes[order]) > cfg.suppress, list[int]()
    for i in range(len(order)):
        if len(kept) == most:
            break
        if not overlap[i, kept].any():
            kept.append(i)
    return order[kept]


@torch.no_grad()
def propose(
    net: RPN, anchor: Tensor, scene: Scene, cfg: Config, most: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The surest proposals of a picture, the anchors they were, and how sure: [R, 4], [R, 4], [R]."""
    logits, t = (out[0].cpu() for out in net(scene.image[None].to(device)))
    boxes = decode(anchor, t).clamp(0, cfg.side)
    kept = suppressed(boxes, logits, cfg, most)
    return boxes[kept], anchor[kept], logits[kept].sigmoid()


def covered(boxes: Tensor, scene: Scene) -> Tensor:
    """How much the best of the boxes overlaps each object, [N]."""
    return iou(boxes, scene.boxes).max(0).values


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    yield from exactly(cfg)
    data = scenes(cfg.data, cfg.train, cfg.test, cfg.side, seed=cfg.seed)
    kept, held = list(data.train), list(data.test)
    stride = 2 ** len(cfg.channels)
    cells = -(-cfg.side // stride)
    several = [(size, shape) for size in cfg.sizes for shape in cfg.shapes]
    one = [several[len(several) // 2]]
    done, total = 0, 2 * cfg.seeds * cfg.updates
    lines: dict[str, list[tuple[float, float]]] = {}
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        for name, kinds in {"nine anchors": several, "one anchor": one}.items():
            torch.manual_seed(seed)
            anchor, net = anchors(cells, cells, stride, cfg, kinds), RPN(cfg, len(kinds)).to(device)
            for step, value in train(net, anchor, kept, cfg, seed, device):
                done += 1
                if step % 10 == 0:
                    yield Progress(done, total, f"{name}, seed {seed}")
                if step % -(-cfg.updates // 12) == 0 or step == cfg.updates:
                    yield dict(net=name, seed=seed, step=step, loss=value)
            found = [propose(net, anchor, scene, cfg, cfg.proposals, device) for scene in held]
            row: Row = dict(net=name, seed=seed, data=data.name)
            for kind, boxes in {
                "moved": [f[0] for f in found],
                "unmoved": [f[1] for f in found],
            }.items():
                best = torch.cat([covered(b, scene) for b, scene in zip(boxes, held, strict=True)])
                row |= {
                    f"recall_{kind}": 100 * float((best >= 0.5).float().mean()),
                    f"overlap_{kind}": 100 * float(best.mean()),
                }
            yield row
            if name == "nine anchors":
                yield by_chance(anchor, held, cfg, seed)
            if seed == cfg.seed:
                lines[name] = recalls(net, anchor, held, cfg, device)
                if name == "nine anchors":
                    yield proposed(found, held, data.classes)
    yield curves("recall", lines, "Of the objects, the part that the surest proposals cover", x="proposals a picture",
                 y="% covered by half or more")  # fmt: skip
    yield Progress(total, total, "done")


def by_chance(anchor: Tensor, held: Sequence[Scene], cfg: Config, seed: int) -> Row:
    """What as many anchors cover when they are drawn at random, as a window that slides in no order would."""
    draw = torch.Generator().manual_seed(seed)
    best = [
        covered(anchor[torch.randperm(len(anchor), generator=draw)[: cfg.proposals]], scene)
        for scene in held
    ]
    return dict(
        net="at random",
        seed=seed,
        recall_moved=100 * float((torch.cat(best) >= 0.5).float().mean()),
    )


def recalls(
    net: RPN, anchor: Tensor, held: Sequence[Scene], cfg: Config, device: torch.device
) -> list[tuple[float, float]]:
    found = [propose(net, anchor, scene, cfg, 50, device)[0] for scene in held]
    points = []
    for most in (1, 2, 5, 10, 20, 50):
        best = torch.cat(
            [covered(boxes[:most], scene) for boxes, scene in zip(found, held, strict=True)]
        )
        points.append((float(most), 100 * float((best >= 0.5).float().mean())))
    return points


def proposed(
    found: Sequence[tuple[Tensor, Tensor, Tensor]], held: Sequence[Scene], classes: Sequence[str]
) -> Figure:
    panels: list[tuple[str, Scene, Found | None]] = [
        ("what is there", scene, None) for scene in held[:4]
    ]
    for (boxes, _, sure), scene in zip(found[:4], held, strict=False):
        panels.append(
            (
                "the five surest",
                scene,
                Found(boxes[:5], torch.full((len(boxes[:5]),), len(classes)), sure[:5]),
            )
        )
    return pictured(
        "proposals",
        panels,
        "Four test scenes: what is there, and the five surest proposals",
        [*classes, "thing"],
    )


def multiply_adds(side: tuple[int, int]) -> tuple[float, float]:
    """Of VGG-16's convolutions on a picture of height and width `side`, and of the head with nine anchors on its map."""
    H, W = side
    backbone, a = 0.0, 3
    for stage, (b, layers) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        h, w = H // 2**stage, W // 2**stage
        for _ in range(layers):
            backbone, a = backbone + h * w * 9.0 * a * b, b
    h, w = H // 16, W // 16
    return backbone, h * w * (9.0 * 512 * 512 + 512 * 9 * (2 + 4))


def exactly(cfg: Config) -> Iterator[Row]:
    backbone, head = multiply_adds(
        (600, 1_000)
    )  # Sec. 3.3: a picture re-scaled to a shorter side of 600
    yield dict(
        measure="work",
        share=head / backbone,
        backbone_billions=backbone / 1e9,
        head_billions=head / 1e9,
    )
    for trial in range(20):
        draw = torch.Generator().manual_seed(1_000 * cfg.seed + trial)
        anchor, box = (torch.rand(50, 4, generator=draw).double() * 30 for _ in range(2))
        anchor[:, 2:] += anchor[:, :2] + 8
        box[:, 2:] += box[:, :2] + 8
        yield dict(
            measure="inverse",
            trial=trial,
            gap=float((decode(anchor, encode(anchor, box)) - box).abs().max()),
        )


def check(rows: list[Row]) -> list[Verdict]:
    def measured(net: str, measure: str) -> dict[int, float]:
        return by_seed(rows, measure, net=net)

    nine, covers = measured("nine anchors", "recall_moved"), "% of objects covered by half or more"
    return [
        compare("proposals", nine, measured("at random", "recall_moved"), better="higher", margin=10.0, unit=covers),
        compare("regression", measured("nine anchors", "overlap_moved"), measured("nine anchors", "overlap_unmoved"),
                better="higher", margin=2.0, unit="% overlap of each object with its best proposal"),
        compare("anchors", nine, measured("one anchor", "recall_moved"), better="higher", margin=2.0, unit=covers),
        # Table 5: 10 ms of 198 ms
        exact("nearly-free", [float(row["share"]) for row in rows if "share" in row], 0.0, tolerance=0.05,
              unit="part of the map's multiply-adds that the head takes, VGG-16"),
        exact("inverse", [float(row["gap"]) for row in rows if "gap" in row], 0.0, tolerance=1e-9, unit="pixels"),
    ]  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
