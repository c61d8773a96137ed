"""Segments and proposals on pictures that can be told by hand."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impl.kit.selective_search import Grouping, segments, selective_search


def test_a_square_on_a_plain_ground_is_proposed() -> None:
    image = torch.full((3, 32, 32), 0.2)
    image[:, 6:20, 9:25] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
    assert len(np.unique(segments(image.permute(1, 2, 0).numpy(), 50.0))) == 2
    proposals = selective_search(image, (50.0,), 100, torch.Generator().manual_seed(0))
    assert [9, 6, 25, 20] in proposals.tolist()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 999))
def test_proposals_are_distinct_boxes_in_the_picture(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    image = torch.rand(3, 20, 24, generator=draw)
    boxes = selective_search(image, (50.0, 100.0), 30, draw)
    assert len(boxes) <= 30 and len({tuple(box) for box in boxes.tolist()}) == len(boxes)
    assert (boxes >= 0).all() and (boxes[:, 2] <= 24).all() and (boxes[:, 3] <= 20).all()
    assert ((boxes[:, 2:] - boxes[:, :2]) >= 4).all()


def test_the_two_most_alike_are_joined_first() -> None:
    image = np.zeros((4, 9, 3))
    image[:, 3:6], image[:, 6:] = 0.9, 0.91  # the last two of three stripes are of one bin
    label = np.repeat(np.arange(3), 3)[None].repeat(4, 0)
    assert Grouping(image, label).boxes[3:] == [(3, 0, 9, 4), (0, 0, 9, 4)]


def test_large_boxes_come_early_but_not_always_first() -> None:
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    places = []
    for seed in range(40):
        boxes = selective_search(image, (20.0,), 99, torch.Generator().manual_seed(seed)).tolist()
        places.append(boxes.index([0, 0, 24, 24]))
    assert sum(places) / 40 < len(boxes) / 4 and len(set(places)) > 1
