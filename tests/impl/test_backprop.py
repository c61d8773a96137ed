"""Back-propagation: the gradient, torch's optimizer, the tasks, and errors that stop too early."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from impl.backprop import (
    BROKEN,
    PAPER,
    SMOKE,
    Net,
    check,
    family,
    gradient_gap,
    learn,
    no_hidden_errors,
    run,
    share,
    symmetry_cases,
    trial,
    unlike_fig_1,
)
from impl.kit import Row, Verdict, generator
from impl.kit.broken import take_out
from impl.kit.kinship import ENGLISH, ITALIAN, TRAITS, encoded, family_facts, ranked

CPU = torch.device("cpu")
RELATIONS = (
    *("father", "mother", "husband", "wife", "son", "daughter"),
    *("uncle", "aunt", "brother", "sister", "nephew", "niece"),
)


def net(sizes: list[int], seed: int = 0, init: float = 1.0) -> Net:
    model = Net(sizes)
    model.start(init, generator(seed, "weights"))
    return model


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(0, 10_000))
def test_the_gradient_is_autograds_for_any_net(sizes: list[int], seed: int) -> None:
    x = torch.rand(20, sizes[0], generator=generator(seed, "data"))
    assert gradient_gap(net(sizes, seed), x) < 1e-10


def test_the_gradient_is_the_slope() -> None:
    model, x, d = net([3, 2, 2]).double(), torch.rand(5, 3).double(), torch.rand(5, 2).double()

    def error() -> float:
        return float((model(x)[-1] - d).square().sum() / 2)

    y = model(x)
    model.backward(y, y[-1] - d)
    for parameter in model.parameters():
        flat, gradient = parameter.view(-1), parameter.grad
        assert gradient is not None
        for at in range(parameter.numel()):
            flat[at] += 1e-6
            up = error()
            flat[at] -= 2e-6
            slope = (up - error()) / 2e-6
            flat[at] += 1e-6
            assert slope == pytest.approx(float(gradient.reshape(-1)[at]), abs=1e-7)


def test_the_net_is_a_torch_net_trained_by_torchs_autograd() -> None:
    model, (x, d) = net([6, 2, 1]), symmetry_cases()
    theirs = nn.Sequential(nn.Linear(6, 2), nn.Sigmoid(), nn.Linear(2, 1), nn.Sigmoid())
    theirs.load_state_dict({
        f"{2 * at}.{name}": getattr(layer, name)
        for at, layer in enumerate(model.linear)
        for name in ("weight", "bias")
    })  # fmt: skip
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for _ in range(10):
        optimizer.zero_grad()
        ((theirs(x) - d).square().sum() / 2).backward()
        optimizer.step()
    cfg = replace(SMOKE, sweeps=10, lr=(0.1, 0.1), momentum=(0.9, 0.9), decay=0.0, slack=0.0)
    *_, (_, y) = learn(model, x, d, cfg)
    torch.testing.assert_close(y, theirs(x).detach())


def test_the_papers_nets_have_17_and_the_trees_layers_weights() -> None:
    assert sum(p.numel() for p in net([6, 2, 1]).parameters()) == 17
    model = Net([36, 12, 12, 6, 24], torch.ones(12, 36))
    assert sum(p.numel() for p in model.parameters()) == 444 + 156 + 78 + 168


def test_missing_connections_stay_missing() -> None:
    rows = list(family(replace(SMOKE, sweeps=5), CPU, "five layers", 0))
    assert rows
    connected = torch.ones(4, 6)
    connected[2:, :3] = 0
    model = Net([6, 4, 1], connected)
    model.start(1.0, generator(0, "weights"))
    for _ in learn(model, *symmetry_cases(), replace(SMOKE, sweeps=5)):
        pass
    weight = model.linear[0].weight
    assert not weight[2:, :3].any() and weight[2:, 3:].all() and weight[:2].all()


def test_held_out_facts_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they say doesn't matter for what the net learns."""
    x, d = family_facts()
    held_out = torch.randperm(104, generator=generator(3, "data"))[:4]
    rows = []
    for changed in (d, d.index_copy(0, held_out, 1 - d[held_out])):
        monkeypatch.setattr("impl.backprop.family_facts", lambda changed=changed: (x, changed))
        steps = list(trial(replace(SMOKE, sweeps=20), CPU, arm="as published", seed=3))
        rows.append([row for row in steps if isinstance(row, dict)][-1])
    assert rows[0]["train_right"] == rows[1]["train_right"]
    assert rows[0]["encoded"] == rows[1]["encoded"]


# --- the tasks ---


def test_eight_of_64_patterns_are_symmetric() -> None:
    x, d = symmetry_cases()
    assert x.unique(dim=0).shape == (64, 6) and d.sum() == 8


def known_facts() -> set[tuple[str, str, str]]:
    names = [*ENGLISH, *ITALIAN]
    return {
        (names[int(case[:24].argmax())], RELATIONS[int(case[24:].argmax())], names[int(person)])
        for case, answers in zip(*family_facts(), strict=True)
        for person in answers.nonzero()
    }


def test_the_trees_hold_104_facts() -> None:
    x, d = family_facts()
    assert x.shape == (104, 36) and x.unique(dim=0).shape == (104, 36)
    assert (x.sum(1) == 2).all() and d.sum() == 112  # eight facts have two answers: uncles, aunts
    assert torch.equal(x[:52, :12], x[52:, 12:24])  # the families are isomorphic
    assert torch.equal(d[:52, :12], d[52:, 12:])
    facts = known_facts()
    aunts = {person for who, how, person in facts if (who, how) == ("Colin", "aunt")}
    assert aunts == {"Margaret", "Jennifer"}  # Fig. 3
    assert ("Charlotte", "brother", "Colin") in facts and ("Emilio", "wife", "Gina") in facts


@pytest.mark.skipif("KB_DATA" not in os.environ, reason="needs KB_DATA/kinship")
def test_the_facts_are_those_of_the_published_file() -> None:
    path = Path(os.environ["KB_DATA"]) / "kinship" / "kinship.txt"
    if not path.exists():
        pytest.skip("no kinship in KB_DATA")
    told = re.findall(r"^(\w+)\((\w+), (\w+)\)", path.read_text(), re.MULTILINE)
    assert {(who, how, p) for how, p, who in told} == known_facts()


def test_a_fact_is_right_only_if_all_its_answers_lead() -> None:
    d = torch.tensor([[1.0, 1.0, 0.0]] * 3)
    y = torch.tensor([[0.3, 0.4, 0.2], [0.9, 0.2, 0.3], [0.5, 0.5, 0.5]])
    assert ranked(y, d).tolist() == [1.0, 0.0, 0.0]


def test_weights_of_fig_1_are_recognized() -> None:
    w = torch.tensor([14.2, -3.6, 7.2, -7.1, 3.6, -14.2])
    assert unlike_fig_1(torch.stack([w, -w])) == 0
    assert unlike_fig_1(torch.stack([w, w.abs()])) == 1  # mirrored, but not opposite
    assert unlike_fig_1(torch.stack([w, torch.tensor([4.0, 2, 3, -3, -2, -4])])) == 1


def test_what_units_encode() -> None:
    """One unit for each trait encodes all; units that are the same for all encode nothing."""
    perfect = torch.stack([trait.float() for trait in TRAITS.values()], 1)
    assert encoded(perfect) == pytest.approx(1.0)
    torch.manual_seed(0)
    assert encoded(torch.randn(24, 6)) < 0.5


# --- verdicts ---


def test_defaults_are_the_papers() -> None:
    assert PAPER.symmetry_range == 0.3
    assert (PAPER.symmetry_rate[1], PAPER.symmetry_momentum[1]) == (0.1, 0.9)
    assert (PAPER.sweeps, PAPER.lr, PAPER.momentum) == (1_500, (0.005, 0.01), (0.5, 0.9))
    assert (PAPER.decay, PAPER.slack, PAPER.held_out) == (0.002, 0.2, 4)


def test_starts_are_averaged_for_each_seed() -> None:
    rows: list[Row] = [
        {"arm": "a", "seed": 0, "solved": 1.0, "unlike": 0.0},
        {"arm": "a", "seed": 0, "solved": 0.0, "unlike": 1.0},
        {"arm": "a", "seed": 1, "solved": 0.0, "unlike": 1.0},
    ]
    assert share("solved", "a")(rows) == {0: 0.5, 1: 0.0}  # type: ignore[operator]
    unlike = share("unlike", "a", of="solved")(rows)  # type: ignore[operator]
    assert unlike[0] == 0.0 and unlike[1] != unlike[1], "nothing was solved"


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_errors_that_stop_at_the_output_layer_lose_every_claim() -> None:
    outcomes = {claim: v.verdict for claim, v in judged("symmetry", seeds=3).items()}
    assert outcomes.pop("exact-gradient") == "fails"
    assert set(outcomes.values()) == {"not reproduced"}


def test_without_hidden_errors_the_hidden_units_stay_as_they_are() -> None:
    model = net([6, 2, 1])
    before = [parameter.clone() for parameter in model.parameters()]
    with no_hidden_errors():
        list(learn(model, *symmetry_cases(), replace(SMOKE, sweeps=5, decay=0.0)))
    same = [torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert same == [True, True, False, False]


def test_a_backward_pass_without_eq_5_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def backward(model: Net, y: list[Tensor], dE_dy: Tensor) -> None:
        for layer, below in reversed(list(zip(model.linear, y, strict=False))):
            layer.weight.grad, layer.bias.grad = dE_dy.T @ below, dE_dy.sum(0)
            dE_dy = dE_dy @ layer.weight

    monkeypatch.setattr(Net, "backward", backward)
    assert gradient_gap(net([6, 2, 1]), symmetry_cases()[0]) > 0.1
