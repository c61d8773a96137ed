"""Neural networks and physical systems with emergent collective computational abilities.

Hopfield, PNAS 79(8), 1982.

Claims      energy   a unit that reconsiders its state never raises the energy (Eqs. 7 and 8)
            cliff    about 0.15 N states are remembered before errors in recall are severe
Deviations  1  a memory counts as lost if the net, started from it, ends more than 5 % of its bits
               away; 0.10 N against 0.20 N of memories are ours, too
Left out    recall from a part, clipped weights, asymmetric weights, sequences of states
Shapes      N units, n memories, B states [B, N] of 0 and 1
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn

from impl.drawing import hopfield as drawing
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
from impl.kit.claims import Side


def store(V: Tensor) -> Tensor:
    """Eq. 2: T_ij = sum over memories of (2 V_i - 1)(2 V_j - 1), T_ii = 0. [n, N] -> [N, N]"""
    s = 2 * V - 1
    T = s.T @ s
    return T - torch.diag(T.diagonal())


class Hopfield(nn.Module):
    """N units that are all connected both ways, with thresholds of zero."""

    def __init__(self, T: Tensor):
        super().__init__()
        self.T = nn.Buffer(T)

    def energy(self, V: Tensor) -> Tensor:
        """Eq. 7: E = -1/2 sum over i != j of T_ij V_i V_j. [B, N] -> [B]"""
        E: Tensor = -0.5 * ((V @ self.T) * V).sum(-1)
        return E

    def update(self, V: Tensor, i: int) -> Tensor:
        """Eq. 1: unit i is 1 where its input is above zero, 0 where it is below. [B, N]"""
        total: Tensor = V @ self.T[i]
        new = torch.where(total == 0, V[:, i], (total > 0).to(V.dtype))
        return V.index_copy(1, torch.tensor([i], device=V.device), new[:, None])

    def settle(self, V: Tensor, sweeps: int, order: torch.Generator) -> Iterator[Tensor]:
        """The states after each sweep, in which every unit reconsiders once, in random order."""
        for _ in range(sweeps):
            for i in torch.randperm(V.shape[1], generator=order).tolist():
                V = self.update(V, i)
            yield V


@dataclass(frozen=True)
class Config:
    N: int = 100  # the paper's computer experiments: 30 and 100 units
    loads: tuple[int, ...] = (5, 10, 15, 20)  # the paper: memories; 20 is ours
    sweeps: int = 20  # ours: more than any net needed to come to rest
    lost: float = 0.05  # ours: a memory is lost if the net ends farther away than this
    seeds: int = 20  # ours: nets for each load
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, N=500, loads=(25, 50, 70, 80, 100), seeds=30)
QUICK = replace(PAPER, seeds=50)
SMOKE = replace(PAPER, N=40, loads=(2, 8), sweeps=3, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(arms=("net",), conditions={"n": "loads"}, select="lost")


def lost(share: float) -> Side:
    """% of memories lost with as many memories as come closest to this share of N."""

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        nearest = min((float(row["load"]) for row in rows), key=lambda load: abs(load - share))
        return by_seed(rows, "lost", load=nearest)

    return by_seeds


CLAIMS = (
    Identity(claim="energy", measure="rise", tolerance=0.0, unit="largest rise of the energy"),
    Comparison(
        claim="cliff", idea=lost(0.1), rival=lost(0.2), better="lower", margin=30.0,
        because="errors that are severe: one memory in three more is lost",
        unit="% of memories lost, with 0.10 N against 0.20 N of them",
    ),
)  # fmt: skip


def store_by_projection(V: Tensor) -> Tensor:
    """The weights for which all memories, as long as they are independent, are at rest."""
    s = 2 * V - 1
    T: Tensor = s.T @ torch.linalg.pinv(s.T)
    return T


def store_one_way(V: Tensor) -> Tensor:
    """Eq. 2 without symmetry: of the two connections between each pair of units one is cut."""
    s = 2 * V - 1
    one_way: Tensor = (s.T @ s).triu(1)
    return one_way


BROKEN: Broken = {
    "energy": lambda: patch(f"{__name__}.store", store_one_way),
    "cliff": lambda: patch(f"{__name__}.store", store_by_projection),
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, n: int
) -> Iterator[TrialEvent]:
    """Stores n random memories, and lets the net flow from each of them."""
    draw = generator(seed, f"memories {n}")
    memories = torch.randint(2, (n, cfg.N), generator=draw).float().to(device)
    net = Hopfield(store(memories))
    state, energies = memories, [net.energy(memories)]
    for step, state in enumerate(net.settle(memories, cfg.sweeps, generator(seed, "order")), 1):
        energies.append(net.energy(state))
        yield dict(step=step, energy=energies[-1].mean().item())
    yield Arrays({"energies": torch.stack(energies)})
    ended_away = (state - memories).abs().mean(1) > cfg.lost
    rise = largest_rise(net, memories, generator(seed, "order"))
    yield dict(load=n / cfg.N, lost=100 * ended_away.float().mean().item(), rise=rise)


def largest_rise(net: Hopfield, V: Tensor, order: torch.Generator) -> float:
    """Of the energy, unit by unit over a sweep; 0 if it never rises. The weights are whole numbers,
    so that nothing is rounded."""
    largest, before = 0.0, net.energy(V)
    for i in torch.randperm(V.shape[1], generator=order).tolist():
        V = net.update(V, i)
        after = net.energy(V)
        largest, before = max(largest, (after - before).max().item()), after
    return largest


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    rows: list[Row] = []
    chosen = yield from keep_rows(run_protocol(trial, cfg, PROTOCOL, device), rows)
    yield drawing.descent([one for one in chosen if one.seed == cfg.seed])
    yield drawing.cliff(rows)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
