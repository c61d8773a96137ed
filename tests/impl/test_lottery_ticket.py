"""Lottery tickets: masks against torch's pruning, what each arm begins with, the broken ideas."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as torchs

from impl.kit import Verdict
from impl.kit.broken import take_out
from impl.lottery_ticket import (
    BROKEN,
    FOUND,
    PAPER,
    PUBLISHED,
    SMOKE,
    Lenet,
    Masked,
    begin,
    check,
    draw_images,
    find,
    images,
    new_net,
    prune,
    prune_layers,
    run,
    share_left,
    train,
)

CPU = torch.device("cpu")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0, 0.9), st.integers(0, 99))
def test_rounds_of_pruning_keep_what_torchs_keep(
    inputs: int, outputs: int, rate: float, seed: int
) -> None:
    torch.manual_seed(seed)
    ours, theirs = Masked(inputs, outputs), nn.Linear(inputs, outputs)
    for _ in range(4):
        with torch.no_grad():  # training in between
            change = torch.randn(outputs, inputs)
            ours.weight.copy_(change)
            getattr(theirs, "weight_orig", theirs.weight).copy_(change)
        theirs(torch.zeros(1, inputs))  # only now does torch apply its mask to them
        prune(ours, ours.weight.abs(), rate)
        torchs.l1_unstructured(theirs, "weight", rate)
        assert torch.equal(ours.mask, theirs.weight_mask)


def test_a_masked_layer_and_its_gradient_are_those_of_torchs_pruned_one() -> None:
    torch.manual_seed(0)
    ours, theirs, x = Masked(6, 4), nn.Linear(6, 4), torch.randn(5, 6)
    theirs.load_state_dict({"weight": ours.weight, "bias": ours.bias})
    ours.mask.copy_(torch.rand(4, 6) < 0.5)
    torchs.custom_from_mask(theirs, "weight", ours.mask)
    assert torch.equal(ours(x), theirs(x))
    for layer in (ours, theirs):
        layer(x).square().sum().backward()
    assert torch.equal(ours.weight.grad, theirs.weight_orig.grad)
    assert not ours.weight.grad[ours.mask == 0].any()


def test_the_papers_net_has_266_200_weights_and_loses_them_as_published() -> None:
    net = Lenet(784, PAPER.H)
    begin(net, "first", seed=0)
    assert sum(layer.weight.numel() for layer in net.masked) == 266_200
    assert sum(weight.numel() for weight in net.parameters()) == 266_610
    for rounds in range(max(PUBLISHED) + 1):
        if rounds in PUBLISHED:
            assert round(share_left(net), 1) == PUBLISHED[rounds]
        prune_layers(net, [layer.weight.abs() for layer in net.masked], PAPER)


@pytest.fixture(scope="module")
def masks() -> dict[str, list[list[torch.Tensor]]]:
    find.cache_clear()
    return {how: find(SMOKE, CPU, 0, how) for how in set(FOUND.values())}


def test_each_round_keeps_a_part_of_what_the_round_before_kept(masks: dict) -> None:
    for rounds in masks.values():
        for before, after in pairwise(rounds):
            assert all(bool((b >= a).all()) for b, a in zip(before, after, strict=True))


def test_every_way_of_finding_keeps_as_many_weights_of_each_layer(masks: dict) -> None:
    counts = {
        how: [[int(mask.sum()) for mask in layers] for layers in rounds]
        for how, rounds in masks.items()
    }
    assert counts["in rounds"] == counts["at once"] == counts["by chance"]
    assert not torch.equal(masks["in rounds"][0][0], masks["by chance"][0][0])


def test_the_first_round_is_the_same_in_rounds_and_at_once(masks: dict) -> None:
    """And later ones differ: there, the weights that are left have been trained anew."""
    for at, same in ((0, True), (2, False)):
        pairs = zip(masks["in rounds"][at], masks["at once"][at], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) == same


def test_what_an_arm_begins_with(masks: dict) -> None:
    nets = {}
    for values in ("first", "new", "mixed"):
        nets[values] = new_net(SMOKE, CPU, draw_images(SMOKE, CPU, 0)[1])
        for layer, mask in zip(nets[values].masked, masks["in rounds"][2], strict=True):
            layer.mask.copy_(mask)
        begin(nets[values], values, seed=0)
    for first, new, mixed in zip(*(net.masked for net in nets.values()), strict=True):
        left = first.mask.bool()
        kept, drawn, moved = (layer.weight[left] for layer in (first, new, mixed))
        assert not torch.isin(kept, drawn).any()
        assert torch.equal(kept.sort().values, moved.sort().values)
        assert not torch.equal(kept, moved)


def test_weights_that_are_pruned_stay_put_and_count_for_nothing() -> None:
    split = draw_images(SMOKE, CPU, 0)[1]
    net = new_net(SMOKE, CPU, split)
    begin(net, "first", seed=0)
    prune_layers(net, [layer.weight.abs() for layer in net.masked], replace(SMOKE, rate=0.5))
    first = [layer.weight.detach().clone() for layer in net.masked]
    for _ in train(net, split, SMOKE, lr=0.01, seed=0):
        pass
    outputs = net(split.x_val)
    for layer, before in zip(net.masked, first, strict=True):
        gone = layer.mask == 0
        assert torch.equal(layer.weight[gone], before[gone])
        assert not torch.equal(layer.weight[~gone], before[~gone])
        layer.weight.data[gone] = 9.0
    assert torch.equal(net(split.x_val), outputs)


def test_the_initialization_is_torchs_glorot() -> None:
    net = Lenet(64, (300, 100))
    begin(net, "first", seed=0)
    for layer in net.masked:
        outputs, inputs = layer.weight.shape
        assert float(layer.weight.detach().std()) == pytest.approx(
            (2 / (inputs + outputs)) ** 0.5, rel=0.1
        )


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


@pytest.mark.parametrize(
    ("claim", "effect"),
    [
        ("faster-than-redrawn", 1.0),
        ("better-than-redrawn", 0.0),
        ("better-than-mixed", 0.0),
        ("better-than-random", 0.0),
        ("in-rounds", 0.0),
    ],
)
def test_without_its_idea_a_ticket_is_its_rival(
    claim: str, effect: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same mask and the same values: every trial gives the same."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *args, **more: None)
    verdict = judged(claim, updates=20)[claim]
    assert (verdict.effect, verdict.verdict) == (effect, "not reproduced")


def test_pruning_the_outputs_at_the_full_rate_leaves_other_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *args, **more: None)
    assert judged(None)["counts"].verdict == "holds"
    assert judged("counts")["counts"].verdict == "fails"


def test_a_mask_by_chance_knows_nothing_of_where_the_digits_are() -> None:
    """The idea at a small scale: pixels that are always blank lose more weights in rounds."""
    cfg = replace(SMOKE, n=500, H=(40, 20), updates=300, levels=(8,), small=(8,))
    blank = images("digits", 2, CPU).x_train.flatten(1).std(0) == 0
    kept = {how: find(cfg, CPU, 0, how)[7][0].mean(0) for how in ("in rounds", "by chance")}
    assert kept["in rounds"][blank].mean() < kept["in rounds"][~blank].mean() / 2
    assert kept["by chance"][blank].mean() > kept["by chance"][~blank].mean() / 2


def test_with_new_values_a_ticket_learns_more_slowly() -> None:
    cfg = replace(SMOKE, n=500, H=(40, 20), updates=300, levels=(8,), small=(8,), fast=(8,))
    split = draw_images(cfg, CPU, 0)[1]
    losses = {}
    for values in ("first", "new"):
        net = new_net(cfg, CPU, split)
        for layer, mask in zip(net.masked, find(cfg, CPU, 0, "in rounds")[7], strict=True):
            layer.mask.copy_(mask)
        begin(net, values, seed=0)
        for _ in train(net, split, replace(cfg, updates=100), lr=0.0012, seed=0):
            pass
        losses[values] = F.cross_entropy(net(split.x_val), split.y_val).item()
    assert losses["first"] < 0.8 * losses["new"]
