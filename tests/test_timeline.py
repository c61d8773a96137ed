"""Guard: the project's own timeline, one test for each milestone."""

import pytest

from kb import loader, paths
from kb.schema import Milestone, Paper, displayed_equations

TIMELINE = loader.read_timeline(paths.TIMELINE, strict=True)
NAMED_BY_THE_ESSAY = {
    *("torch", "theano", "caffe", "cuda", "cudnn", "tensorflow", "keras", "pytorch", "detectron"),
    *("geforce-256", "gtx-580", "tpu-v1", "tesla-v100", "mnist", "imagenet", "cifar-10"),
    *(
        "deep-learning-book",
        "cs231n",
        "ng-machine-learning",
        "understanding-lstm",
        "gan-applications",
    ),
    *("backprop", "lenet5", "dropout"),
}


def test_no_problems() -> None:
    assert TIMELINE.problems == ()


def test_it_tells_the_four_tracks() -> None:
    assert len(TIMELINE.milestones) >= 320
    for track, least in {"theory": 160, "software": 60, "hardware": 60, "data": 40}.items():
        dates = [m.date for m in TIMELINE.milestones if m.track == track]
        assert len(dates) >= least, track
        assert {"2024", "2025", "2026"} <= {date[:4] for date in dates}, track
    assert {m.id for m in TIMELINE.milestones} >= NAMED_BY_THE_ESSAY


@pytest.mark.parametrize("milestone", TIMELINE.milestones, ids=lambda m: m.id)
def test_milestone(milestone: Milestone) -> None:
    assert len(milestone.short) <= 22, "the label doesn't fit on the timeline"
    assert "—" not in milestone.story + milestone.idea
    assert len(milestone.story.split()) >= 30
    if isinstance(milestone, Paper):
        assert milestone.doi or milestone.arxiv or milestone.url
        assert all(claim.where for claim in milestone.claims)
        assert milestone.links, "a paper stands on something"
        assert len(milestone.code) == len(displayed_equations(milestone.story)), (
            "each equation stands beside its code"
        )
