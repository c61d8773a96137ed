"""Mask R-CNN: reading a map held against its definition, masks there and back, ideas taken out."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from impl.kit.backbone import strided_backbone
from impl.kit.boxes import iou
from impl.kit.broken import take_out
from impl.kit.composed import composed
from impl.kit.mask_regions import crop_masks, draw_regions, label_pixels, paste_masks
from impl.mask_rcnn import (  # fmt: skip
    BROKEN,
    PAPER,
    SMOKE,
    MaskRCNN,
    bilinear,
    check,
    loss,
    read_exactly,
    regions_of,
    roi_align,
    roi_pool,
    rounded,
    trial,
)

CPU = torch.device("cpu")


def value_at(x: Tensor, row: float, column: float) -> float:
    """One value of a map [H, W] between the centres of its cells, from the definition."""
    H, W = x.shape
    r, c = min(max(row - 0.5, 0.0), H - 1.0), min(max(column - 0.5, 0.0), W - 1.0)
    total = 0.0
    for i in range(H):
        for j in range(W):
            total += max(0.0, 1 - abs(r - i)) * max(0.0, 1 - abs(c - j)) * float(x[i, j])
    return total


@settings(max_examples=50, deadline=None)
@given(st.floats(-1, 9), st.integers(1, 8))
def test_the_weights_of_cells_add_up_to_one(place: float, n: int) -> None:
    weights = bilinear(torch.tensor([place]).double(), n)
    assert weights.sum() == pytest.approx(1.0) and (weights > 0).sum() <= 2


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 9_999))
def test_roi_align_is_the_mean_of_four_places_in_each_cell(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 1, 6, 7, generator=draw).double()
    low = 40 * torch.rand(2, 1, 2, generator=draw).double()
    boxes = torch.cat([low, low + 5 + 20 * torch.rand(2, 1, 2, generator=draw).double()], 2)
    ours = roi_align(x, boxes, 8.0, 2)
    for b in range(2):
        x0, y0, x1, y1 = (boxes[b, 0] / 8).tolist()
        rows = [y0 + (y1 - y0) * (i + 0.5) / 4 for i in range(4)]
        columns = [x0 + (x1 - x0) * (j + 0.5) / 4 for j in range(4)]
        values = torch.tensor([[value_at(x[b, 0], r, c) for c in columns] for r in rows])
        mean = F.avg_pool2d(values[None], 2)[0].double()
        assert torch.allclose(ours[b, 0, 0], mean, atol=1e-6)


def test_roi_align_reads_as_torchs_own_operator_does() -> None:
    x, boxes = torch.randn(1, 3, 9, 9), torch.tensor([[[3.0, 5.0, 60.0, 71.0]]])
    steps = (torch.arange(8) + 0.5) / 8
    column, row = (3.0 + 57.0 * steps) / 8, (5.0 + 66.0 * steps) / 8
    grid = torch.stack(torch.meshgrid(2 * column / 9 - 1, 2 * row / 9 - 1, indexing="xy"), -1)
    read = F.grid_sample(x, grid[None], padding_mode="border", align_corners=False)
    assert torch.allclose(roi_align(x, boxes, 8, 4)[0], F.avg_pool2d(read, 2), atol=1e-5)


def test_roi_pool_of_whole_cells_is_torchs_pooling() -> None:
    x = torch.randn(1, 2, 12, 12)
    out = roi_pool(x, torch.tensor([[[16.0, 8.0, 80.0, 72.0]]]), 8, 4)
    assert torch.allclose(out[0, 0], F.max_pool2d(x[0, :, 1:9, 2:10], 2))
    outside = torch.tensor([[[90.0, 90.0, 130.0, 99.0], [-9.0, -9.0, -1.0, 3.0]]])
    assert roi_pool(x, outside, 8, 2).isfinite().all()


@given(st.floats(0, 100), st.floats(0, 100), st.floats(9, 60), st.floats(9, 60))
def test_rounding_moves_an_edge_by_half_a_cell_at_most(
    x: float, y: float, w: float, h: float
) -> None:
    box = torch.tensor([[x, y, x + w, y + h]]).double()
    assert float((rounded(box, 8.0) - box / 8).abs().max()) <= 0.5 + 1e-9


def test_a_mask_survives_being_cut_out_and_pasted() -> None:
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[0, 10:30, 5:35] = True
    box = torch.tensor([[2.0, 6.0, 38.0, 34.0]])
    again = paste_masks(crop_masks(mask, box, 28).float(), box, 40)
    assert int((again ^ mask).sum()) < 0.12 * int(mask.sum())
    whole = torch.tensor([[0.0, 0.0, 40.0, 40.0]])
    assert torch.equal(crop_masks(mask, whole, 40), mask)
    assert torch.equal(paste_masks(mask.float(), whole, 40), mask)


def test_regions_are_objects_where_they_overlap_them() -> None:
    for scene in composed(3, 0, 64).train:
        regions = draw_regions(scene, 5, 3, 3, 0.3, torch.Generator().manual_seed(0))
        near = iou(regions.boxes, regions.objects).diagonal()
        assert ((regions.labels < 5) == (near >= 0.5)).all()
        shown = label_pixels(scene, 5)
        assert scene.masks is not None
        assert (shown[scene.masks.any(0)] < 5).all() and (shown == 5).any()


def test_a_picture_without_objects_is_all_background() -> None:
    scene = composed(1, 0, 64).train[0]
    assert scene.masks is not None
    empty = replace(scene, boxes=scene.boxes[:0], labels=scene.labels[:0], masks=scene.masks[:0])
    net = MaskRCNN(SMOKE, strided_backbone(SMOKE.channels), 5, "RoIAlign")
    regions = regions_of([empty], 5, SMOKE, torch.Generator().manual_seed(0))
    assert (regions.labels == 5).all() and (label_pixels(empty, 5) == 5).all()
    assert loss(net, empty.image[None], regions).isfinite()


def test_only_the_mask_of_the_right_class_counts() -> None:
    scene = composed(1, 0, 64).train[0]
    regions = regions_of([scene], 5, SMOKE, torch.Generator().manual_seed(0))
    for arm, others in (("RoIAlign", False), ("softmax", True)):
        torch.manual_seed(0)
        net = MaskRCNN(SMOKE, strided_backbone(SMOKE.channels), 5, arm)
        loss(net, scene.image[None], regions).backward()
        gradient = net.mask[-1].bias.grad
        absent = [c for c in range(5) if c not in regions.labels.flatten().tolist()]
        assert isinstance(gradient, Tensor) and absent
        assert (gradient[absent].abs() > 0).any().item() is others


def test_the_heads_of_fig_4() -> None:
    cfg = replace(PAPER, channels=(4, 4, 4, 8), H=16)
    net = MaskRCNN(cfg, strided_backbone(cfg.channels), 80, "RoIAlign")
    assert net.mask(torch.zeros(3, 8, 14, 14)).shape == (3, 80, 28, 28)
    assert net.backbone.stride == 16
    assert [layer.out_features for layer in (net.label, net.delta)] == [81, 320]


def verdicts(claim: str | None) -> dict[str, str]:
    with take_out(BROKEN, claim, SMOKE) as cfg:
        rows = [read_exactly(cfg.P, seed) for seed in range(3)]
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


def test_what_is_exact_falls_without_its_idea() -> None:
    assert verdicts(None)["align-ramp"] == verdicts(None)["pool-rounds"] == "holds"
    for claim in ("align-ramp", "pool-rounds"):
        assert verdicts(claim)[claim] == "fails"


def last_row(arm: str, claim: str | None) -> dict[str, object]:
    torch.manual_seed(0)
    with take_out(BROKEN, claim, replace(SMOKE, updates=4)) as cfg:
        *_, row = trial(cfg, CPU, arm=arm, seed=0, lr=0.01)
    assert isinstance(row, dict)
    return dict(row)


def test_where_all_classes_compete_there_is_no_difference() -> None:
    assert last_row("RoIAlign", "decoupled") == last_row("softmax", None)
    assert last_row("RoIAlign", None) != last_row("softmax", None)


@pytest.mark.parametrize("claim", ["align-boxes", "align-masks"])
def test_without_its_idea_roi_align_rounds(claim: str) -> None:
    x, box = torch.randn(1, 2, 8, 8), torch.tensor([[[5.0, 6.0, 33.0, 45.0]]])
    near = torch.tensor([[[5.5, 5.0, 34.0, 44.5]]])
    with take_out(BROKEN, claim, SMOKE):
        net = MaskRCNN(SMOKE, strided_backbone(SMOKE.channels), 5, "RoIAlign")
    assert torch.equal(net.roi(x, box, 8.0, 3), net.roi(x, near, 8.0, 3))
    assert not torch.equal(roi_align(x, box, 8.0, 3), roi_align(x, near, 8.0, 3))
