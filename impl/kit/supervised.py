"""What training a classifier needs and no paper is about: inputs, mini-batches, errors."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit.data import Images, Split
from impl.kit.trials import generator


def shrink(data: Images, k: int) -> Images:
    """MNIST's images as means over squares of k x k pixels; smaller ones stay as they are."""
    if data.name != "mnist":
        return data
    x_train, x_test = F.avg_pool2d(data.x_train, k), F.avg_pool2d(data.x_test, k)
    return replace(data, x_train=x_train, x_test=x_test)


def standardize(split: Split) -> Split:
    """Its images as rows [n, D]: less the mean of the training images, and all of variance one."""
    x, x_val, x_test = (x.flatten(1) for x in (split.x_train, split.x_val, split.x_test))
    mean = x.mean(0)
    std = (x - mean).std()
    x, x_val, x_test = ((x - mean) / std for x in (x, x_val, x_test))
    return replace(split, x_train=x, x_val=x_val, x_test=x_test)


def descend(
    loss_of: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    *,
    batch: int,
    updates: int,
    seed: int,
) -> Iterator[tuple[int, Tensor]]:
    """Minimizes the loss on mini-batches; yields the step and the loss of its batch.

    The batches are drawn with replacement, with one seed the same ones for all arms.
    """
    batches = generator(seed, "batches")
    for step in range(1, updates + 1):
        at = torch.randint(len(x), (batch,), generator=batches)
        loss = loss_of(x[at], y[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield step, loss.detach()


@torch.no_grad()
def error(model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    """Errors in percent; NaN for a net that has diverged."""
    logits = torch.cat([model(part) for part in x.split(1_000)])
    wrong: Tensor = logits.argmax(1) != y
    return 100 * wrong.float().mean().item() if logits.isfinite().all() else float("nan")


def gradient_gap(model: nn.Module, twin: nn.Module, x: Tensor, y: Tensor) -> float:
    """How far, relatively, the gradients of one net are from those of another, that should be the
    same; both have the same parameters in the same order. In double precision."""
    gradients = []
    for net in (model, twin):
        exact = copy.deepcopy(net).cpu().double()
        loss = F.cross_entropy(exact(x.cpu().double()), y.cpu())
        each = torch.autograd.grad(loss, list(exact.parameters()), materialize_grads=True)
        gradients.append(torch.cat([gradient.flatten() for gradient in each]))
    ours, theirs = gradients
    return float((ours - theirs).abs().max() / theirs.abs().max())
