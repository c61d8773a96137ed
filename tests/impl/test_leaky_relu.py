"""Leaky rectifiers: held against torch's own, the gradient that is never zero, the records, and the broken ideas."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from impl.kit import Row
from impl.leaky_relu import SMOKE, Nets, active, check, leaky_rectifier, rectifier, run, zero_gradients

CPU = torch.device("cpu")


def rows_of(cfg: object = SMOKE) -> list[Row]:
    return [event for event in run(cfg, CPU) if isinstance(event, dict)]  # type: ignore[arg-type]


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


def made(**differences: float) -> list[Row]:
    """Rows of six seeds in which all is as the paper says, but for the values of one kind of net that are given."""
    nets: dict[str, Row] = {
        "leaky": dict(test_error=5.0, activation=0.2, spread=0.05, zero_gradient_units=0),
        "rectifier": dict(test_error=5.0, activation=0.2, spread=0.05, zero_gradient_units=9),
        "tanh": dict(test_error=7.0, activation=0.6, spread=0.2, zero_gradient_units=0),
    }
    for key, value in differences.items():
        net, _, measure = key.partition("_")
        nets[net][measure] = value
    rows: list[Row] = []
    for seed in range(6):
        for net, row in nets.items():
            rows.append(
                {**row, "net": net, "seed": seed, "judged": True, "test_error": float(row["test_error"]) + seed / 100}
            )
    return rows


@pytest.fixture(scope="module")
def smoke() -> list[Row]:
    return rows_of()


@settings(deadline=None)
@given(st.floats(0.001, 1.0), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_they_are_torchs_own(leak: float, values: list[float]) -> None:
    a = torch.tensor(values, dtype=torch.float64)
    assert torch.allclose(leaky_rectifier(a, leak), F.leaky_relu(a, leak))
    assert torch.equal(rectifier(a), F.relu(a))


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_the_slope_is_one_or_the_leak(values: list[float]) -> None:
    a = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(leaky_rectifier(a, 0.01).sum(), a)
    assert set(slope.tolist()) <= {0.01, 1.0}


def test_a_dead_unit_has_no_gradient_unless_it_leaks() -> None:
    """Every unit of the first layer is pushed far below zero."""
    nets, x, y = Nets([8, 6, 6, 10], [0, 1], 2.0, CPU), torch.rand(20, 8), torch.arange(20) % 10
    with torch.no_grad():
        nets.b[0] -= 100
    count, share = zero_gradients(nets, rectifier, x, y)
    assert (count >= 6).all()
    assert float(share[0]) == 1
    count, share = zero_gradients(nets, lambda a: leaky_rectifier(a, 0.01), x, y)
    assert count.tolist() == [0, 0]
    assert share.sum() == 0


def test_nets_side_by_side_are_the_nets_alone() -> None:
    together, x = Nets([8, 6, 10], [3, 4], 2.0, CPU), torch.rand(2, 5, 8)
    for i, seed in enumerate((3, 4)):
        alone = Nets([8, 6, 10], [seed], 2.0, CPU)
        assert torch.allclose(together(x, rectifier)[0][i], alone(x[i : i + 1], rectifier)[0][0], atol=1e-5)


def test_a_tanh_unit_is_off_at_its_lower_end_only() -> None:
    h = torch.tensor([-0.99, -0.5, 0.0, 0.99])
    assert active(h, "tanh", 0.95).tolist() == [False, True, True, True]
    assert active(h, "rectifier", 0.95).tolist() == [False, False, False, True]


def test_a_training_is_recorded_while_it_goes_on(smoke: list[Row]) -> None:
    curve = [row for row in smoke if row["net"] == "leaky" and row["seed"] == 0 and "step" in row]
    assert [row["step"] for row in curve] == list(range(SMOKE.updates + 1))
    assert len({row["loss"] for row in curve[1:]}) == SMOKE.updates
    assert len({row["valid_error"] for row in curve}) > 1


def test_a_leak_of_zero_is_the_rectifier_and_has_dead_units() -> None:
    """The broken idea: what doesn't leak has units without a gradient."""
    rows = rows_of(replace(SMOKE, leak=0.0))
    ends = {(row["net"], row["seed"]): row for row in rows if "test_error" in row}
    for seed in (0, 1):
        leaky, plain = ends["leaky", seed], ends["rectifier", seed]
        assert [v for k, v in leaky.items() if k != "net"] == [v for k, v in plain.items() if k != "net"]
    assert sum(int(row["zero_gradient_units"]) for row in ends.values()) > 0
    assert verdicts(rows)["no-zero"] == "not reproduced"


def test_smoke_is_judged(smoke: list[Row]) -> None:
    assert len(check(smoke)) == 5


def test_as_the_paper_says_is_reproduced() -> None:
    assert set(verdicts(made()).values()) == {"reproduced"}


@pytest.mark.parametrize(
    ("claim", "difference"),
    [
        ("beats-tanh", dict(rectifier_test_error=7.0)),
        ("leaky-alike", dict(leaky_test_error=6.0)),
        ("leaky-alike", dict(leaky_test_error=4.0)),
        ("sparser", dict(rectifier_activation=0.6)),
        ("more-dispersed", dict(rectifier_spread=0.2)),
        ("no-zero", dict(leaky_zero_gradient_units=1)),
    ],
)
def test_otherwise_not(claim: str, difference: dict[str, float]) -> None:
    assert verdicts(made(**difference))[claim] == "not reproduced"
