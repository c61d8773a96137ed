"""ELU: held against torch's own and a numerical gradient, its bounds, the records of a training, and the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from impl import elu as module
from impl.elu import SMOKE, Nets, check, elu, run, units
from impl.kit import Row
from impl.kit.data import handwriting

CPU = torch.device("cpu")


def rows_of(cfg: module.Config) -> list[Row]:
    return [event for event in run(cfg, CPU) if isinstance(event, dict)]


@pytest.fixture(scope="module")
def smoke() -> list[Row]:
    return rows_of(SMOKE)


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 3.0), st.lists(st.floats(-800, 800), min_size=1, max_size=20))
def test_it_is_torchs_own(alpha: float, values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    ours, theirs = elu(x, alpha), F.elu(x, alpha)
    assert torch.allclose(ours, theirs, atol=1e-12)
    slope, expected = (torch.autograd.grad(y.sum(), x)[0] for y in (ours, theirs))
    assert torch.allclose(slope, expected, atol=1e-12)


def test_the_backward_pass_is_the_gradient() -> None:
    x = torch.tensor([-5.0, -1.0, -0.1, 0.1, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: elu(x, 0.7), x)


@given(st.floats(0.1, 3.0), st.floats(-800, 0), st.floats(-800, 0))
def test_below_zero_it_saturates_and_never_falls(alpha: float, a: float, b: float) -> None:
    low, high = elu(torch.tensor(sorted([a, b]), dtype=torch.float64), alpha).tolist()
    assert -alpha <= low <= high <= 0


def test_relu_and_leaky_relu_are_torchs_own() -> None:
    x = torch.linspace(-3, 3, 100)
    f = units(SMOKE)
    assert torch.equal(f["relu"](x), F.relu(x))
    assert torch.allclose(f["leaky relu"](x), F.leaky_relu(x, SMOKE.leak))


def test_nets_side_by_side_are_the_nets_alone() -> None:
    together, x = Nets(SMOKE, 64, [3, 4], CPU), torch.rand(2, 5, 64)
    for i, seed in enumerate((3, 4)):
        alone = Nets(SMOKE, 64, [seed], CPU)
        assert torch.allclose(together(x, elu)[0][i], alone(x[i : i + 1], elu)[0][0], atol=1e-5)


def test_the_paper_has_eight_layers_of_128() -> None:
    nets = Nets(module.PAPER, 784, [0], CPU)
    assert sum(p.numel() for p in [*nets.W, *nets.b]) == 785 * 128 + 7 * 129 * 128 + 129 * 10


def test_a_training_is_recorded_while_it_goes_on(smoke: list[Row]) -> None:
    """The first record is that of the net before any update, and each is of another net than the last."""
    curve = [r for r in smoke if r.get("net") == "elu" and r.get("setting") == "own rate" and r["seed"] == 0]
    curve = [row for row in curve if "loss" in row]
    assert [row["step"] for row in curve] == list(range(SMOKE.updates + 1))
    assert len({row["loss"] for row in curve}) == len({row["median"] for row in curve}) == len(curve)
    data = handwriting("digits")
    loss, activation = module.watch(Nets(SMOKE, 64, [0], CPU), elu, data, SMOKE.K)
    assert curve[0]["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert curve[0]["median"] == pytest.approx(float(activation.flatten().median()), rel=1e-4)


def test_units_without_a_negative_part_are_not_reproduced() -> None:
    """The broken idea: with alpha = 0 the ELU is the ReLU."""
    found = verdicts(rows_of(replace(SMOKE, alpha=0.0, leak=0.0, seeds=3)))
    assert found["nearer-zero"] == found["faster"] == found["own-rate"] == "not reproduced"


def test_a_wrong_slope_is_noticed(smoke: list[Row]) -> None:
    rows = [row | {"gap": 0.1} if "gap" in row else row for row in smoke]
    assert verdicts(rows)["slope"] == "not reproduced"


def test_a_net_that_diverges_is_no_verdict(smoke: list[Row]) -> None:
    rows = [
        row | {"loss": float("nan")} if row.get("net") == "elu" and "loss" in row else row for row in rows_of(SMOKE)
    ]
    assert verdicts(rows)["faster"] == "inconclusive"


def test_the_better_rival_counts() -> None:
    rows: list[Row] = [dict(seed=0, gap=0.0)]
    losses = {"elu": 0.5, "relu": 1.0, "leaky relu": 0.4}
    for seed in range(5):
        for net, loss in losses.items():
            for setting in ("the paper's rate", "own rate"):
                rows.append(dict(net=net, setting=setting, seed=seed, step=1, loss=loss + seed / 100, median=0.1))
    assert verdicts(rows)["faster"] == "not reproduced"
