"""Glorot and Bengio's initialization: held against torch's own, the laws of the variances, and the broken idea."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl import xavier_init as module
from impl.kit import Row
from impl.xavier_init import LIMIT, SMOKE, UNITS, Nets, check, draw, factors, jacobians, run

CPU = torch.device("cpu")


def rows_of(cfg: module.Config) -> list[Row]:
    return [event for event in run(cfg, CPU) if isinstance(event, dict)]


@pytest.fixture(scope="module")
def smoke() -> list[Row]:
    return rows_of(SMOKE)


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


@pytest.mark.parametrize(("n", "n_next"), [(64, 200), (200, 64), (128, 128)])
def test_the_ranges_are_torchs_own(n: int, n_next: int) -> None:
    """nn.init.xavier_uniform_ is Eq. 16; nn.Linear's default happens to be Eq. 1."""
    normalized, standard = draw(["normalized", "standard"], [0, 0], n, n_next, key=0)
    theirs = nn.init.xavier_uniform_(torch.empty(n_next, n))
    assert normalized.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.01)
    assert normalized.abs().max() <= LIMIT["normalized"](n, n_next)
    assert standard.abs().max().item() == pytest.approx(nn.Linear(n, n_next).weight.abs().max().item(), rel=0.01)


@given(st.integers(1, 5_000), st.integers(1, 5_000))
def test_the_variance_is_eq_12_and_both_ways_hold_for_equal_layers(n: int, n_next: int) -> None:
    assert LIMIT["normalized"](n, n_next) ** 2 / 3 == pytest.approx(2 / (n + n_next))
    assert n * LIMIT["normalized"](n, n) ** 2 / 3 == pytest.approx(1)  # Eqs. 10 and 11
    assert n * LIMIT["standard"](n, n_next) ** 2 / 3 == pytest.approx(1 / 3)  # Eq. 15


@pytest.mark.parametrize(("name", "law"), [("normalized", 1.0), ("standard", 1 / 3)])
def test_linear_layers_multiply_variances_as_the_law_says(name: str, law: float) -> None:
    for factor in factors(name, replace(SMOKE, nets=200)):
        assert factor == pytest.approx(law, rel=0.06)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=9))
def test_softsign_is_torchs_own(values: list[float]) -> None:
    x = torch.tensor(values)
    assert torch.allclose(UNITS["softsign"](x), F.softsign(x))


def test_nets_side_by_side_are_the_nets_alone() -> None:
    nets, x = Nets(["normalized", "standard"], [3, 4], 6, 2, 7, CPU), torch.randn(5, 6)
    logits, s, z = nets(x.expand(2, -1, -1), torch.tanh)
    assert len(s) == len(z) == 2
    for at in range(2):
        y = torch.tanh(torch.tanh(x @ nets.W[0][at]) @ nets.W[1][at])
        assert torch.allclose(z[1][at], y, atol=1e-6)
        assert torch.allclose(logits[at], y @ nets.W[2][at], atol=1e-5)


def test_the_jacobians_are_autograds() -> None:
    nets, x = Nets(["normalized"], [0], 6, 3, 5, CPU), torch.randn(2, 6)
    _, _, z = nets(x[None], torch.tanh)
    ours = jacobians(nets, z, images=2)  # [1, 2 layers, 2 images, 5]
    for layer, image in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        W = nets.W[layer + 1][0].detach()
        J = torch.autograd.functional.jacobian(lambda v, W=W: torch.tanh(v @ W), z[layer][0, image].detach())
        assert torch.allclose(ours[0, layer, image], torch.linalg.svdvals(J), atol=1e-5)


def test_linear_jacobians_have_the_published_means() -> None:
    """The quarter-circle law: 8 / (3 pi) sqrt(n Var[W]) is 0.85 and 0.49, where the paper measures 0.8 and 0.5."""
    for name, expected in {"normalized": 8 / (3 * math.pi), "standard": 8 / (3 * math.pi * 3**0.5)}.items():
        values = torch.linalg.svdvals(draw([name], [0], 300, 300, key=0))
        assert values.mean().item() == pytest.approx(expected, rel=0.02)


def test_the_same_weights_for_both_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: with the standard range under the other's name nothing is gained."""
    monkeypatch.setitem(LIMIT, "normalized", LIMIT["standard"])
    found = verdicts(rows_of(replace(SMOKE, seeds=3)))
    assert {found[claim] for claim in ("gradient-ratio", "jacobian", "tanh-faster", "softsign-faster")} == {
        "not reproduced"
    }


def test_a_wrong_law_is_noticed(smoke: list[Row]) -> None:
    assert verdicts(smoke)["variance-law"] == "reproduced"
    rows = [row | {"law": 2 * float(row["law"])} if "law" in row else row for row in smoke]
    assert verdicts(rows)["variance-law"] == "not reproduced"


@pytest.mark.parametrize(("top", "expected"), [(0.03, "reproduced"), (0.55, "not reproduced")])
def test_saturation_is_where_the_top_layer_is_lowest(top: float, expected: str) -> None:
    rows: list[Row] = [
        {"unit": "sigmoid", "net": "standard", "seed": seed, "step": step, "loss": 2.3, "top": value, "others": 0.6}
        for seed in range(3)
        for step, value in enumerate((0.6, top, 0.58))
    ]
    assert verdicts(rows)["sigmoid-saturates"] == expected


def test_no_rows_are_inconclusive() -> None:
    assert set(verdicts([]).values()) == {"inconclusive"}
