"""Catch, a game on a small screen: a ball falls aslant, bounces off the walls and is to be caught.

Its optimal values are known by a formula, so that learnt ones can be held against them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

ACTIONS = ("left", "stay", "right")


@dataclass(frozen=True)
class State:
    """B games: the ball's column x and row y, its columns a step v, the paddle's column p, [B]."""

    x: Tensor
    y: Tensor
    v: Tensor
    p: Tensor

    def __getitem__(self, at: Tensor) -> "State":
        return State(self.x[at], self.y[at], self.v[at], self.p[at])

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Catch:
    """In a step the ball falls by a row, from the top to the last one, where the paddle is."""

    width: int
    height: int
    fastest: int  # columns that the ball moves in a step, at most; the paddle moves by one
    gamma: float  # discount: a reward that comes a step later counts that much less
    cell: int = 1  # pixels along the edge of a cell

    @property
    def pixels(self) -> tuple[int, int]:
        return self.height * self.cell, self.width * self.cell

    def start(self, B: int, draw: torch.Generator) -> State:
        x, p = torch.randint(self.width, (2, B), generator=draw)
        v = torch.randint(-self.fastest, self.fastest + 1, (B,), generator=draw)
        return State(x, torch.zeros_like(x), v, p)

    def step(self, s: State, a: Tensor) -> tuple[State, Tensor, Tensor]:
        """The next state, the reward, and whether the game has ended. Actions [B] as in ACTIONS.

        +1 for a ball that is caught, -1 for one that is missed, 0 before.
        """
        last = self.width - 1
        p, x = (s.p + a - 1).clamp(0, last), s.x + s.v
        bounces = (x < 0) | (x > last)
        x = torch.where(x > last, 2 * last - x, x.abs())
        after = State(x, s.y + 1, torch.where(bounces, -s.v, s.v), p)
        terminal = after.y == self.height - 1
        return after, terminal * (2.0 * (x == p) - 1.0), terminal

    def screen(self, s: State) -> Tensor:
        """What is seen: 255 where the ball and the paddle are. [B] to bytes [B, pixels]"""
        each = torch.arange(len(s))
        screen = torch.zeros(len(s), self.height, self.width, dtype=torch.uint8)
        screen[each, s.y, s.x] = 255
        screen[each, self.height - 1, s.p] = 255
        return screen.repeat_interleave(self.cell, 1).repeat_interleave(self.cell, 2)

    def states(self) -> State:
        """All in which the game goes on, S = (height - 1) * width * (2 * fastest + 1) * width."""
        v, columns = torch.arange(-self.fastest, self.fastest + 1), torch.arange(self.width)
        y, x, v, p = torch.cartesian_prod(torch.arange(self.height - 1), columns, v, columns).T
        return State(x, y, v, p)

    def index(self, s: State) -> Tensor:
        """Where they are among all states."""
        at = (s.y * self.width + s.x) * (2 * self.fastest + 1) + s.v + self.fastest
        return at * self.width + s.p

    def optimal_value(self, s: State) -> Tensor:
        """By best play, from states in which the game goes on, for one who knows v. [B]

        It is +1 if the paddle can be where the ball will land, else -1, discounted from the end.
        """
        steps, period = self.height - 1 - s.y, 2 * (self.width - 1)
        x = (s.x + s.v * steps) % period  # as if the ball went on behind the walls
        landing = torch.minimum(x, period - x)
        caught = (landing - s.p).abs() <= steps
        return self.gamma ** (steps - 1).double() * (2.0 * caught - 1.0)

    def outcomes(self, s: State) -> list[tuple[State, Tensor, Tensor]]:
        """Of each action."""
        return [self.step(s, torch.full_like(s.x, a)) for a in range(len(ACTIONS))]

    def optimal_q(self, s: State) -> Tensor:
        """Of each action: its reward, or what the next state is worth. [B, A]"""
        values = [
            torch.where(terminal, r.double(), self.gamma * self.optimal_value(after))
            for after, r, terminal in self.outcomes(s)
        ]
        return torch.stack(values, 1)


@dataclass(frozen=True)
class Played:
    """B games of T steps: what the policy saw [T, B, m, pixels], the optimal action values there
    [T, B, A], and the scores [B]."""

    phi: Tensor
    optimal: Tensor
    score: Tensor


def play(game: Catch, s: State, m: int, policy: Callable[[Tensor], Tensor]) -> Played:
    """Plays on from here, all games side by side; the policy sees the last m screens."""
    phi = game.screen(s)[:, None].expand(-1, m, -1, -1).float() / 255
    seen, optimal, score = [], [], torch.zeros(len(s))
    for _ in range(game.height - 1):
        seen.append(phi)
        optimal.append(game.optimal_q(s))
        s, r, _ = game.step(s, policy(phi))
        phi = torch.cat([phi[:, 1:], game.screen(s)[:, None].float() / 255], 1)
        score += r
    return Played(torch.stack(seen), torch.stack(optimal), score)
