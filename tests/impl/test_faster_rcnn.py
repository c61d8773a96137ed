"""Anchors, their targets there and back, suppression, which count, the published net's work."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from impl.faster_rcnn import (
    PAPER,
    RPN,
    SMOKE,
    anchors,
    assign,
    check,
    decode,
    encode,
    multiply_adds,
    suppressed,
)
from impl.kit import Row
from impl.kit.detection import iou


def some_boxes(seed: int, n: int) -> torch.Tensor:
    boxes = torch.rand(n, 4, generator=torch.Generator().manual_seed(seed)).double() * 40
    boxes[:, 2:] += boxes[:, :2] + 5
    return boxes


def test_anchors_have_their_sizes_and_shapes_and_lie_around_the_cells() -> None:
    kinds = [(0.25, 1.0), (0.5, 2.0)]
    boxes = anchors(3, 4, 16, SMOKE, kinds)
    assert boxes.shape == (3 * 4 * 2, 4)
    size = boxes[:, 2:] - boxes[:, :2]
    assert torch.allclose(size.prod(1).sqrt()[:2] / SMOKE.side, torch.tensor([0.25, 0.5]))
    assert float(size[1, 1] / size[1, 0]) == pytest.approx(2.0)
    assert torch.allclose((boxes[:, :2] + boxes[:, 2:])[2] / 2, torch.tensor([24.0, 8.0])), (
        "the second cell, x before y"
    )


@given(st.integers(0, 9_999))
def test_moving_by_the_targets_gives_the_object(seed: int) -> None:
    a, b = some_boxes(seed, 6), some_boxes(seed + 1, 6)
    assert torch.allclose(decode(a, encode(a, b)), b, atol=1e-9)


@given(st.integers(0, 9_999))
def test_every_object_has_an_anchor_and_none_counts_as_both(seed: int) -> None:
    anchor, boxes = (
        anchors(6, 6, 8, SMOKE, [(0.2, 1.0), (0.4, 1.0)]).double(),
        some_boxes(seed, 3).clamp(0, 48),
    )
    label, nearest = assign(anchor, boxes, PAPER)
    overlap = iou(anchor, boxes)
    assert (label == 1).any() and set(label.tolist()) <= {-1, 0, 1}
    assert (overlap.max(1).values[label == 0] < PAPER.negative).all()
    assert (overlap.argmax(0) < len(anchor)).all()
    for column in range(3):
        if overlap[:, column].max() > 0:
            assert label[overlap[:, column].argmax()] == 1
    assert torch.equal(nearest, overlap.argmax(1))


@given(st.integers(0, 9_999))
def test_what_is_kept_overlaps_little_and_what_is_not_overlaps_much(seed: int) -> None:
    boxes, scores = (
        some_boxes(seed, 20),
        torch.rand(20, generator=torch.Generator().manual_seed(seed)),
    )
    kept = suppressed(boxes, scores, PAPER, most=20)
    apart = iou(boxes[kept], boxes[kept]) - torch.eye(len(kept)).double()
    assert (apart <= PAPER.suppress).all() and kept[0] == scores.argmax()
    dropped = [i for i in range(20) if i not in kept.tolist()]
    assert all(iou(boxes[[i]], boxes[kept]).max() > PAPER.suppress for i in dropped)


def test_the_work_of_vgg_16_at_its_own_size() -> None:
    backbone, _ = multiply_adds((224, 224))
    assert backbone / 1e9 == pytest.approx(
        15.3466, abs=1e-3
    )  # its thirteen convolutions, counted elsewhere


def test_outputs_are_in_the_order_of_the_anchors() -> None:
    net = RPN(SMOKE, 3)
    with torch.no_grad():
        for branch in (net.objectness, net.delta):
            branch.weight.zero_()
        net.objectness.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        net.delta.bias.copy_(torch.arange(12.0))
    logits, t = net(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 16 * 16 * 3) and logits[0, :4].tolist() == [1, 2, 3, 1]
    assert t[0, 1].tolist() == [4, 5, 6, 7]


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


def test_proposals_no_better_than_chance_are_not_reproduced() -> None:
    nets = ("nine anchors", "one anchor", "at random")
    measured = dict(recall_moved=30.0, overlap_moved=40.0, overlap_unmoved=40.0)
    rows: list[Row] = [dict(net=net, seed=s) | measured for net in nets for s in range(5)]
    found = verdicts(rows)
    assert [found[name] for name in ("proposals", "regression", "anchors")] == [
        "not reproduced"
    ] * 3
    assert found["inverse"] == "inconclusive"
    assert verdicts([dict(measure="work", share=0.06)])["nearly-free"] == "not reproduced"
