"""A Theoretical Framework for Back-Propagation. LeCun, Proc. 1988 Connectionist Models Summer School, 1988.

Claims      multipliers      where the Lagrangian is stationary, the multipliers of the forward constraints are the
                             back-propagated errors
            weight-gradient  its derivative by the weights there, states and multipliers held fixed, is the gradient of
                             the error
            recurrent        the same holds for a recurrent net that has settled (the rule of Pineda and of Almeida)
Deviations  1  the constraints are written with the sign that makes a multiplier an error, not its negative
            2  the conditions are solved as one linear system, and by every layer at once from random values, where
               back-propagation goes from the last layer to the first: that both end at the same is the claim
            3  the sizes, tanh and the digits are ours; the paper is theory
Left out    continuous time and the Hamiltonian, targets for hidden layers, weights bound by equations
Shapes      P patterns, L layers of n_1 ... n_L units, M units in all, W_k [n_k, n_(k-1)], x_k and b_k [P, n_k]
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit import Event, Figure, Progress, Row, Verdict, exact, main
from impl.kit.data import handwriting
from impl.kit.figures import INK, canvas, curves, figure


@dataclass(frozen=True)
class Config:
    inputs: int = 10  # ours
    H: int = 16  # ours: units in each hidden layer
    layers: int = 8  # ours: layers of weights
    outputs: int = 4  # ours
    patterns: int = 20  # ours: in each of the nets that are checked
    gain: float = 1.2  # ours: weights start with this standard deviation, over the root of the inputs of a unit
    settled: int = 400  # ours: steps that a recurrent net takes; autograd goes through all of them
    data: str = "auto"  # ours: what a net learns by the Lagrangian alone
    width: int = 64  # ours: its hidden units, in two layers
    updates: int = 300  # ours
    rate: float = 0.1  # ours
    batch: int = 50  # ours
    seeds: int = 50  # ours: how many nets
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, H=32, layers=16, updates=2_000, seeds=100)
QUICK = replace(FULL, H=16, layers=8, updates=300, seeds=20)
SMOKE = replace(QUICK, data="digits", H=4, layers=3, width=8, updates=40, seeds=3)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

f = torch.tanh


def slope(x: Tensor) -> Tensor:  # f' at a unit, from its state x = f(a)
    return 1 - x.square()


def error(x: Tensor, d: Tensor) -> Tensor:
    """E of the output states, summed over patterns."""
    return (x - d).square().sum() / 2


def lagrangian(W: list[Tensor], x: list[Tensor], b: list[Tensor], d: Tensor) -> Tensor:
    """The error of the last states, plus for each layer b_k (f(W_k x_(k-1)) - x_k): here the states x are free.

    Stationary in b: each layer obeys the one below, the forward pass. Stationary in x: the backward pass. What is left,
    the derivative by W, would be 0 at the best weights; learning goes down along it.
    """
    constraints = [
        (b_k * (f(below @ w.T) - here)).sum() for w, b_k, (below, here) in zip(W, b, pairwise(x), strict=True)
    ]
    return error(x[-1], d) + torch.stack(constraints).sum()


def forward(W: list[Tensor], x: Tensor) -> list[Tensor]:
    """dL/db = 0: the states, the input first."""
    states = [x]
    for w in W:
        states.append(f(states[-1] @ w.T))
    return states


def backward(W: list[Tensor], x: list[Tensor], d: Tensor) -> list[Tensor]:
    """dL/dx = 0, solved from the last layer to the first: the multipliers."""
    b = [x[-1] - d]
    for w, here in zip(W[:0:-1], x[:1:-1], strict=True):
        b.append((b[-1] * slope(here)) @ w)
    return b[::-1]


def by_weights(x: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    """dL/dW, states and multipliers fixed."""
    return [(b_k * slope(here)).T @ below for b_k, (below, here) in zip(b, pairwise(x), strict=True)]


def multipliers(J: Tensor, dE_dx: Tensor) -> Tensor:
    """dL/dx = 0 for all units at once: (1 - J^T) b = dE/dx, where J [P, M, M] says how states depend on states."""
    one = torch.eye(J.shape[-1], dtype=J.dtype)
    b: Tensor = torch.linalg.solve(one - J.mT, dE_dx[..., None])
    return b[..., 0]


def solved(W: list[Tensor], x: list[Tensor], d: Tensor) -> list[Tensor]:
    """The multipliers of a layered net, found without going backwards through it."""
    sizes = [len(w) for w in W]
    start = [sum(sizes[:k]) for k in range(len(W))]
    J = torch.zeros(len(d), sum(sizes), sum(sizes), dtype=d.dtype)
    for k in range(1, len(W)):
        rows, columns = slice(start[k], start[k] + sizes[k]), slice(start[k - 1], start[k])
        J[:, rows, columns] = slope(x[k + 1])[:, :, None] * W[k]  # layer k depends on the layer below and on no other
    dE_dx = torch.cat([torch.zeros(len(d), start[-1], dtype=d.dtype), x[-1] - d], 1)
    return list(multipliers(J, dE_dx).split(sizes, 1))


def gap(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """The largest difference in any layer, as a part of the largest value there."""
    return max(((a - t).abs().max() / t.abs().max()).item() for a, t in zip(ours, theirs, strict=True))


def draw(cfg: Config, seed: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Weights, inputs and targets of one net, in double precision (on the CPU: not every device has it)."""
    g = torch.Generator().manual_seed(seed)
    sizes = [cfg.inputs, *[cfg.H] * (cfg.layers - 1), cfg.outputs]
    W = [cfg.gain / n**0.5 * torch.randn(m, n, generator=g, dtype=torch.float64) for n, m in pairwise(sizes)]
    x, d = (torch.rand(cfg.patterns, n, generator=g, dtype=torch.float64) * 2 - 1 for n in (sizes[0], sizes[-1]))
    return W, x, d


def autograd(W: list[Tensor], x0: Tensor, d: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What torch says: the derivatives of the error by the states, and by the weights."""
    W = [w.detach().requires_grad_() for w in W]
    x = forward(W, x0)
    grads = torch.autograd.grad(error(x[-1], d), [*x[1:], *W])
    return list(grads[: len(W)]), list(grads[len(W) :])


def relaxing(W: list[Tensor], x0: Tensor, d: Tensor, seed: int) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """All layers at once, from random states and multipliers: each sets its own to what its neighbours ask for."""
    g = torch.Generator().manual_seed(seed)
    x = [x0, *(torch.rand(len(d), len(w), generator=g, dtype=d.dtype) for w in W)]
    b = [torch.rand(len(d), len(w), generator=g, dtype=d.dtype) for w in W]
    while True:
        yield x[1:], b
        from_above = [(b_k * slope(here)) @ w for w, b_k, here in zip(W[1:], b[1:], x[2:], strict=True)]
        b = [*from_above, x[-1] - d]
        x = [x0, *(f(below @ w.T) for w, below in zip(W, x[:-1], strict=True))]


def recurrent_gaps(cfg: Config, seed: int) -> tuple[float, float]:
    """A net whose units all see each other, x = f(W x + u): multipliers and weight derivative, against autograd's.

    Autograd goes back through every step that the net took to settle; the multipliers need only the state in the end.
    """
    g = torch.Generator().manual_seed(seed)
    W = torch.randn(cfg.H, cfg.H, generator=g, dtype=torch.float64)
    W = (0.9 * W / torch.linalg.matrix_norm(W, 2)).requires_grad_()  # it settles: f is nowhere steeper than 1
    u = torch.randn(cfg.patterns, cfg.H, generator=g, dtype=torch.float64).requires_grad_()
    d = torch.rand(cfg.patterns, cfg.H, generator=g, dtype=torch.float64) * 2 - 1
    x = torch.zeros_like(d)
    for _ in range(cfg.settled):
        x = f(x @ W.T + u)
    dE_dW, dE_du = torch.autograd.grad(error(x, d), [W, u])
    with torch.no_grad():
        b = multipliers(slope(x)[:, :, None] * W, x - d)  # J = diag(f') W
        return gap([b * slope(x)], [dE_du]), gap([(b * slope(x)).T @ x], [dE_dW])


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    total, done = 2 * cfg.seeds + 2, 0
    pairs: list[tuple[Tensor, Tensor]] = []
    waves: list[list[list[float]]] = [[], []]
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        yield Progress(done, total, f"layered net {seed}")
        W, x0, d = draw(cfg, seed)
        x = forward(W, x0)
        dE_dx, dE_dW = autograd(W, x0, d)
        b = solved(W, x, d)
        free = [w.clone().requires_grad_() for w in W]
        dL_dW = torch.autograd.grad(lagrangian(free, x, b, d), free)  # x and b are numbers here, not functions of W
        yield dict(seed=seed, multiplier_gap=gap(b, dE_dx), weight_gap=gap(list(dL_dW), dE_dW))
        if seed == cfg.seed:
            pairs = list(zip(b, dE_dx, strict=True))
        for sweep, (x_now, b_now) in zip(range(2 * cfg.layers + 3), relaxing(W, x0, d, seed), strict=False):
            wrong_x = [gap([a], [t]) for a, t in zip(x_now, x[1:], strict=True)]
            wrong_b = [gap([a], [t]) for a, t in zip(b_now, dE_dx, strict=True)]
            exact_layers = sum(value < 1e-12 for value in wrong_b)
            yield dict(net="all layers at once", seed=seed, step=sweep, layers_with_exact_multipliers=exact_layers)
            if seed == cfg.seed:
                waves[0].append(wrong_x)
                waves[1].append(wrong_b)
        done += 1
    yield scatter(pairs)
    yield relaxation(waves)
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        yield Progress(done, total, f"recurrent net {seed}")
        by_state, by_weight = recurrent_gaps(cfg, seed)
        yield dict(seed=seed, recurrent_multiplier_gap=by_state, recurrent_weight_gap=by_weight)
        done += 1
    yield from learning(cfg, device, done, total)
    yield Progress(total, total, "done")


def learning(cfg: Config, device: torch.device, done: int, total: int) -> Iterator[Event]:
    """Digits, learnt twice from the same start: along the Lagrangian's weight derivative, and along autograd's gradient."""
    data = handwriting(cfg.data).to(device)
    pixels, labels = data.x_train.flatten(1) * 2 - 1, F.one_hot(data.y_train, 10) * 1.6 - 0.8
    sizes = [pixels.shape[1], cfg.width, cfg.width, 10]
    lines: dict[str, list[tuple[float, float]]] = {}
    for i, name in enumerate(("Lagrangian", "autograd")):
        g = torch.Generator().manual_seed(cfg.seed)
        W = [(torch.randn(m, n, generator=g) / n**0.5).to(device) for n, m in pairwise(sizes)]
        lines[name] = []
        for step in range(1, cfg.updates + 1):
            at = torch.randint(len(pixels), (cfg.batch,), generator=g).to(device)
            x = forward(W, pixels[at])
            if name == "Lagrangian":
                gradient = by_weights(x, backward(W, x, labels[at]))
            else:
                gradient = autograd(W, pixels[at], labels[at])[1]
            W = [w - cfg.rate / cfg.batch * dw for w, dw in zip(W, gradient, strict=True)]
            if step % 20 == 0 or step == cfg.updates:
                loss = error(x[-1], labels[at]).item() / cfg.batch
                lines[name].append((step, loss))
                yield dict(net=name, data=data.name, seed=cfg.seed, step=step, loss=loss)
                yield Progress(done + i + step / cfg.updates, total, f"{data.name}, learnt by the {name}'s derivative")
    yield curves("learning", lines, "Two descents from the same start; the second line hides the first",
                 x="update", y="error of a batch")  # fmt: skip


def scatter(pairs: list[tuple[Tensor, Tensor]]) -> Figure:
    """One dot for each unit and pattern of the first net, one panel for a few layers from first to last."""
    shown = sorted({0, len(pairs) // 3, 2 * len(pairs) // 3, len(pairs) - 1})
    drawn, axes = canvas(1, len(shown), width=8.0, height=2.5)
    for ax, k in zip(axes.flat, shown, strict=True):
        b, dE_dx = pairs[k]
        limit = dE_dx.abs().max().item()
        ax.plot([-limit, limit], [-limit, limit], color=INK, linewidth=0.8)
        ax.scatter(dE_dx.flatten().numpy(), b.flatten().numpy(), s=4)
        ax.set(title=f"layer {k + 1}", xlabel="dE/dx, autograd")
    axes.flat[0].set_ylabel("multiplier, solved for")
    return figure("multipliers", drawn, "The multiplier of each unit against the error that back-propagation gives it")


def relaxation(waves: list[list[list[float]]]) -> Figure:
    """Layer by layer and sweep by sweep, how far states and multipliers are from the stationary point."""
    drawn, axes = canvas(1, 2, width=8.0, height=3.0)
    for ax, wave, title in zip(axes, waves, ("states", "multipliers"), strict=True):
        values = torch.tensor(wave).clamp_min(1e-16).log10()  # [sweeps, L]
        image = ax.imshow(values.T.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=-16, vmax=0,
                          extent=(-0.5, len(wave) - 0.5, 0.5, len(wave[0]) + 0.5))  # fmt: skip
        ax.set(title=title, xlabel="sweep", ylabel="layer")
    bar = drawn.colorbar(image, ax=list(axes))
    bar.set_label("log10 of the relative difference", color=INK)
    bar.ax.tick_params(colors=INK)
    return figure("relaxation", drawn, "All layers at once, from random values: the states come right from the first layer up, "
                  "and when the last is right, the multipliers come right from there down")  # fmt: skip


def check(rows: list[Row]) -> list[Verdict]:
    measures = {
        "multipliers": ("multiplier_gap",),
        "weight-gradient": ("weight_gap",),
        "recurrent": ("recurrent_multiplier_gap", "recurrent_weight_gap"),
    }
    return [
        exact(
            claim,
            [float(row[name]) for row in rows for name in names if name in row],
            0.0,
            tolerance=1e-9,  # ours: rounding in double precision, through as many layers and steps as `full` has
            unit="largest difference to autograd, as a part of the largest value in the layer",
        )
        for claim, names in measures.items()
    ]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
