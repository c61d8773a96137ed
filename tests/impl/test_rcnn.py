"""R-CNN: the net's size, boxes moved, suppression, HOG, warping, scikit-learn's SVM."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import impl.rcnn as rcnn
from impl.kit.detection import iou
from impl.rcnn import (  # fmt: skip
    PAPER,
    SMOKE,
    Net,
    check,
    detect,
    gather,
    hog,
    moved,
    newton,
    run,
    segments,
    selective_search,
    suppress,
    svms,
    targets,
    warp,
)

CPU = torch.device("cpu")


def boxes(seed: int, n: int, side: float = 40.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    corner, size = (
        side * torch.rand(n, 2, generator=draw),
        2 + side / 2 * torch.rand(n, 2, generator=draw),
    )
    return torch.cat([corner, corner + size], 1)


def test_the_net_of_krizhevsky_et_al() -> None:
    with torch.device("meta"):
        net = Net(PAPER, 1000)
        pool5, fc6, fc7 = net.layers(torch.empty(2, 3, 227, 227))
    assert pool5.shape == (2, 9216) and fc6.shape == fc7.shape == (2, 4096)  # Sec. 3.1: 6 x 6 x 256
    assert (
        sum(p.numel() for p in net.fc7.parameters()) == 16_781_312
    )  # Sec. 3.2: about 16.8 million
    assert sum(p.numel() for p in net.parameters()) == 62_378_344  # without the two groups


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_a_box_moved_by_its_targets_is_the_object(seed: int) -> None:
    P, G = boxes(seed, 8).double(), boxes(seed + 1, 8).double()
    assert torch.allclose(moved(P, targets(P, G)), G, atol=1e-9)
    assert torch.allclose(targets(P, P), torch.zeros(8, 4, dtype=torch.double), atol=1e-12)
    assert torch.allclose(
        targets(3 * P + 5, 3 * G + 5), targets(P, G), atol=1e-9
    )  # neither place nor scale matters


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 0.9))
def test_suppression(seed: int, threshold: float) -> None:
    """The surest is kept, none that overlaps it too much; suppressing twice changes nothing."""
    N, cfg = 12, replace(PAPER, suppress=threshold)
    overlap = iou(boxes(seed, N), boxes(seed, N))
    scores = torch.rand(3, N, generator=torch.Generator().manual_seed(seed))
    kept = suppress(scores, overlap.expand(3, N, N), cfg)
    again = suppress(torch.where(kept, scores, -torch.inf), overlap.expand(3, N, N), cfg)
    assert torch.equal(kept, again)
    for row, mine in zip(scores, kept, strict=True):
        assert mine[row.argmax()]
        assert (overlap[mine][:, mine].fill_diagonal_(0) <= threshold).all()
        for i in (~mine).nonzero()[:, 0]:
            assert (mine & (row > row[i]) & (overlap[i] > threshold)).any()


def test_classes_are_suppressed_apart() -> None:
    same = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10]])
    found = detect(torch.tensor([[2.0, 0.5], [1.0, 3.0]]), same, PAPER)
    assert found.labels.tolist() == [0, 1] and found.scores.tolist() == [2.0, 3.0]
    apart = torch.stack([same, same + 20], 1)  # each class has its own boxes
    assert torch.equal(
        detect(torch.tensor([[2.0, 0.5], [1.0, 3.0]]), apart, PAPER).boxes, apart[[0, 1], [0, 1]]
    )


def test_the_svm_is_that_of_scikit_learn() -> None:
    from sklearn.svm import LinearSVC

    torch.manual_seed(0)
    x = torch.cat([torch.randn(200, 6), torch.ones(200, 1)], 1)
    sign = torch.where(x @ torch.randn(7) + torch.randn(200) > 0.5, 1.0, -1.0)
    theirs = LinearSVC(
        C=0.3, loss="squared_hinge", fit_intercept=False, tol=1e-8, max_iter=100_000
    ).fit(x, sign)
    ours = newton(x, sign, 0.3, torch.zeros(7))
    assert np.allclose(ours, theirs.coef_[0], atol=1e-3)
    left_out = torch.cat([sign, torch.zeros(5)])  # examples of neither side change nothing
    assert torch.allclose(
        newton(torch.cat([x, torch.randn(5, 7)]), left_out, 0.3, torch.zeros(7)), ours, atol=1e-4
    )
    assert svms(x, torch.stack([sign, -sign], 1), 0.3).shape == (7, 2)


def test_warping_reads_the_box() -> None:
    cfg = replace(PAPER, warp=8, context=0)
    image = torch.rand(1, 3, 24, 24)
    whole = torch.tensor([[4.0, 8, 12, 16], [0, 0, 24, 24]])
    seen = warp(image, whole, cfg) + 0.5
    assert torch.allclose(
        seen[0], image[0, :, 8:16, 4:12], atol=1e-5
    )  # as large as the square: nothing changes
    assert torch.allclose(warp(image.expand(2, -1, -1, -1), whole, cfg) + 0.5, seen, atol=1e-5)
    around = warp(image, whole[:1], replace(cfg, warp=12, context=2)) + 0.5
    assert torch.allclose(around[0], image[0, :, 6:18, 2:14], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_hog_ignores_the_negative_and_strength(seed: int) -> None:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(hog(x), hog(-x), atol=1e-4)
    assert torch.allclose(hog(x), hog(5 * x), atol=0.1)
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)  # one orientation only
    assert (hog(ramp).unflatten(1, (9, -1)).sum(2) > 1e-6).sum() == 1


def test_a_square_on_a_plain_ground_is_proposed() -> None:
    image = np.full((32, 32, 3), 0.2, np.float32)
    image[6:20, 9:25] = (0.9, 0.1, 0.1)
    assert len(np.unique(segments(image, 50.0))) == 2
    assert [9, 6, 25, 20] in selective_search(image, (50.0,), 100).tolist()


def test_what_regions_are_for() -> None:
    class_of = torch.tensor([1])
    scene = rcnn.Scene(torch.zeros(3, 20, 20), torch.tensor([[0.0, 0, 10, 10]]), class_of)
    proposed = torch.tensor(
        [[0.0, 0, 10, 8], [0, 0, 10, 4], [15, 15, 20, 20]]
    )  # overlaps of 0.8, 0.4 and 0
    regions = gather([scene], [proposed], 2, PAPER, CPU)
    assert regions.overlap.tolist() == pytest.approx([1.0, 0.8, 0.4, 0.0])
    assert regions.sign[:, 1].tolist() == [
        1,
        0,
        0,
        -1,
    ]  # Sec. 2.3: only the object itself; nothing above 0.3
    assert regions.sign[:, 0].tolist() == [-1, -1, -1, -1]
    cfg = replace(SMOKE, context=0)
    x, P, G, label = rcnn.near(Net(cfg, 2), regions, cfg, 1)
    assert (
        torch.equal(P, proposed[:1]) and torch.equal(G, scene.boxes) and label.tolist() == [1]
    )  # App. C: above 0.6
    assert len(x) == 1 <= len(rcnn.near(Net(cfg, 2), regions, cfg, 9)[0])


def test_features_that_see_nothing_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: no learning in fine-tuning, a blind CNN, boxes moved at random."""
    rows: list[dict[str, Any]] = [e for e in run(SMOKE, CPU) if isinstance(e, dict)]
    honest = [row for row in rows if "mAP" not in row]
    for seed in range(5):
        for name, mAP in {
            "HOG": 0.5,
            "pre-trained": 0.4,
            "fine-tuned": 0.4,
            "boxes regressed": 0.3,
        }.items():
            honest.append(dict(detector=name, seed=seed, mAP=mAP + 0.001 * seed, data=""))
    verdicts = {v.claim: v.verdict for v in check(honest)}
    assert {verdicts[c] for c in ("features-beat-hog", "fine-tuning", "box-regression")} == {
        "not reproduced"
    }
    assert verdicts["inverse"] == "reproduced"

    def wrong(P: Tensor, d: Tensor) -> Tensor:  # sizes added, not multiplied
        return F.pad(P[..., :2], (0, 2)) + d

    monkeypatch.setattr(rcnn, "moved", wrong)
    gaps: list[dict[str, Any]] = [dict(measure="inverse", seed=0, gap=rcnn.inverse_gap(0))]
    assert {v.claim: v.verdict for v in check(gaps)}["inverse"] == "not reproduced"
