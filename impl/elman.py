"""Finding structure in time. Elman, Cognitive Science 14:179-211, 1990.

Claims      third-bit          in a stream of two random bits and their XOR, the error is lower at
                               every third bit (Fig. 3)
            context            there it is lower than that of the same net without context units
            xor-everywhere     the net follows the XOR rule also where that can't succeed, at the
                               other two bits ("Exclusive-OR")
            same-as-torch-rnn  the net's hidden layer is torch.nn.RNN with other weights, exactly
Deviations  1  except in `paper` the stream is cut into `streams` pieces that are read side by side;
               `quick` uses Adam, and an update after `chunk` bits of each
            2  momentum, range of the first weights and rates to choose from are ours; what is
               chosen has the least error at the third bits of a new sequence
            3  the net without context units is ours: its context stays at 1/2. So is how we count
               that a net follows the rule
            4  the last claim is ours, too: torch's units are tanh, Elman's logistic, and a change
               of variables makes them equal
Left out    letters (ba, dii, guuu), words, and the classes of words that hidden units discover
Shapes      B streams, T bits, H hidden units and as many context units
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn

from impl.drawing.elman import hidden_units, twelve_bits
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
    main,
    run_protocol,
)
from impl.kit.broken import Broken

Events = Iterator[TrialEvent]
START = 0.5  # as in the paper: what the context units hold before the first bit


class Elman(nn.Module):
    """Fig. 2. Without context units the net gets 1/2 in their place, which says nothing."""

    def __init__(self, H: int, init: float, has_context: bool = True):
        super().__init__()
        self.has_context = has_context
        self.layer = nn.Linear(1 + H, H)  # from the input and the context units
        self.out = nn.Linear(H, 1)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -init, init)

    def start(self, B: int) -> Tensor:
        return torch.full((B, self.out.in_features), START).to(self.out.weight)

    def step(self, x: Tensor, c: Tensor) -> Tensor:
        """Hidden units from a bit [..., 1] and the context [..., H]"""
        return torch.sigmoid(self.layer(torch.cat([x, c], -1)))

    def copy(self, h: Tensor) -> Tensor:
        """What the context units hold for the next bit: the hidden units, one for one."""
        return h if self.has_context else torch.full_like(h, START)

    def hidden(self, z: Tensor, c: Tensor) -> Tensor:
        """Bits [B, T] and the first context [B, H] to hidden units [B, T, H].

        The copy counts as an input, so no error goes further back than one step. What the copies
        are is known before any error is: then all steps can be computed at once.
        """
        x, copies = z[..., None], []
        with torch.no_grad():
            for x_t in x.unbind(1):
                copies.append(c)
                c = self.copy(self.step(x_t, c))
        return self.step(x, torch.stack(copies, 1))

    def forward(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction of each next bit [B, T], and the context for the bit after these."""
        h = self.hidden(z, c)
        return torch.sigmoid(self.out(h)).squeeze(-1), self.copy(h[:, -1]).detach()


def as_torch_rnn(model: Elman) -> nn.RNN:
    """torch's own layer, with the weights that make it this net's hidden layer.

    sigma(u) = (1 + tanh(u/2)) / 2, so with h = (1 + k) / 2 the recurrence in k has tanh units, and
    h = 1/2 is k = 0.
    """
    W, U = model.layer.weight.data.split([1, model.layer.out_features], 1)
    bias = model.layer.bias.data / 2 + U.sum(1) / 4
    rnn = nn.RNN(1, len(U), batch_first=True).to(U)
    weights = {"weight_ih_l0": W / 2, "weight_hh_l0": U / 4, "bias_ih_l0": bias}
    rnn.load_state_dict(weights | {"bias_hh_l0": torch.zeros_like(bias)})
    return rnn


def stream(B: int, T: int, source: torch.Generator, device: torch.device) -> Tensor:
    """B pieces of two random bits and their XOR, over and over. [B, T]"""
    ab = torch.randint(2, (B, T // 3, 2), generator=source)
    z = torch.cat([ab, ab[..., :1] ^ ab[..., 1:]], dim=2)
    return z.flatten(1).float().to(device)


@dataclass(frozen=True)
class Config:
    bits: int = 3_000  # "Exclusive-OR": length of the training sequence
    passes: int = 600  # same: how often it is read
    H: int = 2  # same: hidden units, and context units
    streams: int = 1  # same: one bit after the other
    chunk: int = 1  # same: bits of a stream from one update to the next
    optimizer: str = "SGD"  # same; "Adam" is ours
    momentum: float = 0.9  # ours
    init: float = 1.0  # ours: first weights are uniform between -init and init
    lrs: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)  # ours: the grid
    dozens: int = 1_200  # Fig. 3: how often 12 bits are averaged; ours: in a new sequence
    seeds: int = 20  # ours: how many repetitions, each with sequences of its own
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, streams=50, lrs=(0.1, 0.3, 1.0), seeds=10)
QUICK = replace(
    FULL,
    streams=100,
    chunk=6,
    passes=240,
    optimizer="Adam",
    lrs=(0.01, 0.05, 0.2, 0.8),
)
SMOKE = replace(QUICK, bits=300, streams=10, passes=10, lrs=(0.1, 0.3), dozens=100, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(("context", "no context"), grid={"lr": "lrs"}, select="val_third_bit")

FIFTH = "a fifth of 1/4, the error of always answering 1/2"
CLAIMS = (
    Comparison(
        claim="third-bit",
        idea=lambda rows: by_seed(rows, "third_bit", arm="context"),
        rival=lambda rows: by_seed(rows, "other_bits", arm="context"),
        better="lower",
        margin=0.05,
        because=FIFTH,
        unit="mean squared error, third bits against the others",
    ),
    Comparison(
        claim="context",
        idea="context",
        rival="no context",
        measure="third_bit",
        better="lower",
        margin=0.05,
        because=FIFTH,
        unit="mean squared error at every third bit",
        ours=True,
    ),
    Comparison(
        claim="xor-everywhere",
        idea="context",
        rival="no context",
        measure="xor_at_others",
        better="higher",
        margin=0.25,
        because="half of the way from chance to always",
        unit="share of the random bits where the XOR of the two before is expected",
        ours=True,
    ),
    Identity(
        claim="same-as-torch-rnn",
        measure="torch_gap",
        tolerance=1e-9,
        unit="largest difference of a hidden unit",
    ),
)


def no_copy() -> AbstractContextManager[object]:
    """The hidden units never arrive in the context."""
    return patch.object(Elman, "copy", lambda self, h: torch.full_like(h, START))


BROKEN: Broken = {claim.claim: no_copy for claim in CLAIMS}


def trial(cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float) -> Events:
    model = Elman(cfg.H, cfg.init, has_context=arm == "context").to(device)
    more = {"momentum": cfg.momentum} if cfg.optimizer == "SGD" else {}
    optimizer = getattr(torch.optim, cfg.optimizer)(model.parameters(), lr=lr, **more)
    z = stream(cfg.streams, cfg.bits // cfg.streams, generator(seed, "data"), device)
    targets = z.roll(-1, 1)  # the next bit; after the last the sequence begins again
    T = 12 * -(-cfg.dozens // 20)  # new sequences are in 20 pieces of whole dozens
    validation, test = (stream(20, T, generator(seed, use), device) for use in ("val", "test"))
    before = model.hidden(test[:1], model.start(1)).detach()
    c = model.start(cfg.streams)
    for step in range(1, cfg.passes + 1):
        for x, target in zip(z.split(cfg.chunk, 1), targets.split(cfg.chunk, 1), strict=True):
            y, c = model(x, c)
            loss = (y - target).square().mean() / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if step % -(-cfg.passes // 8) == 0:
            third, others = split(errors(model, validation[:, :240]))
            yield dict(step=step, loss=loss.item(), third_bit=third, other_bits=others)
    after = model.hidden(test[:1], model.start(1)).detach()
    arrays = {"twelve": errors(model, test)}
    if seed == cfg.seed:
        weights = torch.cat([model.out.weight.detach()[0], model.out.bias.detach()])
        arrays |= {"z": test[0], "before": before[0], "after": after[0], "out": weights}
    yield Arrays(arrays)
    yield measured(model, validation, test) | {"step": cfg.passes, "loss": loss.item()}


def measured(model: Elman, validation: Tensor, test: Tensor) -> Row:
    third, others = split(errors(model, test))
    row: Row = {
        "val_third_bit": split(errors(model, validation))[0],
        "third_bit": third,
        "other_bits": others,
        "xor_at_others": split(follows_xor(model, test))[1],
    }
    if model.has_context:
        row["torch_gap"] = torch_gap(model, test[:1])
    return row


@torch.no_grad()
def predictions(model: Elman, z: Tensor) -> Tensor:
    """What was expected at each bit of z [B, T]; at the first, what follows the last."""
    y: Tensor = model(z, model.start(len(z)))[0]
    return y.roll(1, 1)


def of_twelve(values: Tensor) -> Tensor:
    """Means over bit 0 to 11 of each dozen; bits 2, 5, 8 and 11 are the XOR of the two before.
    [B, T] -> [12]"""
    return values.reshape(-1, 12).mean(0)


def split(values: Tensor) -> tuple[float, float]:
    """[12] to the mean of every third bit and that of the others."""
    of_three = values.view(4, 3).mean(0)
    return of_three[2].item(), of_three[:2].mean().item()


def errors(model: Elman, z: Tensor) -> Tensor:
    """Mean squared error of predicting each of 12 bits, [12]."""
    return of_twelve((predictions(model, z) - z).square())


def follows_xor(model: Elman, z: Tensor) -> Tensor:
    """How often the bit that the net takes for likelier is the XOR of the two before, [12]."""
    xor = z.roll(1, 1) != z.roll(2, 1)
    return of_twelve(((predictions(model, z) > 0.5) == xor).float())


@torch.no_grad()
def torch_gap(model: Elman, z: Tensor) -> float:
    """Largest difference between the model's hidden units and torch's, in double precision."""
    model, z = deepcopy(model).cpu().double(), z.cpu().double()
    theirs: Tensor = (1 + as_torch_rnn(model)(z[..., None])[0]) / 2
    return (model.hidden(z, model.start(len(z))) - theirs).abs().max().item()


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    twelve: dict[str, list[Tensor]] = {}
    for choice in chosen:
        twelve.setdefault(choice.arm, []).append(choice.tensors["twelve"])
    yield twelve_bits({arm: torch.stack(errors) for arm, errors in twelve.items()})
    yield hidden_units(chosen[0].tensors)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
