"""Playing Atari with deep reinforcement learning. Mnih et al., NIPS Deep Learning Workshop 2013.

Claims      more-reward      learning from random transitions of a memory earns more than learning
                             from the latest ones, by as many updates of as many (Sec. 4)
            closer-values    and what it predicts is closer to the optimal action values
            lower-variance   random transitions make the gradient vary less than consecutive ones:
                             not here, where 32 in a row always have as many ends of games
            beats-linear     the convolutional net earns more than a linear function (Table 1)
            four-frames      four screens earn more than one, which doesn't show where things move
            q-learning       on a table, with one transition, the update is Watkins' rule (Sec. 2)
            value-iteration  targets taken again and again are the optimal values (Eq. 1)
Deviations  1  the game is Catch (impl/kit/catch.py): its optimal values are known; no Atari, no
               frames are skipped. Only `paper` has screens of 84 x 84 pixels, and it takes days
            2  `quick` has one layer of convolutions, and every other step is an update: 700
            3  the latest transitions are a batch of the same size; the paper's "standard online
               Q-learning" takes one. Rates outside the grid were tried: no rival gains by them
            4  the linear rival learns by the same rule from the same memory, not by Sarsa, from
               pixels and from pairs of ball and paddle
            5  learning rate, discount and RMSprop's constants, which the paper doesn't give
Left out    frame skipping, clipped rewards, HyperNEAT; the target network, which came in 2015
Shapes      B transitions, m screens, [H, W] pixels, A actions, N screens in the memory, S states
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import dqn as drawing
from impl.kit import (
    Arrays,
    Comparison,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    by_seed,
    generator,
    judge,
    keep_rows,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.catch import ACTIONS, Catch, play
from impl.kit.descent import update

Transitions = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # phi, a, r, next phi, terminal


class QNetwork(nn.Sequential):
    """Sec. 4.1: the last m screens [B, m, H, W] to what each action is worth [B, A]."""

    def __init__(self, m: int, pixels: Sequence[int], layers: Sequence[Sequence[int]], units: int):
        modules: list[nn.Module] = []
        C, size = m, list(pixels)
        for filters, kernel, stride in layers:
            modules += [nn.Conv2d(C, filters, kernel, stride), nn.ReLU()]
            C, size = filters, [(n - kernel) // stride + 1 for n in size]
        modules += [nn.Flatten(), nn.Linear(C * size[0] * size[1], units), nn.ReLU()]
        super().__init__(*modules, nn.Linear(units, len(ACTIONS)))


class LinearQ(nn.Module):
    """The rival: linear in all pixels, and in the pairs of a pixel of the last row, where the
    paddle is, with one above, where the ball is. [B, m, H, W] -> [B, A]"""

    def __init__(self, m: int, pixels: Sequence[int]):
        super().__init__()
        H, W = pixels
        self.W = nn.Parameter(torch.zeros(len(ACTIONS), m * H * W + (H - 1) * W * W))

    def forward(self, phi: Tensor) -> Tensor:
        ball, paddle = phi[:, -1, :-1].flatten(1), phi[:, -1, -1]
        pairs = ball[:, :, None] * paddle[:, None]
        Q: Tensor = torch.cat([phi.flatten(1), pairs.flatten(1)], 1) @ self.W.T
        return Q


def q_target(r: Tensor, Q_next: Tensor, terminal: Tensor, gamma: float) -> Tensor:
    """Alg. 1: y = r, and if the game goes on + gamma max_a' Q(s', a'). [B], [B, A] -> [B]"""
    return r + ~terminal * (gamma * Q_next.amax(1))


def bootstrap(Q: nn.Module, phi: Tensor) -> Tensor:
    """Eq. 2: the targets come from the net itself, but are held fixed; there is no other net."""
    with torch.no_grad():
        values: Tensor = Q(phi)
    return values


def td_loss(Q: nn.Module, batch: Transitions, gamma: float) -> Tensor:
    """Eq. 2: the mean of (y - Q(s, a))^2; its gradient is Eq. 3, but for a factor of -2."""
    phi, a, r, phi_next, terminal = batch
    y = q_target(r, bootstrap(Q, phi_next), terminal, gamma)
    loss: Tensor = (y - Q(phi).gather(1, a[:, None])[:, 0]).square().mean()
    return loss


class ReplayMemory:
    """Sec. 4: the last N screens, and what was done and earned at each.

    A transition is known by the number of its screen, counted from the first that was ever seen.
    """

    def __init__(self, N: int, m: int, pixels: tuple[int, int], device: torch.device):
        self.N, self.m, self.device, self.count = N, m, device, 0
        self.screens = torch.zeros(N, *pixels, dtype=torch.uint8)
        self.first, self.a = torch.zeros(2, N, dtype=torch.long)  # first: where the game began
        self.r, self.terminal = torch.zeros(N), torch.zeros(N, dtype=torch.bool)

    def see(self, screen: Tensor, begins: bool) -> None:
        i = self.count % self.N
        self.screens[i], self.first[i] = screen, self.count if begins else self.first[i - 1]
        self.count += 1

    def store(self, a: Tensor, r: Tensor, terminal: Tensor) -> None:
        """What was done at the screen seen last."""
        i = (self.count - 1) % self.N
        self.a[i], self.r[i], self.terminal[i] = a, r, terminal

    def phi(self, at: Tensor, ahead: int = 0) -> Tensor:
        """The m screens until then, and some `ahead`; a game's first stands for those before it.
        [B] -> [B, m + ahead, H, W]"""
        times = at[:, None] + torch.arange(1 - self.m, 1 + ahead)
        times = torch.maximum(times, self.first[at % self.N][:, None])
        return self.screens[times % self.N].to(self.device).float() / 255

    def transitions(self, at: Tensor) -> Transitions:
        screens, i = self.phi(at, ahead=1), at % self.N
        a, r, terminal = (x[i].to(self.device) for x in (self.a, self.r, self.terminal))
        return screens[:, :-1], a, r, screens[:, 1:], terminal

    def oldest(self) -> int:
        """The first transition all of whose screens are still there."""
        return max(0, self.count - self.N + self.m - 1)

    def sample(self, B: int, draw: torch.Generator) -> Tensor:
        """Alg. 1: a random mini-batch."""
        return torch.randint(self.oldest(), self.count - 1, (B,), generator=draw)

    def consecutive(self, B: int, draw: torch.Generator) -> Tensor:
        """One after the other, from a random moment."""
        return torch.randint(self.oldest(), self.count - B, (1,), generator=draw) + torch.arange(B)

    def latest(self, B: int, draw: torch.Generator) -> Tensor:
        return torch.arange(self.count - 1 - B, self.count - 1)


@dataclass(frozen=True)
class Config:
    width: int = 12  # ours: cells of the game
    height: int = 12  # ours
    fastest: int = 2  # ours: cells that the ball moves aside in a step, at most
    cell: int = 7  # ours: pixels; with 12 cells there are 84 as in Sec. 4.1
    frames: int = 4  # Sec. 4.1: screens that the net sees
    layers: tuple[tuple[int, int, int], ...] = ((16, 8, 4), (32, 4, 2))  # Sec. 4.1: see QNetwork
    units: int = 256  # Sec. 4.1: hidden units
    gamma: float = 0.99  # ours, as in the paper of 2015
    memory: int = 1_000_000  # Sec. 5: N, screens
    batch: int = 32  # Sec. 5
    steps: int = 10_000_000  # Sec. 5: frames
    every: int = 1  # Alg. 1: steps from one update to the next
    annealing: int = 1_000_000  # Sec. 5: steps in which epsilon falls from 1
    epsilon: float = 0.1  # Sec. 5: where it ends
    test_epsilon: float = 0.05  # Sec. 5.3
    lrs: tuple[float, ...] = (0.0001, 0.0003, 0.001)  # ours: the grid
    games: int = 1000  # ours: to test, and a third of them to validate
    gradients: int = 40  # ours: of which the variance is measured
    seeds: int = 5  # ours: repetitions
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, width=8, height=9, cell=1, layers=((16, 3, 1), (32, 2, 1)), units=64)
FULL = replace(FULL, memory=20_000, steps=20_000, every=2, annealing=10_000)
FULL = replace(FULL, lrs=(0.0007, 0.002, 0.006))
QUICK = replace(FULL, width=5, height=6, fastest=1, layers=((16, 3, 1),), memory=1400, steps=1400)
QUICK = replace(QUICK, annealing=700, lrs=(0.002, 0.006, 0.018), games=600)
SMOKE = replace(QUICK, steps=80, annealing=40, lrs=(0.006,), games=30, gradients=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(
    ("replay", "online", "linear", "one frame"), {"lr": "lrs"}, select="val_score", best="highest"
)
of_replay = partial(by_seed, arm="replay")
earns_more = partial(
    Comparison, idea="replay", measure="test_score", better="higher", margin=0.2,
    because="one ball in ten; rewards of Atari games are on other scales",
    unit="mean reward of a game, -1 to 1, with epsilon = 0.05",
)  # fmt: skip
CLAIMS = (
    earns_more(claim="more-reward", rival="online", ours=True),
    Comparison(
        claim="closer-values", idea="replay", rival="online", measure="test_q_error",
        better="lower", margin=0.1, because="a twentieth of the range of values", ours=True,
        unit="root mean squared distance from the optimal action values",
    ),
    Comparison(
        claim="lower-variance", idea=partial(of_replay, measure="random"),
        rival=partial(of_replay, measure="consecutive"),
        better="lower", scale="ratio", margin=2.0, because="as a batch of twice the size would",
        unit="variance of the gradient of a trained net, 32 transitions",
    ),
    earns_more(claim="beats-linear", rival="linear"),
    earns_more(claim="four-frames", rival="one frame", ours=True),
    Identity(
        claim="q-learning", measure="rule_gap", tolerance=1e-12,
        unit="largest difference of a table after 100 updates",
    ),
    Identity(
        claim="value-iteration", measure="value_gap", tolerance=1e-12,
        unit="largest distance from the optimal values, in all states",
    ),
)  # fmt: skip


def build(cfg: Config, arm: str) -> nn.Module:
    m, pixels = 1 if arm == "one frame" else cfg.frames, game_of(cfg).pixels
    if arm == "linear":
        return LinearQ(m, pixels)
    return QNetwork(m, pixels, cfg.layers, cfg.units)


PICKS = {"online": ReplayMemory.latest}  # the other arms sample at random
endless = lambda r, Q_next, terminal, gamma: r + gamma * Q_next.amax(1)  # noqa: E731
BROKEN: Broken = {
    "more-reward": lambda: patch.dict(PICKS, replay=ReplayMemory.latest),
    "closer-values": lambda: patch.dict(PICKS, replay=ReplayMemory.latest),
    "lower-variance": lambda: patch.object(ReplayMemory, "sample", ReplayMemory.consecutive),
    "beats-linear": lambda: patch(f"{__name__}.QNetwork", lambda m, pixels, *_: LinearQ(m, pixels)),
    "four-frames": {"frames": 1},
    "q-learning": lambda: patch(f"{__name__}.bootstrap", lambda Q, phi: Q(phi)),
    "value-iteration": lambda: patch(f"{__name__}.q_target", endless),
}


def game_of(cfg: Config) -> Catch:
    return Catch(cfg.width, cfg.height, cfg.fastest, cfg.gamma, cfg.cell)


def act(Q: nn.Module, phi: Tensor, epsilon: float, draw: torch.Generator) -> Tensor:
    """Alg. 1: at random with probability epsilon, else what is worth most. [B, m, H, W] -> [B]"""
    at_random = torch.rand(len(phi), generator=draw) < epsilon
    a = torch.randint(len(ACTIONS), (len(phi),), generator=draw)
    return a if at_random.all() else torch.where(at_random, a, values(Q, phi).argmax(1))


def values(Q: nn.Module, phi: Tensor) -> Tensor:
    return bootstrap(Q, phi.to(next(Q.parameters()).device)).detach().cpu()


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:
    game, Q, m = game_of(cfg), build(cfg, arm).to(device), 1 if arm == "one frame" else cfg.frames
    optimizer = torch.optim.RMSprop(Q.parameters(), lr, alpha=0.95, eps=1e-4, foreach=True)
    memory = ReplayMemory(cfg.memory, m, game.pixels, device)
    starts, explore, batches = (generator(seed, each) for each in ("starts", "explore", "batches"))
    s, terminal = game.start(1, starts), torch.ones(1, dtype=torch.bool)
    for step in range(1, cfg.steps + 1):
        memory.see(game.screen(s)[0], begins=bool(terminal))
        epsilon = max(cfg.epsilon, 1 - (1 - cfg.epsilon) * step / cfg.annealing)
        a = act(Q, memory.phi(torch.tensor([memory.count - 1])), epsilon, explore)
        s, r, terminal = game.step(s, a)
        memory.store(a, r, terminal)
        s = game.start(1, starts) if terminal else s
        if step % cfg.every == 0 and memory.count > cfg.batch:
            at = PICKS.get(arm, ReplayMemory.sample)(memory, cfg.batch, batches)
            update(td_loss(Q, memory.transitions(at), cfg.gamma), optimizer)
        if step % -(-cfg.steps // 7) == 0:
            yield dict(step=step) | evaluate(cfg, Q, m, seed, "val")
    result = evaluate(cfg, Q, m, seed, "val") | evaluate(cfg, Q, m, seed, "test")
    if arm == "replay":
        for name, pick in {"random": memory.sample, "consecutive": memory.consecutive}.items():
            draw = generator(seed, "gradients")
            picked = (memory.transitions(pick(cfg.batch, draw)) for _ in range(cfg.gradients))
            result[name] = variance(Q, picked, cfg.gamma)
        result |= dict(rule_gap=rule_gap(game, seed), value_gap=value_gap(game))
        shown = play(game, game.start(1, starts), m, lambda phi: act(Q, phi, 0.0, explore))
        phi, optimal = shown.phi[:, 0], shown.optimal[:, 0]
        yield Arrays({"screens": phi[:, -1], "Q": values(Q, phi), "optimal": optimal})
    yield dict(step=cfg.steps) | result


def evaluate(cfg: Config, Q: nn.Module, m: int, seed: int, games: str) -> Row:
    """The mean score of a set of games; and how far predictions are off in states that a random
    policy comes to, from the second screen on, when one can know where the ball will go."""
    game, draw, n = game_of(cfg), generator(seed, games), cfg.games // (1 if games == "test" else 3)
    played = play(game, game.start(n, draw), m, lambda phi: act(Q, phi, cfg.test_epsilon, draw))
    seen = play(game, game.start(n // 5, draw), m, lambda phi: act(Q, phi, 1.0, draw))
    error = values(Q, seen.phi[1:].flatten(0, 1)) - seen.optimal[1:].flatten(0, 1)
    score, q_error = float(played.score.mean()), float(error.square().mean().sqrt())
    return {f"{games}_score": score, f"{games}_q_error": q_error}


def variance(Q: nn.Module, batches: Iterable[Transitions], gamma: float) -> float:
    """Of the gradient at one net, summed over its weights."""
    weights = list(Q.parameters())
    each = [torch.autograd.grad(td_loss(Q, batch, gamma), weights) for batch in batches]
    gradients = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in each])
    return float(gradients.var(0).sum())


def rule_gap(game: Catch, seed: int, lr: float = 0.5) -> float:
    """A net that is a table, trained, against a table changed by Watkins' rule."""
    states, draw = game.states(), generator(seed, "table")
    net = nn.Linear(len(states), len(ACTIONS), bias=False, dtype=torch.float64)
    table, descent = net.weight.detach().T.clone(), torch.optim.SGD(net.parameters(), lr / 2)
    for _ in range(100):
        i, a = (torch.randint(n, (1,), generator=draw) for n in (len(states), len(ACTIONS)))
        after, r, terminal = game.step(states[i], a)
        j = game.index(after) % len(states)  # any, after the end
        phi, phi_next = (F.one_hot(at, len(states)).double() for at in (i, j))
        update(td_loss(net, (phi, a, r, phi_next, terminal), game.gamma), descent)
        best = ~terminal * table[j].amax(1)
        table[i, a] += lr * (r + game.gamma * best - table[i, a])
    return float((net.weight.detach().T - table).abs().max())


def value_gap(game: Catch) -> float:
    """Of values of all states, found from zeros by the targets that nets are trained with."""
    states = game.states()
    outcomes, Q = game.outcomes(states), torch.zeros(len(states), len(ACTIONS)).double()
    for _ in range(2 * game.height):
        ahead = [Q[game.index(after) % len(states)] for after, _, _ in outcomes]
        known = zip(outcomes, ahead, strict=True)
        Q = torch.stack([q_target(r, Q_next, end, game.gamma) for (_, r, end), Q_next in known], 1)
    return float((Q.amax(1) - game.optimal_value(states)).abs().max())


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    rows: list[Row] = []
    chosen = yield from keep_rows(run_protocol(trial, cfg, PROTOCOL, device), rows)
    yield drawing.learning(rows, chosen)
    yield drawing.game(chosen[0].tensors)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
