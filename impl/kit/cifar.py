"""Images and batches as He et al. (2015) have them, Sec. 4.2, and papers on CIFAR-10 after them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit.data import Split, draw_split, photographs
from impl.kit.descent import update
from impl.kit.events import Row
from impl.kit.trials import generator


def load(
    name: str, device: torch.device, *, side: int, n: int, validation: int, seed: int
) -> Split:  # fmt: skip
    """Images averaged down to `side` pixels, less the mean of each pixel of the training images."""
    split = draw_split(photographs(name), n, validation, seed)
    parts = {name: part.to(device) for name, part in vars(split).items()}
    pool = max(1, split.x_train.shape[-1] // side)
    images = {name: F.avg_pool2d(x, pool) for name, x in parts.items() if name.startswith("x")}
    mean = images["x_train"].mean(0)
    return Split(**parts | {name: x - mean for name, x in images.items()})


def batches(
    split: Split, size: int, seed: int, *, augmented: bool
) -> Iterator[tuple[Tensor, Tensor]]:  # fmt: skip
    """Without end; each training image once an epoch, and no batch smaller than the others."""
    x, y = split.x_train, split.y_train
    draw = generator(seed, "batches")
    size = min(size, len(x))
    while True:
        order = torch.randperm(len(x), generator=draw)
        for start in range(0, len(x) - size + 1, size):
            at = order[start : start + size].to(x.device)
            yield (augment(x[at], draw) if augmented else x[at]), y[at]


def augment(x: Tensor, draw: torch.Generator) -> Tensor:
    """Padded by 4 pixels, cropped at random, mirrored half of the time. [B, C, H, W]"""
    B, _, H, W = x.shape
    down, right = torch.randint(9, (2, B), generator=draw).to(x.device)
    mirror = torch.randint(2, (B,), generator=draw).to(x.device).bool()
    h, w = torch.arange(H, device=x.device), torch.arange(W, device=x.device)
    w = torch.where(mirror[:, None], w.flip(0), w)  # [B, W]
    image = torch.arange(B, device=x.device)[:, None, None]
    rows, columns = (down[:, None] + h)[:, :, None], (right[:, None] + w)[:, None]
    padded = F.pad(x, (4, 4, 4, 4)).permute(0, 2, 3, 1)
    return padded[image, rows, columns].permute(0, 3, 1, 2)


@torch.no_grad()
def init_weights(net: nn.Module) -> None:
    """He et al. (2015b): variance 2 / fan-in, and no biases."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def train(
    net: nn.Module, split: Split, lr: float, seed: int, *, updates: int, batch: int,
    momentum: float, weight_decay: float, augmented: bool,
) -> Iterator[Row]:  # fmt: skip
    """By SGD, whose rate falls to a tenth after half and after three quarters of the updates.

    Yields now and then the loss of a batch.
    """
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum, weight_decay=weight_decay)
    milestones = [updates // 2, updates * 3 // 4]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones)
    drawn = batches(split, batch, seed, augmented=augmented)
    for step, (x, y) in zip(range(1, updates + 1), drawn, strict=False):
        loss = F.cross_entropy(net(x), y)
        update(loss, optimizer)
        schedule.step()
        if step % -(-updates // 20) == 0:
            yield dict(step=step, loss=loss.item())
