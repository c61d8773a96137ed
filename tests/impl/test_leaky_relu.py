"""Leaky rectifiers: against torch's own, the gradient that is never zero, and broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl.kit import Row, Verdict
from impl.kit.broken import take_out
from impl.leaky_relu import (
    BROKEN,
    PAPER,
    SMOKE,
    LeakyRectifier,
    Tanh,
    check,
    coding,
    dead_units,
    net,
    run,
)

CPU = torch.device("cpu")


def rows_of(claim: str | None, **changes: object) -> list[Row]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        return [event for event in run(cfg, CPU) if isinstance(event, dict)]


def verdicts(rows: list[Row]) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in check(rows)}


@settings(deadline=None)
@given(st.floats(0.001, 1.0), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_they_are_torchs_own(leak: float, values: list[float]) -> None:
    a = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    h = LeakyRectifier(leak)(a)
    assert torch.allclose(h, F.leaky_relu(a, leak))
    assert set(torch.autograd.grad(h.sum(), a)[0].tolist()) <= {leak, 1.0}
    assert torch.equal(LeakyRectifier(0.0)(a), F.relu(a))
    assert torch.equal(Tanh()(a), a.tanh())


def test_the_paper_has_up_to_four_layers_of_2048() -> None:
    model = net(784, PAPER.H, max(PAPER.depths), LeakyRectifier())
    assert sum(p.numel() for p in model.parameters()) == 785 * 2048 + 3 * 2049 * 2048 + 2049 * 10


@pytest.mark.parametrize(("unit", "gain"), [(LeakyRectifier(), 2), (Tanh(), 1)])
def test_the_first_weights_suit_the_unit(unit: LeakyRectifier | Tanh, gain: int) -> None:
    torch.manual_seed(0)
    weight = net(300, 400, 2, unit)[0].get_parameter("weight")
    assert weight.var().item() == pytest.approx(gain / 300, rel=0.02)


def test_a_dead_unit_has_no_gradient_unless_it_leaks() -> None:
    """Every unit of the first layer is pushed far below zero."""
    torch.manual_seed(0)
    x, y = torch.rand(20, 8), torch.arange(20) % 10
    plain, leaky = net(8, 6, 2, LeakyRectifier(0.0)), net(8, 6, 2, LeakyRectifier(0.01))
    for model in (plain, leaky):
        nn.init.constant_(model[0].get_parameter("bias"), -100.0)
    assert dead_units(plain, x, y) >= 6 and dead_units(leaky, x, y) == 0


def test_a_tanh_unit_is_off_at_its_lower_end_or_at_both() -> None:
    h = torch.tensor([-0.99, -0.5, 0.0, 0.99])
    active = Tanh().active(h, 0.95)
    assert active[""].tolist() == [False, True, True, True]
    assert active["_both"].tolist() == [False, True, True, False]
    assert LeakyRectifier().active(h, 0.95)[""].tolist() == [False, False, False, True]


def test_activity_is_of_the_last_hidden_layer() -> None:
    torch.manual_seed(0)
    model, x = net(5, 4, 2, LeakyRectifier()), torch.randn(30, 5)
    h = model[3](model[2](model[1](model[0](x))))
    assert torch.equal(coding(model, x, 0.95)[""], (h > 0).float().mean(0))


def test_the_notion_of_being_off_that_suits_tanh_counts() -> None:
    rows: list[Row] = []
    for seed in range(4):
        same: Row = dict(seed=seed, judged=True, deepest=True, test_error=5.0 + seed / 9)
        noise = seed / 1_000
        tanh = dict(activation_both=0.1 + noise, spread_both=0.9, spread=0.01 + noise)
        for arm in ("leaky", "rectifier"):
            rows.append(same | dict(arm=arm, activation=0.3, spread=0.1, dead_units=0))
        rows.append(same | tanh | dict(arm="tanh", activation=0.9))
    found = verdicts(rows)
    assert found["sparser"].verdict == found["more-dispersed"].verdict == "not reproduced"
    assert found["sparser"].baseline == pytest.approx(0.1015)


def test_nets_alike_prove_nothing_if_the_control_is_alike_too() -> None:
    rows: list[Row] = [
        dict(arm=arm, seed=seed, judged=True, deepest=True, test_error=error + seed / 9 + noise)
        for arm, error in (("leaky", 5.0), ("rectifier", 5.0), ("tanh", 5.1))
        for seed, noise in enumerate((0.01, -0.01, 0.02, 0.0) if arm == "leaky" else [0.0] * 4)
    ]
    claim = "leaky-alike"
    for row in rows:
        row |= dict(activation=0.1, activation_both=0.1, spread=0.1, spread_both=0.1)
    assert verdicts(rows)[claim].verdict == "inconclusive"
    apart = [row | {"test_error": 9.0} if row["arm"] == "tanh" else row for row in rows]
    assert verdicts(apart)[claim].verdict == "reproduced"


def test_a_leak_of_zero_is_the_rectifier_and_has_dead_units() -> None:
    rows = rows_of("no-zero", lrs=(0.03,), updates=30)
    ends = {(row["arm"], row["seed"]): row for row in rows if row.get("judged")}
    for seed in (0, 1):
        leaky, plain = ends["leaky", seed], ends["rectifier", seed]
        assert {**leaky, "arm": ""} == {**plain, "arm": ""}
    assert verdicts(rows)["no-zero"].verdict == "fails"
    assert verdicts(rows)["leaky-alike"].effect == 0


def test_a_tanh_net_by_another_name_is_no_better() -> None:
    found = verdicts(rows_of("beats-tanh", lrs=(0.03,), seeds=3))
    assert (found["beats-tanh"].effect, found["beats-tanh"].verdict) == (0, "not reproduced")
    assert found["sparser"].verdict == found["more-dispersed"].verdict == "not reproduced"
