"""Minimizing a loss: one update, and as many as train a detector."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from impl.kit.events import Row


def update(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One step of the optimizer; what it doesn't hold gets no gradient."""
    optimizer.zero_grad()
    loss.backward(inputs=[w for group in optimizer.param_groups for w in group["params"]])
    optimizer.step()


def minimize(
    loss: Callable[[], Tensor],
    weights: Iterable[nn.Parameter],
    optimizer: str,
    lr: float,
    updates: int,
) -> Iterator[Row]:
    """Yields eight times the step and the loss of its mini-batch, which `loss` draws.

    `SGD` has momentum 0.9 and weight decay 0.0005, else it is `Adam`; the rate ends at a tenth,
    from three quarters on.
    """
    weights = list(weights)
    if optimizer == "Adam":
        descent: torch.optim.Optimizer = torch.optim.Adam(weights, lr, fused=True)
    else:
        descent = torch.optim.SGD(weights, lr, 0.9, weight_decay=0.0005)
    decay = torch.optim.lr_scheduler.MultiStepLR(descent, [max(1, updates * 3 // 4)])
    for step in range(1, updates + 1):
        value = loss()
        update(value, descent)
        decay.step()
        if step % -(-updates // 8) == 0:
            yield dict(step=step, loss=value.item())
