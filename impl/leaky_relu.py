"""Rectifier Nonlinearities Improve Neural Network Acoustic Models. Maas, Hannun & Ng, 2013.

Claims      beats-tanh      a deep net of rectifiers makes fewer test errors than one of tanh units
                            (abstract)
            leaky-alike     a net of leaky rectifiers makes nearly as many as one of plain ones
            sparser         a unit of the last hidden layer is active for a smaller share of inputs
                            than a tanh unit
            more-dispersed  the units share the work more evenly: these shares differ less from unit
                            to unit than tanh's
            no-zero         no unit of a leaky net has a gradient of exactly zero
Deviations  1  handwritten digits instead of 300 hours of telephone speech (Switchboard), which are
               not to be had freely: test errors in percent instead of word error rates
            2  narrower nets, fewer images and updates than in `paper`, whose numbers of images and
               updates are ours; `quick` has the deepest net only
            3  each seed's net takes the rate that suits it best on validation images
            4  the first weights have variance 1 / fan-in for tanh, 2 / fan-in for rectifiers;
               momentum, the fall of the rate and the batches are ours
            5  which outputs of a tanh unit count as off is from memory: those below -0.95, or those
               at both ends. Of the two the one that suits tanh better, seed by seed, is judged
Left out    the hidden Markov model and its decoder, filter bank features, context windows
Shapes      B images, D pixels, H units in each hidden layer, C classes
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import leaky_relu as drawing
from impl.kit import (
    Alike,
    Arrays,
    Comparison,
    Event,
    Identity,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    by_seed,
    judge,
    keep_rows,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.claims import Side
from impl.kit.data import draw_split, handwriting
from impl.kit.supervised import descend, error


class LeakyRectifier(nn.Module):
    """a above zero, 0.01 a otherwise: its gradient is never zero. With a leak of 0, a rectifier."""

    gain = 2.0  # first weights have the variance gain / fan-in

    def __init__(self, leak: float = 0.01):
        super().__init__()
        self.leak = leak

    def forward(self, a: Tensor) -> Tensor:
        return torch.where(a > 0, a, self.leak * a)

    def active(self, h: Tensor, off: float) -> dict[str, Tensor]:
        """Whether a unit with output h is on."""
        return {"": h > 0}


class Tanh(nn.Tanh):
    gain = 1.0

    def active(self, h: Tensor, off: float) -> dict[str, Tensor]:
        """Away from its lower end; away from both."""
        return {"": h > -off, "_both": h.abs() < off}


Unit = LeakyRectifier | Tanh


def net(D: int, H: int, layers: int, unit: Unit, C: int = 10) -> nn.Sequential:
    """[B, D] -> logits [B, C]"""
    modules: list[nn.Module] = []
    for n in [D, *[H] * (layers - 1)]:
        modules += [nn.Linear(n, H), unit]
    model = nn.Sequential(*modules, nn.Linear(H, C))
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=(unit.gain / parameter.shape[1]) ** 0.5)
        else:
            nn.init.zeros_(parameter)
    return model


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # ours, for Switchboard; `auto` is MNIST where it can be had, else digits
    n: int = 50_000  # ours: training images
    depths: tuple[int, ...] = (2, 3, 4)  # hidden layers, the paper's; the deepest nets are judged
    H: int = 2_048  # units in each, the paper's (its tables were not at hand, a summary was)
    leak: float = 0.01  # the leaky rectifier's slope below zero, the paper's
    off: float = 0.95  # from memory: a tanh unit below -0.95 is off
    lrs: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)  # ours: the grid
    momentum: float = 0.9  # ours
    batch: int = 50  # ours
    updates: int = 20_000  # ours
    validation: int = 10_000  # ours: training images to choose the rate by
    K: int = 10_000  # the paper's: inputs over which a unit's activation is counted
    seeds: int = 10  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, n=10_000, H=256, updates=4_000, validation=2_000, K=2_000)
QUICK = replace(FULL, data="auto", n=1_000, depths=(4,), H=128, updates=400, K=1_000)
TINY = replace(QUICK, data="digits", n=100, depths=(2,), H=16, batch=16, validation=100, K=100)
SMOKE = replace(TINY, lrs=(0.01, 0.03), updates=10, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

PROTOCOL = Protocol(
    arms=("leaky", "rectifier", "tanh"), conditions={"layers": "depths"}, grid={"lr": "lrs"}
)
DEEPEST = {"deepest": True}


def least(measure: str) -> Side:
    """Of tanh units, the smaller value by the two notions of being off."""

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        one, other = (by_seed(rows, name, arm="tanh") for name in (measure, f"{measure}_both"))
        return {seed: min(value, other[seed]) for seed, value in one.items()}

    return by_seeds


CLAIMS = (
    Comparison(
        claim="beats-tanh",
        idea="rectifier",
        rival="tanh",
        where=DEEPEST,
        measure="test_error",
        better="lower",
        margin=0.25,
        because="a quarter of a point; the abstract's 2 points are of far higher error rates",
        unit="% test error",
    ),
    Alike(
        claim="leaky-alike",
        idea="leaky",
        rival="rectifier",
        where=DEEPEST,
        measure="test_error",
        control=("rectifier", "tanh"),
        better="lower",
        margin=0.5,
        because="half a point, a twentieth of the errors; a tanh net must differ by more",
        unit="% test error",
    ),
    Comparison(
        claim="sparser",
        idea="rectifier",
        rival=least("activation"),
        where=DEEPEST,
        measure="activation",
        better="lower",
        margin=0.1,
        because="a tenth of the inputs",
        unit="share of inputs for which a unit is active, mean of the units",
    ),
    Comparison(
        claim="more-dispersed",
        idea="rectifier",
        rival=least("spread"),
        where=DEEPEST,
        measure="spread",
        better="lower",
        margin=0.05,
        because="half of the margin for the mean",
        unit="standard deviation of that share over the units",
    ),
    Identity(
        claim="no-zero",
        measure="dead_units",
        where={"arm": "leaky", "judged": True},
        tolerance=0.0,
        unit="units of a trained leaky net without any gradient",
    ),
)


def tanh_for_rectifier() -> AbstractContextManager[object]:
    other = unit_of
    return patch(
        f"{__name__}.unit_of", lambda arm, cfg: other(arm.replace("rectifier", "tanh"), cfg)
    )


BROKEN: Broken = {
    "beats-tanh": tanh_for_rectifier,
    "leaky-alike": {"leak": 1.0},  # what leaks everything is linear
    "sparser": tanh_for_rectifier,
    "more-dispersed": tanh_for_rectifier,
    "no-zero": {"leak": 0.0},
}


def unit_of(arm: str, cfg: Config) -> Unit:
    if arm == "tanh":
        return Tanh()
    return LeakyRectifier(cfg.leak if arm == "leaky" else 0.0)


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, layers: int, lr: float
) -> Iterator[TrialEvent]:
    """Trains one net by gradient descent with momentum, at a rate that falls evenly to zero."""
    data = handwriting(cfg.data).to(device)
    split = draw_split(data, cfg.n, cfg.validation, seed)
    x, x_val, x_test = (x.flatten(1) for x in (split.x_train, split.x_val, split.x_test))
    model = net(x.shape[1], cfg.H, layers, unit_of(arm, cfg)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr, cfg.momentum)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-3, cfg.updates)
    budget = dict(batch=cfg.batch, updates=cfg.updates, seed=seed)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:  # without regularization
        return F.cross_entropy(model(x), y)

    for step, loss in descend(loss_of, optimizer, x, split.y_train, **budget):
        falling.step()
        if step % -(-cfg.updates // 8) == 0:
            val_error = error(model, x_val, split.y_val)
            yield dict(step=step, loss=loss.item(), val_error=val_error)
    codes = coding(model, x_test[: cfg.K], cfg.off)
    result: Row = dict(step=cfg.updates, data=data.name, deepest=layers == max(cfg.depths))
    for name, share in codes.items():
        result |= {f"activation{name}": share.mean().item(), f"spread{name}": share.std().item()}
    if seed == cfg.seed and result["deepest"]:
        yield Arrays({f"active{name}": share for name, share in codes.items()})
        yield Arrays({"codes": model[:-1](x_test[:80])})
    result["dead_units"] = dead_units(model, x_test[:500], split.y_test[:500])
    result["val_error"] = error(model, x_val, split.y_val)
    result["test_error"] = error(model, x_test, split.y_test)
    yield result


@torch.no_grad()
def coding(model: nn.Sequential, x: Tensor, off: float) -> dict[str, Tensor]:
    """For each notion of being active the share of images for which a last hidden unit is, [H]."""
    unit = model[-2]
    assert isinstance(unit, LeakyRectifier | Tanh)
    active = unit.active(model[:-1](x), off)
    return {name: on.float().mean(0) for name, on in active.items()}


def dead_units(model: nn.Sequential, x: Tensor, y: Tensor) -> int:
    """Hidden units to which no image sends a gradient.

    In double precision, in which an error too small for single precision is not zero.
    """
    exact, into = copy.deepcopy(model).cpu().double(), []
    h = x.cpu().double()
    for layer in exact:
        h = layer(h)
        if isinstance(layer, nn.Linear):
            into.append(h)  # what goes into the units, [B, H]
    gradients = torch.autograd.grad(F.cross_entropy(h, y.cpu()), into[:-1])
    return sum(int((gradient == 0).all(0).sum()) for gradient in gradients)


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    handwriting(cfg.data)  # read once, for the processes of all trials
    rows: list[Row] = []
    chosen = yield from keep_rows(run_protocol(trial, cfg, PROTOCOL, device), rows)
    tensors = {one.arm: one.tensors for one in chosen if one.tensors}
    yield drawing.probabilities(tensors)
    yield drawing.codes({arm: each["codes"] for arm, each in tensors.items()})
    yield drawing.dead(rows)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
