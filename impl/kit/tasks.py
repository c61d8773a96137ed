"""The small tasks of the ladders (impl.ladders): the same for all rungs, drawn or bundled.

`assignments` asks a sequence model what was noted last under a name, `eight_gaussians` is a density
with gaps, `handwritten` the small digits that scikit-learn brings, as rows of numbers.
"""

import math

import torch
from torch import Tensor

from impl.kit.data import Split, digits, draw_split
from impl.kit.supervised import standardize


def assignments(
    B: int, T: int, names: int, values: int, draw: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Notes such as "c = 5, a = 2, c = 7", then a question, "c?": the answer is 7, its last value.

    Each note is one word, name and value together; the question is one of the names that occur.
    Words are 0 .. names * values - 1 for notes, then one for each question. Who always names one
    value is right in 1 of `values`. Returns x [B, T + 1] and the answers [B].
    """
    name = torch.randint(names, (B, T), generator=draw)
    value = torch.randint(values, (B, T), generator=draw)
    asked_at = torch.randint(T, (B, 1), generator=draw)
    asked = name.gather(1, asked_at)  # [B, 1]
    last = torch.where(name == asked, torch.arange(T), -1).amax(1, keepdim=True)
    x = torch.cat([name * values + value, names * values + asked], 1)
    return x, value.gather(1, last)[:, 0]


def eight_gaussians(B: int, draw: torch.Generator, std: float = 0.1) -> Tensor:
    """Points about one of eight places on a circle of radius 1.4, so that each coordinate has a
    variance of about 1. [B, 2]"""
    angle = torch.randint(8, (B,), generator=draw) * (math.tau / 8)
    centre = 1.4 * torch.stack([angle.cos(), angle.sin()], 1)
    return centre + std * torch.randn(B, 2, generator=draw)


def handwritten(n: int, validation: int, seed: int) -> Split:
    """Digits of 8 x 8 as rows of 64 numbers with mean 0 and, all together, variance 1; the seed
    draws which are trained on. 500 are for testing."""
    return standardize(draw_split(digits(), n, validation, seed))
