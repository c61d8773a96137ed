"""Dropout: the mask's law, weight scaling, agreement with torch's operator, and the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl.dropout import BROKEN, SMOKE, Dropout, check, error, net, run
from impl.kit import Verdict
from impl.kit.broken import take_out


@given(st.floats(0.1, 0.9), st.integers(0, 1000))
def test_units_are_kept_with_probability_p(p: float, seed: int) -> None:
    torch.manual_seed(seed)
    kept = (Dropout(p)(torch.ones(20_000)) > 0).float().mean().item()
    assert kept == pytest.approx(p, abs=5 * (p * (1 - p) / 20_000) ** 0.5)


def test_scaling_is_torchs_dropout_up_to_a_factor() -> None:
    """torch divides by p while training; ours multiplies by p at test: the nets are the same."""
    p, x = 0.8, torch.randn(64, 50)
    ours, theirs = Dropout(p), nn.Dropout(1 - p)
    torch.manual_seed(1)
    assert set(ours(torch.ones(64, 50)).unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(theirs(torch.ones(64, 50)).max() * p, torch.tensor(1.0))
    assert torch.allclose(ours.eval()(x), p * theirs.eval()(x))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.integers(2, 6), st.floats(0.1, 0.9), st.integers(0, 99))
def test_for_one_layer_scaling_is_the_geometric_mean_of_all_thinned_nets(
    D: int, C: int, p: float, seed: int
) -> None:
    """Sec. 7.5, exact for a softmax layer alone: all 2^D masks against the module's own scaling."""
    torch.manual_seed(seed)
    drop, linear = Dropout(p).double(), nn.Linear(D, C).double()
    x = torch.randn(D).double()
    masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * D).reshape(-1, D).double()
    chance = (p**masks * (1 - p) ** (1 - masks)).prod(1, keepdim=True)  # [2^D, 1]
    averaged = F.softmax((chance * F.log_softmax(linear(masks * x), dim=1)).sum(0), dim=0)
    assert torch.allclose(averaged, F.softmax(linear(drop.eval()(x)), dim=0), atol=1e-9)


def test_keeping_every_unit_is_the_standard_net() -> None:
    torch.manual_seed(0)
    model, x = net(64, 16, 2, p_input=1.0, p_hidden=1.0), torch.rand(5, 64)
    assert torch.equal(model.train()(x), model.eval()(x))


def test_the_error_is_of_the_net_with_scaled_weights() -> None:
    torch.manual_seed(0)
    model, x, y = net(64, 16, 2, 0.8, 0.5), torch.rand(50, 64), torch.randint(10, (50,))
    assert error(model, x, y) == error(model, x, y), "no mask is drawn"


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, torch.device("cpu")) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_dropout_that_drops_nothing_has_no_effect() -> None:
    """With p = 1 both nets draw the same weights and batches, and no test error is saved."""
    verdict = judged("lower-test-error", seeds=3, updates=20)["lower-test-error"]
    assert (verdict.effect, verdict.verdict) == (0, "not reproduced")


def test_a_thinned_net_is_worse_than_the_average_of_many() -> None:
    more = dict(sizes=(100, 1_000), H=64, updates=150, seeds=3)
    broken = judged("weight-scaling", **more)["weight-scaling"]
    assert broken.verdict == "not reproduced" and (broken.effect or 1) < 0.9
