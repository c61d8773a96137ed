"""A theoretical framework for back-propagation. LeCun, Connectionist Models Summer School, 1988.

Claims      multipliers      where the Lagrangian is stationary, the multipliers of the forward
                             constraints are the back-propagated errors
            weight-gradient  its derivative by the weights there, states and multipliers held fixed,
                             is the gradient of the error
            recurrent        the same holds for a recurrent net that has settled (the rule of Pineda
                             and of Almeida)
Deviations  1  the constraints are written with the sign that makes a multiplier an error, not its
               negative
            2  the conditions are solved as one linear system, and by every layer at once from
               random values, where back-propagation goes from the last layer to the first: that
               all end at the same is the claim
            3  the sizes, tanh and the digits are ours; the paper is theory
Left out    continuous time and the Hamiltonian, targets for hidden layers, weights bound by
            equations
Shapes      P patterns, L layers of n_1 ... n_L units, M units in all, W_k [n_k, n_(k-1)], states
            x_k and multipliers b_k [P, n_k]
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing.lecun_theory import relaxation, scatter
from impl.kit import (
    Arrays,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    generator,
    judge,
    keep_rows,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.data import handwriting
from impl.kit.figures import curves

Events = Iterator[TrialEvent]
States = list[Tensor]  # of each layer, the input first


def error(x: Tensor, d: Tensor) -> Tensor:
    """E of the output states, summed over patterns."""
    return (x - d).square().sum() / 2


class Net(nn.Module):
    """Layers of tanh units. Its gradient is what remains of the Lagrangian's derivatives."""

    def __init__(self, sizes: Sequence[int], gain: float, source: torch.Generator):
        super().__init__()
        drawn = [torch.randn(m, n, generator=source) * gain / n**0.5 for n, m in pairwise(sizes)]
        self.W = nn.ParameterList(drawn)

    @staticmethod
    def derivative(x: Tensor) -> Tensor:
        """f' at a unit, from its state x = f(a) = tanh(a)."""
        return 1 - x.square()

    def forward(self, x: Tensor) -> States:
        """dL/db = 0: each layer obeys the one below."""
        states = [x]
        for W in self.W:
            states.append(torch.tanh(states[-1] @ W.T))
        return states

    def lagrangian(self, x: States, b: list[Tensor], d: Tensor) -> Tensor:
        """The error of the last states, plus for each layer b_k (f(W_k x_(k-1)) - x_k): here the
        states x are free.

        Stationary in b: the forward pass. Stationary in x: the backward pass. What is left, the
        derivative by W, would be 0 at the best weights; learning goes down along it.
        """
        layers = zip(self.W, b, pairwise(x), strict=True)
        costs = [(b_k * (torch.tanh(below @ W.T) - here)).sum() for W, b_k, (below, here) in layers]
        return error(x[-1], d) + torch.stack(costs).sum()

    def backward(self, x: States, d: Tensor) -> list[Tensor]:
        """dL/dx = 0, solved from the last layer to the first: the multipliers."""
        b = [x[-1] - d]
        for W, here in zip(list(self.W)[:0:-1], x[:1:-1], strict=True):
            b.append((b[-1] * self.derivative(here)) @ W)
        return b[::-1]

    def by_weights(self, x: States, b: list[Tensor]) -> list[Tensor]:
        """dL/dW, states and multipliers fixed."""
        pairs = zip(b, pairwise(x), strict=True)
        return [(b_k * self.derivative(here)).T @ below for b_k, (below, here) in pairs]

    def solve(self, x: States, d: Tensor) -> list[Tensor]:
        """The multipliers, found without going backwards: dL/dx = 0 for all units at once."""
        sizes = [len(W) for W in self.W]
        J = d.new_zeros(len(d), sum(sizes), sum(sizes))  # how states depend on states
        start = 0
        for k in range(1, len(sizes)):  # layer k depends on the layer below and on no other
            below, here = slice(start, start + sizes[k - 1]), slice(start + sizes[k - 1], None)
            block = self.derivative(x[k + 1])[:, :, None] * self.W[k]
            J[:, here, below][:, : sizes[k]] = block
            start += sizes[k - 1]
        dE_dx = F.pad(x[-1] - d, (start, 0))
        return list(multipliers(J, dE_dx).split(sizes, 1))


def multipliers(J: Tensor, dE_dx: Tensor) -> Tensor:
    """(1 - J^T) b = dE/dx, where J [P, M, M] says how states depend on states."""
    one = torch.eye(J.shape[-1], dtype=J.dtype)
    b: Tensor = torch.linalg.solve(one - J.mT, dE_dx[..., None])
    return b[..., 0]


@dataclass(frozen=True)
class Config:
    inputs: int = 10  # ours
    H: int = 32  # ours: units in each hidden layer
    layers: int = 16  # ours: layers of weights
    outputs: int = 4  # ours
    patterns: int = 20  # ours: in each of the nets that are checked
    gain: float = 1.2  # ours: standard deviation of the first weights, times the root of the inputs
    settled: int = 400  # ours: steps that a recurrent net takes; autograd goes through all of them
    data: str = "auto"  # ours: what a net learns by the Lagrangian alone
    width: int = 64  # ours: its hidden units, in two layers
    updates: int = 2_000  # ours
    lr: float = 0.1  # ours
    batch: int = 50  # ours
    seeds: int = 50  # ours: how many nets of each kind
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = PAPER
QUICK = replace(FULL, H=16, layers=8, updates=300, seeds=10)
SMOKE = replace(QUICK, data="digits", H=4, layers=3, width=8, updates=40, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(("random", "learnt", "learnt by autograd", "recurrent"))


def identity(claim: str, measure: str) -> Identity:
    return Identity(
        claim=claim,
        measure=measure,
        tolerance=1e-9,  # rounding in double precision, through all layers and steps
        unit="largest difference to autograd, as a part of the largest value in the layer",
    )


CLAIMS = (
    identity("multipliers", "multiplier_gap"),
    identity("weight-gradient", "weight_gap"),
    identity("recurrent", "recurrent_gap"),
)


def linear_units() -> AbstractContextManager[object]:
    """Constraints linearized as if every unit were linear."""
    return patch.object(Net, "derivative", staticmethod(torch.ones_like))


BROKEN: Broken = {claim.claim: linear_units for claim in CLAIMS}


def trial(cfg: Config, device: torch.device, *, arm: str, seed: int) -> Events:
    if arm == "recurrent":
        yield recurrent(cfg, seed)
    elif arm == "random":
        yield from check_random(cfg, seed)
    else:
        yield from learn(cfg, device, arm, seed)


def gap(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest difference in any layer, as a part of the largest value there."""
    pairs = zip(ours, theirs, strict=True)
    return max(((a - t).abs().max() / t.abs().max()).item() for a, t in pairs)


def autograd(net: Net, x: Tensor, d: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What torch says: the derivatives of the error by the states, and by the weights."""
    states = net(x)
    W = list(net.W)
    gradients = list(torch.autograd.grad(error(states[-1], d), [*states[1:], *W]))
    return gradients[: len(W)], gradients[len(W) :]


def gaps(net: Net, x: Tensor, d: Tensor) -> Row:
    """The conditions at the stationary point against autograd, in two ways each."""
    dE_dx, dE_dW = autograd(net, x, d)
    states = [state.detach() for state in net(x)]
    with torch.no_grad():
        b, backwards = net.solve(states, d), net.backward(states, d)
        by_weights = net.by_weights(states, backwards)
    dL_dW = torch.autograd.grad(net.lagrangian(states, b, d), list(net.W))
    return {
        "multiplier_gap": max(gap(b, dE_dx), gap(backwards, dE_dx)),
        "weight_gap": max(gap(dL_dW, dE_dW), gap(by_weights, dE_dW)),
    }


def check_random(cfg: Config, seed: int) -> Events:
    """A deep net with random weights, inputs and targets; and how it relaxes."""
    source = generator(seed, "net")
    sizes = [cfg.inputs, *[cfg.H] * (cfg.layers - 1), cfg.outputs]
    net = Net(sizes, cfg.gain, source).double()
    ends = (cfg.inputs, cfg.outputs)
    x, d = (torch.rand(cfg.patterns, n, generator=source).double() * 2 - 1 for n in ends)
    dE_dx, _ = autograd(net, x, d)
    waves: list[list[float]] = []
    with torch.no_grad():
        states = net(x)
        for sweep, (x_now, b_now) in zip(
            range(2 * cfg.layers + 3),
            relax(net, x, d, seed),
            strict=False,
        ):
            wrong_x = [gap([a], [t]) for a, t in zip(x_now, states[1:], strict=True)]
            wrong_b = [gap([a], [t]) for a, t in zip(b_now, dE_dx, strict=True)]
            waves.append([*wrong_x, *wrong_b])
            yield dict(step=sweep, layers_exact=sum(value < 1e-12 for value in wrong_b))
        if seed == cfg.seed:
            solved = net.solve(states, d)
            pairs = enumerate(zip(solved, dE_dx, strict=True))
            arrays = {f"b {k}": torch.stack(pair) for k, pair in pairs}
            yield Arrays(arrays | {"waves": torch.tensor(waves)})
    yield gaps(net, x, d)


def relax(net: Net, x0: Tensor, d: Tensor, seed: int) -> Iterator[tuple[States, list[Tensor]]]:
    """All layers at once, from random states and multipliers: each sets its own to what its
    neighbours ask for."""
    source, W = generator(seed, "relaxation"), list(net.W)
    x = [x0, *(torch.rand(len(d), len(w), generator=source).to(d) for w in W)]
    b = [torch.rand(len(d), len(w), generator=source).to(d) for w in W]
    while True:
        yield x[1:], b
        above = zip(W[1:], b[1:], x[2:], strict=True)
        b = [*((b_k * net.derivative(here)) @ w for w, b_k, here in above), x[-1] - d]
        x = [x0, *(torch.tanh(below @ w.T) for w, below in zip(W, x[:-1], strict=True))]


def recurrent(cfg: Config, seed: int) -> Row:
    """A net whose units all see each other, x = f(W x + u): multipliers and weight derivative,
    against autograd's, which goes back through every step that the net took to settle."""
    source = generator(seed, "net")
    W = torch.randn(cfg.H, cfg.H, generator=source).double()
    W = (0.9 * W / torch.linalg.matrix_norm(W, 2)).requires_grad_()  # it settles: f' is at most 1
    u, d = (torch.randn(cfg.patterns, cfg.H, generator=source).double() for _ in range(2))
    u.requires_grad_()
    x = torch.zeros_like(d)
    for _ in range(cfg.settled):
        x = torch.tanh(x @ W.T + u)
    dE_dW, dE_du = torch.autograd.grad(error(x, d), [W, u])
    with torch.no_grad():
        slope = Net.derivative(x)
        b = multipliers(slope[:, :, None] * W, x - d)  # J = diag(f') W
        return {"recurrent_gap": max(gap([b * slope], [dE_du]), gap([(b * slope).T @ x], [dE_dW]))}


def learn(cfg: Config, device: torch.device, arm: str, seed: int) -> Events:
    """Digits, along the Lagrangian's weight derivative or along autograd's gradient."""
    data = handwriting(cfg.data)
    pixels, labels = data.x_train.flatten(1) * 2 - 1, F.one_hot(data.y_train, 10) * 1.6 - 0.8
    sizes = [pixels.shape[1], cfg.width, cfg.width, 10]
    net = Net(sizes, 1.0, generator(seed, "net")).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=cfg.lr / cfg.batch)
    batches = generator(seed, "batches")
    for step in range(1, cfg.updates + 1):
        at = torch.randint(len(pixels), (cfg.batch,), generator=batches)
        x, d = pixels[at].to(device), labels[at].to(device)
        if arm == "learnt":
            with torch.no_grad():
                states = net(x)
                gradient = net.by_weights(states, net.backward(states, d))
        else:
            gradient = autograd(net, x, d)[1]
        for W, dW in zip(net.W, gradient, strict=True):
            W.grad = dW
        optimizer.step()
        if step % -(-cfg.updates // 15) == 0 or step == cfg.updates:
            loss = error(net(x)[-1], d).item() / cfg.batch
            yield dict(step=step, loss=loss, data=data.name)
    row: Row = {"step": step, "loss": loss, "data": data.name}
    if arm == "learnt":
        row |= gaps(net.cpu().double(), x.cpu().double(), d.cpu().double())
    yield row


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    handwriting(cfg.data)  # before the trials' processes begin, which share it
    rows: list[Row] = []
    chosen = yield from keep_rows(run_protocol(trial, cfg, PROTOCOL, device), rows)
    arrays = chosen[0].tensors
    layers = cfg.layers
    yield scatter([arrays[f"b {k}"] for k in range(layers)])
    yield relaxation(arrays["waves"][:, :layers], arrays["waves"][:, layers:])
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["seed"] == cfg.seed and "loss" in row and "step" in row:
            lines.setdefault(str(row["arm"]), []).append((float(row["step"]), float(row["loss"])))
    caption = "Two descents from the same start; the second line hides the first"
    yield curves("learning", lines, caption, x="update", y="error of a batch")


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
