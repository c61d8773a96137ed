"""Deep sparse rectifiers: p - y and linear paths held against autograd, torch's own operators, and the broken idea."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from impl.deep_sparse_rectifiers import (
    GAIN,
    SMOKE,
    UNITS,
    Nets,
    SoftmaxLoss,
    check,
    codes,
    errors,
    path_gap,
    pretrain,
    run,
    softmax_loss,
    train,
    zeros,
)
from impl.kit import Row

CPU = torch.device("cpu")
SIZES = [6, 8, 8, 10]


def verdicts(rows: list[Row]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def smoke() -> list[Row]:
    return [event for event in run(SMOKE, CPU) if isinstance(event, dict)]


def test_the_softmax_loss_is_torchs_own_and_its_gradient_passes_gradcheck() -> None:
    logits, labels = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True), torch.randint(5, (2, 3))
    theirs = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(2, 3)
    assert torch.allclose(softmax_loss(logits, labels), theirs, atol=1e-12)
    assert torch.autograd.gradcheck(SoftmaxLoss.apply, (logits, labels))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-500, 500), min_size=2, max_size=9), st.data())
def test_what_softmax_sends_back_sums_to_zero_and_stays_within_one(values: list[float], data: st.DataObject) -> None:
    logits = torch.tensor([values], dtype=torch.float64, requires_grad=True)
    label = data.draw(st.integers(0, len(values) - 1))
    (gradient,) = torch.autograd.grad(softmax_loss(logits, torch.tensor([label])).sum(), logits)
    assert gradient.isfinite().all() and abs(float(gradient.sum())) < 1e-12
    assert -1 <= gradient[0, label] <= 0 and gradient.abs().max() <= 1


@pytest.mark.parametrize("unit", UNITS)
def test_nets_side_by_side_are_torchs_nets_alone(unit: str) -> None:
    modules = {"rectifier": nn.ReLU(), "tanh": nn.Tanh(), "softplus": nn.Softplus(), "sigmoid": nn.Sigmoid()}
    nets, x = Nets.drawn(SIZES, [3, 4], GAIN[unit], CPU), torch.randn(2, 5, 6)
    for k in range(2):
        layers: list[nn.Module] = []
        for (m, n), W, b in zip(itertools.pairwise(SIZES), nets.W, nets.b, strict=True):
            layers += [nn.Linear(m, n), modules[unit]]
            layers[-2].load_state_dict({"weight": W[k].T, "bias": b[k, 0]})
        assert torch.allclose(nets(x, unit)[0][k], nn.Sequential(*layers[:-1])(x[k]), atol=1e-5)


def test_the_first_weights_are_xaviers_and_only_hidden_ones_are_larger() -> None:
    one, four = (Nets.drawn([300, 200, 10], [0], gain, CPU).W for gain in (1.0, 4.0))
    theirs = nn.init.xavier_uniform_(torch.empty(200, 300))
    assert one[0].std().item() == pytest.approx(theirs.std().item(), rel=0.02)
    assert torch.equal(four[0], 4 * one[0]) and torch.equal(four[1], one[1])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_whatever_the_weights_a_rectifier_net_is_linear_along_its_paths(seed: int) -> None:
    nets, draw = Nets.drawn(SIZES, [seed], 1.0, CPU), torch.Generator().manual_seed(seed)
    nets.b = [torch.randn(b.shape, generator=draw) for b in nets.b]
    assert path_gap(nets, torch.randn(7, 6, generator=draw)) < 1e-12


def test_half_of_the_rectifiers_are_off_at_the_start_and_no_other_unit_is() -> None:
    nets, x = Nets.drawn([50, 400, 400, 10], [0, 1], 1.0, CPU), torch.randn(100, 50)
    assert torch.allclose(zeros(codes(nets, "rectifier", x)), torch.tensor(50.0), atol=5)
    assert all(zeros(codes(nets, unit, x)).max() == 0 for unit in ("tanh", "softplus", "sigmoid"))


def test_nets_trained_side_by_side_are_nets_trained_alone_and_a_penalty_makes_zeros() -> None:
    cfg = replace(SMOKE, updates=60, n=60)
    x, y = torch.rand(80, 6), torch.randint(10, (80,))

    def trained(seeds: list[int], penalties: list[float]) -> Nets:
        nets = Nets.drawn(SIZES, seeds, 1.0, CPU).pick(range(len(seeds)))
        for _ in train(nets, "rectifier", x, y, cfg, seeds, [0.05] * len(seeds), penalties):
            pass
        return nets

    both = trained([1, 1], [0.0, 0.05])
    assert torch.allclose(both.W[0][0], trained([1], [0.0]).W[0][0], atol=1e-5)
    share = zeros(codes(both, "rectifier", x)).mean(0)
    assert share[1] > share[0]


@pytest.mark.parametrize("unit", ["rectifier", "tanh"])
def test_autoencoders_learn_to_reconstruct_and_leave_the_output_alone(unit: str) -> None:
    cfg = replace(SMOKE, pretraining=400, n=100, L=2, batch=50, pretraining_rate=0.01, corruption=0.1)
    nets = Nets.drawn(SIZES, [0], 1.0, CPU).pick([0])
    images = torch.rand(100, 2) @ torch.rand(2, 6)  # two numbers say all six pixels
    output, lost = nets.W[-1].clone(), dict[int, list[float]]()
    for layer, _, wrong in pretrain(nets, unit, images, cfg, [0]):
        lost.setdefault(layer, []).append(wrong[0])
    assert sorted(lost) == [0, 1] and all(errors[-1] < 0.5 * errors[0] for errors in lost.values())
    assert torch.equal(nets.W[-1], output)


def test_nets_that_diverge_have_no_error() -> None:
    nets = Nets.drawn(SIZES, [0, 1], 1.0, CPU)
    nets.W[0][1] = torch.nan
    assert errors(nets, "tanh", torch.rand(9, 6), torch.randint(10, (9,))).isnan().tolist() == [False, True]


def test_what_is_exact_holds_in_a_run(smoke: list[Row]) -> None:
    found = verdicts(smoke)
    assert found["softmax-gradient"] == found["linear-paths"] == found["flow-sigmoid"] == "reproduced"


def test_a_unit_that_is_never_zero_is_neither_sparse_nor_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: a softplus in the rectifier's place."""
    monkeypatch.setitem(UNITS, "rectifier", F.softplus)
    found = verdicts([event for event in run(SMOKE, CPU) if isinstance(event, dict)])
    assert found["linear-paths"] == found["sparse"] == "not reproduced"


def test_a_gradient_of_another_sign_is_noticed(monkeypatch: pytest.MonkeyPatch, smoke: list[Row]) -> None:
    wrong: list[Row] = [row | {"softmax_gap": 0.1} if "softmax_gap" in row else row for row in smoke]
    assert verdicts(wrong)["softmax-gradient"] == "not reproduced"


@pytest.mark.parametrize(("rectifier", "expected"), [(5.0, "reproduced"), (9.0, "not reproduced")])
def test_the_comparisons_are_decided_by_the_errors(rectifier: float, expected: str) -> None:
    rivals = {"tanh": 7.0, "softplus": 7.0, "sigmoid": 7.0, "rectifier, pre-trained": 7.0, "rectifier": rectifier}
    rows: list[Row] = [
        {"net": net, "seed": seed, "test_error": e + seed / 100} for net, e in rivals.items() for seed in range(5)
    ]
    found = verdicts(rows)
    names = ("as-good-as-tanh", "as-good-as-softplus", "better-than-sigmoid", "no-pretraining")
    assert {found[name] for name in names} == {expected}
    assert found["sparse"] == found["flow-tanh"] == "inconclusive"
