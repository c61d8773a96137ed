"""RoIAlign against independent computations, with rounding too; boxes and masks there and back."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import impl.mask_rcnn as mask_rcnn
from impl.kit import Row
from impl.kit.detection import composed
from impl.mask_rcnn import (
    KINDS,
    SMOKE,
    bilinear,
    check,
    exactly,
    mask_targets,
    moved,
    pasted,
    points,
    regions,
    roi_align,
    roi_pool,
    rounded,
    targets,
)


def slowly(x: torch.Tensor, row: float, column: float) -> float:
    """One value of a map [H, W] between the centres of its cells, from the definition."""
    H, W = x.shape
    r, c = min(max(row - 0.5, 0.0), H - 1.0), min(max(column - 0.5, 0.0), W - 1.0)
    total = 0.0
    for i in range(H):
        for j in range(W):
            total += max(0.0, 1 - abs(r - i)) * max(0.0, 1 - abs(c - j)) * float(x[i, j])
    return total


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9_999), st.floats(-1, 8), st.floats(-1, 8))
def test_bilinear_is_the_definition(seed: int, row: float, column: float) -> None:
    x = torch.randn(2, 1, 6, 7, generator=torch.Generator().manual_seed(seed)).double()
    at = torch.tensor([[row]], dtype=torch.float64), torch.tensor([[column]], dtype=torch.float64)
    ours = float(bilinear(x, torch.tensor([1]), *at))
    assert ours == pytest.approx(slowly(x[1, 0], row, column), abs=1e-9)


def test_roi_align_is_the_mean_of_four_places_in_each_cell() -> None:
    x = torch.randn(2, 3, 9, 9).double()
    boxes, of = (
        torch.tensor([[3.0, 5.0, 60.0, 71.0], [10.0, 0.0, 14.0, 44.0]]).double(),
        torch.tensor([1, 0]),
    )
    values = bilinear(x, of, *points(boxes / 8, 5))  # [R, 10, 10, F]
    slow = F.avg_pool2d(values.permute(0, 3, 1, 2), 2)
    assert torch.allclose(roi_align(x, of, boxes, 8, 5), slow, atol=1e-9)


def test_roi_pool_of_whole_cells_is_torchs_pooling() -> None:
    x = torch.randn(1, 2, 12, 12)
    out = roi_pool(x, torch.tensor([0]), torch.tensor([[16.0, 8.0, 80.0, 72.0]]), 8, 4)
    assert torch.allclose(out[0], F.avg_pool2d(x[:, :, 1:9, 2:10], 2)[0])


@given(st.floats(0, 100), st.floats(0, 100), st.floats(9, 60), st.floats(9, 60))
def test_rounding_moves_an_edge_by_half_a_cell_at_most(
    x: float, y: float, w: float, h: float
) -> None:
    box = torch.tensor([[x, y, x + w, y + h]]).double()
    assert float((rounded(box, 8.0) - box / 8).abs().max()) <= 0.5 + 1e-9


@given(st.integers(0, 9_999))
def test_moving_a_box_by_its_targets_gives_the_object(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    a, b = (torch.rand(4, 4, generator=draw).double() * 20 for _ in range(2))
    a[:, 2:] += a[:, :2] + 8
    b[:, 2:] += b[:, :2] + 8
    assert torch.allclose(moved(a, targets(a, b)), b, atol=1e-6)


def test_a_mask_survives_being_cut_out_and_pasted() -> None:
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[0, 10:30, 5:35] = True
    box = torch.tensor([[2.0, 6.0, 38.0, 34.0]])
    again = pasted(mask_targets(mask, box, 28) - 0.5, box, 40)
    assert int((again ^ mask).sum()) < 0.12 * int(mask.sum())


def test_regions_are_objects_where_they_overlap_them() -> None:
    scenes = composed(3, 0, 64).train
    batch = regions(scenes, 6, 5, SMOKE, torch.Generator().manual_seed(0))
    assert batch.boxes.shape == (18, 4) and batch.of.tolist() == sorted(batch.of.tolist())
    near = mask_rcnn.iou(batch.boxes, batch.objects).diagonal()
    assert ((batch.label < 5) == (near >= 0.5)).all()


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


def test_roi_align_that_rounds_reads_no_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        verdicts([row for row in exactly(SMOKE) if isinstance(row, dict)])["align-ramp"]
        == "reproduced"
    )

    def broken(
        x: torch.Tensor, of: torch.Tensor, boxes: torch.Tensor, stride: float, P: int
    ) -> torch.Tensor:
        return roi_align(x, of, stride * rounded(boxes, stride), stride, P)

    monkeypatch.setattr(mask_rcnn, "roi_align", broken)
    assert (
        verdicts([row for row in exactly(SMOKE) if isinstance(row, dict)])["align-ramp"]
        == "not reproduced"
    )


def test_kinds_that_are_equally_good_reproduce_nothing() -> None:
    rows: list[Row] = [
        dict(net=kind, seed=s, box_IoU=70.0 + s, mask_IoU=30.0 + s)
        for kind in KINDS
        for s in range(5)
    ]
    found = verdicts(rows)
    assert {found[name] for name in ("align-boxes", "align-masks", "decoupled")} == {
        "not reproduced"
    }
