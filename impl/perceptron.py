"""The Perceptron: A Probabilistic Model for Information Storage and Organization in the Brain. Rosenblatt, 1958.

Psychological Review 65(6):386-408. Its bound is Novikoff's (1962), its limit Minsky & Papert's (1969).

Claims      convergence        on separable patterns it stops making mistakes, after at most (R / gamma)^2 corrections
                               (Novikoff's bound, 1962)
            xor                a response unit that sees the two inputs never learns XOR: it gets at most 3 of 4 right
                               (the limit shown by Minsky & Papert, 1969)
            association-units  with enough random threshold units between inputs and response, the same rule learns XOR
Deviations  1  weights change by error correction, the later form of the rule that the bound is about; the paper of 1958
               compares systems whose values grow with activity
            2  every association unit sees every input; in the paper each has a few connections, drawn at random
            3  the two classes are drawn with a known margin, the patterns in the paper by their overlap
Left out    feedback from the responses, several responses, learning without a teacher, probabilities in closed form
Shapes      S perceptrons side by side, one for each seed; N patterns, D inputs with the constant one, A units
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.figures import INK, PALETTE, canvas, curves, figure


@dataclass(frozen=True)
class Config:
    patterns: int = 100  # ours: how many there are to learn
    inputs: tuple[int, ...] = (2, 20)  # ours: a plane to look at, and a space that is not one
    gaps: tuple[float, ...] = (0.1, 0.03, 0.01)  # ours: margin at least this part of the longest possible pattern
    units: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)  # ours: association units for XOR; 0 is the bare response unit
    budget: int = 20_000  # ours: corrections on XOR after which a run that hasn't come round counts as not learnt
    every: int = 20  # ours: corrections from one point of a curve to the next
    seeds: int = 50  # ours: how many repetitions
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, patterns=300, inputs=(2, 20, 100), gaps=(0.1, 0.03, 0.01, 0.003), seeds=100)
QUICK = replace(FULL, patterns=100, inputs=(2, 20), gaps=(0.1, 0.03, 0.01), seeds=20)
SMOKE = replace(QUICK, patterns=30, inputs=(2,), gaps=(0.1,), units=(0, 16), seeds=3)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

SIDE = 100  # inputs are whole numbers from -SIDE to SIDE: then every sum below is exact, in float32 and on any device


def respond(w: Tensor, x: Tensor) -> Tensor:
    """The net signal at each response unit: w [S, D], x [S, N, D] -> [S, N]. Above 0 it says yes, below 0 it says no."""
    return torch.einsum("sd,snd->sn", w, x)


def learn(w: Tensor, x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Patterns x [S, N, D] in turn, round and round, with answers y [S, N] of +1 or -1: w changes where one is wrong.

    Yields weights, which patterns are right, corrections so far, and whose turn is next; patterns that are right change
    nothing, so each step goes straight to the next one that is wrong. It goes on for as long as it is asked.
    """
    S, N, _ = x.shape
    each, position = torch.arange(S, device=x.device), torch.arange(N, device=x.device)
    turn = torch.zeros(S, dtype=torch.long, device=x.device)
    corrections = torch.zeros_like(turn)
    while True:
        right = y * respond(w, x) > 0  # [S, N]; a signal of exactly 0 is no answer
        yield w, right, corrections, turn
        wait = torch.where(right, N, (position - turn[:, None]) % N)  # how long until its turn, if it is wrong
        at = wait.argmin(1)
        learning = ~right.all(1)
        w = w + (learning * y[each, at])[:, None] * x[each, at]  # the whole rule: w <- w + y x
        corrections = corrections + learning
        turn = torch.where(learning, (at + 1) % N, turn)


def separable(N: int, D: int, gap: float, seed: int) -> tuple[Tensor, Tensor, float]:
    """N patterns [N, D + 1] of D whole numbers and a constant, their answers [N], and the bound (R / gamma)^2.

    The answers come from a random plane, and no pattern is nearer to it than `gap` of the longest possible pattern. Any
    plane gives a bound that holds; the widest margin would give the lowest.
    """
    g = torch.Generator().manual_seed(seed)
    u = torch.randn(D + 1, generator=g, dtype=torch.float64)
    u /= u.norm()
    x = torch.empty(0, D + 1)
    while len(x) < N:
        more = torch.randint(-SIDE, SIDE + 1, (N, D + 1), generator=g).float()
        more[:, -1] = SIDE  # the constant, whose weight is the threshold
        x = torch.cat([x, more[(more.double() @ u).abs() >= gap * SIDE * (D + 1) ** 0.5]])[:N]
    distance = x.double() @ u
    R, gamma = x.double().norm(dim=1).max(), distance.abs().min()
    return x, distance.sign().float(), float((R / gamma) ** 2)


def converge(cfg: Config, D: int, gap: float, device: torch.device, done: int, total: int) -> Iterator[Event]:
    """All seeds of one task, until each makes no more mistakes or has made more than the bound allows."""
    task = f"{D} inputs, margin {gap:g}"
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    drawn = [separable(cfg.patterns, D, gap, seed) for seed in seeds]
    x, y = (torch.stack(tensors).to(device) for tensors in ([d[0] for d in drawn], [d[1] for d in drawn]))
    bound = [d[2] for d in drawn]
    lines: list[Tensor] = []  # [S, D + 1] after each correction
    for step, (w, right, corrections, _) in enumerate(learn(torch.zeros_like(x[:, 0]), x, y)):
        k, wrong = corrections.tolist(), (~right).sum(1).tolist()
        ended = [n == 0 or c > b for n, c, b in zip(wrong, k, bound, strict=True)]
        for i, seed in enumerate(seeds):
            if k[i] == step and (step % cfg.every == 0 or ended[i]):
                yield dict(task=task, seed=seed, step=step, wrong=wrong[i])
        if D == 2:
            lines.append(w.cpu())
        if step % cfg.every == 0:
            yield Progress(done + sum(ended) / len(ended), total, f"{task}: {sum(ended)} of {len(ended)} have ended")
        if all(ended):
            break
    for i, seed in enumerate(seeds):
        yield dict(task=task, inputs=D, seed=seed, corrections=k[i], bound=bound[i], excess=max(0.0, k[i] - bound[i]))
    if D == 2 and gap == min(cfg.gaps):
        slowest = k.index(max(k))
        yield from turning(x[slowest].cpu(), y[slowest].cpu(), [w[slowest] for w in lines[: k[slowest] + 1]])


def association(A: int, seeds: range) -> Tensor:
    """Each seed's A random threshold units [S, A, 3], the last weight for the constant; more units begin with the same."""
    draws = [torch.randn(A, 3, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(draws)


def reaching(v: Tensor, x: Tensor) -> Tensor:
    """What reaches the response unit: x [N, 3] -> [S, N, A + 1], units active (1) or not (0), and the constant.

    Without association units, the inputs themselves, [S, N, 3].
    """
    if v.shape[1] == 0:
        return x.expand(len(v), *x.shape)
    active = (torch.einsum("sad,nd->sna", v, x) > 0).float()
    return torch.cat([active, torch.ones_like(active[..., :1])], 2)


def xor(
    cfg: Config, A: int, device: torch.device, done: int, total: int
) -> Generator[Event, None, tuple[tuple[Tensor, Tensor], int]]:
    """XOR with A association units, from random whole-number weights; returns units and last weights, and how many learnt it.

    Whole numbers make "never" something that can be seen: when weights and turn are both what they were before, all that
    follows has happened already.
    """
    seeds = range(cfg.seed, cfg.seed + cfg.seeds)
    x = torch.tensor([[-1.0, -1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, 1]], device=device)
    v = association(A, seeds).to(device)
    z = reaching(v, x)  # [S, 4, A + 1]
    y = (-x[:, 0] * x[:, 1]).expand(len(v), 4)  # +1 where the two inputs differ
    draws = [torch.randint(-5, 6, (z.shape[2],), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    before: list[set[tuple[float, ...]]] = [set() for _ in seeds]
    came_round, best = [False] * len(seeds), [0] * len(seeds)
    for step, (w, right, _, turn) in enumerate(learn(torch.stack(draws).float().to(device), z, y)):
        count = right.sum(1).tolist()
        for i, state in enumerate(torch.cat([w, turn[:, None]], 1).tolist()):
            best[i] = max(best[i], count[i])
            came_round[i] |= count[i] < 4 and tuple(state) in before[i]
            before[i].add(tuple(state))
        if step % cfg.every == 0:
            yield dict(task="XOR", units=A, step=step, solved=count.count(4) / len(count))
            yield Progress(done + min(1.0, step / cfg.budget), total, f"XOR with {A} association units")
        if step == cfg.budget or all(n == 4 or again for n, again in zip(count, came_round, strict=True)):
            break
    for i, seed in enumerate(seeds):
        solved = best[i] == 4
        yield dict(task="XOR", units=A, seed=seed, best_right=best[i], solved=int(solved), came_round=came_round[i])
    return (v, w), sum(n == 4 for n in best)


def every_weight(limit: int) -> Row:
    """The most patterns of XOR right with any whole-number weights of at most `limit`: 2 is enough for any line."""
    x = torch.tensor([[-1.0, -1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, 1]])
    w = torch.cartesian_prod(*[torch.arange(-limit, limit + 1.0)] * 3)
    right = ((-x[:, 0] * x[:, 1]) * (w @ x.T) > 0).sum(1)
    return dict(task="XOR", weights_tried=len(w), best_right=int(right.max()))


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    tasks = [(D, gap) for D in cfg.inputs for gap in cfg.gaps]
    total, done = len(tasks) + len(cfg.units), 0
    measured: list[Row] = []
    nets: dict[str, tuple[Tensor, Tensor]] = {}
    for D, gap in tasks:
        for event in converge(cfg, D, gap, device, done, total):
            if isinstance(event, dict):
                measured.append(event)
            yield event
        done += 1
    yield against_bound([row for row in measured if "bound" in row])
    yield every_weight(limit=10)
    learnt: list[tuple[float, float]] = []
    for A in cfg.units:
        title = f"{A} association units" if A else "inputs alone"
        nets[title], solved = yield from xor(cfg, A, device, done, total)
        learnt.append((A, solved / cfg.seeds))
        done += 1
    yield answers({title: nets[title] for title in list(nets)[:: max(1, len(nets) - 1)]})
    yield curves("units", {"learn XOR": learnt}, "The more random association units, the more starts learn XOR",
                 x="association units", y="part of the starts")  # fmt: skip
    yield Progress(total, total, "done")


def turning(x: Tensor, y: Tensor, lines: list[Tensor]) -> Iterator[Figure]:
    """The line where the response of the slowest run changes; the picture's step is the number of corrections."""
    steps = sorted({min(len(lines) - 1, n) for n in (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, len(lines) - 1)})
    across = torch.tensor([-1.5 * SIDE, 1.5 * SIDE])
    for shown in range(len(steps)):
        drawn, ax = canvas(width=4.4, height=4.2)
        for sign, colour in ((1, PALETTE[0]), (-1, PALETTE[1])):
            ax.scatter(*x[y == sign, :2].T.numpy(), s=12, color=colour)
        for i, step in enumerate(steps[: shown + 1]):
            a, b, c = lines[step].tolist()  # a x1 + b x2 + c SIDE = 0, drawn from one side of the picture to the other
            ends = (
                (across, -(a * across + c * SIDE) / b)
                if abs(b) > abs(a)
                else (-(b * across + c * SIDE) / (a or 1), across)
            )
            ax.plot(*ends, color=INK, alpha=0.15 + 0.85 * (i == shown), linewidth=1 + (i == shown))
        ax.set(
            xlim=(-1.1 * SIDE, 1.1 * SIDE),
            ylim=(-1.1 * SIDE, 1.1 * SIDE),
            aspect="equal",
            xlabel="input 1",
            ylabel="input 2",
        )
        ax.set_title(f"after {steps[shown]} of {len(lines) - 1} corrections")
        yield figure("line", drawn, "The line that divides yes from no turns with each correction, until no pattern is on the "
                     "wrong side; earlier lines are faint", steps[shown])  # fmt: skip


def against_bound(rows: list[Row]) -> Figure:
    drawn, ax = canvas(width=5.0, height=3.6)
    for D in sorted({int(row["inputs"]) for row in rows}):
        here = [row for row in rows if row["inputs"] == D]
        ax.scatter([row["bound"] for row in here], [row["corrections"] for row in here], s=12, label=f"{D} inputs")
    limits = [float(row["bound"]) for row in rows]
    ax.plot([min(limits), max(limits)], [min(limits), max(limits)], color=INK, label="Novikoff's bound")
    ax.set(xscale="log", yscale="log", xlabel="(R / gamma)²", ylabel="corrections until no mistake")
    ax.legend()
    return figure("bound", drawn, "One dot for each run: corrections made, against what the bound allows")


def answers(nets: dict[str, tuple[Tensor, Tensor]]) -> Figure:
    """What the first seed's response unit says all over the plane of the two inputs."""
    side = torch.linspace(-1.6, 1.6, 161)
    plane = torch.stack([*torch.meshgrid(side, side, indexing="xy"), torch.ones(161, 161)], 2).reshape(-1, 3)
    drawn, axes = canvas(1, len(nets), width=3.4 * len(nets), height=3.5)
    for ax, (title, (v, w)) in zip(axes.flat if len(nets) > 1 else [axes], nets.items(), strict=True):
        says = respond(w[:1].cpu(), reaching(v[:1].cpu(), plane)).sign().reshape(161, 161)
        ax.imshow(says.numpy(), extent=(-1.6, 1.6, -1.6, 1.6), origin="lower", cmap="RdBu", vmin=-2, vmax=2)
        ax.scatter([-1, 1], [1, -1], color=PALETTE[0], edgecolor="white", s=50)
        ax.scatter([-1, 1], [-1, 1], color=PALETTE[1], edgecolor="white", s=50)
        ax.set(title=title, xticks=(-1, 1), yticks=(-1, 1))
    return figure("xor", drawn, "XOR: the answers of a response unit that sees the inputs, and of one that sees random "
                  "threshold units; each dot should lie on its own colour")  # fmt: skip


def check(rows: list[Row]) -> list[Verdict]:
    starts = [row for row in rows if "came_round" in row]
    most = max(int(row["units"]) for row in starts)
    alone = [row for row in starts if row["units"] == 0]
    tried = [float(row["best_right"]) for row in rows if "weights_tried" in row]
    if all(row["came_round"] or row["solved"] for row in alone):  # else, who knows what more corrections would do
        tried.append(max(3.0, *(float(row["best_right"]) for row in alone)))  # a start may stay below 3
    return [
        exact(
            "convergence",
            [float(row["excess"]) for row in rows if "excess" in row],
            0.0,
            tolerance=0.0,
            unit="corrections beyond (R / gamma)^2",
        ),
        exact(
            "xor",
            tried if len(tried) > 1 else [],
            3.0,
            tolerance=0.0,
            unit="of 4 patterns, the most right in all starts until they came round, and with all weights tried",
        ),
        compare(
            "association-units",
            by_seed(starts, "solved", units=most) if most else {},
            by_seed(starts, "solved", units=0),
            better="higher",
            margin=0.5,  # ours: "enough" units are those with which more than half of the starts learn it
            unit=f"part of the starts that learn XOR, {most} association units against none",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
