"""A "Weird" Introduction to Deep Learning. Favio Vázquez, Towards Data Science and KDnuggets, 2018.

The era race: one deep net on one task, as it would have been built in 1986; then it receives the
ideas one by one, in the order of their dates; then backwards, the modern net without one of them.
All at the same counted FLOPs, and with the same search of the learning rate.

Claims      not-just-layers   deep learning isn't just adding layers to a net: as in 1986 one hidden
                              layer makes fewer errors than three
            eras-help         with all the ideas three make fewer errors than with none of them
            beats-shallow     and fewer than the one hidden layer of 1986
            better-init       better first weights alone make the deep net of 1986 learn
            only-together     rectifiers and better first weights do, neither of them alone; both of
                              these for the 20 steps of `quick`: with 112, in `full`, each does
            batch-norm-alone  batch normalization alone does
            init-not-missed   the modern net does no worse without the better first weights
            equal-flops       each arm spends the budget but for less than a step
            by-hand           the FLOPs counted are those that follow from the layers' sizes
Deviations  1  the essay measures nothing: net, task, budget and the ideas beyond its own are ours
            2  by date, not in the essay's order, and with mini-batches, augmentation, Adam and
               batch normalization, which it doesn't name; its last four ideas aren't for this task
            3  of 1986 there are sigmoids, small random weights, momentum and updates after a sweep
               of all examples; not the squared error: all arms have a softmax and cross-entropy.
               With the 0.17 of 1986 for the weights, though of far more inputs, three learn some
            4  with rectifiers, better first weights have the factor 2 of 2015, not 2010
            5  FLOPs are those of matrix products and convolutions, 2 for each multiplication
            6  depth, sizes, small weights, budget and grid were chosen on seeds from 5000 on
Left out    pre-training, pooling, weight decay; regions, recurrence, adversaries, capsules
Shapes      B images of h x w pixels, H units or c maps of a hidden layer
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from impl.drawing import weird_introduction as drawing
from impl.kit import (
    Comparison,
    Event,
    Identity,
    NoWorse,
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
from impl.kit.data import Split, draw_split, handwriting
from impl.kit.fitting import settle
from impl.kit.supervised import error, shrink

IDEAS = {  # in the order of their dates, each with the milestone of the timeline that it is from
    "convolution": ("1989-12", "zip-codes"),
    "mini-batches": ("1998", "efficient-backprop"),  # small steps before all examples are seen
    "augmentation": ("1998-11", "lenet5"),  # which had shifts among its distortions
    "initialization": ("2010-05-13", "xavier-init"),
    "rectifiers": ("2010-06-21", "relu"),
    "dropout": ("2012-07-03", "dropout"),
    "Adam": ("2014-12-22", "adam"),
    "batch norm": ("2015-02-11", "batch-norm"),
    "residuals": ("2015-12-10", "resnet"),
}
Ideas = frozenset[str]
ALL: Ideas = frozenset(IDEAS)


class Net(nn.Module):
    """1 + 2 * blocks hidden layers, with or without each of the ideas. [B, 1, h, w] -> [B, 10]"""

    def __init__(self, ideas: Ideas, side: int, *, H: int, c: int, blocks: int, small: float):
        super().__init__()
        self.ideas, hidden = ideas, 1 + 2 * blocks
        layers: list[nn.Conv2d | nn.Linear]
        if "convolution" in ideas:
            layers = [nn.Conv2d(c if i else 1, c, 3, padding=1) for i in range(hidden)]
            out = nn.Linear(c * side**2, 10)
        else:
            layers = [nn.Linear(H if i else side**2, H) for i in range(hidden)]
            out = nn.Linear(H, 10)
        norm = nn.BatchNorm2d if "convolution" in ideas else nn.BatchNorm1d
        self.layers, self.out = nn.ModuleList(layers), out
        self.norms = nn.ModuleList(
            norm(len(layer.weight), momentum=1.0) if "batch norm" in ideas else nn.Identity()
            for layer in layers
        )
        for layer in [*layers, out]:
            std = self.std(layer.weight) if "initialization" in ideas else small
            nn.init.normal_(layer.weight, std=std)
            layer.bias.data.zero_()  # type: ignore[union-attr]

    def std(self, W: Tensor) -> float:
        """Xavier's, of variance 2 / (inputs + outputs), or He's for rectifiers, 2 / inputs."""
        inputs, outputs = W[0].numel(), W[:, 0].numel()
        if "rectifiers" in self.ideas and W is not self.out.weight:
            return math.sqrt(2 / inputs)
        return math.sqrt(2 / (inputs + outputs))

    def hidden(self, i: int, h: Tensor) -> Tensor:
        """What layer i gives to its units: [B, H], or [B, c, h, w]"""
        z: Tensor = self.norms[i](self.layers[i](h))
        return z

    def forward(self, x: Tensor) -> Tensor:
        act = F.relu if "rectifiers" in self.ideas else torch.sigmoid
        h = act(self.hidden(0, x if "convolution" in self.ideas else x.flatten(1)))
        for i in range(1, len(self.layers), 2):
            z = self.hidden(i + 1, act(self.hidden(i, h)))
            h = act(h + z) if "residuals" in self.ideas else act(z)
        p = 0.5 if "dropout" in self.ideas else 0.0
        logits: Tensor = self.out(F.dropout(h.flatten(1), p, self.training))
        return logits


def shift(x: Tensor, draw: torch.Generator) -> Tensor:
    """Each image by up to a pixel down and across; its edge is continued. [B, 1, h, w]"""
    B, _, h, w = x.shape
    down, across = torch.randint(3, (2, B), generator=draw).to(x.device)
    windows = F.pad(x, (1, 1, 1, 1), mode="replicate").unfold(2, h, 1).unfold(3, w, 1)
    return windows[torch.arange(B, device=x.device), :, down, across]  # of [B, 1, 3, 3, h, w]


def learn(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The gradients of the loss, which an optimizer then follows."""
    loss = F.cross_entropy(net(x), y)
    loss.backward()
    return loss.detach()


def count_flops(net: nn.Module, x: Tensor, y: Tensor) -> int:
    """Of `learn`, forward and backward, as torch counts them; the net stays as it is."""
    twin = copy.deepcopy(net)
    with FlopCounterMode(display=False) as counter:
        learn(twin, x, y)
    return int(counter.get_total_flops())


def by_hand(net: Net, B: int) -> int:
    """The same for fully connected layers: three products each, of inputs, outputs and B; the
    first layer's inputs need no gradient."""
    sizes: list[int] = [layer.weight.numel() for layer in [*net.layers, net.out]]
    return 2 * B * (3 * sum(sizes) - sizes[0])


@dataclass(frozen=True)
class Config:
    data: str = "digits"  # ours: scikit-learn's, 8 x 8; or mnist, made smaller
    n: int = 200  # ours: training images, few enough for errors to remain
    validation: int = 250  # ours
    blocks: int = 1  # ours: of two layers each, after the first hidden layer
    H: int = 180  # ours: units of a hidden layer, for about the FLOPs of c maps
    c: int = 8  # ours: maps of a convolutional layer
    small: float = 0.03  # ours: std; 1986 has 0.17 before 6 inputs, 1989 would have 0.008 here
    batch: int = 40  # ours: with mini-batches
    momentum: float = 0.9  # Rumelhart et al. 1986; of all arms without Adam
    flops: float = 2e10  # ours: the budget of a training
    lrs: tuple[float, ...] = (0.016, 0.04, 0.1, 0.2, 0.4, 1.0)  # ours: the grid; for Adam over 20
    seeds: int = 20  # ours: how many repetitions, each with its own training images
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, flops=1e10, lrs=(0.04, 0.1, 0.3, 1.0), seeds=8)
QUICK = replace(PAPER, flops=1.8e9, lrs=(0.04, 0.2, 1.0), seeds=5)
SMOKE = replace(QUICK, n=40, H=16, c=4, batch=10, flops=2e7, lrs=(0.1,), seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

SHALLOW, DEEP = "one hidden layer of 1986", "three hidden layers of 1986"
TOGETHER = "initialization, rectifiers"


def name_arms() -> dict[Ideas, str]:
    """The arms by the ideas that they have; what is two things at once is one arm."""
    ideas = tuple(IDEAS)
    ladder = {frozenset(ideas[:i]): f"until {ideas[i - 1]}" for i in range(1, len(ideas))}
    alone = {frozenset({idea}): f"only {idea}" for idea in ideas}
    without = {ALL - {idea}: f"without {idea}" for idea in ideas}
    together = {frozenset({"initialization", "rectifiers"}): TOGETHER}
    return {Ideas(): DEEP, ALL: "modern"} | ladder | alone | without | together


ARM_OF = name_arms()
IDEAS_OF = {arm: ideas for ideas, arm in ARM_OF.items()} | {SHALLOW: Ideas()}
PROTOCOL = Protocol(arms=tuple(IDEAS_OF), grid={"lr": "lrs"})


def better_of_two(rows: Sequence[Row]) -> dict[int, float]:
    """Test error of the net of 1986 with the one of two ideas that does better in validation."""
    arms = [f"only {idea}" for idea in ("initialization", "rectifiers")]
    val = {arm: by_seed(rows, "val_error", arm=arm) for arm in arms}
    test = {arm: by_seed(rows, "test_error", arm=arm) for arm in arms}
    best = {seed: min(arms, key=lambda arm: val[arm][seed]) for seed in val[arms[0]]}
    return {seed: test[arm][seed] for seed, arm in best.items()}


HALF = "half of the way from guessing to all right: it learns, where the other doesn't"
compared = partial(
    Comparison, measure="test_error", better="lower", margin=45.0, because=HALF, worst=90.0,
    rival_may_diverge=True, ours=True,  # the essay has no measurement
)  # fmt: skip
CLAIMS = (
    compared(
        claim="not-just-layers", idea=SHALLOW, rival=DEEP,
        unit="% test error",
    ),
    compared(
        claim="eras-help", idea="modern", rival=DEEP,
        unit="% test error, three hidden layers with all ideas against none",
    ),
    compared(
        claim="beats-shallow", idea="modern", rival=SHALLOW,
        margin=1.0, because="one digit in a hundred",
        unit="% test error, three hidden layers with all ideas against one as in 1986",
    ),
    compared(
        claim="better-init", idea="only initialization", rival=DEEP,
        unit="% test error, as in 1986 but for the first weights",
    ),
    compared(
        claim="only-together", idea=TOGETHER, rival=better_of_two,
        unit="% test error, as in 1986 but for both ideas against the better one",
    ),
    compared(
        claim="batch-norm-alone", idea="only batch norm", rival=DEEP,
        unit="% test error, as in 1986 but for batch normalization",
    ),
    NoWorse(
        claim="init-not-missed", idea="without initialization", rival="modern", margin=5.0,
        measure="test_error", better="lower", worst=90.0, rival_may_diverge=True, ours=True,
        because="a ninth of what it is to learn at all, 45",
        unit="% test error, all ideas but one against all",
    ),
    Identity(
        claim="equal-flops", measure="left", expected=0.5, tolerance=0.5,
        unit="steps that the budget leaves",
    ),
    Identity(claim="by-hand", measure="by_hand", tolerance=0.0, unit="FLOPs of a step, difference"),
)  # fmt: skip


def with_ideas(**arms: Ideas) -> Callable[[], AbstractContextManager[object]]:
    return lambda: patch.dict(IDEAS_OF, arms)


UNTIL_2012 = ALL - {"Adam", "batch norm", "residuals"}
BROKEN: Broken = {
    "not-just-layers": {"blocks": 0},
    "eras-help": with_ideas(modern=Ideas()),
    "beats-shallow": with_ideas(modern=Ideas()),
    "better-init": with_ideas(**{"only initialization": Ideas()}),
    "only-together": with_ideas(**{TOGETHER: Ideas({"rectifiers"})}),
    "batch-norm-alone": with_ideas(**{"only batch norm": Ideas()}),
    "init-not-missed": with_ideas(
        modern=UNTIL_2012, **{"without initialization": UNTIL_2012 - {"initialization"}}
    ),
    # every step counts the same, whatever it computes
    "equal-flops": lambda: patch(f"{__name__}.count_flops", lambda *_: 20_000_000),
    # also the gradients of the pixels, which nobody needs
    "by-hand": lambda: patch(
        f"{__name__}.learn",
        lambda net, x, y, learn=learn: learn(net, x.clone().requires_grad_(), y),
    ),
}


def digits(cfg: Config, seed: int, device: torch.device) -> Split:
    """Images [N, 1, h, w] of mean zero and variance one, by the training images."""
    data = shrink(handwriting(cfg.data).to(device), 2)
    split = draw_split(data, cfg.n, cfg.validation, seed)
    mean, std = split.x_train.mean(), split.x_train.std()
    x, x_val, x_test = ((x - mean) / std for x in (split.x_train, split.x_val, split.x_test))
    return replace(split, x_train=x, x_val=x_val, x_test=x_test)


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:
    """Trains one net for as many steps as the budget allows."""
    ideas, split = IDEAS_OF[arm], digits(cfg, seed, device)
    x, y, batch = split.x_train, split.y_train, cfg.batch if "mini-batches" in ideas else cfg.n
    blocks = 0 if arm == SHALLOW else cfg.blocks
    net = Net(ideas, x.shape[-1], H=cfg.H, c=cfg.c, blocks=blocks, small=cfg.small).to(device)
    steps = int(cfg.flops // count_flops(net, x[:batch], y[:batch]))
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(net.parameters(), lr / 20, fused=True)
        if "Adam" in ideas
        else torch.optim.SGD(net.parameters(), lr, cfg.momentum, fused=True)
    )
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1 / steps, steps)
    batches, shifts = generator(seed, "batches"), generator(seed, "shifts")
    for step in range(1, steps + 1):
        at = torch.randint(cfg.n, (batch,), generator=batches) if batch < cfg.n else slice(None)
        seen = shift(x[at], shifts) if "augmentation" in ideas else x[at]
        optimizer.zero_grad()
        loss = learn(net, seen, y[at])
        optimizer.step()
        falling.step()
        if step % -(-steps // 8) == 0:
            yield dict(step=step, loss=loss.item())
    yield measured(cfg, net, split, steps, seen, y[at]) | {"step": steps}


def measured(cfg: Config, net: Net, split: Split, steps: int, seen: Tensor, y: Tensor) -> Row:
    """Its errors, and what its last step cost: counted as trained, and by hand."""
    with FlopCounterMode(display=False) as counter:
        learn(net, seen, y)
    flops = counter.get_total_flops()
    settle(net, split.x_train)
    row: Row = dict(
        val_error=error(net, split.x_val, split.y_val),
        test_error=error(net, split.x_test, split.y_test),
        flops=flops * steps,
        left=(cfg.flops - flops * steps) / flops,
    )
    if "convolution" not in net.ideas:
        row["by_hand"] = flops - by_hand(net, len(seen))
    return row


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    rows: list[Row] = []
    yield from keep_rows(run_protocol(trial, cfg, PROTOCOL, device), rows)
    judged = [row for row in rows if row.get("judged")]
    ladder = [frozenset(list(IDEAS)[:i]) for i in range(len(IDEAS) + 1)]
    dates = {"back-propagation": "1986-10-09"} | {idea: date for idea, (date, _) in IDEAS.items()}
    yield drawing.era_race(judged, [ARM_OF[ideas] for ideas in ladder], dates, SHALLOW)
    alone = {idea: ARM_OF[frozenset({idea})] for idea in IDEAS}
    without = {idea: ARM_OF[ALL - {idea}] for idea in IDEAS}
    yield drawing.forwards_and_backwards(judged, DEEP, alone, without)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
