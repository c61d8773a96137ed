"""Faster R-CNN: anchors, their labels and targets, the loss, which proposals stay, the work."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import impl.faster_rcnn as faster
from impl.faster_rcnn import (
    BROKEN,
    CLAIMS,
    NINE,
    ONE,
    PAPER,
    RPN,
    SEARCH,
    SMOKE,
    all_kinds,
    anchors,
    assign,
    best_kind,
    check,
    encode,
    inverse_gap,
    loss,
    propose,
    proposing_share,
    sample,
    trial,
)
from impl.kit import Row
from impl.kit.backbone import multiply_adds, pooled_backbone
from impl.kit.boxes import decode, iou
from impl.kit.broken import take_out
from impl.kit.descent import minimize
from impl.kit.proposals import best_overlaps, recall
from impl.kit.scene import Scene, without_padding

CPU = torch.device("cpu")


def random_boxes(seed: int, n: int) -> torch.Tensor:
    boxes = torch.rand(n, 4, generator=torch.Generator().manual_seed(seed)) * 40
    boxes[:, 2:] = (boxes[:, :2] + boxes[:, 2:] + 5).clamp(max=64)
    return boxes


def test_anchors_have_their_sizes_and_shapes_and_lie_about_the_cells() -> None:
    cfg = replace(SMOKE, side=12)  # cells of 4 x 4 pixels
    boxes = anchors([(0.25, 1.0), (0.5, 2.0)], cfg)
    assert boxes.shape == (3 * 3 * 2, 4)
    size = boxes[:, 2:] - boxes[:, :2]
    assert torch.allclose(size.prod(1).sqrt()[:2] / 12, torch.tensor([0.25, 0.5]))
    assert float(size[1, 1] / size[1, 0]) == pytest.approx(2.0)
    second_cell = (boxes[:, :2] + boxes[:, 2:])[2] / 2
    assert torch.allclose(second_cell, torch.tensor([6.0, 2.0])), "x before y"


@given(st.integers(0, 9_999))
def test_moving_by_the_targets_gives_the_object(seed: int) -> None:
    a, b = random_boxes(seed, 6).double(), random_boxes(seed + 1, 6).double()
    assert torch.allclose(decode(a, encode(a, b)), b, atol=1e-9)


@settings(deadline=None)
@given(st.integers(0, 9_999))
def test_every_object_has_an_anchor_and_none_that_crosses_the_border_is_asked(seed: int) -> None:
    anchor, boxes = anchors([(0.2, 1.0), (0.4, 1.0)], SMOKE), random_boxes(seed, 3)
    label, nearest = assign(anchor, boxes, PAPER_OVERLAPS)
    inside = (anchor >= 0).all(1) & (anchor <= SMOKE.side).all(1)
    overlap = iou(anchor, boxes) * inside[:, None]
    assert set(label.tolist()) <= {-1, 0, 1}
    assert (label[~inside] == -1).all()
    assert (overlap.amax(1)[label == 0] < PAPER.negative).all()
    assert (label[overlap.amax(1) >= PAPER.positive] == 1).all()
    assert (label[overlap.argmax(0)[overlap.amax(0) > 0]] == 1).all()
    asked = label == 1
    assert torch.equal(nearest[asked], overlap.argmax(1)[asked])


PAPER_OVERLAPS = replace(PAPER, side=SMOKE.side)


def test_a_picture_without_objects_has_only_negative_anchors() -> None:
    label, _ = assign(anchors([(0.2, 1.0)], SMOKE), torch.zeros(0, 4), SMOKE)
    assert set(label.tolist()) == {-1, 0}


def test_at_most_half_of_the_sample_are_objects_anchors() -> None:
    draw, cfg = torch.Generator().manual_seed(0), replace(SMOKE, sampled=10)
    many = torch.tensor([1] * 50 + [0] * 50 + [-1] * 50)
    few = torch.tensor([1] * 2 + [0] * 50 + [-1] * 50)
    assert many[sample(many, cfg, draw)].tolist() == [1] * 5 + [0] * 5
    assert few[sample(few, cfg, draw)].tolist() == [1] * 2 + [0] * 8


def test_the_loss_is_torchs() -> None:
    logits, p_star = torch.randn(8), torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0])
    t, t_star = torch.randn(2, 4), torch.randn(2, 4)
    smooth = sum(F.smooth_l1_loss(a, b) for a, b in zip(t.flatten(), t_star.flatten(), strict=True))
    expected = F.binary_cross_entropy(logits.sigmoid(), p_star) + 0.5 * smooth
    assert torch.allclose(loss(logits, p_star, t, t_star, 0.5), expected)


def test_kinds_are_quantiles_of_the_objects_or_the_papers() -> None:
    sides = torch.arange(1.0, 8.0)
    boxes = torch.stack([0 * sides, 0 * sides, sides, sides], 1) * 8  # squares of 8 to 56 pixels
    kinds = all_kinds(boxes, SMOKE)
    assert len(kinds) == 9 and {shape for _, shape in kinds} == {1.0}
    assert sorted({round(64 * size) for size, _ in kinds}) == [16, 32, 48]
    assert (0.256, 2.0) in all_kinds(boxes, PAPER)


def test_the_single_kind_is_the_one_that_covers_most() -> None:
    boxes = anchors([(0.3, 2.0)], SMOKE)[100:104]
    cfg = replace(SMOKE, sizes=(0.1, 0.3, 0.6), shapes=(0.5, 1.0, 2.0))
    assert best_kind(boxes, cfg) == (0.3, 2.0)


def untrained(k: int) -> RPN:
    torch.manual_seed(0)
    return RPN(SMOKE.channels, SMOKE.layers, SMOKE.width, k)


def test_outputs_are_in_the_order_of_the_anchors() -> None:
    net = untrained(3)
    with torch.no_grad():
        for branch in (net.cls, net.reg):
            branch.weight.zero_()
        assert net.cls.bias is not None and net.reg.bias is not None
        net.cls.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        net.reg.bias.copy_(torch.arange(12.0))
    logits, t = net(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, len(anchors([(0.1, 1.0)] * 3, SMOKE)))
    assert logits[0, :4].tolist() == [1, 2, 3, 1]
    assert t[0, 1].tolist() == [4, 5, 6, 7]


def test_proposals_lie_in_the_picture_and_overlap_little() -> None:
    anchor = anchors([(0.2, 1.0), (0.4, 1.0)], SMOKE)
    scene = Scene(torch.rand(3, 64, 64), random_boxes(0, 2), torch.zeros(2, dtype=torch.long))
    for boxes in propose(untrained(2), anchor, scene, SMOKE):
        assert 0 < len(boxes) <= SMOKE.proposals
        assert (boxes >= 0).all() and (boxes <= 64).all()
        apart = iou(boxes, boxes).fill_diagonal_(0)
        assert (apart <= SMOKE.nms_threshold).all()


def test_the_work_of_vgg_16_at_its_own_size() -> None:
    with torch.device("meta"):
        net = pooled_backbone(PAPER.channels, PAPER.layers)
        work = multiply_adds(net, torch.zeros(1, 3, 224, 224))
    assert net.stride == 16 and len(work) == 13
    assert sum(work.values()) == 15_346_630_656  # as counted elsewhere


def test_proposing_takes_little_unless_the_map_is_its_own() -> None:
    assert 0.02 < proposing_share() < 0.05
    with take_out(BROKEN, "nearly-free", SMOKE):
        assert proposing_share() == 1


def test_targets_that_are_not_undone_leave_a_gap() -> None:
    anchor, boxes = anchors([(0.3, 1.0)], SMOKE), random_boxes(0, 5)
    assert inverse_gap(anchor, boxes) < 1e-4
    with take_out(BROKEN, "inverse", SMOKE):
        assert inverse_gap(anchor, boxes) > 1


def test_recall_counts_objects_that_are_covered_by_half() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    scene = Scene(torch.zeros(3, 32, 32), boxes, torch.tensor([0, 0]))
    found = torch.tensor([[20.0, 20, 30, 24], [0, 0, 10, 6]])
    assert best_overlaps([found], [scene], 1).tolist() == pytest.approx([0, 0.4])
    assert best_overlaps([found], [scene], 2).tolist() == pytest.approx([0.6, 0.4])
    assert best_overlaps([found[:0]], [scene], 2).tolist() == [0, 0]
    assert recall(best_overlaps([found], [scene], 2)) == 50


def test_padding_is_cut_off() -> None:
    image = torch.zeros(3, 8, 8)
    image[:, :5, :7] = torch.rand(3, 5, 7) + 0.1
    assert without_padding(image).shape == (3, 5, 7)


def test_the_rate_ends_at_a_tenth() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    at = [float(weight.detach())]
    for _ in minimize(lambda: weight.sum(), [weight], "Adam", 0.1, 8):
        at.append(float(weight.detach()))
    moves = [a - b for a, b in pairwise(at)]
    assert moves == pytest.approx([0.1] * 6 + [0.01] * 2, rel=1e-3)


def last(claim: str | None, arm: str, **point: Any) -> Row:
    torch.manual_seed(0)
    cfg = replace(SMOKE, train=16, test=16, data="plain", updates=60, channels=(8, 8, 8), width=8)
    with take_out(BROKEN, claim, cfg) as changed:
        *_, row = trial(changed, CPU, arm=arm, seed=0, **point)
    assert isinstance(row, dict)
    return row


def test_without_its_branches_a_net_proposes_and_moves_nothing() -> None:
    learned, blind = (last(claim, NINE, lr=0.01) for claim in (None, "proposals"))
    assert float(learned["overlap"]) > float(blind["overlap"]) + 5
    still = last("regression", NINE, lr=0.01)
    assert still["overlap"] == still["unmoved_overlap"]


def test_of_one_size_and_shape_nine_kinds_are_one() -> None:
    assert last("anchors", NINE, lr=0.01) == last("anchors", ONE, lr=0.01)


def test_a_net_no_better_than_its_rivals_reproduces_nothing() -> None:
    rows: list[Row] = [
        dict(arm=arm, seed=seed, judged=True, recall=30.0, overlap=40.0, unmoved_overlap=40.0)
        for arm in (NINE, ONE, SEARCH)
        for seed in range(5)
    ]
    verdicts = {verdict.claim: verdict.verdict for verdict in check(rows)}
    assert list(verdicts) == [claim.claim for claim in CLAIMS]
    for claim in ("proposals", "regression", "anchors"):
        assert verdicts[claim] == "not reproduced", claim
    share: list[Row] = [dict(proposing_share=0.06)]
    assert {v.claim: v.verdict for v in check(share)}["nearly-free"] == "fails"


def test_the_pictures_of_a_seed_are_the_same_for_all_arms() -> None:
    names = [last(None, NINE, lr=0.01), last(None, SEARCH, scale=100.0)]
    assert len({str(row["data"]) for row in names}) == 1
    assert faster.NETS.select == faster.SEARCHES.select
