"""The era race: its net against torch's layers, its arms, its budget, and the ideas taken out."""

import math
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl import weird_introduction as weird
from impl.kit import Figure, Row, generator
from impl.kit.broken import take_out
from impl.weird_introduction import (
    ALL,
    BROKEN,
    DEEP,
    IDEAS,
    IDEAS_OF,
    SHALLOW,
    SMOKE,
    TOGETHER,
    Ideas,
    Net,
    by_hand,
    check,
    count_flops,
    run,
    shift,
    trial,
)
from kb import paths

CPU = torch.device("cpu")
SIZES = dict(H=12, c=3, blocks=2, small=0.05)
some_ideas = st.sets(st.sampled_from(sorted(IDEAS))).map(Ideas)


def net(ideas: Ideas, **changes: float) -> Net:
    return Net(ideas, 8, **(SIZES | changes))  # type: ignore[arg-type]


def images(B: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(B, 1, 8, 8, generator=draw), torch.randint(10, (B,), generator=draw)


def test_dates_are_those_of_the_timeline_and_in_their_order() -> None:
    timeline = paths.TIMELINE.read_text(encoding="utf-8")
    for date, milestone in IDEAS.values():
        entry = re.search(rf'^- id: {milestone}$.*?^  date: "(.*?)"$', timeline, re.M | re.S)
        assert entry and entry[1] == date
    ordered = [date for date, _ in IDEAS.values()]
    assert ordered == sorted(ordered)


def test_arms_are_a_ladder_each_idea_alone_and_each_taken_out() -> None:
    sets = [ideas for arm, ideas in IDEAS_OF.items() if arm != SHALLOW]
    assert len(sets) == len(set(sets)), "nothing is trained twice"
    ideas = list(IDEAS)
    for i, idea in enumerate(ideas):
        assert {Ideas(ideas[:i]), Ideas({idea}), ALL - {idea}} <= set(sets)
    assert IDEAS_OF["modern"] == ALL and IDEAS_OF[DEEP] == IDEAS_OF[SHALLOW] == Ideas()
    assert IDEAS_OF[TOGETHER] == {"initialization", "rectifiers"}


def test_the_net_of_1986_is_torchs_layers() -> None:
    torch.manual_seed(0)
    model, (x, _) = net(Ideas()), images()
    modules: list[nn.Module] = [nn.Flatten()]
    for layer in model.layers:
        modules += [layer, nn.Sigmoid()]
    assert torch.equal(model(x), nn.Sequential(*modules, model.out)(x))
    assert len(model.layers) == 5
    assert sum(p.numel() for p in model.parameters()) == 65 * 12 + 4 * 13 * 12 + 13 * 10


def test_the_modern_net_is_torchs_layers() -> None:
    torch.manual_seed(0)
    model, (x, _) = net(ALL - {"dropout"}), images()

    def normalized(i: int, h: torch.Tensor) -> torch.Tensor:
        layer = model.layers[i]
        z = F.conv2d(h, layer.weight, layer.bias, padding=1)  # type: ignore[arg-type]
        mean, var = z.mean((0, 2, 3), True), z.var((0, 2, 3), correction=0, keepdim=True)
        return (z - mean) / (var + 1e-5).sqrt()

    with torch.no_grad():
        h = normalized(0, x).relu()
        for i in (1, 3):
            h = (h + normalized(i + 1, normalized(i, h).relu())).relu()
        assert torch.allclose(model(x), model.out(h.flatten(1)), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(some_ideas)
def test_every_combination_of_ideas_is_a_net_that_learns(ideas: Ideas) -> None:
    model, (x, y) = net(ideas), images()
    before = {name: w.clone() for name, w in model.state_dict().items()}
    assert count_flops(model, x, y) > 0
    after = model.state_dict()
    assert all(torch.equal(w, after[name]) for name, w in before.items()), "counting is looking"
    assert all(parameter.grad is None for parameter in model.parameters())
    weird.learn(model, x, y)
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert model(x).shape == (6, 10)


def test_first_weights_are_small_or_follow_the_law() -> None:
    torch.manual_seed(0)
    for ideas, expected in (
        (Ideas(), 0.05),
        (Ideas({"initialization"}), (2 / 600) ** 0.5),
        (Ideas({"initialization", "rectifiers"}), (2 / 300) ** 0.5),
    ):
        weights = net(ideas, H=300).layers[1].weight
        assert isinstance(weights, torch.Tensor)
        assert weights.std().item() == pytest.approx(expected, rel=0.02)
    model = net(Ideas({"initialization", "rectifiers", "convolution"}), c=40)
    kernels = model.layers[1].weight
    assert isinstance(kernels, torch.Tensor)
    assert kernels.std().item() == pytest.approx((2 / 360) ** 0.5, rel=0.02)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_shift_moves_each_image_by_at_most_one_pixel(seed: int) -> None:
    x, _ = images()
    moved = shift(x, torch.Generator().manual_seed(seed))
    assert moved.shape == x.shape
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    for image, before in zip(moved, padded, strict=True):
        windows = [before[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
        assert any(torch.equal(image, window) for window in windows)


def test_shifts_are_of_all_nine_kinds() -> None:
    x = torch.zeros(900, 1, 8, 8)
    x[:, :, 3, 3] = 1
    counts = shift(x, generator(0, "shifts")).sum((0, 1))
    assert counts.sum() == 900 and (counts[2:5, 2:5] > 60).all()


@given(st.integers(1, 4), st.integers(2, 20), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_flops_of_connected_layers_follow_from_their_sizes(blocks: int, H: int, B: int) -> None:
    model, (x, y) = net(Ideas(), blocks=blocks, H=H), images(B)
    assert count_flops(model, x, y) == by_hand(model, B)
    assert by_hand(model, B) == 2 * B * (2 * 64 * H + 3 * (2 * blocks * H * H + 10 * H))


def test_flops_of_convolutions_are_those_of_every_place() -> None:
    """With padding counted as if it were multiplied, too."""
    model, (x, y) = net(Ideas({"convolution"}), c=5), images(4)
    layers = 64 * 9 * (2 * 5 + 3 * 4 * 25)
    assert count_flops(model, x, y) == 2 * 4 * (layers + 3 * 5 * 64 * 10)


def last(arm: str, **changes: object) -> Row:
    torch.manual_seed(0)
    cfg = replace(SMOKE, **changes)  # type: ignore[arg-type]
    *_, row = trial(cfg, CPU, arm=arm, seed=0, lr=0.2)
    assert isinstance(row, dict)
    return row


@pytest.mark.parametrize("arm", [DEEP, SHALLOW, "modern", "only mini-batches"])
def test_a_budget_is_spent_but_for_less_than_a_step(arm: str) -> None:
    row = last(arm)
    assert 0 <= float(row["left"]) < 1
    assert 0.5 * SMOKE.flops < float(row["flops"]) <= SMOKE.flops


def test_with_one_hidden_layer_the_deep_net_is_the_shallow() -> None:
    assert last(DEEP, blocks=0) == last(SHALLOW)


def judged(claim: str | None, monkeypatch: pytest.MonkeyPatch, *arms: str) -> dict[str, str]:
    """The verdicts of a short race between a few arms; of the others nobody asks."""
    cfg = replace(SMOKE, n=100, H=64, flops=5e8, blocks=2, seeds=4, lrs=(0.2,))
    monkeypatch.setattr(weird, "PROTOCOL", replace(weird.PROTOCOL, arms=arms))
    for name in ("era_race", "forwards_and_backwards"):
        monkeypatch.setattr(weird.drawing, name, lambda *_: Figure("none", "none", b""))
    with take_out(BROKEN, claim, cfg) as changed:
        rows = [event for event in run(changed, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


ARMS = (DEEP, "only batch norm", "only initialization", "only rectifiers", TOGETHER)
STAND = {"batch-norm-alone", "only-together", "equal-flops", "by-hand"}


@pytest.mark.parametrize("claim", [None, *sorted(STAND)])
def test_a_claim_stands_until_its_idea_is_taken_out(
    claim: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = judged(claim, monkeypatch, *ARMS)
    stands = {name for name in STAND if verdicts[name] in ("reproduced", "weaker", "holds")}
    assert claim not in stands if claim else stands == STAND


def test_a_net_that_diverged_counts_as_guessing() -> None:
    rows: list[Row] = [
        dict(judged=True, seed=seed, arm=arm, test_error=error, val_error=error, lr=0.1)
        for seed in range(5)
        for arm, error in [(arm, 5.0 + seed / 10) for arm in IDEAS_OF if arm != DEEP]
        + [(DEEP, math.nan)]
    ]
    verdicts = {verdict.claim: verdict.verdict for verdict in check(rows)}
    assert verdicts["eras-help"] == "reproduced" and verdicts["equal-flops"] == "not measured"
