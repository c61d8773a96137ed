"""Glorot and Bengio's initialization: torch's own, the laws of the variances, the broken ideas."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import jacrev

from impl.kit import Row, Verdict, judge
from impl.kit.broken import take_out
from impl.xavier_init import (
    BROKEN,
    CLAIMS,
    INITIALIZE,
    PAPER,
    SMOKE,
    Net,
    check,
    jacobians,
    run,
    trial,
    variances,
)

CPU = torch.device("cpu")


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def weights(name: str, n: int, n_next: int, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    W = torch.empty(n_next, n)
    INITIALIZE[name](W)
    return W


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 99))
def test_the_weights_are_torchs_own(n: int, n_next: int, seed: int) -> None:
    """nn.init.xavier_uniform_ is Eq. 16; nn.Linear's default happens to be Eq. 1."""
    normalized, standard = (weights(name, n, n_next, seed) for name in ("normalized", "standard"))
    torch.manual_seed(seed)
    assert torch.allclose(normalized, nn.init.xavier_uniform_(torch.empty(n_next, n)))
    torch.manual_seed(seed)
    assert torch.allclose(standard, nn.Linear(n, n_next).weight)
    limit = (normalized / standard).mean().item()  # the same draws, scaled
    assert limit == pytest.approx((6 * n / (n + n_next)) ** 0.5, rel=1e-4)


@given(st.integers(1, 5_000), st.integers(1, 5_000))
def test_the_variance_is_eq_12_and_both_ways_hold_for_equal_layers(n: int, n_next: int) -> None:
    normalized = (6 / (n + n_next)) ** 0.5
    assert normalized**2 / 3 == pytest.approx(2 / (n + n_next))
    assert n * (6 / (n + n)) / 3 == pytest.approx(1)  # Eqs. 10 and 11
    assert n * (n**-0.5) ** 2 / 3 == pytest.approx(1 / 3)  # Eq. 15


@pytest.mark.parametrize("name", ["normalized", "standard"])
def test_linear_layers_multiply_variances_as_the_law_says(name: str) -> None:
    rows = list(variances(name, replace(SMOKE, nets=200), seed=0))
    assert [row["side"] for row in rows] == ["activations", "gradients"]
    assert all(float(row["over_law"]) == pytest.approx(1, rel=0.06) for row in rows)


def test_the_paper_has_five_layers_of_a_thousand() -> None:
    sizes = [784, *[PAPER.H] * PAPER.L, 10]
    model = Net(sizes, "tanh", "normalized")
    expected = sum(n * n_next + n_next for n, n_next in pairwise(sizes))
    assert sum(p.numel() for p in model.parameters()) == expected == 4_799_010
    assert all((p == 0).all() for p in model.parameters() if p.ndim == 1)


def test_what_is_watched_is_what_goes_in_and_out_of_the_units() -> None:
    model, x = Net([6, 4, 5, 10], "softsign", "standard"), torch.randn(3, 6)
    first, second, last = model.layers
    logits, s, z = model.watched(x)
    assert torch.equal(s[0], first(x)) and torch.equal(z[0], s[0] / (1 + s[0].abs()))
    assert torch.equal(z[1], nn.functional.softsign(second(z[0])))
    assert torch.equal(logits, last(z[1])) and torch.equal(model(x), logits)


def test_the_jacobians_are_autograds() -> None:
    torch.manual_seed(0)
    model, x = Net([6, 5, 5, 5, 10], "tanh", "normalized"), torch.randn(2, 6)
    _, _, z = model.watched(x)
    ours = jacobians(model, z, images=2)  # [2 layers, 2 images, 5]
    for at in (0, 1):
        layer = nn.Sequential(model.layers[at + 1], nn.Tanh())
        for image in (0, 1):
            J = jacrev(layer)(z[at][image].detach())
            assert torch.allclose(ours[at, image], torch.linalg.svdvals(J), atol=1e-5)


@pytest.mark.parametrize(("name", "shrink"), [("normalized", 1.0), ("standard", 3**0.5)])
def test_linear_jacobians_have_the_published_means(name: str, shrink: float) -> None:
    """The quarter-circle law: 8 / (3 pi) sqrt(n Var[W]) is 0.85 and 0.49; the paper measures 0.8
    and 0.5."""
    values = torch.linalg.svdvals(weights(name, 300, 300))
    assert values.mean().item() == pytest.approx(8 / (3 * math.pi) / shrink, rel=0.02)


def test_the_same_weights_for_both_gain_nothing() -> None:
    found = judged("tanh-faster", seeds=3)
    for claim in ("gradient-ratio", "jacobian", "tanh-faster"):
        assert (found[claim].effect, found[claim].verdict) == (0, "not reproduced")
    assert found["softsign-robust"].effect == 0
    assert found["variance-law"].verdict == "fails"


def start(claim: str | None, arm: str) -> Row:
    cfg = replace(SMOKE, H=128, L=5)
    with take_out(BROKEN, claim, cfg) as cfg:
        *_, last = trial(cfg, CPU, arm=arm, seed=1)
    assert isinstance(last, dict)
    return last


def test_sigmoid_units_do_not_keep_the_weights_gradients_alike() -> None:
    kept, broken = start(None, "standard"), start("weight-gradients", "standard")
    assert abs(float(kept["weight_change"])) < 0.5 and float(kept["back_change"]) < -3
    assert abs(float(broken["weight_change"])) > 2


@pytest.mark.parametrize(("top", "expected"), [(0.03, "reproduced"), (0.65, "not reproduced")])
def test_the_top_layer_is_compared_with_the_others(top: float, expected: str) -> None:
    rows: list[Row] = [
        {"arm": "sigmoid", "seed": seed, "judged": True, "top": top + seed / 1e3, "others": 0.6}
        for seed in range(3)
    ]
    claims = [claim for claim in CLAIMS if claim.claim == "sigmoid-saturates"]
    assert judge(claims, rows)[0].verdict == expected


def test_the_lowest_mean_of_the_top_layer_counts() -> None:
    rows = [row for row in trial(SMOKE, CPU, arm="sigmoid", seed=0) if isinstance(row, dict)]
    tops = [float(row["layer_2"]) for row in rows if "layer_2" in row]
    assert rows[-1]["top"] == min(tops)
    assert rows[-1]["others"] == rows[tops.index(min(tops))]["layer_1"]
