"""Hinton's family trees: an English and an Italian family of 12 people, alike in form."""

import torch
from torch import Tensor

# Each family generation by generation, from one branch to the other, as in the paper's Fig. 2.
ENGLISH = ("Christopher", "Penelope", "Andrew", "Christine", "Margaret", "Arthur",
           "Victoria", "James", "Jennifer", "Charles", "Colin", "Charlotte")  # fmt: skip
ITALIAN = ("Roberto", "Maria", "Pierro", "Francesca", "Gina", "Emilio",
           "Lucia", "Marco", "Angela", "Tomaso", "Alfonso", "Sophia")  # fmt: skip
COUPLES = {0: 1, 2: 3, 5: 4, 7: 6, 9: 8}  # husband and wife, by their places
CHILDREN = {0: (5, 6), 2: (7, 8), 7: (10, 11)}  # of each father
MEN = {0, 2, 5, 7, 9, 10}
PERSON = torch.arange(24)
GENERATION = torch.tensor([0] * 4 + [1] * 6 + [2] * 2).repeat(2)
BRANCH = torch.tensor([0, 0, 1, 1, 0, 0, 0, 1, 1, 1, -1, -1]).repeat(2)  # -1: of both
TRAITS = {"nationality": PERSON // 12, "generation": GENERATION, "branch": BRANCH}


def relatives(person: int) -> list[set[int]]:
    """A person's father, mother, husband, wife, son, daughter, uncle, ..., niece: 12 sets."""
    spouse = COUPLES | {wife: husband for husband, wife in COUPLES.items()}

    def married(people: set[int]) -> set[int]:
        return {spouse[p] for p in people if p in spouse}

    def parents(people: set[int]) -> set[int]:
        fathers = {father for father, children in CHILDREN.items() if people & set(children)}
        return fathers | married(fathers)

    def children(people: set[int]) -> set[int]:
        return {child for p in people | married(people) for child in CHILDREN.get(p, ())}

    def siblings(people: set[int]) -> set[int]:
        return {s for p in people for s in children(parents({p})) - {p}}

    me = {person}
    uncles = siblings(parents(me))
    nephews = children(siblings(me | married(me)))
    kin = [parents(me), married(me), children(me), uncles | married(uncles), siblings(me), nephews]
    return [part for group in kin for part in (group & MEN, group - MEN)]


def family_facts() -> tuple[Tensor, Tensor]:
    """The 104 facts: person 1 of 24 and relation of 12 switched on [104, 36], and every right
    person 2 [104, 24]."""
    x, d = [], []
    for tree in (0, 12):
        for person in range(12):
            for relation, answers in enumerate(relatives(person)):
                if answers:
                    on = torch.tensor([tree + person, 24 + relation])
                    right = torch.tensor([tree + p for p in answers])
                    x.append(torch.zeros(36).index_fill_(0, on, 1.0))
                    d.append(torch.zeros(24).index_fill_(0, right, 1.0))
    return torch.stack(x), torch.stack(d)


def encoded(units: Tensor) -> float:
    """The part of the variance over the people that a trait explains, in the one of the units
    [P, J] where it explains most; the mean of nationality, generation and branch."""
    parts = []
    for trait in TRAITS.values():
        w, group = units[trait >= 0], trait[trait >= 0]
        means = torch.stack([w[group == value].mean(0) for value in group.unique()])
        explained = (means[group] - w.mean(0)).square().mean(0)
        parts.append((explained / w.var(0, correction=0)).max().item())
    return sum(parts) / len(parts)


def ranked(y: Tensor, d: Tensor) -> Tensor:
    """Whether every output that should be on is more active than every other: 1 or 0, [C]."""
    lowest = y.masked_fill(d < 0.5, torch.inf).amin(1)
    return (lowest > y.masked_fill(d > 0.5, -torch.inf).amax(1)).float()
