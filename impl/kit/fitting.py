"""Training a classifier that stops where validation says."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit.data import Split
from impl.kit.descent import update
from impl.kit.events import Row
from impl.kit.supervised import error


@torch.no_grad()
def settle(net: nn.Module, x: Tensor) -> None:
    """From here on batch normalization, if its momentum is 1, has the statistics of x."""
    net.train()(x)
    net.eval()


def fit(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    labelled: Split,
    batches: torch.Generator,
    *,
    batch: int,
    updates: int,
) -> Iterator[Row]:
    """Trains a classifier; the last row is that with the fewest errors on validation images."""
    x, y, rows = labelled.x_train, labelled.y_train, []
    for step in range(1, updates + 1):
        at = torch.randint(len(x), (min(batch, len(x)),), generator=batches)
        update(F.cross_entropy(net(x[at]), y[at]), optimizer)
        if step % -(-updates // 8) == 0 or step == updates:
            settle(net, x)
            val = error(net, labelled.x_val, labelled.y_val)
            test = error(net, labelled.x_test, labelled.y_test)
            net.train()
            rows.append(dict(step=step, val_error=val, test_error=test))
            yield Row(rows[-1])
    finite = [row for row in rows if math.isfinite(row["val_error"])]
    yield Row(min(finite or rows, key=lambda row: row["val_error"]))
