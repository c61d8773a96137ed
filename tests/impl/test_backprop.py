"""Back-propagation: the backward pass against autograd and against differences, the facts, and ideas broken on purpose."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from impl import backprop
from impl.backprop import PAPER, PEOPLE, PRESETS, SMOKE
from impl.kit import Row, pick_device

CPU = pick_device("cpu")  # one thread, as a run has
RELATIONS = ("father", "mother", "husband", "wife", "son", "daughter", "uncle", "aunt", "brother", "sister",
             "nephew", "niece")  # fmt: skip


def outcomes(rows: list[Row]) -> dict[str, str]:
    return {verdict.claim: verdict.verdict for verdict in backprop.check(rows)}


def symmetry_rows(idea: list[float], baseline: float = 0.0) -> list[Row]:
    nets = {"two hidden units": idea, "no hidden units": [baseline] * len(idea)}
    return [
        {"task": "symmetry", "net": net, "seed": seed, "found": v}
        for net, vs in nets.items()
        for seed, v in enumerate(vs)
    ]


def family_rows(idea: list[float], baseline: list[float]) -> list[Row]:
    nets = {"five layers": idea, "no hidden units": baseline}
    return [
        {"task": "family trees", "net": net, "seed": seed, "held_out_right": v}
        for net, values in nets.items()
        for seed, v in enumerate(values)
    ]


def known_facts() -> set[tuple[str, str, str]]:
    names = [name for tree in PEOPLE for name in tree]
    x, d = backprop.family_facts()
    return {
        (names[int(case[:24].argmax())], RELATIONS[int(case[24:].argmax())], names[int(p)])
        for case, answers in zip(x, d, strict=True)
        for p in answers.nonzero()
    }


# --- the backward pass -----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=2, max_size=5), seed=st.integers(0, 10_000))
def test_the_gradient_is_autograds_for_any_net(sizes: list[int], seed: int) -> None:
    assert backprop.gradient_gap(sizes, seed) < 1e-10


def test_the_gradient_is_the_slope() -> None:
    W = [w.double() for w in backprop.start(range(1), [3, 2, 2], 1.0, CPU)]
    x, d = torch.rand(1, 5, 3).double(), torch.rand(1, 5, 2).double()

    def error() -> float:
        return float((backprop.forward(W, x)[-1] - d).square().sum() / 2)

    y = backprop.forward(W, x)
    for w, dE_dw in zip(W, backprop.backward(W, y, y[-1] - d), strict=True):
        for at in range(w.numel()):
            w.view(-1)[at] += 1e-6
            up = error()
            w.view(-1)[at] -= 2e-6
            slope = (up - error()) / 2e-6
            w.view(-1)[at] += 1e-6
            assert slope == pytest.approx(float(dE_dw.reshape(-1)[at]), abs=1e-7)


def test_the_nets_are_torch_nets_side_by_side() -> None:
    W = backprop.start(range(3), [6, 2, 1], 0.3, CPU)
    x, _ = backprop.symmetry_cases()
    y = backprop.forward(W, x.expand(3, -1, -1))[-1]
    for s in range(3):
        net = nn.Sequential(nn.Linear(6, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid())
        for layer, w in zip(net[::2], W, strict=True):
            layer.weight.data, layer.bias.data = w[s, :-1].T, w[s, -1]
        torch.testing.assert_close(y[s], net(x))


def test_learning_is_torchs_momentum() -> None:
    W = backprop.start(range(1), [6, 2, 1], 0.3, CPU)
    theirs = [w.clone().requires_grad_() for w in W]
    x, d = (part[None] for part in backprop.symmetry_cases())
    optimizer = torch.optim.SGD(theirs, lr=0.1, momentum=0.9)
    for _ in range(10):
        optimizer.zero_grad()
        ((backprop.forward(theirs, x)[-1] - d).square().sum() / 2).backward()
        optimizer.step()
    list(backprop.learn(W, x, d, torch.ones_like(d), 100, 10, (0.1, 0.1), (0.9, 0.9)))
    for ours, other in zip(W, theirs, strict=True):
        torch.testing.assert_close(ours, other.detach())


def test_a_seed_starts_the_same_beside_any_others() -> None:
    alone, among = (backprop.start(seeds, [4, 3, 2], 1.0, CPU) for seeds in (range(5, 6), range(3, 9)))
    assert all(torch.equal(a[0], b[2]) for a, b in zip(alone, among, strict=True))


def test_missing_connections_stay_missing_and_held_out_facts_unseen() -> None:
    x, d = (part[None] for part in backprop.family_facts())
    seen = torch.ones(1, 104, 1)
    seen[0, 7] = 0
    nets = []
    for target in (d, d.clone()):
        target[0, 7] = 1 - d[0, 7] if nets else d[0, 7]  # what the held-out fact says must not matter
        W = backprop.start(range(1), [36, 12, 24], 1.0, CPU)
        W[0][:, :24, 6:] = 0
        list(backprop.learn(W, x, target, seen, 100, 5, (0.1, 0.1), (0.5, 0.9), 0.001, 0.2))
        assert not W[0][:, :24, 6:].any() and W[0][:, 24:].any()
        nets.append(W)
    assert all(torch.equal(a, b) for a, b in zip(*nets, strict=True))


# --- the tasks -------------------------------------------------------------------------------------------------------


def test_eight_of_64_patterns_are_symmetric() -> None:
    x, d = backprop.symmetry_cases()
    assert x.unique(dim=0).shape == (64, 6) and d.sum() == 8


def test_the_trees_hold_104_facts() -> None:
    x, d = backprop.family_facts()
    assert x.shape == (104, 36) and x.unique(dim=0).shape == (104, 36)
    assert (x.sum(1) == 2).all() and d.sum() == 112  # eight facts have two answers: uncles, aunts
    assert torch.equal(x[:52, :12], x[52:, 12:24]) and torch.equal(d[:52, :12], d[52:, 12:])  # isomorphic
    facts = known_facts()
    assert {p for who, how, p in facts if (who, how) == ("Colin", "aunt")} == {"Margaret", "Jennifer"}  # Fig. 3
    assert ("Charlotte", "brother", "Colin") in facts and ("Emilio", "wife", "Gina") in facts


@pytest.mark.skipif("KB_DATA" not in os.environ, reason="needs KB_DATA/kinship")
def test_the_facts_are_those_of_the_published_file() -> None:
    path = Path(os.environ["KB_DATA"]) / "kinship" / "kinship.txt"
    if not path.exists():
        pytest.skip("no kinship in KB_DATA")
    told = re.findall(r"^(\w+)\((\w+), (\w+)\)", path.read_text(), re.MULTILINE)
    assert {(who, how, p) for how, p, who in told} == known_facts()


def test_a_fact_is_right_only_if_all_its_answers_lead() -> None:
    d = torch.tensor([[[1.0, 1.0, 0.0]] * 3])
    y = torch.tensor([[[0.3, 0.4, 0.2], [0.9, 0.2, 0.3], [0.5, 0.5, 0.5]]])
    assert backprop.ranked(y, d).tolist() == [[1.0, 0.0, 0.0]]


def test_weights_of_fig_1_are_recognized() -> None:
    w = torch.zeros(1, 7, 2)
    w[0, :6, 0] = torch.tensor([14.2, -3.6, 7.2, -7.1, 3.6, -14.2])
    w[0, :6, 1] = -w[0, :6, 0]
    gap, ratios = backprop.mirror([w])
    assert gap < 0.01 and torch.allclose(ratios[0, :, 0], torch.tensor([1.0, 2.0, 4.0]), rtol=0.02)


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_defaults_are_the_papers() -> None:
    assert PRESETS["paper"] == PAPER
    assert (PAPER.symmetry_rate, PAPER.symmetry_momentum, PAPER.symmetry_range) == (0.1, 0.9, 0.3)
    assert (PAPER.family_sweeps, PAPER.decay, PAPER.slack, PAPER.held_out) == (1_500, 0.002, 0.2, 4)


def test_smoke_measures_every_claim() -> None:
    rows = [event for event in backprop.run(SMOKE, CPU) if isinstance(event, dict)]
    assert outcomes(rows).keys() == {"exact-gradient", "symmetry", "family-trees"}
    assert outcomes(rows)["exact-gradient"] == "reproduced"


def test_nothing_measured_is_inconclusive() -> None:
    assert set(outcomes([]).values()) == {"inconclusive"}


def test_a_net_that_solves_and_one_that_generalizes_are_reproduced() -> None:
    rows = symmetry_rows([1, 1, 0, 1, 1, 1, 1, 1]) + family_rows([4, 3, 4, 2, 4, 3], [0, 0, 1, 0, 0, 0])
    assert outcomes(rows) == {"exact-gradient": "inconclusive", "symmetry": "reproduced", "family-trees": "reproduced"}


def test_a_backward_pass_without_eq_5_is_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(W: list[torch.Tensor], y: list[torch.Tensor], dE_dy: torch.Tensor) -> list[torch.Tensor]:
        gradient = []
        for w, below in reversed(list(zip(W, y[:-1], strict=True))):  # the slope of the sigmoid is forgotten
            gradient.append(torch.cat([below.mT @ dE_dy, dE_dy.sum(1, keepdim=True)], 1))
            dE_dy = dE_dy @ w[:, :-1].mT
        return gradient[::-1]

    monkeypatch.setattr(backprop, "backward", broken)
    rows: list[Row] = [{"gap": backprop.gradient_gap([6, 2, 1], seed)} for seed in range(3)]
    assert outcomes(rows)["exact-gradient"] == "not reproduced"


def test_errors_that_stop_at_the_output_layer_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Eq. 7 the hidden units keep their random weights, and no start solves what some solve with it."""
    cfg = replace(SMOKE, symmetry_sweeps=1_200, every=1_200, seeds=12)
    whole = backprop.backward

    def broken(W: list[torch.Tensor], y: list[torch.Tensor], dE_dy: torch.Tensor) -> list[torch.Tensor]:
        *hidden, last = whole(W, y, dE_dy)
        return [torch.zeros_like(g) for g in hidden] + [last]

    def rows() -> list[Row]:
        return [event for event in backprop.symmetry(cfg, CPU) if isinstance(event, dict)]

    assert any(row.get("found") for row in rows())
    monkeypatch.setattr(backprop, "backward", broken)
    assert outcomes(rows())["symmetry"] == "not reproduced"


def test_a_net_that_only_memorizes_is_not_reproduced() -> None:
    assert outcomes(family_rows([0, 1, 0, 1, 0, 0], [0, 1, 1, 0, 0, 0]))["family-trees"] == "not reproduced"
