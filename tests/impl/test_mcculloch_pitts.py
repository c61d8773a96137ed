"""McCulloch and Pitts: cells written naively, Fig. 1, Theorem 3, circles, and broken ideas."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impl.kit.broken import take_out
from impl.mcculloch_pitts import (
    BROKEN,
    FIGURE_1,
    QUICK,
    Cell,
    Net,
    astray,
    automaton,
    check,
    codes,
    fires,
    normal_form,
    one_cell,
    run,
    ways,
)

CPU = torch.device("cpu")
AND, OR, XOR = 0b1000, 0b1110, 0b0110  # bit w is what the function says to way w


def counts(most: int, size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, most), min_size=size, max_size=size)


@given(counts(1, 4), counts(3, 4), counts(1, 4), st.integers(0, 5))
def test_a_cell_is_enough_excitation_and_no_inhibition(
    x: list[int], excite: list[int], inhibit: list[int], threshold: int
) -> None:
    active = [(e, i) for on, e, i in zip(x, excite, inhibit, strict=True) if on]
    expected = sum(e for e, _ in active) >= threshold and not any(i for _, i in active)
    X, E, inhibitory = (torch.tensor([row]).float() for row in (x, excite, inhibit))
    assert fires(X, E, inhibitory, torch.tensor([threshold])).tolist() == [[float(expected)]]


def test_relative_inhibition_is_a_step_of_a_weighted_sum() -> None:
    x, weight = ways(3), torch.tensor([[2.0, -1.0, -2.0], [-1.0, 1.0, 3.0]])
    threshold = torch.tensor([1.0, -1.0])
    expected = (torch.nn.functional.linear(x, weight, -threshold) >= 0).float()
    signed = fires(x, weight.clamp(min=0), (-weight).clamp(min=0), threshold, relative=True)
    assert torch.equal(signed, expected)


def test_which_functions_one_cell_computes() -> None:
    false_in_silence = set(range(0, 16, 2))
    assert one_cell(2, 2, 1) == false_in_silence - {XOR}
    assert one_cell(2, 2, -2, relative=True) == set(range(16)) - {XOR, 15 - XOR}
    assert one_cell(2, 3, 1) == one_cell(2, 2, 1), "more synapses change nothing"
    assert one_cell(3, 2, 1) == one_cell(3, 3, 1) and len(one_cell(3, 2, 1)) == 34
    assert codes(ways(2).prod(1)) == {AND} and codes(ways(2).amax(1)) == {OR}


@settings(deadline=None)
@given(st.integers(0, 2**7 - 1))
def test_theorem_3_and_its_limit(code: int) -> None:
    truth = torch.tensor([0.0, *((code >> i & 1) for i in range(7))])
    actions = normal_form(truth)(ways(3).expand(3, -1, -1))
    assert torch.equal(actions[2, :, -1], truth)
    assert not actions[:, 0].any(), "a net without circles never fires out of silence"
    truth[0] = 1
    with pytest.raises(ValueError, match="always fires"):
        normal_form(truth)


def test_cold_for_a_moment_is_felt_as_heat_and_so_is_its_end() -> None:
    """The second is in the law, but not in the text, where cold that stays is felt as cold only."""
    net = Net(*FIGURE_1["e"][:2])
    x = torch.zeros(9, 2, 2)
    x[0, 0, 1] = 1
    x[:4, 1, 1] = 1
    heat, cold = (net(x)[..., net.names.index(cell)].nonzero().tolist() for cell in "34")
    assert heat == [[3, 0], [6, 1]]
    assert cold == [[2, 1], [3, 1], [4, 1]]


def test_a_circle_remembers_as_long_as_the_net_runs() -> None:
    latch = Net("1", {"a": Cell("11aa")})
    x = torch.zeros(50, 1, 1)
    x[10] = 1
    assert latch(x)[:, 0, 1].tolist() == [0.0] * 11 + [1.0] * 39


def test_a_circle_of_n_cells_counts_modulo_n() -> None:
    ring = Net(">", {"a": Cell(">>cc"), "b": Cell("aa"), "c": Cell("bb")})
    x = torch.zeros(12, 1, 1)
    x[0] = 1
    assert [at for at, fired in enumerate(ring(x)[:, 0, 1].tolist()) if fired] == [1, 4, 7, 10]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=4))
def test_a_net_is_any_automaton(step: list[tuple[int, int]]) -> None:
    table = [list(row) for row in step]
    assert astray(table, 6, CPU) == 0
    shown = torch.eye(3)[[0, 1, 1, 0]] + torch.tensor([[0, 0, 1.0]] + [[0, 0, 0]] * 3)
    states = automaton(table)(shown[:, None])[1:, 0, 3:]
    assert (states.sum(1) == 1).all(), "one cell at a time"


@pytest.mark.parametrize("claim", [None, *BROKEN])
def test_a_claim_stands_until_its_idea_is_taken_out(claim: str | None) -> None:
    with take_out(BROKEN, claim, replace(QUICK, times=4, draws=2_000, seeds=3)) as cfg:
        rows: list[dict[str, Any]] = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    verdicts = {verdict.claim: verdict.verdict for verdict in check(rows)}
    stands = {name for name in verdicts if verdicts[name] in ("reproduced", "holds")}
    assert claim not in stands if claim else stands == set(verdicts)
