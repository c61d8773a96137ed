"""Dropout: the mask's law, weight scaling, agreement with torch's operator, and the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from impl import dropout
from impl.dropout import SMOKE, Dropout, check, net, run, scaling_gap


@given(st.floats(0.1, 0.9), st.integers(0, 1000))
def test_units_are_kept_with_probability_p(p: float, seed: int) -> None:
    torch.manual_seed(seed)
    kept = (Dropout(p)(torch.ones(20_000)) > 0).float().mean().item()
    assert kept == pytest.approx(p, abs=5 * (p * (1 - p) / 20_000) ** 0.5)


def test_scaling_is_torchs_dropout_up_to_a_factor() -> None:
    """torch divides by p while training; ours multiplies by p at test: the nets are the same, p apart."""
    p, x = 0.8, torch.randn(64, 50)
    ours, theirs = Dropout(p), nn.Dropout(1 - p)
    torch.manual_seed(1)
    mask_ours = ours(torch.ones(64, 50))
    assert set(mask_ours.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(theirs(torch.ones(64, 50)).max() * p, torch.tensor(1.0))
    assert torch.allclose(ours.eval()(x), p * theirs.eval()(x))


def test_the_expectation_of_a_linear_layer_is_the_scaled_one() -> None:
    torch.manual_seed(0)
    drop, linear, x = Dropout(0.5), nn.Linear(30, 5), torch.randn(1, 30)
    sampled = linear(drop(x.expand(200_000, 30))).mean(0)
    assert torch.allclose(sampled, linear(drop.eval()(x))[0], atol=0.02)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.integers(2, 6), st.floats(0.1, 0.9), st.integers(0, 99))
def test_weight_scaling_is_the_geometric_mean_for_one_layer(D: int, C: int, p: float, seed: int) -> None:
    torch.manual_seed(seed)
    assert scaling_gap(D, C, p) < 1e-9


def test_keeping_every_unit_is_the_standard_net() -> None:
    cfg = replace(SMOKE, p_hidden=1.0, p_input=1.0)
    torch.manual_seed(0)
    with_dropout = net(cfg, 64, 10, drop=True)
    torch.manual_seed(0)
    without = net(cfg, 64, 10, drop=False)
    x = torch.rand(5, 64)
    assert torch.equal(with_dropout(x), without(x))


def test_dropout_that_drops_nothing_is_not_reproduced() -> None:
    """The broken idea: with p = 1 both nets are the same net, and no test error is saved."""
    broken = replace(SMOKE, p_hidden=1.0, p_input=1.0, seeds=3, updates=20)
    rows = [event for event in run(broken, torch.device("cpu")) if isinstance(event, dict)]
    verdicts = {verdict.claim: verdict for verdict in check(rows)}
    assert verdicts["lower-test-error"].effect == 0
    assert verdicts["lower-test-error"].verdict == "not reproduced"


def test_forgetting_to_scale_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropout, "scaling_gap", lambda D, C, p: 0.1)
    rows = [event for event in run(SMOKE, torch.device("cpu")) if isinstance(event, dict)]
    assert {v.claim: v.verdict for v in check(rows)}["weight-scaling"] == "not reproduced"
