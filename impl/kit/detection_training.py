"""Training as Fast and Faster R-CNN do, and how well proposals cover what is to be found."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit.boxes import iou
from impl.kit.scene import Scene


def minimize(
    loss: Callable[[], Tensor],
    weights: Iterable[nn.Parameter],
    optimizer: str,
    lr: float,
    updates: int,
) -> Iterator[tuple[int, Tensor]]:
    """Yields the step and the loss of its mini-batch, which `loss` draws. `SGD` has momentum 0.9
    and weight decay 0.0005, else it is `Adam`; the rate ends at a tenth, from three quarters on."""
    weights = list(weights)
    if optimizer == "Adam":
        descent: torch.optim.Optimizer = torch.optim.Adam(weights, lr, fused=True)
    else:
        descent = torch.optim.SGD(weights, lr, 0.9, weight_decay=0.0005)
    decay = torch.optim.lr_scheduler.MultiStepLR(descent, [max(1, updates * 3 // 4)])
    for step in range(1, updates + 1):
        value = loss()
        descent.zero_grad()
        value.backward(inputs=weights)
        descent.step()
        decay.step()
        yield step, value.detach()


def without_padding(image: Tensor) -> Tensor:
    """[3, S, S] -> [3, H, W]: without the black below a picture that isn't square, or beside it."""
    bright = image.amax(0) > 0
    H, W = (int(bright.any(dim).nonzero().amax()) + 1 for dim in (1, 0))
    return image[:, :H, :W]


def best_overlaps(found: Sequence[Tensor], scenes: Sequence[Scene], n: int) -> Tensor:
    """How much the best of the first n boxes of its picture overlaps each object, [objects]."""
    pairs = zip(found, scenes, strict=True)
    overlaps = [iou(boxes[:n], scene.boxes) for boxes, scene in pairs]  # [R, N] each
    return torch.cat([F.pad(overlap, (0, 0, 0, 1)).amax(0) for overlap in overlaps])


def recall(overlaps: Tensor) -> float:
    """Percent of the objects that are covered by half or more."""
    return 100 * float((overlaps >= 0.5).float().mean())
