"""Deep Q-learning: the paper's net, its memory and targets, the game, and claims without ideas."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from impl.dqn import (
    BROKEN,
    PAPER,
    SMOKE,
    LinearQ,
    QNetwork,
    ReplayMemory,
    act,
    build,
    check,
    game_of,
    q_target,
    rule_gap,
    run,
    td_loss,
    value_gap,
)
from impl.kit import generator
from impl.kit.broken import take_out
from impl.kit.catch import Catch, State, play

CPU = torch.device("cpu")
games = st.builds(
    Catch, st.integers(3, 6), st.integers(3, 6), st.integers(0, 2), st.floats(0.5, 1.0)
)
seeds = st.integers(0, 999)


# --- the net and its loss ---


def test_the_papers_net_for_four_actions_has_677172_weights() -> None:
    Q = build(PAPER, "replay")
    assert game_of(PAPER).pixels == (84, 84)
    assert [tuple(p.shape) for p in Q.parameters()][::2] == [
        (16, 4, 8, 8),
        (32, 16, 4, 4),
        (256, 32 * 9 * 9),
        (3, 256),
    ]
    assert sum(p.numel() for p in Q.parameters()) + 257 == 677_172  # 257 for a fourth action


def transitions(B: int, m: int, pixels: tuple[int, int]) -> Any:
    phi, phi_next = torch.rand(2, B, m, *pixels)
    terminal = torch.arange(B) % 2 == 0
    return phi, torch.randint(3, (B,)), torch.randn(B), phi_next, terminal


def test_the_gradient_is_that_of_equation_3() -> None:
    torch.manual_seed(0)
    Q = QNetwork(2, (6, 5), [(4, 3, 1)], 8)
    phi, a, r, phi_next, terminal = batch = transitions(6, 2, (6, 5))
    td_loss(Q, batch, 0.9).backward()
    y = torch.where(terminal, r, r + 0.9 * Q(phi_next).max(1).values).detach()
    weights = list(Q.parameters())
    expected = [torch.zeros_like(w) for w in weights]
    for i in range(6):
        q = Q(phi[i : i + 1])[0, a[i]]
        for total, gradient in zip(expected, torch.autograd.grad(q, weights), strict=True):
            total -= 2 / 6 * (y[i] - q.detach()) * gradient
    for w, gradient in zip(weights, expected, strict=True):
        assert w.grad is not None and torch.allclose(w.grad, gradient, atol=1e-6)


def test_the_end_of_a_game_is_worth_its_reward() -> None:
    Q_next, r = torch.tensor([[1.0, 5.0], [1.0, 5.0]]), torch.tensor([2.0, 2.0])
    y = q_target(r, Q_next, torch.tensor([True, False]), 0.5)
    assert y.tolist() == [2.0, 4.5]


def test_the_linear_rival_can_hold_any_table_of_ball_and_paddle() -> None:
    game = Catch(4, 4, 1, 0.9)
    states = game.states()
    Q = LinearQ(1, game.pixels)
    phi = game.screen(states)[:, None].float() / 255
    ball, paddle = phi[:, 0, :-1].flatten(1), phi[:, 0, -1]
    pairs = (ball[:, :, None] * paddle[:, None]).flatten(1)
    assert (pairs.sum(1) == 1).all(), "one pair is seen at a time"
    table = torch.randn(3, pairs.shape[1])
    Q.W.data[:, -pairs.shape[1] :] = table
    assert torch.allclose(Q(phi), table.T[pairs.argmax(1)])


# --- the memory ---


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 20), st.integers(1, 4), st.lists(st.booleans(), min_size=8, max_size=60))
def test_the_memory_gives_back_the_screens_of_each_game(N: int, m: int, ends: list[bool]) -> None:
    """Held against lists that keep everything; screen t is filled with t."""
    memory = ReplayMemory(N, m, (1, 1), CPU)
    begins, first, starts = True, 0, []
    for t, end in enumerate(ends):
        memory.see(torch.full((1, 1), t, dtype=torch.uint8), begins)
        first = t if begins else first
        starts.append(first)
        memory.store(torch.tensor([t % 3]), torch.tensor([float(t)]), torch.tensor([end]))
        begins = end
    at = torch.arange(memory.oldest(), memory.count - 1)
    phi, a, r, phi_next, terminal = memory.transitions(at)
    for row, t in enumerate(at.tolist()):
        before = [max(starts[t], t - back) for back in range(m - 1, -1, -1)]
        assert (phi[row].flatten() * 255).round().tolist() == before
        assert (int(a[row]), float(r[row]), bool(terminal[row])) == (t % 3, t, ends[t])
        if not ends[t]:
            assert (phi_next[row].flatten() * 255).round().tolist() == [*before[1:], t + 1]


def test_each_way_to_pick_stays_in_the_memory() -> None:
    memory = ReplayMemory(20, 4, (1, 1), CPU)
    for t in range(50):
        memory.see(torch.zeros(1, 1), begins=t % 5 == 0)
    draw = generator(0, "batches")
    assert memory.latest(8, draw).tolist() == list(range(41, 49))
    for _ in range(50):
        for at in (memory.sample(8, draw), memory.consecutive(8, draw)):
            assert at.min() >= memory.oldest() == 33 and at.max() <= 48
    assert memory.consecutive(8, draw).diff().unique().tolist() == [1]


# --- the game ---


@settings(max_examples=5, deadline=None)
@given(games, seeds)
def test_targets_lead_to_the_optimal_values_and_the_update_is_watkins_rule(
    game: Catch, seed: int
) -> None:
    assert value_gap(game) < 1e-12
    torch.manual_seed(seed)
    assert rule_gap(game, seed) < 1e-12


@settings(max_examples=30, deadline=None)
@given(games, seeds)
def test_who_plays_by_the_optimal_values_gets_them(game: Catch, seed: int) -> None:
    s = game.start(20, generator(seed, "starts"))
    value = game.optimal_value(s)
    for step in range(game.height - 1):
        s, r, terminal = game.step(s, game.optimal_q(s).argmax(1))
        assert terminal.all() == terminal.any() == (step == game.height - 2)
    assert torch.allclose(r.double() * game.gamma ** (game.height - 2), value)


def test_a_ball_bounces_and_is_caught() -> None:
    game, one = Catch(3, 4, 1, 0.9), lambda n: torch.tensor([n])
    s = State(one(1), one(0), one(1), one(0))
    columns = []
    for a in (2, 2, 0):  # right, right, left
        s, r, terminal = game.step(s, one(a))
        columns.append((int(s.x), int(s.p)))
    assert columns == [(2, 1), (1, 2), (0, 1)] and r.item() == -1 and terminal.item()
    screen = game.screen(State(one(1), one(0), one(1), one(2)))
    assert screen[0].nonzero().tolist() == [[0, 1], [3, 2]]
    assert Catch(3, 4, 1, 0.9, cell=2).screen(s).shape == (1, 8, 6)


def test_one_screen_does_not_show_where_the_ball_goes_and_two_do() -> None:
    game, draw = Catch(5, 6, 1, 0.99), generator(0, "states")
    random = lambda phi: torch.randint(3, (len(phi),), generator=draw)  # noqa: E731
    played = play(game, game.start(2_000, draw), 2, random)
    phi, optimal = played.phi[1:].flatten(0, 1).flatten(1), played.optimal[1:].flatten(0, 1)
    for seen, is_enough in ((phi[:, 30:], False), (phi, True)):
        alike = seen.unique(dim=0, return_inverse=True)[1]
        worth = torch.cat([alike[:, None].double(), optimal], 1).unique(dim=0)
        assert (len(worth) == len(alike.unique())) == is_enough


def test_policies_are_random_with_probability_epsilon() -> None:
    Q: nn.Module = LinearQ(1, (3, 3))
    phi, draw = torch.rand(3_000, 1, 3, 3), generator(0, "policy")
    assert act(Q, phi, 0.0, draw).tolist() == [0] * 3_000, "all are worth the same: the first"
    shares = torch.bincount(act(Q, phi, 0.3, draw), minlength=3) / 3_000
    assert torch.allclose(shares, torch.tensor([0.8, 0.1, 0.1]), atol=0.03)


# --- verdicts ---


@pytest.mark.parametrize("claim", BROKEN)
def test_without_its_idea_a_claim_falls(claim: str) -> None:
    cfg = replace(SMOKE, steps=60)
    with take_out(BROKEN, claim, cfg) as changed:
        rows: list[dict[str, Any]] = [e for e in run(changed, CPU) if isinstance(e, dict)]
    verdict = next(verdict for verdict in check(rows) if verdict.claim == claim)
    assert verdict.verdict in ("not reproduced", "fails")
    if verdict.kind != "identity":  # the two sides are the same then
        assert verdict.effect == pytest.approx(1 if verdict.scale == "ratio" else 0)
