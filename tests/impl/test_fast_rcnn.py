"""Fast R-CNN: pooling and loss against torch's own, work against hooks that count, the SVD."""

import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import impl.fast_rcnn as fast
from impl import rcnn
from impl.fast_rcnn import (  # fmt: skip
    PAPER,
    QUICK,
    SMOKE,
    FastRCNN,
    batch,
    check,
    compressed,
    example,
    losses,
    multiply_adds,
    pool_one_by_one,
    roi_pool,
    run,
    smooth_l1,
    spread,
    suppressed,
    train,
    window,
    windows,
    work,
)
from impl.kit.detection import Scene, iou, scenes

CPU = torch.device("cpu")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 7), st.sampled_from([1.0, 0.5, 0.25]))
def test_roi_pooling_is_that_of_each_region_alone(seed: int, P: int, scale: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, 12, 15, generator=draw)
    low, size = 60 * torch.rand(9, 2, generator=draw) - 5, 40 * torch.rand(9, 2, generator=draw)
    boxes, of = torch.cat([low, low + size], 1), torch.randint(2, (9,), generator=draw)
    ours = roi_pool(x, of, boxes, scale, P)
    assert torch.equal(ours, pool_one_by_one(x, of, boxes, scale, P))
    for y, n, (r, c), (h, w) in zip(
        ours, of, *(t.tolist() for t in window(boxes, scale, 12, 15)), strict=True
    ):
        assert torch.equal(
            y, F.adaptive_max_pool2d(x[n, :, r : r + h, c : c + w], P)
        )  # torch's own


def test_the_gradient_goes_to_the_pixel_that_won() -> None:
    x = torch.randn(1, 1, 6, 6, dtype=torch.double, requires_grad=True)
    boxes, of = torch.tensor([[0.0, 0, 6, 6], [1, 1, 5, 4]]), torch.zeros(2, dtype=torch.long)
    assert torch.autograd.gradcheck(lambda x: roi_pool(x, of, boxes, 1.0, 2), (x,))
    (g,) = torch.autograd.grad(roi_pool(x, of, boxes, 1.0, 1).sum(), x)
    assert g.sum() == 2 and g.flatten()[x.flatten().argmax()] >= 1


@settings(max_examples=30, deadline=None)
@given(st.floats(-5, 5))
def test_smooth_l1_is_that_of_torch(x: float) -> None:
    t = torch.tensor(x, dtype=torch.double)
    assert smooth_l1(t) == pytest.approx(F.smooth_l1_loss(t, torch.zeros_like(t)).item())


def test_the_loss() -> None:
    torch.manual_seed(0)
    logits, t, v, u = (
        torch.randn(6, 4),
        torch.randn(6, 3, 4),
        torch.randn(6, 4),
        torch.tensor([0, 1, 2, 3, 0, 1]),
    )
    L_cls, L_loc = losses(logits, t, u, v)
    assert L_cls.item() == pytest.approx(F.cross_entropy(logits, u).item(), rel=1e-5)
    theirs = [
        F.smooth_l1_loss(t[r, c - 1], v[r], reduction="sum") for r, c in enumerate(u.tolist()) if c
    ]
    assert L_loc.item() == pytest.approx(
        float(sum(theirs)) / 6, rel=1e-5
    )  # the background has no box


@pytest.mark.parametrize("cfg", [QUICK, SMOKE])
def test_multiply_adds_are_those_counted(cfg: fast.Config) -> None:
    counted: list[int] = []

    def count(m: nn.Module, inputs: Any, output: Tensor) -> None:
        if isinstance(m, nn.Conv2d):
            counted.append(output[0].numel() * m.weight[0].numel())
        elif isinstance(m, nn.Linear):
            counted.append(m.weight.numel())

    net = FastRCNN(cfg, 5)
    for m in net.modules():
        m.register_forward_hook(count)
    net(
        torch.zeros(1, 3, 48, 40),
        torch.zeros(1, dtype=torch.long),
        torch.tensor([[0.0, 0, 20, 20]]),
    )
    assert sum(counted) == sum(multiply_adds(cfg, 48, 40, 5))


def test_vgg16() -> None:
    map_, region = multiply_adds(PAPER, 224, 224, 20)
    assert map_ == 15_346_630_656  # 13 convolutions of a picture of 224 pixels
    with torch.device("meta"):
        net = FastRCNN(PAPER, 20)
    linear = sum(m.weight.numel() for m in (net.fc6, net.fc7, net.classes, net.boxes))
    assert region == linear and net.fc6.weight.shape == (4096, 25_088)  # Sec. 4.4
    shared = work(PAPER, 20, 2_000)
    assert shared["separate"] / shared["shared"] > 50


def test_all_singular_values_change_nothing() -> None:
    torch.manual_seed(0)
    net, x = FastRCNN(SMOKE, 3), torch.randn(7, 4, 3, 3)
    for ours, theirs in zip(compressed(net, (8, 8)).heads(x), net.heads(x), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    fewer = compressed(net, (2, 3))
    assert sum(p.numel() for p in fewer.fc6.parameters()) == 2 * (36 + 8) + 8  # Sec. 3.1: t (u + v)


def test_a_mini_batch() -> None:
    data = scenes("composed", 6, 1, 64, 0)
    cfg = replace(QUICK, regions=32, pictures=2)
    examples = [example(scene, windows(cfg), cfg) for scene in data.train]
    torch.manual_seed(0)
    images, of, boxes, u, _ = batch(examples, cfg)
    assert images.shape == (2, 3, 64, 64) and of.tolist() == [0] * 16 + [1] * 16
    assert 2 <= int((u > 0).sum()) <= 8  # Sec. 2.3: a quarter
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_a_mirrored_picture_has_mirrored_boxes() -> None:
    cfg = replace(QUICK, mirror=True, regions=2, pictures=2, part=1.0)
    image = torch.zeros(3, 64, 64)
    image[:, 10:20, 5:25] = 1.0
    only = example(
        Scene(image, torch.tensor([[5.0, 10, 25, 20]]), torch.tensor([0])), torch.zeros(0, 4), cfg
    )
    seen = set()
    for seed in range(6):
        torch.manual_seed(seed)
        images, of, boxes, *_ = batch([only], cfg)
        for n, (x0, y0, x1, y1) in zip(of.tolist(), boxes.int().tolist(), strict=True):
            assert images[n, :, y0:y1, x0:x1].min() == 1 and (x0, x1) in ((5, 25), (39, 59))
            seen.add(x0)
    assert seen == {5, 39}


def test_suppression_is_greedy() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 2, 10, 12], [0, 7, 10, 17], [30, 30, 40, 40]])
    found = suppressed(torch.tensor([[0.9], [0.8], [0.7], [0.1]]), boxes[:, None], PAPER)
    assert (
        found.boxes.tolist() == boxes[[0, 2, 3]].tolist()
    )  # the third overlaps only the second, which is gone
    assert iou(found.boxes, found.boxes).fill_diagonal_(0).max() <= PAPER.suppress


def test_the_stage_of_boxes_changes_nothing_else() -> None:
    cfg = SMOKE
    data = scenes("composed", 3, 1, 64, 0)
    examples = [example(scene, windows(cfg), cfg) for scene in data.train]
    net = FastRCNN(cfg, 5)
    before = {k: w.clone() for k, w in net.state_dict().items()}
    for _ in train(net, examples, cfg, 0.0, 3, stage="boxes"):
        pass
    changed = {k for k, w in net.state_dict().items() if not torch.equal(w, before[k])}
    assert changed == {"boxes.weight", "boxes.bias"}
    before = {k: w.clone() for k, w in net.state_dict().items()}
    for _ in train(net, examples, cfg, 0.0, 3):
        pass
    assert torch.equal(
        net.boxes.weight, before["boxes.weight"]
    )  # without L_loc the boxes learn nothing
    assert spread(examples)[1].shape == (4,)


def test_what_is_repeated_is_the_same() -> None:
    for name in ("targets", "moved", "auxiliary"):
        ours, theirs = (inspect.getsource(getattr(m, name)) for m in (fast, rcnn))
        assert ours.replace(f"  # same as impl/rcnn.py::{name}", "") == theirs


def test_pooling_that_averages_is_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: no maximum is pooled, nothing is shared, the two tasks hinder each other."""
    rows = [e for e in run(SMOKE, CPU) if isinstance(e, dict)]
    assert {v.claim: v.verdict for v in check(rows)}["roi-pooling"] == "reproduced"
    pool = fast.roi_pool
    monkeypatch.setattr(fast, "roi_pool", lambda *args: -pool(-args[0], *args[1:]))  # the minimum
    value, gradient = fast.pooling_gaps(0)
    broken: list[dict[str, Any]] = [
        dict(measure="RoI pooling", seed=0, gap=value, gradient_gap=gradient)
    ]
    for seed in range(5):
        broken += [
            dict(work="this net", kind=kind, seed=seed, multiply_adds=1e9)
            for kind in ("shared", "separate")
        ]
        for net, mAP in {"classification": 0.5, "multi-task": 0.45, "truncated SVD": 0.2}.items():
            broken.append(dict(net=net, seed=seed, mAP=mAP + 0.001 * seed, mAP_windows=mAP))
    assert {v.verdict for v in check(broken)} == {"not reproduced"}
