"""Boxes there and back, and which of them stay."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from impl.kit.boxes import decode, encode, iou, nms


def boxes(seed: int, n: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    low, size = torch.rand(2, n, 2, generator=draw).double() * 40
    return torch.cat([low, low + size + 2], 1)


@given(st.integers(0, 10**6))
def test_a_box_moved_by_its_targets_is_the_object(seed: int) -> None:
    P, G = boxes(seed, 8), boxes(seed + 1, 8)
    assert torch.allclose(decode(P, encode(P, G)), G, atol=1e-9)
    assert torch.allclose(encode(P, P), torch.zeros(8, 4, dtype=torch.double), atol=1e-12)
    moved = encode(3 * P + 5, 3 * G + 5)
    assert torch.allclose(moved, encode(P, G), atol=1e-9), "neither place nor scale matters"


def test_no_box_explodes() -> None:
    one = torch.tensor([[0.0, 0, 1, 1]])
    assert decode(one, torch.tensor([[0.0, 0, 99, 0]])).abs().max() < 30


@given(st.integers(0, 10**6), st.floats(0.0, 0.9))
def test_what_stays_overlaps_little_and_what_does_not_overlaps_much(
    seed: int, threshold: float
) -> None:
    some = boxes(seed, 20)
    scores = torch.rand(20, generator=torch.Generator().manual_seed(seed))
    stays = nms(some, scores, threshold, 20)
    assert stays[0] == scores.argmax() and torch.equal(
        scores[stays].sort(descending=True)[0], scores[stays]
    )
    assert (iou(some[stays], some[stays]).fill_diagonal_(0) <= threshold).all()
    for i in set(range(20)) - set(stays.tolist()):
        surer = stays[scores[stays] > scores[i]]
        assert iou(some[[i]], some[surer]).max() > threshold
    again = nms(some[stays], scores[stays], threshold, 20)
    assert again.tolist() == list(range(len(stays))), "suppressing twice changes nothing"
    assert torch.equal(nms(some, scores, threshold, 3), stays[:3])


def test_suppression_is_greedy() -> None:
    some = torch.tensor([[0.0, 0, 10, 10], [0, 2, 10, 12], [0, 7, 10, 17], [30, 30, 40, 40]])
    stays = nms(some, torch.tensor([0.9, 0.8, 0.7, 0.1]), 0.3, 9)
    assert stays.tolist() == [0, 2, 3], "the third overlaps only the second, which is gone"
