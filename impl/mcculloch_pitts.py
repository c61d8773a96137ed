"""A logical calculus of the ideas immanent in nervous activity. McCulloch & Pitts, 1943.

Bulletin of Mathematical Biophysics 5, 115-133.

Claims      figure-1       the nets of Fig. 1 obey the laws that its legend gives, at all times
            one-cell       one cell computes all but one, XOR, of the functions of two afferents
                           that are false when both are silent
            signed         14 of all 16 functions of two inputs, if thresholds may be 0 or less and
                           an inhibitory synapse only counts against the others
            realizable     every function that is false in silence has a net of two layers; with a
                           cell that always fires, every function (Theorems 2 and 3)
            circles        with circles a net is any finite automaton (Sec. 3; so said by Kleene)
            hidden-cells   nets of random synapses compute more functions with cells in between
Deviations  1  the sum of Eq. 1 reaches the threshold instead of exceeding it, as in Fig. 1, where
               two synapses are enough
            2  the legend's laws are the paper's; which synapses realize them follows Theorem 2, and
               may differ from the drawing
            3  signed, circles in this form, and hidden-cells are ours; nothing here learns, and
               nothing does in the paper
Left out    extinction, other delays, Theorems 8 and 9 on what nets with circles compute, tapes
Shapes      T times, B sequences side by side, P afferents, C cells, N = P + C
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn

from impl.drawing import mcculloch_pitts as drawing
from impl.kit import (
    Comparison,
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


def fires(
    x: Tensor, excitatory: Tensor, inhibitory: Tensor, threshold: Tensor, relative: bool = False
) -> Tensor:
    """Eq. 1, assumptions 2 and 4: a cell fires one step later if enough excitatory synapses are
    active and no inhibitory one is. Actions [..., B, N], synapses [..., C, N], thresholds
    [..., C] -> actions [..., B, C]

    With `relative` inhibition (Theorem 4) each such synapse takes one from the sum.
    """
    excitation, inhibition = x @ excitatory.mT, x @ inhibitory.mT
    if relative:
        return (excitation - inhibition >= threshold[..., None, :]).float()
    return ((excitation >= threshold[..., None, :]) & (inhibition == 0)).float()


@dataclass(frozen=True)
class Cell:
    excite: str  # for each synapse upon it the name, one character, of the cell that it comes from
    inhibit: str = ""
    threshold: int = 2  # as in Fig. 1


class Net(nn.Module):
    """Cells and afferents; an afferent fires as the world has it. A circle is a path of synapses
    that leads from a cell back to it."""

    def __init__(self, afferents: str, cells: Mapping[str, Cell]):
        super().__init__()
        self.names = afferents + "".join(cells)
        excite = [[cell.excite.count(name) for name in self.names] for cell in cells.values()]
        inhibit = [[cell.inhibit.count(name) for name in self.names] for cell in cells.values()]
        self.excitatory = nn.Buffer(torch.tensor(excite).float())  # [C, N]
        self.inhibitory = nn.Buffer(torch.tensor(inhibit).float())
        self.threshold = nn.Buffer(torch.tensor([float(c.threshold) for c in cells.values()]))

    def forward(self, x: Tensor) -> Tensor:
        """Afferents [T, B, P] -> actions of all cells [T, B, N], silent at the first time."""
        cells = x.new_zeros(x.shape[1], len(self.threshold))
        actions = []
        for now in x:
            actions.append(torch.cat([now, cells], 1))
            cells = fires(actions[-1], self.excitatory, self.inhibitory, self.threshold)
        return torch.stack(actions)


Action = Callable[[str, int], Tensor]  # N("2", 3) is N_2(t - 3), for all sequences and t: [T, B]


def heat_and_cold(N: Action) -> dict[str, Tensor]:
    """Fig. 1e: receptors of heat (1) and of cold (2), sensations of heat (3) and of cold (4)."""
    return {"3": N("1", 1) | N("2", 3) & ~N("2", 2), "4": N("2", 2) & N("2", 1)}


def learning(N: Action) -> dict[str, Tensor]:
    """Fig. 1i: 1 excites 3 if once, by now, it fired together with 2. A circle remembers it."""
    once = (N("1", 1) & N("2", 1)).cummax(0).values
    return {"3": N("2", 1) | N("1", 1) & once}


Law = Callable[[Action], dict[str, Tensor]]
FIGURE_1: dict[str, tuple[str, dict[str, Cell], Law]] = {  # afferents, cells, the legend's law
    "a": ("1", {"2": Cell("11")}, lambda N: {"2": N("1", 1)}),
    "b": ("12", {"3": Cell("1122")}, lambda N: {"3": N("1", 1) | N("2", 1)}),
    "c": ("12", {"3": Cell("12")}, lambda N: {"3": N("1", 1) & N("2", 1)}),
    "d": ("12", {"3": Cell("11", "2")}, lambda N: {"3": N("1", 1) & ~N("2", 1)}),
    "e": ("12", {"a": Cell("22"), "b": Cell("aa", "2"), "3": Cell("11bb"), "4": Cell("2a")},
          heat_and_cold),
    # 1 only makes it harder, relative inhibition: what is here absolute takes one step more
    "f": ("123", {"a": Cell("2233", "1"), "b": Cell("123", threshold=3), "4": Cell("aabb")},
          lambda N: {"4": ~N("1", 2) & (N("2", 2) | N("3", 2)) | N("2", 2) & N("3", 2)}),
    "g": ("12", {"a": Cell("11"), "b": Cell("aa"), "c": Cell("22"), "3": Cell("cc", "b")},
          lambda N: {"3": N("2", 2) & ~N("1", 3)}),
    "h": ("1", {"a": Cell("11"), "2": Cell("1a")}, lambda N: {"2": N("1", 1) & N("1", 2)}),
    "i": ("12", {"a": Cell("12aa"), "3": Cell("221a")}, learning),
}  # fmt: skip


def normal_form(truth: Tensor, always: bool = False) -> Net:
    """Theorem 3: a cell for each way [2^P] of the afferents for which the function is true, and one
    that fires if any of them does. Afferent i is on in way number w if bit i of w is. No cell fires
    out of silence, so a function that is true for way 0 needs an afferent that fires `always`."""
    afferents = "0123456789"[: len(truth).bit_length() - 1]
    on = {w: "".join(n for i, n in enumerate(afferents) if w >> i & 1) for w in range(len(truth))}
    if truth[0] and not always:
        raise ValueError("a function that is true in silence needs a cell that always fires")
    cells = {}
    for way in truth.nonzero().flatten().tolist():
        excite, off = on[way] + "!" * always, set(afferents) - set(on[way])
        cells[chr(ord("a") + way)] = Cell(excite, "".join(off), len(excite))
    cells["="] = Cell("".join(cells), threshold=1)
    return Net(afferents + "!" * always, cells)


def automaton(step: list[list[int]]) -> Net:
    """The net for step[state][symbol] = next state, from state 0 on: a cell for each state and the
    symbol that led to it, which every cell of a state before and the symbol excite together.

    Afferents: one for each symbol, of which one fires at a time, and one, >, that fires at first.
    """
    states, symbols = range(len(step)), range(len(step[0]))
    name = {(q, a): chr(ord("a") + q * len(symbols) + a) for q in states for a in symbols}
    cells = {}
    for (q, a), cell in name.items():
        before = "".join(name[p, b] for p in states for b in symbols if step[p][a] == q)
        cells[cell] = Cell(str(a) + before + ">" * (step[0][a] == q))
    return Net("".join(map(str, symbols)) + ">", cells)


@dataclass(frozen=True)
class Config:
    times: int = 6  # ours: Fig. 1's nets see every sequence of this length
    most: int = 3  # ours: afferents; every function of so many or fewer is realized
    synapses: int = 2  # ours: of one afferent upon a cell, at most; more change nothing for two
    lowest: int = 1  # Theorem 1: thresholds are above 0
    relative: bool = True  # Theorem 4: inhibition may count against excitation, in `signed`
    states: int = 5  # ours: of the automata
    length: int = 9  # ours: they read every string of two symbols of this length
    hidden: int = 4  # ours: cells between afferents and output in random nets
    draws: int = 20_000  # ours: random nets
    seeds: int = 20  # ours: how many repetitions, each with its own automaton and random nets
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, draws=50_000, seeds=50)
QUICK = PAPER
SMOKE = replace(PAPER, times=4, most=2, length=4, draws=200, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

THEOREMS = Protocol(("theorems",), select="unlawful")
SEARCH = Protocol(("hidden cells", "one cell"), select="found", best="highest")

CLAIMS = (
    Identity(claim="figure-1", measure="unlawful", tolerance=0,
             unit="actions that break the laws of Fig. 1, in all sequences"),
    Identity(claim="one-cell", measure="one_cell", expected=7, tolerance=0,
             unit="functions, of the 8 of two afferents that are false in silence"),
    Identity(claim="signed", measure="signed", expected=14, tolerance=0,
             unit="of 16 functions of two inputs by one cell, with weights of both signs"),
    Identity(claim="realizable", measure="unrealized", tolerance=0,
             unit="functions of up to three afferents that their net does not compute"),
    Identity(claim="circles", measure="astray", tolerance=0,
             unit="strings after which the net is not in the state of the automaton"),
    Comparison(claim="hidden-cells", idea="hidden cells", rival="one cell", measure="found",
               better="higher", margin=12.5, ours=True,
               because="one function in eight; one cell finds all that it can, so no tuning helps",
               unit="% of the functions of three afferents that random nets find"),
)  # fmt: skip


def without_inhibition() -> AbstractContextManager[object]:
    whole = fires

    def excited(x: Tensor, on: Tensor, off: Tensor, at: Tensor, relative: bool = False) -> Tensor:
        return whole(x, on, torch.zeros_like(off), at, relative)

    return patch(f"{__name__}.fires", excited)


def cut_circles() -> AbstractContextManager[object]:
    """Each cell keeps the synapses from the afferents and from the cells named before it."""
    whole = Net.__init__

    def init(self: Net, afferents: str, cells: Mapping[str, Cell]) -> None:
        whole(self, afferents, cells)
        P = len(afferents)
        self.excitatory[:, P:] = self.excitatory[:, P:].tril(-1)

    return patch.object(Net, "__init__", init)


BROKEN: Broken = {
    "figure-1": without_inhibition,
    "one-cell": {"lowest": 0},
    "signed": {"relative": False},
    "realizable": without_inhibition,
    "circles": cut_circles,
    "hidden-cells": {"hidden": 1},
}


def trial(cfg: Config, device: torch.device, *, arm: str, seed: int) -> Iterator[TrialEvent]:
    if arm == "theorems":
        yield theorems(cfg, device, seed)
    else:
        yield from search(cfg, device, seed, cfg.hidden if arm == "hidden cells" else 0)


def theorems(cfg: Config, device: torch.device, seed: int) -> Row:
    draw = generator(seed, "automaton")
    step = torch.randint(cfg.states, (cfg.states, 2), generator=draw).tolist()
    counter = [[q, (q + 1) % cfg.states] for q in range(cfg.states)]  # of 1s, modulo the states
    return dict(
        unlawful=sum(unlawful(letter, cfg.times, device) for letter in FIGURE_1),
        one_cell=len(one_cell(2, cfg.synapses, cfg.lowest)),
        signed=len(one_cell(2, cfg.synapses, -cfg.synapses, cfg.relative)),
        unrealized=sum(unrealized(P, device) for P in range(1, cfg.most + 1)),
        astray=sum(astray(table, cfg.length, device) for table in (step, counter)),
    )


def ways(P: int) -> Tensor:
    """Each way in which P afferents can fire, [2^P, P]; bit i of its number is afferent i."""
    return (torch.arange(2**P)[:, None] >> torch.arange(P) & 1).float()


def unlawful(letter: str, times: int, device: torch.device) -> int:
    """How often the net of this part of Fig. 1 does what its law doesn't say."""
    afferents, cells, law = FIGURE_1[letter]
    net, P = Net(afferents, cells).to(device), len(afferents)
    actions = net(ways(times * P).view(-1, times, P).transpose(0, 1).to(device)).bool()

    def action(cell: str, delay: int) -> Tensor:
        """False before the beginning."""
        late: Tensor = actions[..., net.names.index(cell)].roll(delay, 0)
        late[:delay] = False
        return late

    return sum(int((action(cell, 0) != should).sum()) for cell, should in law(action).items())


def codes(outputs: Tensor) -> set[int]:
    """Truth tables [..., 2^P] as numbers: bit w is what the function says to way w."""
    return set((outputs.long() << torch.arange(outputs.shape[-1])).sum(-1).flatten().tolist())


def one_cell(P: int, most: int, lowest: int, relative: bool = False) -> set[int]:
    """Every function that one cell computes, with any synapses and thresholds in this range."""
    counts = torch.tensor(list(itertools.product(range(most + 1), repeat=P))).float()
    each = torch.cartesian_prod(*[torch.arange(len(counts))] * 2)
    found: set[int] = set()
    for threshold in range(lowest, P * most + 2):
        thresholds = torch.full((len(each), 1), float(threshold))
        pair = counts[each[:, 0], None], counts[each[:, 1], None]  # each [K, 1, P]
        found |= codes(fires(ways(P), *pair, thresholds, relative).squeeze(-1))
    return found


def unrealized(P: int, device: torch.device) -> int:
    """Functions of P afferents that the net of Theorem 3 doesn't compute, two steps later."""
    wrong, inputs = 0, ways(P).to(device)
    for truth, always in itertools.product(ways(2**P), (False, True)):
        if always or not truth[0]:
            shown = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1) if always else inputs
            actions = normal_form(truth, always).to(device)(shown.expand(3, -1, -1))
            wrong += not torch.equal(actions[2, :, -1], truth.to(device))
    return wrong


def astray(step: list[list[int]], length: int, device: torch.device) -> int:
    """Strings of two symbols after which other cells fire than those of the automaton's state."""
    strings = ways(length).long()  # [B, length]
    first = torch.zeros(length + 1, len(strings), 1)
    first[0] = 1
    shown = torch.cat([strings, strings[:, :1]], 1).T  # one more, for the last cell to fire
    x = torch.cat([nn.functional.one_hot(shown, 2).float(), first], 2)
    last = automaton(step).to(device)(x.to(device))[-1, :, 3:].cpu()  # [B, states * 2]
    state, table = torch.zeros(len(strings), dtype=torch.long), torch.tensor(step)
    for symbols in strings.T:
        state = table[state, symbols]
    expected = nn.functional.one_hot(2 * state + strings[:, -1], last.shape[1]).float()
    return int((last != expected).any(1).sum())


def search(cfg: Config, device: torch.device, seed: int, hidden: int) -> Iterator[TrialEvent]:
    """Draws nets, and counts the functions that any of them computes."""
    draw, found = generator(seed, "synapses"), set[int]()
    possible = 2 ** (2**cfg.most - 1)

    def layer(below: Tensor, cells: int) -> Tensor:  # of each net: [K, B, N] -> [K, B, C]
        shape = (len(below), cells, below.shape[-1])
        excitatory = torch.randint(3, shape, generator=draw).float()
        inhibitory = (torch.rand(shape, generator=draw) < 0.25).float()
        threshold = torch.randint(1, 4, shape[:2], generator=draw).float()
        return fires(below, excitatory.to(device), inhibitory.to(device), threshold.to(device))

    K = cfg.draws // 20
    for part in range(1, 21):
        x = ways(cfg.most).to(device).expand(K, -1, -1)
        found |= codes(layer(layer(x, hidden) if hidden else x, 1).squeeze(-1).cpu())
        yield dict(step=part * K, found=100 * len(found) / possible)
    xor = codes(ways(cfg.most).sum(1) % 2) <= found  # odd, of all afferents
    yield dict(step=cfg.draws, found=100 * len(found) / possible, xor=float(xor))


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    rows: list[Row] = []
    yield from keep_rows(run_protocol(trial, cfg, (THEOREMS, SEARCH), device), rows)
    yield drawing.heat_illusion(Net(*FIGURE_1["e"][:2]))
    yield drawing.memory(Net(*FIGURE_1["i"][:2]), automaton([[0, 1], [1, 2], [2, 0]]))
    yield drawing.found(rows)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
