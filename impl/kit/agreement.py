"""Sentences of an artificial language in which verbs agree with nouns across other clauses."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Agreement:
    """Each noun opens a clause and each verb closes the last one that is open, as in English: the
    men whom the woman knows sleep. A verb has the gender of its noun.

    Words are numbers: 0 is left for what begins a text, then come the nouns, gender by gender, and
    then the verbs. A sentence has T words, half of them nouns.
    """

    vocabulary: int
    T: int
    genders: int
    nesting: int  # clauses that are open at most

    @property
    def words(self) -> int:
        """Of each of the 2 * genders kinds."""
        return (self.vocabulary - 1) // (2 * self.genders)

    def kinds(self, x: Tensor) -> Tensor:
        """The kind of each word: 0 to genders - 1 for nouns, from there on for verbs."""
        return (x - 1) // self.words

    def is_noun(self, x: Tensor) -> Tensor:
        return self.kinds(x) < self.genders

    def sentences(self, n: int, draw: torch.Generator) -> Tensor:
        """Words [n, T]."""
        open_ = torch.zeros(n, self.nesting, dtype=torch.long)  # genders of the open clauses
        level, x = torch.zeros(n, dtype=torch.long), []
        for left in range(self.T, 0, -1):
            noun = torch.rand(n, generator=draw) < 0.5
            noun = (level == 0) | (noun & (level < min(self.nesting, left - 1)))
            at = torch.where(noun, level.clamp(max=self.nesting - 1), level - 1)[:, None]
            new = torch.randint(self.genders, (n,), generator=draw)
            gender = torch.where(noun, new, open_.gather(1, at)[:, 0])
            open_.scatter_(1, at, gender[:, None])
            level = level + torch.where(noun, 1, -1)
            x.append(self._draw_word(gender + torch.where(noun, 0, self.genders), draw))
        return torch.stack(x, 1)

    def labelled(self, n: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Words [n, T], and 1 for every other sentence, in which one verb doesn't agree."""
        x = self.sentences(n, draw)
        wrong = torch.arange(1, n, 2)
        order = torch.rand(x.shape, generator=draw).masked_fill(self.is_noun(x), -1)
        at = order.argmax(1)[wrong]
        shift = torch.randint(1, self.genders, at.shape, generator=draw)
        gender = (self.kinds(x)[wrong, at] + shift) % self.genders
        x[wrong, at] = self._draw_word(gender + self.genders, draw)
        return x, torch.arange(n) % 2

    def agrees(self, x: Tensor) -> Tensor:
        """Of each word [n, T] whether it is a noun, or a verb that agrees."""
        open_ = torch.zeros(len(x), x.shape[1] + 1, dtype=torch.long)
        level, fits = torch.zeros(len(x), dtype=torch.long), []
        for kind in self.kinds(x).unbind(1):
            noun, gender = kind < self.genders, kind % self.genders
            at = torch.where(noun, level, (level - 1).clamp(min=0))[:, None]
            expected = open_.gather(1, at)[:, 0]
            fits.append(noun | ((level > 0) & (expected == gender)))
            open_.scatter_(1, at, torch.where(noun, gender, expected)[:, None])
            level = (level + torch.where(noun, 1, -1)).clamp(min=0)
        return torch.stack(fits, 1)

    def _draw_word(self, kind: Tensor, draw: torch.Generator) -> Tensor:
        return 1 + kind * self.words + torch.randint(self.words, kind.shape, generator=draw)
