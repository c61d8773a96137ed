"""One net in several processes: each takes its part of every batch.

All step by the mean of their gradients. torch's own launcher starts them,
`torchrun --nproc-per-node 2 -m impl.resnet --preset paper`, or
`kb run resnet --preset paper --processes 2`. In a single process nothing here does anything.
"""

import os
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


def rank() -> int:
    """Which of the processes this is; the first, 0, speaks for all."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """How many processes there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: torch.device) -> torch.device:
    """Meets the other processes; returns the device of this one: with CUDA, each has its own."""
    if world() == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def leave() -> None:
    """Leaves when all have done their work: who left earlier would cut the others' connections."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def part(batch: Tensor, dim: int = 0) -> Tensor:
    """This process's part of a batch of B along `dim`.

    The mean over all processes is that of the batch if world() divides B.
    """
    return batch[(slice(None),) * dim + (slice(rank(), None, world()),)]


@torch.no_grad()
def average(tensors: Sequence[Tensor]) -> None:
    """Puts into each tensor its mean over the processes; the same bits in all of them."""
    if world() == 1:
        return
    together = torch.cat(
        [t.flatten() for t in tensors]
    )  # one message instead of one for each tensor
    dist.all_reduce(together)
    for t, mean in zip(
        tensors, (together / world()).split([t.numel() for t in tensors]), strict=True
    ):
        t.copy_(mean.view_as(t))


@torch.no_grad()
def agree(net: nn.Module) -> None:
    """What isn't learnt by gradients becomes the mean over the processes.

    The statistics of batch normalization are an example.
    """
    if buffers := [b for b in net.buffers() if b.is_floating_point()]:
        average(buffers)
