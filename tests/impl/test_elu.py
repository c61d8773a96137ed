"""ELU: against torch's own and a numerical gradient, its bounds, and the broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl.elu import (
    BROKEN,
    ELU,
    PAPER,
    SMOKE,
    check,
    net,
    run,
    torchs_own,
    unit_of,
    watch,
)
from impl.kit import Row, Verdict
from impl.kit.broken import take_out
from impl.kit.supervised import gradient_gap

CPU = torch.device("cpu")
RIVALS = ("relu", "leaky relu")


def rows_of(claim: str | None, **changes: object) -> list[Row]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        return [event for event in run(cfg, CPU) if isinstance(event, dict)]


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in check(rows_of(claim, **changes))}


@pytest.fixture(scope="module")
def smoke() -> list[Row]:
    return rows_of(None)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 3.0), st.lists(st.floats(-800, 800), min_size=1, max_size=20))
def test_it_is_torchs_own(alpha: float, values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    ours, theirs = ELU(alpha)(x), F.elu(x, alpha)
    assert torch.allclose(ours, theirs, atol=1e-12)
    gradient, expected = (torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs))
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_the_backward_pass_is_the_gradient() -> None:
    x = torch.tensor([-5.0, -1.0, -0.1, 0.1, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(ELU(0.7), x)


@given(st.floats(0.1, 3.0), st.floats(-800, 0), st.floats(-800, 0))
def test_below_zero_it_saturates_and_never_falls(alpha: float, a: float, b: float) -> None:
    low, high = ELU(alpha)(torch.tensor(sorted([a, b]), dtype=torch.float64)).tolist()
    assert -alpha <= low <= high <= 0


def test_the_paper_has_eight_layers_of_128() -> None:
    model = net(784, PAPER.H, PAPER.L, ELU())
    assert sum(p.numel() for p in model.parameters()) == 785 * 128 + 7 * 129 * 128 + 129 * 10
    assert sum(isinstance(module, ELU) for module in model) == 8


def test_what_is_watched_are_the_hidden_units() -> None:
    torch.manual_seed(0)
    model, x, y = net(6, 4, 2, nn.ReLU()), torch.rand(9, 6), torch.arange(9)
    first = F.relu(model[0](x))
    second = F.relu(model[2](first))
    loss, activation = watch(model, x, y)
    assert torch.allclose(activation, torch.stack([first.mean(0), second.mean(0)]))
    assert loss == pytest.approx(F.cross_entropy(model[4](second), y).item())


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_the_gradient_of_a_net_is_that_through_torchs_own_unit(alpha: float) -> None:
    torch.manual_seed(0)
    model, x, y = net(6, 8, 3, ELU(alpha)), torch.randn(20, 6), torch.arange(20) % 10
    twin = torchs_own(model)
    assert [m.alpha for m in twin if isinstance(m, nn.ELU)] == [alpha] * 3
    assert gradient_gap(model, twin, x, y) < 1e-12


def test_all_arms_have_the_same_first_weights_and_batches(smoke: list[Row]) -> None:
    """And a training is recorded while it goes on, from the net before any update."""
    first = [r for r in smoke if r.get("step") == 0 and r["seed"] == 0]
    assert len(first) == 3 * len(SMOKE.lrs)
    assert len({row["loss"] for row in first}) == 3, "the same at every rate"
    twins = rows_of(None, alpha=0.0, leak=0.0)
    for seed in (0, 1):
        ends = [r for r in twins if r["seed"] == seed and r.get("at") == "the paper's rate"]
        assert len(ends) == 3 and len({row["loss"] for row in ends}) == 1


def test_the_better_rival_counts(smoke: list[Row]) -> None:
    losses = {"elu": 0.5, "relu": 1.0, "leaky relu": 0.4}
    rows: list[Row] = [
        row | {"loss": losses[str(row["arm"])] * (1 + float(row["seed"]) / 100)}
        for row in smoke
        if row.get("judged")
    ]
    found = {verdict.claim: verdict.verdict for verdict in check(rows)}
    assert found["faster"] == found["own-rate"] == "not reproduced"
    for row in rows:
        if row["arm"] == "leaky relu":
            row["loss"] = float("nan")
    assert {verdict.claim: verdict.verdict for verdict in check(rows)}["faster"] == "reproduced"


def test_without_a_negative_part_nothing_is_gained() -> None:
    """With alpha = 0 the ELU is the ReLU, which is no better than the better of two rivals."""
    found = judged("faster", seeds=3, leak=0.0)
    assert found["nearer-zero"].effect == found["faster"].effect == found["own-rate"].effect == 0
    assert {found[c].verdict for c in ("nearer-zero", "faster", "own-rate")} == {"not reproduced"}


def test_a_wrong_slope_is_noticed() -> None:
    assert judged(None)["slope"].verdict == "holds"
    assert judged("slope")["slope"].verdict == "fails"
    assert isinstance(unit_of("elu", SMOKE), ELU)
