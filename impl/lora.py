"""LoRA: Low-Rank Adaptation of Large Language Models. Hu et al., 2021 (arXiv 2106.09685).

Claims      quality        with rank 4 the adapted net is no worse than one trained whole (Table 3)
            rank-one       rank 1 does as well as a larger one (Table 6), which we do not see
            far-task       on a task far from the old one rank 1 is not enough (footnote 6)
            start          the adapted net begins as the old one, since B is zero (Sec. 4.1)
            merged         B A can be added into the matrix, and nothing changes (Sec. 4.1)
            rank-limits    of a change of full rank, rank r leaves the smaller singular values
            weights        of GPT-3 as many weights are trained as Table 4 says (Sec. 5.1)
            smaller-nets   and of RoBERTa, DeBERTa and GPT-2 as many as Tables 2 and 3 say
Deviations  1  a small Transformer that reads a digit row by row, trained for each seed on upright
               digits, in place of language models; near: rotated digits, far: permuted pixels
            2  few examples of the new task; its classes, and so the last layer, are the old ones
            3  for every arm AdamW with a rate that falls to zero, its start chosen from one grid
            4  rank-limits is ours: Eckart and Young's theorem, on a linear net
Left out    language models, adapters, prefixes, biases alone, Secs. 7.1 and 7.3
Shapes      B images, T rows of w pixels, d features, r rank
"""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.drawing import lora as drawing
from impl.kit import (  # fmt: skip
    Alike,
    Arrays,
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
from impl.kit.claims import Side
from impl.kit.data import Split, draw_split, handwriting
from impl.kit.image_shifts import permute, rotate
from impl.kit.row_transformer import Attention, Transformer
from impl.kit.supervised import descend, error


class LoRA(nn.Module):
    """Eq. 3: h = W0 x + (alpha / r) B A x, where W0 is frozen. [..., k] -> [..., d]"""

    def __init__(self, linear: nn.Linear, r: int, alpha: float):
        super().__init__()
        d, k = linear.weight.shape
        self.linear, self.scale = linear, alpha / r
        self.A = nn.Parameter(torch.empty(r, k, dtype=linear.weight.dtype))
        self.B = nn.Parameter(torch.empty(d, r, dtype=linear.weight.dtype))
        self.reset()

    def reset(self) -> None:
        """Sec. 4.1: A is Gaussian and B zero, so that nothing is changed at first."""
        nn.init.normal_(self.A, std=self.A.shape[1] ** -0.5)
        nn.init.zeros_(self.B)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.linear(x), x @ self.A.T @ self.B.T, alpha=self.scale)

    def delta(self) -> Tensor:
        """What is added to W0. [d, k]"""
        return self.scale * self.B @ self.A

    def merge(self) -> nn.Linear:
        """Sec. 4.1: one matrix again, W = W0 + (alpha / r) B A."""
        merged = copy.deepcopy(self.linear)
        merged.weight.data += self.delta().detach()
        return merged


ADAPTED = ("W_q", "W_v")  # Sec. 4.2


def attentions(net: nn.Module) -> list[Attention]:
    return [module for module in net.modules() if isinstance(module, Attention)]


def freeze(net: nn.Module) -> None:
    net.requires_grad_(False)


def adapt(net: nn.Module, r: int, alpha: float) -> None:
    """Freezes a net and puts thin matrices beside W_q and W_v of all its attention."""
    freeze(net)
    for attention in attentions(net):
        for name in ADAPTED:
            setattr(attention, name, LoRA(getattr(attention, name), r, alpha))


def merge(net: nn.Module) -> nn.Module:
    """A copy that is built like the old net, with B A in its matrices."""
    net = copy.deepcopy(net)
    for attention in attentions(net):
        for name in ADAPTED:
            setattr(attention, name, getattr(attention, name).merge())
    return net


def trained(net: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in net.parameters() if weight.requires_grad]


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # ours; `auto` is MNIST where it can be had, else scikit-learn's digits
    n: int = 50_000  # ours: images that the old net is trained on
    examples: int = 1_000  # Table 16 has 100, 1,000 and more: of the new task
    validation: int = 1_000  # ours: images of the new task for the choice of lr
    degrees: float = 30.0  # ours: by which the digits of the near task are turned
    d: int = 128  # ours
    heads: int = 4  # ours
    layers: int = 4  # ours
    r: int = 4  # Table 11, of GPT-2: the rank that is compared with training all weights
    ranks: tuple[int, ...] = (1, 2, 4, 8, 64)  # Table 6
    alpha: float = 32.0  # Table 11
    lrs: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)  # ours: the grid
    batch: int = 32  # ours
    updates: int = 5_000  # ours: of the old net
    adaptation: int = 2_000  # ours: updates on the new task
    D: int = 6  # ours: size of the linear net
    seeds: int = 5  # ours: how many repetitions, each with its own old net
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, data="auto", n=5_000, d=64, layers=2, lrs=(1e-3, 3e-3, 1e-2, 3e-2),
               updates=1_000, adaptation=300)  # fmt: skip
QUICK = replace(FULL, data="digits", n=700, examples=200, validation=250, d=32, ranks=(1, 4),
                updates=150, adaptation=80)  # fmt: skip
SMOKE = replace(QUICK, n=100, examples=50, d=8, ranks=(1, 4), lrs=(1e-2,), updates=4,
                adaptation=4, D=4, seeds=2)  # fmt: skip
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

TASKS = ("near", "far")
ADAPTATIONS = [
    Protocol([arm], {"lr": "lrs"}, conditions, select=f"{task}_val_error")
    for task in TASKS
    for arm, conditions in (("lora", {"r": "ranks"}), ("full", {}))
]
EXACT = Protocol(arms=("linear net", "counts"))


def on(task: str, measure: str, **where: Any) -> Side:
    """A measure of LoRA, or of the whole net, with the lr that was chosen for this task."""
    where |= {"selected_by": f"{task}_val_error"}
    return lambda rows: by_seed(rows, f"{task}_{measure}", **where)


POINTS: Any = {"better": "lower", "margin": 3.0,
               "because": "a tenth of what adapting to rotated digits gains"}  # fmt: skip
COUNTS: Any = {"tolerance": 0.5, "unit": "weights off those published, in units of the last digit"}
CLAIMS = (
    NoWorse(claim="quality", idea="lora", rival="full", measure="near_test_error",
            where={"selected_by": "near_val_error", "usual": True},
            unit="% test error on rotated digits, rank 4 against all weights", **POINTS),
    Alike(claim="rank-one", idea=on("near", "test_error", arm="lora", thinnest=True),
          rival=on("near", "test_error", arm="lora", thickest=True),
          control=(on("near", "test_error", arm="lora", thinnest=True),
                   on("near", "error_before", arm="lora", thinnest=True)),
          unit="% test error on rotated digits, rank 1 against the largest tried", **POINTS),
    Comparison(claim="far-task", idea="full", rival="lora", measure="far_test_error",
               where={"selected_by": "far_val_error", "thinnest": True},
               unit="% test error on permuted pixels, all weights against rank 1", **POINTS),
    Identity(claim="start", measure="start_gap", tolerance=0.0,
             unit="largest relative difference of a logit before training"),
    Identity(claim="merged", measure="merge_gap", tolerance=1e-12,
             unit="largest relative difference of a logit, matrices merged"),
    Identity(claim="rank-limits", measure="excess", tolerance=1e-6,
             unit="squared error less the tail of squared singular values, over their sum"),
    Identity(claim="weights", measure="off", where={"gpt_3": True}, **COUNTS),
    Identity(claim="smaller-nets", measure="off", where={"gpt_3": False}, **COUNTS),
)  # fmt: skip


def start_from(init_A: Any, init_B: Any) -> AbstractContextManager[object]:
    return patch.object(LoRA, "reset", lambda self: (init_A(self.A), init_B(self.B)))


def train_all() -> AbstractContextManager[object]:
    return patch(f"{__name__}.freeze", lambda net: None)


ZEROS = partial(start_from, nn.init.zeros_, nn.init.zeros_)  # then neither has a gradient
BROKEN: Broken = {
    "quality": ZEROS,
    "rank-one": ZEROS,
    "far-task": lambda: patch(f"{__name__}.permute", lambda x, seed: x),
    "start": partial(start_from, nn.init.normal_, nn.init.normal_),
    "merged": lambda: patch.object(LoRA, "delta", lambda self: self.B @ self.A),  # no alpha / r
    "rank-limits": ZEROS,
    "weights": train_all,
    "smaller-nets": train_all,
}


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, **job: Any
) -> Iterator[TrialEvent]:
    if arm == "linear net":
        return approximate(cfg, seed)
    return count() if arm == "counts" else train(cfg, device, arm, seed, **job)


def train(
    cfg: Config, device: torch.device, arm: str, seed: int, lr: float, r: int = 0
) -> Iterator[TrialEvent]:
    """Trains a net on upright digits, then a copy of it on each of the new tasks."""
    data = handwriting(cfg.data).to(device)
    split = draw_split(data, cfg.n + cfg.examples, cfg.validation, seed)
    x, y = split.x_train, split.y_train
    old = Transformer(x.shape[2], x.shape[3], cfg.d, cfg.heads, cfg.layers).to(device)
    for _ in fit(old, x[: cfg.n], y[: cfg.n], cfg.batch, cfg.updates, 3e-3, seed):
        pass
    result: Row = dict(step=cfg.adaptation, data=data.name, thickest=r == max(cfg.ranks))
    result |= dict(thinnest=r in (0, min(cfg.ranks)), usual=r in (0, cfg.r))
    for task in TASKS:
        images = [x[cfg.n :], split.x_val, split.x_test]
        images = [rotate(x, cfg.degrees) if task == "near" else permute(x, seed) for x in images]
        new = Split(images[0], y[cfg.n :], images[1], split.y_val, images[2], split.y_test)
        net = copy.deepcopy(old)
        if arm == "lora":
            adapt(net, r, cfg.alpha)
            result |= dict(start_gap=gap(old, net, new.x_test[:100]))
        result[f"{task}_error_before"] = error(net, new.x_test, new.y_test)
        for step in fit(net, *(new.x_train, new.y_train), cfg.batch, cfg.adaptation, lr, seed):
            val = error(net, new.x_val, new.y_val)
            yield dict(task=task, step=step, val_error=val)
        result[f"{task}_val_error"] = val
        result[f"{task}_test_error"] = error(net, new.x_test, new.y_test)
        if arm == "lora":
            result |= dict(merge_gap=gap(net, merge(net.double()), new.x_test[:100].double()))
        else:
            yield Arrays({task: matrices(net) - matrices(old)})
    yield result


def fit(
    net: nn.Module, x: Tensor, y: Tensor, batch: int, updates: int, lr: float, seed: int
) -> Iterator[int]:
    """AdamW with a rate that falls linearly to zero; yields the step four times."""
    optimizer = torch.optim.AdamW(trained(net), lr, fused=True)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, updates)

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(net(x), y)

    for step, _ in descend(loss, optimizer, x, y, batch=batch, updates=updates, seed=seed):
        decay.step()
        if step % -(-updates // 4) == 0 or step == updates:
            yield step


@torch.no_grad()
def gap(one: nn.Module, other: nn.Module, x: Tensor) -> float:
    """The largest difference of their logits, over the largest of them."""
    logits: Tensor = one(x)
    return float((other(x) - logits).abs().max() / logits.abs().max())


def matrices(net: nn.Module) -> Tensor:
    """Those that LoRA adapts. [matrices, d, d]"""
    return torch.stack([getattr(each, W).weight for each in attentions(net) for W in ADAPTED])


def approximate(cfg: Config, seed: int) -> Iterator[TrialEvent]:
    """A linear net that is to change by a matrix of full rank, with white inputs: what a rank
    leaves of its squared norm is, at best, the squares of all but its r largest singular values."""
    draw = generator(seed, "matrices")
    old, change = torch.randn(2, cfg.D, cfg.D, generator=draw, dtype=torch.float64)
    squares = torch.linalg.svdvals(change).square() / change.square().sum()
    x = torch.eye(cfg.D, dtype=torch.float64)
    for r in range(1, cfg.D + 1):
        linear = nn.Linear(cfg.D, cfg.D, bias=False, dtype=torch.float64)
        linear.weight.data = old.clone()
        freeze(linear)
        layer = LoRA(linear, r, alpha=r)  # else L-BFGS may end at a saddle point
        left = minimize(layer, x, x @ (old + change).T) / float(change.square().sum())
        tail = float(squares[r:].sum())
        yield dict(step=r, left=left, tail=tail, excess=left - tail)


def minimize(layer: nn.Module, x: Tensor, target: Tensor) -> float:
    """The least squared error, by L-BFGS."""
    optimizer = torch.optim.LBFGS(trained(layer), max_iter=3_000, line_search_fn="strong_wolfe",
                                  tolerance_grad=1e-9, tolerance_change=1e-14)  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = (layer(x) - target).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(closure().item())


PUBLISHED = (  # Tables 2 to 4 and 9 to 12: model, d, layers, rank, weights in millions, last digit
    ("RoBERTa base", 768, 12, 8, 0.3, 0.1),
    ("RoBERTa large", 1024, 24, 8, 0.8, 0.1),
    ("DeBERTa XXL", 1536, 48, 8, 4.7, 0.1),
    ("GPT-2 medium", 1024, 24, 4, 0.35, 0.01),
    ("GPT-2 large", 1280, 36, 4, 0.77, 0.01),
    ("GPT-3", 12288, 96, 1, 4.7, 0.1),
    ("GPT-3", 12288, 96, 8, 37.7, 0.1),
)


def count() -> Iterator[TrialEvent]:
    """Sec. 5.1: 2 x matrices x d x r, counted in nets whose matrices have a shape and no values."""
    for model, d, layers, r, published, digit in PUBLISHED:
        with torch.device("meta"):
            net = nn.ModuleList(Attention(d, heads=1) for _ in range(layers))
            adapt(net, r, alpha=1.0)
        millions = sum(weight.numel() for weight in trained(net)) / 1e6
        yield dict(model=f"{model}, r = {r}", gpt_3=model == "GPT-3", millions=millions,
                   off=(millions - published) / digit)  # fmt: skip


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    rows: list[Row] = []
    chosen = yield from keep_rows(run_protocol(trial, cfg, [*ADAPTATIONS, EXACT], device), rows)
    yield drawing.ranks(rows)
    yield drawing.spectra([one.tensors for one in chosen if one.arm == "full"])
    yield drawing.tails(rows)


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
