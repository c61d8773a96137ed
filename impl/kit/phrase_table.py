"""What translation knew before nets: which words translate which, which word follows which, and the
phrases that a system with these two scores hesitates between."""

import math
from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from impl.kit.trials import generator

CORRUPTIONS = 40  # of the right phrase; the likeliest of them are the others to choose from


class PhraseTable:
    """A lexical score (IBM model 1) and a language model (bigrams) of phrases [P, T], [P, T']."""

    def __init__(self, source: Tensor, target: Tensor, words: tuple[int, int]):
        x, y = _bags(source, words[0]), _bags(target, words[1])
        self.translates = torch.full(words, 1 / words[1])  # [V, V']
        for _ in range(10):  # expectation, maximization
            expected = x.T @ (y / (x @ self.translates).clamp_min(1e-12))
            counts = self.translates * expected + 1e-4
            self.translates = counts / counts.sum(1, keepdim=True)
        follows = torch.full((words[1], words[1]), 0.01)
        pairs = torch.stack([F.pad(target, (1, 0))[:, :-1], target])[:, target > 0]
        follows.index_put_(tuple(pairs), torch.ones(pairs.shape[1]), accumulate=True)
        self.follows = (follows / follows.sum(1, keepdim=True)).log()

    def scores(self, source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """For phrases [P, T] and choices [P, K, T'], [P, K] each."""
        x = _bags(source, len(self.translates))
        per_word = (x @ self.translates / x.sum(1, keepdim=True)).log()  # [P, V']
        lexical = per_word[:, None].expand(-1, target.shape[1], -1).gather(2, target)
        language = self.follows[F.pad(target, (1, 0))[..., :-1], target]
        return (lexical * (target > 0)).sum(2), (language * (target > 0)).sum(2)

    def best_list(self, source: Tensor, target: Tensor, K: int, draw: torch.Generator) -> Tensor:
        """The right phrase, and of 40 corruptions of it the K - 1 that are likeliest by the two
        scores. [P, K, T']"""
        choices = corrupted(target, CORRUPTIONS + 1, self.translates.shape[1], draw)
        wrong = (choices != choices[:, :1]).any(2)  # an exchange of equal words corrupts nothing
        lexical, language = self.scores(source, choices)
        likely = (lexical + language).masked_fill(~wrong, -math.inf).topk(K - 1).indices
        at = F.pad(likely, (1, 0))[:, :, None].expand(-1, -1, target.shape[1])
        return choices.gather(1, at)


@torch.no_grad()
def picked(
    table: PhraseTable,
    score: Callable[[Tensor, Tensor], Tensor],
    val: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    K: int,
    seed: int,
) -> tuple[float, float]:
    """The share of test phrases picked right of K each, by the table's two scores, and by these and
    `score`, which maps sources [N, T] and targets [N, T'] to [N]. Weights are chosen on `val`."""
    features = []
    for use, (source, target) in (("val", val), ("test", test)):
        choices = table.best_list(source, target, K, generator(seed, f"choices {use}"))
        scores = score(source.repeat_interleave(K, 0), choices.flatten(0, 1))
        features.append([*table.scores(source, choices), scores.view(-1, K)])
    known, unseen = features
    return log_linear(known[:2], unseen[:2]), log_linear(known, unseen)


def log_linear(
    features: Sequence[Tensor],
    test_features: Sequence[Tensor],
    weights: Sequence[float] = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0),
) -> float:
    """The share of phrases for which a weighted sum of features [P, K] is largest for the first of
    the K, the right one. The first feature has weight 1; the others' weights are those, from a
    list, that are best for `features`; the share is of `test_features`."""

    def share(features: Sequence[Tensor], scales: Sequence[float]) -> float:
        total = torch.stack([w * each for w, each in zip(scales, features, strict=True)]).sum(0)
        return float((total[:, 0] > total[:, 1:].amax(1)).float().mean())

    scales = [(1.0, *others) for others in product(weights, repeat=len(features) - 1)]
    return share(test_features, max(scales, key=lambda each: share(features, each)))


def corrupted(target: Tensor, K: int, words: int, draw: torch.Generator) -> Tensor:
    """The right phrase, then K - 1 with two words exchanged or one replaced, in turn; the end of a
    phrase stays. [P, T'] -> [P, K, T']"""
    choices = target[:, None].repeat(1, K, 1)
    chance = torch.rand(choices.shape, generator=draw)
    chance[(F.pad(choices, (0, 1))[..., 1:] == 0)] = -1.0  # the last word, and behind it
    i, j = chance.topk(2, dim=2).indices.split(1, 2)  # [P, K, 1] each
    first, second = choices.gather(2, i), choices.gather(2, j)
    other = torch.randint(2, words, first.shape, generator=draw)
    odd = torch.arange(K)[None, :, None] % 2 == 1
    changed = choices.scatter(2, i, torch.where(odd, second, other))
    changed.scatter_(2, j, torch.where(odd, first, second))
    changed[:, 0] = target
    return changed


def _bags(phrases: Tensor, words: int) -> Tensor:
    """How often each word occurs, [P, V]; the filling doesn't count."""
    counts = F.one_hot(phrases, words).sum(1).float()
    counts[:, 0] = 0
    return counts
