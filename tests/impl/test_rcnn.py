"""R-CNN: the net's size, boxes moved, HOG, warping, scikit-learn's SVM, ideas taken out."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from impl import rcnn
from impl.kit import Row, generator
from impl.kit.alexnet_layers import LayeredNet
from impl.kit.broken import take_out
from impl.kit.hog import hog
from impl.kit.proposals import Features, Part, draw_batch, match, random_boxes
from impl.kit.scene import Scene
from impl.kit.selective_search import selective_search
from impl.kit.svm import RidgePerClass, mine_svms, newton
from impl.rcnn import BROKEN, PAPER, SMOKE, check, decode, encode, inverse_gap, near_regions, warp

CPU = torch.device("cpu")


def boxes(seed: int, n: int, side: float = 40.0) -> Tensor:
    corner, size = torch.rand(2, n, 2, generator=torch.Generator().manual_seed(seed))
    return torch.cat([side * corner, side * corner + 2 + side / 2 * size], 1)


def test_the_net_of_krizhevsky_et_al() -> None:
    shape = (PAPER.channels, PAPER.kernels, PAPER.strides, PAPER.pools, PAPER.warp, PAPER.H)
    with torch.device("meta"):
        net = LayeredNet(*shape, classes=1000)
        sizes = [sum(p.numel() for p in part.parameters()) for part in (net, net.fc7)]
    assert net.fc6.in_features == 9216  # Sec. 3.1: 6 x 6 x 256
    assert sizes[1] == 16_781_312  # Sec. 3.2: about 16.8 million
    assert sizes[0] == 62_378_344  # without the two groups


def test_layers_have_the_shapes_that_they_say() -> None:
    net = LayeredNet((4, 6), (5, 3), (2, 1), (0, 1), side=20, units=7, classes=3)
    x = torch.rand(2, 3, 20, 20)
    assert [tuple(y.shape) for y in net.layers(x)] == [(2, 6 * 4 * 4), (2, 7), (2, 7)]
    assert net(x).shape == (2, 3)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_a_box_moved_by_its_targets_is_the_object(seed: int) -> None:
    P, G = boxes(seed, 8).double(), boxes(seed + 1, 8).double()
    assert torch.allclose(decode(P, encode(P, G)), G, atol=1e-9)
    assert torch.allclose(encode(P, P), torch.zeros(8, 4, dtype=torch.double), atol=1e-12)
    moved = encode(3 * P + 5, 3 * G + 5)
    assert torch.allclose(moved, encode(P, G), atol=1e-9)  # neither place nor scale matters


def test_the_svm_is_that_of_scikit_learn() -> None:
    from sklearn.svm import LinearSVC

    torch.manual_seed(0)
    x = torch.cat([torch.randn(200, 6), torch.ones(200, 1)], 1)
    sign = torch.where(x @ torch.randn(7) + torch.randn(200) > 0.5, 1.0, -1.0)
    theirs = LinearSVC(C=0.3, loss="squared_hinge", fit_intercept=False, tol=1e-8, max_iter=100_000)
    ours = newton(x, sign, 0.3, torch.zeros(7))
    assert np.allclose(ours, theirs.fit(x, sign).coef_[0], atol=1e-3)
    more = torch.cat([x, torch.randn(5, 7)]), torch.cat([sign, torch.zeros(5)])
    assert torch.allclose(newton(*more, 0.3, torch.zeros(7)), ours, atol=1e-4)  # of neither side


def test_hard_negatives_give_almost_the_svm_of_all_examples() -> None:
    torch.manual_seed(0)
    x = torch.cat([torch.randn(600, 4), torch.ones(600, 1)], 1)
    score = x[:, 0] + 0.3 * torch.randn(600)
    sign = torch.where(score > 1.2, 1.0, -1.0)[:, None].expand(-1, 2) * torch.tensor([1.0, -1.0])
    all_of_it = torch.stack([newton(x, s, 0.1, torch.zeros(5)) for s in sign.T], 1)
    parts = x.split(100), sign.split(100)
    w = mine_svms(Features(6, parts[0].__getitem__), parts[1], 0.1, generator(0, "negatives"))
    assert w.shape == (5, 2)
    assert torch.allclose(w, all_of_it, atol=0.15)


def test_ridges_piece_by_piece_are_ridges_of_the_whole() -> None:
    torch.manual_seed(0)
    x, t, labels = torch.randn(60, 5), torch.randn(60, 4), torch.arange(60) % 2
    sums = RidgePerClass(2)
    for part in zip(x.split(7), t.split(7), labels.split(7), strict=True):
        sums.add(*part)
    one = x[labels == 1]
    whole = torch.linalg.solve(one.T @ one + 3 * torch.eye(5), one.T @ t[labels == 1])
    assert torch.allclose(sums.solve(3.0)[1], whole, atol=1e-5)


def test_warping_reads_the_box() -> None:
    image = torch.rand(1, 3, 24, 24)
    whole = torch.tensor([[4.0, 8, 12, 16], [0, 0, 24, 24]])
    seen = warp(image, whole, 8, 0) + 0.5
    assert torch.allclose(seen[0], image[0, :, 8:16, 4:12], atol=1e-5)  # as large as the square
    assert torch.allclose(warp(image.expand(2, -1, -1, -1), whole, 8, 0) + 0.5, seen, atol=1e-5)
    around = warp(image, whole[:1], 12, 2) + 0.5
    assert torch.allclose(around[0], image[0, :, 6:18, 2:14], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_hog_ignores_the_negative_and_strength(seed: int) -> None:
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(hog(x), hog(-x), atol=1e-4)
    assert torch.allclose(hog(x), hog(5 * x), atol=0.1)
    ramp = torch.arange(16.0).expand(1, 3, 16, 16)  # one orientation only
    assert (hog(ramp).unflatten(1, (9, -1)).sum(2) > 1e-6).sum() == 1


def test_hog_with_colours_tells_colours_apart() -> None:
    red, blue = torch.zeros(2, 1, 3, 16, 16).unbind(0)
    red[:, 0], blue[:, 2] = 1.0, 1.0
    assert torch.equal(hog(red), hog(blue))
    assert not torch.equal(hog(red, colours=True), hog(blue, colours=True))


def a_part() -> Part:
    scene = Scene(torch.rand(3, 20, 20), torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([1]))
    proposed = torch.tensor([[0.0, 0, 10, 8], [0, 0, 10, 4], [15, 15, 20, 20]])
    return Part([scene], [match(scene, proposed, 2, PAPER.negative)])


def test_what_regions_are_for() -> None:
    part = a_part()
    regions = part.regions[0]
    assert regions.overlap.tolist() == pytest.approx([1.0, 0.8, 0.4, 0.0])
    assert regions.sign[:, 1].tolist() == [1, 0, 0, -1]  # Sec. 2.3: only the object itself
    assert regions.sign[:, 0].tolist() == [-1, -1, -1, -1]
    assert torch.equal(part.proposals(0), regions.boxes[1:])
    net = LayeredNet((4, 4), (5, 3), (2, 1), (0, 1), side=16, units=8, classes=2)
    near = partial(near_regions, net, part, SMOKE, draw=generator(0, "near"))
    ((x, t, label),) = near(copies=1)
    assert len(x) == 1 and label.tolist() == [1]  # App. C: above 0.6
    assert torch.allclose(decode(regions.boxes[1:2], t), part.scenes[0].boxes, atol=1e-5)
    ((x, _, _),) = near(copies=9)
    assert 1 <= len(x) <= 9


def test_a_batch_has_as_many_objects_as_it_says() -> None:
    counts = dict(pictures=2, positives=3, negatives=5)
    images, of, labels = draw_batch(a_part(), 2, 0.5, generator(0, "batches"), **counts)
    assert images.shape == (8, 3, 20, 20) and of.shape == (8, 4)
    assert labels.tolist() == [1] * 3 + [2] * 5


def test_a_picture_without_objects_is_all_background() -> None:
    empty = Scene(torch.zeros(3, 20, 20), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    regions = match(empty, boxes(0, 4), 2, 0.3)
    assert regions.labels.tolist() == [2] * 4 and (regions.sign == -1).all()


def last_row(arm: str, claim: str | None) -> Row:
    torch.manual_seed(0)
    with take_out(BROKEN, claim, SMOKE) as cfg:
        *_, row = rcnn.trial(cfg, CPU, arm=arm, seed=0, lr=0.01)
    assert isinstance(row, dict)
    return row


@pytest.mark.parametrize(
    ("claim", "rival"), [("fine-tuning", "pre-trained"), ("pre-training", "scratch")]
)
def test_without_its_idea_training_makes_no_difference(claim: str, rival: str) -> None:
    assert last_row("fine-tuned", claim)["mAP"] == last_row(rival, claim)["mAP"]


def test_a_regression_of_nothing_moves_no_box() -> None:
    row = last_row("fine-tuned", "box-regression")
    assert row["regressed_mAP"] == pytest.approx(row["mAP"])


def test_boxes_at_random_are_no_proposals() -> None:
    image = torch.full((3, 32, 32), 0.2)
    image[:, 6:20, 9:25] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    draw = generator(0, "proposals")
    assert [9, 6, 25, 20] in selective_search(image, (50.0,), 100, draw).tolist()
    with take_out(BROKEN, "proposals-recall", SMOKE):
        found = rcnn.selective_search(image, (50.0,), 100, draw)
    assert found.shape == (100, 4) and [9, 6, 25, 20] not in found.tolist()
    assert (random_boxes(50, torch.tensor([[8.0, 4.0]]), 32, draw)[:, 2:] <= 32).all()


def test_moving_by_adding_is_not_the_inverse() -> None:
    def verdict() -> str:
        rows: list[Row] = [dict(seed=0, inverse_gap=inverse_gap(0))]
        return {each.claim: each.verdict for each in check(rows)}["inverse"]

    assert verdict() == "holds"
    with take_out(BROKEN, "inverse", SMOKE):
        assert verdict() == "fails"


def test_features_that_are_equally_good_reproduce_nothing() -> None:
    arms = ("HOG", "pre-trained", "fine-tuned", "scratch")
    rows: list[Row] = [
        dict(judged=True, arm=arm, seed=seed, mAP=40.0 + seed, regressed_mAP=40.0 + seed)
        for arm in arms
        for seed in range(3)
    ]
    found = {each.claim: each.verdict for each in check(rows)}
    names = ("features-beat-hog", "fine-tuning", "pre-training", "box-regression")
    assert {found[name] for name in names} == {"not reproduced"}
