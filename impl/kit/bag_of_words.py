"""Documents as bags of words, most of them rare."""

import functools

import torch
from torch import Tensor

from impl.kit.trials import generator


@functools.lru_cache(maxsize=1)  # the trials of a seed follow one another
def documents(
    n: int, vocabulary: int, length: int, tilt: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Which words are in each document, [n, vocabulary] of 0 and 1, and its class of two, [n].

    The words are drawn by Zipf's law, and each stands more or less for one of the classes: `tilt`
    is the standard deviation of its log-odds, halved.
    """
    draw = generator(seed, "documents")
    log_odds = tilt * torch.randn(vocabulary, generator=draw)
    frequency = 1 / torch.arange(1, vocabulary + 1)
    chances = torch.stack([frequency * (-log_odds).exp(), frequency * log_odds.exp()])
    y = torch.arange(n) % 2
    words = torch.multinomial(chances[y], length, replacement=True, generator=draw)
    return torch.zeros(n, vocabulary).scatter_(1, words, 1.0), y
