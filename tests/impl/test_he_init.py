"""He's initialization and PReLU: torch's own, the law of the variances, the broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from impl.he_init import (
    BROKEN,
    CLAIMS,
    GAIN,
    PAPER,
    SMOKE,
    PReLU,
    check,
    laws,
    learn,
    net,
    run,
    trial,
)
from impl.kit import Row, Verdict, judge
from impl.kit.broken import take_out
from impl.kit.data import digits, draw_split
from impl.kit.supervised import standardize

CPU = torch.device("cpu")


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def last(claim: str | None, arm: str, **changes: object) -> Row:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        torch.manual_seed(0)
        *_, row = trial(cfg, CPU, arm=arm, seed=0, lr=0.01)
    assert isinstance(row, dict)
    return row


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_prelu_is_torchs_own(B: int, H: int, seed: int) -> None:
    torch.manual_seed(seed)
    y = torch.randn(B, H, dtype=torch.float64).requires_grad_()
    ours, theirs = PReLU(H).double(), nn.PReLU(H, dtype=torch.float64)
    nn.init.normal_(ours.a)
    theirs.weight = ours.a
    assert torch.equal(ours(y), theirs(y))
    for f in (ours, theirs):
        assert torch.autograd.gradcheck(f, y)
    found, expected = (
        torch.autograd.grad(f(y).square().sum(), [y, ours.a]) for f in (ours, theirs)
    )
    assert all(torch.allclose(p, q) for p, q in zip(found, expected, strict=True))


@pytest.mark.parametrize("fan_in", [64, 784])
def test_the_weights_are_torchs_kaiming_normal(fan_in: int) -> None:
    torch.manual_seed(0)
    ours = net([fan_in, 300, 10], GAIN["he"], lambda H: nn.ReLU())[0]
    torch.manual_seed(0)
    theirs = nn.Linear(fan_in, 300)
    nn.init.kaiming_normal_(theirs.weight, nonlinearity="relu")
    assert torch.allclose(ours.get_parameter("weight"), theirs.weight)
    assert (ours.get_parameter("bias") == 0).all()


def test_the_paper_has_thirty_layers() -> None:
    sizes = [784, *[PAPER.H] * (PAPER.deep - 1), 10]
    model = net(sizes, 2.0, lambda H: PReLU(H, PAPER.a))
    assert sum(isinstance(module, nn.Linear) for module in model) == 30
    slopes = [module.a for module in model if isinstance(module, PReLU)]
    assert len(slopes) == 29 and all((a == 0.25).all() for a in slopes)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(2, 40), st.integers(0, 99))
def test_xaviers_gradient_is_smaller_by_exactly_the_factor(L: int, H: int, seed: int) -> None:
    """The same draws, scaled: a positive factor changes no sign, hence no ReLU, and comes out of
    every layer. It is not a number where no unit of a narrow net is active."""
    std = {}
    for name, gain in GAIN.items():
        torch.manual_seed(seed)
        model = net([H] * (L + 1), gain, lambda H: nn.ReLU()).append(nn.ReLU()).double()
        x = torch.randn(32, H).double().requires_grad_()
        std[name] = torch.autograd.grad(model(x), x, torch.randn(32, H).double())[0].std()
    ratio = float(std["xavier"] / std["he"] * 2 ** (L / 2))
    assert ratio != ratio or ratio == pytest.approx(1, abs=1e-5)


def test_a_layer_multiplies_the_variance_as_the_law_says() -> None:
    rows = list(laws(replace(SMOKE, nets=100), seed=0))
    assert len(rows) == 6
    assert all(float(row["over_law"]) == pytest.approx(1, rel=0.06) for row in rows)


def test_weights_decay_and_coefficients_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sec. 2.1: with a loss that is flat, decay alone moves the weights, and leaves `a` alone."""
    monkeypatch.setattr("torch.nn.functional.cross_entropy", lambda logits, y: 0 * logits.sum())
    model = net([64, 5, 10], 2.0, lambda H: PReLU(H, 0.25))
    before = model[0].get_parameter("weight").detach().clone()
    cfg = replace(SMOKE, decay=0.1, momentum=0.0)
    split = standardize(draw_split(digits(), 50, 50, seed=0))
    list(learn(model, split, cfg, seed=0, lr=0.5, updates=2))
    assert torch.allclose(model[0].get_parameter("weight"), before * 0.95**2)
    assert (model[1].get_parameter("a") == 0.25).all()


def test_how_soon_the_error_falls() -> None:
    """The first record at which it is 30 points below a guess; one record past the end if never."""
    rows = [r for r in trial(SMOKE, CPU, arm="he", seed=0, lr=1e-9) if isinstance(r, dict)]
    assert rows[-1]["fallen"] == rows[-1]["val_fallen"] == SMOKE.updates + 1
    cfg = replace(SMOKE, updates=100, batch=32)
    rows = [r for r in trial(cfg, CPU, arm="he", seed=0, lr=0.03) if isinstance(r, dict)]
    soonest = min(int(row["step"]) for row in rows if float(row.get("error", 90.0)) <= 60)
    assert rows[-1]["fallen"] == soonest < 100


def test_the_same_weights_for_both_gain_nothing() -> None:
    found = judged("thirty-layers", seeds=3)
    for claim in ("thirty-layers", "twenty-two-layers"):
        assert found[claim].effect in (0, 1) and found[claim].verdict == "not reproduced"
    assert found["response-variance"].verdict == "fails"
    assert found["prelu-gradient"].verdict == "holds"


def test_a_wrong_gradient_is_noticed() -> None:
    claims = [claim for claim in CLAIMS if claim.claim == "prelu-gradient"]
    judged: Row = {"judged": True}
    assert judge(claims, [last(None, "prelu") | judged])[0].verdict == "holds"
    assert judge(claims, [last("prelu-gradient", "prelu") | judged])[0].verdict == "fails"


def test_slopes_that_are_not_learnt_stay_where_they_were() -> None:
    moved, frozen = last(None, "prelu"), last("coefficients", "prelu")
    assert frozen["a_first"] == frozen["a_later"] == 0.25 != moved["a_first"]


def test_a_net_without_slopes_is_the_relu_net() -> None:
    plain, same = last(None, "relu"), last("prelu-fits", "prelu", a=0.0)
    assert all(plain[key] == same[key] for key in ("loss", "test_error", "val_error"))
